//! Headers of segments, blocks and index records: bytes ⇄ structs (docs/format.md has the tables).

use duolog_types::{Nanos, Offset, PartitionId, TimestampMs};

use crate::codec::{Get, Put, crc32c};

/// The newest format of segments that this binary writes and reads.
pub(crate) const SEGMENT_VERSION: u32 = 1;
const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"DUOLOGsg");
const INDEX_MAGIC: u64 = u64::from_le_bytes(*b"DUOLOGix");
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"DLbk");

pub(crate) const FILE_HEADER_BYTES: usize = 64;
pub(crate) const BLOCK_HEADER_BYTES: usize = 64;
pub(crate) const TABLE_ENTRY_BYTES: usize = 32;
pub(crate) const INDEX_RECORD_BYTES: usize = 40;
/// What the log writes a block for: a block is closed when its batches reach this.
pub(crate) const BLOCK_TARGET_BYTES: usize = 128 << 10;
/// More can't stand in a block: one entry of the WAL at most, with room for its table.
const BLOCK_LIMIT_BYTES: u32 = 1 << 30;

/// The head of a segment or index file.
fn file_header(magic: u64, partition: PartitionId, base: Offset) -> Vec<u8> {
    let mut out = Vec::with_capacity(FILE_HEADER_BYTES);
    out.put_u64(magic);
    out.put_u32(SEGMENT_VERSION);
    out.put_u32(0); // flags
    out.put_u64(partition.0);
    out.put_i64(base.0);
    out.resize(FILE_HEADER_BYTES - 4, 0);
    let crc = crc32c(&out);
    out.put_u32(crc);
    out
}

pub(crate) fn segment_header(partition: PartitionId, base: Offset) -> Vec<u8> {
    file_header(SEGMENT_MAGIC, partition, base)
}

pub(crate) fn index_header(partition: PartitionId, base: Offset) -> Vec<u8> {
    file_header(INDEX_MAGIC, partition, base)
}

/// The head of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub partition: PartitionId,
    pub base: Offset,
    /// One behind the last offset.
    pub end: Offset,
    pub max_timestamp: TimestampMs,
    pub entry_count: u32,
    pub data_bytes: u32,
    pub table_crc: u32,
}

impl BlockHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK_HEADER_BYTES);
        out.put_u32(BLOCK_MAGIC);
        out.put_u32(0); // flags: key index, delete bitmap
        out.put_u64(self.partition.0);
        out.put_i64(self.base.0);
        out.put_i64(self.end.0);
        out.put_i64(self.max_timestamp.0);
        out.put_u32(self.entry_count);
        out.put_u32(self.data_bytes);
        out.put_u32(self.table_crc);
        out.resize(BLOCK_HEADER_BYTES - 4, 0);
        let crc = crc32c(&out);
        out.put_u32(crc);
        out
    }

    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn decode(bytes: &[u8], partition: PartitionId) -> Result<Self, String> {
        let header = Self::get(bytes).ok_or("not a block header, or a damaged one")?;
        if header.partition != partition {
            return Err(format!("the block belongs to {}", header.partition));
        }
        if header.entry_count > BLOCK_LIMIT_BYTES / TABLE_ENTRY_BYTES as u32
            || header.data_bytes > BLOCK_LIMIT_BYTES
        {
            return Err(format!("{} entries of {} bytes in a block", header.entry_count, header.data_bytes));
        }
        Ok(header)
    }

    fn get(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..BLOCK_HEADER_BYTES)?;
        let mut get = Get::new(bytes);
        if get.u32()? != BLOCK_MAGIC {
            return None;
        }
        let _flags = get.u32()?;
        let header = Self {
            partition: PartitionId(get.u64()?),
            base: get.offset()?,
            end: get.offset()?,
            max_timestamp: get.timestamp()?,
            entry_count: get.u32()?,
            data_bytes: get.u32()?,
            table_crc: get.u32()?,
        };
        let mut crc = Get::new(&bytes[BLOCK_HEADER_BYTES - 4..]);
        (crc.u32()? == crc32c(&bytes[..BLOCK_HEADER_BYTES - 4])).then_some(header)
    }

    pub(crate) fn table_bytes(&self) -> usize {
        self.entry_count as usize * TABLE_ENTRY_BYTES
    }

    /// Header, table and batches.
    pub(crate) fn block_bytes(&self) -> u64 {
        (BLOCK_HEADER_BYTES + self.table_bytes()) as u64 + u64::from(self.data_bytes)
    }
}

/// One batch (or gap) in a block's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableEntry {
    /// First offset, relative to the block's.
    pub base_delta: u32,
    pub offset_count: u32,
    /// The batch's bytes; 0 for a gap.
    pub len: u32,
    pub arrival: Nanos,
    pub max_timestamp: TimestampMs,
}

impl TableEntry {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(self.base_delta);
        out.put_u32(self.offset_count);
        out.put_u32(self.len);
        out.put_u32(0); // flags
        out.put_i64(self.arrival.0);
        out.put_i64(self.max_timestamp.0);
    }

    pub(crate) fn get(bytes: &[u8]) -> Option<Self> {
        let mut get = Get::new(bytes);
        let (base_delta, offset_count, len) = (get.u32()?, get.u32()?, get.u32()?);
        let _flags = get.u32()?;
        Some(Self { base_delta, offset_count, len, arrival: get.nanos()?, max_timestamp: get.timestamp()? })
    }
}

/// Where a block stands: one record of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub base: Offset,
    pub end: Offset,
    pub position: u64,
    pub max_timestamp: TimestampMs,
    pub block_bytes: u32,
}

impl BlockRef {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_i64(self.base.0);
        out.put_i64(self.end.0);
        out.put_u64(self.position);
        out.put_i64(self.max_timestamp.0);
        out.put_u32(self.block_bytes);
        let crc = crc32c(&out[start..]);
        out.put_u32(crc);
    }

    pub(crate) fn get(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..INDEX_RECORD_BYTES)?;
        let mut get = Get::new(bytes);
        let found = Self {
            base: get.offset()?,
            end: get.offset()?,
            position: get.u64()?,
            max_timestamp: get.timestamp()?,
            block_bytes: get.u32()?,
        };
        (get.u32()? == crc32c(&bytes[..INDEX_RECORD_BYTES - 4])).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_see_every_flipped_bit() {
        let header = BlockHeader {
            partition: PartitionId(3),
            base: Offset(10),
            end: Offset(20),
            max_timestamp: TimestampMs(5),
            entry_count: 2,
            data_bytes: 300,
            table_crc: 9,
        };
        let encoded = header.encode();
        assert_eq!(encoded.len(), BLOCK_HEADER_BYTES);
        assert_eq!(BlockHeader::decode(&encoded, PartitionId(3)), Ok(header));
        assert!(BlockHeader::decode(&encoded, PartitionId(4)).unwrap_err().contains("p3"));
        for bit in 0..encoded.len() * 8 {
            let mut flipped = encoded.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(BlockHeader::decode(&flipped, PartitionId(3)).is_err(), "bit {bit}");
        }
        let record = BlockRef {
            base: Offset(1),
            end: Offset(2),
            position: 64,
            max_timestamp: TimestampMs(7),
            block_bytes: 9,
        };
        let mut bytes = Vec::new();
        record.put(&mut bytes);
        assert_eq!((bytes.len(), BlockRef::get(&bytes)), (INDEX_RECORD_BYTES, Some(record)));
        bytes[3] ^= 4;
        assert_eq!(BlockRef::get(&bytes), None);
    }
}
