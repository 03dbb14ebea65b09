//! What is appended: an entry is one or more frames that become durable together or not at all.

use bytes::Bytes;
use duolog_types::{Nanos, PartitionId, TimestampMs};
use roaring::RoaringTreemap;

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

    /// The end of the records at `offsets`: as [`Partition::delete`](crate::Partition::delete), atomic with the rest of the entry.
    #[must_use]
    pub fn delete(mut self, partition: PartitionId, offsets: RoaringTreemap) -> Self {
        self.frames.push(Frame::Delete { partition, offsets });
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
    Delete { partition: PartitionId, offsets: RoaringTreemap },
}

/// One record to append, which joins the batch of its partition that still waits for the WAL, or begins one.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// The key; null and empty differ.
    pub key: Option<&'a [u8]>,
    /// The value; null (a tombstone) and empty differ.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    /// When it arrived here. In milliseconds, this is the record's timestamp; the batch's arrival is its first
    /// record's.
    pub arrival: Nanos,
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
