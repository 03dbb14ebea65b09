//! Idempotent producers of one partition: which batches they sent last, and whether the next one fits.
//!
//! Kafka's rules (KIP-98, `ProducerStateEntry`, `ProducerAppendInfo`): the last five batches of each producer are
//! remembered. A batch that is among them is a duplicate, and is answered as the first time. Otherwise its
//! sequence must follow the last one, or be 0 in a new epoch; a producer that isn't known may begin anywhere,
//! since its state can have gone with age. Pure: no clock, no lock.

use std::collections::HashMap;

use duolog_record::{BatchHeader, TimestampType, increment_sequence};
use duolog_types::{Lsn, NO_PRODUCER_ID, Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::ProduceError;

/// How many batches are remembered: a Java producer has at most so many in flight.
pub(crate) const WINDOW: usize = 5;

/// How many producers of one partition are remembered. A client that takes a new id for every batch would fill
/// the memory otherwise (Kafka: KIP-936); who sent nothing for longest is forgotten first.
const PRODUCERS_MAX: usize = 10_000;

/// One remembered batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SentBatch {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: Offset,
    /// The time the broker gave it, if it did.
    pub(crate) log_append_time: Option<TimestampMs>,
    /// The batch's largest timestamp.
    pub(crate) max_timestamp: TimestampMs,
    /// Its entry in the WAL: the reply to a duplicate waits for it. Zero after a restart, when it is durable.
    pub(crate) lsn: Lsn,
}

/// One producer. It has at least one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    /// When it sent its last batch, by our clock.
    pub(crate) last_used: TimestampMs,
    /// Oldest first; `count` of them are set.
    batches: [SentBatch; WINDOW],
    count: usize,
}

impl Producer {
    pub(crate) fn new(epoch: ProducerEpoch, last_used: TimestampMs) -> Self {
        Self { epoch, last_used, batches: [SentBatch::default(); WINDOW], count: 0 }
    }

    /// The remembered batches, oldest first.
    pub(crate) fn batches(&self) -> &[SentBatch] {
        &self.batches[..self.count]
    }

    pub(crate) fn push(&mut self, batch: SentBatch) {
        if self.count == WINDOW {
            self.batches.rotate_left(1);
            self.count -= 1;
        }
        self.batches[self.count] = batch;
        self.count += 1;
    }

    /// The last batch's last sequence.
    pub(crate) fn last_sequence(&self) -> Option<i32> {
        self.batches().last().map(|batch| batch.last_sequence)
    }
}

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    by_id: HashMap<ProducerId, Producer>,
    /// One behind the last offset whose batch is included, for exact replays over a newer snapshot.
    pub(crate) applied_to: Offset,
    /// The newest entry that is included.
    pub(crate) as_of: Lsn,
}

/// What becomes of a batch that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new.
    Append,
    /// It is there already.
    Duplicate(SentBatch),
}

impl Producers {
    /// Judges the next batch of an idempotent producer. Changes nothing.
    ///
    /// # Errors
    /// An old epoch, or a sequence that doesn't follow.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Verdict, ProduceError> {
        let id = header.producer_id;
        let Some(producer) = self.by_id.get(&id) else { return Ok(Verdict::Append) };

        let (first, last) = (header.base_sequence, header.last_sequence());
        if header.producer_epoch == producer.epoch {
            let same = |sent: &&SentBatch| sent.first_sequence == first && sent.last_sequence == last;
            if let Some(sent) = producer.batches().iter().find(same) {
                return Ok(Verdict::Duplicate(*sent));
            }
        }
        if header.producer_epoch < producer.epoch {
            let (got, newest) = (header.producer_epoch, producer.epoch);
            return Err(ProduceError::Fenced { producer: id, got, newest });
        }
        let expected = match producer.last_sequence() {
            Some(last) if header.producer_epoch == producer.epoch => increment_sequence(last, 1),
            _ => 0,
        };
        if first == expected {
            Ok(Verdict::Append)
        } else {
            Err(ProduceError::OutOfOrder { producer: id, got: first, expected })
        }
    }

    /// Takes over a batch that was appended at `base_offset` (its header otherwise as stored).
    pub(crate) fn record(&mut self, header: &BatchHeader, base_offset: Offset, lsn: Lsn, now: TimestampMs) {
        self.applied_to = base_offset.plus(i64::from(header.last_offset_delta) + 1);
        self.as_of = self.as_of.max(lsn);
        if header.producer_id == NO_PRODUCER_ID || header.is_control() {
            return;
        }
        if self.by_id.len() >= PRODUCERS_MAX && !self.by_id.contains_key(&header.producer_id) {
            self.forget_oldest(PRODUCERS_MAX / 8);
        }
        let epoch = header.producer_epoch;
        let producer = self.by_id.entry(header.producer_id).or_insert_with(|| Producer::new(epoch, now));
        if producer.epoch != epoch {
            *producer = Producer::new(epoch, now);
        }
        producer.last_used = now;
        producer.push(SentBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset,
            log_append_time: match header.timestamp_type() {
                TimestampType::LogAppendTime => Some(header.max_timestamp),
                TimestampType::CreateTime => None,
            },
            max_timestamp: header.max_timestamp,
            lsn,
        });
    }

    /// Forgets those that sent nothing for longest: many at once, since finding them looks at all.
    fn forget_oldest(&mut self, count: usize) {
        let mut by_age: Vec<_> = self.by_id.iter().map(|(id, producer)| (producer.last_used, *id)).collect();
        by_age.sort_unstable();
        for (_, id) in by_age.into_iter().take(count) {
            self.by_id.remove(&id);
        }
    }

    /// Takes over a batch met at recovery, unless a snapshot included it.
    pub(crate) fn replay(&mut self, header: &BatchHeader, base_offset: Offset, now: TimestampMs) {
        if base_offset >= self.applied_to {
            self.record(header, base_offset, Lsn::ZERO, now);
        }
    }

    /// Forgets one producer if it sent nothing for so long: to be asked before it is judged, so that age counts
    /// the same whether or not the sweep came by.
    pub(crate) fn expire_one(&mut self, id: ProducerId, now: TimestampMs, expiration_ms: i64) {
        if self.by_id.get(&id).is_some_and(|producer| is_expired(producer, now, expiration_ms)) {
            self.by_id.remove(&id);
        }
    }

    /// Forgets all producers that sent nothing for so long. Returns how many.
    pub(crate) fn expire(&mut self, now: TimestampMs, expiration_ms: i64) -> usize {
        let before = self.by_id.len();
        self.by_id.retain(|_, producer| !is_expired(producer, now, expiration_ms));
        if self.by_id.is_empty() {
            self.by_id.shrink_to_fit();
        }
        before - self.by_id.len()
    }

    pub(crate) fn insert(&mut self, id: ProducerId, producer: Producer) {
        self.by_id.insert(id, producer);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All producers, by id.
    pub(crate) fn sorted(&self) -> Vec<(ProducerId, &Producer)> {
        let mut all: Vec<_> = self.by_id.iter().map(|(id, producer)| (*id, producer)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

fn is_expired(producer: &Producer, now: TimestampMs, expiration_ms: i64) -> bool {
    now.0.saturating_sub(producer.last_used.0) >= expiration_ms
}

#[cfg(test)]
#[path = "producers_tests.rs"]
mod tests;
