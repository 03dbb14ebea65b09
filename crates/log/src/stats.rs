//! What the log counts, for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the sync histogram's buckets, microseconds.
pub const SYNC_BUCKETS_MICROS: [u64; 12] =
    [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 51_200, 204_800, 819_200];

/// Counters, written by the WAL's writer and the checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    groups: AtomicU64,
    entries: AtomicU64,
    wal_bytes: AtomicU64,
    sync_nanos: AtomicU64,
    sync_buckets: [AtomicU64; SYNC_BUCKETS_MICROS.len() + 1],
    pub checkpoints: AtomicU64,
    pub checkpoint_bytes: AtomicU64,
    pub checkpoint_failures: AtomicU64,
}

/// A reading of the log's counters and gauges.
#[derive(Clone, Debug, Default)]
pub struct LogStats {
    /// The newest entry on stable storage.
    pub durable_lsn: u64,
    /// Commit groups written (= syncs).
    pub groups: u64,
    /// Entries written.
    pub entries: u64,
    /// Bytes written to the WAL, padding included.
    pub wal_bytes: u64,
    /// Bytes of the WAL that aren't checkpointed.
    pub wal_pending_bytes: u64,
    /// Time spent in writes and syncs of the WAL, seconds.
    pub sync_seconds: f64,
    /// Cumulative counts of syncs at or below each of [`SYNC_BUCKETS_MICROS`]; the last counts all.
    pub sync_buckets: Vec<u64>,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Bytes that checkpoints moved to segments.
    pub checkpoint_bytes: u64,
    /// Checkpoints that found the disk full.
    pub checkpoint_failures: u64,
    /// Bytes queued for the WAL.
    pub queued_bytes: u64,
    /// Bytes of the tail in memory.
    pub tail_bytes: u64,
    /// Bytes of partitions that are held in memory, with what they take beside.
    pub memory_bytes: u64,
    /// Free bytes of the data directory's file system.
    pub disk_free_bytes: u64,
    /// Whether data is refused because of that.
    pub disk_full: bool,
    /// Whether the WAL waits for room: nothing is acknowledged meanwhile, and nothing lost.
    pub wal_waits: bool,
    /// Whether the log has stopped.
    pub poisoned: bool,
}

impl Counters {
    pub(crate) fn wrote_group(&self, bytes: u64, entries: usize, took: Duration) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.wal_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.sync_nanos.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        let micros = took.as_micros() as u64;
        let bucket = SYNC_BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        self.sync_buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts WAL bytes that an earlier run wrote and that no checkpoint has yet.
    pub(crate) fn wrote_before(&self, bytes: u64) {
        self.wal_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn wal_bytes(&self) -> u64 {
        self.wal_bytes.load(Ordering::Relaxed)
    }

    /// The counters; gauges are the caller's.
    pub(crate) fn read(&self) -> LogStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut cumulative = 0;
        let sync_buckets = self
            .sync_buckets
            .iter()
            .map(|bucket| {
                cumulative += get(bucket);
                cumulative
            })
            .collect();
        LogStats {
            groups: get(&self.groups),
            entries: get(&self.entries),
            wal_bytes: get(&self.wal_bytes),
            sync_seconds: get(&self.sync_nanos) as f64 / 1e9,
            sync_buckets,
            checkpoints: get(&self.checkpoints),
            checkpoint_bytes: get(&self.checkpoint_bytes),
            checkpoint_failures: get(&self.checkpoint_failures),
            ..LogStats::default()
        }
    }
}
