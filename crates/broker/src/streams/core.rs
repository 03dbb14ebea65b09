//! What one stream knows, under its one lock: index, dedup window, cursors, and what is to be deleted in the log.
//!
//! A message is gone here at once; the log's delete follows: in the same entry where a client waits for it (purge,
//! delete, ack), else in one entry for many ([`State::flush`]), since limits that were broken once are enforced again by
//! recovery. A checkpoint flushes first, so that what a snapshot doesn't have the log hasn't either.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Weak};

use duolog_log::AppendError;
use duolog_types::{Lsn, Nanos, Offset, PartitionId, Sequence};
use parking_lot::{Mutex, MutexGuard};
use roaring::RoaringTreemap;

use super::dedup::Dedup;
use super::headers::Ttl;
use super::index::{Entry as Known, Filter, Index};
use super::timers::Timers;
use super::topic::Tail;
use super::{DiscardPolicy, Interest, StorageType, StreamConfig, StreamState};
use crate::codec::{CodecError, Reader, Writer};

/// So many deletes wait for one entry of their own, or so long (nanoseconds).
const EVICTIONS_MAX: u64 = 256;
const FLUSH_AFTER: u64 = 20_000_000;

/// A stream, shared by its handle, its partition, its cursors and the table that stores it.
pub(crate) struct StreamCore {
    pub(crate) id: PartitionId,
    pub(crate) timers: Arc<Timers>,
    state: Mutex<State>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct State {
    /// None: a topic's partition that nobody asked for its subjects yet, or (while recovery runs) any stream.
    pub(crate) config: Option<Arc<StreamConfig>>,
    pub(crate) log: Option<duolog_log::Partition>,
    /// A topic's partition: no limits, its index follows the log, and of it only the dedup window is stored.
    pub(crate) of_topic: bool,
    /// A topic's partition: what came since somebody asked for more than readers may see.
    pub(crate) tail: Option<Tail>,
    pub(crate) index: Index,
    pub(crate) dedup: Dedup,
    /// Id of the last message; empty if it had none.
    pub(crate) last_msg_id: Vec<u8>,
    /// When single messages expire: nanoseconds and sequence.
    pub(crate) expiries: BinaryHeap<Reverse<(u64, u64)>>,
    pub(crate) cursors: Vec<Option<CursorState>>,
    /// Who is asked whether a message is wanted. Weak: whoever it is holds the stream.
    pub(crate) interest: Option<Weak<dyn Interest>>,
    /// The newest entry that is included.
    pub(crate) as_of: Lsn,
    /// The batch of single records that the newest message may have joined, and when that one's first came.
    pub(crate) joined: Option<(Lsn, Nanos)>,
    /// Offsets that are gone here and not yet in the log.
    evicted: RoaringTreemap,
    /// When they are to be told, nanoseconds.
    flush_at: Option<u64>,
    /// Until when nothing expires by age: a marker could not be stored.
    hold_age_until: u64,
    /// When the timer comes.
    pub(crate) armed: Option<u64>,
    /// It was purged as a whole: an empty stream says where it goes on then, even if nothing was ever stored.
    pub(crate) has_begun: bool,
    /// Something changed since the last snapshot.
    pub(crate) dirty: bool,
}

/// A cursor's part of the stream.
pub(crate) struct CursorState {
    pub(crate) filter: Filter,
    pub(crate) position: u64,
    /// From `position` up to here nothing matches, so the next message isn't looked for twice. Below `position`: it
    /// wasn't looked for.
    pub(crate) looked: u64,
    /// The next messages that matched when they were last asked for: all of them up to the last in here. Some may be
    /// gone since.
    pub(crate) ahead: VecDeque<u64>,
    pub(crate) pending: u64,
}

/// A message to be put into the index.
pub(crate) struct Stored<'a> {
    pub(crate) sequence: u64,
    pub(crate) subject: &'a str,
    pub(crate) bytes: u32,
    pub(crate) time: u64,
    pub(crate) msg_id: &'a [u8],
    pub(crate) ttl: Ttl,
    /// It marks that its subject's last message expired.
    pub(crate) is_marker: bool,
}

impl StreamCore {
    pub(crate) fn new(id: PartitionId, timers: Arc<Timers>) -> Self {
        Self { id, timers, state: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Has the timer come when something is due next. Under the lock.
    pub(crate) fn arm(self: &Arc<Self>, state: &mut State) {
        if let Some(at) = state.next_deadline()
            && state.armed.is_none_or(|armed| at < armed)
        {
            state.armed = Some(at);
            self.timers.arm(self, at);
        }
    }
}

impl StreamCore {
    /// Deletes what Kafka's DeleteRecords names: everything below an offset.
    pub(crate) fn trim(&self, to: Offset) -> Result<Lsn, AppendError> {
        let mut state = self.lock();
        let log = state.log.clone().ok_or(AppendError::Dropped(self.id))?;
        let lsn = log.trim(to)?;
        state.catch_up_with_start(to);
        state.as_of = state.as_of.max(lsn);
        Ok(lsn)
    }
}

impl std::fmt::Debug for StreamCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamCore({})", self.id)
    }
}

pub(crate) fn nanos(time: Nanos) -> u64 {
    u64::try_from(time.0).unwrap_or(0)
}

fn as_nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    /// Takes a message over that the log has taken (or that recovery hands in).
    pub(crate) fn put(&mut self, message: &Stored<'_>) {
        let Stored { sequence, subject, bytes, time, msg_id, ttl, is_marker } = *message;
        self.remember(msg_id, sequence, time);
        let added = self.index.append(sequence, subject, bytes, time);
        let expires = match ttl {
            Ttl::None => None,
            Ttl::Never => Some(u64::MAX),
            Ttl::Seconds(seconds) => Some(time.saturating_add(seconds.saturating_mul(1_000_000_000))),
        };
        if let Some(at) = expires {
            let at = self.index.set_expiry(sequence, at, is_marker);
            if at != u64::MAX {
                self.expiries.push(Reverse((at, sequence)));
            }
        }
        for cursor in self.cursors.iter_mut().flatten() {
            if added.is_new {
                cursor.filter.assigned(added.subject, subject);
            }
            if sequence >= cursor.position && cursor.filter.contains(added.subject) {
                cursor.pending += 1;
            }
        }
        self.dirty = true;
    }

    /// A sequence was given to a message that isn't kept.
    pub(crate) fn put_nothing(&mut self, sequence: u64, time: u64, msg_id: &[u8]) {
        self.remember(msg_id, sequence, time);
        self.index.skip_to(sequence);
        self.index.touch(time);
        self.dirty = true;
    }

    fn remember(&mut self, msg_id: &[u8], sequence: u64, time: u64) {
        self.last_msg_id.clear();
        self.last_msg_id.extend_from_slice(msg_id);
        // A topic's window holds what NATS clients sent: `append` put it there.
        if !msg_id.is_empty() && !self.of_topic {
            self.remember_id(msg_id, sequence, time);
        }
    }

    /// Puts an id into the window.
    pub(crate) fn remember_id(&mut self, msg_id: &[u8], sequence: u64, time: u64) {
        let window = self.window();
        self.dedup.expire(time, window);
        self.dedup.insert(msg_id, sequence, time, window);
        self.dirty = true;
    }

    /// The dedup window, nanoseconds.
    pub(crate) fn window(&self) -> u64 {
        let window = self.config.as_ref().and_then(|config| config.duplicate_window);
        window.map_or(120_000_000_000, as_nanos)
    }

    /// Takes a message away here; [`State::flush`] does so in the log.
    pub(crate) fn evict(&mut self, sequence: u64) -> Option<Known> {
        let entry = self.forget(sequence)?;
        self.evicted.insert(sequence - 1);
        self.flush_at.get_or_insert(self.index.last_time().saturating_add(FLUSH_AFTER));
        Some(entry)
    }

    /// Takes a message away here; the caller does so in the log.
    pub(crate) fn forget(&mut self, sequence: u64) -> Option<Known> {
        let entry = self.index.remove(sequence)?;
        for cursor in self.cursors.iter_mut().flatten() {
            if sequence >= cursor.position && cursor.filter.contains(entry.subject) {
                cursor.pending = cursor.pending.saturating_sub(1);
            }
        }
        for id in self.index.sweep() {
            self.cursors.iter_mut().flatten().for_each(|cursor| cursor.filter.freed(id));
        }
        self.dirty = true;
        Some(entry)
    }

    /// Evicts what is beyond the limits: of one subject (the one of the message just stored), or of all.
    pub(crate) fn enforce_limits(&mut self, subject: Option<&str>) {
        let Some(config) = self.config.clone() else { return };
        if let Some(limit) = config.max_msgs_per_subject {
            match subject {
                Some(subject) => {
                    if let Some(id) = self.index.subjects.find(subject) {
                        self.enforce_subject(id, limit);
                    }
                }
                None => {
                    for id in self.index.subjects.with_more_than(limit) {
                        self.enforce_subject(id, limit);
                    }
                }
            }
        }
        let over = |state: &Self| {
            config.max_msgs.is_some_and(|limit| state.index.messages() > limit)
                || config.max_bytes.is_some_and(|limit| state.index.bytes() > limit)
        };
        while over(self) && self.index.messages() > 0 {
            let first = self.index.first();
            if self.evict(first).is_none() {
                break;
            }
        }
    }

    fn enforce_subject(&mut self, id: super::index::SubjectId, limit: u64) {
        while self.index.count_of(id) > limit {
            let Some(first) = self.index.first_of(id) else { return };
            if self.evict(first).is_none() {
                return;
            }
        }
    }

    /// Whether its messages are in memory only.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.storage == StorageType::Memory)
    }

    /// Whether anybody wants a message of this subject.
    pub(crate) fn is_wanted(&self, subject: &str) -> bool {
        let interest = self.interest.as_ref().and_then(Weak::upgrade);
        interest.is_some_and(|interest| interest.wants(subject))
    }

    /// Whether a message of `bytes` may be stored where new ones are refused at a limit.
    pub(crate) fn refusal(
        &mut self,
        subject: &str,
        bytes: u64,
        is_rollup: bool,
    ) -> Option<super::PublishError> {
        use super::PublishError as Error;
        let config = self.config.clone()?;
        if config.discard != DiscardPolicy::New {
            return None;
        }
        // The oldest of the subject goes for it.
        let mut goes = None;
        if let Some(limit) = config.max_msgs_per_subject
            && let Some(id) = self.index.subjects.find(subject)
            && self.index.count_of(id) > 0
            && self.index.count_of(id) + 1 > limit
        {
            if config.discard_new_per_subject && !is_rollup {
                return Some(Error::MaxMessagesPerSubject);
            }
            goes = self.index.first_of(id).and_then(|first| self.index.get(first));
        }
        if config.max_msgs.is_some_and(|limit| self.index.messages() >= limit) && goes.is_none() {
            return Some(Error::MaxMessages);
        }
        if config.max_bytes.is_some_and(|limit| self.index.bytes() + bytes > limit)
            && goes.is_none_or(|goes| u64::from(goes.bytes) < bytes)
        {
            return Some(Error::MaxBytes);
        }
        None
    }

    /// Writes what the log doesn't know yet to be gone.
    pub(crate) fn put_evicted(&self, writer: &mut Writer) {
        writer.varint(self.evicted.len());
        let mut behind = 0;
        for offset in &self.evicted {
            writer.varint(offset - behind);
            behind = offset;
        }
    }

    /// Takes over what [`State::put_evicted`] wrote.
    pub(crate) fn take_evicted(&mut self, reader: &mut Reader<'_>) -> Result<(), CodecError> {
        let mut offset = 0u64;
        for _ in 0..reader.varint("evicted count")? {
            let distance = reader.varint("evicted offset")?;
            offset = offset.checked_add(distance).ok_or_else(|| reader.invalid("evicted offset"))?;
            self.evicted.insert(offset);
        }
        Ok(())
    }

    /// Tells the log what is gone here, if it is much or `now`.
    pub(crate) fn flush(&mut self, now: bool) -> Result<(), AppendError> {
        // What is in memory is free when the log knows.
        let now = now || self.is_in_memory();
        if self.evicted.is_empty() || (!now && self.evicted.len() < EVICTIONS_MAX) {
            return Ok(());
        }
        let Some(log) = self.log.clone() else { return Ok(()) };
        self.flush_at = None;
        let gone = std::mem::take(&mut self.evicted);
        match self.delete(&log, gone.clone()) {
            Ok(lsn) => {
                self.as_of = self.as_of.max(lsn);
                Ok(())
            }
            Err(error) => {
                self.evicted |= gone;
                Err(error)
            }
        }
    }

    /// Deletes offsets in the log: by its start, as far as everything below goes, the rest one by one.
    fn delete(&self, log: &duolog_log::Partition, mut gone: RoaringTreemap) -> Result<Lsn, AppendError> {
        let start = Sequence(self.index.first()).offset().min(log.high_watermark());
        let mut lsn = Lsn::ZERO;
        if start > log.start() {
            lsn = log.trim(start)?;
            gone.remove_range(..u64::try_from(start.0).unwrap_or(0));
        }
        if !gone.is_empty() {
            lsn = lsn.max(log.delete(&gone)?);
        }
        Ok(lsn)
    }

    /// Deletes these, and whatever else waits, now.
    pub(crate) fn delete_now(&mut self, offsets: RoaringTreemap) -> Result<(), AppendError> {
        self.evicted |= offsets;
        self.flush(true)
    }

    /// Lets go of what is too old at `now`. Returns the subjects whose last message expired and its sequence, if markers are
    /// wanted.
    pub(crate) fn expire(&mut self, now: u64) -> Vec<(String, u64)> {
        let Some(config) = self.config.clone() else { return Vec::new() };
        let wants_markers = config.subject_delete_marker_ttl.is_some();
        let mut marked = Vec::new();
        let mut due = Vec::new();
        while let Some(Reverse((at, sequence))) = self.expiries.peek().copied() {
            if at > now {
                break;
            }
            self.expiries.pop();
            due.push(sequence);
        }
        due.sort_unstable();
        if let Some(age) = config.max_age.map(as_nanos) {
            let mut next = self.index.next_live(0);
            while let Some(sequence) = next {
                if self.index.get(sequence).is_none_or(|entry| entry.time.saturating_add(age) > now) {
                    break;
                }
                if !self.index.never_expires(sequence) {
                    self.expire_one(sequence, wants_markers, &mut marked);
                }
                next = self.index.next_live(sequence + 1);
            }
        }
        for sequence in due {
            self.expire_one(sequence, wants_markers, &mut marked);
        }
        let window = self.window();
        self.dedup.expire(now, window);
        marked
    }

    fn expire_one(&mut self, sequence: u64, wants_markers: bool, marked: &mut Vec<(String, u64)>) {
        let Some(entry) = self.index.get(sequence) else { return };
        // A marker leaves no marker, and a subject's last message stays until its marker is stored.
        if wants_markers && self.index.count_of(entry.subject) == 1 && !self.index.is_marker(sequence) {
            marked.push((self.index.subjects.text(entry.subject).to_owned(), sequence));
            return;
        }
        self.evict(sequence);
    }

    /// A message's expiry is tried again later.
    pub(crate) fn expires_later(&mut self, sequence: u64, at: u64) {
        self.expiries.push(Reverse((at, sequence)));
        self.hold_age_until = at;
    }

    /// When the next message is too old, nanoseconds.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let config = self.config.as_ref()?;
        let by_age = config.max_age.and_then(|age| {
            let mut live = self.index.iter_live(self.index.first());
            let first = live.find(|sequence| !self.index.never_expires(*sequence))?;
            let due = self.index.get(first)?.time.saturating_add(as_nanos(age));
            // Not again and again for one that waits for its marker.
            Some(due.max(self.hold_age_until))
        });
        let by_ttl = self.expiries.peek().map(|Reverse((at, _))| *at);
        by_age.into_iter().chain(by_ttl).chain(self.flush_at).min()
    }

    /// Takes the configuration's limits up: of a stream that was opened or changed.
    pub(crate) fn settle(&mut self, now: u64) {
        let Some(config) = self.config.clone() else { return };
        if config.max_msgs_per_subject.is_some_and(|limit| limit > 1) {
            self.index.keep_links();
        }
        let in_time = self.index.expiries().filter(|(_, at)| *at != u64::MAX);
        self.expiries = in_time.map(|(sequence, at)| Reverse((at, sequence))).collect();
        let window = self.window();
        self.dedup.expire(now, window);
        self.enforce_limits(None);
    }

    pub(crate) fn view(&self) -> StreamState {
        let index = &self.index;
        let time = |nanos: u64| (nanos > 0).then(|| Nanos(i64::try_from(nanos).unwrap_or(i64::MAX)));
        let is_asked = self.config.as_ref().is_some_and(|config| config.first_seq > 0);
        let is_fresh = index.last() == 0 && !self.has_begun && !is_asked;
        StreamState {
            messages: index.messages(),
            bytes: index.bytes(),
            first_sequence: if is_fresh { Sequence::ZERO } else { Sequence(index.first()) },
            first_time: index.get(index.first()).and_then(|entry| time(entry.time)),
            last_sequence: Sequence(index.last()),
            last_time: time(index.last_time()),
            num_subjects: index.subjects.live() as u64,
            num_deleted: if index.messages() == 0 {
                0
            } else {
                index.last() + 1 - index.first() - index.messages()
            },
            lsn: self.as_of,
        }
    }

    /// The last sequence that readers may see.
    pub(crate) fn last_durable(&self) -> u64 {
        let high = self.log.as_ref().map_or(Offset::ZERO, duolog_log::Partition::high_watermark);
        u64::try_from(high.0).unwrap_or(0)
    }
}
