//! Which message goes out next, and to whom: redeliveries first, then what stands before the rest (last per
//! subject), then the stream; the bound on unacknowledged messages stops only what was never delivered.

use std::time::Duration;

use duolog_types::Sequence;

use super::{Consumer, Step};
use crate::config::{AckPolicy, Mode};
use crate::effect::{Advisory, Delivery, Effect, SettledHow, Target};
use crate::event::ReplyTo;
use crate::stream::{Lookup, Message, after};
use crate::window::Holder;

/// How many messages one step delivers at most, so that one consumer doesn't keep the others waiting.
const DELIVERIES_PER_STEP: usize = 256;

/// What could be delivered next.
enum Candidate {
    /// This one, and whether it was delivered before.
    Message(Message, bool),
    /// Nothing, until something comes.
    Nothing,
    /// Something, but too much is unacknowledged.
    Held,
    /// Something, that has to be fetched first.
    NotYet,
}

impl Consumer {
    /// Delivers what can be delivered.
    pub(super) fn gather(&mut self, step: &mut Step<'_>) {
        for _ in 0..DELIVERIES_PER_STEP {
            if !self.wants_messages() {
                return;
            }
            let (message, is_again) = match self.candidate(step) {
                Candidate::Message(message, is_again) => (message, is_again),
                Candidate::Nothing => {
                    self.at_end = true;
                    self.pace.caught_up(self.window.next());
                    self.requests.end_one_shots(step);
                    return;
                }
                Candidate::Held | Candidate::NotYet => return,
            };
            let mut delivery = self.draft(&message, is_again, step);
            let size = message.size_bytes.saturating_add(step.stream.envelope_bytes(&delivery, &message));
            if self.pace.must_wait(&message, size, step.now.monotonic) {
                return;
            }
            let completed = match self.config.mode {
                Mode::Push(_) => None,
                Mode::Pull(_) => {
                    let Some(taken) = self.requests.take(size, step) else { return };
                    delivery.to = Target::Pull(taken.to.clone());
                    taken.completed.map(|status| (taken.to, status))
                }
            };
            self.deliver(delivery, &message, size, step);
            if let Some((to, status)) = completed {
                step.effects.push(Effect::Status { to, status });
            }
        }
        step.effects.push(Effect::More);
    }

    fn candidate(&mut self, step: &mut Step<'_>) -> Candidate {
        while let Some(sequence) = self.window.first_queued() {
            match step.stream.get(sequence) {
                Lookup::Found(message) => return Candidate::Message(message, true),
                Lookup::NotYet => return Candidate::NotYet,
                Lookup::Nothing { .. } => self.gone(sequence, step),
            }
        }
        if self.config.max_ack_pending.is_some_and(|limit| self.window.in_flight().len() >= limit) {
            return Candidate::Held;
        }
        while let Some(sequence) = self.window.first().front().copied() {
            match step.stream.get(sequence) {
                Lookup::Found(message) => return Candidate::Message(message, false),
                Lookup::NotYet => return Candidate::NotYet,
                Lookup::Nothing { .. } => self.window.skip_first(),
            }
        }
        match step.stream.next(self.window.next()) {
            Lookup::Found(message) => Candidate::Message(message, false),
            Lookup::NotYet => Candidate::NotYet,
            Lookup::Nothing { upto } => {
                self.window.skip_to(upto);
                Candidate::Nothing
            }
        }
    }

    /// The delivery as it will be, before it is known who gets it.
    fn draft(&self, message: &Message, is_again: bool, step: &mut Step<'_>) -> Delivery {
        let before = self.window.in_flight().get(&message.sequence).filter(|_| is_again);
        Delivery {
            to: Target::Push,
            sequence: message.sequence,
            number: self.window.next_number(),
            count: before.map_or(1, |message| message.count.saturating_add(1)),
            pending: self.pending_behind((!is_again).then_some(message.sequence), step.stream),
            after_durable: self.config.durable && self.config.max_deliver.is_some(),
        }
    }

    fn deliver(&mut self, delivery: Delivery, message: &Message, size: u64, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        let config = &self.config;
        let until = |count| Some(after(now, config.wait_for(count)));
        self.window.acquire(delivery.sequence, Holder::default(), until, now);
        self.last_delivered = Some(step.now.wall);
        self.idle.active(now);
        self.pace.delivered(message, size, now);
        let (sequence, count, number) = (delivery.sequence, delivery.count, delivery.number);
        step.effects.push(Effect::Deliver(delivery));
        if let Mode::Push(push) = &self.config.mode {
            let flow_control = self.push.delivered(push, size, now);
            step.effects.extend(flow_control.map(|id| Effect::FlowControl { id }));
        }
        if self.config.ack == AckPolicy::None {
            let how = SettledHow::Delivered;
            step.effects.push(Effect::Settled { sequence, number, count, held: Duration::ZERO, how });
        }
    }

    /// A message that was to be delivered again is gone from the stream: as if it had been terminated.
    pub(super) fn gone(&mut self, sequence: Sequence, step: &mut Step<'_>) {
        if let Some(settled) = self.window.settle(sequence) {
            self.last_acknowledged = Some(step.now.wall);
            if settled.since.is_some() {
                step.effects.push(Effect::Advisory(Advisory::Terminated {
                    sequence,
                    number: settled.number,
                    count: settled.count,
                    reason: None,
                    gone: true,
                }));
            }
            step.settled(&settled, SettledHow::Gone);
        }
    }

    /// Back into the queue, or, if that was its last delivery, out of the way.
    pub(super) fn return_or_exhaust(&mut self, sequence: Sequence, step: &mut Step<'_>) {
        let Some(message) = self.window.in_flight().get(&sequence) else { return };
        if message.is_available() {
            return;
        }
        if self.config.is_last(message.count)
            && let Some(count) = self.window.exhaust(sequence)
        {
            step.effects.push(Effect::Advisory(Advisory::MaxDeliveries { sequence, count }));
            return;
        }
        self.window.release(sequence);
        self.idle.expects(step.now.monotonic, self.config.ack_wait);
    }

    /// Nobody listened when a message was handed over.
    pub(super) fn not_delivered(
        &mut self,
        sequence: Sequence,
        request: Option<&ReplyTo>,
        step: &mut Step<'_>,
    ) {
        self.window.undo(sequence);
        match request {
            Some(to) => self.requests.credit(to),
            None => self.interest(false, step),
        }
    }
}
