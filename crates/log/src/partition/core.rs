//! A partition's state: offsets, the index of what isn't checkpointed, the list of segments.
//!
//! ```text
//! offset   start          checkpointed             high watermark      next
//!            | segments ...     | tail: in the WAL (and in memory) | queued |
//! ```
//!
//! One short lock owns all of it. Appending takes offsets under it; the WAL writer publishes under it what became
//! durable; the checkpoint moves the border between segments and tail under it. Nobody does I/O under it.

use std::collections::VecDeque;
use std::sync::Arc;

use duolog_types::{Lsn, Nanos, Offset, PartitionId, TimestampMs};
use parking_lot::{Mutex, MutexGuard};

use crate::dead::ranges::Range;
use crate::dead::set::DeadSet;
use crate::joined::JoinedBatch;
use crate::segment::SegmentMeta;
use crate::watch::Registration;

use super::memory::Memory;

/// A partition, shared by its handles, the queue and the checkpoint.
#[derive(Debug)]
pub(crate) struct Core {
    pub id: PartitionId,
    state: Mutex<State>,
}

/// A durable batch (or gap) that isn't checkpointed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailEntry {
    pub base: Offset,
    /// One behind the last offset.
    pub end: Offset,
    pub lsn: Lsn,
    pub file_seq: u64,
    /// Where the batch begins in the WAL file.
    pub position: u64,
    /// The batch's bytes; 0 for a gap.
    pub len: u32,
    pub arrival: Nanos,
    pub max_timestamp: TimestampMs,
}

impl TailEntry {
    /// Offsets that no record has.
    pub(crate) fn gap(base: Offset, end: Offset, lsn: Lsn) -> Self {
        let (arrival, max_timestamp) = (Nanos(0), TimestampMs(-1));
        Self { base, end, lsn, file_seq: 0, position: 0, len: 0, arrival, max_timestamp }
    }

    /// What is left when its records are dead: when they came, retention still asks.
    fn into_gap(self) -> Self {
        Self { file_seq: 0, position: 0, len: 0, ..self }
    }

    pub(crate) fn is_gap(&self) -> bool {
        self.len == 0
    }
}

/// See the module's picture.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The next offset to be taken.
    pub next: Offset,
    /// The batch of single records that was queued last, and its entry; it may be taken by now.
    pub joined: Option<(Lsn, Arc<JoinedBatch>)>,
    pub high_watermark: Offset,
    /// First offset that may be read; durable.
    pub start: Offset,
    /// Where the newest queued trim moves it.
    pub start_queued: Offset,
    /// The entry that moved it there.
    pub start_lsn: Lsn,
    /// Its creation is durable.
    pub created: bool,
    /// A drop is queued: nothing more may be appended.
    pub closed: bool,
    /// The drop is durable.
    pub dropped: bool,
    pub tail: VecDeque<TailEntry>,
    pub tail_bytes: u64,
    /// Offsets below stand in segments (or are dead).
    pub checkpointed: Offset,
    pub segments: Vec<SegmentMeta>,
    /// Deleted offsets at and above the log start (and some below it); durable.
    pub dead: DeadSet,
    /// The partition stands in the list that the next checkpoint visits.
    pub listed_dirty: bool,
    pub watchers: Vec<Arc<Registration>>,
    /// A segment is sealed at this size; 0 takes the log's setting.
    pub segment_bytes: u64,
    /// Where its records are, if they are in memory only: the tail then holds nothing but reservations.
    pub memory: Option<Box<Memory>>,
}

/// A stretch of a partition, for retention and `describe`: a segment, or (the last) what isn't checkpointed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its first offset.
    pub base_offset: Offset,
    /// One behind its last offset.
    pub end_offset: Offset,
    /// Bytes of its batches.
    pub size_bytes: u64,
    /// The largest record timestamp in it.
    pub max_timestamp: TimestampMs,
    /// When its first batch arrived.
    pub first_arrival: Nanos,
}

impl Core {
    pub(crate) fn new(id: PartitionId) -> Arc<Self> {
        Arc::new(Self { id, state: Mutex::default() })
    }

    pub(crate) fn with_state(id: PartitionId, state: State) -> Arc<Self> {
        Arc::new(Self { id, state: Mutex::new(state) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A batch or gap became durable: it may be read from now on. Returns whether the partition became dirty.
    pub(crate) fn publish(&self, entry: TailEntry) -> bool {
        let mut state = self.lock();
        state.push_tail(entry);
        if state.memory.is_some() {
            state.reserved(entry.end);
        } else {
            state.high_watermark = entry.end;
            state.notify(u64::from(entry.len));
        }
        state.mark_dirty()
    }

    /// A trim became durable.
    pub(crate) fn publish_trim(&self, to: Offset) -> bool {
        let mut state = self.lock();
        state.start = state.start.max(to);
        let start = state.start;
        state.dead.forget_below(start);
        state.notify(0);
        state.mark_dirty()
    }

    /// A delete became durable. Returns whether the partition became dirty.
    pub(crate) fn publish_delete(&self, ranges: &[Range]) -> bool {
        let mut state = self.lock();
        for range in ranges {
            state.delete(*range);
        }
        state.mark_dirty()
    }

    /// The partition's end became durable.
    pub(crate) fn publish_drop(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.dropped = true;
        state.tail = VecDeque::new();
        state.tail_bytes = 0;
        state.memory = None;
        state.notify(0);
    }

    pub(crate) fn watch(&self, registration: Arc<Registration>) {
        self.lock().watchers.push(registration);
    }

    pub(crate) fn unwatch(&self, registration: &Arc<Registration>) {
        let mut state = self.lock();
        state.watchers.retain(|watcher| !Arc::ptr_eq(watcher, registration));
        if state.watchers.is_empty() {
            state.watchers = Vec::new();
        }
    }
}

impl State {
    pub(crate) fn push_tail(&mut self, entry: TailEntry) {
        debug_assert!(
            self.tail.back().is_none_or(|last| last.end == entry.base),
            "offsets must be contiguous"
        );
        // After a restart, a delete may be known before what it deleted.
        let entry = if self.dead.covers(entry.base, entry.end) { entry.into_gap() } else { entry };
        self.tail_bytes += u64::from(entry.len);
        self.tail.push_back(entry);
    }

    /// Takes `range` into the dead; batches of the tail of which nothing is left become gaps, whose bytes the checkpoint needn't
    /// write.
    pub(crate) fn delete(&mut self, range: Range) {
        let range = Range { base: range.base.max(self.start), end: range.end.min(self.next) };
        self.dead.insert(range);
        let mut at = self.tail.partition_point(|entry| entry.end <= range.base);
        while let Some(entry) = self.tail.get_mut(at)
            && entry.base < range.end
        {
            if !entry.is_gap() && self.dead.covers(entry.base, entry.end) {
                self.tail_bytes -= u64::from(entry.len);
                *entry = entry.into_gap();
            }
            at += 1;
        }
    }

    pub(super) fn notify(&self, bytes: u64) {
        for watcher in &self.watchers {
            watcher.notify(bytes);
        }
    }

    /// Returns whether the caller has to put the partition into the dirty list.
    pub(crate) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.listed_dirty, true)
    }

    /// The checkpoint has the first `count` tail entries in segments now (or found them dead).
    pub(crate) fn drain_tail(&mut self, count: usize, segments: Vec<SegmentMeta>) {
        for entry in self.tail.drain(..count) {
            self.tail_bytes -= u64::from(entry.len);
            self.checkpointed = entry.end;
        }
        if self.tail.is_empty() {
            self.tail = VecDeque::new();
        }
        self.segments = segments;
    }

    pub(crate) fn extents(&self) -> Vec<Extent> {
        if let Some(memory) = &self.memory {
            return memory.extent().into_iter().collect();
        }
        let mut extents: Vec<Extent> = self
            .segments
            .iter()
            .filter(|segment| segment.end > self.start)
            .map(|segment| Extent {
                base_offset: segment.base,
                end_offset: segment.end,
                size_bytes: segment.live_bytes(self.dead.count_in(segment.base, segment.end)),
                max_timestamp: segment.max_timestamp,
                first_arrival: segment.first_arrival,
            })
            .collect();
        let mut live = self.tail.iter().filter(|entry| entry.end > self.start);
        if let Some(first) = live.next() {
            let mut extent = Extent {
                base_offset: first.base,
                end_offset: first.end,
                size_bytes: u64::from(first.len),
                max_timestamp: first.max_timestamp,
                first_arrival: first.arrival,
            };
            for entry in live {
                extent.end_offset = entry.end;
                extent.size_bytes += u64::from(entry.len);
                extent.max_timestamp = extent.max_timestamp.max(entry.max_timestamp);
            }
            extents.push(extent);
        }
        extents
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        if let Some(memory) = &self.memory {
            return memory.bytes();
        }
        let in_segments: u64 = self
            .segments
            .iter()
            .filter(|segment| segment.end > self.start)
            .map(|segment| segment.live_bytes(self.dead.count_in(segment.base, segment.end)))
            .sum();
        in_segments + self.tail_bytes
    }
}
