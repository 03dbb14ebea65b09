//! Taking a record batch: the checks before the lock, and the append under it.

use std::fmt;

use bytes::{Bytes, BytesMut};
use duolog_log::{AppendError, NewBatch};
use duolog_record::{
    BatchBuilder, BatchError, BatchHeader, Compression, DecodeBudget, HEADER_BYTES, TimestampType,
    record_keys_and_timestamps,
};
use duolog_types::{Lsn, NO_PRODUCER_ID, Nanos, Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::producers::Verdict;
use super::{Partition, count};
use crate::config::TopicConfig;

/// What a batch comes with besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct ProduceContext {
    /// When its request was read ([`Broker::now`](crate::Broker::now); once for a request).
    pub arrival: Nanos,
    /// Whether the client's protocol version may send zstd (Kafka: Produce v7+).
    pub allow_zstd: bool,
    /// The caller asks for the commit itself, behind all batches of its request:
    /// [`Broker::commit_queued`](crate::Broker::commit_queued) or [`commit_soon`](crate::Broker::commit_soon).
    pub commit_follows: bool,
}

/// Where a batch stands. The reply waits for `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of its first record. Of a duplicate: the original's.
    pub base_offset: Offset,
    /// The time that was given to its records, if the topic says so (LogAppendTime). Of a duplicate: the original's.
    pub log_append_time: Option<TimestampMs>,
    /// The log start offset.
    pub log_start: Offset,
    /// The reply waits for this. Of a duplicate: of the original, which may not be durable yet.
    pub lsn: Lsn,
    /// Whether the batch was there already, and nothing was appended.
    pub duplicate: bool,
}

/// What is wrong with one record of a refused batch (Kafka: `record_errors`, KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in its batch, from 0.
    pub batch_index: i32,
    /// What is wrong.
    pub problem: RecordProblem,
}

/// See [`RecordError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordProblem {
    /// Its timestamp is outside of what the topic allows.
    Timestamp {
        /// Its timestamp.
        timestamp: TimestampMs,
        /// The earliest that is allowed.
        earliest: TimestampMs,
        /// The latest that is allowed.
        latest: TimestampMs,
    },
    /// The stream that the topic is, made through NATS, doesn't take it.
    Stream {
        /// Why.
        reason: &'static str,
    },
}

impl fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timestamp { timestamp, earliest, latest } => write!(
                f,
                "timestamp {} is out of range, it should be between {} and {}",
                timestamp.0, earliest.0, latest.0
            ),
            Self::Stream { reason } => f.write_str(reason),
        }
    }
}

/// Why a batch was not taken. Unless the variant says otherwise it is certainly absent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// `INVALID_RECORD`: there is no batch.
    #[error("the request has no record batch for the partition")]
    NoBatch,
    /// `INVALID_RECORD`: more bytes follow the batch; exactly one is allowed.
    #[error("{bytes} bytes hold more than one record batch (the first has {first} bytes)")]
    NotOneBatch {
        /// All bytes.
        bytes: usize,
        /// The first batch's.
        first: usize,
    },
    /// `INVALID_RECORD`: message sets of before Kafka 0.11.
    #[error("magic {found} is not supported, only 2 is")]
    Magic {
        /// The magic byte found.
        found: i8,
    },
    /// `CORRUPT_MESSAGE`: cut off, or lengths that contradict each other, or a wrong checksum.
    #[error("the record batch is damaged: {detail}")]
    Corrupt {
        /// What was seen.
        detail: String,
    },
    /// `MESSAGE_TOO_LARGE`.
    #[error("the record batch has {bytes} bytes, max.message.bytes is {limit}")]
    TooLarge {
        /// The batch's size.
        bytes: usize,
        /// The topic's limit.
        limit: usize,
    },
    /// `INVALID_RECORD`.
    #[error("the base offset of a client's batch is {found}, it should be 0")]
    BaseOffset {
        /// The base offset found.
        found: Offset,
    },
    /// `INVALID_RECORD`.
    #[error("the batch says it has {count} records, and that its last offset delta is {last_offset_delta}")]
    Count {
        /// Its record count.
        count: i32,
        /// Its last offset delta.
        last_offset_delta: i32,
    },
    /// `INVALID_RECORD`: header fields or records that no batch can have.
    #[error("the record batch makes no sense: {detail}")]
    Invalid {
        /// What was seen.
        detail: String,
    },
    /// `INVALID_RECORD`.
    #[error("clients may not write control batches")]
    Control,
    /// `INVALID_RECORD`.
    #[error("producer {} sent the base sequence {sequence}, which is negative", producer.0)]
    NegativeSequence {
        /// The producer.
        producer: ProducerId,
        /// Its sequence.
        sequence: i32,
    },
    /// `INVALID_PRODUCER_EPOCH` is for fenced epochs; a negative epoch of an idempotent batch is `INVALID_RECORD`.
    #[error("producer {} sent the epoch {}, which is negative", producer.0, epoch.0)]
    NegativeEpoch {
        /// The producer.
        producer: ProducerId,
        /// Its epoch.
        epoch: ProducerEpoch,
    },
    /// `UNSUPPORTED_COMPRESSION_TYPE`: not known, or not allowed in this version of the protocol.
    #[error("compression codec {codec} is not supported in this request")]
    Compression {
        /// The codec's number.
        codec: i16,
    },
    /// `INVALID_TIMESTAMP`: only the broker may set log append time.
    #[error("a client's batch may not say that it has log append time")]
    LogAppendTime,
    /// `INVALID_TIMESTAMP`, with `record_errors`: records from too far in the past or the future.
    #[error("{} or more records have timestamps that the topic does not allow", errors.len())]
    Timestamps {
        /// Which: the first thousand of them.
        errors: Vec<RecordError>,
    },
    /// `INVALID_RECORD`, with `record_errors`: the topic is a stream that was made through NATS, whose rules the records
    /// break.
    #[error("{} or more records break the rules of the stream", errors.len())]
    Stream {
        /// Which: the first thousand of them.
        errors: Vec<RecordError>,
    },
    /// `INVALID_TXN_STATE`: this broker has no transactions yet.
    #[error("transactions are not supported yet")]
    Transactional,
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER`.
    #[error("producer {} sent sequence {got}, expected was {expected}", producer.0)]
    OutOfOrder {
        /// The producer.
        producer: ProducerId,
        /// Its sequence.
        got: i32,
        /// What would have followed.
        expected: i32,
    },
    /// `INVALID_PRODUCER_EPOCH`.
    #[error("producer {} sent epoch {}, the newest is {}", producer.0, got.0, newest.0)]
    Fenced {
        /// The producer.
        producer: ProducerId,
        /// Its epoch.
        got: ProducerEpoch,
        /// The newest epoch seen.
        newest: ProducerEpoch,
    },
    /// `KAFKA_STORAGE_ERROR`; but [`AppendError::Dropped`] is `UNKNOWN_TOPIC_OR_PARTITION`,
    /// [`AppendError::TooLarge`] is `RECORD_LIST_TOO_LARGE` and [`AppendError::Overloaded`] `NOT_ENOUGH_REPLICAS`
    /// (retriable, and unlike a storage error it doesn't make clients refresh their metadata).
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// How much a client's batch may decompress to where its records must be read.
const DECODE: DecodeBudget = DecodeBudget { max_bytes: 64 << 20, floor_bytes: 16 << 20, ratio: 200 };

/// The smallest record: one byte each for its length, attributes, timestamp, offset, key, value and headers.
const RECORD_BYTES_MIN: usize = 7;

/// How many bad records of a batch are named: a small batch can hold millions.
const RECORD_ERRORS_MAX: usize = 1000;

/// A batch that passed all checks that need no lock.
struct Checked {
    bytes: Bytes,
    header: BatchHeader,
}

impl Partition {
    /// Takes a record batch: checks it, and queues it for the log. It is readable, and may be acknowledged, once
    /// [`Produced::lsn`] is durable.
    ///
    /// Batches are stored in the order of calls, and what is not compressed anew is stored as it came.
    ///
    /// # Errors
    /// See [`ProduceError`]: nothing was appended.
    pub fn produce(&self, batch: Bytes, context: ProduceContext) -> Result<Produced, ProduceError> {
        let produced =
            check(batch, &self.config(), context).and_then(|checked| self.append(checked, context));
        if produced.is_err() {
            count(&self.context.counters.refused, 1);
        }
        produced
    }

    fn append(&self, checked: Checked, context: ProduceContext) -> Result<Produced, ProduceError> {
        let Checked { bytes, header } = checked;
        let now = context.arrival.to_ms();
        let size_bytes = bytes.len() as u64;

        let mut producers = self.producers.lock();
        let log_start = self.log.start();
        if header.producer_id != NO_PRODUCER_ID {
            let expiration_ms = self.context.producer_expiration_ms;
            producers.expire_one(header.producer_id, now, expiration_ms);
            if let Verdict::Duplicate(sent) = producers.check(&header)? {
                count(&self.context.counters.duplicates, 1);
                return Ok(Produced {
                    base_offset: sent.base_offset,
                    log_append_time: sent.log_append_time,
                    log_start,
                    lsn: if duolog_env::seeded_bug("duplicate_before_durable") {
                        Lsn::ZERO
                    } else {
                        sent.lsn
                    },
                    duplicate: true,
                });
            }
        }
        let mut stream = self.stream.get().map(|core| (core, core.lock()));
        let admitted = match &mut stream {
            Some((core, state)) if !state.of_topic => Some(core.admit(state, &bytes, context.arrival)?),
            _ => None,
        };
        // Whoever publishes there through NATS may have to know it before it can be read.
        let noted = stream.as_ref().is_some_and(|(_, state)| state.tail.is_some()).then(|| bytes.clone());
        let batch = NewBatch {
            bytes: admitted.as_ref().map_or(bytes, |admitted| admitted.bytes.clone()),
            // Checked above: equals the record count, which is at least 1.
            offset_count: count_of(&header),
            max_timestamp: header.max_timestamp,
            arrival: context.arrival,
        };
        let appended =
            if context.commit_follows { self.log.append_deferred(batch)? } else { self.log.append(batch)? };
        producers.record(&header, appended.base_offset, appended.lsn, now);
        if let Some((core, mut state)) = stream {
            let (base_offset, lsn) = (appended.base_offset, appended.lsn);
            match (admitted, noted) {
                (Some(admitted), _) => {
                    core.produced(&mut state, &admitted, &header, base_offset, lsn, context.arrival);
                }
                (None, Some(bytes)) => {
                    state.note_batch(bytes, base_offset, count_of(&header), lsn, context.arrival);
                }
                (None, None) => {}
            }
        }
        drop(producers);

        let counters = &self.context.counters;
        count(&counters.batches, 1);
        count(&counters.records, u64::from(header.record_count.unsigned_abs()));
        count(&counters.bytes_in, size_bytes);
        Ok(Produced {
            base_offset: appended.base_offset,
            log_append_time: match header.timestamp_type() {
                TimestampType::LogAppendTime => Some(header.max_timestamp),
                TimestampType::CreateTime => None,
            },
            log_start,
            lsn: appended.lsn,
            duplicate: false,
        })
    }
}

/// How many offsets a batch takes.
fn count_of(header: &BatchHeader) -> u32 {
    header.last_offset_delta.unsigned_abs() + 1
}

/// All checks that need no state, in Kafka's order, and what the topic wants changed in the bytes.
fn check(batch: Bytes, config: &TopicConfig, context: ProduceContext) -> Result<Checked, ProduceError> {
    if batch.is_empty() {
        return Err(ProduceError::NoBatch);
    }
    let header = BatchHeader::parse(&batch).map_err(header_error)?;
    if header.size_bytes() < batch.len() {
        return Err(ProduceError::NotOneBatch { bytes: batch.len(), first: header.size_bytes() });
    }
    if header.base_offset != Offset::ZERO {
        return Err(ProduceError::BaseOffset { found: header.base_offset });
    }
    check_size(&batch, config)?;
    duolog_record::verify_crc(&batch).map_err(header_error)?;
    check_header(&header, context)?;
    check_timestamps(&batch, &header, config, context.arrival.to_ms())?;

    let wanted = config.compression.filter(|codec| header.compression().ok() != Some(*codec));
    if wanted.is_none() && config.timestamp_type == TimestampType::CreateTime {
        return Ok(Checked { bytes: batch, header });
    }
    let bytes = match wanted {
        Some(codec) => recompress(&batch, &header, codec)?,
        None => batch,
    };
    check_size(&bytes, config)?;
    let mut copy = BytesMut::from(bytes);
    if config.timestamp_type == TimestampType::LogAppendTime {
        duolog_record::patch_log_append_time(&mut copy, context.arrival.to_ms());
    }
    let header = BatchHeader::parse(&copy).map_err(header_error)?;
    Ok(Checked { bytes: copy.freeze(), header })
}

fn check_size(batch: &Bytes, config: &TopicConfig) -> Result<(), ProduceError> {
    let (bytes, limit) = (batch.len(), config.max_message_bytes);
    if bytes > limit { Err(ProduceError::TooLarge { bytes, limit }) } else { Ok(()) }
}

fn check_header(header: &BatchHeader, context: ProduceContext) -> Result<(), ProduceError> {
    let BatchHeader { record_count: count, last_offset_delta, producer_id, .. } = *header;
    if count < 1 || i64::from(last_offset_delta) + 1 != i64::from(count) {
        return Err(ProduceError::Count { count, last_offset_delta });
    }
    check_record_count(header)?;
    if header.is_control() {
        return Err(ProduceError::Control);
    }
    if header.has_delete_horizon() {
        return Err(ProduceError::Invalid { detail: "only the broker may set a delete horizon".to_owned() });
    }
    let codec = header.attributes & 0b111;
    match header.compression() {
        Ok(Compression::Zstd) if !context.allow_zstd => return Err(ProduceError::Compression { codec }),
        Ok(_) => {}
        Err(_) => return Err(ProduceError::Compression { codec }),
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(ProduceError::LogAppendTime);
    }
    if header.is_transactional() {
        return Err(ProduceError::Transactional);
    }
    if producer_id.0 >= 0 {
        if header.base_sequence < 0 {
            return Err(ProduceError::NegativeSequence {
                producer: producer_id,
                sequence: header.base_sequence,
            });
        }
        if header.producer_epoch.0 < 0 {
            return Err(ProduceError::NegativeEpoch { producer: producer_id, epoch: header.producer_epoch });
        }
    } else if producer_id != NO_PRODUCER_ID {
        return Err(ProduceError::Invalid { detail: format!("producer id {}", producer_id.0) });
    }
    Ok(())
}

/// Refuses what has more records than its bytes can hold: the offsets that it claims would be gone for good. Nothing
/// is decoded for it, so what a compressed batch says is held against the most that may come of it only.
fn check_record_count(header: &BatchHeader) -> Result<(), ProduceError> {
    let payload = header.size_bytes().saturating_sub(HEADER_BYTES);
    let most = match header.compression() {
        Ok(Compression::None) => payload,
        _ => DECODE.limit_for(payload),
    } / RECORD_BYTES_MIN;
    let count = header.record_count;
    if usize::try_from(count).is_ok_and(|count| count <= most) {
        return Ok(());
    }
    Err(ProduceError::Invalid {
        detail: format!(
            "it says it has {count} records, and its {payload} bytes of them hold {most} at most"
        ),
    })
}

/// Checks timestamps against the topic's bounds. The upper one is checked by the header's largest timestamp;
/// records are read only to say which of them are wrong, or where there is a lower bound.
fn check_timestamps(
    batch: &Bytes,
    header: &BatchHeader,
    config: &TopicConfig,
    now: TimestampMs,
) -> Result<(), ProduceError> {
    if config.timestamp_type == TimestampType::LogAppendTime {
        return Ok(());
    }
    let earliest =
        TimestampMs(config.timestamp_before_max_ms.map_or(i64::MIN, |max| now.0.saturating_sub(max)));
    let latest = TimestampMs(config.timestamp_after_max_ms.map_or(i64::MAX, |max| now.0.saturating_add(max)));
    if config.timestamp_before_max_ms.is_none() && header.max_timestamp <= latest {
        return Ok(());
    }
    let mut errors = Vec::new();
    for (index, record) in (0i32..).zip(record_keys_and_timestamps(batch, DECODE).map_err(record_error)?) {
        let timestamp = record.map_err(record_error)?.timestamp;
        // -1 is "no timestamp", which is always fine.
        if timestamp.0 != -1 && (timestamp < earliest || timestamp > latest) {
            let problem = RecordProblem::Timestamp { timestamp, earliest, latest };
            errors.push(RecordError { batch_index: index, problem });
            if errors.len() == RECORD_ERRORS_MAX {
                break;
            }
        }
    }
    if !errors.is_empty() {
        return Err(ProduceError::Timestamps { errors });
    }
    if header.max_timestamp > latest {
        // The header claims what no record has: it would pin the topic's retention all the same.
        return Err(ProduceError::Invalid {
            detail: format!("the header's largest timestamp {} is of no record", header.max_timestamp.0),
        });
    }
    Ok(())
}

/// The same records in another codec (`compression.type`).
fn recompress(batch: &Bytes, header: &BatchHeader, codec: Compression) -> Result<Bytes, ProduceError> {
    let mut builder = BatchBuilder::new(header.base_offset)
        .compression(codec)
        .leader_epoch(header.partition_leader_epoch)
        .producer(header.producer_id, header.producer_epoch, header.base_sequence);
    for record in duolog_record::records(batch, DECODE).map_err(record_error)? {
        builder.push_record(&record.map_err(record_error)?).map_err(record_error)?;
    }
    let bytes = builder.build().map_err(record_error)?;
    let rebuilt = BatchHeader::parse(&bytes).map_err(record_error)?;
    if rebuilt.last_offset_delta != header.last_offset_delta || rebuilt.record_count != header.record_count {
        return Err(ProduceError::Count {
            count: rebuilt.record_count,
            last_offset_delta: rebuilt.last_offset_delta,
        });
    }
    Ok(bytes)
}

/// What a header that can't be read, or a wrong checksum, means to a producer.
fn header_error(error: BatchError) -> ProduceError {
    match error {
        BatchError::UnsupportedMagic { magic } => ProduceError::Magic { found: magic },
        BatchError::NegativeField { .. } | BatchError::OffsetOverflow { .. } => {
            ProduceError::Invalid { detail: error.to_string() }
        }
        _ => ProduceError::Corrupt { detail: error.to_string() },
    }
}

/// What records that can't be read mean to a producer: the checksum was right, so it sent them so.
fn record_error(error: BatchError) -> ProduceError {
    ProduceError::Invalid { detail: error.to_string() }
}

#[cfg(test)]
#[path = "produce_tests.rs"]
mod tests;
