//! Finding offsets: by name (earliest, latest), by time, by leader epoch; and deleting up to one.

use std::ops::Range;

use bytes::Bytes;
use duolog_log::{AppendError, ReadError};
use duolog_record::{BatchError, BatchHeader, DecodeBudget, record_keys_and_timestamps};
use duolog_types::{LeaderEpoch, Lsn, Offset, TimestampMs};

use super::{LEADER_EPOCH, Partition};

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

impl Partition {
    /// The offset that `query` names; `None` if there is none, which is no error.
    ///
    /// # Errors
    /// The partition is gone, or stored bytes can't be read.
    pub async fn find_offset(&self, query: OffsetQuery) -> Result<Option<FoundOffset>, OffsetError> {
        let at = |offset| Ok(Some(FoundOffset { offset, timestamp: None, leader_epoch: LEADER_EPOCH }));
        match query {
            OffsetQuery::Earliest | OffsetQuery::EarliestLocal => at(self.log_start()),
            OffsetQuery::Latest => at(self.high_watermark()),
            OffsetQuery::LatestStable => at(self.last_stable_offset()),
            OffsetQuery::LatestTiered | OffsetQuery::EarliestPendingUpload => Ok(None),
            OffsetQuery::MaxTimestamp => {
                let log = self.log.clone();
                self.find_record(None, move || log.find_max_timestamp()).await
            }
            OffsetQuery::Timestamp(wanted) => {
                let log = self.log.clone();
                self.find_record(Some(wanted), move || log.find_by_timestamp(wanted)).await
            }
        }
    }

    /// Looks for a batch and, in it, for the first record with a timestamp of at least `wanted`, or of the
    /// largest. Both on a thread that may block.
    async fn find_record(
        &self,
        wanted: Option<TimestampMs>,
        find_batch: impl FnOnce() -> Result<Option<Bytes>, ReadError> + Send + 'static,
    ) -> Result<Option<FoundOffset>, OffsetError> {
        let visible = self.log_start()..self.high_watermark();
        let search = move || match find_batch().map_err(offset_error)? {
            Some(batch) => record_at(&batch, wanted, &visible),
            None => Ok(None),
        };
        super::blocking(search).await
    }

    /// The leader epoch of `requested` or the one before it, and where that one ended (Kafka:
    /// OffsetForLeaderEpoch). There has been one epoch only, which ends at the high watermark.
    #[must_use]
    pub fn end_of_epoch(&self, requested: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        (requested == LEADER_EPOCH).then(|| (LEADER_EPOCH, self.high_watermark()))
    }

    /// Checks a client's view of the leader (Kafka: `current_leader_epoch`; -1 is `None`).
    ///
    /// # Errors
    /// It is newer or older than ours.
    pub fn check_leader_epoch(&self, got: Option<LeaderEpoch>) -> Result<(), EpochError> {
        let current = LEADER_EPOCH;
        match got {
            Some(got) if got > current => Err(EpochError::Unknown { got, current }),
            Some(got) if got < current => Err(EpochError::Fenced { got, current }),
            _ => Ok(()),
        }
    }

    /// Deletes records below `to`; `None` is the high watermark (Kafka: -1). Producers are remembered.
    ///
    /// # Errors
    /// See [`DeleteRecordsError`].
    pub fn delete_records(&self, to: Option<Offset>) -> Result<Deleted, DeleteRecordsError> {
        let (log_start, high_watermark) = (self.log.start(), self.log.high_watermark());
        let to = to.unwrap_or(high_watermark);
        if to < Offset::ZERO || to > high_watermark {
            return Err(DeleteRecordsError::OutOfRange { to, log_start, high_watermark });
        }
        let lsn = self.log.trim(to)?;
        Ok(Deleted { log_start: log_start.max(to), lsn })
    }
}

/// How much the records of a stored batch may decompress to while one of them is looked for.
const DECODE: DecodeBudget = DecodeBudget { max_bytes: 64 << 20, floor_bytes: 16 << 20, ratio: 200 };

/// The first visible record of `batch` with a timestamp of at least `wanted`, or of the batch's largest.
///
/// The log found the batch by the largest timestamp of its header. Should no record have it (a producer can
/// write into its header what it likes), the first visible offset is the answer: a reader that starts there
/// misses nothing.
fn record_at(
    batch: &Bytes,
    wanted: Option<TimestampMs>,
    visible: &Range<Offset>,
) -> Result<Option<FoundOffset>, OffsetError> {
    let unreadable =
        |base_offset, error: BatchError| OffsetError::Records { base_offset, detail: error.to_string() };
    let header = BatchHeader::parse(batch).map_err(|error| unreadable(visible.start, error))?;
    let wanted = wanted.unwrap_or(header.max_timestamp);
    let found = |offset, timestamp| {
        Ok(Some(FoundOffset { offset, timestamp: Some(timestamp), leader_epoch: LEADER_EPOCH }))
    };
    let records =
        record_keys_and_timestamps(batch, DECODE).map_err(|error| unreadable(header.base_offset, error))?;
    for record in records {
        let record = record.map_err(|error| unreadable(header.base_offset, error))?;
        if record.timestamp >= wanted && visible.contains(&record.offset) {
            return found(record.offset, record.timestamp);
        }
    }
    let first = header.base_offset.max(visible.start);
    if visible.contains(&first) { found(first, header.max_timestamp) } else { Ok(None) }
}

fn offset_error(error: ReadError) -> OffsetError {
    match error {
        ReadError::Dropped(_) => OffsetError::Deleted,
        other => OffsetError::Storage(other),
    }
}
