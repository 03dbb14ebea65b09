//! Consumers over a real log on a simulated disk, a stream in memory, and a door that writes down what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use duolog_log::{Durability, Entry, Log, LogConfig, Table, Watch, WatchGuard};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::{Lsn, Nanos, PartitionId, Sequence};
use parking_lot::Mutex;

use super::config::DeliverPolicy;
use super::source::{Outgoing, Place, Reading, Sink, Source};
use super::table::ConsumersTable;
use super::*;
use crate::streams::{
    ConsumerLimits, Delivery as Next, Message, RetentionPolicy, StreamConfig, StreamState, subject,
};

mod ahead;

/// A stream in memory that outlives restarts. Everything in it is durable.
struct FakeStream {
    config: Mutex<StreamConfig>,
    log: Log,
    partition: PartitionId,
    messages: Arc<Mutex<BTreeMap<u64, Message>>>,
    last: Arc<Mutex<u64>>,
    /// How many messages each read was asked for.
    reads: Mutex<Vec<usize>>,
}

impl FakeStream {
    fn publish(&self, subject: &str) -> u64 {
        let mut last = self.last.lock();
        *last += 1;
        let message = Message {
            sequence: Sequence(*last),
            subject: subject.into(),
            headers: vec![],
            payload: Bytes::from(format!("m{last}")),
            time: Nanos(i64::try_from(*last).unwrap()),
        };
        self.messages.lock().insert(*last, message);
        *last
    }

    fn left(&self) -> Vec<u64> {
        self.messages.lock().keys().copied().collect()
    }
}

impl Source for Arc<FakeStream> {
    fn partition(&self) -> PartitionId {
        self.partition
    }

    fn name(&self) -> Arc<str> {
        "S".into()
    }

    fn config(&self) -> Arc<StreamConfig> {
        Arc::new(self.config.lock().clone())
    }

    fn state(&self) -> StreamState {
        let first = self.messages.lock().keys().next().copied();
        let last = *self.last.lock();
        let first = first.unwrap_or(if last == 0 { 0 } else { last + 1 });
        StreamState {
            first_sequence: Sequence(first),
            last_sequence: Sequence(last),
            ..StreamState::default()
        }
    }

    fn last_durable(&self) -> Sequence {
        Sequence(*self.last.lock())
    }

    fn sequence_since(&self, time: Nanos) -> Sequence {
        let found = self.messages.lock().values().find(|message| message.time >= time).map(|m| m.sequence);
        found.unwrap_or(self.last_durable().next())
    }

    fn place(&self, subjects: &[String], from: Sequence) -> Box<dyn Place> {
        let stream = FakeStream {
            config: Mutex::default(),
            log: self.log.clone(),
            partition: self.partition,
            messages: self.messages.clone(),
            last: self.last.clone(),
            reads: Mutex::default(),
        };
        Box::new(FakePlace { stream, subjects: subjects.to_vec(), at: Mutex::new(from) })
    }

    fn read<'a>(&'a self, sequences: &'a [Sequence], bytes_max: usize) -> Reading<'a> {
        let mut reads = self.reads.lock();
        reads.push(sequences.len());
        assert!(reads.len() < 1000, "reads without end");
        let all = self.messages.lock();
        let (mut found, mut bytes): (Vec<Message>, usize) = (Vec::new(), 0);
        for message in sequences.iter().filter_map(|sequence| all.get(&sequence.0)) {
            bytes += message.payload.len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(message.clone());
        }
        Box::pin(std::future::ready(Ok(found)))
    }

    fn remove(&self, entry: Entry, sequences: &[Sequence]) -> Result<Lsn, duolog_log::AppendError> {
        let lsn = if entry.is_empty() { Lsn::ZERO } else { self.log.submit(entry)? };
        let mut all = self.messages.lock();
        sequences.iter().for_each(|sequence| {
            all.remove(&sequence.0);
        });
        Ok(lsn)
    }

    fn watch(&self, watch: &Watch, token: u64) -> WatchGuard {
        self.log.partition(self.partition).unwrap().watch(watch, token)
    }
}

struct FakePlace {
    stream: FakeStream,
    subjects: Vec<String>,
    at: Mutex<Sequence>,
}

impl FakePlace {
    fn passes(&self, message: &Message) -> bool {
        let mut subjects = self.subjects.iter();
        self.subjects.is_empty() || subjects.any(|filter| subject::matches(filter, &message.subject))
    }

    fn found(&self) -> Vec<Message> {
        let all = self.stream.messages.lock();
        let from = self.at.lock().0;
        all.range(from..).map(|(_, message)| message.clone()).filter(|message| self.passes(message)).collect()
    }
}

impl Place for FakePlace {
    fn peek(&self) -> Option<Next> {
        let found = self.found();
        let first = found.first()?;
        Some(Next { sequence: first.sequence, time: first.time, bytes: 0, pending: found.len() as u64 - 1 })
    }

    fn ahead(&self, count: usize) -> Vec<Sequence> {
        self.found().into_iter().take(count).map(|message| message.sequence).collect()
    }

    fn position(&self) -> Sequence {
        *self.at.lock()
    }

    fn seek(&self, from: Sequence) {
        *self.at.lock() = from;
    }

    fn pending(&self) -> u64 {
        self.found().len() as u64
    }

    fn matches(&self, sequence: Sequence) -> Option<bool> {
        self.stream.messages.lock().get(&sequence.0).map(|message| self.passes(message))
    }

    fn last(&self) -> Option<Sequence> {
        let all = self.stream.messages.lock();
        all.values().rev().find(|message| self.passes(message)).map(|message| message.sequence)
    }

    fn last_per_subject(&self, up_to: Sequence) -> Vec<Sequence> {
        let all = self.stream.messages.lock();
        let mut last = BTreeMap::new();
        for message in all.values().filter(|one| self.passes(one) && one.sequence <= up_to) {
            last.insert(message.subject.clone(), message.sequence);
        }
        last.into_values().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// What the door was told, in words.
#[derive(Default)]
struct Door {
    told: Mutex<Vec<(String, Lsn)>>,
}

impl Door {
    fn write(&self, what: String, lsn: Lsn) {
        self.told.lock().push((what, lsn));
    }

    fn words(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock()).into_iter().map(|(what, _)| what).collect()
    }
}

impl Sink for Door {
    fn deliver(&self, outgoing: &Outgoing<'_>, lsn: Lsn) {
        let Delivery { sequence, number, count, pending, .. } = outgoing.delivery;
        let payload = String::from_utf8_lossy(&outgoing.message.payload);
        self.write(format!("{payload} {sequence}/{number} x{count} +{pending}"), lsn);
    }

    fn status(&self, to: &ReplyTo, status: &Status, lsn: Lsn) {
        self.write(format!("{}: {status:?}", String::from_utf8_lossy(&to.0)), lsn);
    }

    fn heartbeat(&self, _: &Consumer, _: &ConsumerConfig, heartbeat: &Heartbeat, lsn: Lsn) {
        self.write(format!("beat {}", heartbeat.number), lsn);
    }

    fn flow_control(&self, _: &Consumer, _: &ConsumerConfig, id: u64, lsn: Lsn) {
        self.write(format!("flow {id}"), lsn);
    }

    fn confirm(&self, to: &ReplyTo, lsn: Lsn) {
        self.write(format!("sure {}", String::from_utf8_lossy(&to.0)), lsn);
    }

    fn advisory(&self, _: &Consumer, advisory: &Advisory) {
        self.write(format!("{advisory:?}"), Lsn::ZERO);
    }

    fn deleted(&self, consumer: &Consumer, lsn: Lsn) {
        self.write(format!("deleted {}", consumer.name()), lsn);
    }

    fn envelope_bytes(&self, _: &Consumer, _: &Delivery, _: Nanos) -> u64 {
        0
    }

    fn has_interest(&self, _: &[u8]) -> bool {
        true
    }
}

struct World {
    sim: SimEnv,
    log: Log,
    consumers: Consumers,
    stream: Arc<FakeStream>,
    of_stream: Arc<StreamConsumers>,
    door: Arc<Door>,
}

fn log_config() -> LogConfig {
    LogConfig {
        wal_file_bytes: 64 << 10,
        checkpoint_bytes: 1 << 20,
        tail_bytes: 16 << 10,
        durability: Durability::Sync,
        threads: false,
        ..LogConfig::new("/data")
    }
}

impl World {
    fn new(retention: RetentionPolicy) -> Self {
        let sim = SimEnv::new(1);
        let config = StreamConfig {
            name: "S".into(),
            subjects: vec!["s.>".into()],
            retention,
            ..StreamConfig::default()
        };
        Self::over(sim, config, Arc::default(), Arc::default(), None)
    }

    fn over(
        sim: SimEnv,
        config: StreamConfig,
        messages: Arc<Mutex<BTreeMap<u64, Message>>>,
        last: Arc<Mutex<u64>>,
        partition: Option<PartitionId>,
    ) -> Self {
        let table = Arc::new(ConsumersTable::new(sim.env()));
        let tables: Vec<Arc<dyn Table>> = vec![table.clone()];
        let log = Log::open(&sim.env(), log_config(), tables).unwrap();
        let partition = partition.unwrap_or_else(|| {
            let partition = log.allocate_partitions(1);
            log.submit(Entry::new().create_partition(partition)).unwrap();
            while log.commit().unwrap() {}
            partition
        });
        let consumers = Consumers::open(sim.env(), log.clone(), table);
        let door = Arc::new(Door::default());
        consumers.set_sink(door.clone());
        let stream = Arc::new(FakeStream {
            config: Mutex::new(config),
            log: log.clone(),
            partition,
            messages,
            last,
            reads: Mutex::default(),
        });
        let of_stream = consumers.attach(Arc::new(stream.clone()));
        consumers.forget_unclaimed();
        Self { sim, log, consumers, stream, of_stream, door }
    }

    /// The power goes; what was committed comes back.
    fn power_cut(self) -> Self {
        let disk = SimDisk::from_image(self.sim.disk.power_cut());
        let stream = &self.stream;
        let config = stream.config.lock().clone();
        let (messages, last, partition) = (stream.messages.clone(), stream.last.clone(), stream.partition);
        Self::over(SimEnv::with_disk(disk, 2), config, messages, last, Some(partition))
    }

    fn commit(&self) {
        while self.log.commit().unwrap() {}
    }

    fn create(&self, config: ConsumerConfig) -> Arc<Consumer> {
        self.consumers.create(&self.of_stream, config, Action::CreateOrUpdate, false).unwrap().consumer
    }

    fn settle(&self) {
        let mut settle = pin!(self.consumers.settle());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(settle.as_mut().poll(&mut context), Poll::Ready(()));
    }

    fn pull(&self, consumer: &Arc<Consumer>, to: &str, batch: u64) {
        let to = ReplyTo(Bytes::copy_from_slice(to.as_bytes()));
        let request =
            PullRequest { to, batch, max_bytes: None, expires: None, no_wait: true, heartbeat: None };
        self.consumers.pull(consumer, request);
        self.settle();
    }

    fn ack(&self, consumer: &Arc<Consumer>, sequence: u64, number: u64) {
        let reply = Some(ReplyTo(Bytes::from(sequence.to_string())));
        let ack = Ack { sequence: Sequence(sequence), number, kind: AckKind::Ack, reply };
        self.consumers.ack(consumer, ack);
        self.settle();
    }
}

fn durable(name: &str) -> ConsumerConfig {
    ConsumerConfig { durable_name: name.into(), ack_policy: AckPolicy::Explicit, ..ConsumerConfig::default() }
}

fn filtered(name: &str, filter: &str) -> ConsumerConfig {
    ConsumerConfig { filter_subject: filter.into(), ..durable(name) }
}

#[test]
fn a_pull_consumer_gets_what_its_filter_lets_through() {
    let world = World::new(RetentionPolicy::Limits);
    let consumer = world.create(filtered("c", "s.a.*"));
    for subject in ["s.a.1", "s.b", "s.a.2", "s.a.3"] {
        world.stream.publish(subject);
    }
    world.pull(&consumer, "r", 2);
    assert_eq!(world.door.words(), ["m1 1/1 x1 +2", "m3 3/2 x1 +1"]);
    world.pull(&consumer, "r", 9);
    assert_eq!(world.door.words(), ["m4 4/3 x1 +0", "r: NoMessages"]);
    let (info, _) = world.consumers.info(&consumer).unwrap();
    assert_eq!((info.ack_pending, info.pending, info.delivered.number), (3, 0, 3));
}

#[test]
fn a_confirmation_waits_for_its_entry_and_survives_a_power_cut_then() {
    let world = World::new(RetentionPolicy::Limits);
    let consumer = world.create(durable("c"));
    world.stream.publish("s.a");
    world.stream.publish("s.a");
    world.pull(&consumer, "r", 2);
    world.commit();
    world.door.words();
    world.ack(&consumer, 1, 1);
    let (told, lsn) = world.door.told.lock().pop().unwrap();
    assert_eq!(told, "sure 1");
    assert!(lsn > world.log.durable_lsn(), "not to be said yet");
    world.commit();
    assert!(lsn <= world.log.durable_lsn());
    world.ack(&consumer, 2, 2);

    let world = world.power_cut();
    let consumer = world.of_stream.get("c").unwrap();
    let (info, _) = world.consumers.info(&consumer).unwrap();
    assert_eq!(
        (info.ack_pending, info.floor.sequence.0),
        (1, 1),
        "the first was durable, the second was not"
    );
    world.sim.clock.advance(Duration::from_secs(30));
    world.settle();
    world.pull(&consumer, "r", 1);
    assert_eq!(
        world.door.words()[0],
        "m2 2/4097 x2 +0",
        "pending again, under a number that nobody has seen"
    );
}

#[test]
fn a_delivery_waits_for_its_reservation_only_and_under_a_limit_for_itself() {
    for (max_deliver, waits) in [(0, false), (3, true)] {
        let world = World::new(RetentionPolicy::Limits);
        let consumer = world.create(ConsumerConfig { max_deliver, ..durable("c") });
        world.stream.publish("s.a");
        world.pull(&consumer, "r", 1);
        assert!(world.door.told.lock()[0].1 > world.log.durable_lsn(), "the first reserves its number");
        world.commit();
        world.door.words();
        world.stream.publish("s.a");
        world.pull(&consumer, "r", 1);
        assert_eq!(world.door.told.lock()[0].1 > world.log.durable_lsn(), waits);
    }
}

#[test]
fn numbers_go_on_after_a_clean_stop() {
    let world = World::new(RetentionPolicy::Limits);
    let consumer = world.create(durable("c"));
    world.stream.publish("s.a");
    world.pull(&consumer, "r", 1);
    world.consumers.seal();
    world.log.close().unwrap();
    let world = world.power_cut();
    world.stream.publish("s.a");
    world.pull(&world.of_stream.get("c").unwrap(), "r", 1);
    assert_eq!(world.door.words()[0], "m2 2/2 x1 +0");
}

#[test]
fn consumers_and_their_settings_come_back_from_frames_and_snapshots() {
    let world = World::new(RetentionPolicy::Limits);
    let config = ConsumerConfig {
        description: "d".into(),
        backoff: vec![1_000_000_000, 2_000_000_000],
        filter_subjects: vec!["s.a".into(), "s.b".into()],
        metadata: BTreeMap::from([("k".into(), "v".into())]),
        ..durable("c")
    };
    let consumer = world.create(config);
    world.create(durable("gone"));
    world.consumers.delete(&world.of_stream, "gone").unwrap();
    world.create(ConsumerConfig { mem_storage: true, ..durable("forgotten") });
    for subject in ["s.a", "s.b", "s.c"] {
        world.stream.publish(subject);
    }
    world.pull(&consumer, "r", 3);
    let config = consumer.config();
    world.commit();
    let world = world.power_cut();
    let (by_frames, _) = world.consumers.info(&world.of_stream.get("c").unwrap()).unwrap();
    assert_eq!(by_frames.ack_pending, 2);
    assert_eq!(world.of_stream.list().len(), 1);

    // A change after the checkpoint, so that a frame follows the snapshot.
    world.log.checkpoint().unwrap();
    world.ack(&world.of_stream.get("c").unwrap(), 1, 1);
    world.commit();
    world.log.checkpoint().unwrap();
    world.create(ConsumerConfig { description: "e".into(), ..(*config).clone() });
    world.commit();
    let world = world.power_cut();
    let consumer = world.of_stream.get("c").unwrap();
    assert_eq!(*consumer.config(), ConsumerConfig { description: "e".into(), ..(*config).clone() });
    let (info, _) = world.consumers.info(&consumer).unwrap();
    assert_eq!((info.ack_pending, info.floor), (1, Position { number: 1, sequence: Sequence(1) }));
}

#[test]
fn a_work_queue_lets_go_of_what_was_acknowledged_and_keeps_what_was_not() {
    let world = World::new(RetentionPolicy::WorkQueue);
    let consumer = world.create(ConsumerConfig { max_deliver: 1, ..durable("c") });
    for _ in 0..3 {
        world.stream.publish("s.a");
    }
    world.pull(&consumer, "r", 3);
    world.ack(&consumer, 2, 2);
    assert_eq!(world.stream.left(), [1, 3]);
    world.sim.clock.advance(Duration::from_secs(31));
    world.settle();
    assert_eq!(world.stream.left(), [1, 3], "exhausted ones stay");
    world.ack(&consumer, 3, 3);
    assert_eq!(world.stream.left(), [1], "a late ack still removes");
}

#[test]
fn an_interest_stream_keeps_what_some_consumer_needs() {
    let world = World::new(RetentionPolicy::Interest);
    let a = world.create(durable("a"));
    let b = world.create(filtered("b", "s.b"));
    let interest: &dyn crate::streams::Interest = &*world.of_stream;
    assert!(interest.wants("s.x") && interest.wants("s.b"));
    for subject in ["s.a", "s.b", "s.b"] {
        world.stream.publish(subject);
    }
    world.pull(&a, "r", 3);
    world.pull(&b, "r", 1);
    world.ack(&a, 1, 1);
    assert_eq!(world.stream.left(), [2, 3], "only a wanted it");
    world.ack(&a, 2, 2);
    assert_eq!(world.stream.left(), [2, 3]);
    world.ack(&b, 2, 1);
    assert_eq!(world.stream.left(), [3]);
    world.consumers.delete(&world.of_stream, "a").unwrap();
    assert_eq!(world.stream.left(), [3], "b hasn't seen it");
    world.consumers.delete(&world.of_stream, "b").unwrap();
    assert_eq!(world.stream.left(), [0; 0]);
    assert!(!interest.wants("s.b"));
}

#[test]
fn deliver_policies_begin_where_they_say() {
    let world = World::new(RetentionPolicy::Limits);
    for subject in ["s.a", "s.b", "s.a", "s.c", "s.b"] {
        world.stream.publish(subject);
    }
    let policy = |name: &str, deliver_policy| ConsumerConfig { deliver_policy, ..durable(name) };
    let at = |deliver_policy, sequence, time: Option<i64>| ConsumerConfig {
        opt_start_seq: Sequence(sequence),
        opt_start_time: time.map(Nanos),
        ..policy("x", deliver_policy)
    };
    let first_of = |config: ConsumerConfig| -> Vec<String> {
        let consumer = world.create(config);
        world.pull(&consumer, "r", 9);
        world.consumers.delete(&world.of_stream, consumer.name()).unwrap();
        let words = world.door.words();
        words.iter().filter(|word| word.starts_with('m')).map(|word| word[..2].to_owned()).collect()
    };
    assert_eq!(first_of(policy("all", DeliverPolicy::All)), ["m1", "m2", "m3", "m4", "m5"]);
    assert_eq!(first_of(policy("last", DeliverPolicy::Last)), ["m5"]);
    let last_a = ConsumerConfig { filter_subject: "s.a".into(), ..policy("last", DeliverPolicy::Last) };
    assert_eq!(first_of(last_a), ["m3"]);
    assert_eq!(first_of(policy("new", DeliverPolicy::New)), [""; 0]);
    assert_eq!(first_of(at(DeliverPolicy::ByStartSequence, 4, None)), ["m4", "m5"]);
    assert_eq!(first_of(at(DeliverPolicy::ByStartTime, 0, Some(5))), ["m5"]);
    let each =
        ConsumerConfig { filter_subject: "s.>".into(), ..policy("each", DeliverPolicy::LastPerSubject) };
    assert_eq!(first_of(each), ["m3", "m4", "m5"]);
}

#[test]
fn configurations_are_checked_as_the_reference_does() {
    use ConsumerConfigError as E;
    let world = World::new(RetentionPolicy::Limits);
    world.stream.config.lock().consumer_limits =
        ConsumerLimits { inactive_threshold: 60_000_000_000, max_ack_pending: 10 };
    let refused = |config: ConsumerConfig| {
        let made = world.consumers.create(&world.of_stream, config, Action::Create, false);
        let Err(CreateConsumerError::Config(error)) = made else { panic!("{made:?}") };
        error
    };
    let push = |to: &str| ConsumerConfig { deliver_subject: to.into(), ..durable("c") };
    assert_eq!(
        refused(ConsumerConfig { max_deliver: 1, backoff: vec![1, 2], ..durable("c") }),
        E::BackoffTooLong
    );
    assert_eq!(refused(ConsumerConfig { ack_wait: -1, ..durable("c") }), E::AckWaitNegative);
    assert_eq!(refused(push("a.*")), E::DeliverToWildcards);
    assert_eq!(refused(push("s.a")), E::DeliverCycle);
    assert_eq!(refused(ConsumerConfig { max_waiting: 3, ..push("d") }), E::PushMaxWaiting);
    assert_eq!(refused(ConsumerConfig { flow_control: true, ..push("d") }), E::FlowControlNeedsHeartbeat);
    assert_eq!(refused(ConsumerConfig { idle_heartbeat: 1, ..push("d") }), E::HeartbeatTooSmall);
    assert_eq!(refused(ConsumerConfig { rate_limit_bps: 1, ..durable("c") }), E::PullRateLimit);
    assert_eq!(
        refused(ConsumerConfig { max_ack_pending: 11, ..durable("c") }),
        E::MaxAckPendingExceeds { limit: 10 }
    );
    assert_eq!(
        refused(ConsumerConfig { sample_freq: "x%".into(), ..durable("c") }),
        E::Sampling { value: "x%".into() }
    );
    assert_eq!(refused(ConsumerConfig { name: "d".into(), ..durable("c") }), E::NamesDiffer);
    let several = |filters: &[&str]| ConsumerConfig {
        filter_subjects: filters.iter().map(|filter| (*filter).to_owned()).collect(),
        ..durable("c")
    };
    assert_eq!(refused(several(&["s.a", "s.*"])), E::FiltersOverlap);
    assert_eq!(refused(several(&["s.a", ""])), E::EmptyFilter);
    assert_eq!(refused(ConsumerConfig { filter_subject: "s".into(), ..several(&["s.a"]) }), E::BothFilters);
    let all_from_5 = ConsumerConfig { opt_start_seq: Sequence(5), ..durable("c") };
    assert_eq!(
        refused(all_from_5).to_string(),
        "consumer delivery policy is deliver all, but optional start sequence is also set"
    );
    let made = world.create(durable("c"));
    let config = made.config();
    assert_eq!((config.ack_wait, config.max_ack_pending, config.max_waiting), (30_000_000_000, 10, 512));
    assert_eq!((config.max_deliver, config.inactive_threshold), (-1, 60_000_000_000));
}

#[test]
fn what_exists_is_found_changed_or_refused() {
    let world = World::new(RetentionPolicy::WorkQueue);
    let create = |config, action| world.consumers.create(&world.of_stream, config, action, false);
    assert!(matches!(create(durable("c"), Action::Update), Err(CreateConsumerError::DoesNotExist)));
    let made = create(filtered("c", "s.a.>"), Action::Create).unwrap();
    assert!(made.did_create && made.lsn > Lsn::ZERO);
    assert!(!create(filtered("c", "s.a.>"), Action::Create).unwrap().did_create);
    let other = ConsumerConfig { description: "x".into(), ..filtered("c", "s.a.>") };
    assert!(matches!(create(other.clone(), Action::Create), Err(CreateConsumerError::AlreadyExists)));
    assert_eq!(create(other.clone(), Action::Update).unwrap().consumer.config().description, "x");
    let slower = ConsumerConfig { max_waiting: 9, ..other };
    assert!(matches!(create(slower, Action::Update), Err(CreateConsumerError::NotUpdatable("max waiting"))));
    assert!(matches!(
        create(durable("d"), Action::Create),
        Err(CreateConsumerError::WorkQueueMultipleUnfiltered)
    ));
    let overlapping = create(filtered("d", "s.*.b"), Action::Create);
    assert!(matches!(overlapping, Err(CreateConsumerError::WorkQueueNotUnique)));
    create(filtered("d", "s.b"), Action::Create).unwrap();
    world.stream.config.lock().max_consumers = Some(2);
    let third = create(filtered("e", "s.e"), Action::Create);
    assert!(matches!(third, Err(CreateConsumerError::TooMany { limit: 2 })));
    let gone = world.consumers.delete(&world.of_stream, "nobody");
    assert!(matches!(gone, Err(DeleteConsumerError::NotFound)));
}

#[test]
fn an_unused_ephemeral_consumer_goes_and_those_who_wait_hear_of_a_deletion() {
    let world = World::new(RetentionPolicy::Limits);
    let config = ConsumerConfig { ack_policy: AckPolicy::Explicit, ..ConsumerConfig::default() };
    let ephemeral = world.create(config);
    assert_eq!(ephemeral.name().len(), 8);
    world.sim.clock.advance(Duration::from_secs(7));
    world.settle();
    assert_eq!(world.door.words(), [format!("deleted {}", ephemeral.name())]);
    assert_eq!(world.of_stream.count(), 0);
    assert!(world.consumers.info(&ephemeral).is_none());

    let consumer = world.create(durable("c"));
    let to = ReplyTo(Bytes::from_static(b"r"));
    let request =
        PullRequest { to, batch: 1, max_bytes: None, expires: None, no_wait: false, heartbeat: None };
    world.consumers.pull(&consumer, request);
    let lsn = world.consumers.delete(&world.of_stream, "c").unwrap();
    assert_eq!(*world.door.told.lock(), [("r: ConsumerDeleted".into(), lsn)]);
}

#[test]
fn a_push_consumer_of_headers_gets_the_size_instead_of_the_payload() {
    let world = World::new(RetentionPolicy::Limits);
    let config = ConsumerConfig {
        deliver_subject: "d".into(),
        headers_only: true,
        idle_heartbeat: 1_000_000_000,
        ..durable("c")
    };
    let consumer = world.create(config);
    world.stream.publish("s.a");
    world.consumers.interest(&consumer, true);
    world.settle();
    assert_eq!(world.door.words(), [" 1/1 x1 +0"]);
    world.sim.clock.advance(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.door.words(), ["beat 1"]);
}

#[test]
fn a_deleted_stream_takes_its_consumers_with_it() {
    let world = World::new(RetentionPolicy::Limits);
    world.create(durable("c"));
    world.consumers.detach(world.stream.partition);
    world.commit();
    let world = world.power_cut();
    assert_eq!(world.of_stream.count(), 0);
}
