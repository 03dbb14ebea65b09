//! Why an operation of the log failed, and what became of the data.

use std::io;
use std::path::PathBuf;

use duolog_types::{Lsn, Offset, PartitionId};

/// Why the log couldn't be opened. Nothing was changed on disk but what recovery may always do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error(
        "data directory {dir} is in use by another process; stop it first, or choose another data directory"
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// A setting makes no sense.
    #[error("{setting}: {problem}")]
    BadConfig {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// A file was written by a newer version.
    #[error(
        "{path} has format version {found}, and this binary knows versions up to {known}; start a newer duolog"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// Data that was acknowledged is damaged. Nothing is cut off on its own.
    #[error("{path} is damaged at byte {position} (entries after LSN {after}): {detail}. {way_out}")]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it, bytes from its start.
        position: u64,
        /// The last entry that is whole.
        after: Lsn,
        /// What was seen.
        detail: String,
        /// How to start nevertheless, with that range given up.
        way_out: &'static str,
    },
    /// The operating system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A table could not read back its own state.
    #[error("state table {table}, shard {shard}: {detail}")]
    Table {
        /// The table's number.
        table: u16,
        /// The shard.
        shard: u32,
        /// What it said.
        detail: String,
    },
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}

/// The log has stopped: a write or a sync failed, and nothing may be written until the disk was read again.
/// What was queued and not yet durable may or may not turn up after a restart.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the log stopped after a failed {action}: {detail}; restart to recover")]
pub struct Poisoned {
    /// What failed.
    pub action: &'static str,
    /// How.
    pub detail: String,
}

/// Why an entry wasn't queued. It is certainly absent from the log, now and after a restart.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log has stopped.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The file system is nearly full; data is refused so that acks, commits and deletes can go on.
    #[error("disk nearly full: {free_bytes} bytes free, {needed_bytes} needed for the next checkpoint")]
    DiskFull {
        /// What is free.
        free_bytes: u64,
        /// What must stay free.
        needed_bytes: u64,
    },
    /// More bytes wait for the WAL than its queue holds.
    #[error("{queued_bytes} bytes wait for the log, the limit is {limit_bytes}")]
    Overloaded {
        /// What waits.
        queued_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The partition's records are in memory only, and there is no more for such partitions.
    #[error("{used_bytes} of {limit_bytes} bytes of memory are used by what is stored in memory")]
    MemoryFull {
        /// What is used.
        used_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The entry can't fit into a WAL file.
    #[error("an entry of {bytes} bytes is larger than the {limit_bytes} bytes that fit into a WAL file")]
    TooLarge {
        /// The entry's size.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The partition's offsets would go beyond the last one that there is.
    #[error("the partition can't end at offset {end}: the highest is {}", Offset::END_MAX)]
    OffsetsExhausted {
        /// Where it would end.
        end: Offset,
    },
    /// The partition was dropped.
    #[error("partition {0} was deleted")]
    Dropped(PartitionId),
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset isn't in the log.
    #[error("offset {from} is outside of the log: it begins at {start} and ends at {end}")]
    OutOfRange {
        /// The offset asked for.
        from: Offset,
        /// The log start offset.
        start: Offset,
        /// One behind the last readable record.
        end: Offset,
    },
    /// Stored bytes are damaged. The rest of the partition is still served.
    #[error("{path} is damaged at byte {position}: {detail}")]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What was seen.
        detail: String,
    },
    /// A batch in memory, some of whose records are deleted, can't be taken apart.
    #[error("the batch at {base} of partition {partition} can't be decoded: {detail}")]
    Undecodable {
        /// The partition.
        partition: PartitionId,
        /// The batch's first offset.
        base: Offset,
        /// What is wrong.
        detail: String,
    },
    /// The operating system refused.
    #[error("reading {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The partition was dropped.
    #[error("partition {0} was deleted")]
    Dropped(PartitionId),
}
