//! Makes batches: of records, and empty ones that keep an offset range and a producer's last sequence.
//!
//! Records are encoded straight behind the room for the header, so an uncompressed batch is written once.

use bytes::Bytes;
use duolog_types::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId, TimestampMs};

use crate::header::{
    BATCH_LENGTH_MIN, BatchHeader, CODEC_MASK, CONTROL, DELETE_HORIZON, HEADER_BYTES, LOG_APPEND_TIME,
    LOG_OVERHEAD_BYTES, MAGIC, TRANSACTIONAL, TimestampType, encode_header, seal,
};
use crate::varint::{put_varlong, varlong_size};
use crate::{BatchError, Compression, Record, compression};

/// No timestamp, on the wire.
const NO_TIMESTAMP: TimestampMs = TimestampMs(-1);

/// A batch in the making.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    compression: Compression,
    /// Room for the header, then the records uncompressed.
    bytes: Vec<u8>,
    record_count: usize,
}

impl BatchBuilder {
    /// Starts a batch whose first record gets `base_offset`; a producing client sends 0.
    /// Without idempotence, compression or transaction until told otherwise.
    #[must_use]
    pub fn new(base_offset: Offset) -> Self {
        let header = BatchHeader {
            base_offset,
            batch_length: BATCH_LENGTH_MIN,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: -1,
            record_count: 0,
        };
        Self { header, compression: Compression::None, bytes: vec![0; HEADER_BYTES], record_count: 0 }
    }

    /// Sets memory aside for `bytes` of records, so that the batch isn't moved while it grows to that.
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.bytes.reserve_exact(bytes);
        self
    }

    /// Compresses the records with `codec`.
    #[must_use]
    pub fn compression(mut self, codec: Compression) -> Self {
        self.compression = codec;
        self
    }

    /// Names the producer and the sequence of the first record (KIP-98).
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(self) -> Self {
        self.attribute(TRANSACTIONAL)
    }

    /// Gives every record the time at which the broker took the batch.
    #[must_use]
    pub fn log_append_time(mut self, now: TimestampMs) -> Self {
        self.header.max_timestamp = now;
        self.attribute(LOG_APPEND_TIME)
    }

    /// Sets the partition leader epoch; -1 (unknown) by default, as clients send.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> Self {
        self.header.partition_leader_epoch = epoch;
        self
    }

    pub(crate) fn attribute(mut self, bit: i16) -> Self {
        self.header.attributes |= bit;
        self
    }

    /// Appends a record without headers at the next offset.
    ///
    /// # Errors
    /// The batch would outgrow its length field; it is as it was before.
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), BatchError> {
        self.push_with_headers(timestamp, key, value, &[])
    }

    /// Appends a record with headers, in the order given, at the next offset.
    ///
    /// # Errors
    /// As [`BatchBuilder::push`].
    pub fn push_with_headers(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), BatchError> {
        self.push_at(self.next_delta(), timestamp, key, value, headers)
    }

    /// Appends a copy of `record` at its own offset, which may leave a gap behind the one before.
    ///
    /// # Errors
    /// As [`BatchBuilder::push`], and where the offset is below the next one or too far from the base offset.
    pub fn push_record(&mut self, record: &Record) -> Result<(), BatchError> {
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| (key.as_ref(), value.as_deref())).collect();
        let delta = record.offset.0.saturating_sub(self.header.base_offset.0);
        self.push_at(delta, record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
    }

    /// Bytes of the batch so far, uncompressed.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The largest timestamp so far; -1 without records.
    #[must_use]
    pub fn max_timestamp(&self) -> TimestampMs {
        self.header.max_timestamp
    }

    /// Records so far.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.record_count
    }

    /// Offset that the next record gets.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.header.base_offset.plus(self.next_delta())
    }

    /// Compresses, writes the header and its checksum. Without records: an empty batch of one offset.
    ///
    /// # Errors
    /// The codec failed, or the batch outgrew its length field.
    pub fn build(self) -> Result<Bytes, BatchError> {
        let Self { mut header, compression, mut bytes, record_count } = self;
        if compression != Compression::None && record_count > 0 {
            let compressed = compression::compress(compression, &bytes[HEADER_BYTES..])?;
            bytes.truncate(HEADER_BYTES);
            bytes.extend_from_slice(&compressed);
            header.attributes |= i16::from(compression.code());
        }
        header.record_count = i32::try_from(record_count)
            .map_err(|_| BatchError::BatchTooLarge { size_bytes: bytes.len(), record_count })?;
        finish(header, bytes)
    }

    fn next_delta(&self) -> i64 {
        if self.record_count == 0 { 0 } else { i64::from(self.header.last_offset_delta) + 1 }
    }

    fn push_at(
        &mut self,
        delta: i64,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), BatchError> {
        let base_offset = self.header.base_offset.0;
        if delta < self.next_delta() {
            return Err(BatchError::BadOffsetDelta {
                delta,
                min: self.next_delta(),
                max: i64::from(i32::MAX),
            });
        }
        let overflow = BatchError::OffsetOverflow { base_offset, delta };
        let Ok(last_offset_delta) = i32::try_from(delta) else { return Err(overflow) };
        if base_offset.checked_add(delta).is_none() {
            return Err(overflow);
        }
        let base_timestamp = if self.record_count == 0 { timestamp } else { self.header.base_timestamp };
        let timestamp_delta = timestamp
            .0
            .checked_sub(base_timestamp.0)
            .ok_or(BatchError::TimestampOverflow { base_timestamp: base_timestamp.0, delta: timestamp.0 })?;

        let body_size = 1
            + varlong_size(timestamp_delta)
            + varlong_size(delta)
            + field_size(key)
            + field_size(value)
            + varlong_size(headers.len() as i64)
            + headers.iter().map(|(key, value)| field_size(Some(key)) + field_size(*value)).sum::<usize>();
        let size_bytes = self.bytes.len() + varlong_size(body_size as i64) + body_size;
        if i32::try_from(size_bytes).is_err() {
            return Err(BatchError::BatchTooLarge { size_bytes, record_count: self.record_count + 1 });
        }

        let out = &mut self.bytes;
        put_varlong(out, body_size as i64);
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varlong(out, delta);
        put_field(out, key);
        put_field(out, value);
        put_varlong(out, headers.len() as i64);
        for (key, value) in headers {
            put_field(out, Some(key));
            put_field(out, *value);
        }
        debug_assert_eq!(out.len(), size_bytes, "the computed size of a record is the written one");

        self.header.base_timestamp = base_timestamp;
        if self.header.timestamp_type() == TimestampType::CreateTime {
            let first = self.record_count == 0;
            let max = if first { timestamp } else { self.header.max_timestamp.max(timestamp) };
            self.header.max_timestamp = max;
        }
        self.header.last_offset_delta = last_offset_delta;
        self.record_count += 1;
        Ok(())
    }
}

/// Writes `header` with its length and checksum in front of the records that `bytes` holds behind 61 bytes of
/// room.
pub(crate) fn finish(mut header: BatchHeader, mut bytes: Vec<u8>) -> Result<Bytes, BatchError> {
    let record_count = usize::try_from(header.record_count).unwrap_or(0);
    header.batch_length = i32::try_from(bytes.len() - LOG_OVERHEAD_BYTES)
        .map_err(|_| BatchError::BatchTooLarge { size_bytes: bytes.len(), record_count })?;
    bytes[..HEADER_BYTES].copy_from_slice(&encode_header(&header));
    seal(&mut bytes);
    Ok(bytes.into())
}

/// What is left of a batch when all its records are removed (Kafka: RETAIN_EMPTY): base and last offset,
/// leader epoch, producer fields, max timestamp and the transactional and control bits stay.
#[must_use]
pub fn empty_batch(of: &BatchHeader) -> Bytes {
    let header = BatchHeader {
        batch_length: BATCH_LENGTH_MIN,
        magic: MAGIC,
        attributes: of.attributes & !(CODEC_MASK | DELETE_HORIZON),
        base_timestamp: of.max_timestamp,
        record_count: 0,
        ..*of
    };
    let mut bytes = encode_header(&header);
    seal(&mut bytes);
    Bytes::copy_from_slice(&bytes)
}

/// An empty batch over the offsets `base..=last`, so that a reader steps over a dead range.
///
/// # Errors
/// `last` is below `base`, or further than the 31 bits of an offset delta.
pub fn empty_range(base: Offset, last: Offset, max_timestamp: TimestampMs) -> Result<Bytes, BatchError> {
    let overflow = BatchError::OffsetOverflow { base_offset: base.0, delta: last.0.saturating_sub(base.0) };
    let delta = last.0.checked_sub(base.0).and_then(|delta| i32::try_from(delta).ok());
    let Some(last_offset_delta) = delta.filter(|delta| *delta >= 0) else { return Err(overflow) };
    let header = BatchHeader {
        last_offset_delta,
        max_timestamp,
        partition_leader_epoch: 0,
        ..BatchBuilder::new(base).header
    };
    Ok(empty_batch(&header))
}

impl BatchBuilder {
    /// Marks the batch as a control batch; `control_batch` fills it.
    pub(crate) fn control(self) -> Self {
        self.attribute(CONTROL)
    }
}

fn field_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => varlong_size(-1),
        Some(bytes) => varlong_size(bytes.len() as i64) + bytes.len(),
    }
}

fn put_field(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varlong(out, -1),
        Some(bytes) => {
            put_varlong(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
