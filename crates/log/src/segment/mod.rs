//! Segments: what was checkpointed of one partition, immutable behind the length that the manifest names.
//!
//! ```text
//! <base>.seg  [ header 64 B | block | block | … ]
//! block       [ header 64 B | table: 32 B a batch | batches, exactly as served ]
//! <base>.idx  [ header 64 B | record 40 B a block ]         can be lost: it is rebuilt from the block headers
//! ```
//!
//! Bytes behind the manifest's length are leftovers of a checkpoint that didn't finish; the next one overwrites them.

pub(crate) mod layout;
pub(crate) mod store;
pub(crate) mod writer;

use duolog_types::{Nanos, Offset, TimestampMs};

/// What the catalogue of segments says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    /// First offset; names the file.
    pub base: Offset,
    /// One behind the last offset.
    pub end: Offset,
    /// Bytes of the file that count.
    pub file_bytes: u64,
    /// Bytes of the batches in it.
    pub data_bytes: u64,
    /// Blocks in it: as many records of the index count.
    pub blocks: u32,
    pub max_timestamp: TimestampMs,
    /// When its first batch arrived.
    pub first_arrival: Nanos,
}
