//! Entries that wait for the WAL, in the order of their LSNs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use duolog_types::{Lsn, Offset};
use parking_lot::{Condvar, Mutex};

use crate::entry::NewBatch;
use crate::error::{AppendError, Poisoned};
use crate::joined::JoinedBatch;
use crate::partition::core::Core;
use crate::table::TableId;
use crate::wal::frame::{ENTRY_HEADER_BYTES, FrameHeader};

/// What an entry of one batch takes besides that batch.
const LONE_BATCH_OVERHEAD_BYTES: u64 = 128;

/// A batch with its place in its partition.
#[derive(Debug)]
pub(crate) struct PlacedBatch {
    pub core: Arc<Core>,
    pub base_offset: Offset,
    pub batch: NewBatch,
    /// It was made of records that came one by one.
    pub of_single_records: bool,
}

impl PlacedBatch {
    pub(crate) fn header(&self) -> FrameHeader {
        FrameHeader::Batch {
            partition: self.core.id,
            base_offset: self.base_offset,
            offset_count: self.batch.offset_count,
            arrival: self.batch.arrival,
            max_timestamp: self.batch.max_timestamp,
            of_single_records: self.of_single_records,
        }
    }
}

/// A frame that waits.
#[derive(Debug)]
pub(crate) enum Waiting {
    Batch(PlacedBatch),
    /// Single records that reach one partition while this waits. Becomes a batch when it is taken.
    Joined {
        core: Arc<Core>,
        batch: Arc<JoinedBatch>,
    },
    State {
        table: TableId,
        shard: u32,
        change: Bytes,
    },
    Create(Arc<Core>),
    Drop(Arc<Core>),
    Trim {
        core: Arc<Core>,
        to: Offset,
    },
    Skip {
        core: Arc<Core>,
        from: Offset,
        to: Offset,
    },
    /// `ranges` is the frame's payload.
    Delete {
        core: Arc<Core>,
        ranges: Bytes,
    },
}

impl Waiting {
    pub(crate) fn header(&self) -> FrameHeader {
        match self {
            Self::Batch(placed) => placed.header(),
            Self::Joined { core, batch } => batch.header(core.id),
            Self::State { table, shard, .. } => FrameHeader::State { table: *table, shard: *shard },
            Self::Create(core) => FrameHeader::Create { partition: core.id },
            Self::Drop(core) => FrameHeader::Drop { partition: core.id },
            Self::Trim { core, to } => FrameHeader::Trim { partition: core.id, to: *to },
            Self::Delete { core, .. } => FrameHeader::Delete { partition: core.id },
            Self::Skip { core, from, to } => FrameHeader::Skip { partition: core.id, from: *from, to: *to },
        }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        match self {
            Self::Batch(placed) => &placed.batch.bytes,
            Self::State { change, .. } => change,
            Self::Delete { ranges, .. } => ranges,
            // Its bytes are had once it is closed.
            Self::Joined { .. } => &[],
            Self::Create(_) | Self::Drop(_) | Self::Trim { .. } | Self::Skip { .. } => &[],
        }
    }

    fn encoded_bytes(&self) -> usize {
        let payload_bytes = match self {
            Self::Joined { batch, .. } => batch.size_bytes(),
            other => other.payload().len(),
        };
        self.header().encoded_bytes() + payload_bytes
    }
}

/// An entry that waits. Nearly all are one batch, and those cost no allocation here.
#[derive(Debug)]
pub(crate) enum WaitingEntry {
    One(Waiting),
    Many(Vec<Waiting>),
}

impl WaitingEntry {
    pub(crate) fn frames(&self) -> &[Waiting] {
        match self {
            Self::One(frame) => std::slice::from_ref(frame),
            Self::Many(frames) => frames,
        }
    }

    pub(crate) fn frames_bytes(&self) -> usize {
        self.frames().iter().map(Waiting::encoded_bytes).sum()
    }

    /// Nothing joins this entry any more.
    fn close(&self) {
        if let Self::One(Waiting::Joined { batch, .. }) = self {
            batch.close();
        }
    }

    /// Makes an ordinary batch of a closed one.
    fn seal(&mut self) {
        if let Self::One(Waiting::Joined { core, batch }) = self
            && let Some((base_offset, batch)) = batch.take()
        {
            *self = Self::One(Waiting::Batch(PlacedBatch {
                core: core.clone(),
                base_offset,
                batch,
                of_single_records: true,
            }));
        }
    }
}

/// The queue between those who append and the one who writes.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Bytes that wait: changed under the state's lock, and by a record that joins a waiting batch under that batch's.
    bytes: AtomicU64,
    news: Condvar,
    limit_bytes: u64,
    entry_limit_bytes: u64,
}

/// While the WAL waits for room, control entries may take this part of the queue's limit.
const WAITING_CONTROL_PART: u64 = 8;

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<WaitingEntry>,
    last_lsn: Lsn,
    poisoned: Option<Poisoned>,
    closing: bool,
    writer_waits: bool,
    /// The WAL has no room for what was taken last, and takes nothing more until it has.
    stuck: bool,
    /// Bytes of control entries that were queued since.
    stuck_control_bytes: u64,
    /// There may be room again.
    room: bool,
    /// The writer shall look again at when to seal.
    look_again: bool,
}

/// Whether an append wakes the one who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Now,
    /// Whoever appends asks for the commit by itself, once for all that it appends.
    Later,
}

/// What the writer is woken for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Entries wait.
    Entries,
    /// Somebody else writes a group.
    Unsealed,
    /// Nothing came in the time given.
    Quiet,
    /// The log is closing and nothing waits any more.
    Closed,
}

impl Queue {
    pub(crate) fn new(last_lsn: Lsn, limit_bytes: u64, entry_limit_bytes: u64) -> Self {
        Self {
            state: Mutex::new(State { last_lsn, ..State::default() }),
            bytes: AtomicU64::new(0),
            news: Condvar::new(),
            limit_bytes,
            entry_limit_bytes,
        }
    }

    /// Queues an entry and gives its LSN. Control entries (no batch) may exceed the queue's limit, so that acks and
    /// commits go on when data waits; while the WAL waits for room, they have a limit of their own.
    pub(crate) fn push(&self, entry: WaitingEntry, is_data: bool, wake: Wake) -> Result<Lsn, AppendError> {
        let bytes = (ENTRY_HEADER_BYTES + entry.frames_bytes()) as u64;
        if bytes > self.entry_limit_bytes {
            return Err(AppendError::TooLarge { bytes, limit_bytes: self.entry_limit_bytes });
        }
        let mut state = self.state.lock();
        if let Some(reason) = &state.poisoned {
            return Err(reason.clone().into());
        }
        if is_data {
            self.admit()?;
        }
        if state.stuck && !is_data {
            let limit_bytes = self.limit_bytes / WAITING_CONTROL_PART;
            let queued_bytes = state.stuck_control_bytes + bytes;
            if queued_bytes > limit_bytes {
                return Err(AppendError::Overloaded { queued_bytes, limit_bytes });
            }
            state.stuck_control_bytes = queued_bytes;
        }
        self.joined(bytes);
        state.last_lsn = Lsn(state.last_lsn.0 + 1);
        let lsn = state.last_lsn;
        state.entries.push_back(entry);
        let wake = wake == Wake::Now && std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.news.notify_one();
        }
        Ok(lsn)
    }

    /// Is there room for more data?
    pub(crate) fn admit(&self) -> Result<(), AppendError> {
        let queued_bytes = self.bytes();
        if queued_bytes > self.limit_bytes {
            return Err(AppendError::Overloaded { queued_bytes, limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    /// `bytes` more wait.
    pub(crate) fn joined(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The largest frame payload that an entry of one batch may have.
    pub(crate) fn batch_limit_bytes(&self) -> u64 {
        self.entry_limit_bytes.saturating_sub(LONE_BATCH_OVERHEAD_BYTES)
    }

    /// Wakes the writer for what was queued without waking it.
    pub(crate) fn wake_writer(&self) {
        let mut state = self.state.lock();
        let wake = !state.entries.is_empty() && std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.news.notify_one();
        }
    }

    /// Tells the writer that somebody else writes a group, which is to be sealed.
    pub(crate) fn tell_unsealed(&self) {
        let mut state = self.state.lock();
        state.look_again = true;
        let wake = std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.news.notify_one();
        }
    }

    /// Whether exactly one entry waits.
    pub(crate) fn has_one(&self) -> bool {
        self.state.lock().entries.len() == 1
    }

    /// Takes what fits one group: entries in order, up to `limit_bytes` of payload, but at least one. Nothing joins
    /// them from here on.
    pub(crate) fn take(&self, limit_bytes: u64, into: &mut Vec<WaitingEntry>) {
        let mut state = self.state.lock();
        let mut taken = 0;
        let first = into.len();
        while let Some(entry) = state.entries.front() {
            let bytes = (ENTRY_HEADER_BYTES + entry.frames_bytes()) as u64;
            if taken > 0 && taken + bytes > limit_bytes {
                break;
            }
            entry.close();
            // Only now is its size final.
            taken += (ENTRY_HEADER_BYTES + entry.frames_bytes()) as u64;
            into.extend(state.entries.pop_front());
        }
        self.bytes.fetch_sub(taken, Ordering::Relaxed);
        drop(state);
        // Headers and checksums are made outside of the lock that everybody who appends waits for.
        into[first..].iter_mut().for_each(WaitingEntry::seal);
    }

    /// Waits until entries are there, at most `patience` (for ever, if `None`).
    pub(crate) fn wait(&self, patience: Option<Duration>) -> News {
        let mut state = self.state.lock();
        loop {
            if !state.entries.is_empty() {
                return News::Entries;
            }
            if std::mem::take(&mut state.look_again) {
                return News::Unsealed;
            }
            if state.closing {
                return News::Closed;
            }
            state.writer_waits = true;
            let timed_out = match patience {
                Some(patience) => self.news.wait_for(&mut state, patience).timed_out(),
                None => {
                    self.news.wait(&mut state);
                    false
                }
            };
            if timed_out && state.entries.is_empty() && !state.look_again && !state.closing {
                return News::Quiet;
            }
        }
    }

    /// Waits until there may be room for the WAL, at most `patience`. Returns whether the log is closing.
    pub(crate) fn wait_for_room(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.room && !state.closing && state.poisoned.is_none() {
            // What is queued meanwhile needn't wake anybody; a wake-up too many is only a try more.
            self.news.wait_for(&mut state, patience);
        }
        state.room = false;
        state.closing
    }

    /// Tells the writer that there may be room.
    pub(crate) fn tell_room(&self) {
        let mut state = self.state.lock();
        state.room = state.stuck;
        if state.stuck {
            drop(state);
            self.news.notify_one();
        }
    }

    /// Says whether the WAL waits for room.
    pub(crate) fn set_stuck(&self, stuck: bool) {
        let mut state = self.state.lock();
        state.stuck = stuck;
        state.stuck_control_bytes = 0;
        state.room = false;
    }

    /// Whether less than half of what may wait without room waits.
    pub(crate) fn admits_control(&self) -> bool {
        let state = self.state.lock();
        !state.stuck || state.stuck_control_bytes < self.limit_bytes / WAITING_CONTROL_PART / 2
    }

    /// Whether the WAL waits for room.
    pub(crate) fn is_stuck(&self) -> bool {
        self.state.lock().stuck
    }

    /// The newest LSN given.
    pub(crate) fn last_lsn(&self) -> Lsn {
        self.state.lock().last_lsn
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Refuses everything from now on; what waits is forgotten.
    pub(crate) fn poison(&self, reason: Poisoned) {
        let mut state = self.state.lock();
        state.poisoned.get_or_insert(reason);
        for entry in std::mem::take(&mut state.entries) {
            // What joined from here on would wait for ever.
            entry.close();
            self.bytes.fetch_sub((ENTRY_HEADER_BYTES + entry.frames_bytes()) as u64, Ordering::Relaxed);
        }
        drop(state);
        self.news.notify_one();
    }

    /// The writer ends when what waits is written; later entries are refused.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        state.poisoned.get_or_insert(Poisoned { action: "append", detail: "the log was closed".into() });
        drop(state);
        self.news.notify_one();
    }
}
