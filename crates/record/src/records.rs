//! Reads a batch's records: whole ones, or keys and times alone.
//!
//! What is given out are slices of the batch, or of its decompressed records: they keep those bytes alive.

use bytes::Bytes;
use duolog_types::{Offset, TimestampMs};

use crate::layout::Payload;
use crate::{BatchError, BatchHeader, DecodeBudget};

/// One header of a record. Kafka says that keys are UTF-8 and checks it nowhere, so they are bytes here.
pub type RecordHeader = (Bytes, Option<Bytes>);

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its own timestamp, or the batch's where the broker's clock counts.
    pub timestamp: TimestampMs,
    /// The key; null and empty differ.
    pub key: Option<Bytes>,
    /// The value; null (a tombstone) and empty differ.
    pub value: Option<Bytes>,
    /// Headers in the order in which they were sent; a key may stand there more than once.
    pub headers: Vec<RecordHeader>,
}

/// The records of `batch` (exactly one batch), oldest first. The checksum is not verified here.
///
/// A record's table of headers stays within the budget too. Collecting all records takes some twenty times
/// the bytes of the smallest ones: iterate where the bytes are a stranger's.
///
/// # Errors
/// A header that isn't plausible or whole, an unknown codec, or records that don't decompress within `limit`.
/// What is wrong with a single record, or with their count, the iterator says when it gets there, as its
/// last item.
pub fn records(batch: &Bytes, limit: DecodeBudget) -> Result<Records, BatchError> {
    Ok(Records { payload: Payload::open(batch, limit)? })
}

/// Iterator over a batch's records; see [`records`]. Ends behind the first error.
#[derive(Clone, Debug)]
pub struct Records {
    payload: Payload,
}

impl Records {
    /// The batch's header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.payload.header
    }

    /// Has the records below `offset` left out, at a fraction of what reading them costs; what is wrong inside of them
    /// goes unseen.
    pub fn skip_below(&mut self, offset: Offset) {
        self.payload.skip_below(offset);
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let spans = match self.payload.next_record()? {
            Ok(spans) => spans,
            Err(error) => return Some(Err(error)),
        };
        let bytes = &self.payload.bytes;
        Some(self.payload.headers(&spans).map(|headers| Record {
            offset: spans.offset,
            timestamp: spans.timestamp,
            key: spans.key.map(|key| bytes.slice(key)),
            value: spans.value.map(|value| bytes.slice(value)),
            headers,
        }))
    }
}

impl std::iter::FusedIterator for Records {}

/// What validation and a key index need of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordKey {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp, as in [`Record::timestamp`].
    pub timestamp: TimestampMs,
    /// The key; null and empty differ.
    pub key: Option<Bytes>,
    /// Whether the value is null.
    pub is_tombstone: bool,
    /// Bytes of the record as stored (uncompressed), its length field included.
    pub size_bytes: usize,
}

/// Keys and timestamps of `batch`, without making anything of values and headers (which are checked all the
/// same: what this reads to the end, [`records`] reads too, but for its bound on headers).
///
/// # Errors
/// As [`records`].
pub fn record_keys_and_timestamps(batch: &Bytes, limit: DecodeBudget) -> Result<RecordKeys, BatchError> {
    Ok(RecordKeys { payload: Payload::open(batch, limit)? })
}

/// Iterator over a batch's keys and timestamps; see [`record_keys_and_timestamps`].
#[derive(Clone, Debug)]
pub struct RecordKeys {
    payload: Payload,
}

impl RecordKeys {
    /// The batch's header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.payload.header
    }
}

impl Iterator for RecordKeys {
    type Item = Result<RecordKey, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let spans = self.payload.next_record()?;
        Some(spans.map(|spans| RecordKey {
            offset: spans.offset,
            timestamp: spans.timestamp,
            key: spans.key.map(|key| self.payload.bytes.slice(key)),
            is_tombstone: spans.value.is_none(),
            size_bytes: spans.whole.len(),
        }))
    }
}

impl std::iter::FusedIterator for RecordKeys {}
