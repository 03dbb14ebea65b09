//! Taking a record batch: the checks before the lock, and the append under it.

use std::fmt;

use duolog_log::AppendError;
use duolog_types::{Lsn, Nanos, Offset, ProducerEpoch, ProducerId, TimestampMs};

/// What a batch comes with besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct ProduceContext {
    /// When its request was read ([`Broker::now`](crate::Broker::now); once for a request).
    pub arrival: Nanos,
    /// Whether the client's protocol version may send zstd (Kafka: Produce v7+).
    pub allow_zstd: bool,
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
}

impl fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timestamp { timestamp, earliest, latest } => write!(
                f,
                "timestamp {} is out of range, it should be between {} and {}",
                timestamp.0, earliest.0, latest.0
            ),
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
    /// `INVALID_RECORD`.
    #[error("clients may not write control batches")]
    Control,
    /// `INVALID_RECORD`.
    #[error("producer {producer} sent the base sequence {sequence}, which is negative")]
    NegativeSequence {
        /// The producer.
        producer: ProducerId,
        /// Its sequence.
        sequence: i32,
    },
    /// `INVALID_PRODUCER_EPOCH` is for fenced epochs; a negative epoch of an idempotent batch is `INVALID_RECORD`.
    #[error("producer {producer} sent the epoch {}, which is negative", epoch.0)]
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
    #[error("{} records have timestamps that the topic does not allow", errors.len())]
    Timestamps {
        /// Which.
        errors: Vec<RecordError>,
    },
    /// `INVALID_TXN_STATE`: this broker has no transactions yet.
    #[error("transactions are not supported yet")]
    Transactional,
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER`.
    #[error("producer {producer} sent sequence {got}, expected was {expected}")]
    OutOfOrder {
        /// The producer.
        producer: ProducerId,
        /// Its sequence.
        got: i32,
        /// What would have followed.
        expected: i32,
    },
    /// `INVALID_PRODUCER_EPOCH`.
    #[error("producer {producer} sent epoch {}, the newest is {}", got.0, newest.0)]
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
