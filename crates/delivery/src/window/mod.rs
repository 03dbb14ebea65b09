//! The core: every message that is in flight, and the floor below which all is done.
//!
//! ```text
//!  sequences   1 … floor │ floor+1 …            … next-1 │ next …
//!              all done  │ done, in flight or exhausted  │ never delivered
//! ```
//!
//! Owns the states of messages, the numbers of deliveries, the floor, the queue of what is to be delivered again and
//! the deadlines of what is held. Decides nothing about who gets a message and when.
//!
//! Whatever must survive a restart happens by a [`Change`], applied here and collected for the log; a restart applies
//! the same changes again. What a restart forgets (who holds a message and until when, what waits to be delivered
//! again) stands beside it: all that is in flight is then held anew, for a full wait.

mod apply;
mod floor;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use duolog_types::Sequence;

use crate::durable::Change;

pub use floor::Position;

/// Who holds a message: a number that means something to the host only (share groups: a member). JetStream's
/// consumers don't care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder(pub u64);

/// How many delivery numbers one reservation covers. A crash skips at most so many.
const RESERVED_NUMBERS: u64 = 4096;

/// A message that was delivered and isn't settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The number of its first delivery.
    pub number: u64,
    /// How often it was delivered.
    pub count: u32,
    /// When it was delivered last (or came back from a restart).
    pub since: Duration,
    /// Who holds it.
    pub holder: Holder,
    /// Whether it is held or waits to be delivered again.
    place: Place,
}

impl InFlight {
    /// Whether it waits to be delivered again, so that nobody holds it.
    #[must_use]
    pub fn is_available(&self) -> bool {
        matches!(self.place, Place::Queued { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Somebody has it, until then.
    Held { until: Option<Duration> },
    /// It is to be delivered again, in the order of tickets.
    Queued { ticket: u64 },
}

/// What a sequence is to this consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// It was never delivered, or is to be delivered again.
    Available,
    /// Somebody has it.
    Acquired,
    /// It is done.
    Acknowledged,
    /// It was delivered as often as is allowed, to no avail.
    Archived,
}

/// What became of a message that is no longer in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The message.
    pub sequence: Sequence,
    /// The number of its first delivery; 0 if it had been exhausted.
    pub number: u64,
    /// How often it was delivered.
    pub count: u32,
    /// When it was delivered last; none if it had been exhausted.
    pub since: Option<Duration>,
}

/// All messages that are in flight.
#[derive(Clone, Debug)]
pub struct Window {
    /// Whether deliveries are held until they are settled, or done at once.
    tracks: bool,
    /// Whether changes are collected for the log.
    durable: bool,
    next: Sequence,
    delivered: Position,
    floor: Position,
    next_number: u64,
    reserved_end: u64,
    in_flight: BTreeMap<Sequence, InFlight>,
    /// Delivered as often as is allowed, by how often that was.
    exhausted: BTreeMap<Sequence, u32>,
    /// How many in flight were delivered more than once.
    redelivered: usize,
    queue: BTreeMap<u64, Sequence>,
    next_ticket: u64,
    deadlines: BTreeSet<(Duration, Sequence)>,
    /// What is to be delivered first, before anything at `next` (JetStream: last per subject), ascending.
    first: VecDeque<Sequence>,
    changes: Vec<Change>,
}

impl Window {
    /// Nothing was delivered; the first message to look at is `next`, but before it those in `first`, ascending and
    /// all below `next`.
    #[must_use]
    pub fn new(next: Sequence, first: Vec<Sequence>, tracks: bool, durable: bool) -> Self {
        let next = next.max(Sequence::FIRST);
        let start = first.first().copied().unwrap_or(next).previous();
        let start = Position { number: 0, sequence: start };
        Self {
            tracks,
            durable,
            next,
            delivered: start,
            floor: start,
            next_number: 1,
            reserved_end: 0,
            in_flight: BTreeMap::new(),
            exhausted: BTreeMap::new(),
            redelivered: 0,
            queue: BTreeMap::new(),
            next_ticket: 0,
            deadlines: BTreeSet::new(),
            first: first.into(),
            changes: Vec::new(),
        }
    }

    /// The first sequence that was never looked at.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Everything below `upto` was looked at, and nothing there is to be delivered.
    pub fn skip_to(&mut self, upto: Sequence) {
        self.next = self.next.max(upto);
    }

    /// What is to be delivered before anything at [`Window::next`].
    #[must_use]
    pub fn first(&self) -> &VecDeque<Sequence> {
        &self.first
    }

    /// The first of [`Window::first`] is gone from the stream.
    pub fn skip_first(&mut self) {
        self.first.pop_front();
    }

    /// The last delivery, and the newest message that was delivered.
    #[must_use]
    pub fn delivered(&self) -> Position {
        self.delivered
    }

    /// The number of the next delivery.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Everything up to here is done.
    #[must_use]
    pub fn floor(&self) -> Position {
        self.floor
    }

    /// What is in flight, by sequence.
    #[must_use]
    pub fn in_flight(&self) -> &BTreeMap<Sequence, InFlight> {
        &self.in_flight
    }

    /// What was delivered as often as is allowed, and how often that was.
    #[must_use]
    pub fn exhausted(&self) -> &BTreeMap<Sequence, u32> {
        &self.exhausted
    }

    /// How many messages were delivered more than once and aren't settled.
    #[must_use]
    pub fn redelivered(&self) -> usize {
        self.redelivered + self.exhausted.len()
    }

    /// How many wait to be delivered again.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The message that is to be delivered again next.
    #[must_use]
    pub fn first_queued(&self) -> Option<Sequence> {
        self.queue.first_key_value().map(|(_, sequence)| *sequence)
    }

    /// All that wait to be delivered again, in that order.
    pub fn queue(&self) -> impl Iterator<Item = Sequence> {
        self.queue.values().copied()
    }

    /// When the first of those that are held is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// When the last of those that are held is due.
    #[must_use]
    pub fn last_deadline(&self) -> Option<Duration> {
        self.deadlines.last().map(|(at, _)| *at)
    }

    /// What a sequence is to this consumer, if it concerns it at all.
    #[must_use]
    pub fn state(&self, sequence: Sequence) -> RecordState {
        if let Some(message) = self.in_flight.get(&sequence) {
            if message.is_available() { RecordState::Available } else { RecordState::Acquired }
        } else if self.exhausted.contains_key(&sequence) {
            RecordState::Archived
        } else if sequence >= self.next || self.first.binary_search(&sequence).is_ok() {
            RecordState::Available
        } else {
            RecordState::Acknowledged
        }
    }

    /// Whether a stream that keeps messages by interest must keep this one for us, if it matches.
    #[must_use]
    pub fn needs(&self, sequence: Sequence) -> bool {
        self.state(sequence) != RecordState::Acknowledged
    }

    /// Delivers a message, for the first time or again. Held until `until`. Returns the delivery's number and how
    /// often the message has been delivered now.
    pub fn acquire(
        &mut self,
        sequence: Sequence,
        holder: Holder,
        until: impl FnOnce(u32) -> Option<Duration>,
        now: Duration,
    ) -> (u64, u32) {
        let count = self.in_flight.get(&sequence).map_or(1, |message| message.count.saturating_add(1));
        let number = self.next_number;
        self.reserve();
        self.change(Change::Delivered { sequence, number, count });
        if let Some(message) = self.in_flight.get_mut(&sequence) {
            message.since = now;
            message.holder = holder;
        }
        self.hold(sequence, until(count));
        (number, count)
    }

    /// Numbers are reserved ahead, so that a delivery hardly ever waits for its reservation.
    fn reserve(&mut self) {
        if self.durable && self.next_number + RESERVED_NUMBERS / 2 >= self.reserved_end {
            self.change(Change::Reserved { end: self.next_number + RESERVED_NUMBERS });
        }
    }

    /// Holds a message until another time: its wait begins anew, or a refused one is not to come back before.
    /// Whether it is in flight.
    pub fn hold(&mut self, sequence: Sequence, until: Option<Duration>) -> bool {
        let Some(message) = self.in_flight.get_mut(&sequence) else { return false };
        unplace(&mut self.queue, &mut self.deadlines, sequence, message.place);
        message.place = Place::Held { until };
        self.deadlines.extend(until.map(|until| (until, sequence)));
        true
    }

    /// Gives a message back, to be delivered again behind those that wait for that already. Whether it is in flight.
    pub fn release(&mut self, sequence: Sequence) -> bool {
        let Some(message) = self.in_flight.get_mut(&sequence) else { return false };
        if message.is_available() {
            return true;
        }
        unplace(&mut self.queue, &mut self.deadlines, sequence, message.place);
        message.place = Place::Queued { ticket: self.next_ticket };
        self.queue.insert(self.next_ticket, sequence);
        self.next_ticket += 1;
        true
    }

    /// A delivery came to nothing: it doesn't count, and the message is to be delivered again.
    pub fn undo(&mut self, sequence: Sequence) -> bool {
        if self.in_flight.get(&sequence).is_none_or(InFlight::is_available) {
            return false;
        }
        self.change(Change::NotDelivered { sequence });
        self.release(sequence)
    }

    /// Those that are held no longer, by sequence. They stay in flight and held without a deadline: release or
    /// exhaust each of them.
    pub fn expire(&mut self, now: Duration) -> Vec<Sequence> {
        let mut due = Vec::new();
        while let Some((at, sequence)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            if let Some(message) = self.in_flight.get_mut(&sequence) {
                message.place = Place::Held { until: None };
            }
            due.push(sequence);
        }
        due.sort_unstable();
        due
    }

    /// A message is done. None if it was neither in flight nor exhausted.
    pub fn settle(&mut self, sequence: Sequence) -> Option<Settled> {
        let settled = self.settled(sequence)?;
        self.change(Change::Settled { sequence });
        Some(settled)
    }

    /// All up to a message are done; the floor goes to `position`. Returns those that were in flight or exhausted.
    pub fn settle_through(&mut self, position: Position) -> Vec<Settled> {
        if position.sequence <= self.floor.sequence {
            return Vec::new();
        }
        let through = ..=position.sequence;
        let in_flight = self.in_flight.range(through).map(|(sequence, _)| *sequence);
        let exhausted = self.exhausted.range(through).map(|(sequence, _)| *sequence);
        let sequences: BTreeSet<Sequence> = in_flight.chain(exhausted).collect();
        let settled = sequences.into_iter().filter_map(|sequence| self.settled(sequence)).collect();
        self.change(Change::SettledThrough { position });
        settled
    }

    /// A message was delivered as often as is allowed: it leaves those in flight and is archived.
    pub fn exhaust(&mut self, sequence: Sequence) -> Option<u32> {
        let count = self.in_flight.get(&sequence)?.count;
        self.change(Change::Exhausted { sequence });
        Some(count)
    }

    /// Retention has removed everything below. Returns what was in flight there.
    pub fn trim(&mut self, below: Sequence) -> Vec<Settled> {
        let is_held = self.in_flight.range(..below).next().is_some();
        let is_exhausted = self.exhausted.range(..below).next().is_some();
        let is_first = self.first.front().is_some_and(|first| *first < below);
        if !is_held && !is_exhausted && !is_first {
            // Nothing that must be remembered: the stream itself says where it begins.
            self.skip_to(below);
            return Vec::new();
        }
        self.purge(below)
    }

    /// Everything below was purged: the floor is there at least, and what was delivered last, too. Returns what was
    /// in flight there.
    pub fn purge(&mut self, below: Sequence) -> Vec<Settled> {
        let gone: Vec<Sequence> = self.in_flight.range(..below).map(|(sequence, _)| *sequence).collect();
        let gone = gone.into_iter().filter_map(|sequence| self.settled(sequence)).collect();
        self.change(Change::Trimmed { below });
        gone
    }

    /// Sets the deadline of all that are held, from when they were delivered last and how often.
    pub fn hold_all(&mut self, until: impl Fn(&InFlight) -> Option<Duration>) {
        self.deadlines.clear();
        for (sequence, message) in &mut self.in_flight {
            if !message.is_available() {
                let until = until(message);
                message.place = Place::Held { until };
                self.deadlines.extend(until.map(|until| (until, *sequence)));
            }
        }
    }

    /// What changed since this was asked last, for the log.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn settled(&self, sequence: Sequence) -> Option<Settled> {
        match self.in_flight.get(&sequence) {
            Some(message) => Some(Settled {
                sequence,
                number: message.number,
                count: message.count,
                since: Some(message.since),
            }),
            None => self.exhausted.get(&sequence).map(|count| Settled {
                sequence,
                number: 0,
                count: *count,
                since: None,
            }),
        }
    }

    fn change(&mut self, change: Change) {
        self.apply(&change);
        if !self.durable {
            return;
        }
        // Without acknowledgements a delivery says all that the ones before it said.
        if !self.tracks
            && matches!(change, Change::Delivered { .. })
            && let Some(last @ Change::Delivered { .. }) = self.changes.last_mut()
        {
            *last = change;
            return;
        }
        self.changes.push(change);
    }
}

/// Takes a message out of the queue or the deadlines.
fn unplace(
    queue: &mut BTreeMap<u64, Sequence>,
    deadlines: &mut BTreeSet<(Duration, Sequence)>,
    sequence: Sequence,
    place: Place,
) {
    match place {
        Place::Queued { ticket } => {
            queue.remove(&ticket);
        }
        Place::Held { until: Some(until) } => {
            deadlines.remove(&(until, sequence));
        }
        Place::Held { until: None } => {}
    }
}
