//! Every legal state of the disk after a crash, at every operation of a workload of idempotent producers, topics
//! that come, change and go, retention, producer ids and consumer groups.
//!
//! The model: what a client was told is true after recovery. An acknowledged batch is there, once, in its
//! producer's order, at the offset that was told (also if only a duplicate was answered); every batch that is
//! there and among its producer's last five is known as a duplicate; topics and configs are the acknowledged
//! ones or newer; a producer id that was told is never given again. For groups see `crash_groups`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;
mod crash_groups;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::*;
use crash_groups::{GroupClients, GroupModel, GroupPromise};
use duolog_broker::catalog::{AlterOp, ConfigChange, NewPartitions, NewTopic};
use duolog_broker::{Broker, BrokerConfig, GroupsConfig, Lsn, OpenError, Partition, Topic, retention};
use duolog_env::Env;
use duolog_testkit::{Explorer, Run, SimDisk, SimEnv, SimRng, Violation};
use duolog_types::{ProducerId, TopicId};

/// A batch of a producer, by where it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    topic: TopicId,
    partition: usize,
    producer: i64,
    sequence: i32,
    count: i32,
}

impl Sent {
    /// The values of its records: they say who sent them.
    fn values(&self) -> Vec<String> {
        (self.sequence..self.sequence + self.count)
            .map(|sequence| {
                format!("{}:{sequence}:{}", self.producer, "x".repeat(sequence as usize % 7 * 90))
            })
            .collect()
    }

    fn send(&self, broker: &Broker, partition: &Partition) -> (i64, Lsn, bool) {
        let values = self.values();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let now = broker.now().to_ms().0;
        let batch = idempotent(ProducerId(self.producer), 0, self.sequence, &values, now);
        let produced = produce(broker, partition, batch).unwrap();
        (produced.base_offset.0, produced.lsn, produced.duplicate)
    }
}

/// Something that was begun, or that a client was told.
#[derive(Clone, Debug)]
pub enum Promise {
    Submitted(Sent),
    Acked { sent: Sent, base_offset: i64 },
    TopicMade { id: TopicId, partitions: usize },
    TopicDeleting(TopicId),
    TopicDeleted(TopicId),
    ConfigSubmitted { id: TopicId, retention_ms: u64 },
    ConfigSet { id: TopicId, retention_ms: u64 },
    TrimSubmitted { id: TopicId },
    ProducerIdGiven(i64),
    ClusterId(String),
    Group(GroupPromise),
}

/// The workload's state, as its clients know it.
struct Clients<'a> {
    run: &'a Run<Promise>,
    rng: SimRng,
    broker: Arc<Broker>,
    /// What each producer sent to each partition, oldest first.
    sent: BTreeMap<(TopicId, usize, i64), Vec<Sent>>,
    /// What is told once its entry is durable.
    waiting: Vec<(Lsn, Promise)>,
    names: usize,
    groups: GroupClients,
}

impl Clients<'_> {
    fn topic(&self) -> Option<Arc<Topic>> {
        let topics = self.broker.catalog().topics();
        (!topics.is_empty()).then(|| topics[self.rng.index(topics.len())].clone())
    }

    fn make_topic(&mut self) {
        self.names += 1;
        let partitions = 1 + self.rng.below(2) as i32;
        let name = format!("topic-{}", self.names);
        let new = NewTopic { name, partitions: Some(partitions), ..NewTopic::default() };
        let made = self.broker.catalog().create(&new).unwrap();
        let topic = made.topic.unwrap();
        let promise = Promise::TopicMade { id: topic.id(), partitions: topic.partitions().len() };
        self.waiting.push((made.lsn, promise));
    }

    fn change_topic(&mut self, topic: &Topic) {
        let catalog = self.broker.catalog();
        let id = topic.id();
        match self.rng.below(4) {
            0 => {
                self.run.mark(Promise::TopicDeleting(id));
                let lsn = catalog.delete(id).unwrap();
                self.waiting.push((lsn, Promise::TopicDeleted(id)));
            }
            1 => {
                let total = topic.partitions().len() as i32 + 1;
                let more = NewPartitions { topic: topic.name().to_string(), total, assignments: None };
                let lsn = catalog.create_partitions(&more, false).unwrap();
                self.waiting.push((lsn, Promise::TopicMade { id, partitions: total as usize }));
            }
            2 => {
                // Rises, so that an older value shows.
                let retention_ms = topic.config().retention_ms.unwrap() + 1;
                self.run.mark(Promise::ConfigSubmitted { id, retention_ms });
                let op = AlterOp::Set(Some(retention_ms.to_string()));
                let change = ConfigChange::Incremental(vec![("retention.ms".to_owned(), op)]);
                let lsn = catalog.alter_config(topic.name(), &change, false).unwrap();
                self.waiting.push((lsn, Promise::ConfigSet { id, retention_ms }));
            }
            _ => {
                self.run.mark(Promise::TrimSubmitted { id });
                for partition in topic.partitions() {
                    partition.delete_records(None).unwrap();
                }
            }
        }
    }

    /// Sends a new batch, or one of the last five again.
    fn send(&mut self, topic: &Topic) {
        let index = self.rng.index(topic.partitions().len());
        let producer = self.rng.below(3) as i64;
        let partition = topic.partition(index as i32).unwrap();
        let history = self.sent.entry((topic.id(), index, producer)).or_default();
        let again = !history.is_empty() && self.rng.one_in(3);
        let sent = if again {
            let back = self.rng.index(history.len().min(5));
            history[history.len() - 1 - back].clone()
        } else {
            let sequence = history.last().map_or(0, |last| last.sequence + last.count);
            let count = 1 + self.rng.below(3) as i32;
            let sent = Sent { topic: topic.id(), partition: index, producer, sequence, count };
            history.push(sent.clone());
            self.run.mark(Promise::Submitted(sent.clone()));
            sent
        };
        let (base_offset, lsn, duplicate) = sent.send(&self.broker, partition);
        assert_eq!(duplicate, again, "{sent:?}");
        self.waiting.push((lsn, Promise::Acked { sent, base_offset }));
    }

    /// A consumer commits, or reads what is committed.
    fn consume(&mut self, topic: &Topic) {
        let begun = |promise| self.run.mark(Promise::Group(promise));
        let later = self.groups.act(&self.rng, &self.broker, topic, begun);
        self.waiting.extend(later.into_iter().map(|(lsn, promise)| (lsn, Promise::Group(promise))));
    }

    /// Tells the clients what may be told now.
    fn tell(&mut self) {
        let durable = self.broker.durable_lsn();
        let (told, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(lsn, _)| *lsn <= durable);
        self.waiting = waiting;
        let told: Vec<(Lsn, Promise)> = told;
        told.into_iter().for_each(|(_, promise)| self.run.mark(promise));
    }
}

/// Groups don't wait for more members than the one that comes.
fn open_broker(env: Env) -> Result<Arc<Broker>, OpenError> {
    let groups = GroupsConfig { initial_rebalance_delay: Duration::ZERO, ..GroupsConfig::default() };
    Broker::open(env, BrokerConfig { groups, ..BrokerConfig::default() }, log_config("/data"))
}

pub fn workload(run: &Run<Promise>) {
    let rng = run.rng();
    let sim = SimEnv::with_disk(run.disk().clone(), rng.below(1 << 40));
    let Ok(broker) = open_broker(sim.env()) else { return };
    let cluster = Promise::ClusterId(broker.catalog().cluster_id().to_owned());
    let waiting = vec![(broker.catalog().changed(), cluster)];
    let mut clients = Clients {
        run,
        rng: run.rng(),
        broker: broker.clone(),
        sent: BTreeMap::new(),
        waiting,
        names: 0,
        groups: GroupClients::default(),
    };
    for _ in 0..90 {
        sim.clock.advance(Duration::from_millis(rng.below(1000)));
        match rng.below(27) {
            0 => clients.make_topic(),
            1 => broker.checkpoint().unwrap(),
            2 => {
                let given = broker.producer_ids().allocate().unwrap();
                clients.waiting.push((given.lsn, Promise::ProducerIdGiven(given.id.0)));
            }
            3 => {
                retention::apply_all(&broker);
            }
            kind => match clients.topic() {
                None => clients.make_topic(),
                Some(topic) if kind < 6 => clients.change_topic(&topic),
                Some(topic) if kind >= 20 => clients.consume(&topic),
                Some(topic) => clients.send(&topic),
            },
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

/// What was promised, by what it is about.
#[derive(Default)]
struct Model {
    submitted: Vec<Sent>,
    acked: Vec<(Sent, i64)>,
    topics: BTreeMap<TopicId, usize>,
    deleting: BTreeSet<TopicId>,
    deleted: BTreeSet<TopicId>,
    trimming: BTreeSet<TopicId>,
    configs_submitted: BTreeMap<TopicId, u64>,
    configs: BTreeMap<TopicId, u64>,
    producer_ids: BTreeSet<i64>,
    cluster_id: Option<String>,
    groups: GroupModel,
}

impl Model {
    fn of(promises: &[Promise]) -> Self {
        let mut model = Self::default();
        for promise in promises.iter().cloned() {
            match promise {
                Promise::Submitted(sent) => model.submitted.push(sent),
                Promise::Acked { sent, base_offset } => model.acked.push((sent, base_offset)),
                Promise::TopicMade { id, partitions } => {
                    model.topics.insert(id, partitions);
                }
                Promise::TopicDeleting(id) => _ = model.deleting.insert(id),
                Promise::TopicDeleted(id) => _ = model.deleted.insert(id),
                Promise::TrimSubmitted { id } => _ = model.trimming.insert(id),
                Promise::ConfigSubmitted { id, retention_ms } => {
                    _ = model.configs_submitted.insert(id, retention_ms);
                }
                Promise::ConfigSet { id, retention_ms } => _ = model.configs.insert(id, retention_ms),
                Promise::ProducerIdGiven(id) => _ = model.producer_ids.insert(id),
                Promise::ClusterId(id) => model.cluster_id = Some(id),
                Promise::Group(promise) => model.groups.note(promise),
            }
        }
        model
    }

    fn check(&self, broker: &Broker) -> Result<(), Violation> {
        let catalog = broker.catalog();
        if self.cluster_id.as_ref().is_some_and(|id| id != catalog.cluster_id()) {
            return Err(Violation::new("cluster-id", catalog.cluster_id()));
        }
        for (id, partitions) in &self.topics {
            match catalog.topic_by_id(*id) {
                Some(topic) if topic.partitions().len() < *partitions => {
                    return Err(Violation::new("lost-partitions", format!("{id}: {partitions} were told")));
                }
                None if !self.deleting.contains(id) => {
                    return Err(Violation::new("lost-topic", format!("{id} was acknowledged")));
                }
                _ => {}
            }
        }
        if let Some(id) = self.deleted.iter().find(|id| catalog.topic_by_id(**id).is_some()) {
            return Err(Violation::new("undead-topic", format!("{id} was deleted")));
        }
        for (id, told) in &self.configs {
            let Some(topic) = catalog.topic_by_id(*id) else { continue };
            let found = topic.config().retention_ms.unwrap_or(0);
            if found < *told || found > self.configs_submitted[id] {
                return Err(Violation::new("config", format!("{id}: {found}, told was {told}")));
            }
        }
        for topic in catalog.topics() {
            for (index, partition) in topic.partitions().iter().enumerate() {
                self.check_partition(broker, &topic, index, partition)?;
            }
        }
        self.groups.check(broker, &self.deleting, &self.deleted)?;
        for _ in 0..3 {
            let given = broker.producer_ids().allocate().map_err(|error| broken(&error))?;
            if self.producer_ids.contains(&given.id.0) {
                return Err(Violation::new("producer-id-twice", format!("{:?}", given.id)));
            }
        }
        Ok(())
    }

    fn check_partition(
        &self,
        broker: &Broker,
        topic: &Topic,
        index: usize,
        partition: &Partition,
    ) -> Result<(), Violation> {
        let here = |sent: &&Sent| sent.topic == topic.id() && sent.partition == index;
        let name = format!("{}-{index}", topic.name());
        let records: BTreeMap<i64, String> = read_all(partition).into_iter().collect();
        let start = partition.log_start().0;
        if start > 0 && !self.trimming.contains(&topic.id()) {
            return Err(Violation::new("log-start", format!("{name} starts at {start}, and nobody asked")));
        }
        let mut place: BTreeMap<&str, i64> = BTreeMap::new();
        for (offset, value) in &records {
            if let Some(before) = place.insert(value, *offset) {
                let detail = format!("{name}: {value:.8} at {before} and {offset}");
                return Err(Violation::new("duplicate-write", detail));
            }
        }
        for (sent, base_offset) in self.acked.iter().filter(|(sent, _)| here(&sent)) {
            for (offset, value) in (*base_offset..).zip(sent.values()) {
                if offset >= start && records.get(&offset) != Some(&value) {
                    let found = records.get(&offset);
                    let detail = format!("{name} offset {offset}: told {value:.8}, found {found:.8?}");
                    return Err(Violation::new("lost-write", detail));
                }
            }
        }
        // Each producer's records stand in its order, and its last batches are known.
        for producer in 0..3 {
            let mine: Vec<&Sent> =
                self.submitted.iter().filter(here).filter(|sent| sent.producer == producer).collect();
            let survived: Vec<(&Sent, i64)> = mine
                .iter()
                .filter_map(|sent| Some((*sent, *place.get(sent.values()[0].as_str())?)))
                .collect();
            if !survived.is_sorted_by_key(|(_, offset)| *offset) {
                return Err(Violation::new("order", format!("{name}, producer {producer}: {survived:?}")));
            }
            for (sent, offset) in survived.iter().rev().take(5).rev() {
                let (base_offset, lsn, duplicate) = sent.send(broker, partition);
                if !duplicate || base_offset != *offset || lsn > broker.durable_lsn() {
                    let detail = format!("{name}: {sent:?} is at {offset}, and was taken to {base_offset}");
                    return Err(Violation::new("producer-forgotten", detail));
                }
            }
            if let Some((last, _)) = survived.last() {
                let next = Sent { sequence: last.sequence + last.count, ..(*last).clone() };
                let (_, _, duplicate) = next.send(broker, partition);
                if duplicate {
                    return Err(Violation::new("producer-invented", format!("{name}: {next:?}")));
                }
            }
        }
        Ok(())
    }
}

fn broken(error: &dyn std::error::Error) -> Violation {
    Violation::new("refused", error.to_string())
}

/// Everything that can be seen.
fn contents(broker: &Broker) -> String {
    let mut all = broker.catalog().cluster_id().to_owned();
    for topic in broker.catalog().topics() {
        all += &format!("{} {} {:?}\n", topic.name(), topic.id(), topic.config());
        for partition in topic.partitions() {
            let producers = partition.describe_producers().0;
            let offsets = (partition.log_start(), partition.high_watermark());
            all += &format!("{offsets:?} {:?} {producers:?}\n", read_all(partition));
        }
    }
    all + &crash_groups::contents(broker)
}

pub fn check(run: &Run<Promise>, promises: &[Promise]) -> Result<(), Violation> {
    let model = Model::of(promises);
    let recovered = |disk: &SimDisk, seed| {
        open_broker(SimEnv::with_disk(disk.clone(), seed).env())
            .map_err(|error| Violation::new("cannot-open", error.to_string()))
    };
    let broker = recovered(run.disk(), 99)?;
    // A cluster id that this recovery made isn't durable yet.
    let is_new = broker.catalog().changed() > broker.durable_lsn();
    if !is_new {
        run.mark(Promise::ClusterId(broker.catalog().cluster_id().to_owned()));
    }
    let before = contents(&broker);
    // Nothing is committed here, so the disk keeps what recovery left.
    let again = SimDisk::from_image(run.disk().power_cut());
    let broker_again = recovered(&again, 100)?;
    let after = contents(&broker_again);
    drop(broker_again);
    if before != after && !is_new {
        let detail = format!("{before:.400}\n{after:.400}");
        return Err(Violation::new("recovery-not-idempotent", detail));
    }
    model.check(&broker)
}

/// `DUOLOG_CRASH_IMAGES` asks for more than the few thousand of a plain `cargo test`.
#[cfg_attr(not(seeded_bug), test)]
#[cfg_attr(seeded_bug, allow(dead_code, reason = "`seeded` uses the rest, and would disturb this"))]
fn no_crash_breaks_what_a_client_was_told() {
    let images = std::env::var("DUOLOG_CRASH_IMAGES").ok().and_then(|count| count.parse().ok());
    let mut explorer =
        Explorer::new(1, "cargo test -p duolog-broker --test crash").with_replay_from_env().unwrap();
    explorer.images = images.unwrap_or(6_000);
    explorer.threads = if images.is_some() { 2 } else { 1 };
    let report = explorer.run(workload, check);
    println!("{report:?}");
    report.assert_clean();
}
