//! One log, both doors: rdkafka and async-nats on the same streams. docs/two-protocols.md names these tests.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail")]

#[path = "doors/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy};
use futures_util::{StreamExt, TryStreamExt};
use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use support::*;
use tempfile::TempDir;

fn start() -> (TempDir, Server) {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path());
    (dir, server)
}

async fn names(nats: &async_nats::jetstream::Context) -> Vec<String> {
    let mut names: Vec<String> = nats.stream_names().try_collect().await.unwrap();
    names.sort();
    names
}

fn millis() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn text(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_several_partitions_is_as_many_streams_and_keys_pick_the_same_one_through_both_doors() {
    let (_dir, server) = start();
    server.make_topic("orders", 3).await;
    let (nats, producer) = (server.nats().await, server.producer());
    assert_eq!(names(&nats).await, ["orders", "orders=1", "orders=2"]);
    let config = nats.get_stream("orders=2").await.unwrap().cached_info().config.clone();
    assert!(config.subjects.is_empty(), "{config:?}");
    let mut used = BTreeMap::new();
    for number in 0..20 {
        let key = format!("customer.{number}");
        let sent = Sent { key: Some(key.as_bytes()), value: Some(b"kafka"), ..Sent::default() };
        let (partition, offset) = produce(&producer, "orders", sent).await.unwrap();
        let name = if partition == 0 { "orders".to_owned() } else { format!("orders={partition}") };
        let subject = format!("orders.{key}");
        assert_eq!(nats.stream_by_subject(&subject).await.unwrap(), name);
        let (stream, sequence) = publish(&nats, &subject, "nats").await;
        assert_eq!((stream, sequence), (name, offset as u64 + 2), "{key}");
        *used.entry(partition).or_insert(0) += 2;
    }
    assert_eq!(used.len(), 3, "{used:?}");
    assert!(nats.stream_by_subject("orders.>").await.is_err(), "it spans several");
    for (partition, count) in used {
        let name = if partition == 0 { "orders".to_owned() } else { format!("orders={partition}") };
        let (records, seen) = (server.consume("orders", partition), read(&nats, &name).await);
        assert_eq!((records.len(), seen.len()), (count, count));
        for (record, seen) in records.iter().zip(&seen) {
            assert_eq!(record.offset as u64 + 1, seen.sequence);
            let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
            assert_eq!((format!("orders.{key}"), record.text()), (seen.subject.clone(), seen.text()));
        }
    }
    // No key: the bare root, and partition 0.
    assert_eq!(publish(&nats, "orders", "no key").await.0, "orders");
    assert_eq!(server.consume("orders", 0).last().unwrap().key, None);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_grow_and_go_take_their_streams_with_them() {
    let (_dir, server) = start();
    server.make_topic("orders", 1).await;
    server.make_topic("orders.events", 1).await;
    let nats = server.nats().await;
    assert_eq!(publish(&nats, "orders.a", "1").await, ("orders".to_owned(), 1));
    // The longest root takes it, and no other.
    assert_eq!(publish(&nats, "orders.events.a", "2").await, ("orders_events".to_owned(), 1));
    assert_eq!(publish(&nats, "orders.eventsa", "3").await, ("orders".to_owned(), 2));
    let admin = server.admin();
    let grown = admin.create_partitions(&[NewPartitions::new("orders", 4)], &AdminOptions::new()).await;
    grown.unwrap().pop().unwrap().unwrap();
    assert_eq!(names(&nats).await, ["orders", "orders=1", "orders=2", "orders=3", "orders_events"]);
    let mut streams = std::collections::BTreeSet::new();
    for number in 0..40 {
        streams.insert(publish(&nats, &format!("orders.{number}"), "x").await.0);
    }
    assert_eq!(streams.len(), 4, "{streams:?}");
    // One of several isn't deleted alone.
    let (answer, code) = api_error(&nats, "STREAM.DELETE.orders=1", "").await.unwrap();
    assert_eq!(code, 10050, "{answer}");
    let deleted = admin.delete_topics(&["orders"], &AdminOptions::new()).await.unwrap();
    deleted.into_iter().next().unwrap().unwrap();
    assert_eq!(names(&nats).await, ["orders_events"]);
    let nobody = nats.client().request("orders.a", "x".into()).await.unwrap_err();
    assert_eq!(nobody.kind(), async_nats::RequestErrorKind::NoResponders);
    assert_eq!(publish(&nats, "orders.events.a", "4").await, ("orders_events".to_owned(), 2));
    // A topic of one partition is one stream: it can be deleted as one.
    assert!(nats.delete_stream("orders_events").await.unwrap().success);
    assert!(names(&nats).await.is_empty());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_nulls_and_keys_go_through_both_doors_and_back_over_restarts() {
    let (dir, mut server) = start();
    server.make_topic("orders", 1).await;
    let nats = server.nats().await;
    make_stream(&nats, "JOBS", "jobs.>", |_| {}).await;
    let producer = server.producer();
    for (topic, key) in [("orders", "eu.1"), ("JOBS", "jobs.eu.1")] {
        let headers: &[(&str, Option<&[u8]>)] = &[
            ("Trace", Some(b"a")),
            ("Trace", Some(b"b")),
            ("trace", Some(b"c")),
            ("Empty", Some(b"")),
            ("Null", None),
            ("Raw", Some(b"\x00\xff\r\n")),
            (" odd name", Some(b"x")),
        ];
        let sent = Sent { key: Some(key.as_bytes()), value: Some(b"v"), headers, ..Sent::default() };
        produce(&producer, topic, sent.clone()).await.unwrap();
        // A null value, a value without bytes.
        produce(&producer, topic, Sent { value: None, headers: &[], ..sent.clone() }).await.unwrap();
        produce(&producer, topic, Sent { value: Some(b""), headers: &[], ..sent }).await.unwrap();
    }
    // Through NATS: the same name twice, nothing as body, the mark of a null value.
    for subject in ["orders.eu.1", "jobs.eu.1"] {
        let twice = [("Trace", "a"), ("Trace", "b"), ("Other", "c")];
        publish_with(&nats, subject, &twice, "v").await.unwrap();
        publish_with(&nats, subject, &[], "").await.unwrap();
        publish_with(&nats, subject, &[("Duolog-Null-Value", "1")], "").await.unwrap();
    }
    for restarted in [false, true] {
        if restarted {
            server.kill();
            server = Server::start(dir.path());
        }
        let nats = server.nats().await;
        for (topic, key, subject) in [("orders", "eu.1", "orders.eu.1"), ("JOBS", "jobs.eu.1", "jobs.eu.1")] {
            let records = server.consume(topic, 0);
            assert!(
                records.iter().all(|record| record.key.as_deref() == Some(key.as_bytes())),
                "{records:?}"
            );
            let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
            assert_eq!(
                records[0].headers,
                [
                    header("Trace", Some(b"a")),
                    header("Trace", Some(b"b")),
                    header("trace", Some(b"c")),
                    header("Empty", Some(b"")),
                    header("Null", None),
                    header("Raw", Some(b"\x00\xff\r\n")),
                    header(" odd name", Some(b"x")),
                ]
            );
            let values: Vec<Option<&[u8]>> = records.iter().map(|record| record.value.as_deref()).collect();
            assert_eq!(values, [Some(&b"v"[..]), None, Some(b""), Some(b"v"), Some(b""), None]);
            let wanted =
                [header("Trace", Some(b"a")), header("Trace", Some(b"b")), header("Other", Some(b"c"))];
            assert_eq!(sorted(&records[3].headers), sorted(&wanted));
            assert!(records[4].headers.is_empty() && records[5].headers.is_empty(), "{records:?}");

            let seen = read(&nats, topic).await;
            assert!(seen.iter().all(|seen| seen.subject == subject), "{seen:?}");
            let plain: Vec<(&str, &str)> =
                text(&seen[0].headers).into_iter().filter(|(name, _)| *name != "Duolog-Header").collect();
            let expected = [("Empty", ""), ("Trace", "a"), ("Trace", "b"), ("trace", "c")];
            assert_eq!(sorted(&plain), sorted(&expected));
            assert_eq!(seen[0].headers.iter().filter(|(name, _)| name == "Duolog-Header").count(), 3);
            let null = [("Duolog-Null-Value".to_owned(), "1".to_owned())];
            assert_eq!((&seen[1].payload[..], &seen[1].headers[..]), (&b""[..], &null[..]));
            assert_eq!((&seen[2].payload[..], &seen[2].headers[..]), (&b""[..], &[][..]));
            assert_eq!(text(&seen[3].headers), [("Other", "c"), ("Trace", "a"), ("Trace", "b")]);
            assert_eq!(seen[5].headers, null);
        }
    }
    server.stop();
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort();
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_no_subject_can_carry_are_escaped_and_come_back() {
    let (_dir, server) = start();
    server.make_topic("orders", 1).await;
    let (nats, producer) = (server.nats().await, server.producer());
    let keys: [(Option<&[u8]>, &str); 7] = [
        (None, "orders"),
        (Some(b""), "orders.%-"),
        (Some(b"a b"), "orders.a%20b"),
        (Some(b"*.>"), "orders.%2A.%3E"),
        (Some(b"a..b"), "orders.a.%-.b"),
        (Some(b"100%"), "orders.100%25"),
        (Some(b"\xff\x00"), "orders.%FF%00"),
    ];
    for (key, _) in keys {
        produce(&producer, "orders", Sent { key, value: Some(b"kafka"), ..Sent::default() }).await.unwrap();
    }
    for (_, subject) in keys {
        publish(&nats, subject, "nats").await;
    }
    // No key's escape: the subject is kept beside it, and comes back.
    publish(&nats, "orders.%zz", "nats").await;
    let seen = read(&nats, "orders").await;
    let subjects: Vec<&str> = seen.iter().map(|seen| seen.subject.as_str()).collect();
    let expected: Vec<&str> = keys.iter().map(|(_, subject)| *subject).collect();
    assert_eq!(subjects, [&expected[..], &expected[..], &["orders.%zz"]].concat());
    let records = server.consume("orders", 0);
    for (record, (key, _)) in records.iter().zip(keys.iter().chain(&keys)) {
        assert_eq!(record.key.as_deref(), *key);
    }
    assert_eq!(records[14].headers, [("Duolog-Subject".to_owned(), Some(b"orders.%zz".to_vec()))]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_every_codec_are_read_by_nats_clients() {
    let (_dir, server) = start();
    server.make_topic("orders", 1).await;
    let nats = server.nats().await;
    make_stream(&nats, "JOBS", "jobs.>", |_| {}).await;
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let big = "0123456789".repeat(2000);
    for codec in codecs {
        let producer = server.producer_with(&[("compression.type", codec), ("linger.ms", "50")]);
        for topic in ["orders", "JOBS"] {
            let sent = (0..20).map(|number| {
                let value = format!("{codec} {number} {big}");
                let producer = &producer;
                async move { put(producer, topic, "jobs.x", &value).await }
            });
            futures_util::future::join_all(sent).await;
        }
    }
    for (stream, subject) in [("orders", "orders.jobs.x"), ("JOBS", "jobs.x")] {
        let stream = nats.get_stream(stream).await.unwrap();
        let consumer =
            stream.create_consumer(pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() });
        let consumer = consumer.await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut count = BTreeMap::new();
        for expected in 1..=100u64 {
            let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(
                (message.info().unwrap().stream_sequence, message.subject.as_str()),
                (expected, subject)
            );
            let text = std::str::from_utf8(&message.payload).unwrap();
            assert!(text.ends_with(&big));
            *count.entry(text.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
        }
        assert_eq!(count, codecs.iter().map(|codec| ((*codec).to_owned(), 20)).collect());
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_purges_and_deleted_records_are_gaps_for_both() {
    let (dir, mut server) = start();
    server.make_topic("orders", 1).await;
    let nats = server.nats().await;
    make_stream(&nats, "JOBS", "jobs.>", |_| {}).await;
    let producer = server.producer();
    for (topic, prefix) in [("orders", "orders."), ("JOBS", "")] {
        for number in 0..5 {
            put(&producer, topic, "jobs.a", &format!("{number}")).await;
            publish(&nats, &format!("{prefix}jobs.b"), &format!("{number}")).await;
        }
        let stream = nats.get_stream(topic).await.unwrap();
        assert!(stream.delete_message(5).await.unwrap());
        assert!(
            api_error(&nats, &format!("STREAM.MSG.DELETE.{topic}"), r#"{"seq":5}"#).await.unwrap().1 == 10043
        );
        assert_eq!(stream.purge().filter(format!("{prefix}jobs.b")).sequence(5).await.unwrap().purged, 2);
        let mut below = TopicPartitionList::new();
        below.add_partition_offset(topic, 0, Offset::Offset(1)).unwrap();
        server.admin().delete_records(&below, &AdminOptions::new()).await.unwrap();
    }
    for restarted in [false, true] {
        if restarted {
            server.stop();
            server = Server::start(dir.path());
        }
        let nats = server.nats().await;
        for topic in ["orders", "JOBS"] {
            let offsets: Vec<i64> = server.consume(topic, 0).iter().map(|record| record.offset).collect();
            assert_eq!(offsets, [2, 5, 6, 7, 8, 9]);
            let sequences: Vec<u64> = read(&nats, topic).await.iter().map(|seen| seen.sequence).collect();
            assert_eq!(sequences, [3, 6, 7, 8, 9, 10]);
            let info = nats.get_stream(topic).await.unwrap().cached_info().clone();
            let (low, high) = server.watermarks(topic, 0);
            assert_eq!((info.state.last_sequence, high), (10, 10));
            // The log start is the first sequence less one, or lies in the gap before it.
            assert!(low >= 1 && (low as u64) < info.state.first_sequence, "{low}");
        }
    }
    // All gone: the last sequence stays, and a Kafka reader comes to the end.
    let nats = server.nats().await;
    for topic in ["orders", "JOBS"] {
        nats.get_stream(topic).await.unwrap().purge().await.unwrap();
        assert!(server.consume(topic, 0).is_empty() && read(&nats, topic).await.is_empty());
        assert_eq!(server.watermarks(topic, 0).1, 10);
        assert_eq!(put(&server.producer(), topic, "jobs.a", "next").await, 10);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_goes_by_arrival_and_kafka_by_the_records_own_time() {
    let (_dir, server) = start();
    server.make_topic("orders", 1).await;
    let (nats, producer) = (server.nats().await, server.producer());
    let before = millis();
    for (number, timestamp) in
        [1_000_000_000_000, 1_100_000_000_000, 1_200_000_000_000].into_iter().enumerate()
    {
        let value = number.to_string();
        let sent = Sent { value: Some(value.as_bytes()), timestamp: Some(timestamp), ..Sent::default() };
        produce(&producer, "orders", sent).await.unwrap();
    }
    publish(&nats, "orders", "3").await;
    let after = millis();
    let seen = read(&nats, "orders").await;
    assert!(seen.iter().all(|seen| (before..=after).contains(&seen.millis)), "{before} {seen:?} {after}");
    assert!(seen.is_sorted_by_key(|seen| seen.millis));
    let timestamps: Vec<i64> =
        server.consume("orders", 0).iter().map(|record| record.timestamp.unwrap()).collect();
    assert_eq!(timestamps[..3], [1_000_000_000_000, 1_100_000_000_000, 1_200_000_000_000]);
    // What came through NATS has its arrival for both, to the millisecond.
    assert_eq!(timestamps[3], seen[3].millis);
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_offset("orders", 0, Offset::Offset(1_050_000_000_000)).unwrap();
    let found = server.consumer("times").offsets_for_times(wanted, PATIENCE).unwrap();
    assert_eq!(found.elements()[0].offset(), Offset::Offset(1));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_stream_hold_for_kafka_producers() {
    let (_dir, server) = start();
    let (nats, producer) = (server.nats().await, server.producer());
    make_stream(&nats, "LATEST", "latest.>", |config| config.max_messages_per_subject = 2).await;
    for number in 0..5 {
        put(&producer, "LATEST", "latest.a", &number.to_string()).await;
        put(&producer, "LATEST", "latest.b", &number.to_string()).await;
    }
    // At once for NATS; for Kafka when the delete is durable.
    assert_eq!(read(&nats, "LATEST").await.len(), 4);
    let texts = || server.consume("LATEST", 0).iter().map(Record::text).collect::<Vec<String>>();
    soon(async || texts() == ["3", "3", "4", "4"]).await;

    make_stream(&nats, "FULL", "full.>", |config| {
        config.max_messages = 2;
        config.discard = DiscardPolicy::New;
        config.max_message_size = 100;
    })
    .await;
    let send = async |key: Option<&[u8]>, value: &[u8]| {
        produce(&producer, "FULL", Sent { key, value: Some(value), ..Sent::default() }).await
    };
    let refused = Err(RDKafkaErrorCode::InvalidRecord);
    assert_eq!(send(Some(b"full.a"), &[b'x'; 101]).await, refused, "too large");
    assert_eq!(send(None, b"x").await, refused, "no key: no subject");
    assert_eq!(send(Some(b"other.a"), b"x").await, refused, "not one of the stream's subjects");
    assert_eq!(send(Some(b"full.*"), b"x").await, refused, "no literal subject");
    assert_eq!(send(Some(b"full.a"), b"1").await, Ok((0, 0)));
    assert_eq!(publish(&nats, "full.b", "2").await.1, 2);
    assert_eq!(send(Some(b"full.a"), b"3").await, refused, "new ones are discarded");
    assert!(publish_with(&nats, "full.b", &[], "3").await.is_err());
    let texts: Vec<String> = server.consume("FULL", 0).iter().map(Record::text).collect();
    assert_eq!(texts, ["1", "2"]);

    make_stream(&nats, "OLD", "old.>", |config| config.max_messages = 3).await;
    for number in 0..5 {
        put(&producer, "OLD", "old.a", &number.to_string()).await;
    }
    assert_eq!(read(&nats, "OLD").await.iter().map(|seen| seen.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    soon(async || server.watermarks("OLD", 0) == (2, 5)).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn message_ids_are_known_through_both_doors_and_survive_kill_9() {
    let (dir, mut server) = start();
    server.make_topic("orders", 1).await;
    let nats = server.nats().await;
    make_stream(&nats, "JOBS", "jobs.>", |_| {}).await;
    let id: &[(&str, Option<&[u8]>)] = &[("Nats-Msg-Id", Some(b"from-kafka"))];
    let sent = Sent { key: Some(b"jobs.a"), value: Some(b"1"), headers: id, ..Sent::default() };
    assert_eq!(produce(&server.producer(), "JOBS", sent.clone()).await, Ok((0, 0)));
    for subject in ["jobs.a", "orders.a"] {
        let ack = publish_with(&nats, subject, &[("Nats-Msg-Id", "from-nats")], "2").await.unwrap();
        assert!(!ack.duplicate);
    }
    for _ in 0..3 {
        let nats = server.nats().await;
        let again = publish_with(&nats, "jobs.a", &[("Nats-Msg-Id", "from-kafka")], "x").await.unwrap();
        assert_eq!((again.sequence, again.duplicate), (1, true));
        let again = publish_with(&nats, "orders.a", &[("Nats-Msg-Id", "from-nats")], "x").await.unwrap();
        assert_eq!((again.sequence, again.duplicate), (1, true));
        // A duplicate through Kafka keeps its offset, and is never there.
        produce(&server.producer(), "JOBS", sent.clone()).await.unwrap();
        let texts: Vec<String> = server.consume("JOBS", 0).iter().map(Record::text).collect();
        assert_eq!(texts, ["1", "2"]);
        assert_eq!(read(&nats, "JOBS").await.len(), 2);
        server.kill();
        server = Server::start(dir.path());
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_consumers_browse_a_work_queue_and_take_nothing() {
    let (_dir, server) = start();
    let (nats, producer) = (server.nats().await, server.producer());
    let stream =
        make_stream(&nats, "JOBS", "jobs.>", |config| config.retention = RetentionPolicy::WorkQueue).await;
    let interest =
        make_stream(&nats, "NEWS", "news.>", |config| config.retention = RetentionPolicy::Interest).await;
    for number in 0..4 {
        put(&producer, "JOBS", "jobs.a", &number.to_string()).await;
        put(&producer, "NEWS", "news.a", "nobody wants it").await;
    }
    assert!(server.consume("NEWS", 0).is_empty(), "a Kafka group holds no interest");
    drop(interest);
    let browse = || server.consume("JOBS", 0).iter().map(|record| record.offset).collect::<Vec<_>>();
    assert_eq!(browse(), [0, 1, 2, 3]);
    // A group that commits takes nothing either.
    let consumer = server.consumer("workers");
    let mut done = TopicPartitionList::new();
    done.add_partition_offset("JOBS", 0, Offset::Offset(4)).unwrap();
    consumer.commit(&done, CommitMode::Sync).unwrap();
    assert_eq!(browse(), [0, 1, 2, 3]);
    // A durable consumer of the same name is another thing, and its acknowledgements take.
    let config = pull::Config { durable_name: Some("workers".to_owned()), ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut batch = consumer.fetch().max_messages(2).messages().await.unwrap();
    for _ in 0..2 {
        let message = tokio::time::timeout(PATIENCE, batch.next()).await.unwrap().unwrap().unwrap();
        message.double_ack().await.unwrap();
    }
    assert_eq!(browse(), [2, 3]);
    let mut asked = TopicPartitionList::new();
    asked.add_partition("JOBS", 0);
    let committed = server.consumer("workers").committed_offsets(asked, PATIENCE).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(4));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_of_nats_read_topics_by_subject_and_keep_their_place_over_restarts() {
    let (dir, server) = start();
    server.make_topic("orders", 1).await;
    let (nats, producer) = (server.nats().await, server.producer());
    let stream = nats.get_stream("orders").await.unwrap();
    let config = pull::Config {
        durable_name: Some("eu".to_owned()),
        filter_subject: "orders.eu.>".to_owned(),
        // What was on its way when the server went comes again after it.
        ack_wait: Duration::from_secs(1),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    for number in 0..6 {
        put(&producer, "orders", if number % 2 == 0 { "eu.a" } else { "us.a" }, &number.to_string()).await;
        if number % 2 == 0 {
            let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(message.payload, number.to_string());
            message.double_ack().await.unwrap();
        }
    }
    put(&producer, "orders", "eu.b", "6").await;
    drop((messages, consumer, stream, nats));
    server.kill();
    let server = Server::start(dir.path());
    let nats = server.nats().await;
    let stream = nats.get_stream("orders").await.unwrap();
    let mut consumer: async_nats::jetstream::consumer::PullConsumer =
        stream.get_consumer("eu").await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((&message.payload[..], message.info().unwrap().stream_sequence), (&b"6"[..], 7));
    message.double_ack().await.unwrap();
    assert_eq!(consumer.info().await.unwrap().num_pending, 0);
    // The topic goes, and its consumers with it.
    server.admin().delete_topics(&["orders"], &AdminOptions::new()).await.unwrap();
    assert_eq!(api_error(&nats, "CONSUMER.INFO.orders.eu", "").await.unwrap().1, 10059);
    server.make_topic("orders", 1).await;
    assert_eq!(api_error(&nats, "CONSUMER.INFO.orders.eu", "").await.unwrap().1, 10014);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_a_subject_count_what_kafka_produced() {
    let (_dir, server) = start();
    server.make_topic("orders", 1).await;
    let (nats, producer) = (server.nats().await, server.producer());
    put(&producer, "orders", "a", "1").await;
    let expect = async |sequence: &str| {
        publish_with(&nats, "orders.a", &[("Nats-Expected-Last-Subject-Sequence", sequence)], "x").await
    };
    assert!(expect("0").await.is_err());
    assert_eq!(expect("1").await.unwrap().sequence, 2);
    put(&producer, "orders", "a", "3").await;
    assert!(expect("2").await.is_err());
    assert_eq!(expect("3").await.unwrap().sequence, 4);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_mapped_is_refused_at_creation_with_the_reason() {
    let (_dir, server) = start();
    let nats = server.nats().await;
    server.make_topic("orders", 1).await;
    make_stream(&nats, "JOBS", "jobs.>", |_| {}).await;
    // Topics that no subject can belong to, or whose subjects a stream takes; without subjects they can be made.
    for name in ["_INBOX", "_INBOX.a", "a..b", "jobs", "jobs.eu"] {
        assert_eq!(server.try_topic(name, 1, &[]).await, Err(RDKafkaErrorCode::InvalidTopic), "{name}");
    }
    for name in ["_INBOX", "jobs"] {
        let made = server.try_topic(name, 1, &[("nats.bind", "false")]).await;
        // `jobs` and `JOBS` are two names.
        assert_eq!(made, Ok(()), "{name}");
    }
    assert_eq!(server.try_topic("JOBS", 1, &[]).await, Err(RDKafkaErrorCode::TopicAlreadyExists));
    // Inboxes work as ever.
    assert!(nats.client().request("$JS.API.INFO", "".into()).await.is_ok());
    // Streams over a topic's subjects, of a topic's name, of a name that no topic can have.
    for (name, subject, code) in [
        ("SHADOW", "orders", 10065),
        ("SHADOW", "orders.eu.>", 10065),
        ("SHADOW", "orders.*.x", 10065),
        ("orders", "other", 10058),
        ("größe", "other", 10052),
        ("a=1", "other", 10052),
    ] {
        let body = format!(r#"{{"name":"{name}","subjects":["{subject}"]}}"#);
        let (answer, found) = api_error(&nats, &format!("STREAM.CREATE.{name}"), &body).await.unwrap();
        assert_eq!(found, code, "{name} {subject}: {answer}");
    }
    // A stream made through NATS is one partition for ever, and a topic's rules are changed where it was made.
    let more = server.admin().create_partitions(&[NewPartitions::new("JOBS", 2)], &AdminOptions::new()).await;
    assert_eq!(more.unwrap().pop().unwrap().unwrap_err().1, RDKafkaErrorCode::InvalidPartitions);
    let body = r#"{"name":"orders","subjects":[],"max_msgs":1}"#;
    let (answer, code) = api_error(&nats, "STREAM.UPDATE.orders", body).await.unwrap();
    assert!(code == 10052 && answer.contains("Kafka"), "{answer}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_typo_made_takes_no_subjects() {
    let dir = TempDir::new().unwrap();
    let server = Server::with(dir.path(), &["topics.auto_create=true"]);
    let nats = server.nats().await;
    let (client, producer) = (nats.client(), server.producer());
    let mut heard = client.subscribe("greetings.>").await.unwrap();
    client.flush().await.unwrap();
    put(&producer, "greetings", "a", "from kafka").await;
    client.publish("greetings.b", "core".into()).await.unwrap();
    let message = tokio::time::timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
    assert_eq!(&message.payload[..], b"core");
    assert_eq!(names(&nats).await, ["greetings"]);
    assert_eq!(read(&nats, "greetings").await.len(), 1, "what NATS clients say there isn't stored");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_beyond_the_one_node_are_refused_by_nats_and_accepted_by_kafka() {
    use rdkafka::admin::{NewTopic, TopicReplication};
    let (_dir, server) = start();
    let nats = server.nats().await;
    let body = r#"{"name":"R3","subjects":["r3"],"num_replicas":3}"#;
    assert_eq!(api_error(&nats, "STREAM.CREATE.R3", body).await.unwrap().1, 10074);
    for factor in [3, -1] {
        let topic = format!("factor{factor}").replace('-', "minus");
        let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(factor));
        let made = server.admin().create_topics([&new], &AdminOptions::new()).await.unwrap();
        made.into_iter().next().unwrap().unwrap();
        assert_eq!(nats.get_stream(&topic).await.unwrap().cached_info().config.num_replicas, 1);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_age_and_size_are_kept_exactly_and_kafka_is_shown_them() {
    use rdkafka::admin::ResourceSpecifier;
    let (_dir, server) = start();
    let (nats, producer) = (server.nats().await, server.producer());
    let age = Duration::from_secs(1);
    make_stream(&nats, "SHORT", "short", |config| {
        config.max_age = age;
        config.max_bytes = 10_000;
        config.duplicate_window = age;
    })
    .await;
    // Its own time is old; what counts is when it came.
    let sent = Sent { key: Some(b"short"), value: Some(b"x"), timestamp: Some(1), ..Sent::default() };
    produce(&producer, "SHORT", sent).await.unwrap();
    assert_eq!(read(&nats, "SHORT").await.len(), 1);
    let described = server
        .admin()
        .describe_configs(&[ResourceSpecifier::Topic("SHORT")], &AdminOptions::new())
        .await
        .unwrap()
        .pop()
        .unwrap()
        .unwrap();
    let value = |name: &str| described.get(name).unwrap().value.clone().unwrap();
    assert_eq!((value("retention.ms"), value("retention.bytes")), ("1000".to_owned(), "10000".to_owned()));
    soon(async || nats.get_stream("SHORT").await.unwrap().cached_info().state.messages == 0).await;
    soon(async || server.consume("SHORT", 0).is_empty() && server.watermarks("SHORT", 0) == (1, 1)).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_a_topic_whose_keys_are_its_subjects() {
    use async_nats::jetstream::kv;
    let (_dir, server) = start();
    let (nats, producer) = (server.nats().await, server.producer());
    let config = kv::Config { bucket: "settings".to_owned(), history: 2, ..kv::Config::default() };
    let bucket = nats.create_key_value(config).await.unwrap();
    bucket.put("colour", "red".into()).await.unwrap();
    bucket.put("size", "9".into()).await.unwrap();
    put(&producer, "KV_settings", "$KV.settings.colour", "blue").await;
    assert_eq!(bucket.get("colour").await.unwrap().unwrap(), "blue");
    assert!(bucket.update("colour", "green".into(), 1).await.is_err(), "Kafka's was the last");
    bucket.update("colour", "green".into(), 3).await.unwrap();
    bucket.delete("size").await.unwrap();
    let seen = || {
        let records = server.consume("KV_settings", 0).into_iter();
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
        // The conditions of an update are headers of its message, too.
        let three = |mut record: Record| {
            record.headers.retain(|(name, _)| name == "KV-Operation");
            (text(record.key), text(record.value), record.headers)
        };
        records.map(three).collect::<Vec<_>>()
    };
    let own = |key: &str, value: &str| (format!("$KV.settings.{key}"), value.to_owned(), Vec::new());
    let mut deleted = own("size", "");
    deleted.2 = vec![("KV-Operation".to_owned(), Some(b"DEL".to_vec()))];
    // The history is two deep: `red` goes.
    let expected = [own("size", "9"), own("colour", "blue"), own("colour", "green"), deleted];
    soon(async || seen() == expected).await;
    server.stop();
}
