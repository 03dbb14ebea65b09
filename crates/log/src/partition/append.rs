//! Taking offsets: append, skip, trim. Each takes its place in the partition and in the WAL's queue in one step.

use std::sync::Arc;

use duolog_types::{Lsn, Offset};
use roaring::RoaringTreemap;

use super::handle::Partition;
use crate::dead::ranges;
use crate::entry::{NewBatch, NewRecord};
use crate::error::AppendError;
use crate::joined::{JoinedBatch, record_bytes_max};
use crate::queue::{PlacedBatch, Waiting, WaitingEntry, Wake};

/// Where an appended batch stands. It may be read and acknowledged once `lsn` is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The batch's first offset.
    pub base_offset: Offset,
    /// One behind its last offset.
    pub end_offset: Offset,
    /// The entry that holds it.
    pub lsn: Lsn,
}

impl Partition {
    /// Takes the next offsets for `batch` and queues it.
    ///
    /// # Errors
    /// The batch is then certainly not in the log: it was stopped, is full, or the partition is gone.
    ///
    /// # Panics
    /// If the batch is shorter than a record batch's header; the caller has parsed it.
    pub fn append(&self, batch: NewBatch) -> Result<Appended, AppendError> {
        self.append_and(batch, Wake::Now)
    }

    /// As [`append`](Self::append), by a caller who has more to append, or can do the commit itself: it must call
    /// [`Log::commit_queued`] or [`Log::commit_soon`] behind the last one, or the batch waits for others to come.
    ///
    /// [`Log::commit_queued`]: crate::Log::commit_queued
    /// [`Log::commit_soon`]: crate::Log::commit_soon
    ///
    /// # Errors
    /// As [`append`](Self::append).
    ///
    /// # Panics
    /// As [`append`](Self::append).
    pub fn append_deferred(&self, batch: NewBatch) -> Result<Appended, AppendError> {
        self.append_and(batch, Wake::Later)
    }

    /// Has what was appended deferred committed by the log's own thread.
    pub fn commit_soon(&self) {
        self.log.queue.wake_writer();
    }

    fn append_and(&self, batch: NewBatch, wake: Wake) -> Result<Appended, AppendError> {
        assert!(batch.bytes.len() >= duolog_record::HEADER_BYTES, "a record batch has at least its header");
        let mut state = self.core.lock();
        if state.closed {
            return Err(AppendError::Dropped(self.core.id));
        }
        if state.memory.is_some() {
            return self.append_in_memory(&mut state, &batch);
        }
        self.log.space.admit_data(batch.bytes.len() as u64)?;
        let base_offset = state.next;
        let end_offset = end_of(base_offset, i64::from(batch.offset_count))?;
        let placed = PlacedBatch { core: self.core.clone(), base_offset, batch, of_single_records: false };
        // Still under the partition's lock: no later offset can get an earlier place in the WAL.
        let lsn = self.log.queue.push(WaitingEntry::One(Waiting::Batch(placed)), true, wake)?;
        state.next = end_offset;
        if duolog_env::seeded_bug("high_watermark_before_sync") {
            state.high_watermark = end_offset;
        }
        Ok(Appended { base_offset, end_offset, lsn })
    }

    /// Takes the next offset for `record`. It joins the batch of single records that was queued last for this
    /// partition, if that still waits and nothing else of the partition stands behind it; its entry is then that batch's, and may be
    /// older than entries that were queued (for other partitions, or state) before this call.
    ///
    /// # Errors
    /// As [`append`](Self::append); the record is then certainly not in the log.
    pub fn append_record(&self, record: NewRecord<'_>) -> Result<Appended, AppendError> {
        self.append_record_and(record, Wake::Now)
    }

    /// As [`append_record`](Self::append_record), by a caller who has more to append, or can do the commit itself: see
    /// [`append_deferred`](Self::append_deferred).
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_record_deferred(&self, record: NewRecord<'_>) -> Result<Appended, AppendError> {
        self.append_record_and(record, Wake::Later)
    }

    fn append_record_and(&self, record: NewRecord<'_>, wake: Wake) -> Result<Appended, AppendError> {
        let bytes_max = record_bytes_max(&record);
        let mut state = self.core.lock();
        if state.closed {
            return Err(AppendError::Dropped(self.core.id));
        }
        if state.memory.is_some() {
            let batch = JoinedBatch::begin(state.next, &record, bytes_max, &self.log.queue)?.take();
            let (_, batch) = batch.expect("nobody else has it");
            return self.append_in_memory(&mut state, &batch);
        }
        self.log.space.admit_data(bytes_max as u64)?;
        let base_offset = state.next;
        let end_offset = end_of(base_offset, 1)?;
        let joined = match &state.joined {
            Some((lsn, batch)) => {
                batch.join(base_offset, &record, bytes_max, &self.log.queue)?.then_some(*lsn)
            }
            None => None,
        };
        let lsn = match joined {
            Some(lsn) => lsn,
            None => {
                let batch = Arc::new(JoinedBatch::begin(base_offset, &record, bytes_max, &self.log.queue)?);
                let waiting = Waiting::Joined { core: self.core.clone(), batch: batch.clone() };
                let lsn = self.log.queue.push(WaitingEntry::One(waiting), true, wake)?;
                state.joined = Some((lsn, batch));
                lsn
            }
        };
        state.next = end_offset;
        if duolog_env::seeded_bug("high_watermark_before_sync") {
            state.high_watermark = end_offset;
        }
        Ok(Appended { base_offset, end_offset, lsn })
    }

    /// Leaves a gap, so that the next batch gets offset `to`. Returns the entry to wait for; nothing happens if the
    /// end is already there.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn skip_to(&self, to: Offset) -> Result<Lsn, AppendError> {
        let mut state = self.core.lock();
        if state.closed {
            return Err(AppendError::Dropped(self.core.id));
        }
        if to <= state.next {
            return Ok(Lsn::ZERO);
        }
        let to = end_of(to, 0)?;
        if state.memory.is_some() {
            return self.skip_in_memory(&mut state, to);
        }
        let skip = Waiting::Skip { core: self.core.clone(), from: state.next, to };
        let lsn = self.log.queue.push(WaitingEntry::One(skip), false, Wake::Now)?;
        state.next = to;
        Ok(lsn)
    }

    /// Moves the log start to `to`, never back and never beyond the high watermark; what lies below is deleted in
    /// time. Returns the entry to wait for before the new start is revealed.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn trim(&self, to: Offset) -> Result<Lsn, AppendError> {
        let mut state = self.core.lock();
        if state.closed {
            return Err(AppendError::Dropped(self.core.id));
        }
        let to = to.min(state.high_watermark);
        if to <= state.start_queued {
            return Ok(state.start_lsn);
        }
        if state.memory.is_some() {
            state.trim_in_memory(to);
            return Ok(Lsn::ZERO);
        }
        let trim = Waiting::Trim { core: self.core.clone(), to };
        let lsn = self.log.queue.push(WaitingEntry::One(trim), false, Wake::Now)?;
        state.start_queued = to;
        state.start_lsn = lsn;
        Ok(lsn)
    }

    /// Deletes the records at `offsets`: from the moment that the entry returned is durable no reader sees them, now or after a
    /// restart. They may be named before they are durable themselves; offsets that weren't taken yet, or that lie below
    /// the log start, are passed over. Deleting twice is no error. Goes on while the disk is full.
    ///
    /// # Errors
    /// As [`append`](Self::append); nothing is deleted then.
    pub fn delete(&self, offsets: &RoaringTreemap) -> Result<Lsn, AppendError> {
        let mut state = self.core.lock();
        if state.closed {
            return Err(AppendError::Dropped(self.core.id));
        }
        if state.memory.is_some() {
            state.delete_in_memory(offsets);
            return Ok(Lsn::ZERO);
        }
        let ranges = ranges::encode(offsets, state.start, state.next);
        if ranges.is_empty() {
            // All of them are below the log start, which a reader sees already.
            return Ok(Lsn::ZERO);
        }
        let waiting = Waiting::Delete { core: self.core.clone(), ranges: ranges.clone() };
        let lsn = self.log.queue.push(WaitingEntry::One(waiting), false, Wake::Now)?;
        if duolog_env::seeded_bug("delete_visible_before_sync") {
            drop(state);
            let ranges: Vec<_> = ranges::decode(&ranges).filter_map(Result::ok).collect();
            if self.core.publish_delete(&ranges) {
                self.log.partitions.list_dirty(&self.core);
            }
        }
        Ok(lsn)
    }
}

pub(super) fn end_of(base: Offset, count: i64) -> Result<Offset, AppendError> {
    let end = base.plus(count);
    if end > Offset::END_MAX { Err(AppendError::OffsetsExhausted { end }) } else { Ok(end) }
}
