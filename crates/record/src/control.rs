//! Transaction markers: the control batches that end a transaction in a partition (KIP-98).
//!
//! ```text
//! key:   version i16 = 0 | type i16 (0 abort, 1 commit)
//! value: version i16 = 0 | coordinator epoch i32
//! ```
//! Both may be longer in later versions; what is behind these fields is skipped, as Kafka's readers do.

use bytes::Bytes;
use duolog_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

use crate::{BatchBuilder, BatchError, Record};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// Its records are not for readers of committed data.
    Abort,
    /// Its records count.
    Commit,
}

impl ControlKind {
    const fn code(self) -> i16 {
        match self {
            ControlKind::Abort => 0,
            ControlKind::Commit => 1,
        }
    }
}

/// What a control batch is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlBatch {
    /// How the transaction ended.
    pub kind: ControlKind,
    /// Epoch of the transaction coordinator that said so.
    pub coordinator_epoch: i32,
    /// The transaction's producer.
    pub producer_id: ProducerId,
    /// The producer's epoch that the marker is written with.
    pub producer_epoch: ProducerEpoch,
    /// When the marker was written.
    pub timestamp: TimestampMs,
    /// Offset that the marker takes.
    pub offset: Offset,
}

/// A batch with the one marker that `marker` describes.
#[must_use]
pub fn control_batch(marker: &ControlBatch) -> Bytes {
    let mut key = [0; 4];
    key[2..].copy_from_slice(&marker.kind.code().to_be_bytes());
    let mut value = [0; 6];
    value[2..].copy_from_slice(&marker.coordinator_epoch.to_be_bytes());

    // A marker has no sequence: it is no part of what the producer sent.
    let mut builder = BatchBuilder::new(marker.offset)
        .producer(marker.producer_id, marker.producer_epoch, -1)
        .transactional()
        .control()
        .leader_epoch(0);
    builder
        .push(marker.timestamp, Some(&key), Some(&value))
        .and_then(|()| builder.build())
        .expect("one record of ten bytes at the base offset fits in a batch")
}

/// A transaction marker, as read from the record of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// How the transaction ended.
    pub kind: ControlKind,
    /// Epoch of the transaction coordinator that said so.
    pub coordinator_epoch: i32,
}

impl ControlRecord {
    /// Reads the marker in `record`, a record of a control batch.
    ///
    /// # Errors
    /// Key or value missing or too short, a negative version, or a type other than abort and commit.
    pub fn parse(record: &Record) -> Result<ControlRecord, BatchError> {
        let no_marker = |kind, version| BatchError::UnknownControlRecord { kind, version };
        let Some(key) = record.key.as_deref().and_then(|key| key.first_chunk::<4>()) else {
            return Err(no_marker(-1, -1));
        };
        let version = i16::from_be_bytes([key[0], key[1]]);
        let code = i16::from_be_bytes([key[2], key[3]]);
        let kind = match code {
            0 if version >= 0 => ControlKind::Abort,
            1 if version >= 0 => ControlKind::Commit,
            _ => return Err(no_marker(code, version)),
        };
        let Some(value) = record.value.as_deref().and_then(|value| value.first_chunk::<6>()) else {
            return Err(no_marker(code, -1));
        };
        let version = i16::from_be_bytes([value[0], value[1]]);
        if version < 0 {
            return Err(no_marker(code, version));
        }
        let coordinator_epoch = i32::from_be_bytes([value[2], value[3], value[4], value[5]]);
        Ok(ControlRecord { kind, coordinator_epoch })
    }
}
