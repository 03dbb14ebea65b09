//! Headers of WAL files and commit groups: bytes ⇄ structs (docs/format.md has the tables).

use duolog_env::SECTOR_BYTES;
use duolog_types::Lsn;

use crate::codec::{Get, Put, crc32c};

/// The newest format of WAL files that this binary writes and reads.
pub(crate) const WAL_VERSION: u32 = 1;
const FILE_MAGIC: u64 = u64::from_le_bytes(*b"DUOLOGwl");
const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"DLgr");

/// What a file header takes; the first group begins behind it.
pub(crate) const FILE_HEADER_BYTES: u64 = SECTOR_BYTES as u64;
/// What a group header takes; its entries follow at once.
pub(crate) const GROUP_HEADER_BYTES: usize = 64;

/// No file's sequence number, LSN or position is above: sums with what a group holds never overflow.
const NUMBER_MAX: u64 = 1 << 62;

/// Whether an entry can have this number; they begin at 1.
fn is_entry(lsn: Lsn) -> bool {
    (1..=NUMBER_MAX).contains(&lsn.0)
}

/// The first sector of a WAL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Position of the file in the WAL; rises by one from file to file, for ever.
    pub seq: u64,
    /// Random; every group in the file repeats it.
    pub epoch: u64,
    /// The first entry that this file may hold.
    pub first_lsn: Lsn,
    /// Where the predecessor's last group ends. Known durable: it was when this header was written.
    pub prev_end: u64,
    /// The chain value at that end.
    pub prev_chain: u32,
}

/// Why a sector isn't a file header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAHeader {
    /// No magic number: blank, or something else.
    Blank,
    /// The magic number, but the checksum fails.
    Damaged,
    /// Written by a newer version.
    TooNew(u32),
}

impl FileHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.put_u64(FILE_MAGIC);
        out.put_u32(WAL_VERSION);
        out.put_u32(0); // flags
        out.put_u64(self.seq);
        out.put_u64(self.epoch);
        out.put_u64(self.first_lsn.0);
        out.put_u64(self.prev_end);
        out.put_u32(self.prev_chain);
        let crc = crc32c(&out);
        out.put_u32(crc);
        out
    }

    pub(crate) fn decode(sector: &[u8]) -> Result<Self, NotAHeader> {
        let damaged = NotAHeader::Damaged;
        let mut get = Get::new(sector);
        if get.u64() != Some(FILE_MAGIC) {
            return Err(NotAHeader::Blank);
        }
        let version = get.u32().ok_or(damaged)?;
        let _flags = get.u32().ok_or(damaged)?;
        let header = Self {
            seq: get.u64().ok_or(damaged)?,
            epoch: get.u64().ok_or(damaged)?,
            first_lsn: Lsn(get.u64().ok_or(damaged)?),
            prev_end: get.u64().ok_or(damaged)?,
            prev_chain: get.u32().ok_or(damaged)?,
        };
        let crc = get.u32().ok_or(damaged)?;
        if crc32c(&sector[..52]) != crc {
            return Err(damaged);
        }
        if version > WAL_VERSION {
            return Err(NotAHeader::TooNew(version));
        }
        let aligned = header.prev_end.is_multiple_of(FILE_HEADER_BYTES);
        if header.seq > NUMBER_MAX || header.prev_end > NUMBER_MAX || !aligned || !is_entry(header.first_lsn)
        {
            return Err(damaged);
        }
        Ok(header)
    }

    /// The chain value that the file's first group must name.
    pub(crate) fn chain(&self) -> u32 {
        crc32c(&self.encode())
    }
}

/// The head of a commit group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    /// The file's epoch.
    pub epoch: u64,
    /// LSN of the group's first entry; of the next entry to come, if the group only seals.
    pub first_lsn: Lsn,
    /// Entries in the group; 0 for a group that only seals its predecessor.
    pub entry_count: u32,
    /// Bytes of entries behind the header, without padding.
    pub payload_bytes: u32,
    /// The predecessor's chain value.
    pub prev_chain: u32,
    /// What was known durable when this group was written.
    pub durable_lsn: Lsn,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

impl GroupHeader {
    pub(crate) fn encode(&self) -> [u8; GROUP_HEADER_BYTES] {
        let mut out = Vec::with_capacity(GROUP_HEADER_BYTES);
        out.put_u32(GROUP_MAGIC);
        out.put_u32(0); // flags
        out.put_u64(self.epoch);
        out.put_u64(self.first_lsn.0);
        out.put_u64(self.durable_lsn.0);
        out.put_u32(self.entry_count);
        out.put_u32(self.payload_bytes);
        out.put_u32(self.prev_chain);
        out.put_u32(self.payload_crc);
        out.put_u64(0); // reserved
        out.put_u32(0); // reserved
        let crc = crc32c(&out);
        out.put_u32(crc);
        let mut bytes = [0; GROUP_HEADER_BYTES];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// The header at the start of `sector`, if there is one that is whole and belongs to `epoch`.
    pub(crate) fn decode(sector: &[u8], epoch: u64) -> Option<Self> {
        Self::decode_any(sector).filter(|header| header.epoch == epoch)
    }

    /// The header at the start of `sector`, if there is one that is whole, of whatever epoch.
    pub(crate) fn decode_any(sector: &[u8]) -> Option<Self> {
        let bytes = sector.get(..GROUP_HEADER_BYTES)?;
        let mut get = Get::new(bytes);
        if get.u32()? != GROUP_MAGIC {
            return None;
        }
        let _flags = get.u32()?;
        let header = Self {
            epoch: get.u64()?,
            first_lsn: Lsn(get.u64()?),
            durable_lsn: Lsn(get.u64()?),
            entry_count: get.u32()?,
            payload_bytes: get.u32()?,
            prev_chain: get.u32()?,
            payload_crc: get.u32()?,
        };
        let _reserved = get.take(12)?;
        let whole = get.u32()? == crc32c(&bytes[..GROUP_HEADER_BYTES - 4]);
        let possible = is_entry(header.first_lsn) && header.durable_lsn.0 <= NUMBER_MAX;
        (whole && possible).then_some(header)
    }

    /// The chain value that the next group must name: this header's own CRC, which covers the payload's.
    pub(crate) fn chain(encoded: &[u8; GROUP_HEADER_BYTES]) -> u32 {
        let [.., a, b, c, d] = *encoded;
        u32::from_le_bytes([a, b, c, d])
    }

    /// LSN of the group's last entry; of the one before it, if the group only seals.
    pub(crate) fn last_lsn(&self) -> Lsn {
        Lsn((self.first_lsn.0 + u64::from(self.entry_count)).saturating_sub(1))
    }

    /// What the group takes in the file: header, payload, padding.
    pub(crate) fn padded_bytes(&self) -> u64 {
        padded(GROUP_HEADER_BYTES as u64 + u64::from(self.payload_bytes))
    }
}

/// `bytes` rounded up to whole sectors.
pub(crate) const fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(SECTOR_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupHeader {
        GroupHeader {
            epoch: 0xfeed,
            first_lsn: Lsn(7),
            entry_count: 3,
            payload_bytes: 5000,
            prev_chain: 9,
            durable_lsn: Lsn(6),
            payload_crc: 11,
        }
    }

    #[test]
    fn headers_round_trip() {
        let file = FileHeader { seq: 3, epoch: 0xfeed, first_lsn: Lsn(9), prev_end: 8192, prev_chain: 77 };
        assert_eq!(FileHeader::decode(&file.encode()), Ok(file));
        assert_eq!(GroupHeader::decode(&group().encode(), 0xfeed), Some(group()));
        assert_eq!(group().last_lsn(), Lsn(9));
        assert_eq!(group().padded_bytes(), 8192);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let encoded = group().encode();
        for bit in 0..encoded.len() * 8 {
            let mut flipped = encoded;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&flipped, 0xfeed), None, "bit {bit}");
        }
        let file =
            FileHeader { seq: 3, epoch: 1, first_lsn: Lsn(9), prev_end: 8192, prev_chain: 77 }.encode();
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_group_of_another_epoch_is_not_ours() {
        assert_eq!(GroupHeader::decode(&group().encode(), 1), None);
    }
}
