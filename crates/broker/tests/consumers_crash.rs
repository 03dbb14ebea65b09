//! Every legal state of the disk after a crash, at every operation of a workload of consumers: a work queue, an interest
//! stream and one with limits, whose clients pull, acknowledge (waiting for the confirmation or not), refuse and
//! terminate, while messages come, are deleted and purged, waits run out, and checkpoints are made.
//!
//! The model: what a client was told is true after recovery.
//! - An acknowledgement that was confirmed holds: its message is never delivered again, and where it took the message
//!   away, the message is gone.
//! - A message of the work queue or the interest stream is gone together with its last acknowledgement: not without, not
//!   before, not after.
//! - Under a delivery limit nothing is delivered more often, and what a client holds is held for a full wait.
//! - No number of a delivery is given twice.
//! - An id is refused with its sequence, its message acknowledged or not.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::door::{Door, Told, request};
use common::*;
use duolog_broker::consumers::{Ack, AckKind, AckPolicy, Action, ConsumerConfig, ReplyTo};
use duolog_broker::streams::{GetQuery, HeaderRef, Publish, Purge, RetentionPolicy, Stream, StreamConfig};
use duolog_broker::{Broker, Consumer, Lsn};
use duolog_testkit::{Explorer, Limits, Run, SimDisk, SimEnv, SimRng, Violation};
use duolog_types::Sequence;

/// A work queue, one with limits, one by interest.
const STREAMS: [&str; 3] = ["Q", "L", "I"];
const LIMITS: usize = 1;

/// Consumers and their streams' places in [`STREAMS`].
const CONSUMERS: [(&str, usize); 5] = [("work", 0), ("twice", 1), ("through", 1), ("one", 2), ("two", 2)];
const TWICE: usize = 1;
const THROUGH: usize = 2;

const ACK_WAIT: Duration = Duration::from_secs(10);
const DELIVERIES_MAX: u32 = 2;

/// Something that was begun, or that a client was told. Streams and consumers by number.
#[derive(Clone, Debug)]
pub enum Promise {
    /// Streams and consumers are there.
    Ready,
    /// A message went there, and its publisher knows.
    Stored { stream: usize, sequence: u64, id: String },
    /// Something began that may take this away.
    Removing { stream: usize, sequence: u64 },
    /// It is gone, and somebody was told.
    Removed { stream: usize, sequence: u64 },
    /// A client got it.
    Delivered { consumer: usize, sequence: u64, number: u64 },
    /// A client has said that it is done, or that it can't be.
    Settling { consumer: usize, sequence: u64 },
    /// And was told that this is certain.
    Settled { consumer: usize, sequence: u64 },
    /// A client has given it back.
    Refusing { consumer: usize, sequence: u64 },
    /// What was delivered before may be delivered again: its wait is over.
    Waited,
}

fn stream_config(number: usize) -> StreamConfig {
    let retention = match STREAMS[number] {
        "Q" => RetentionPolicy::WorkQueue,
        "I" => RetentionPolicy::Interest,
        _ => RetentionPolicy::Limits,
    };
    StreamConfig {
        name: STREAMS[number].to_owned(),
        subjects: vec![format!("{}.*", STREAMS[number])],
        duplicate_window: Some(Duration::from_secs(3600)),
        retention,
        ..StreamConfig::default()
    }
}

fn consumer_config(number: usize) -> ConsumerConfig {
    ConsumerConfig {
        durable_name: CONSUMERS[number].0.to_owned(),
        ack_policy: if number == THROUGH { AckPolicy::All } else { AckPolicy::Explicit },
        ack_wait: ACK_WAIT.as_nanos() as i64,
        max_deliver: if number == TWICE { i64::from(DELIVERIES_MAX) } else { -1 },
        ..ConsumerConfig::default()
    }
}

fn number_of(name: &str) -> usize {
    CONSUMERS.iter().position(|(known, _)| *known == name).unwrap()
}

struct Clients<'a> {
    run: &'a Run<Promise>,
    rng: SimRng,
    broker: Arc<Broker>,
    door: Arc<Door>,
    streams: Vec<Arc<Stream>>,
    consumers: Vec<Arc<Consumer>>,
    waiting: Vec<(Lsn, Promise)>,
    /// What each consumer's clients hold: sequence and delivery.
    held: Vec<Vec<(u64, u64)>>,
    published: u32,
}

impl Clients<'_> {
    fn settle(&self) {
        wait(self.broker.consumers().settle());
    }

    fn publish(&mut self) {
        let stream = self.rng.index(STREAMS.len());
        self.published += 1;
        let id = format!("id-{}", self.published);
        let value = format!("{id}:{}", "x".repeat(self.rng.below(100) as usize));
        let headers: [HeaderRef<'_>; 1] = [(b"Nats-Msg-Id", Some(id.as_bytes()))];
        let subject = format!("{}.{}", STREAMS[stream], self.rng.below(3));
        let message = Publish {
            subject: &subject,
            headers: &headers,
            payload: value.as_bytes(),
            arrival: self.broker.now(),
        };
        let ack = self.streams[stream].publish(message).unwrap();
        assert!(!ack.duplicate);
        self.waiting.push((ack.lsn, Promise::Stored { stream, sequence: ack.sequence.0, id }));
    }

    fn pull(&mut self) {
        let consumer = self.rng.index(CONSUMERS.len());
        self.broker.consumers().pull(&self.consumers[consumer], request(1 + self.rng.below(4)));
        self.settle();
    }

    fn answer(&mut self) {
        let consumer = self.rng.index(CONSUMERS.len());
        if self.held[consumer].is_empty() {
            return;
        }
        let place = self.rng.index(self.held[consumer].len());
        let (sequence, number) = self.held[consumer].swap_remove(place);
        let kind = match self.rng.below(8) {
            0 => AckKind::Nak { delay: None },
            1 => AckKind::Progress,
            2 => AckKind::Term { reason: None },
            _ => AckKind::Ack,
        };
        match kind {
            AckKind::Nak { .. } => self.run.mark(Promise::Refusing { consumer, sequence }),
            AckKind::Progress => {}
            _ => self.run.mark(Promise::Settling { consumer, sequence }),
        }
        let is_done = matches!(kind, AckKind::Ack | AckKind::Term { .. });
        let address = format!("{consumer} {sequence}");
        let reply = (is_done && !self.rng.one_in(3)).then(|| ReplyTo(address.into()));
        let ack = Ack { sequence: Sequence(sequence), number, kind, reply };
        self.broker.consumers().ack(&self.consumers[consumer], ack);
        self.settle();
    }

    fn delete(&mut self) {
        let state = self.streams[LIMITS].state();
        let sequence = state.first_sequence.0 + self.rng.below(6);
        let partition = self.streams[LIMITS].partition().id();
        self.run.mark(Promise::Removing { stream: LIMITS, sequence });
        if let Ok(lsn) = self.streams[LIMITS].delete_message(Sequence(sequence)) {
            self.broker.consumers().deleted(partition, Sequence(sequence));
            self.waiting.push((lsn, Promise::Removed { stream: LIMITS, sequence }));
        }
    }

    fn purge(&mut self) {
        let stream = &self.streams[LIMITS];
        let first = stream.state().first_sequence.0;
        let below = first + self.rng.below(3);
        (first..below).for_each(|sequence| self.run.mark(Promise::Removing { stream: LIMITS, sequence }));
        if below < 2 {
            return;
        }
        let purged = stream.purge(&Purge { below: Sequence(below), ..Purge::default() }).unwrap();
        self.broker.consumers().purged(stream.partition().id(), Sequence(below), None);
        let gone = (first..below).map(|sequence| Promise::Removed { stream: LIMITS, sequence });
        self.waiting.extend(gone.map(|promise| (purged.lsn, promise)));
    }

    /// Tells clients what is durable.
    fn tell(&mut self) {
        let durable = self.broker.durable_lsn();
        for told in self.door.leaving(durable) {
            match told {
                Told::Delivery { consumer, sequence, number, .. } => {
                    let consumer = number_of(&consumer);
                    self.run.mark(Promise::Delivered { consumer, sequence, number });
                    self.held[consumer].retain(|(held, _)| *held != sequence);
                    self.held[consumer].push((sequence, number));
                }
                Told::Confirmed { to } => {
                    let (consumer, sequence) = to.split_once(' ').unwrap();
                    let (consumer, sequence) = (consumer.parse().unwrap(), sequence.parse().unwrap());
                    self.run.mark(Promise::Settled { consumer, sequence });
                }
            }
        }
        let (told, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(lsn, _)| *lsn <= durable);
        self.waiting = waiting;
        told.into_iter().for_each(|(_, promise)| self.run.mark(promise));
    }
}

pub fn workload(run: &Run<Promise>) {
    let rng = run.rng();
    let sim = SimEnv::with_disk(run.disk().clone(), rng.below(1 << 40));
    let Ok(broker) = open(sim.env()) else { return };
    let door = Arc::new(Door::default());
    broker.consumers().set_sink(door.clone());
    let create = |number| broker.streams().create(stream_config(number), false).unwrap().stream;
    let streams: Vec<_> = (0..STREAMS.len()).map(create).collect();
    let create = |number: usize| {
        let of_stream = broker.consumers_of(&streams[CONSUMERS[number].1]);
        let config = consumer_config(number);
        broker.consumers().create(&of_stream, config, Action::Create, false).unwrap().consumer
    };
    let consumers: Vec<_> = (0..CONSUMERS.len()).map(create).collect();
    settle(&broker);
    run.mark(Promise::Ready);
    let mut clients = Clients {
        run,
        rng: run.rng(),
        broker: broker.clone(),
        door,
        streams,
        consumers,
        waiting: Vec::new(),
        held: vec![Vec::new(); CONSUMERS.len()],
        published: 0,
    };
    for _ in 0..90 {
        sim.clock.advance(Duration::from_millis(rng.below(30)));
        match rng.below(24) {
            0..=7 => clients.publish(),
            8..=12 => clients.pull(),
            13..=19 => clients.answer(),
            20 => clients.delete(),
            21 => clients.purge(),
            22 if rng.one_in(2) => {
                run.mark(Promise::Waited);
                sim.clock.advance(ACK_WAIT);
                clients.settle();
            }
            _ => broker.checkpoint().unwrap(),
        }
        clients.tell();
        if rng.one_in(2) {
            settle(&broker);
            clients.settle();
            clients.tell();
        }
    }
    if rng.one_in(3) {
        let _ = broker.close();
    }
}

#[derive(Default)]
struct Model {
    is_ready: bool,
    /// By stream: sequences and ids.
    stored: [BTreeMap<u64, String>; 3],
    removing: [BTreeSet<u64>; 3],
    removed: [BTreeSet<u64>; 3],
    /// By consumer: how often each was delivered, and the highest number.
    delivered: [BTreeMap<u64, u32>; 5],
    newest_number: [u64; 5],
    settling: [BTreeSet<u64>; 5],
    settled: [BTreeSet<u64>; 5],
    /// What a client got last and whose wait isn't over.
    held: [BTreeSet<u64>; 5],
}

impl Model {
    fn of(promises: &[Promise]) -> Self {
        let mut model = Self::default();
        for promise in promises {
            match promise {
                Promise::Ready => model.is_ready = true,
                Promise::Stored { stream, sequence, id } => {
                    model.stored[*stream].insert(*sequence, id.clone());
                }
                Promise::Removing { stream, sequence } => _ = model.removing[*stream].insert(*sequence),
                Promise::Removed { stream, sequence } => _ = model.removed[*stream].insert(*sequence),
                Promise::Delivered { consumer, sequence, number } => {
                    *model.delivered[*consumer].entry(*sequence).or_default() += 1;
                    model.newest_number[*consumer] = model.newest_number[*consumer].max(*number);
                    model.held[*consumer].insert(*sequence);
                }
                Promise::Settling { consumer, sequence } => {
                    model.settling[*consumer].insert(*sequence);
                    model.held[*consumer].remove(sequence);
                }
                Promise::Settled { consumer, sequence } => _ = model.settled[*consumer].insert(*sequence),
                Promise::Refusing { consumer, sequence } => _ = model.held[*consumer].remove(sequence),
                Promise::Waited => model.held.iter_mut().for_each(BTreeSet::clear),
            }
        }
        model
    }

    /// Whether a consumer's client was told that the message is done: one that acknowledges all below says so of them too.
    fn is_settled(&self, consumer: usize, sequence: u64) -> bool {
        self.settled[consumer].contains(&sequence)
            || (consumer == THROUGH && self.settled[consumer].range(sequence..).next().is_some())
    }

    /// Whether every consumer of the stream may have been told of the message's end, so that it may be gone.
    fn may_be_gone(&self, stream: usize, sequence: u64) -> bool {
        let mut readers = (0..CONSUMERS.len()).filter(|consumer| CONSUMERS[*consumer].1 == stream);
        self.removing[stream].contains(&sequence)
            || (stream != LIMITS && readers.all(|consumer| self.settling[consumer].contains(&sequence)))
    }

    /// Whether it must be gone.
    fn must_be_gone(&self, stream: usize, sequence: u64) -> bool {
        let mut readers = (0..CONSUMERS.len()).filter(|consumer| CONSUMERS[*consumer].1 == stream);
        self.removed[stream].contains(&sequence)
            || (stream != LIMITS && readers.all(|consumer| self.settled[consumer].contains(&sequence)))
    }
}

fn contents(stream: &Stream) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let mut from = Sequence(1);
    while let Ok(message) = wait(stream.get(GetQuery::NextBySubject { subject: ">", from })) {
        found.insert(message.sequence.0);
        from = message.sequence.next();
    }
    found
}

/// The streams after recovery: what must be there and what must not.
fn check_streams(broker: &Broker, model: &Model, streams: &[Arc<Stream>]) -> Result<(), Violation> {
    for (number, stream) in streams.iter().enumerate() {
        let (name, found) = (STREAMS[number], contents(stream));
        for (sequence, id) in &model.stored[number] {
            if !found.contains(sequence) && !model.may_be_gone(number, *sequence) {
                return Err(Violation::new("lost-write", format!("{name} {sequence}")));
            }
            let headers: [HeaderRef<'_>; 1] = [(b"Nats-Msg-Id", Some(id.as_bytes()))];
            let subject = format!("{name}.0");
            let message =
                Publish { subject: &subject, headers: &headers, payload: b"", arrival: broker.now() };
            let ack = stream.publish(message).unwrap();
            if !ack.duplicate || ack.sequence.0 != *sequence {
                let detail = format!("{name}: {id} is at {sequence}, and was taken to {}", ack.sequence);
                return Err(Violation::new("dedup-forgotten", detail));
            }
        }
        if let Some(undead) = found.iter().find(|sequence| model.must_be_gone(number, **sequence)) {
            return Err(Violation::new("undead-message", format!("{name} {undead} is there again")));
        }
    }
    Ok(())
}

/// How many messages a consumer still counts on: those must be there.
fn check_counts(
    broker: &Broker,
    consumer: &Arc<Consumer>,
    number: usize,
    stream: &Stream,
) -> Result<(), Violation> {
    let Some((info, _)) = broker.consumers().info(consumer) else {
        return Err(Violation::new("lost-consumer", CONSUMERS[number].0));
    };
    let (unsettled, there) = (info.ack_pending as u64 + info.pending, stream.state().messages);
    if unsettled > there {
        let detail = format!("{}: {there} messages, and {unsettled} not acknowledged", CONSUMERS[number].0);
        return Err(Violation::new("removed-before-ack", detail));
    }
    if CONSUMERS[number].0 == "work" && unsettled < there {
        let detail = format!("{there} messages, and {unsettled} not acknowledged");
        return Err(Violation::new("ack-without-removal", detail));
    }
    Ok(())
}

/// Pulls all that a consumer has to give now.
fn drain(broker: &Broker, door: &Door, consumer: &Arc<Consumer>) -> Vec<(u64, u64)> {
    broker.consumers().pull(consumer, request(1000));
    wait(broker.consumers().settle());
    settle(broker);
    let told = door.leaving(broker.durable_lsn()).into_iter();
    let deliveries = told.filter_map(|told| match told {
        Told::Delivery { sequence, number, .. } => Some((sequence, number)),
        Told::Confirmed { .. } => None,
    });
    deliveries.collect()
}

fn check_deliveries(
    sim: &SimEnv,
    broker: &Broker,
    door: &Door,
    model: &Model,
    consumers: &[Arc<Consumer>],
) -> Result<(), Violation> {
    let mut delivered = model.delivered.clone();
    let mut newest = model.newest_number;
    for round in 0..=DELIVERIES_MAX {
        for (number, consumer) in consumers.iter().enumerate() {
            let name = CONSUMERS[number].0;
            for (sequence, delivery) in drain(broker, door, consumer) {
                if model.is_settled(number, sequence) {
                    let detail = format!("{name}: {sequence} was confirmed, and comes again");
                    return Err(Violation::new("lost-ack", detail));
                }
                if delivery <= newest[number] {
                    let detail = format!("{name}: {delivery}, and {} was given", newest[number]);
                    return Err(Violation::new("number-twice", detail));
                }
                newest[number] = delivery;
                let count = delivered[number].entry(sequence).or_default();
                *count += 1;
                if number == TWICE && *count > DELIVERIES_MAX {
                    let detail = format!("{name}: {sequence} came {count} times");
                    return Err(Violation::new("delivered-too-often", detail));
                }
                if number == TWICE && round == 0 && model.held[number].contains(&sequence) {
                    let detail = format!("{name}: {sequence} is held, and came at once");
                    return Err(Violation::new("ack-wait-cut", detail));
                }
            }
        }
        sim.clock.advance(ACK_WAIT);
        wait(broker.consumers().settle());
    }
    Ok(())
}

pub fn check(run: &Run<Promise>, promises: &[Promise]) -> Result<(), Violation> {
    let sim = SimEnv::with_disk(SimDisk::clone(run.disk()), 99);
    let broker = open(sim.env()).map_err(|error| Violation::new("cannot-open", error.to_string()))?;
    let model = Model::of(promises);
    if !model.is_ready {
        return Ok(());
    }
    let door = Arc::new(Door::default());
    broker.consumers().set_sink(door.clone());
    let (mut streams, mut consumers) = (Vec::new(), Vec::new());
    for name in STREAMS {
        streams.push(broker.streams().get(name).ok_or_else(|| Violation::new("lost-stream", name))?);
    }
    for (name, stream) in CONSUMERS {
        let consumer = broker.consumers_of(&streams[stream]).get(name);
        consumers.push(consumer.ok_or_else(|| Violation::new("lost-consumer", name))?);
    }
    for (number, consumer) in consumers.iter().enumerate() {
        let stream = CONSUMERS[number].1;
        if stream != LIMITS {
            check_counts(&broker, consumer, number, &streams[stream])?;
        }
    }
    check_streams(&broker, &model, &streams)?;
    check_deliveries(&sim, &broker, &door, &model, &consumers)
}

#[cfg_attr(not(seeded_bug), test)]
#[cfg_attr(seeded_bug, allow(dead_code, reason = "`seeded` uses the rest, and would disturb this"))]
fn no_crash_undoes_what_a_consumer_was_told() {
    let images = std::env::var("DUOLOG_CRASH_IMAGES").ok().and_then(|count| count.parse().ok());
    let mut explorer = Explorer::new(5, "cargo test -p duolog-broker --test consumers_crash")
        .with_replay_from_env()
        .unwrap();
    explorer.images = images.unwrap_or(3_000);
    // Many workloads rather than many images of each.
    explorer.limits = Limits { per_kind: 2 };
    explorer.threads = if images.is_some() { 2 } else { 1 };
    let report = explorer.run(workload, check);
    println!("{report:?}");
    report.assert_clean();
}
