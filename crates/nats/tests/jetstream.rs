//! JetStream with a real client: async-nats, against a broker on a real disk.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/jetstream.rs"]
mod support;

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, PushConsumer, pull, push};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{Context, kv, object_store, stream};
use futures_util::{StreamExt, TryStreamExt};
use support::Process;
use tempfile::TempDir;

async fn fixture() -> (TempDir, Process, Context) {
    let dir = TempDir::new().unwrap();
    let process = Process::start(dir.path()).await;
    let client = process.client().await;
    (dir, process, client)
}

/// No test waits longer for what must come.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it comes")
}

async fn orders(client: &Context) -> stream::Stream {
    let config = stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        ..stream::Config::default()
    };
    client.create_stream(config).await.unwrap()
}

async fn put(client: &Context, subject: &'static str, payload: &'static str) -> u64 {
    client.publish(subject, payload.into()).await.unwrap().await.unwrap().sequence
}

async fn publish(
    client: &Context,
    message: PublishMessage,
) -> Result<async_nats::jetstream::publish::PublishAck, async_nats::jetstream::context::PublishError> {
    client.send_publish("orders.a", message).await.unwrap().await
}

#[tokio::test]
async fn streams_are_made_told_purged_and_deleted() {
    let (_dir, process, client) = fixture().await;
    let mut stream = orders(&client).await;
    for (subject, expected) in [("orders.a", 1), ("orders.b", 2), ("orders.a", 3)] {
        assert_eq!(put(&client, subject, "x").await, expected);
    }
    assert_eq!(stream.info().await.unwrap().state.messages, 3);
    let message = stream.get_raw_message(2).await.unwrap();
    assert_eq!((message.subject.as_str(), &message.payload[..]), ("orders.b", &b"x"[..]));
    assert!(stream.delete_message(2).await.unwrap());
    assert_eq!(stream.purge().filter("orders.a").await.unwrap().purged, 2);
    let state = stream.info().await.unwrap().state.clone();
    assert_eq!((state.messages, state.last_sequence), (0, 3));
    let names: Vec<String> = client.stream_names().try_collect().await.unwrap();
    assert_eq!(names, ["ORDERS"]);
    assert!(client.delete_stream("ORDERS").await.unwrap().success);
    assert!(client.get_stream("ORDERS").await.is_err());
    process.end().await;
}

#[tokio::test]
async fn duplicates_and_broken_expectations_are_told() {
    let (_dir, process, client) = fixture().await;
    let mut stream = orders(&client).await;
    let job = || PublishMessage::build().message_id("job-1").payload("x".into());
    let first = publish(&client, job()).await.unwrap();
    assert!(!first.duplicate);
    let again = publish(&client, job()).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (first.sequence, true));
    let wrong = publish(&client, PublishMessage::build().expected_last_sequence(7)).await.unwrap_err();
    assert_eq!(wrong.kind(), PublishErrorKind::WrongLastSequence);
    publish(&client, PublishMessage::build().expected_last_sequence(1)).await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 2);
    process.end().await;
}

#[tokio::test]
async fn headers_of_what_is_not_here_yet_are_refused_and_nothing_is_stored() {
    let (_dir, process, client) = fixture().await;
    let config = stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        allow_message_ttl: true,
        ..stream::Config::default()
    };
    let mut stream = client.create_stream(config).await.unwrap();
    for (headers, code, text) in [
        (&[("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1")][..], 10174, "atomic publish is disabled"),
        (
            &[("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "1")],
            10174,
            "atomic publish is disabled",
        ),
        (&[("Nats-Incr", "+1")], 10168, "message counters is disabled"),
        (
            &[("Nats-Schedule", "@every 1s"), ("Nats-Schedule-Target", "orders.b")],
            10188,
            "message schedules is disabled",
        ),
        (&[("Nats-TTL", "0")], 10165, "invalid per-message TTL"),
    ] {
        let mut block = HeaderMap::new();
        for (name, value) in headers {
            block.insert(*name, *value);
        }
        let answer = soon(client.client().request_with_headers("orders.a", block, "".into())).await.unwrap();
        let answer = String::from_utf8(answer.payload.to_vec()).unwrap();
        let error = format!("\"err_code\":{code},\"description\":\"{text}\"");
        assert!(answer.contains(&error), "{headers:?}: {answer}");
    }
    let state = stream.info().await.unwrap().state.clone();
    assert_eq!((state.messages, state.last_sequence), (0, 0));
    process.end().await;
}

async fn workers(stream: &stream::Stream) -> PullConsumer {
    let config = pull::Config {
        durable_name: Some("workers".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(60),
        ..pull::Config::default()
    };
    stream.get_or_create_consumer("workers", config).await.unwrap()
}

#[tokio::test]
async fn pulled_messages_are_acknowledged_once_and_twice() {
    let (_dir, process, client) = fixture().await;
    let stream = orders(&client).await;
    for payload in ["0", "1", "2", "3"] {
        put(&client, "orders.a", payload).await;
    }
    let mut consumer = workers(&stream).await;
    let mut batch = consumer.fetch().max_messages(4).messages().await.unwrap();
    for (at, expected) in (0..4).zip([b"0", b"1", b"2", b"3"]) {
        let message = soon(batch.next()).await.unwrap().unwrap();
        assert_eq!(&message.payload[..], expected);
        assert_eq!(message.info().unwrap().stream_sequence, at + 1);
        match at {
            0 => message.ack().await.unwrap(),
            3 => {}
            _ => soon(message.double_ack()).await.unwrap(),
        }
    }
    let info = consumer.info().await.unwrap();
    assert_eq!((info.ack_floor.stream_sequence, info.num_ack_pending, info.num_pending), (3, 1, 0));
    process.end().await;
}

#[tokio::test]
async fn a_push_consumer_gets_what_was_and_what_comes() {
    let (_dir, process, client) = fixture().await;
    let stream = orders(&client).await;
    put(&client, "orders.a", "before").await;
    put(&client, "orders.b", "other").await;
    let consumer: PushConsumer = stream
        .create_consumer(push::Config {
            deliver_subject: client.client().new_inbox(),
            filter_subject: "orders.a".to_owned(),
            ..push::Config::default()
        })
        .await
        .unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let first = soon(messages.next()).await.unwrap().unwrap();
    assert_eq!(&first.payload[..], b"before");
    soon(first.double_ack()).await.unwrap();
    put(&client, "orders.a", "after").await;
    assert_eq!(&soon(messages.next()).await.unwrap().unwrap().payload[..], b"after");
    process.end().await;
}

#[tokio::test]
async fn an_ordered_consumer_reads_everything() {
    let (_dir, process, client) = fixture().await;
    let stream = orders(&client).await;
    for _ in 0..500 {
        client.publish("orders.a", "x".into()).await.unwrap();
    }
    put(&client, "orders.a", "last").await;
    let consumer = stream
        .create_consumer(push::OrderedConfig {
            deliver_subject: client.client().new_inbox(),
            ..push::OrderedConfig::default()
        })
        .await
        .unwrap();
    let mut messages = consumer.messages().await.unwrap();
    for expected in 1..=501 {
        let message = soon(messages.next()).await.unwrap().unwrap();
        assert_eq!(message.info().unwrap().stream_sequence, expected);
    }
    process.end().await;
}

#[tokio::test]
async fn a_key_value_bucket_works() {
    let (_dir, process, client) = fixture().await;
    let config = kv::Config { bucket: "settings".to_owned(), history: 5, ..kv::Config::default() };
    let bucket = client.create_key_value(config).await.unwrap();
    let mut watch = bucket.watch("colour").await.unwrap();
    assert_eq!(bucket.put("colour", "red".into()).await.unwrap(), 1);
    assert_eq!(bucket.update("colour", "blue".into(), 1).await.unwrap(), 2);
    assert!(bucket.update("colour", "green".into(), 1).await.is_err());
    assert!(bucket.create("colour", "green".into()).await.is_err());
    assert_eq!(bucket.get("colour").await.unwrap().unwrap(), "blue");
    assert_eq!(bucket.get("size").await.unwrap(), None);
    bucket.delete("colour").await.unwrap();
    assert_eq!(bucket.get("colour").await.unwrap(), None);
    for expected in [kv::Operation::Put, kv::Operation::Put, kv::Operation::Delete] {
        assert_eq!(soon(watch.next()).await.unwrap().unwrap().operation, expected);
    }
    let history: Vec<kv::Entry> = soon(bucket.history("colour").await.unwrap().try_collect()).await.unwrap();
    let revisions: Vec<u64> = history.iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, [1, 2, 3]);
    bucket.put("size", "9".into()).await.unwrap();
    let keys: Vec<String> = soon(bucket.keys().await.unwrap().try_collect()).await.unwrap();
    assert_eq!(keys, ["size"]);
    process.end().await;
}

#[tokio::test]
async fn an_object_store_keeps_objects_whole() {
    use tokio::io::AsyncReadExt;
    let (_dir, process, client) = fixture().await;
    let config = object_store::Config { bucket: "files".to_owned(), ..object_store::Config::default() };
    let store = client.create_object_store(config).await.unwrap();
    let content: Vec<u8> = (0..700_000usize).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
    let info = store.put("a file", &mut &content[..]).await.unwrap();
    assert_eq!(info.size, content.len());
    let mut read = Vec::new();
    soon(store.get("a file").await.unwrap().read_to_end(&mut read)).await.unwrap();
    assert!(read == content);
    store.delete("a file").await.unwrap();
    assert!(store.get("a file").await.is_err());
    process.end().await;
}

#[tokio::test]
async fn a_restart_keeps_messages_ids_and_what_consumers_know() {
    let (dir, process, client) = fixture().await;
    let stream = orders(&client).await;
    let job = || PublishMessage::build().message_id("job-1").payload("0".into());
    publish(&client, job()).await.unwrap();
    put(&client, "orders.b", "1").await;
    put(&client, "orders.c", "2").await;
    let consumer = workers(&stream).await;
    let mut batch = consumer.fetch().max_messages(2).messages().await.unwrap();
    soon(soon(batch.next()).await.unwrap().unwrap().double_ack()).await.unwrap();
    drop((soon(batch.next()).await.unwrap().unwrap(), batch, consumer, stream, client));
    process.end().await;

    let process = Process::start(dir.path()).await;
    let client = process.client().await;
    let mut stream = client.get_stream("ORDERS").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 3);
    assert_eq!(&stream.get_raw_message(3).await.unwrap().payload[..], b"2");
    let again = publish(&client, job()).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (1, true));
    let mut consumer: PullConsumer = stream.get_consumer("workers").await.unwrap();
    let info = consumer.info().await.unwrap();
    assert_eq!((info.ack_floor.stream_sequence, info.num_ack_pending, info.num_pending), (1, 1, 1));
    let mut batch = consumer.fetch().max_messages(1).messages().await.unwrap();
    let next = soon(batch.next()).await.unwrap().unwrap();
    assert_eq!(next.info().unwrap().stream_sequence, 3);
    process.end().await;
}

#[tokio::test]
async fn acknowledgements_are_measured_if_the_consumer_says_so() {
    let (_dir, process, client) = fixture().await;
    let stream = orders(&client).await;
    let core = async_nats::connect(&process.address).await.unwrap();
    let mut samples = core.subscribe("$JS.EVENT.METRIC.CONSUMER.ACK.ORDERS.*").await.unwrap();
    core.flush().await.unwrap();
    for (name, sample_frequency) in [("silent", 0), ("told", 100)] {
        put(&client, "orders.a", "x").await;
        let durable_name = Some(name.to_owned());
        let config = pull::Config { durable_name, sample_frequency, ..pull::Config::default() };
        let consumer: PullConsumer = stream.create_consumer(config).await.unwrap();
        let mut batch = consumer.fetch().max_messages(1).messages().await.unwrap();
        soon(batch.next()).await.unwrap().unwrap().double_ack().await.unwrap();
    }
    // The first that comes is of the second consumer.
    let sample = soon(samples.next()).await.unwrap();
    assert_eq!(sample.subject.as_str(), "$JS.EVENT.METRIC.CONSUMER.ACK.ORDERS.told");
    let text = str::from_utf8(&sample.payload).unwrap();
    for part in [r#""stream_seq":1"#, r#""consumer_seq":1"#, r#""deliveries":1"#, r#""ack_time":"#] {
        assert!(text.contains(part), "{part} in {text}");
    }
    process.end().await;
}

#[tokio::test]
async fn who_asks_the_api_too_much_at_once_is_dropped_and_that_is_told() {
    let (_dir, process, client) = fixture().await;
    orders(&client).await;
    let core = async_nats::connect(&process.address).await.unwrap();
    let mut advisories = core.subscribe("$JS.EVENT.ADVISORY.API.LIMIT_REACHED").await.unwrap();
    core.flush().await.unwrap();
    // On one thread: a read of the session takes a thousand requests, the API answers one and gives its turn away.
    for _ in 0..40_000 {
        core.publish("$JS.API.STREAM.NAMES", "".into()).await.unwrap();
    }
    let advisory = soon(advisories.next()).await.unwrap();
    let text = str::from_utf8(&advisory.payload).unwrap();
    assert!(
        text.starts_with(r#"{"type":"io.nats.jetstream.advisory.v1.api_limit_reached","id":""#),
        "{text}"
    );
    assert!(text.contains(r#""server":"test","dropped":"#) && !text.contains(r#""stream":"#), "{text}");
    // And the API answers again, as soon as it has worked off what waited.
    let answered = async {
        loop {
            if let Ok(names) = client.stream_names().try_collect::<Vec<String>>().await {
                return names;
            }
        }
    };
    assert_eq!(soon(answered).await, ["ORDERS"]);
    process.end().await;
}

#[tokio::test]
async fn a_memory_stream_is_empty_after_a_restart_and_gives_no_sequence_twice() {
    let (dir, process, client) = fixture().await;
    let config = stream::Config {
        name: "FAST".to_owned(),
        subjects: vec!["fast.>".to_owned()],
        storage: stream::StorageType::Memory,
        max_messages: 3,
        allow_direct: true,
        ..stream::Config::default()
    };
    let mut stream = client.create_stream(config).await.unwrap();
    for expected in 1..=5 {
        assert_eq!(put(&client, "fast.a", "body").await, expected);
    }
    let state = stream.info().await.unwrap().state.clone();
    // Subject, payload, and 16 bytes for sequence and time.
    assert_eq!((state.messages, state.bytes, state.first_sequence), (3, 3 * (6 + 4 + 16), 3));
    assert_eq!(&stream.direct_get(4).await.unwrap().payload[..], b"body");
    assert!(stream.delete_message(4).await.unwrap());
    let consumer = workers(&stream).await;
    let mut batch = consumer.fetch().max_messages(2).messages().await.unwrap();
    for expected in [3, 5] {
        let message = soon(batch.next()).await.unwrap().unwrap();
        assert_eq!(message.info().unwrap().stream_sequence, expected);
        if expected == 3 {
            soon(message.double_ack()).await.unwrap();
        }
    }
    drop((batch, consumer, stream));
    let account = client.query_account().await.unwrap();
    assert_eq!((account.memory, account.storage), (2 * 26, 0));
    drop(client);
    process.end().await;

    let process = Process::start(dir.path()).await;
    let client = process.client().await;
    let mut stream = client.get_stream("FAST").await.unwrap();
    let info = stream.info().await.unwrap().clone();
    assert_eq!(
        (info.config.storage, info.state.messages, info.state.bytes),
        (stream::StorageType::Memory, 0, 0)
    );
    assert!(info.state.last_sequence >= 5 && info.state.first_sequence == info.state.last_sequence + 1);
    let mut consumer: PullConsumer = stream.get_consumer("workers").await.unwrap();
    let told = consumer.info().await.unwrap();
    assert_eq!((told.num_ack_pending, told.num_pending), (0, 0));
    let sequence = put(&client, "fast.b", "after").await;
    assert_eq!(sequence, info.state.last_sequence + 1);
    let mut batch = consumer.fetch().max_messages(1).messages().await.unwrap();
    let message = soon(batch.next()).await.unwrap().unwrap();
    assert_eq!((&message.payload[..], message.info().unwrap().stream_sequence), (&b"after"[..], sequence));
    drop((message, batch, consumer, stream, client));
    process.end().await;
}

#[tokio::test]
async fn memory_is_bounded_and_what_is_over_it_is_refused_as_the_reference_does() {
    let (_dir, process, client) = fixture().await;
    let config = stream::Config {
        name: "LARGE".to_owned(),
        storage: stream::StorageType::Memory,
        // The default is 1 GiB for all of them.
        max_bytes: 1 << 40,
        ..stream::Config::default()
    };
    let refused = client.create_stream(config).await.unwrap_err();
    let refused = format!("{refused:?}");
    assert!(refused.contains("10028") || refused.contains("MEMORY_RESOURCES"), "{refused}");
    process.end().await;
}
