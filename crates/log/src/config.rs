//! What the log lets its operator choose. The server's configuration maps onto this one to one.

use std::path::PathBuf;
use std::time::Duration;

/// What an acknowledgement of the log means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On stable storage: a power cut loses nothing that was acknowledged.
    Sync,
    /// In the operating system's cache: survives the process, not the machine. Never the default.
    Os,
}

/// What to do about damage below the acknowledged end of the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamagePolicy {
    /// Refuse to open, and say where the damage is.
    Refuse,
    /// Lose the damaged range, keep the rest, and say so in the log. Only ever at an operator's word.
    GiveUp,
}

/// Settings of a log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The data directory: `wal/`, `segments/`, `snapshots/`, `MANIFEST-*` and `LOCK` live in it.
    pub dir: PathBuf,
    /// What "acknowledged" means.
    pub durability: Durability,
    /// Size of a WAL file, bytes; a multiple of 4 KiB and at least 64 KiB. Also bounds one entry.
    pub wal_file_bytes: u64,
    /// A checkpoint begins when so many WAL bytes aren't checkpointed yet.
    pub checkpoint_bytes: u64,
    /// A checkpoint begins when the oldest WAL byte that isn't checkpointed is this old.
    pub checkpoint_age: Duration,
    /// Memory for the newest WAL groups, from which readers at the tail are served, bytes.
    pub tail_bytes: u64,
    /// Memory for partitions that are [held in it](crate::Partition::hold_in_memory), bytes.
    pub memory_bytes: u64,
    /// Memory for segment blocks read from disk, bytes.
    pub block_cache_bytes: u64,
    /// How many segment files are held open.
    pub max_open_files: usize,
    /// What the checkpoint may write a second, so that it doesn't move the WAL's p99; 0 is unlimited.
    pub background_bytes_per_second: u64,
    /// Bytes that may be queued for the WAL before appends are refused as [`AppendError::Overloaded`]; what is no data
    /// isn't, unless an eighth of it waits for room on a full disk.
    ///
    /// [`AppendError::Overloaded`]: crate::AppendError::Overloaded
    pub queue_bytes: u64,
    /// A segment is sealed when it reaches this size, unless its partition says otherwise, bytes.
    pub segment_bytes: u64,
    /// What to do about damage below the acknowledged end.
    pub damage: DamagePolicy,
    /// Whether the log runs its own threads (WAL writer, checkpoints). Without them the owner calls
    /// [`Log::commit`] and [`Log::checkpoint`], as the crash enumerator does.
    ///
    /// [`Log::commit`]: crate::Log::commit
    /// [`Log::checkpoint`]: crate::Log::checkpoint
    pub threads: bool,
    /// Whether threads that append may commit (see [`Log::commit_queued`]). Not where one thread serves everybody: a
    /// disk that stalls would stall them all.
    ///
    /// [`Log::commit_queued`]: crate::Log::commit_queued
    pub callers_commit: bool,
}

impl LogConfig {
    /// The defaults for a data directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::Sync,
            wal_file_bytes: 256 << 20,
            checkpoint_bytes: 1 << 30,
            checkpoint_age: Duration::from_secs(60),
            tail_bytes: 256 << 20,
            memory_bytes: 1 << 30,
            block_cache_bytes: 128 << 20,
            max_open_files: 512,
            background_bytes_per_second: 256 << 20,
            queue_bytes: 256 << 20,
            segment_bytes: 1 << 30,
            damage: DamagePolicy::Refuse,
            threads: true,
            callers_commit: true,
        }
    }
}
