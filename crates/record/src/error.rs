//! What can be wrong with a batch. Every variant carries the numbers that disagree.
//!
//! Nothing here says which protocol error a client gets for it: the doors own that table.

use crate::Compression;

/// Why bytes are not a usable record batch, or why a batch can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch (or its header) does.
    #[error("batch at byte {position} needs {needed} bytes, {remaining} remain")]
    Truncated {
        /// Where the batch begins in the bytes that were given.
        position: usize,
        /// Bytes that it claims, or that a header needs.
        needed: usize,
        /// Bytes from `position` to the end.
        remaining: usize,
    },
    /// A batch was given with bytes that are not its own behind it.
    #[error("batch claims {claimed} bytes, {actual} were given")]
    LengthMismatch {
        /// Size by the batch's own length field.
        claimed: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// A message set of before Kafka 0.11, or no batch at all.
    #[error("magic {magic} is not supported, only 2 is")]
    UnsupportedMagic {
        /// The magic byte found.
        magic: i8,
    },
    /// The length field is smaller than the rest of a header.
    #[error("batch length {batch_length} is below the smallest possible, 49")]
    BatchLengthTooSmall {
        /// The length field.
        batch_length: i32,
    },
    /// A field that can only be zero or more is negative.
    #[error("{field} is negative: {value}")]
    NegativeField {
        /// Kafka's name of the field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// The last offset doesn't fit in 64 bits, or a range of offsets doesn't fit in one batch.
    #[error("offsets {base_offset} + {delta} do not fit in a batch")]
    OffsetOverflow {
        /// The batch's base offset.
        base_offset: i64,
        /// What was to be added to it.
        delta: i64,
    },
    /// The checksum doesn't match.
    #[error("crc {computed:#010x} does not match the stored {stored:#010x}")]
    CrcMismatch {
        /// As in the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The codec bits name no codec.
    #[error("compression code {code} is unknown")]
    UnknownCompression {
        /// The three codec bits.
        code: u8,
    },
    /// The records don't decompress.
    #[error("malformed {codec} data: {reason}")]
    MalformedCompression {
        /// The codec named by the attributes.
        codec: Compression,
        /// The codec's own words.
        reason: String,
    },
    /// The records would decompress to more than the budget.
    #[error("records decompress to more than {limit} bytes")]
    DecompressionTooLarge {
        /// The budget for this batch.
        limit: usize,
    },
    /// A codec refused to compress.
    #[error("{codec} compression failed: {reason}")]
    CompressionFailed {
        /// The codec asked for.
        codec: Compression,
        /// The codec's own words.
        reason: String,
    },
    /// A variable-length integer runs on for too long or overflows.
    #[error("malformed variable-length integer at byte {position} of the records")]
    MalformedVarint {
        /// Where it begins in the (decompressed) records.
        position: usize,
    },
    /// A record, or a field in it, ends behind its container.
    #[error("record data at byte {position} needs {needed} bytes, {remaining} remain")]
    RecordTruncated {
        /// Where the data begins in the (decompressed) records.
        position: usize,
        /// Bytes that it claims.
        needed: usize,
        /// Bytes that its container still has.
        remaining: usize,
    },
    /// A length or count in a record is negative where it can't be.
    #[error("{field} at byte {position} of the records is {value}")]
    BadRecordLength {
        /// Which length.
        field: &'static str,
        /// Where it stands in the (decompressed) records.
        position: usize,
        /// What it says.
        value: i64,
    },
    /// A record is longer than its fields.
    #[error("record at byte {position} has {bytes} bytes behind its last field")]
    RecordTrailingBytes {
        /// Where the record begins in the (decompressed) records.
        position: usize,
        /// How many bytes are left over.
        bytes: usize,
    },
    /// The header counts more records than there are.
    #[error("batch counts {counted} records and holds {found}")]
    MissingRecords {
        /// The header's count.
        counted: i32,
        /// Whole records found.
        found: i32,
    },
    /// Bytes remain behind the last counted record.
    #[error("{bytes} bytes remain behind the last of {counted} records")]
    TrailingBytes {
        /// The header's count.
        counted: i32,
        /// How many bytes are left over.
        bytes: usize,
    },
    /// A record's offset is outside its batch, or not above the one before it.
    #[error("offset delta {delta} is not within {min}..={max}")]
    BadOffsetDelta {
        /// The record's delta.
        delta: i64,
        /// Lowest that was possible here.
        min: i64,
        /// The batch's last offset delta.
        max: i64,
    },
    /// A record's timestamp doesn't fit in 64 bits.
    #[error("timestamp {base_timestamp} + {delta} overflows")]
    TimestampOverflow {
        /// The batch's base timestamp.
        base_timestamp: i64,
        /// The record's delta.
        delta: i64,
    },
    /// A record has so many headers that their table would break the budget.
    #[error("a record has {count} headers, at most {limit} are allowed here")]
    TooManyHeaders {
        /// The record's count.
        count: usize,
        /// How many fit in the budget.
        limit: usize,
    },
    /// A batch that is being made outgrew the 31 bits of its length or count fields.
    #[error("a batch of {size_bytes} bytes and {record_count} records is too large")]
    BatchTooLarge {
        /// Bytes so far.
        size_bytes: usize,
        /// Records so far.
        record_count: usize,
    },
    /// A control record's key or value is not a transaction marker.
    #[error("control record is not a transaction marker: type {kind}, version {version}")]
    UnknownControlRecord {
        /// The type in its key; -1 when there is none.
        kind: i16,
        /// The version of its key or value.
        version: i16,
    },
}
