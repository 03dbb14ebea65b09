//! Leaves dead records out of a batch: what compaction, deletes and per-message acks do to stored data.
//!
//! Base and last offset, producer fields, sequence and codec stay, so that offsets and idempotence mean the
//! same as before; count, size, max timestamp and checksum are new.

use bytes::Bytes;

use crate::builder::finish;
use crate::header::{BatchHeader, HEADER_BYTES, TimestampType};
use crate::layout::Payload;
use crate::{BatchError, Compression, DecodeBudget, Record, compression, empty_batch};

/// `batch` without the records for which `keep` says no: itself if all stay, an empty batch if none does.
///
/// Kept records are copied as they were encoded. The checksum of `batch` is not verified here.
///
/// # Errors
/// As [`crate::records`], at any record; and where the kept records don't compress.
pub fn rebuild(
    batch: &Bytes,
    limit: DecodeBudget,
    mut keep: impl FnMut(&Record) -> bool,
) -> Result<Bytes, BatchError> {
    let mut payload = Payload::open(batch, limit)?;
    let mut bytes = vec![0; HEADER_BYTES];
    let mut kept_count = 0;
    let mut kept_max_timestamp = None;
    while let Some(spans) = payload.next_record() {
        let spans = spans?;
        let record = Record {
            offset: spans.offset,
            timestamp: spans.timestamp,
            key: spans.key.clone().map(|key| payload.bytes.slice(key)),
            value: spans.value.clone().map(|value| payload.bytes.slice(value)),
            headers: payload.headers(&spans)?,
        };
        if keep(&record) {
            bytes.extend_from_slice(&payload.bytes[spans.whole]);
            kept_count += 1;
            kept_max_timestamp = kept_max_timestamp.max(Some(record.timestamp));
        }
    }

    let header = payload.header;
    if kept_count == header.record_count {
        return Ok(batch.clone());
    }
    let Some(kept_max_timestamp) = kept_max_timestamp else {
        return Ok(empty_batch(&header));
    };
    let codec = header.compression()?;
    if codec != Compression::None {
        let compressed = compression::compress(codec, &bytes[HEADER_BYTES..])?;
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&compressed);
    }
    let max_timestamp = match header.timestamp_type() {
        TimestampType::CreateTime => kept_max_timestamp,
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    finish(BatchHeader { record_count: kept_count, max_timestamp, ..header }, bytes)
}
