//! The 61 bytes in front of the records: reading, writing and checking them.
//!
//! A parsed header is plausible in itself; whether the body is whole and what it holds is for `split`,
//! `verify_crc` and `records` to say.

use duolog_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

use crate::{BatchError, Compression};

/// Size of a batch without records.
pub const HEADER_BYTES: usize = 61;

/// Bytes in front of what the length field counts: base offset and the length field itself.
pub(crate) const LOG_OVERHEAD_BYTES: usize = 12;

/// The smallest value of the length field: a header and no records.
pub(crate) const BATCH_LENGTH_MIN: i32 = (HEADER_BYTES - LOG_OVERHEAD_BYTES) as i32;

/// The only version of the layout that is served.
pub(crate) const MAGIC: i8 = 2;

pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;

pub(crate) const CODEC_MASK: i16 = 0b111;
pub(crate) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
pub(crate) const CONTROL: i16 = 1 << 5;
pub(crate) const DELETE_HORIZON: i16 = 1 << 6;

/// Whose clock a batch's timestamps are of (attribute bit 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's: each record has its own.
    CreateTime,
    /// The broker's: every record has the batch's max timestamp.
    LogAppendTime,
}

/// The header of a record batch, field by field as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (of the first one ever: it may have been removed).
    pub base_offset: Offset,
    /// Bytes behind this field: the batch's size less 12.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub partition_leader_epoch: i32,
    /// Version of the layout: 2.
    pub magic: i8,
    /// CRC-32C over everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and the transactional, control and delete-horizon bits.
    pub attributes: i16,
    /// Offset of the last record, counted from the base offset.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from; the delete horizon if that bit is set (KIP-534).
    pub base_timestamp: TimestampMs,
    /// The largest timestamp of the records.
    pub max_timestamp: TimestampMs,
    /// The idempotent or transactional producer, or -1.
    pub producer_id: ProducerId,
    /// The producer's epoch, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or -1.
    pub base_sequence: i32,
    /// Records in the batch; fewer than `last_offset_delta + 1` where some were removed.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`. The body needn't be there.
    ///
    /// # Errors
    /// Too few bytes, another magic, or fields that no batch can have.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        // The magic stands at the same place in every version: a whole message set of before 2 may be shorter
        // than a header of today, and must not pass for a truncated batch.
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::UnsupportedMagic { magic: magic as i8 });
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Truncated { position: 0, needed: HEADER_BYTES, remaining: bytes.len() });
        };
        let header = BatchHeader {
            base_offset: Offset(i64::from_be_bytes(field(bytes, 0))),
            batch_length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            magic: i8::from_be_bytes(field(bytes, MAGIC_AT)),
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(field(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: TimestampMs(i64::from_be_bytes(field(bytes, 27))),
            max_timestamp: TimestampMs(i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT))),
            producer_id: ProducerId(i64::from_be_bytes(field(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(bytes, 51))),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        };
        header.check()?;
        Ok(header)
    }

    /// Reads the header of `batch`, which must be exactly one batch.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and where the length field and the bytes given disagree.
    pub fn parse_whole(batch: &[u8]) -> Result<BatchHeader, BatchError> {
        let header = Self::parse(batch)?;
        let claimed = header.size_bytes();
        if claimed > batch.len() {
            return Err(BatchError::Truncated { position: 0, needed: claimed, remaining: batch.len() });
        }
        if claimed < batch.len() {
            return Err(BatchError::LengthMismatch { claimed, actual: batch.len() });
        }
        Ok(header)
    }

    fn check(&self) -> Result<(), BatchError> {
        if self.batch_length < BATCH_LENGTH_MIN {
            return Err(BatchError::BatchLengthTooSmall { batch_length: self.batch_length });
        }
        let never_negative = [
            ("base offset", self.base_offset.0),
            ("last offset delta", i64::from(self.last_offset_delta)),
            ("record count", i64::from(self.record_count)),
        ];
        for (field, value) in never_negative {
            if value < 0 {
                return Err(BatchError::NegativeField { field, value });
            }
        }
        let delta = i64::from(self.last_offset_delta);
        if self.base_offset.0.checked_add(delta).is_none() {
            return Err(BatchError::OffsetOverflow { base_offset: self.base_offset.0, delta });
        }
        Ok(())
    }

    /// Size of the whole batch, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        LOG_OVERHEAD_BYTES + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// Offset of the last record, whether or not that record is still there.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// Offset that follows the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// Sequence of the last record; -1 where the batch has none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// Codes that name no codec.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        Compression::from_code((self.attributes & CODEC_MASK) as u8)
    }

    /// Whose clock the timestamps are of.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the batch holds a marker and no data.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the base timestamp is the time from which tombstones may be removed (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }
}

/// The sequence `count` records behind `sequence`. Wraps from `i32::MAX` to 0, as Kafka's
/// `DefaultRecordBatch.incrementSequence` does. Both must not be negative.
#[must_use]
pub fn increment_sequence(sequence: i32, count: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(count);
    let wrapped = if sum > i64::from(i32::MAX) { sum - i64::from(i32::MAX) - 1 } else { sum };
    // Two non-negative i32 add up to at most 2^32 - 2, so what is left after one wrap fits.
    wrapped as i32
}

/// The 61 bytes of `header`, as they stand: no field is computed or checked.
#[must_use]
pub fn encode_header(header: &BatchHeader) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    put(&mut bytes, 0, header.base_offset.0.to_be_bytes());
    put(&mut bytes, 8, header.batch_length.to_be_bytes());
    put(&mut bytes, 12, header.partition_leader_epoch.to_be_bytes());
    put(&mut bytes, MAGIC_AT, header.magic.to_be_bytes());
    put(&mut bytes, CRC_AT, header.crc.to_be_bytes());
    put(&mut bytes, ATTRIBUTES_AT, header.attributes.to_be_bytes());
    put(&mut bytes, 23, header.last_offset_delta.to_be_bytes());
    put(&mut bytes, 27, header.base_timestamp.0.to_be_bytes());
    put(&mut bytes, MAX_TIMESTAMP_AT, header.max_timestamp.0.to_be_bytes());
    put(&mut bytes, 43, header.producer_id.0.to_be_bytes());
    put(&mut bytes, 51, header.producer_epoch.0.to_be_bytes());
    put(&mut bytes, 53, header.base_sequence.to_be_bytes());
    put(&mut bytes, 57, header.record_count.to_be_bytes());
    bytes
}

/// Compares the stored checksum of `batch` (exactly one) with that of its bytes.
///
/// # Errors
/// A mismatch, and whatever [`BatchHeader::parse_whole`] refuses.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    let stored = BatchHeader::parse_whole(batch)?.crc;
    let computed = crc_of(batch);
    if stored == computed { Ok(()) } else { Err(BatchError::CrcMismatch { stored, computed }) }
}

/// The checksum that `batch` should carry.
pub(crate) fn crc_of(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[ATTRIBUTES_AT..])
}

/// Writes the checksum of `batch` into its header; the last step of every change behind the checksum.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = crc_of(batch);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Copies a fixed-width field out of a header; offsets and widths are constants within the 61 bytes.
fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn put<const N: usize>(bytes: &mut [u8; HEADER_BYTES], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plausible() -> BatchHeader {
        BatchHeader {
            base_offset: Offset(7),
            batch_length: 49,
            partition_leader_epoch: 3,
            magic: 2,
            crc: 0xdead_beef,
            attributes: 0b101_1100,
            last_offset_delta: 4,
            base_timestamp: TimestampMs(1000),
            max_timestamp: TimestampMs(1004),
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(2),
            base_sequence: 11,
            record_count: 5,
        }
    }

    #[test]
    fn header_reads_back_as_written() {
        let header = plausible();
        assert_eq!(BatchHeader::parse(&encode_header(&header)), Ok(header));
        assert_eq!(header.last_offset(), Offset(11));
        assert_eq!(header.next_offset(), Offset(12));
        assert_eq!(header.last_sequence(), 15);
        assert_eq!(header.size_bytes(), 61);
        assert_eq!(header.compression(), Ok(Compression::Zstd));
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        assert!(header.is_transactional() && !header.is_control() && header.has_delete_horizon());
    }

    #[test]
    fn implausible_headers_are_refused_by_name() {
        let refused = |change: fn(&mut BatchHeader)| {
            let mut header = plausible();
            change(&mut header);
            BatchHeader::parse(&encode_header(&header)).expect_err("must be refused")
        };
        assert_eq!(refused(|h| h.magic = 1), BatchError::UnsupportedMagic { magic: 1 });
        assert_eq!(refused(|h| h.batch_length = 48), BatchError::BatchLengthTooSmall { batch_length: 48 });
        assert_eq!(
            refused(|h| h.batch_length = i32::MIN),
            BatchError::BatchLengthTooSmall { batch_length: i32::MIN }
        );
        assert_eq!(
            refused(|h| h.last_offset_delta = -1),
            BatchError::NegativeField { field: "last offset delta", value: -1 }
        );
        assert_eq!(
            refused(|h| h.record_count = -2),
            BatchError::NegativeField { field: "record count", value: -2 }
        );
        assert_eq!(
            refused(|h| h.base_offset = Offset(i64::MAX)),
            BatchError::OffsetOverflow { base_offset: i64::MAX, delta: 4 }
        );
    }

    #[test]
    fn old_message_set_is_named_even_when_shorter_than_a_header() {
        let mut bytes = [0; 34];
        bytes[MAGIC_AT] = 1;
        assert_eq!(BatchHeader::parse(&bytes), Err(BatchError::UnsupportedMagic { magic: 1 }));
        assert_eq!(
            BatchHeader::parse(&bytes[..16]),
            Err(BatchError::Truncated { position: 0, needed: 61, remaining: 16 })
        );
    }

    #[test]
    fn sequence_wraps_from_max_to_zero() {
        for (sequence, count, want) in [
            (0, 0, 0),
            (5, 4, 9),
            (i32::MAX, 0, i32::MAX),
            (i32::MAX, 1, 0),
            (i32::MAX - 1, 3, 1),
            (i32::MAX, i32::MAX, i32::MAX - 1),
        ] {
            assert_eq!(increment_sequence(sequence, count), want, "{sequence} + {count}");
        }
        assert_eq!(BatchHeader { base_sequence: -1, ..plausible() }.last_sequence(), -1);
    }
}
