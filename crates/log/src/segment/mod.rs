//! Segments: what was checkpointed of one partition, immutable behind the length that the manifest names.
//!
//! ```text
//! <base>.seg, or <base>.r<revision>.seg once rewritten without what is dead
//!             [ header 64 B | block | block | … ]
//! block       [ header 64 B | table: 32 B a batch | batches, exactly as served ]
//! <base>.idx  [ header 64 B | record 40 B a block ]         can be lost: it is rebuilt from the block headers
//! ```
//!
//! Bytes behind the manifest's length are leftovers of a checkpoint that didn't finish; the next one overwrites them.

pub(crate) mod layout;
pub(crate) mod store;
pub(crate) mod writer;

use duolog_types::{Nanos, Offset, PartitionId, TimestampMs};

/// Names a segment's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub partition: PartitionId,
    pub base: Offset,
    /// How often it was rewritten without what was dead.
    pub revision: u32,
}

/// What the catalogue of segments says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    /// First offset; names the file.
    pub base: Offset,
    /// How often it was rewritten; names the file too.
    pub revision: u32,
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
    /// Dead offsets in its range whose records it doesn't hold.
    pub reclaimed: u64,
}

impl SegmentMeta {
    pub(crate) fn name(&self, partition: PartitionId) -> SegmentName {
        SegmentName { partition, base: self.base, revision: self.revision }
    }

    /// Offsets that may be in its batches.
    pub(crate) fn held(&self) -> u64 {
        ((self.end.0 - self.base.0).max(0) as u64).saturating_sub(self.reclaimed)
    }

    /// The bytes of its batches that are alive, by the share of dead ones among the offsets that it holds.
    pub(crate) fn live_bytes(&self, dead_offsets: u64) -> u64 {
        let held = self.held();
        let dead = dead_offsets.saturating_sub(self.reclaimed).min(held);
        match (held, dead) {
            (0, _) | (_, 0) => self.data_bytes,
            _ => (u128::from(self.data_bytes) * u128::from(held - dead) / u128::from(held)) as u64,
        }
    }
}
