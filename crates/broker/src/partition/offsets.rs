//! Finding offsets: by name (earliest, latest), by time, by leader epoch; and deleting up to one.

use duolog_log::{AppendError, ReadError};
use duolog_types::{LeaderEpoch, Lsn, Offset, TimestampMs};

/// Which offset is wanted (Kafka: ListOffsets' timestamp field).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// -2: the log start offset.
    Earliest,
    /// -1: the high watermark.
    Latest,
    /// -1 under `read_committed`: the last stable offset.
    LatestStable,
    /// -3: the record with the largest timestamp.
    MaxTimestamp,
    /// -4: the first offset on this machine: the log start offset.
    EarliestLocal,
    /// -5: the last offset in tiered storage: none.
    LatestTiered,
    /// -6: the first offset that waits for upload: none.
    EarliestPendingUpload,
    /// The first record that is at least as young.
    Timestamp(TimestampMs),
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset.
    pub offset: Offset,
    /// The record's timestamp, if a record was looked for.
    pub timestamp: Option<TimestampMs>,
    /// The leader epoch of that offset.
    pub leader_epoch: LeaderEpoch,
}

/// Why no offset could be looked for. (That there is none is no error.)
#[derive(Debug, thiserror::Error)]
pub enum OffsetError {
    /// `UNKNOWN_TOPIC_OR_PARTITION`: the topic was deleted meanwhile.
    #[error("the partition was deleted")]
    Deleted,
    /// `KAFKA_STORAGE_ERROR`: stored bytes are damaged or can't be read.
    #[error(transparent)]
    Storage(ReadError),
    /// `CORRUPT_MESSAGE`: a stored batch whose records can't be read (its client sent it so).
    #[error("the records of the batch at offset {base_offset} can't be read: {detail}")]
    Records {
        /// Which batch.
        base_offset: Offset,
        /// What is wrong.
        detail: String,
    },
}

/// Why a request's view of the leader doesn't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// `UNKNOWN_LEADER_EPOCH`: the client knows a newer leader than there is.
    #[error("leader epoch {} is newer than {}", got.0, current.0)]
    Unknown {
        /// The client's.
        got: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// `FENCED_LEADER_EPOCH`: the client's is older.
    #[error("leader epoch {} is older than {}", got.0, current.0)]
    Fenced {
        /// The client's.
        got: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
}

/// What deleting records did. The reply waits for `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The log start offset from now on (Kafka: low watermark).
    pub log_start: Offset,
    /// The reply waits for this.
    pub lsn: Lsn,
}

/// Why no records were deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// `OFFSET_OUT_OF_RANGE`.
    #[error("offset {to} is outside of the log: it begins at {log_start} and ends at {high_watermark}")]
    OutOfRange {
        /// The offset asked for.
        to: Offset,
        /// The log start offset.
        log_start: Offset,
        /// The high watermark.
        high_watermark: Offset,
    },
    /// `KAFKA_STORAGE_ERROR`; [`AppendError::Dropped`] is `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error(transparent)]
    Log(#[from] AppendError),
}
