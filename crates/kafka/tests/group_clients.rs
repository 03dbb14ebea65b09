//! librdkafka's consumer groups against the broker: sharing, both kinds of rebalance, static members, commits that
//! outlive the broker, administration.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use duolog_broker::catalog::NewTopic;
use duolog_broker::groups::State;
use duolog_broker::{BrokerConfig, GroupsConfig};
use duolog_kafka::KafkaConfig;
use duolog_types::GroupId;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use support::{TestBroker, TestServer};

/// A failure, not a measure: what a test waits for comes long before.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start() -> TestServer {
    let groups = GroupsConfig { initial_rebalance_delay: Duration::ZERO, ..GroupsConfig::default() };
    let config = BrokerConfig { groups, ..BrokerConfig::default() };
    TestServer::over(TestBroker::with(config), KafkaConfig::default()).await
}

fn make(server: &TestServer, topic: &str, partitions: i32) {
    let new = NewTopic { name: topic.to_owned(), partitions: Some(partitions), ..NewTopic::default() };
    server.broker.broker.catalog().create(&new).unwrap();
}

fn config(address: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address.to_string());
    config
}

/// A member of the group "g" that reads from the beginning and commits only when told to.
fn member(address: SocketAddr, topic: &str, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(address);
    config
        .set("group.id", "g")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("heartbeat.interval.ms", "100")
        .set("session.timeout.ms", "10000");
    more.iter().for_each(|(key, value)| {
        config.set(*key, *value);
    });
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    consumer
}

async fn produce(address: SocketAddr, topic: &str, values: std::ops::Range<usize>) {
    let producer: FutureProducer = config(address).set("linger.ms", "1").create().unwrap();
    let mut sent = Vec::new();
    for value in values {
        let (key, value) = (format!("k{value}"), value.to_string());
        let record = FutureRecord::to(topic).key(&key).payload(&value);
        sent.push(producer.send_result(record).map_err(|(error, _)| error).unwrap());
    }
    for delivery in sent {
        delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
    }
}

/// The partitions that a member has.
fn assigned(consumer: &BaseConsumer) -> BTreeSet<i32> {
    consumer.assignment().unwrap().elements().iter().map(|element| element.partition()).collect()
}

/// What a member gets from one poll: the record's value.
fn poll(consumer: &BaseConsumer) -> Option<usize> {
    // Errors of single requests are retried by the client itself.
    let record = consumer.poll(Duration::from_millis(20))?.ok()?;
    Some(std::str::from_utf8(record.payload().unwrap()).unwrap().parse().unwrap())
}

/// Polls the members in turn until `done`, and gives what they read.
fn poll_until(members: &[&BaseConsumer], mut done: impl FnMut(&[usize]) -> bool, what: &str) -> Vec<usize> {
    let (begun, mut read) = (Instant::now(), Vec::new());
    while !done(&read) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: {:?}",
            members.iter().map(|one| assigned(one)).collect::<Vec<_>>()
        );
        read.extend(members.iter().filter_map(|member| poll(member)));
    }
    read
}

/// Whether the members have all partitions between them, each a fair part.
fn shared(members: &[&BaseConsumer], partitions: i32) -> bool {
    let parts: Vec<_> = members.iter().map(|member| assigned(member)).collect();
    let all: BTreeSet<i32> = parts.iter().flatten().copied().collect();
    let fair = partitions as usize / members.len();
    all == (0..partitions).collect() && parts.iter().all(|part| part.len() == fair)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_and_rebalance_eagerly_and_cooperatively() {
    for strategy in ["range", "cooperative-sticky"] {
        let server = start().await;
        make(&server, "orders", 4);
        let address = server.address;
        tokio::task::spawn_blocking(move || {
            let more = [("partition.assignment.strategy", strategy)];
            let first = member(address, "orders", &more);
            poll_until(&[&first], |_| shared(&[&first], 4), "the first alone");
            let second = member(address, "orders", &more);
            let mut least = 4;
            let both = |_: &[usize]| {
                least = least.min(assigned(&first).len());
                shared(&[&first, &second], 4)
            };
            poll_until(&[&first, &second], both, "both");
            if strategy == "cooperative-sticky" {
                assert_eq!(least, 2, "what it keeps is never taken from it");
            }
            drop(second);
            poll_until(&[&first], |_| shared(&[&first], 4), "the first alone again");
        })
        .await
        .unwrap();
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_read_everything_between_them_and_each_record_once_while_nothing_changes() {
    let server = start().await;
    make(&server, "orders", 6);
    let address = server.address;
    let (first, second) = tokio::task::spawn_blocking(move || {
        let (first, second) = (member(address, "orders", &[]), member(address, "orders", &[]));
        poll_until(&[&first, &second], |_| shared(&[&first, &second], 6), "both");
        (first, second)
    })
    .await
    .unwrap();
    produce(address, "orders", 0..500).await;
    tokio::task::spawn_blocking(move || {
        let mut read = poll_until(&[&first, &second], |read| read.len() >= 500, "all records");
        read.sort_unstable();
        assert!(read.into_iter().eq(0..500), "each once");
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_restarts_without_a_rebalance() {
    let server = start().await;
    make(&server, "orders", 4);
    let address = server.address;
    let group = GroupId::from("g");
    let generation = || {
        let described = server.broker.broker.groups().describe(&group).value.unwrap().unwrap();
        (described.state, described.generation)
    };
    let start_member =
        move |instance: &'static str| member(address, "orders", &[("group.instance.id", instance)]);
    let (first, second, part) = tokio::task::spawn_blocking(move || {
        let (first, second) = (start_member("one"), start_member("two"));
        poll_until(&[&first, &second], |_| shared(&[&first, &second], 4), "both");
        let part = assigned(&second);
        (first, second, part)
    })
    .await
    .unwrap();
    let before = generation();
    assert_eq!(before.0, State::Stable);
    let first = tokio::task::spawn_blocking(move || {
        // A static member doesn't say goodbye.
        drop(second);
        let again = start_member("two");
        poll_until(&[&first, &again], |_| assigned(&again) == part, "its own part again");
        assert!(shared(&[&first, &again], 4));
        first
    })
    .await
    .unwrap();
    assert_eq!(generation(), before, "nobody else noticed");
    tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
    server.stop().await;
}

fn committed(consumer: &BaseConsumer, topic: &str) -> Vec<(i32, Offset, String)> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    asked.add_partition(topic, 1);
    let found = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let elements = found.elements();
    let told = elements.iter().map(|one| (one.partition(), one.offset(), one.metadata().to_owned()));
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_and_their_notes_outlive_the_broker_and_reading_goes_on_there() {
    let server = start().await;
    make(&server, "orders", 2);
    produce(server.address, "orders", 0..100).await;
    let address = server.address;
    let (mut first_half, notes) = tokio::task::spawn_blocking(move || {
        let consumer = member(address, "orders", &[]);
        let mut positions = [0; 2];
        let (begun, mut read) = (Instant::now(), Vec::new());
        while read.len() < 50 {
            assert!(begun.elapsed() < PATIENCE);
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                read.push(std::str::from_utf8(record.payload().unwrap()).unwrap().parse().unwrap());
                positions[record.partition() as usize] = record.offset() + 1;
            }
        }
        let mut commit = TopicPartitionList::new();
        for (partition, position) in (0..).zip(positions) {
            commit.add_partition_offset("orders", partition, Offset::Offset(position)).unwrap();
            commit.find_partition("orders", partition).unwrap().set_metadata(format!("note {partition} ü"));
        }
        consumer.commit(&commit, CommitMode::Sync).unwrap();
        (read, committed(&consumer, "orders"))
    })
    .await
    .unwrap();
    assert!(notes.iter().all(|(partition, _, note)| *note == format!("note {partition} ü")), "{notes:?}");

    let broker = server.stop().await.restart();
    let server = TestServer::over(broker, KafkaConfig::default()).await;
    let address = server.address;
    let (second_half, after) = tokio::task::spawn_blocking(move || {
        let consumer = member(address, "orders", &[]);
        let after = committed(&consumer, "orders");
        (poll_until(&[&consumer], |read| read.len() >= 50, "the rest"), after)
    })
    .await
    .unwrap();
    assert_eq!(after, notes);
    first_half.extend(second_half);
    first_half.sort_unstable();
    assert!(first_half.into_iter().eq(0..100usize), "each record once, across the restart");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_described_and_deleted() {
    let server = start().await;
    make(&server, "orders", 2);
    let address = server.address;
    let consumer = tokio::task::spawn_blocking(move || {
        let consumer = member(address, "orders", &[("client.id", "reader")]);
        poll_until(&[&consumer], |_| shared(&[&consumer], 2), "alone");
        let groups = consumer.fetch_group_list(None, PATIENCE).unwrap();
        let group = &groups.groups()[0];
        assert_eq!((groups.groups().len(), group.name(), group.state()), (1, "g", "Stable"));
        assert_eq!((group.protocol_type(), group.protocol()), ("consumer", "range"));
        let described = &group.members()[0];
        assert_eq!((described.client_id(), described.client_host()), ("reader", "/127.0.0.1"));
        assert!(described.id().starts_with("reader-"), "{}", described.id());
        assert!(described.metadata().is_some() && described.assignment().is_some());
        consumer
    })
    .await
    .unwrap();
    let admin: AdminClient<DefaultClientContext> = config(address).create().unwrap();
    let options = AdminOptions::new();
    let refused = admin.delete_groups(&["g", "unknown"], &options).await.unwrap();
    let codes: Vec<_> = refused.into_iter().map(|one| one.unwrap_err()).collect();
    assert_eq!(
        codes,
        [
            ("g".to_owned(), RDKafkaErrorCode::NonEmptyGroup),
            ("unknown".to_owned(), RDKafkaErrorCode::GroupIdNotFound)
        ]
    );
    tokio::task::spawn_blocking(move || drop(consumer)).await.unwrap();
    assert_eq!(admin.delete_groups(&["g"], &options).await.unwrap(), [Ok("g".to_owned())]);
    assert_eq!(server.broker.broker.groups().list().value.unwrap(), []);
    server.stop().await;
}
