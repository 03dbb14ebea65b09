//! State as a projection: a table in memory whose every change is a frame in the WAL.
//!
//! The log stores the frames, hands them back at recovery, and at a checkpoint writes the shards that changed.
//! It never looks into a frame's or a snapshot's bytes.

use bytes::Bytes;
use duolog_types::{Lsn, Nanos, Offset, PartitionId};
use roaring::RoaringTreemap;

/// A table's number in the WAL and in snapshots: part of the disk format, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u16);

/// One shard's state at a checkpoint.
#[derive(Clone, Debug)]
pub struct ShardSnapshot {
    /// The newest entry whose change the bytes include; later ones are applied on top at recovery.
    pub as_of: Lsn,
    /// The state, in the table's own versioned encoding. Empty: the shard is no more, and isn't restored again.
    pub bytes: Bytes,
}

/// A projection of the log, owned by a crate above it.
///
/// `restore`, `apply`, `apply_batch` and `apply_delete` are called only inside [`Log::open`](crate::Log::open), in order, by one
/// thread; `snapshot` at any time by the checkpoint.
pub trait Table: Send + Sync {
    /// The table's number.
    fn id(&self) -> TableId;

    /// Takes over what an earlier [`snapshot`](Table::snapshot) of the shard gave.
    ///
    /// # Errors
    /// What is wrong with the bytes, in words; the log refuses to open.
    fn restore(&self, shard: u32, snapshot: &[u8]) -> Result<(), String>;

    /// Applies a frame that was appended with [`Entry::state`](crate::Entry::state). Frames that the shard's
    /// snapshot already includes are not handed in.
    ///
    /// # Errors
    /// What is wrong with the bytes, in words; the log refuses to open.
    fn apply(&self, shard: u32, frame: &[u8], lsn: Lsn) -> Result<(), String>;

    /// Sees a record batch that isn't checkpointed yet (`batch` is the whole batch, base offset patched; `arrival` is when it came). Called
    /// for each such batch, also for those that a snapshot of this table may already include: compare offsets.
    fn apply_batch(&self, partition: PartitionId, base_offset: Offset, arrival: Nanos, batch: &[u8]) {
        let _ = (partition, base_offset, arrival, batch);
    }

    /// As [`apply_batch`](Table::apply_batch), for a batch that was made of records appended one by one.
    fn apply_single_records(
        &self,
        partition: PartitionId,
        base_offset: Offset,
        arrival: Nanos,
        batch: &[u8],
    ) {
        self.apply_batch(partition, base_offset, arrival, batch);
    }

    /// Sees a delete that isn't checkpointed yet, in the order of entries with batches and frames. Like
    /// [`apply_batch`](Table::apply_batch) also for those that a snapshot of this table may already include. A record
    /// that joined a waiting batch comes with that batch, and thus perhaps before frames that were queued before it.
    fn apply_delete(&self, partition: PartitionId, offsets: &RoaringTreemap) {
        let _ = (partition, offsets);
    }

    /// The shard that changes with every batch appended to `partition`, if this table keeps such state.
    fn shard_of(&self, partition: PartitionId) -> Option<u32> {
        let _ = partition;
        None
    }

    /// The shard's state now. Called for shards that changed since their last snapshot.
    fn snapshot(&self, shard: u32) -> ShardSnapshot;

    /// Shards that changed since their last snapshot, of which the log doesn't know by [`shard_of`](Table::shard_of) or
    /// by a frame: asked once at each checkpoint, behind whatever moved to segments. Their snapshots may be taken here,
    /// all at one moment, and handed out by [`snapshot`](Table::snapshot).
    fn changed_shards(&self) -> Vec<u32> {
        Vec::new()
    }

    /// The snapshots of the shards last asked for are in force. If this isn't called before the next
    /// [`changed_shards`](Table::changed_shards), that checkpoint failed, and they have to be named again.
    fn checkpointed(&self) {}
}
