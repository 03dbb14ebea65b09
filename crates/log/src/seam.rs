//! Signatures of the log's handles, for those who build on it while it is being written. Bodies follow.
#![allow(clippy::unimplemented, unused_variables, missing_docs)]

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use duolog_env::Env;
use duolog_types::{Lsn, Nanos, Offset, PartitionId, TimestampMs};

use crate::{AppendError, Entry, LogConfig, NewBatch, OpenError, Poisoned, ReadError, Table};

/// A cheap handle on the log.
#[derive(Clone)]
pub struct Log(Arc<()>);

/// What recovery found, for the startup lines.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    pub replayed_entries: u64,
    pub replayed_bytes: u64,
    /// Bytes of a torn, never acknowledged tail that were cut off.
    pub torn_bytes: u64,
    pub took: std::time::Duration,
}

/// Counters and gauges for the metrics page.
#[derive(Clone, Debug, Default)]
pub struct LogStats {
    pub durable_lsn: u64,
    pub wal_unchekpointed_bytes: u64,
    pub syncs: u64,
    pub sync_seconds_sum: f64,
    pub wal_bytes: u64,
    pub entries: u64,
    pub checkpoints: u64,
    pub checkpoint_bytes: u64,
    pub queued_bytes: u64,
    pub disk_free_bytes: u64,
    pub disk_full: bool,
}

impl Log {
    /// Recovers the directory and starts the log. `tables` get their snapshots and frames before this returns.
    pub fn open(env: &Env, config: LogConfig, tables: Vec<Arc<dyn Table>>) -> Result<Log, OpenError> {
        unimplemented!()
    }
    pub fn recovery(&self) -> RecoveryReport {
        unimplemented!()
    }
    /// Reserves ids of `count` new partitions and returns the first; they exist once an entry creates them.
    pub fn allocate_partitions(&self, count: u32) -> PartitionId {
        unimplemented!()
    }
    /// Queues an entry (state changes, partitions created and dropped). Call it under the lock that owns the state,
    /// so that the order of frames is the order of changes. A created partition can be had from [`Log::partition`] at once.
    pub fn submit(&self, entry: Entry) -> Result<Lsn, AppendError> {
        unimplemented!()
    }
    pub fn partition(&self, id: PartitionId) -> Option<Partition> {
        unimplemented!()
    }
    /// The newest entry that is on stable storage.
    pub fn durable_lsn(&self) -> Lsn {
        unimplemented!()
    }
    /// Ends when `lsn` is durable. Ready at once (no allocation) if it already is.
    pub fn durable(&self, lsn: Lsn) -> impl Future<Output = Result<(), Poisoned>> + Send + use<> {
        async { unimplemented!() }
    }
    /// Ends when the log is poisoned (never otherwise).
    pub fn until_poisoned(&self) -> impl Future<Output = Poisoned> + Send + use<> {
        async { unimplemented!() }
    }
    pub fn stats(&self) -> LogStats {
        unimplemented!()
    }
    /// Commits one group (only with `threads: false`). Returns whether there was anything to commit.
    pub fn commit(&self) -> Result<bool, Poisoned> {
        unimplemented!()
    }
    /// Makes a checkpoint now (blocking).
    pub fn checkpoint(&self) -> Result<(), Poisoned> {
        unimplemented!()
    }
    /// Commits what is queued, checkpoints, seals the WAL and stops the threads (blocking).
    pub fn close(&self) -> Result<(), Poisoned> {
        unimplemented!()
    }
}

/// A cheap handle on one partition.
#[derive(Clone)]
pub struct Partition(Arc<()>);

/// Where an appended batch stands. It is readable, and may be acknowledged, once `lsn` is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    /// One behind the batch's last offset.
    pub end_offset: Offset,
    pub lsn: Lsn,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct ReadSpec {
    pub from: Offset,
    /// Read below this offset only (high watermark or last stable offset); capped at the high watermark.
    pub up_to: Offset,
    pub max_bytes: usize,
    /// Return the first batch even if it is larger than `max_bytes` (KIP-74).
    pub at_least_one: bool,
}

/// Whole batches as stored, in order; the first contains or follows `from` (gaps are skipped).
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// Runs of whole, concatenated batches.
    pub runs: Vec<Bytes>,
    pub bytes: usize,
    /// Where to go on reading: one behind the last offset returned (or skipped).
    pub next_offset: Offset,
}

/// Either the answer from memory, or the work that has to touch the disk (run it off the async threads).
pub enum Read {
    Ready(Chunk),
    NeedsDisk(ColdRead),
}

/// A read that touches the disk.
pub struct ColdRead(());
impl ColdRead {
    /// Blocking.
    pub fn run(self) -> Result<Chunk, ReadError> {
        unimplemented!()
    }
}

/// A stretch of a partition for retention and `describe`: a segment, or (last) the tail in the WAL.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub base_offset: Offset,
    pub end_offset: Offset,
    pub size_bytes: u64,
    pub max_timestamp: TimestampMs,
    /// When its first batch arrived.
    pub first_arrival: Nanos,
}

impl Partition {
    pub fn id(&self) -> PartitionId {
        unimplemented!()
    }
    /// Takes the next offsets and queues the batch in one step.
    pub fn append(&self, batch: NewBatch) -> Result<Appended, AppendError> {
        unimplemented!()
    }
    /// First offset that may be read (Kafka: log start offset).
    pub fn start(&self) -> Offset {
        unimplemented!()
    }
    /// One behind the last durable offset: what readers may see (Kafka: high watermark).
    pub fn high_watermark(&self) -> Offset {
        unimplemented!()
    }
    /// One behind the last offset taken, durable or not (Kafka: log end offset).
    pub fn end(&self) -> Offset {
        unimplemented!()
    }
    /// Moves the log start (never back, never beyond the end); what lies below is deleted in time.
    pub fn trim(&self, to: Offset) -> Result<Lsn, AppendError> {
        unimplemented!()
    }
    /// Leaves a gap: the next batch gets offset `to` (no-op if the end is already there).
    pub fn skip_to(&self, to: Offset) -> Result<Lsn, AppendError> {
        unimplemented!()
    }
    pub fn read(&self, spec: ReadSpec) -> Result<Read, ReadError> {
        unimplemented!()
    }
    /// The first batch, in offset order, whose largest timestamp is >= `at` and that has an offset >= start: the
    /// whole batch as stored (the caller finds the record in it). May touch the disk: blocking.
    pub fn find_by_timestamp(&self, at: TimestampMs) -> Result<Option<Bytes>, ReadError> {
        unimplemented!()
    }
    /// The batch that holds the largest timestamp of the partition (the first such). May touch the disk: blocking.
    pub fn find_max_timestamp(&self) -> Result<Option<Bytes>, ReadError> {
        unimplemented!()
    }
    /// Oldest first; the last is what isn't checkpointed yet, if anything.
    pub fn extents(&self) -> Vec<Extent> {
        unimplemented!()
    }
    pub fn size_bytes(&self) -> u64 {
        unimplemented!()
    }
    /// Registers `watch` for news of this partition under `token`, until the guard is dropped.
    pub fn watch(&self, watch: &Watch, token: u64) -> WatchGuard {
        unimplemented!()
    }
}

/// Waits for news of any of many partitions, as epoll does for sockets: a partition whose high watermark or log
/// start moved (or that was dropped) puts its token into the ready list once, however much happened; idle partitions cost nothing.
#[derive(Clone)]
pub struct Watch(Arc<()>);

/// Ends a registration when dropped.
pub struct WatchGuard(());

impl Watch {
    pub fn new() -> Self {
        unimplemented!()
    }
    /// Takes the tokens that became ready since the last call.
    pub fn take_ready(&self) -> Vec<u64> {
        unimplemented!()
    }
    /// Bytes that became readable in watched partitions since the watch was made (wraps never): for min_bytes.
    pub fn bytes_seen(&self) -> u64 {
        unimplemented!()
    }
    /// Ends when a token is ready (at once if one is) and was not yet taken.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + '_ {
        async { unimplemented!() }
    }
}
