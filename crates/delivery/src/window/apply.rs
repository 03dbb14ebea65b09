//! Changes of what survives a restart: made once, applied in the same way when they happen and when they come back.

use std::time::Duration;

use duolog_types::Sequence;

use super::{Holder, InFlight, Place, Position, Window, unplace};
use crate::durable::{Change, InFlightState, State};

impl Window {
    /// Carries out a change, that of a step or one that comes back from the log.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Whole(state) => self.load(state),
            Change::Delivered { sequence, number, count } => self.apply_delivered(*sequence, *number, *count),
            Change::Settled { sequence } => {
                self.exhausted.remove(sequence);
                self.remove(*sequence);
            }
            Change::SettledThrough { position } => {
                while let Some(lowest) = self.in_flight.first_key_value().map(|(lowest, _)| *lowest)
                    && lowest <= position.sequence
                {
                    self.forget(lowest);
                }
                let above = self.exhausted.split_off(&position.sequence.next());
                self.exhausted = above;
                self.raise_floor(*position);
            }
            Change::Exhausted { sequence } => {
                if let Some(message) = self.in_flight.get(sequence) {
                    self.exhausted.insert(*sequence, message.count);
                    self.remove(*sequence);
                }
            }
            Change::NotDelivered { sequence } => {
                if let Some(message) = self.in_flight.get_mut(sequence) {
                    self.redelivered -= usize::from(message.count > 1);
                    message.count = message.count.saturating_sub(1);
                    self.redelivered += usize::from(message.count > 1);
                }
            }
            Change::Trimmed { below } => self.apply_trimmed(*below),
            Change::Reserved { end } => self.reserved_end = *end,
        }
    }

    fn apply_delivered(&mut self, sequence: Sequence, number: u64, count: u32) {
        self.next_number = self.next_number.max(number.saturating_add(1));
        self.delivered.number = self.delivered.number.max(number);
        self.delivered.sequence = self.delivered.sequence.max(sequence);
        if let Ok(at) | Err(at) = self.first.binary_search(&sequence)
            && !self.first.is_empty()
        {
            // Those before it were gone from the stream.
            let is_there = self.first.get(at) == Some(&sequence);
            self.first.drain(..at + usize::from(is_there));
        }
        self.next = self.next.max(sequence.next());
        if !self.tracks {
            self.floor = self.delivered;
            return;
        }
        let message = self.in_flight.entry(sequence).or_insert(InFlight {
            number,
            count: 0,
            since: Duration::ZERO,
            holder: Holder::default(),
            place: Place::Held { until: None },
        });
        self.redelivered -= usize::from(message.count > 1);
        message.count = count;
        self.redelivered += usize::from(count > 1);
    }

    fn apply_trimmed(&mut self, below: Sequence) {
        self.next = self.next.max(below);
        self.delivered.sequence = self.delivered.sequence.max(below.previous());
        while self.first.front().is_some_and(|first| *first < below) {
            self.first.pop_front();
        }
        let kept = self.exhausted.split_off(&below);
        self.exhausted = kept;
        let mut number = self.floor.number;
        while let Some((lowest, message)) = self.in_flight.first_key_value()
            && *lowest < below
        {
            let lowest = *lowest;
            number = number.max(message.number);
            self.forget(lowest);
        }
        self.raise_floor(Position { number, sequence: below.previous() });
        if self.in_flight.is_empty() {
            self.raise_floor(self.delivered);
        }
    }

    /// A message leaves those in flight, and the floor may follow.
    fn remove(&mut self, sequence: Sequence) {
        if self.forget(sequence) {
            self.lower_left(sequence);
        }
    }

    fn forget(&mut self, sequence: Sequence) -> bool {
        let Some(message) = self.in_flight.remove(&sequence) else { return false };
        unplace(&mut self.queue, &mut self.deadlines, sequence, message.place);
        self.redelivered -= usize::from(message.count > 1);
        true
    }

    /// All that survives a restart.
    #[must_use]
    pub fn snapshot(&self) -> State {
        let in_flight = self.in_flight.iter().map(|(sequence, message)| InFlightState {
            sequence: *sequence,
            number: message.number,
            count: message.count,
        });
        State {
            next: self.next,
            next_number: self.next_number,
            reserved_end: self.reserved_end,
            delivered: self.delivered,
            floor: self.floor,
            in_flight: in_flight.collect(),
            exhausted: self.exhausted.iter().map(|(sequence, count)| (*sequence, *count)).collect(),
            first: self.first.iter().copied().collect(),
        }
    }

    fn load(&mut self, state: &State) {
        let held = |message: &InFlightState| InFlight {
            number: message.number,
            count: message.count,
            since: Duration::ZERO,
            holder: Holder::default(),
            place: Place::Held { until: None },
        };
        self.next = state.next;
        self.next_number = state.next_number;
        self.reserved_end = state.reserved_end;
        self.delivered = state.delivered;
        self.floor = state.floor;
        self.in_flight = state.in_flight.iter().map(|message| (message.sequence, held(message))).collect();
        self.redelivered = self.in_flight.values().filter(|message| message.count > 1).count();
        self.exhausted = state.exhausted.iter().copied().collect();
        self.first = state.first.iter().copied().collect();
        self.queue.clear();
        self.deadlines.clear();
    }

    /// All changes are back. Numbers that a lost delivery may have borne are not given out again; what is in flight
    /// is held from now on.
    pub fn loaded(&mut self, now: Duration, until: impl Fn(&InFlight) -> Option<Duration>) {
        self.next_number = self.next_number.max(self.reserved_end);
        for message in self.in_flight.values_mut() {
            message.since = now;
        }
        self.hold_all(until);
    }

    /// Says exactly which number comes next, so that a restart skips none: for a clean stop.
    pub fn seal(&mut self) {
        if self.durable && self.reserved_end > self.next_number {
            self.change(Change::Reserved { end: self.next_number });
        }
    }
}
