//! Random operations through both doors, beside a model that is three maps: what clients see of either is equal.
//!
//! The real server as a process, the real clients on its sockets. `DUOLOG_CASES` says how many cases (8 by default).

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail")]

#[path = "doors/support.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod support;

use std::collections::{BTreeMap, HashMap};

use async_nats::jetstream::Context;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rdkafka::admin::AdminOptions;
use rdkafka::producer::FutureProducer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use support::*;
use tempfile::TempDir;

const KEYS: [&str; 4] = ["a", "b.1", "b.2", "c"];
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// What the stream made through NATS keeps of each subject.
const PER_SUBJECT: usize = 3;

/// Which topic: the stream made through NATS, or the topic of two partitions made through Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Jobs,
    Orders,
}

#[derive(Clone, Debug)]
enum Op {
    Publish { place: Place, key: usize, id: Option<u8>, headers: u8, null: bool },
    Produce { place: Place, key: usize, id: Option<u8>, headers: u8, null: bool, codec: usize },
    Delete { log: usize, which: prop::sample::Index },
    Purge { log: usize, key: usize },
    DeleteRecords { log: usize, to: prop::sample::Index },
    Check,
    Restart { clean: bool },
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Jobs), Just(Place::Orders)]
}

fn op() -> impl Strategy<Value = Op> {
    let id = || prop::option::weighted(0.4, 0..5u8);
    let log = || 0..3usize;
    prop_oneof![
        8 => (place(), 0..KEYS.len(), id(), 0..3u8, prop::bool::weighted(0.2)).prop_map(
            |(place, key, id, headers, null)| Op::Publish { place, key, id, headers, null }
        ),
        8 => (place(), 0..KEYS.len(), id(), 0..3u8, prop::bool::weighted(0.2), 0..CODECS.len()).prop_map(
            |(place, key, id, headers, null, codec)| Op::Produce { place, key, id, headers, null, codec }
        ),
        3 => (log(), any::<prop::sample::Index>()).prop_map(|(log, which)| Op::Delete { log, which }),
        1 => (log(), 0..KEYS.len()).prop_map(|(log, key)| Op::Purge { log, key }),
        1 => (log(), any::<prop::sample::Index>()).prop_map(|(log, to)| Op::DeleteRecords { log, to }),
        2 => Just(Op::Check),
        1 => any::<bool>().prop_map(|clean| Op::Restart { clean }),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    subject: String,
    key: String,
    value: Option<String>,
    headers: Vec<(String, String)>,
}

/// One partition.
#[derive(Debug)]
struct Log {
    stream: &'static str,
    topic: &'static str,
    partition: i32,
    /// By offset.
    messages: BTreeMap<i64, Message>,
    end: i64,
    /// As far as DeleteRecords went.
    start: i64,
    ids: HashMap<String, i64>,
}

impl Log {
    fn new(stream: &'static str, topic: &'static str, partition: i32) -> Self {
        Self { stream, topic, partition, messages: BTreeMap::new(), end: 0, start: 0, ids: HashMap::new() }
    }

    fn is_jobs(&self) -> bool {
        self.topic == "JOBS"
    }

    /// Stores a message, which gets the next offset; the oldest of its subject goes.
    fn store(&mut self, message: Message) -> i64 {
        let subject = message.subject.clone();
        self.messages.insert(self.end, message);
        self.end += 1;
        let of_subject = self.messages.iter().filter(|(_, message)| message.subject == subject);
        let offsets: Vec<i64> = of_subject.map(|(offset, _)| *offset).collect();
        if self.is_jobs() && offsets.len() > PER_SUBJECT {
            self.messages.remove(&offsets[0]);
        }
        self.end - 1
    }
}

struct World {
    dir: TempDir,
    server: Option<Server>,
    nats: Context,
    producers: HashMap<usize, FutureProducer>,
    logs: [Log; 3],
    /// Which partition of `orders` a key is in: what was said first holds for both doors.
    partitions: HashMap<usize, i32>,
    count: u32,
}

fn serve(dir: &TempDir) -> Server {
    Server::with(dir.path(), &["nats.lame_duck_duration=0ms", "nats.lame_duck_grace=0ms"])
}

impl World {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let server = serve(&dir);
        let nats = server.nats().await;
        server.make_topic("orders", 2).await;
        make_stream(&nats, "JOBS", "jobs.>", |config| config.max_messages_per_subject = PER_SUBJECT as i64)
            .await;
        let logs =
            [Log::new("JOBS", "JOBS", 0), Log::new("orders", "orders", 0), Log::new("orders=1", "orders", 1)];
        let (producers, partitions) = (HashMap::new(), HashMap::new());
        Self { dir, server: Some(server), nats, producers, logs, partitions, count: 0 }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// The message that an operation stores, under a new value.
    fn message(&mut self, place: Place, key: usize, id: Option<u8>, headers: u8, null: bool) -> Message {
        self.count += 1;
        let (subject, key) = match place {
            Place::Jobs => (format!("jobs.{}", KEYS[key]), format!("jobs.{}", KEYS[key])),
            Place::Orders => (format!("orders.{}", KEYS[key]), KEYS[key].to_owned()),
        };
        let mut all: Vec<(String, String)> =
            (0..headers).map(|number| ("Trace".to_owned(), format!("{number} of {}", self.count))).collect();
        all.extend(id.map(|id| ("Nats-Msg-Id".to_owned(), id.to_string())));
        Message { subject, key, value: (!null).then(|| format!("value {}", self.count)), headers: all }
    }

    /// The log that a key is in, as the server has just said; it must not say otherwise later.
    fn log(&mut self, place: Place, key: usize, partition: i32) -> &mut Log {
        match place {
            Place::Jobs => &mut self.logs[0],
            Place::Orders => {
                let known = *self.partitions.entry(key).or_insert(partition);
                assert_eq!(known, partition, "the partition of {}", KEYS[key]);
                &mut self.logs[1 + usize::try_from(known).unwrap()]
            }
        }
    }

    async fn publish(&mut self, place: Place, key: usize, id: Option<u8>, headers: u8, null: bool) {
        let message = self.message(place, key, id, headers, null);
        let mut block: Vec<(&str, &str)> =
            message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if null {
            block.push(("Duolog-Null-Value", "1"));
        }
        let payload = message.value.as_deref().unwrap_or_default();
        let ack = publish_with(&self.nats, &message.subject, &block, payload).await.unwrap();
        let partition = i32::from(ack.stream == "orders=1");
        let log = self.log(place, key, partition);
        assert_eq!(ack.stream, log.stream);
        let offset = i64::try_from(ack.sequence).unwrap() - 1;
        let id = id.map(|id| id.to_string());
        if let Some(first) = id.as_ref().and_then(|id| log.ids.get(id)) {
            assert_eq!((ack.duplicate, offset), (true, *first));
            return;
        }
        assert_eq!((ack.duplicate, offset), (false, log.end));
        log.store(message);
        log.ids.extend(id.map(|id| (id, offset)));
    }

    async fn produce(&mut self, place: Place, key: usize, message: Message, codec: usize) {
        let headers: Vec<(&str, Option<&[u8]>)> =
            message.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))).collect();
        let sent = Sent {
            key: Some(message.key.as_bytes()),
            value: message.value.as_deref().map(str::as_bytes),
            headers: &headers,
            ..Sent::default()
        };
        if !self.producers.contains_key(&codec) {
            let producer = self.server().producer_with(&[("compression.type", CODECS[codec])]);
            self.producers.insert(codec, producer);
        }
        let topic = if place == Place::Jobs { "JOBS" } else { "orders" };
        let (partition, offset) = support::produce(&self.producers[&codec], topic, sent).await.unwrap();
        let log = self.log(place, key, partition);
        assert_eq!(offset, log.end);
        let id = message.headers.iter().find(|(name, _)| name == "Nats-Msg-Id").map(|(_, id)| id.clone());
        // A topic is Kafka's: its window is for what NATS clients publish.
        let id = id.filter(|_| place == Place::Jobs);
        if id.as_ref().is_some_and(|id| log.ids.contains_key(id)) {
            log.end += 1;
            return;
        }
        log.store(message);
        log.ids.extend(id.map(|id| (id, offset)));
    }

    async fn delete(&mut self, log: usize, which: prop::sample::Index) {
        let log = &mut self.logs[log];
        if log.end == 0 {
            return;
        }
        // Any offset that was given: gone ones are refused.
        let offset = i64::try_from(which.index(usize::try_from(log.end).unwrap())).unwrap();
        let stream = self.nats.get_stream(log.stream).await.unwrap();
        let deleted = stream.delete_message(u64::try_from(offset).unwrap() + 1).await.is_ok();
        assert_eq!(deleted, log.messages.remove(&offset).is_some(), "offset {offset}");
    }

    async fn purge(&mut self, log: usize, key: usize) {
        let log = &mut self.logs[log];
        let subject = format!("{}.{}", if log.is_jobs() { "jobs" } else { "orders" }, KEYS[key]);
        let stream = self.nats.get_stream(log.stream).await.unwrap();
        let purged = stream.purge().filter(subject.clone()).await.unwrap().purged;
        let before = log.messages.len();
        log.messages.retain(|_, message| message.subject != subject);
        assert_eq!(purged, (before - log.messages.len()) as u64);
    }

    async fn delete_records(&mut self, log: usize, to: prop::sample::Index) {
        let to = i64::try_from(to.index(usize::try_from(self.logs[log].end).unwrap() + 1)).unwrap();
        let mut below = TopicPartitionList::new();
        let log = &mut self.logs[log];
        below.add_partition_offset(log.topic, log.partition, Offset::Offset(to)).unwrap();
        log.messages.retain(|offset, _| *offset >= to);
        log.start = log.start.max(to);
        self.server().admin().delete_records(&below, &AdminOptions::new()).await.unwrap();
    }

    async fn check(&self) {
        for log in &self.logs {
            let state = self.nats.get_stream(log.stream).await.unwrap().cached_info().state.clone();
            assert_eq!(state.last_sequence, u64::try_from(log.end).unwrap(), "{}", log.stream);
            let seen = read(&self.nats, log.stream).await;
            let expected: Vec<_> =
                log.messages.iter().map(|(offset, message)| as_nats(*offset, message)).collect();
            let seen: Vec<_> = seen
                .into_iter()
                .map(|seen| (seen.sequence, seen.subject.clone(), seen.text(), seen.headers))
                .collect();
            assert_eq!(seen, expected, "{} through NATS", log.stream);

            let expected: Vec<_> =
                log.messages.iter().map(|(offset, message)| as_kafka(*offset, message)).collect();
            let consume = || {
                let records = self.server().consume(log.topic, log.partition).into_iter();
                records.map(comparable).collect::<Vec<_>>()
            };
            let mut found = consume();
            let since = std::time::Instant::now();
            // What a limit evicts Kafka's readers may see until the delete is durable.
            while found != expected && log.is_jobs() && since.elapsed() < PATIENCE / 3 {
                found = consume();
            }
            assert_eq!(found, expected, "{} {} through Kafka", log.topic, log.partition);
            let (start, end) = self.server().watermarks(log.topic, log.partition);
            assert!(
                start >= log.start && log.messages.keys().all(|offset| *offset >= start),
                "{start}: {log:?}"
            );
            assert_eq!(end, log.end);
        }
    }

    async fn restart(&mut self, clean: bool) {
        self.producers.clear();
        let server = self.server.take().unwrap();
        if clean {
            server.stop()
        } else {
            server.kill()
        }
        self.server = Some(serve(&self.dir));
        self.nats = self.server().nats().await;
    }

    async fn run(&mut self, op: Op) {
        match op {
            Op::Publish { place, key, id, headers, null } => {
                self.publish(place, key, id, headers, null).await
            }
            Op::Produce { place, key, id, headers, null, codec } => {
                let message = self.message(place, key, id, headers, null);
                self.produce(place, key, message, codec).await;
            }
            Op::Delete { log, which } => self.delete(log, which).await,
            Op::Purge { log, key } => self.purge(log, key).await,
            Op::DeleteRecords { log, to } => self.delete_records(log, to).await,
            Op::Check => self.check().await,
            Op::Restart { clean } => self.restart(clean).await,
        }
    }
}

fn as_nats(offset: i64, message: &Message) -> (u64, String, String, Vec<(String, String)>) {
    let mut headers = message.headers.clone();
    if message.value.is_none() {
        headers.push(("Duolog-Null-Value".to_owned(), "1".to_owned()));
    }
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    let sequence = u64::try_from(offset).unwrap() + 1;
    (sequence, message.subject.clone(), message.value.clone().unwrap_or_default(), headers)
}

/// Without its time, and its headers by name: the NATS client's map has no order between names.
fn comparable(mut record: Record) -> Record {
    record.headers.sort_by(|a, b| a.0.cmp(&b.0));
    Record { timestamp: None, ..record }
}

fn as_kafka(offset: i64, message: &Message) -> Record {
    let headers =
        message.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone().into_bytes())));
    comparable(Record {
        offset,
        key: Some(message.key.clone().into_bytes()),
        value: message.value.clone().map(String::into_bytes),
        headers: headers.collect(),
        timestamp: None,
    })
}

#[test]
fn random_operations_through_both_doors_equal_a_simple_model() {
    let cases = std::env::var("DUOLOG_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8);
    let config = Config { cases, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ops = prop::collection::vec(op(), 1..60);
    TestRunner::new(config)
        .run(&ops, |ops| {
            runtime.block_on(async {
                let mut world = World::new().await;
                for op in ops {
                    world.run(op).await;
                }
                world.check().await;
                world.restart(true).await;
                world.check().await;
            });
            Ok(())
        })
        .unwrap();
}
