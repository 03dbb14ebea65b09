//! A partition whose records are in memory only (JetStream: `storage: memory`).
//!
//! ```text
//! offset   start            high watermark = next      reserved
//!            | batches, by base offset |                  |
//! ```
//!
//! No record of it is ever written: it may be read and acknowledged at once, and is gone after a restart. What is written
//! is how far its offsets may go, a block ahead of them: a gap in the WAL, behind which the partition goes on after a
//! restart, so that no offset is ever given twice. What lies beyond the part that is durable isn't shown: it can be given
//! again.
//!
//! All such partitions share one budget; what is over it is refused.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use duolog_record::{BatchHeader, DecodeBudget, patch_base_offset, patch_leader_epoch, rebuild};
use duolog_types::{LeaderEpoch, Lsn, Nanos, Offset, TimestampMs};
use roaring::RoaringTreemap;

use super::append::{Appended, end_of};
use super::core::{Extent, State, TailEntry};
use super::handle::Partition;
use super::read::ReadSpec;
use crate::entry::NewBatch;
use crate::error::AppendError;
use crate::queue::{Waiting, WaitingEntry, Wake};

/// Offsets are reserved so many at a time.
pub(crate) const BLOCK_OFFSETS: i64 = 1 << 14;
/// What a batch takes beside its bytes, about.
const BATCH_OVERHEAD_BYTES: u64 = 160;

/// Memory that all partitions share whose records are in memory only.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    used: AtomicU64,
    limit: u64,
}

impl MemoryBudget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), limit })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), AppendError> {
        let room = |used: u64| Some(used + bytes).filter(|sum| *sum <= self.limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        taken
            .map(|_| ())
            .map_err(|used| AppendError::MemoryFull { used_bytes: used, limit_bytes: self.limit })
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The records of a partition, and how far its offsets may go.
#[derive(Debug)]
pub(crate) struct Memory {
    budget: Arc<MemoryBudget>,
    batches: BTreeMap<Offset, Stored>,
    /// Bytes of the batches.
    bytes: u64,
    /// Deleted offsets of batches that have others.
    dead: RoaringTreemap,
    /// Offsets below may be given.
    reserved: Offset,
    /// As far as that is durable.
    durable: Offset,
    /// Reservations that aren't: where they end, and their entries.
    queued: VecDeque<(Offset, Lsn)>,
}

#[derive(Debug)]
struct Stored {
    end: Offset,
    bytes: Bytes,
    arrival: Nanos,
    max_timestamp: TimestampMs,
    /// How many records it came with, how many of them are dead, and how many of those aren't in the bytes any more.
    records: u64,
    dead: u64,
    left_out: u64,
}

impl Stored {
    /// Whether the bytes have dead records.
    fn has_dead(&self) -> bool {
        self.dead > self.left_out
    }

    fn cost(&self) -> u64 {
        self.bytes.len() as u64 + BATCH_OVERHEAD_BYTES
    }
}

/// A batch to be read.
#[derive(Debug)]
pub(crate) struct Part {
    pub base: Offset,
    pub end: Offset,
    pub arrival: Nanos,
    bytes: Bytes,
    dead: Option<RoaringTreemap>,
}

impl Part {
    /// The batch without its dead records.
    pub(crate) fn batch(self) -> Result<Bytes, duolog_record::BatchError> {
        match self.dead {
            None => Ok(self.bytes),
            Some(dead) => {
                rebuild(&self.bytes, DecodeBudget::default(), |record| !dead.contains(number(record.offset)))
            }
        }
    }
}

fn number(offset: Offset) -> u64 {
    u64::try_from(offset.0).unwrap_or(0)
}

impl Partition {
    /// From here on the partition's records are in memory only, which all such partitions share
    /// ([`LogConfig::memory_bytes`](crate::LogConfig::memory_bytes)): readable and as good as acknowledged at once, gone
    /// after a restart. No offset is given twice all the same: after a restart the log begins behind every offset that
    /// may have been given. What is there, of this run or an earlier one, is deleted. To be called each time that the log
    /// was opened, before anything is appended.
    pub fn hold_in_memory(&self) {
        let mut state = self.core.lock();
        if state.closed || state.memory.is_some() {
            return;
        }
        let end = state.next;
        if state.start < end {
            let trim = Waiting::Trim { core: self.core.clone(), to: end };
            // What can't be told now is told at the next start; nobody sees the data from here on.
            state.start_lsn =
                self.log.queue.push(WaitingEntry::One(trim), false, Wake::Now).unwrap_or(Lsn::ZERO);
            (state.start, state.start_queued) = (end, end);
        }
        state.memory = Some(Box::new(Memory {
            budget: self.log.memory.clone(),
            batches: BTreeMap::new(),
            bytes: 0,
            dead: RoaringTreemap::new(),
            reserved: end,
            durable: end,
            queued: VecDeque::new(),
        }));
        // So that the first append needn't wait; if it is refused, that asks again.
        let _ = self.reserve(&mut state, end);
    }

    /// Whether its records are in memory only.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.core.lock().memory.is_some()
    }

    pub(super) fn append_in_memory(
        &self,
        state: &mut State,
        batch: &NewBatch,
    ) -> Result<Appended, AppendError> {
        let base_offset = state.next;
        let end_offset = end_of(base_offset, i64::from(batch.offset_count))?;
        let records = BatchHeader::parse(&batch.bytes).map_or(0, |header| header.record_count);
        let mut bytes = BytesMut::from(&batch.bytes[..]);
        patch_base_offset(&mut bytes, base_offset);
        patch_leader_epoch(&mut bytes, LeaderEpoch(0));
        let stored = Stored {
            end: end_offset,
            bytes: bytes.freeze(),
            arrival: batch.arrival,
            max_timestamp: batch.max_timestamp,
            records: u64::try_from(records).unwrap_or(0),
            dead: 0,
            left_out: 0,
        };
        // All of a batch may have been left out: it takes its offsets, and nothing is there to be kept.
        let cost = if stored.records > 0 { stored.cost() } else { 0 };
        self.log.memory.take(cost)?;
        let lsn = self.reserve(state, end_offset).inspect_err(|_| self.log.memory.give_back(cost))?;
        let shown = stored.bytes.len() as u64;
        if let Some(memory) = state.memory.as_mut().filter(|_| cost > 0) {
            memory.put(base_offset, stored);
        }
        state.next = end_offset;
        state.show(shown);
        Ok(Appended { base_offset, end_offset, lsn })
    }

    /// As [`skip_to`](Self::skip_to).
    pub(super) fn skip_in_memory(&self, state: &mut State, to: Offset) -> Result<Lsn, AppendError> {
        let lsn = self.reserve(state, to)?;
        state.next = to;
        state.show(0);
        Ok(lsn)
    }

    /// Has offsets below `end`, and a while on, reserved. Returns what must be durable before `end` is shown.
    fn reserve(&self, state: &mut State, end: Offset) -> Result<Lsn, AppendError> {
        let Some(memory) = &mut state.memory else { return Ok(Lsn::ZERO) };
        // Early enough that nobody waits for it.
        if end.plus(BLOCK_OFFSETS / 2) > memory.reserved {
            let to = end.plus(BLOCK_OFFSETS).min(Offset::END_MAX);
            let skip = Waiting::Skip { core: self.core.clone(), from: memory.reserved, to };
            match self.log.queue.push(WaitingEntry::One(skip), false, Wake::Now) {
                Ok(lsn) => {
                    memory.reserved = to;
                    memory.queued.push_back((to, lsn));
                }
                Err(error) if end > memory.reserved => return Err(error),
                Err(_) => {}
            }
        }
        let covers = memory.queued.iter().find(|(to, _)| *to >= end);
        Ok(covers.filter(|_| end > memory.durable).map_or(Lsn::ZERO, |(_, lsn)| *lsn))
    }
}

impl State {
    /// Shows what may be shown.
    fn show(&mut self, bytes: u64) {
        let Some(memory) = &self.memory else { return };
        self.high_watermark = self.high_watermark.max(memory.visible(self.next));
        self.notify(bytes);
    }

    /// Offsets below `end` are never given again after a restart.
    pub(super) fn reserved(&mut self, end: Offset) {
        let Some(memory) = &mut self.memory else { return };
        memory.durable = memory.durable.max(end);
        while memory.queued.pop_front_if(|(to, _)| *to <= end).is_some() {}
        self.show(0);
    }

    /// The log start moves to `to`, at once.
    pub(super) fn trim_in_memory(&mut self, to: Offset) {
        let Some(memory) = &mut self.memory else { return };
        while memory.batches.first_key_value().is_some_and(|(_, first)| first.end <= to) {
            let Some((base, _)) = memory.batches.first_key_value() else { break };
            let base = *base;
            memory.remove(base);
        }
        (self.start, self.start_queued) = (to, to);
        self.notify(0);
    }

    /// Deletes offsets, at once.
    pub(crate) fn delete_in_memory(&mut self, offsets: &RoaringTreemap) {
        let (start, next) = (number(self.start), number(self.next));
        let Some(memory) = &mut self.memory else { return };
        let mut offsets = offsets.iter();
        offsets.advance_to(start);
        offsets.take_while(|offset| *offset < next).for_each(|offset| memory.delete(offset));
    }
}

impl Memory {
    fn put(&mut self, base: Offset, stored: Stored) {
        self.bytes += stored.bytes.len() as u64;
        if let Some(before) = self.batches.insert(base, stored) {
            // Offsets are given once.
            self.budget.give_back(before.cost());
        }
    }

    fn remove(&mut self, base: Offset) {
        let Some(gone) = self.batches.remove(&base) else { return };
        self.bytes -= gone.bytes.len() as u64;
        self.budget.give_back(gone.cost());
        if gone.dead > 0 {
            self.dead.remove_range(number(base)..number(gone.end));
        }
    }

    fn delete(&mut self, offset: u64) {
        let at = Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        let Some((base, stored)) = self.batches.range_mut(..=at).next_back() else { return };
        let base = *base;
        if stored.end <= at {
            return;
        }
        if stored.end == base.plus(1) {
            return self.remove(base);
        }
        if !self.dead.insert(offset) {
            return;
        }
        stored.dead += 1;
        if stored.dead >= stored.records {
            self.remove(base);
        } else if 2 * (stored.dead - stored.left_out) >= stored.records - stored.left_out {
            self.rewrite(base);
        }
    }

    /// Makes a batch anew of which half is dead.
    fn rewrite(&mut self, base: Offset) {
        let Some(stored) = self.batches.get_mut(&base) else { return };
        let dead = &self.dead;
        let is_left = |record: &duolog_record::Record| !dead.contains(number(record.offset));
        // What can't be taken apart, or gets no smaller, stays until all of it is dead.
        let Ok(bytes) = rebuild(&stored.bytes, DecodeBudget::default(), is_left) else { return };
        let Some(saved) = stored.bytes.len().checked_sub(bytes.len()) else { return };
        self.bytes -= saved as u64;
        self.budget.give_back(saved as u64);
        if let Ok(header) = BatchHeader::parse(&bytes) {
            stored.max_timestamp = header.max_timestamp;
        }
        (stored.bytes, stored.left_out) = (bytes, stored.dead);
    }

    /// One behind the last offset that may be shown, if `next` is the next one to be given.
    fn visible(&self, next: Offset) -> Offset {
        if next <= self.durable {
            return next;
        }
        match self.batches.range(..self.durable).next_back() {
            Some((base, last)) if last.end > self.durable => *base,
            _ => self.durable,
        }
    }

    /// The batches to read; `None` if there is none at all in `from..up_to`.
    pub(super) fn plan(&self, spec: &ReadSpec, up_to: Offset) -> Option<Vec<Part>> {
        let around = self.batches.range(..=spec.from).next_back().filter(|(_, first)| first.end > spec.from);
        let behind = self.batches.range((Bound::Excluded(spec.from), Bound::Unbounded));
        let mut batches = around.into_iter().chain(behind).take_while(|(base, _)| **base < up_to).peekable();
        batches.peek()?;
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for (base, stored) in batches {
            bytes += stored.bytes.len();
            if bytes > spec.max_bytes && !(parts.is_empty() && spec.at_least_one) {
                break;
            }
            let dead = stored.has_dead().then(|| {
                let range = number(*base)..number(stored.end);
                let mut dead = self.dead.iter();
                dead.advance_to(range.start);
                dead.take_while(|offset| range.contains(offset)).collect()
            });
            parts.push(Part {
                base: *base,
                end: stored.end,
                arrival: stored.arrival,
                bytes: stored.bytes.clone(),
                dead,
            });
        }
        Some(parts)
    }

    /// The batches as entries of a tail, each with whether some of it is dead.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = (TailEntry, bool)> + '_ {
        self.batches.iter().map(|(base, stored)| {
            let entry = TailEntry {
                base: *base,
                end: stored.end,
                lsn: Lsn::ZERO,
                file_seq: 0,
                position: 0,
                len: u32::try_from(stored.bytes.len()).unwrap_or(u32::MAX),
                arrival: stored.arrival,
                max_timestamp: stored.max_timestamp,
            };
            (entry, stored.has_dead())
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many offsets of `from..to` are dead in batches that have others.
    pub(super) fn dead_count(&self, from: Offset, to: Offset) -> u64 {
        self.dead.range_cardinality(number(from)..number(to))
    }

    pub(super) fn extent(&self) -> Option<Extent> {
        let (base, first) = self.batches.first_key_value()?;
        let (_, last) = self.batches.last_key_value()?;
        let newest = self.batches.values().map(|stored| stored.max_timestamp).max();
        Some(Extent {
            base_offset: *base,
            end_offset: last.end,
            size_bytes: self.bytes,
            max_timestamp: newest.unwrap_or(first.max_timestamp),
            first_arrival: first.arrival,
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.budget.give_back(self.batches.values().map(Stored::cost).sum());
    }
}
