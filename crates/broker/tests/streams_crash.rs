//! Every legal state of the disk after a crash, at every operation of a workload of streams: publishes with and without
//! ids, acknowledged jobs that are removed, per-subject limits, rollups, purges, Kafka batches, checkpoints.
//!
//! The model: what a client was told is true after recovery. A message that was acknowledged is there, as it was, unless
//! something was begun that takes it away; what was told to be gone is gone; an id is refused with the original's
//! sequence; limits hold; the index and what readers get are the same; no sequence is given twice, not even by a stream in
//! memory, of which nothing else is left.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use duolog_broker::streams::{
    GetError, GetQuery, HeaderRef, Publish, Purge, RetentionPolicy, StorageType, Stream, StreamConfig,
};
use duolog_broker::{Broker, Entry, Lsn};
use duolog_record::BatchBuilder;
use duolog_testkit::{Explorer, Limits, Run, SimDisk, SimEnv, SimRng, Violation};
use duolog_types::{Offset, Sequence};

/// Something that was begun, or that a client was told. Streams by number.
#[derive(Clone, Debug)]
pub enum Promise {
    /// A message went there, and its publisher knows.
    Acked { stream: usize, sequence: u64, value: String },
    /// Something began that may take these away.
    Removing { stream: usize, sequences: Vec<u64> },
    /// Everything up to here may go.
    Purging { stream: usize, below: u64 },
    /// The stream in memory gave this sequence, and somebody was told.
    Given { sequence: u64 },
    /// These are gone, and somebody was told.
    Removed { stream: usize, sequences: Vec<u64> },
}

const STREAMS: usize = 3;
const PER_SUBJECT: u64 = 2;

fn config(stream: usize) -> StreamConfig {
    let mut config = StreamConfig {
        name: format!("S{stream}"),
        subjects: vec![format!("s{stream}.*")],
        duplicate_window: Some(Duration::from_secs(3600)),
        ..StreamConfig::default()
    };
    match stream {
        0 => config.retention = RetentionPolicy::WorkQueue,
        1 => {
            config.max_msgs_per_subject = Some(PER_SUBJECT);
            config.allow_rollup_hdrs = true;
        }
        _ => config.max_msgs = Some(6),
    }
    config
}

fn in_memory() -> StreamConfig {
    StreamConfig {
        name: "M".to_owned(),
        subjects: vec!["m.*".to_owned()],
        storage: StorageType::Memory,
        ..StreamConfig::default()
    }
}

struct Clients<'a> {
    run: &'a Run<Promise>,
    rng: SimRng,
    broker: Arc<Broker>,
    waiting: Vec<(Lsn, Promise)>,
    /// What was put into the work queue, and not taken out by us.
    jobs: Vec<u64>,
    values: u32,
}

impl Clients<'_> {
    fn publish(&mut self, number: usize, stream: &Stream) {
        self.values += 1;
        let value = format!("{}:{}", self.values, "x".repeat(self.rng.below(200) as usize));
        let subject = format!("s{number}.{}", self.rng.below(4));
        let id = format!("id-{}", self.values);
        let rolls = number == 1 && self.rng.one_in(6);
        let mut headers: Vec<HeaderRef<'_>> = vec![(b"Nats-Msg-Id", Some(id.as_bytes()))];
        if rolls {
            headers.push((b"Nats-Rollup", Some(b"sub")));
        }
        let last = stream.state().last_sequence.0;
        if rolls {
            // Whichever of its subject: any that is there may go.
            self.run.mark(Promise::Removing { stream: number, sequences: (1..=last).collect() });
        }
        let message = Publish {
            subject: &subject,
            headers: &headers,
            payload: value.as_bytes(),
            arrival: self.broker.now(),
        };
        let ack = stream.publish(message).unwrap();
        assert!(!ack.duplicate);
        if number == 0 {
            self.jobs.push(ack.sequence.0);
        }
        self.waiting.push((ack.lsn, Promise::Acked { stream: number, sequence: ack.sequence.0, value }));
    }

    /// A Kafka client sends a batch: a new id, the last one again, and no id.
    fn produce(&mut self, number: usize, stream: &Stream) {
        let mut builder = BatchBuilder::new(Offset::ZERO);
        let again = format!("id-{}", self.values);
        self.values += 1;
        let id = format!("id-{}", self.values);
        let key = format!("s{number}.{}", self.rng.below(4));
        for (id, value) in [(Some(&id), "new"), (Some(&again), "again"), (None, "plain")] {
            let header: [HeaderRef<'_>; 1] = [(b"Nats-Msg-Id", id.map(String::as_bytes))];
            let headers = if id.is_some() { &header[..] } else { &[] };
            let now = self.broker.now().to_ms();
            builder.push_with_headers(now, Some(key.as_bytes()), Some(value.as_bytes()), headers).unwrap();
        }
        produce(&self.broker, stream.partition(), builder.build().unwrap()).unwrap();
    }

    fn remove(&mut self, stream: &Stream) {
        if self.jobs.is_empty() {
            return;
        }
        let count = 1 + self.rng.index(self.jobs.len().min(3));
        let taken: Vec<u64> =
            (0..count).map(|_| self.jobs.swap_remove(self.rng.index(self.jobs.len()))).collect();
        self.run.mark(Promise::Removing { stream: 0, sequences: taken.clone() });
        let sequences: Vec<Sequence> = taken.iter().copied().map(Sequence).collect();
        let lsn = stream.remove(Entry::new(), &sequences).unwrap();
        self.waiting.push((lsn, Promise::Removed { stream: 0, sequences: taken }));
    }

    /// Into the stream in memory: so much at once, now and then, that it needs more sequences than it has reserved.
    fn remember(&mut self, stream: &Stream) {
        if self.rng.one_in(3) {
            let beyond = stream.state().last_sequence.next().0 + 20_000;
            stream.purge(&Purge { below: Sequence(beyond), ..Purge::default() }).unwrap();
        }
        let message =
            Publish { subject: "m.a", headers: &[], payload: b"soon gone", arrival: self.broker.now() };
        let ack = stream.publish(message).unwrap();
        self.waiting.push((ack.lsn, Promise::Given { sequence: ack.sequence.0 }));
    }

    fn purge(&mut self, number: usize, stream: &Stream) {
        let state = stream.state();
        let below = state.first_sequence.0 + self.rng.below(4);
        if below <= 1 {
            return;
        }
        self.run.mark(Promise::Purging { stream: number, below });
        let purged = stream.purge(&Purge { below: Sequence(below), ..Purge::default() }).unwrap();
        let sequences = (1..below).collect();
        self.waiting.push((purged.lsn, Promise::Removed { stream: number, sequences }));
    }

    fn tell(&mut self) {
        let durable = self.broker.durable_lsn();
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
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        streams.push(broker.streams().create(config(number), false).unwrap().stream);
    }
    let memory = broker.streams().create(in_memory(), false).unwrap().stream;
    settle(&broker);
    let mut clients = Clients {
        run,
        rng: run.rng(),
        broker: broker.clone(),
        waiting: Vec::new(),
        jobs: Vec::new(),
        values: 0,
    };
    for _ in 0..70 {
        sim.clock.advance(Duration::from_millis(rng.below(30)));
        let number = rng.index(STREAMS);
        match rng.below(22) {
            0..=9 => clients.publish(number, &streams[number]),
            10 | 11 => clients.produce(2, &streams[2]),
            12..=15 => clients.remove(&streams[0]),
            16 => clients.purge(number, &streams[number]),
            17 => broker.expire_messages(),
            18 | 19 => clients.remember(&memory),
            _ => broker.checkpoint().unwrap(),
        }
        clients.tell();
        if rng.one_in(3) {
            settle(&broker);
            clients.tell();
        }
    }
    if rng.one_in(3) {
        let _ = broker.close();
    }
}

#[derive(Default)]
struct Model {
    acked: BTreeMap<u64, String>,
    removing: BTreeSet<u64>,
    purging: u64,
    removed: BTreeSet<u64>,
}

fn models(promises: &[Promise]) -> Vec<Model> {
    let mut models: Vec<Model> = (0..STREAMS).map(|_| Model::default()).collect();
    for promise in promises.iter().cloned() {
        match promise {
            Promise::Acked { stream, sequence, value } => _ = models[stream].acked.insert(sequence, value),
            Promise::Given { .. } => {}
            Promise::Removing { stream, sequences } => models[stream].removing.extend(sequences),
            Promise::Purging { stream, below } => {
                models[stream].purging = models[stream].purging.max(below);
            }
            Promise::Removed { stream, sequences } => models[stream].removed.extend(sequences),
        }
    }
    models
}

/// Sequence and body of each message, by the index and by a Kafka reader.
fn contents(stream: &Stream) -> Result<BTreeMap<u64, String>, Violation> {
    let mut by_index = BTreeMap::new();
    let mut from = Sequence(1);
    loop {
        let message = match wait(stream.get(GetQuery::NextBySubject { subject: ">", from })) {
            Ok(message) => message,
            Err(GetError::NotFound) => break,
            Err(error) => return Err(Violation::new("unreadable", error.to_string())),
        };
        let value = String::from_utf8(message.payload.to_vec()).unwrap();
        by_index.insert(message.sequence.0, value);
        from = message.sequence.next();
    }
    let by_log: BTreeMap<u64, String> =
        read_all(stream.partition()).into_iter().map(|(offset, value)| (offset as u64 + 1, value)).collect();
    if by_index != by_log || stream.state().messages != by_index.len() as u64 {
        let keys = |found: &BTreeMap<u64, String>| found.keys().copied().collect::<Vec<_>>();
        let (by_index, by_log) = (keys(&by_index), keys(&by_log));
        let detail = format!("{}: index {by_index:?}, log {by_log:?}, {:?}", stream.name(), stream.state());
        return Err(Violation::new("index", detail));
    }
    Ok(by_index)
}

fn check_stream(broker: &Broker, number: usize, stream: &Stream, model: &Model) -> Result<(), Violation> {
    let name = format!("S{number}");
    // Kafka's readers may be a flush behind what limits let go.
    settle(broker);
    broker.checkpoint().map_err(|error| Violation::new("refused", error.to_string()))?;
    let found = contents(stream)?;
    let limit_may_evict = |sequence: u64| match number {
        0 => false,
        1 => true,
        _ => found.len() >= 6 && found.keys().next().is_some_and(|first| sequence < *first),
    };
    for (sequence, value) in &model.acked {
        match found.get(sequence) {
            Some(there) if there != value => {
                let detail = format!("{name} {sequence}: told {value:.9}, found {there:.9}");
                return Err(Violation::new("lost-write", detail));
            }
            None if *sequence >= model.purging
                && !model.removing.contains(sequence)
                && !limit_may_evict(*sequence) =>
            {
                return Err(Violation::new("lost-write", format!("{name} {sequence}: {value:.9}")));
            }
            _ => {}
        }
    }
    if let Some(undead) = model.removed.iter().find(|sequence| found.contains_key(sequence)) {
        return Err(Violation::new("undead-message", format!("{name} {undead} was told to be gone")));
    }
    if number == 2 && found.len() > 6 {
        return Err(Violation::new("limit", format!("{name} has {} messages", found.len())));
    }
    let over =
        |subject: &String| stream.subjects(subject, 0, 1).page.iter().any(|(_, count)| *count > PER_SUBJECT);
    if number == 1 && (0..4).map(|n| format!("s1.{n}")).any(|subject| over(&subject)) {
        return Err(Violation::new("limit", format!("{name}: a subject has more than {PER_SUBJECT}")));
    }
    for (sequence, value) in &model.acked {
        let id = format!("id-{}", value.split(':').next().unwrap());
        let headers: [HeaderRef<'_>; 1] = [(b"Nats-Msg-Id", Some(id.as_bytes()))];
        let subject = format!("s{number}.0");
        let message = Publish { subject: &subject, headers: &headers, payload: b"", arrival: broker.now() };
        let ack = stream.publish(message).unwrap();
        if !ack.duplicate || ack.sequence.0 != *sequence {
            let detail = format!("{name}: {id} is at {sequence}, and was taken to {}", ack.sequence);
            return Err(Violation::new("dedup-forgotten", detail));
        }
    }
    let last = stream.state().last_sequence.0;
    if model.acked.keys().next_back().is_some_and(|told| *told > last) {
        return Err(Violation::new("sequence-twice", format!("{name} goes on behind {last}")));
    }
    Ok(())
}

pub fn check(run: &Run<Promise>, promises: &[Promise]) -> Result<(), Violation> {
    let recovered = |disk: &SimDisk, seed| {
        let sim = SimEnv::with_disk(disk.clone(), seed);
        open(sim.env()).map_err(|error| Violation::new("cannot-open", error.to_string()))
    };
    let models = models(promises);
    let broker = recovered(run.disk(), 99)?;
    let given = promises.iter().filter_map(|promise| match promise {
        Promise::Given { sequence } => Some(*sequence),
        _ => None,
    });
    if let Some(given) = given.max() {
        let stream = broker.streams().get("M").ok_or_else(|| Violation::new("lost-stream", "M"))?;
        let (state, left) = (stream.state(), read_all(stream.partition()));
        if state.last_sequence.0 < given {
            let detail = format!("M goes on behind {}, and {given} was given", state.last_sequence);
            return Err(Violation::new("sequence-twice", detail));
        }
        if state.messages > 0 || !left.is_empty() {
            return Err(Violation::new("undead-message", format!("M has {left:?}")));
        }
    }
    for (number, model) in models.iter().enumerate() {
        match broker.streams().get(&format!("S{number}")) {
            Some(stream) => check_stream(&broker, number, &stream, model)?,
            None if model.acked.is_empty() => {}
            None => return Err(Violation::new("lost-stream", format!("S{number}"))),
        }
    }
    Ok(())
}

#[cfg_attr(not(seeded_bug), test)]
#[cfg_attr(seeded_bug, allow(dead_code, reason = "`seeded` uses the rest, and would disturb this"))]
fn no_crash_breaks_what_a_stream_was_told_to_keep() {
    let images = std::env::var("DUOLOG_CRASH_IMAGES").ok().and_then(|count| count.parse().ok());
    let mut explorer =
        Explorer::new(3, "cargo test -p duolog-broker --test streams_crash").with_replay_from_env().unwrap();
    explorer.images = images.unwrap_or(3_000);
    // Many workloads rather than many images of each.
    explorer.limits = Limits { per_kind: 2 };
    explorer.threads = if images.is_some() { 2 } else { 1 };
    let report = explorer.run(workload, check);
    println!("{report:?}");
    report.assert_clean();
}
