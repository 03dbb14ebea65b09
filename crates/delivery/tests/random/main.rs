//! Random histories with crashes against a model that keeps every message in a list.
//!
//! The log is durable up to a point that moves by chance; a crash loses what lies behind it. A delivery is seen by
//! its client only when what it waits for is durable, a confirmation likewise: what clients saw must hold for ever.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

#[path = "../rules/harness.rs"]
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use duolog_delivery::{
    Ack, AckKind, Config, Consumer, Delivery, Effect, Event, PullRequest, Record, ReplyTo, Target,
};
use duolog_types::Sequence;
use harness::{FakeStream, SIZE, now, pull_config, push_config, reply, request};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Publish(u64),
    Pull(u8, u64),
    Interest(bool),
    /// Of one of the deliveries that clients have seen.
    Say(prop::sample::Index, Word),
    Wait(u64),
    Delete(prop::sample::Index),
    Sync,
    Crash,
}

#[derive(Clone, Debug)]
enum Word {
    Ack,
    Nak,
    NakLater(u64),
    Progress,
    Term,
}

fn op() -> impl Strategy<Value = Op> {
    let word = prop_oneof![
        4 => Just(Word::Ack), 2 => Just(Word::Nak), 1 => (0..40u64).prop_map(Word::NakLater),
        1 => Just(Word::Progress), 1 => Just(Word::Term),
    ];
    prop_oneof![
        4 => (1..6u64).prop_map(Op::Publish),
        4 => (0..4u8, 1..5u64).prop_map(|(who, batch)| Op::Pull(who, batch)),
        2 => any::<bool>().prop_map(Op::Interest),
        8 => (any::<prop::sample::Index>(), word).prop_map(|(which, word)| Op::Say(which, word)),
        3 => (1..40u64).prop_map(Op::Wait),
        1 => any::<prop::sample::Index>().prop_map(Op::Delete),
        4 => Just(Op::Sync),
        1 => Just(Op::Crash),
    ]
}

/// What a client knows.
#[derive(Default)]
struct Seen {
    /// Deliveries that left: sequence and number.
    deliveries: Vec<(u64, u64)>,
    numbers: BTreeSet<u64>,
    counts: BTreeMap<u64, u32>,
    confirmed: BTreeSet<u64>,
    /// What each pull request may still get.
    asked: BTreeMap<ReplyTo, u64>,
}

struct World {
    consumer: Consumer,
    stream: FakeStream,
    clock: Duration,
    log: Vec<Record>,
    durable: usize,
    /// What waits for the log's length to be durable.
    waiting: Vec<(usize, Effect)>,
    seen: Seen,
    requests: u64,
}

impl World {
    fn new(config: Config) -> Self {
        let clock = Duration::from_secs(1);
        let (consumer, record) = Consumer::new(config, Default::default(), now(clock));
        let log: Vec<Record> = record.into_iter().collect();
        let durable = log.len();
        let (stream, waiting, seen) = Default::default();
        Self { consumer, stream, clock, log, durable, waiting, seen, requests: 0 }
    }

    /// How much of the log must be durable before the delivery may leave.
    fn waits_for(&self, delivery: &Delivery) -> usize {
        let reservation =
            self.log.iter().position(|record| record.reserved_end().is_some_and(|end| end > delivery.number));
        let reservation = reservation.expect("no reservation covers the number") + 1;
        if delivery.after_durable { self.log.len() } else { reservation }
    }

    fn step(&mut self, event: Event) {
        let before = self.consumer.window().floor();
        let held_back = self.consumer.config().max_ack_pending.unwrap();
        let effects = self.consumer.step(event, now(self.clock), &mut self.stream);
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.log.push(Record::decode(&record.encode()).unwrap()),
                Effect::Deliver(delivery) => {
                    assert!(
                        self.stream.messages.contains_key(&delivery.sequence.0),
                        "DELIVERY-5: it is gone"
                    );
                    let waits_for = self.waits_for(&delivery);
                    self.waiting.push((waits_for, Effect::Deliver(delivery)));
                }
                Effect::Confirm { to } => self.waiting.push((self.log.len(), Effect::Confirm { to })),
                Effect::Status { to, .. } => assert!(self.seen.asked.remove(&to).is_some(), "DELIVERY-7"),
                _ => {}
            }
        }
        let window = self.consumer.window();
        assert!(window.in_flight().len() <= held_back, "DELIVERY-4");
        let floor = window.floor();
        assert!(
            floor.number >= before.number && floor.sequence >= before.sequence,
            "DELIVERY-6: it went back"
        );
        for (sequence, message) in window.in_flight() {
            assert!(*sequence > floor.sequence && message.number > floor.number, "DELIVERY-6");
        }
        assert!(window.redelivered() >= window.exhausted().len());
        let held = window.in_flight().values().filter(|message| !message.is_available()).count();
        assert_eq!(held + window.queued(), window.in_flight().len());
        self.release();
    }

    /// What waited for the log and need not wait any more is seen.
    fn release(&mut self) {
        let durable = self.durable;
        let (leaves, stays) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= durable);
        self.waiting = stays;
        let leaves: Vec<(usize, Effect)> = leaves;
        for (_, effect) in leaves {
            match effect {
                Effect::Deliver(delivery) => self.see(&delivery),
                Effect::Confirm { to } => {
                    self.seen.confirmed.insert(String::from_utf8(to.0.to_vec()).unwrap().parse().unwrap());
                }
                _ => unreachable!(),
            }
        }
    }

    fn see(&mut self, delivery: &Delivery) {
        let (sequence, number) = (delivery.sequence.0, delivery.number);
        assert!(self.seen.numbers.insert(number), "DELIVERY-1: number {number} again");
        let count = self.seen.counts.entry(sequence).or_default();
        *count += 1;
        if let Some(limit) = self.consumer.config().max_deliver {
            assert!(*count <= limit, "DELIVERY-2: {sequence} for the {count}th time");
        }
        if let Target::Pull(to) = &delivery.to
            && let Some(left) = self.seen.asked.get_mut(to)
        {
            *left = left.checked_sub(1).expect("DELIVERY-7: more than it asked for");
        }
        assert!(!self.seen.confirmed.contains(&sequence), "DELIVERY-3: {sequence} was acknowledged");
        self.seen.deliveries.push((sequence, number));
    }

    fn pull(&mut self, who: u8, batch: u64) {
        self.requests += 1;
        let to = reply(&format!("{who}-{}", self.requests));
        self.seen.asked.insert(to.clone(), batch);
        let no_wait = who == 1;
        let expires = (who == 2).then_some(Duration::from_secs(7));
        self.step(Event::Pull(PullRequest { to, no_wait, expires, ..request("", batch) }));
    }

    fn say(&mut self, which: prop::sample::Index, word: &Word) {
        if self.seen.deliveries.is_empty() {
            return;
        }
        let (sequence, number) = self.seen.deliveries[which.index(self.seen.deliveries.len())];
        let (kind, is_final) = match word {
            Word::Ack => (AckKind::Ack, true),
            Word::Nak => (AckKind::Nak { delay: None }, false),
            Word::NakLater(seconds) => (AckKind::Nak { delay: Some(Duration::from_secs(*seconds)) }, false),
            Word::Progress => (AckKind::Progress, false),
            Word::Term => (AckKind::Term { reason: None }, true),
        };
        // A confirmation is of interest if it means that the message is done.
        let reply = is_final.then(|| reply(&sequence.to_string()));
        self.step(Event::Ack(Ack { sequence: Sequence(sequence), number, kind, reply }));
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.clock + Duration::from_secs(seconds);
        while let Some(at) = self.consumer.next_deadline().filter(|at| *at <= end) {
            self.clock = self.clock.max(at);
            self.step(Event::Tick);
        }
        self.clock = end;
    }

    fn crash(&mut self) {
        self.log.truncate(self.durable);
        self.waiting.clear();
        self.seen.asked.clear();
        let mut consumer = Consumer::to_restore(self.consumer.config().clone());
        for record in &self.log {
            consumer.restore(record);
        }
        consumer.loaded(Sequence(self.stream.last), now(self.clock));
        assert_eq!(consumer.window().in_flight().len(), consumer.snapshot_in_flight());
        self.consumer = consumer;
    }

    fn act(&mut self, op: &Op) {
        match op {
            Op::Publish(count) => {
                for _ in 0..*count {
                    self.stream.add(SIZE, self.clock);
                }
                self.step(Event::Wake);
            }
            Op::Pull(who, batch) => self.pull(*who, *batch),
            Op::Interest(is_there) => self.step(Event::Interest(*is_there)),
            Op::Say(which, word) => self.say(*which, word),
            Op::Wait(seconds) => self.wait(*seconds),
            Op::Delete(which) => {
                let sequences: Vec<u64> = self.stream.messages.keys().copied().collect();
                if !sequences.is_empty() {
                    let sequence = sequences[which.index(sequences.len())];
                    self.stream.messages.remove(&sequence);
                    self.step(Event::Deleted { sequence: Sequence(sequence) });
                }
            }
            Op::Sync => {
                self.durable = self.log.len();
                self.release();
            }
            Op::Crash => self.crash(),
        }
    }

    /// Everybody takes and acknowledges what comes: in the end all is done that could be.
    fn drain(&mut self) {
        self.act(&Op::Sync);
        for _ in 0..200 {
            self.step(Event::Interest(true));
            self.pull(0, 50);
            self.act(&Op::Sync);
            let seen: Vec<(u64, u64)> = self.seen.deliveries.clone();
            for (sequence, number) in seen {
                if self.consumer.window().in_flight().contains_key(&Sequence(sequence)) {
                    let kind = AckKind::Ack;
                    self.step(Event::Ack(Ack { sequence: Sequence(sequence), number, kind, reply: None }));
                }
            }
            if self.consumer.window().in_flight().is_empty()
                && self.consumer.window().next().0 > self.stream.last
            {
                break;
            }
            self.wait(31);
        }
        let window = self.consumer.window();
        assert!(window.in_flight().is_empty(), "DELIVERY-5: stuck: {:?}", window.in_flight());
        assert_eq!(window.floor(), window.delivered(), "nothing in flight: the floor is the last delivery");
        for sequence in self.stream.messages.keys() {
            let was_seen = self.seen.counts.contains_key(sequence);
            let is_done = !window.needs(Sequence(*sequence));
            let is_archived = window.exhausted().contains_key(&Sequence(*sequence));
            assert!(was_seen && is_done || is_archived, "DELIVERY-5: {sequence} was lost");
        }
        // What the records make is what there is.
        let mut restored = Consumer::to_restore(self.consumer.config().clone());
        self.log.iter().for_each(|record| restored.restore(record));
        let (mut ours, mut theirs) = (self.consumer.window().snapshot(), restored.window().snapshot());
        // What was skipped because nothing there matched is looked at again.
        (ours.next, theirs.next) = (Sequence(0), Sequence(0));
        (ours.next_number, theirs.next_number) = (0, 0);
        assert_eq!(ours, theirs);
    }
}

trait InFlight {
    fn snapshot_in_flight(&self) -> usize;
}

impl InFlight for Consumer {
    fn snapshot_in_flight(&self) -> usize {
        self.window().snapshot().in_flight.len()
    }
}

fn history(config: Config, ops: &[Op]) {
    let mut world = World::new(config);
    for op in ops {
        world.act(op);
    }
    world.drain();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pull_consumer_keeps_its_promises(
        ops in prop::collection::vec(op(), 1..80), max_deliver in prop::option::of(1..4u32), max_pending in 1..8usize,
        backoff in prop::collection::vec(1..60u64, 0..3),
    ) {
        let mut config = pull_config();
        config.max_deliver = max_deliver;
        config.max_ack_pending = Some(max_pending);
        config.backoff = backoff.into_iter().map(Duration::from_secs).collect();
        history(config, &ops);
    }

    #[test]
    fn a_push_consumer_keeps_its_promises(
        ops in prop::collection::vec(op(), 1..80), max_deliver in prop::option::of(1..4u32), max_pending in 1..8usize,
    ) {
        let mut config = push_config();
        config.max_deliver = max_deliver;
        config.max_ack_pending = Some(max_pending);
        history(config, &ops);
    }
}
