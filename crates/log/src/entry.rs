//! What is appended: an entry is one or more frames that become durable together or not at all.

use bytes::Bytes;
use duolog_types::{Nanos, PartitionId, TimestampMs};

use crate::table::TableId;

/// Frames that become durable together. Built by whoever owns the state, queued by [`Log::submit`].
///
/// [`Log::submit`]: crate::Log::submit
#[derive(Debug, Default)]
pub struct Entry {
    pub(crate) frames: Vec<Frame>,
}

impl Entry {
    /// An entry without frames.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A change to a shard of a state table, in the table's own encoding.
    #[must_use]
    pub fn state(mut self, table: TableId, shard: u32, change: impl Into<Bytes>) -> Self {
        self.frames.push(Frame::State { table, shard, change: change.into() });
        self
    }

    /// A new, empty partition. Its id comes from [`Log::allocate_partitions`](crate::Log::allocate_partitions).
    #[must_use]
    pub fn create_partition(mut self, partition: PartitionId) -> Self {
        self.frames.push(Frame::Create { partition });
        self
    }

    /// The end of a partition: its data is deleted.
    #[must_use]
    pub fn drop_partition(mut self, partition: PartitionId) -> Self {
        self.frames.push(Frame::Drop { partition });
        self
    }

    /// Whether the entry has no frames.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// One frame of an entry that the log's owner builds. Batches, trims and skips go through [`Partition`].
///
/// [`Partition`]: crate::Partition
#[derive(Debug)]
pub(crate) enum Frame {
    State { table: TableId, shard: u32, change: Bytes },
    Create { partition: PartitionId },
    Drop { partition: PartitionId },
}

/// A record batch to append, already judged by the broker.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// The whole record batch v2. The log writes base offset and leader epoch (both outside the CRC) into its
    /// own copy; nothing else is touched.
    pub bytes: Bytes,
    /// How many offsets the batch takes: its last offset delta + 1.
    pub offset_count: u32,
    /// The batch's largest record timestamp.
    pub max_timestamp: TimestampMs,
    /// When it arrived here.
    pub arrival: Nanos,
}
