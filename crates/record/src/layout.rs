//! Where the parts of one record are: `Payload` is a batch's records, decompressed, walked one by one.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//!   | key length varint (-1 null), key | value length varint (-1 null), value
//!   | header count varint | (key length varint, key, value length varint (-1 null), value)*
//! ```
//! Every length is checked before anything is made of it; nothing is allocated here.

use std::ops::Range;

use bytes::Bytes;
use duolog_types::{Offset, TimestampMs};

use crate::header::{BatchHeader, HEADER_BYTES, TimestampType};
use crate::varint::Cursor;
use crate::{BatchError, Compression, DecodeBudget, compression};

/// The smallest header of a record: an empty key and a null value.
const RECORD_HEADER_BYTES_MIN: usize = 2;

/// Where one record's parts are in its payload.
#[derive(Clone, Debug)]
pub(crate) struct RecordSpans {
    pub(crate) offset: Offset,
    pub(crate) timestamp: TimestampMs,
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
    /// The headers, without their count; already walked once, so well-formed.
    pub(crate) headers: Range<usize>,
    pub(crate) header_count: usize,
    /// The whole record, with its length in front.
    pub(crate) whole: Range<usize>,
}

/// A batch's records, decompressed, and how far they have been read.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    pub(crate) header: BatchHeader,
    /// The most that decompression or a record's header table may take.
    pub(crate) limit_bytes: usize,
    pub(crate) bytes: Bytes,
    position: usize,
    found: i32,
    /// Lowest offset delta that the next record can have.
    delta_min: i64,
    failed: bool,
}

impl Payload {
    pub(crate) fn open(batch: &Bytes, budget: DecodeBudget) -> Result<Self, BatchError> {
        let header = BatchHeader::parse_whole(batch)?;
        let compressed = batch.slice(HEADER_BYTES..);
        let limit_bytes = budget.limit_for(compressed.len());
        let bytes = match header.compression()? {
            Compression::None => compressed,
            // A batch whose records were all removed has no compressed frame at all.
            _ if compressed.is_empty() => compressed,
            codec => compression::decompress(codec, &compressed, limit_bytes)?.into(),
        };
        Ok(Self { header, limit_bytes, bytes, position: 0, found: 0, delta_min: 0, failed: false })
    }

    /// The next record; `None` behind the last one or behind an error.
    pub(crate) fn next_record(&mut self) -> Option<Result<RecordSpans, BatchError>> {
        if self.failed {
            return None;
        }
        if self.found < self.header.record_count {
            let record = self.read_record();
            self.failed = record.is_err();
            return Some(record);
        }
        let bytes = self.bytes.len() - self.position;
        if bytes == 0 {
            return None;
        }
        self.failed = true;
        Some(Err(BatchError::TrailingBytes { counted: self.header.record_count, bytes }))
    }

    /// Passes over the records below `offset` by their lengths alone: what else is wrong with them isn't seen. One that
    /// can't be passed is left for [`next_record`](Self::next_record) to refuse.
    pub(crate) fn skip_below(&mut self, offset: Offset) {
        if i64::from(self.header.record_count) == i64::from(self.header.last_offset_delta) + 1 {
            // Deltas rise, so here each record's is its place.
            while self.found < self.header.record_count
                && self.header.base_offset.plus(i64::from(self.found)) < offset
                && let Ok(end) = self.peek_end()
            {
                self.position = end;
                self.found += 1;
                self.delta_min = i64::from(self.found);
            }
            return;
        }
        while self.found < self.header.record_count
            && let Ok((delta, end)) = self.peek_delta()
            && let Ok(found) = self.offset(delta)
            && found < offset
        {
            self.position = end;
            self.found += 1;
            self.delta_min = delta + 1;
        }
    }

    /// Where the next record ends.
    fn peek_end(&self) -> Result<usize, BatchError> {
        let mut cursor = Cursor::new(&self.bytes, self.position);
        let size = length(&mut cursor, "record length")?;
        Ok(cursor.span(size)?.end)
    }

    /// The next record's offset delta, and where the record ends.
    fn peek_delta(&self) -> Result<(i64, usize), BatchError> {
        let mut cursor = Cursor::new(&self.bytes, self.position);
        let size = length(&mut cursor, "record length")?;
        let mut body = cursor.nested(size)?;
        body.byte()?;
        body.varlong()?;
        Ok((i64::from(body.varint()?), cursor.position()))
    }

    fn read_record(&mut self) -> Result<RecordSpans, BatchError> {
        let start = self.position;
        let mut cursor = Cursor::new(&self.bytes, start);
        if cursor.remaining() == 0 {
            return Err(BatchError::MissingRecords { counted: self.header.record_count, found: self.found });
        }
        let size = length(&mut cursor, "record length")?;
        let mut body = cursor.nested(size)?;
        // No bit of a record's own attributes has a meaning; Kafka ignores them too.
        body.byte()?;
        let timestamp_delta = body.varlong()?;
        let offset_delta = i64::from(body.varint()?);
        let key = optional_span(&mut body, "key length")?;
        let value = optional_span(&mut body, "value length")?;
        let (headers, header_count) = header_spans(&mut body)?;
        if body.remaining() != 0 {
            return Err(BatchError::RecordTrailingBytes { position: start, bytes: body.remaining() });
        }
        let whole = start..body.position();

        let timestamp = self.timestamp(timestamp_delta)?;
        let offset = self.offset(offset_delta)?;
        self.position = whole.end;
        self.found += 1;
        self.delta_min = offset_delta + 1;
        Ok(RecordSpans { offset, timestamp, key, value, headers, header_count, whole })
    }

    fn timestamp(&self, delta: i64) -> Result<TimestampMs, BatchError> {
        if self.header.timestamp_type() == TimestampType::LogAppendTime {
            return Ok(self.header.max_timestamp);
        }
        let base_timestamp = self.header.base_timestamp.0;
        base_timestamp
            .checked_add(delta)
            .map(TimestampMs)
            .ok_or(BatchError::TimestampOverflow { base_timestamp, delta })
    }

    fn offset(&self, delta: i64) -> Result<Offset, BatchError> {
        let max = i64::from(self.header.last_offset_delta);
        if delta < self.delta_min || delta > max {
            return Err(BatchError::BadOffsetDelta { delta, min: self.delta_min, max });
        }
        Ok(self.header.base_offset.plus(delta))
    }

    /// Walks the headers of a record that this payload gave out.
    pub(crate) fn headers(&self, record: &RecordSpans) -> Result<Vec<(Bytes, Option<Bytes>)>, BatchError> {
        // Two bytes on the wire make one entry: without this, a record of headers alone would take up some
        // thirty times its size.
        let limit = self.limit_bytes / size_of::<(Bytes, Option<Bytes>)>();
        if record.header_count > limit {
            return Err(BatchError::TooManyHeaders { count: record.header_count, limit });
        }
        let mut cursor = Cursor::new(&self.bytes[..record.headers.end], record.headers.start);
        let mut headers = Vec::with_capacity(record.header_count);
        for _ in 0..record.header_count {
            let (key, value) = header_span(&mut cursor)?;
            headers.push((self.bytes.slice(key), value.map(|value| self.bytes.slice(value))));
        }
        Ok(headers)
    }
}

fn length(cursor: &mut Cursor<'_>, field: &'static str) -> Result<usize, BatchError> {
    let position = cursor.position();
    let value = cursor.varint()?;
    usize::try_from(value).map_err(|_| BatchError::BadRecordLength {
        field,
        position,
        value: i64::from(value),
    })
}

/// A length and so many bytes; -1 is null and less is an error.
fn optional_span(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Option<Range<usize>>, BatchError> {
    let position = cursor.position();
    let value = cursor.varint()?;
    if value == -1 {
        return Ok(None);
    }
    let size = usize::try_from(value).map_err(|_| BatchError::BadRecordLength {
        field,
        position,
        value: i64::from(value),
    })?;
    cursor.span(size).map(Some)
}

fn header_span(cursor: &mut Cursor<'_>) -> Result<(Range<usize>, Option<Range<usize>>), BatchError> {
    let key_size = length(cursor, "header key length")?;
    let key = cursor.span(key_size)?;
    let value = optional_span(cursor, "header value length")?;
    Ok((key, value))
}

/// Steps over all headers, checking each.
fn header_spans(body: &mut Cursor<'_>) -> Result<(Range<usize>, usize), BatchError> {
    let position = body.position();
    let count = length(body, "header count")?;
    if count > body.remaining() / RECORD_HEADER_BYTES_MIN {
        return Err(BatchError::RecordTruncated {
            position,
            needed: count.saturating_mul(RECORD_HEADER_BYTES_MIN),
            remaining: body.remaining(),
        });
    }
    let start = body.position();
    for _ in 0..count {
        header_span(body)?;
    }
    Ok((start..body.position(), count))
}
