//! What clients say about messages.

use std::time::Duration;

use duolog_types::Sequence;

use super::{Consumer, Step};
use crate::config::AckPolicy;
use crate::effect::{Advisory, Effect, SettledHow};
use crate::event::{Ack, AckKind};
use crate::stream::after;
use crate::window::{Position, Settled};

impl Consumer {
    /// Whether somebody may take a message now who couldn't before. (What the bound on unacknowledged messages held
    /// back was never taken for the end of the stream, and is looked at again after every step.)
    pub(super) fn acknowledge(&mut self, ack: Ack, step: &mut Step<'_>) -> bool {
        let Ack { sequence, number, kind, reply } = ack;
        let mut confirms = sequence.0 != 0;
        let mut asks_for_more = false;
        match kind {
            // Sequence 0 is nobody's message, and confirmed all the same: the reference does, too.
            AckKind::Ack => confirms = self.settle(sequence, number, SettledHow::Acknowledged, step),
            AckKind::Next(request) => {
                self.settle(sequence, number, SettledHow::Acknowledged, step);
                self.pull(request, step);
                confirms = false;
                asks_for_more = true;
            }
            AckKind::Nak { delay } => self.refuse(sequence, number, delay, step),
            AckKind::Progress => {
                if let Some(message) = self.window.in_flight().get(&sequence)
                    && !message.is_available()
                {
                    let until = after(step.now.monotonic, self.config.wait_for(message.count));
                    self.window.hold(sequence, Some(until));
                }
            }
            AckKind::Term { reason } => {
                let count = self.count_of(sequence);
                let is_known = self.settle(sequence, number, SettledHow::Terminated, step);
                confirms = is_known;
                if is_known {
                    step.effects.push(Effect::Advisory(Advisory::Terminated {
                        sequence,
                        number,
                        count,
                        reason,
                        gone: false,
                    }));
                }
            }
        }
        if let Some(to) = reply.filter(|_| confirms) {
            step.effects.push(Effect::Confirm { to });
        }
        asks_for_more
    }

    /// How often a message was delivered, if that is still known; else 1.
    fn count_of(&self, sequence: Sequence) -> u32 {
        let in_flight = self.window.in_flight().get(&sequence).map(|message| message.count);
        in_flight.or_else(|| self.window.exhausted().get(&sequence).copied()).unwrap_or(1)
    }

    /// An acknowledgement or a termination. Whether it can be confirmed: not if the message was never delivered.
    fn settle(&mut self, sequence: Sequence, number: u64, how: SettledHow, step: &mut Step<'_>) -> bool {
        if sequence >= self.window.next() {
            return false;
        }
        match self.config.ack {
            // Done when it was delivered.
            AckPolicy::None => return true,
            AckPolicy::Explicit => {
                if let Some(settled) = self.window.settle(sequence) {
                    // What is told is the delivery that the client speaks of.
                    let number = if settled.since.is_some() { number } else { 0 };
                    step.settled(&Settled { number, ..settled }, how);
                }
            }
            AckPolicy::All => {
                let floor = self.window.floor();
                if number <= floor.number || sequence <= floor.sequence {
                    return true;
                }
                let number = number.min(self.window.delivered().number);
                for settled in self.window.settle_through(Position { number, sequence }) {
                    step.settled(&settled, how);
                }
            }
        }
        self.last_acknowledged = Some(step.now.wall);
        true
    }

    /// A client can't handle a message now.
    fn refuse(&mut self, sequence: Sequence, number: u64, delay: Option<Duration>, step: &mut Step<'_>) {
        if number <= self.window.floor().number || number >= self.window.next_number() {
            return;
        }
        let Some(message) = self.window.in_flight().get(&sequence) else { return };
        let count = message.count;
        step.effects.push(Effect::Advisory(Advisory::Nak { sequence, number, count }));
        match delay {
            // As the reference does: the wait is counted from a point from which a plain ack wait would end after
            // `delay`, so that a backoff longer than the ack wait comes on top.
            Some(delay) => {
                let wait = self.config.wait_for(count).saturating_add(delay);
                let until = after(step.now.monotonic, wait).saturating_sub(self.config.ack_wait);
                self.window.hold(sequence, Some(until.max(step.now.monotonic)));
            }
            None => self.return_or_exhaust(sequence, step),
        }
    }
}

impl Step<'_> {
    /// Tells the host that a message is of no more concern.
    pub(super) fn settled(&mut self, settled: &Settled, how: SettledHow) {
        let held = settled.since.map_or(Duration::ZERO, |since| self.now.monotonic.saturating_sub(since));
        let Settled { sequence, number, count, .. } = *settled;
        self.effects.push(Effect::Settled { sequence, number, count, held, how });
    }
}
