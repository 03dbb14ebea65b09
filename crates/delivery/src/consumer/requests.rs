//! Pull requests that wait, served in turn, one message each.
//!
//! Owns the turn, what each request still waits for, and when it expires or wants a sign of life. A request is known
//! by its place in the turn, a number that changes each time it goes to the end of the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Step;
use crate::effect::{Effect, Heartbeat, Status, Target};
use crate::event::ReplyTo;
use crate::stream::after;
use crate::window::Position;

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) to: ReplyTo,
    /// How many messages it still waits for.
    pub(super) left: u64,
    /// How many bytes it still takes.
    pub(super) bytes_left: Option<u64>,
    pub(super) expires_at: Option<Duration>,
    /// How often it wants a sign of life, and when the next one is due.
    pub(super) heartbeat: Option<(Duration, Duration)>,
    /// It ends when there is nothing to deliver, ...
    pub(super) no_wait: bool,
    /// ... if it has had a message or can't wait.
    pub(super) served: bool,
}

impl Request {
    fn ends_at_the_end(&self) -> bool {
        self.no_wait && (self.served || self.expires_at.is_none())
    }

    fn due_at(&self) -> Option<Duration> {
        self.expires_at.into_iter().chain(self.heartbeat.map(|(_, at)| at)).min()
    }

    fn is_expired(&self, now: Duration) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    fn bytes(&self) -> u64 {
        self.bytes_left.unwrap_or(0)
    }
}

/// Who gets a message.
pub(super) struct Taken {
    pub(super) to: ReplyTo,
    /// What it is told after the message, if the request ends with it and something remains to be said.
    pub(super) completed: Option<Status>,
}

/// Requests in the order of their turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    queue: BTreeMap<u64, Request>,
    next_turn: u64,
    timers: BTreeSet<(Duration, u64)>,
    /// Those that end when there is nothing to deliver.
    one_shots: BTreeSet<u64>,
    /// How many messages all of them wait for.
    messages: u64,
    pub(super) last_sweep: Option<Duration>,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// How many messages all of them wait for.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// At the end of the queue.
    pub(super) fn add(&mut self, request: Request) {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.timers.extend(request.due_at().map(|at| (at, turn)));
        if request.ends_at_the_end() {
            self.one_shots.insert(turn);
        }
        self.messages = self.messages.saturating_add(request.left);
        self.queue.insert(turn, request);
    }

    fn remove(&mut self, turn: u64) -> Option<Request> {
        let request = self.queue.remove(&turn)?;
        self.one_shots.remove(&turn);
        if let Some(at) = request.due_at() {
            self.timers.remove(&(at, turn));
        }
        self.messages = self.messages.saturating_sub(request.left);
        Some(request)
    }

    /// The request whose turn it is, for a message of `size` bytes. Those before it that can't have it are told so.
    pub(super) fn take(&mut self, size: u64, step: &mut Step<'_>) -> Option<Taken> {
        let now = step.now.monotonic;
        loop {
            let (turn, request) = self.queue.first_key_value()?;
            let turn = *turn;
            if request.is_expired(now) {
                self.expire(turn, step);
                continue;
            }
            if request.bytes_left.is_some_and(|left| size > left) {
                let status = Status::MessageTooLarge { messages: request.left, bytes: request.bytes() };
                self.end(turn, status, step);
                continue;
            }
            if !step.stream.has_interest(&request.to) {
                self.remove(turn);
                continue;
            }
            return self.serve(turn, size, now);
        }
    }

    /// One message less for it to wait for, and it goes to the end of the queue.
    fn serve(&mut self, turn: u64, size: u64, now: Duration) -> Option<Taken> {
        let mut request = self.remove(turn)?;
        request.served = true;
        request.left = request.left.saturating_sub(1);
        if let Some(left) = &mut request.bytes_left {
            *left = left.saturating_sub(size);
            if *left == 0 {
                request.left = 0;
            }
        }
        let to = request.to.clone();
        if request.left == 0 {
            let bytes = request.bytes();
            let completed = (bytes > 0).then_some(Status::BatchCompleted { messages: 0, bytes });
            return Some(Taken { to, completed });
        }
        if let Some((every, next)) = &mut request.heartbeat {
            *next = after(now, *every);
        }
        self.add(request);
        Some(Taken { to, completed: None })
    }

    fn end(&mut self, turn: u64, status: Status, step: &mut Step<'_>) {
        if let Some(request) = self.remove(turn) {
            step.effects.push(Effect::Status { to: request.to, status });
        }
    }

    fn expire(&mut self, turn: u64, step: &mut Step<'_>) {
        if let Some(request) = self.remove(turn) {
            let status = Status::Timeout { messages: request.left, bytes: request.bytes() };
            step.effects.push(Effect::Status { to: request.to, status });
        }
    }

    /// Requests whose time is over end, and signs of life that are due are sent, to those who still listen.
    pub(super) fn tick(&mut self, position: Position, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        while let Some((at, turn)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let Some(request) = self.queue.get_mut(&turn) else { continue };
            if request.is_expired(now) {
                self.expire(turn, step);
                continue;
            }
            if !step.stream.has_interest(&request.to) {
                self.remove(turn);
                continue;
            }
            if let Some((every, next)) = &mut request.heartbeat {
                *next = after(now, *every);
                step.effects.push(Effect::Heartbeat(Heartbeat {
                    to: Target::Pull(request.to.clone()),
                    number: position.number,
                    sequence: position.sequence,
                    stalled: None,
                }));
            }
            self.timers.extend(request.due_at().map(|at| (at, turn)));
        }
    }

    /// There is nothing to deliver: those that don't wait for more end.
    pub(super) fn end_one_shots(&mut self, step: &mut Step<'_>) {
        while let Some(turn) = self.one_shots.pop_first() {
            match self.queue.get(&turn) {
                Some(request) if request.is_expired(step.now.monotonic) => self.expire(turn, step),
                _ => self.end(turn, Status::NoMessages, step),
            }
        }
    }

    /// Forgets those that have expired, and those to whom nobody listens any more.
    pub(super) fn sweep(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        self.last_sweep = Some(now);
        for turn in self.queue.keys().copied().collect::<Vec<_>>() {
            let Some(request) = self.queue.get(&turn) else { continue };
            if request.is_expired(now) {
                self.expire(turn, step);
            } else if !step.stream.has_interest(&request.to) {
                self.remove(turn);
            }
        }
    }

    /// A message for the request was not handed over: it waits for one more, if it still waits.
    pub(super) fn credit(&mut self, to: &ReplyTo) {
        if let Some(request) = self.queue.values_mut().find(|request| request.to == *to) {
            request.left += 1;
            self.messages += 1;
        }
    }

    /// All of them, which end with `status`.
    pub(super) fn end_all(&mut self, status: &Status, effects: &mut Vec<Effect>) {
        for (_, request) in std::mem::take(&mut self.queue) {
            effects.push(Effect::Status { to: request.to, status: status.clone() });
        }
        *self = Self { next_turn: self.next_turn, ..Self::default() };
    }
}
