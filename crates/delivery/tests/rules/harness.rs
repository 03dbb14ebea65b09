//! A consumer, a stream in memory and a clock that stands still until it is told otherwise.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use duolog_delivery::{
    Ack, AckKind, AckPolicy, Advisory, Config, Consumer, Delivery, Effect, Event, Heartbeat, Lookup, Message,
    Mode, Now, Position, PullConfig, PullRequest, PushConfig, Record, ReplyTo, SettledHow, Start, Status,
    Stream, Target,
};
use duolog_types::{Nanos, Sequence};

pub const SIZE: u64 = 100;

/// A stream whose messages are 100 bytes each.
#[derive(Clone, Debug, Default)]
pub struct FakeStream {
    pub messages: BTreeMap<u64, Message>,
    pub last: u64,
    /// To whom nobody listens any more.
    pub deaf: BTreeSet<ReplyTo>,
    /// Messages that have to be fetched first.
    pub cold: BTreeSet<u64>,
    pub envelope_bytes: u64,
}

impl FakeStream {
    pub fn add(&mut self, size_bytes: u64, time: Duration) -> u64 {
        self.last += 1;
        let sequence = Sequence(self.last);
        self.messages.insert(self.last, Message { sequence, size_bytes, time: nanos(time) });
        self.last
    }

    fn look(&self, message: Option<&Message>) -> Lookup {
        match message {
            Some(message) if self.cold.contains(&message.sequence.0) => Lookup::NotYet,
            Some(message) => Lookup::Found(*message),
            None => Lookup::Nothing { upto: Sequence(self.last + 1) },
        }
    }
}

impl Stream for FakeStream {
    fn next(&mut self, from: Sequence) -> Lookup {
        self.look(self.messages.range(from.0..).next().map(|(_, message)| message))
    }

    fn get(&mut self, sequence: Sequence) -> Lookup {
        self.look(self.messages.get(&sequence.0))
    }

    fn pending(&mut self, from: Sequence) -> u64 {
        self.messages.range(from.0..).count() as u64
    }

    fn envelope_bytes(&self, _delivery: &Delivery, _message: &Message) -> u64 {
        self.envelope_bytes
    }

    fn has_interest(&mut self, to: &ReplyTo) -> bool {
        !self.deaf.contains(to)
    }
}

pub fn explicit(mode: Mode) -> Config {
    Config {
        ack: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        backoff: Vec::new(),
        max_deliver: None,
        max_ack_pending: Some(1000),
        mode,
        replay_original: false,
        inactive_after: None,
        durable: true,
    }
}

pub fn pull_config() -> Config {
    explicit(Mode::Pull(PullConfig { max_waiting: 512, ..PullConfig::default() }))
}

pub fn push_config() -> Config {
    explicit(Mode::Push(PushConfig::default()))
}

pub fn reply(name: &str) -> ReplyTo {
    ReplyTo(Bytes::copy_from_slice(name.as_bytes()))
}

pub fn request(name: &str, batch: u64) -> PullRequest {
    PullRequest { to: reply(name), batch, max_bytes: None, expires: None, no_wait: false, heartbeat: None }
}

pub fn position(number: u64, sequence: u64) -> Position {
    Position { number, sequence: Sequence(sequence) }
}

fn nanos(time: Duration) -> Nanos {
    Nanos(i64::try_from(time.as_nanos()).unwrap())
}

pub fn now(clock: Duration) -> Now {
    Now { monotonic: clock, wall: nanos(clock) }
}

pub fn name(to: &ReplyTo) -> String {
    String::from_utf8(to.0.to_vec()).unwrap()
}

pub struct Harness {
    pub consumer: Consumer,
    pub stream: FakeStream,
    pub clock: Duration,
    /// What was persisted.
    pub log: Vec<Record>,
    /// What came out since it was asked last.
    pub effects: Vec<Effect>,
}

impl Harness {
    pub fn new(config: Config) -> Self {
        Self::over(config, FakeStream::default(), Start::default())
    }

    /// With so many messages in the stream, stored a second apart.
    pub fn with(config: Config, count: u64) -> Self {
        let mut stream = FakeStream::default();
        for second in 0..count {
            stream.add(SIZE, Duration::from_secs(second));
        }
        let last = Sequence(stream.last);
        Self::over(config, stream, Start { next: Sequence(1), first: Vec::new(), last })
    }

    pub fn over(config: Config, stream: FakeStream, start: Start) -> Self {
        let clock = Duration::from_secs(1000);
        let (consumer, record) = Consumer::new(config, start, now(clock));
        Self { consumer, stream, clock, log: record.into_iter().collect(), effects: Vec::new() }
    }

    pub fn step(&mut self, event: Event) {
        let effects = self.consumer.step(event, now(self.clock), &mut self.stream);
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    // Through its bytes, as it will come back.
                    assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(&record));
                    self.log.push(record);
                }
                effect => self.effects.push(effect),
            }
        }
    }

    pub fn pull(&mut self, name: &str, batch: u64) {
        self.step(Event::Pull(request(name, batch)));
    }

    pub fn publish(&mut self, count: u64) {
        for _ in 0..count {
            self.stream.add(SIZE, self.clock);
        }
        self.step(Event::Wake);
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, span: Duration) {
        let end = self.clock + span;
        while let Some(at) = self.consumer.next_deadline().filter(|at| *at <= end) {
            self.clock = self.clock.max(at);
            self.step(Event::Tick);
            assert_ne!(self.consumer.next_deadline(), Some(at), "a deadline that stays");
        }
        self.clock = end;
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub fn say(&mut self, sequence: u64, number: u64, kind: AckKind) {
        self.step(Event::Ack(Ack { sequence: Sequence(sequence), number, kind, reply: None }));
    }

    pub fn ack(&mut self, sequence: u64, number: u64) {
        self.say(sequence, number, AckKind::Ack);
    }

    pub fn nak(&mut self, sequence: u64, number: u64) {
        self.say(sequence, number, AckKind::Nak { delay: None });
    }

    /// The machine dies with everything durable, and comes back.
    pub fn restart(&mut self) {
        let mut consumer = Consumer::to_restore(self.consumer.config().clone());
        for record in &self.log {
            consumer.restore(record);
        }
        consumer.loaded(Sequence(self.stream.last), now(self.clock));
        self.consumer = consumer;
        self.effects.clear();
    }

    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// What `pick` finds in the effects since they were asked for last.
    pub fn picked<T>(&mut self, pick: impl Fn(Effect) -> Option<T>) -> Vec<T> {
        self.take().into_iter().filter_map(pick).collect()
    }

    /// The deliveries: sequence, number, count.
    pub fn delivered(&mut self) -> Vec<(u64, u64, u32)> {
        self.picked(|effect| match effect {
            Effect::Deliver(delivery) => Some((delivery.sequence.0, delivery.number, delivery.count)),
            _ => None,
        })
    }

    /// Who got which message.
    pub fn served(&mut self) -> Vec<(String, u64)> {
        self.picked(|effect| match effect {
            Effect::Deliver(Delivery { to: Target::Pull(to), sequence, .. }) => Some((name(&to), sequence.0)),
            _ => None,
        })
    }

    pub fn statuses(&mut self) -> Vec<(String, Status)> {
        self.picked(|effect| match effect {
            Effect::Status { to, status } => Some((name(&to), status)),
            _ => None,
        })
    }

    pub fn advisories(&mut self) -> Vec<Advisory> {
        self.picked(|effect| if let Effect::Advisory(advisory) = effect { Some(advisory) } else { None })
    }

    pub fn heartbeats(&mut self) -> Vec<Heartbeat> {
        self.picked(|effect| if let Effect::Heartbeat(beat) = effect { Some(beat) } else { None })
    }

    pub fn settled(&mut self) -> Vec<(u64, SettledHow)> {
        self.picked(|effect| match effect {
            Effect::Settled { sequence, how, .. } => Some((sequence.0, how)),
            _ => None,
        })
    }

    pub fn floor(&self) -> Position {
        self.consumer.window().floor()
    }

    pub fn pending(&self) -> Vec<u64> {
        self.consumer.window().in_flight().keys().map(|sequence| sequence.0).collect()
    }
}
