//! Finding offsets: by name (earliest, latest), by time, by leader epoch; and deleting up to one.

use std::ops::Range;

use bytes::Bytes;
use duolog_log::{AppendError, Read, ReadError, ReadSpec};
use duolog_record::{BatchError, BatchHeader, DecodeBudget, RecordKey, record_keys_and_timestamps, split};
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
            OffsetQuery::MaxTimestamp => self.search(largest).await,
            OffsetQuery::Timestamp(wanted) => {
                self.search(move |log, visible| first_since(log, visible, wanted)).await
            }
        }
    }

    /// Searches what is visible now, on a thread that may block.
    async fn search(
        &self,
        search: impl FnOnce(&duolog_log::Partition, &Range<Offset>) -> Result<Option<FoundOffset>, OffsetError>
        + Send
        + 'static,
    ) -> Result<Option<FoundOffset>, OffsetError> {
        let log = self.log.clone();
        let visible = self.log_start()..self.high_watermark();
        super::blocking(move || search(&log, &visible)).await
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
        let lsn = match self.stream() {
            // Its index goes with it.
            Some(core) => core.trim(to)?,
            None => self.log.trim(to)?,
        };
        Ok(Deleted { log_start: log_start.max(to), lsn })
    }
}

/// How much the records of a stored batch may decompress to while one of them is looked for.
const DECODE: DecodeBudget = DecodeBudget { max_bytes: 64 << 20, floor_bytes: 16 << 20, ratio: 200 };

/// How much is read at a time where batches are looked through one by one.
const SCAN_BYTES: usize = 1 << 20;

/// The first visible record with a timestamp of at least `wanted`.
///
/// The log finds the first batch whose *header* promises one. The record may be below the log start, or not be
/// there at all (a producer can write into its header what it likes): then the batches behind are looked through.
fn first_since(
    log: &duolog_log::Partition,
    visible: &Range<Offset>,
    wanted: TimestampMs,
) -> Result<Option<FoundOffset>, OffsetError> {
    let Some(batch) = log.find_by_timestamp(wanted).map_err(offset_error)? else { return Ok(None) };
    let is_match = |record: &RecordKey| record.timestamp >= wanted;
    if let Some(found) = find_record(&batch, visible, is_match)? {
        return Ok(Some(found));
    }
    let mut from = header_of(&batch)?.next_offset();
    while from < visible.end {
        let spec = ReadSpec { from, up_to: visible.end, max_bytes: SCAN_BYTES, at_least_one: true };
        let chunk = match log.read(spec).map_err(offset_error)? {
            Read::Ready(chunk) => chunk,
            Read::NeedsDisk(cold) => cold.run().map_err(offset_error)?,
        };
        for batch in chunk.runs.iter().flat_map(split) {
            let (header, batch) = batch.map_err(|error| unreadable(from, &error))?;
            if header.max_timestamp < wanted {
                continue;
            }
            if let Some(found) = find_record(&batch, visible, is_match)? {
                return Ok(Some(found));
            }
        }
        if chunk.next_offset <= from {
            break;
        }
        from = chunk.next_offset;
    }
    Ok(None)
}

/// The first record with the largest timestamp, of the batch that promises it.
fn largest(log: &duolog_log::Partition, visible: &Range<Offset>) -> Result<Option<FoundOffset>, OffsetError> {
    let Some(batch) = log.find_max_timestamp().map_err(offset_error)? else { return Ok(None) };
    let mut youngest: Option<TimestampMs> = None;
    let mut found = None;
    find_record(&batch, visible, |record| {
        if youngest.is_none_or(|youngest| record.timestamp > youngest) {
            youngest = Some(record.timestamp);
            found = Some(found_record(record));
        }
        false
    })?;
    Ok(found)
}

fn found_record(record: &RecordKey) -> FoundOffset {
    FoundOffset { offset: record.offset, timestamp: Some(record.timestamp), leader_epoch: LEADER_EPOCH }
}

/// The first visible record of `batch` that `is_match` takes. Records aren't collected: a small batch can hold
/// millions.
fn find_record(
    batch: &Bytes,
    visible: &Range<Offset>,
    mut is_match: impl FnMut(&RecordKey) -> bool,
) -> Result<Option<FoundOffset>, OffsetError> {
    let base_offset = header_of(batch)?.base_offset;
    let records =
        record_keys_and_timestamps(batch, DECODE).map_err(|error| unreadable(base_offset, &error))?;
    for record in records {
        let record = record.map_err(|error| unreadable(base_offset, &error))?;
        if visible.contains(&record.offset) && is_match(&record) {
            return Ok(Some(found_record(&record)));
        }
    }
    Ok(None)
}

fn header_of(batch: &[u8]) -> Result<BatchHeader, OffsetError> {
    BatchHeader::parse(batch).map_err(|error| unreadable(Offset::ZERO, &error))
}

fn unreadable(base_offset: Offset, error: &BatchError) -> OffsetError {
    OffsetError::Records { base_offset, detail: error.to_string() }
}

fn offset_error(error: ReadError) -> OffsetError {
    match error {
        ReadError::Dropped(_) => OffsetError::Deleted,
        other => OffsetError::Storage(other),
    }
}
