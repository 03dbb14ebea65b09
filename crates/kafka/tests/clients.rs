//! librdkafka against the broker: every codec, idempotence when answers are lost, many connections, the stop.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use duolog_broker::BrokerConfig;
use duolog_broker::catalog::NewTopic;
use duolog_kafka::{KafkaConfig, message};
use kafka_wire::ApiVersionsRequest;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use support::{TestBroker, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn config(address: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address.to_string());
    config
}

fn make(server: &TestServer, topic: &str, partitions: i32) {
    let new = NewTopic { name: topic.to_owned(), partitions: Some(partitions), ..NewTopic::default() };
    server.broker.broker.catalog().create(&new).unwrap();
}

/// Produces values 0..count, keyed, without waiting for one before the next.
async fn produce(producer: &FutureProducer, topic: &str, count: usize) {
    let mut sent = Vec::with_capacity(count);
    for number in 0..count {
        let (key, value) = (format!("k{}", number % 17), format!("{number}"));
        let headers = OwnedHeaders::new()
            .insert(Header { key: "h", value: Some("1") })
            .insert(Header { key: "h", value: Some("2") });
        let record = FutureRecord::to(topic).key(&key).payload(&value).headers(headers);
        sent.push(producer.send_result(record).map_err(|(error, _)| error).unwrap());
    }
    for delivery in sent {
        delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
    }
}

/// Reads until `count` records came: partition, key and value of each, in the order of arrival.
fn consume(address: SocketAddr, topic: &str, partitions: i32, count: usize) -> Vec<(i32, String, usize)> {
    let consumer: BaseConsumer = config(address)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        let Some(polled) = consumer.poll(Duration::from_secs(30)) else {
            panic!("{} of {count} records came", records.len());
        };
        // Errors of single requests are retried by the client itself.
        let Ok(record) = polled else { continue };
        let headers: Vec<_> =
            record.headers().unwrap().iter().map(|header| header.value.unwrap().to_vec()).collect();
        assert_eq!(headers, [b"1", b"2"], "headers keep their order, also of one key");
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        records.push((record.partition(), text(record.key()), text(record.payload()).parse().unwrap()));
    }
    records
}

fn check(records: &[(i32, String, usize)], count: usize) {
    let mut last: HashMap<i32, usize> = HashMap::new();
    let mut homes: HashMap<&str, i32> = HashMap::new();
    for (partition, key, value) in records {
        let before = last.insert(*partition, *value);
        assert!(before.is_none_or(|before| before < *value), "{value} came behind {before:?} in {partition}");
        assert_eq!(homes.entry(key).or_insert(*partition), partition, "key {key} is in two partitions");
    }
    let mut values: Vec<usize> = records.iter().map(|(_, _, value)| *value).collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..count), "each record once");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_goes_through() {
    let server = TestServer::start().await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        make(&server, &topic, 3);
        let producer: FutureProducer =
            config(server.address).set("compression.codec", codec).set("linger.ms", "5").create().unwrap();
        produce(&producer, &topic, 3000).await;
        let address = server.address;
        let read = tokio::task::spawn_blocking({
            let topic = topic.clone();
            move || consume(address, &topic, 3, 3000)
        });
        check(&read.await.unwrap(), 3000);
        // The bytes are stored as they came: compressed.
        let stored = server.broker.broker.catalog().topic(&topic).unwrap();
        let spec = duolog_broker::partition::FetchSpec {
            from: duolog_types::Offset(0),
            max_bytes: 1 << 20,
            at_least_one: true,
        };
        let fetched = stored.partitions()[0].fetch(spec).await.unwrap();
        let code = ["none", "gzip", "snappy", "lz4", "zstd"].iter().position(|name| *name == codec);
        // Clients leave batches alone that compression would only enlarge, so not all of them need to be.
        let in_codec = fetched.runs.iter().flat_map(duolog_record::split).any(|batch| {
            let (header, _) = batch.unwrap();
            usize::try_from(header.attributes & 7).ok() == code
        });
        // librdkafka compresses with lz4 only for brokers that serve FindCoordinator v0 (its feature table).
        let used = codec != "lz4" || duolog_kafka::dispatch::position(10).is_some();
        assert_eq!(in_codec, used, "batches stored in {codec}");
    }
    let errors: u64 =
        server.metrics.apis().iter().filter(|api| api.api == "Produce").map(|api| api.errors).sum();
    assert_eq!(errors, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_topic_is_created_by_the_producer() {
    let broker = TestBroker::with(BrokerConfig { default_partitions: 4, ..BrokerConfig::default() });
    let server = TestServer::over(broker, KafkaConfig::default()).await;
    let producer: FutureProducer = config(server.address).create().unwrap();
    produce(&producer, "born", 10).await;
    assert_eq!(server.broker.broker.catalog().topic("born").unwrap().partitions().len(), 4);
    server.stop().await;
}

/// A proxy that cuts every connection through it after so many bytes of answers, while the broker has long
/// handled what was sent.
async fn cutting_proxy(to: SocketAddr, cut_after: usize, cuts: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let cuts = Arc::clone(&cuts);
            tokio::spawn(async move {
                let broker = TcpStream::connect(to).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_broker, mut to_broker) = broker.into_split();
                let up = tokio::spawn(async move {
                    tokio::io::copy(&mut from_client, &mut to_broker).await.ok();
                });
                let mut passed = 0;
                let mut buffer = [0; 512];
                while let Ok(count @ 1..) = from_broker.read(&mut buffer).await {
                    passed += count;
                    if passed > cut_after && cuts.load(Ordering::SeqCst) > 0 {
                        cuts.fetch_sub(1, Ordering::SeqCst);
                        break;
                    }
                    if to_client.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
                up.abort();
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotent_producer_writes_each_record_once_though_answers_are_lost() {
    // Clients are told to come through the proxy.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cuts = Arc::new(AtomicUsize::new(12));
    let proxy = cutting_proxy(listener.local_addr().unwrap(), 3000, Arc::clone(&cuts)).await;
    let advertised = KafkaConfig { advertised_port: proxy.port(), ..KafkaConfig::default() };
    let broker = TestBroker::new();
    let kafka = duolog_kafka::Kafka::new(listener, broker.broker.clone(), advertised).unwrap();
    let direct = kafka.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(kafka.serve(async {
        stopped.await.ok();
    }));
    let new = NewTopic { name: "once".to_owned(), partitions: Some(2), ..NewTopic::default() };
    broker.broker.catalog().create(&new).unwrap();
    let producer: FutureProducer = config(proxy)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "10")
        .set("linger.ms", "0")
        .set("reconnect.backoff.max.ms", "100")
        .create()
        .unwrap();
    produce(&producer, "once", 20_000).await;
    producer.flush(Duration::from_secs(30)).unwrap();
    assert_eq!(cuts.load(Ordering::SeqCst), 0, "every cut was made");
    let duplicates = broker.broker.stats().duplicate_batches;
    assert!(duplicates > 0, "no answer of an appended batch was lost: the test shows nothing");
    drop(producer);
    let read = tokio::task::spawn_blocking(move || consume(direct, "once", 2, 20_000));
    check(&read.await.unwrap(), 20_000);
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_producers_survive_a_restart() {
    let mut broker = TestBroker::new();
    for round in 1..=3 {
        let server = TestServer::over(broker, KafkaConfig::default()).await;
        if round == 1 {
            make(&server, "kept", 2);
        }
        let producer: FutureProducer =
            config(server.address).set("enable.idempotence", "true").create().unwrap();
        if round == 1 {
            produce(&producer, "kept", 1000).await;
        }
        let address = server.address;
        let read = tokio::task::spawn_blocking(move || consume(address, "kept", 2, 1000));
        check(&read.await.unwrap(), 1000);
        broker = server.stop().await.restart();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_cheap_and_others_do_not_notice() {
    let config = KafkaConfig { max_connections_per_ip: 600, ..KafkaConfig::default() };
    let server = TestServer::over(TestBroker::new(), config).await;
    let mut silent = Vec::new();
    for _ in 0..599 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut speaker = server.connect().await;
    let answer = speaker.ask(&message!(ApiVersionsRequest {}), 0).await;
    assert_eq!(answer.error_code, 0);
    // One too many: it is closed without an answer.
    let mut refused = server.connect().await;
    assert_eq!(refused.stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(server.metrics.closed_bad_input.load(Ordering::Relaxed), 1);
    assert_eq!(server.metrics.connections.load(Ordering::Relaxed), 600);
    drop(silent);
    let answer = speaker.ask(&message!(ApiVersionsRequest {}), 0).await;
    assert_eq!(answer.error_code, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_answers_parked_fetches_and_closes_silent_connections() {
    let server = TestServer::start().await;
    make(&server, "t", 1);
    let mut silent = server.connect().await;
    let mut parked = server.connect().await;
    let partition = message!(kafka_wire::fetch_request::FetchPartition {
        partition_max_bytes: 100,
        current_leader_epoch: -1
    });
    let topic =
        message!(kafka_wire::fetch_request::FetchTopic { topic: "t".into(), partitions: vec![partition] });
    let fetch = message!(kafka_wire::FetchRequest {
        max_wait_ms: 60_000,
        min_bytes: 1,
        max_bytes: 100,
        topics: vec![topic]
    });
    parked.send(&fetch, 4).await;
    while server.metrics.apis().iter().all(|api| api.api != "Fetch" || api.requests == 0) {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(server.stop());
    let answer = parked.receive::<kafka_wire::FetchRequest>(4).await.expect("what was asked is answered");
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    assert!(parked.receive_raw().await.is_none());
    assert!(silent.receive_raw().await.is_none());
    stopping.await.unwrap();
}
