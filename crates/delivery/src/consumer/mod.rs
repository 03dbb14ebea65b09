//! JetStream's front of the window: who gets the next message, when, and what clients are told.
//!
//! A step does what its event asks for and then delivers whatever can be delivered. Owns the order of delivery, the
//! waiting requests, the push receiver's state and the consumer's idleness; the messages' own states are `window`'s.

mod acks;
mod gather;
mod idle;
mod info;
mod pace;
mod pull;
mod push;
mod requests;
mod stream_changes;

use std::time::Duration;

use duolog_types::{Nanos, Sequence};

use crate::config::{AckPolicy, Config, Mode};
use crate::durable::{Change, Record};
use crate::effect::Effect;
use crate::event::{Event, Now};
use crate::stream::Stream;
use crate::window::{InFlight, Window};

use idle::Idle;
pub use info::Info;
use pace::Pace;
use push::Push;
use requests::Requests;

/// Where a new consumer begins: the answer to its deliver policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The first sequence to look at.
    pub next: Sequence,
    /// What is to be delivered before that, ascending and below `next` (last per subject).
    pub first: Vec<Sequence>,
    /// The stream's last sequence: replay at original speed ends there.
    pub last: Sequence,
}

/// A consumer of a stream.
#[derive(Clone, Debug)]
pub struct Consumer {
    config: Config,
    window: Window,
    requests: Requests,
    push: Push,
    pace: Pace,
    idle: Idle,
    /// The last look found nothing to deliver, and nothing has come since.
    at_end: bool,
    last_delivered: Option<Nanos>,
    last_acknowledged: Option<Nanos>,
}

/// What a step works with.
struct Step<'a> {
    now: Now,
    stream: &'a mut dyn Stream,
    effects: Vec<Effect>,
}

impl Consumer {
    /// A new consumer, and the record that makes it durable: none if it isn't to be.
    #[must_use]
    pub fn new(config: Config, start: Start, now: Now) -> (Self, Option<Record>) {
        let mut consumer = Self::blank(config, &start);
        consumer.idle.begin(&consumer.config, now.monotonic);
        let record = consumer.config.durable.then(|| consumer.snapshot());
        (consumer, record)
    }

    /// A consumer whose records are about to come back: see [`Consumer::restore`].
    #[must_use]
    pub fn to_restore(config: Config) -> Self {
        Self::blank(config, &Start::default())
    }

    fn blank(config: Config, start: &Start) -> Self {
        let tracks = config.ack != AckPolicy::None;
        Self {
            window: Window::new(start.next, start.first.clone(), tracks, config.durable),
            requests: Requests::default(),
            push: Push::default(),
            pace: Pace::new(&config, start.last),
            idle: Idle::default(),
            at_end: false,
            last_delivered: None,
            last_acknowledged: None,
            config,
        }
    }

    /// Takes back a record, in the order in which they were made: first a snapshot's, then what came after it.
    pub fn restore(&mut self, record: &Record) {
        for change in &record.changes {
            self.window.apply(change);
        }
    }

    /// All records are back; `last` is the stream's last sequence. What is pending gets a full new ack wait. Send
    /// [`Event::Wake`] when its requests or its receiver may be there.
    pub fn loaded(&mut self, last: Sequence, now: Now) {
        let config = &self.config;
        self.window.loaded(now.monotonic, |message| deadline(config, message));
        self.pace = Pace::new(&self.config, last);
        self.idle.begin(&self.config, now.monotonic);
    }

    /// The record from which [`Consumer::restore`] makes this consumer's durable state again.
    #[must_use]
    pub fn snapshot(&self) -> Record {
        Record { changes: vec![Change::Whole(Box::new(self.window.snapshot()))] }
    }

    /// For a clean stop, after the last step: the record that lets the numbers of deliveries go on without a gap.
    #[must_use]
    pub fn seal(&mut self) -> Option<Record> {
        self.window.seal();
        let changes = self.window.take_changes();
        (!changes.is_empty()).then_some(Record { changes })
    }

    /// What happens, and what is to be done about it.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Now, stream: &mut dyn Stream) -> Vec<Effect> {
        let mut step = Step { now, stream, effects: Vec::new() };
        let looks_again = self.take(event, &mut step);
        if looks_again {
            self.at_end = false;
        }
        if !self.at_end || self.window.queued() > 0 {
            self.gather(&mut step);
        }
        let changes = self.window.take_changes();
        if !changes.is_empty() {
            step.effects.insert(0, Effect::Persist(Record { changes }));
        }
        step.effects
    }

    /// Does what the event asks for. Whether there may be something to deliver that wasn't there before.
    fn take(&mut self, event: Event, step: &mut Step<'_>) -> bool {
        match event {
            Event::Pull(request) => self.pull(request, step),
            Event::Ack(ack) => return self.acknowledge(ack, step),
            Event::Interest(is_there) => self.interest(is_there, step),
            Event::FlowControl { id } => self.push.answered(id),
            Event::Wake => {}
            Event::NotDelivered { sequence, request } => {
                self.not_delivered(sequence, request.as_ref(), step);
            }
            Event::Trimmed { first } => self.trimmed(first, step),
            Event::Purged { below } => self.purged(below, step),
            Event::Recheck => self.recheck(step),
            Event::Deleted { sequence } => self.deleted(sequence, step),
            Event::Update { config, redeliver } => self.update(*config, redeliver, step),
            Event::Sweep => {
                self.requests.sweep(step);
                return false;
            }
            Event::Tick => return self.tick(step),
        }
        true
    }

    /// When [`Event::Tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        [
            self.window.next_deadline(),
            self.requests.next_deadline(),
            self.push.next_deadline(),
            self.pace.next_deadline(),
            self.idle.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn tick(&mut self, step: &mut Step<'_>) -> bool {
        let now = step.now.monotonic;
        for sequence in self.window.expire(now) {
            self.return_or_exhaust(sequence, step);
        }
        self.requests.tick(self.window.heartbeat_position(), step);
        self.push_tick(step);
        self.idle_tick(step);
        // A look that waited for its time is due now.
        self.pace.is_due(now)
    }

    /// The settings it has.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The states of its messages.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Whether somebody would take a message now, so that [`Event::Wake`] is worth sending when one comes.
    #[must_use]
    pub fn wants_messages(&self) -> bool {
        match self.config.mode {
            Mode::Pull(_) => !self.requests.is_empty(),
            Mode::Push(_) => self.push.takes(),
        }
    }

    fn update(&mut self, config: Config, redeliver: bool, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        let waits_changed =
            (config.ack_wait, &config.backoff) != (self.config.ack_wait, &self.config.backoff);
        let idleness_changed = config.inactive_after != self.config.inactive_after;
        self.pace.update(&config);
        self.config = config;
        if waits_changed {
            let config = &self.config;
            self.window.hold_all(|message| deadline(config, message));
        }
        if idleness_changed {
            self.idle.begin(&self.config, now);
        }
        if redeliver {
            let all: Vec<Sequence> = self.window.in_flight().keys().copied().collect();
            for sequence in all {
                self.return_or_exhaust(sequence, step);
            }
        }
    }
}

/// Until when a message is held that was delivered as the window says.
fn deadline(config: &Config, message: &InFlight) -> Option<Duration> {
    Some(message.since.saturating_add(config.wait_for(message.count)))
}
