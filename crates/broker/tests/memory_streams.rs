//! Streams with memory storage: acknowledged at once, gone after a restart but for their configuration, their consumers
//! and the sequences that were given; limits, deletes and both doors as with any other stream.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::door::{Door, Told, request};
use common::*;
use duolog_broker::consumers::{Ack, AckKind, AckPolicy, Action, ConsumerConfig, Created, ReplyTo};
use duolog_broker::streams::{
    CreateStreamError, GetQuery, HeaderRef, PubAck, Publish, PublishError, Purge, RetentionPolicy,
    StorageType, Stream, StreamConfig, UpdateStreamError,
};
use duolog_broker::{AppendError, Broker, BrokerConfig, LogConfig, Lsn};
use duolog_record::BatchBuilder;
use duolog_testkit::SimEnv;
use duolog_types::{Offset, Sequence};

fn config(name: &str) -> StreamConfig {
    StreamConfig {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        storage: StorageType::Memory,
        ..StreamConfig::default()
    }
}

fn make(broker: &Broker, config: StreamConfig) -> Arc<Stream> {
    let stream = broker.streams().create(config, false).unwrap().stream;
    settle(broker);
    stream
}

fn publish(broker: &Broker, stream: &Stream, subject: &str, id: Option<&str>) -> PubAck {
    let headers: Vec<HeaderRef<'_>> =
        id.iter().map(|id| (&b"Nats-Msg-Id"[..], Some(id.as_bytes()))).collect();
    stream.publish(Publish { subject, headers: &headers, payload: b"body", arrival: broker.now() }).unwrap()
}

fn body(stream: &Stream, sequence: u64) -> Option<String> {
    let message = wait(stream.get(GetQuery::Sequence(Sequence(sequence)))).ok()?;
    Some(String::from_utf8_lossy(&message.payload).into_owned())
}

fn consumer(broker: &Broker, stream: &Arc<Stream>) -> Created {
    let config = ConsumerConfig {
        durable_name: "durable".into(),
        ack_policy: AckPolicy::Explicit,
        ..ConsumerConfig::default()
    };
    let of_stream = broker.consumers_of(stream);
    let created = broker.consumers().create(&of_stream, config, Action::CreateOrUpdate, false).unwrap();
    settle(broker);
    created
}

fn pull(broker: &Broker, door: &Door, created: &Created) -> Vec<(u64, u64)> {
    broker.consumers().pull(&created.consumer, request(100));
    wait(broker.consumers().settle());
    settle(broker);
    let told = door.leaving(broker.durable_lsn()).into_iter();
    let deliveries = told.filter_map(|told| match told {
        Told::Delivery { sequence, number, .. } => Some((sequence, number)),
        Told::Confirmed { .. } => None,
    });
    deliveries.collect()
}

#[test]
fn messages_are_acknowledged_at_once_and_gone_after_a_restart_their_sequences_with_them() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let stream = make(&broker, config("m"));
    let entries = broker.stats().log.entries;
    for sequence in 1..=5 {
        let ack = publish(&broker, &stream, "m.a", Some(&format!("id-{sequence}")));
        assert_eq!((ack.sequence, ack.duplicate), (Sequence(sequence), false));
        assert!(ack.lsn <= broker.durable_lsn(), "nothing to wait for");
        assert_eq!(body(&stream, sequence).as_deref(), Some("body"));
    }
    assert!(publish(&broker, &stream, "m.a", Some("id-2")).duplicate);
    let state = stream.state();
    // Subject, headers, payload, sequence and time.
    let header_block = "NATS/1.0\r\nNats-Msg-Id: id-1\r\n\r\n".len() as u64;
    assert_eq!((state.messages, state.bytes), (5, 5 * (3 + header_block + 4 + 16)));
    settle(&broker);
    broker.checkpoint().unwrap();
    assert_eq!(broker.stats().log.entries, entries, "nothing of it is written");

    let (_sim, broker) = after_power_cut(&sim.disk);
    let stream = broker.streams().get("m").unwrap();
    assert_eq!((stream.config().storage, &stream.config().subjects[0][..]), (StorageType::Memory, "m.>"));
    let state = stream.state();
    assert_eq!((state.messages, state.bytes, state.num_subjects), (0, 0, 0));
    assert!(state.last_sequence >= Sequence(5) && state.first_sequence == state.last_sequence.next());
    assert_eq!(
        stream.partition().log_start(),
        stream.partition().high_watermark(),
        "for Kafka's readers too"
    );
    let ack = publish(&broker, &stream, "m.a", Some("id-2"));
    assert_eq!(
        (ack.sequence, ack.duplicate),
        (state.last_sequence.next(), false),
        "ids went with the messages"
    );
}

#[test]
fn a_durable_consumer_goes_on_behind_what_was_lost() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let door = Arc::new(Door::default());
    broker.consumers().set_sink(door.clone());
    let stream = make(&broker, config("m"));
    let created = consumer(&broker, &stream);
    (0..4).for_each(|_| _ = publish(&broker, &stream, "m.a", None));
    assert_eq!(pull(&broker, &door, &created), [(1, 1), (2, 2), (3, 3), (4, 4)]);

    let (_sim, broker) = after_power_cut(&sim.disk);
    let door = Arc::new(Door::default());
    broker.consumers().set_sink(door.clone());
    let stream = broker.streams().get("m").unwrap();
    let created = consumer(&broker, &stream);
    assert!(!created.did_create);
    let (info, _) = broker.consumers().info(&created.consumer).unwrap();
    assert_eq!((info.ack_pending, info.pending), (0, 0), "what it had in flight is gone");
    let sequence = publish(&broker, &stream, "m.a", None).sequence.0;
    let delivered = pull(&broker, &door, &created);
    assert_eq!((delivered.len(), delivered[0].0), (1, sequence));
    assert!(delivered[0].1 > 4, "and no number is given twice: {delivered:?}");
}

#[test]
fn limits_purges_and_acknowledged_jobs_give_their_memory_back() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let door = Arc::new(Door::default());
    broker.consumers().set_sink(door.clone());
    let memory = || broker.stats().log.memory_bytes;
    let limited =
        StreamConfig { max_msgs: Some(3), max_age: Some(Duration::from_secs(9)), ..config("limited") };
    let stream = make(&broker, limited);
    let one = {
        publish(&broker, &stream, "limited.a", None);
        memory()
    };
    (0..9).for_each(|_| _ = publish(&broker, &stream, "limited.a", None));
    assert_eq!((stream.state().messages, memory()), (3, 3 * one));
    stream.delete_message(Sequence(9)).unwrap();
    assert_eq!((body(&stream, 9), memory()), (None, 2 * one));
    sim.clock.advance(Duration::from_secs(10));
    broker.expire_messages();
    assert_eq!((stream.state().messages, memory()), (0, 0));
    (0..3).for_each(|_| _ = publish(&broker, &stream, "limited.b", None));
    stream.purge(&Purge { keep: 1, ..Purge::default() }).unwrap();
    assert_eq!((stream.state().messages, memory()), (1, one));
    stream.purge(&Purge { below: Sequence(50_000), ..Purge::default() }).unwrap();
    let ack = publish(&broker, &stream, "limited.a", None);
    assert_eq!(ack.sequence, Sequence(50_000), "behind a purge that went beyond the end");
    settle(&broker);
    assert_eq!(body(&stream, 50_000).as_deref(), Some("body"));
    stream.purge(&Purge::default()).unwrap();

    let jobs = make(&broker, StreamConfig { retention: RetentionPolicy::WorkQueue, ..config("jobs") });
    let created = consumer(&broker, &jobs);
    (0..3).for_each(|_| _ = publish(&broker, &jobs, "jobs.a", None));
    assert_eq!(pull(&broker, &door, &created).len(), 3);
    for sequence in [2, 1] {
        let reply = Some(ReplyTo("sure".into()));
        let ack = Ack { sequence: Sequence(sequence), number: sequence, kind: AckKind::Ack, reply };
        broker.consumers().ack(&created.consumer, ack);
    }
    settle(&broker);
    assert_eq!(door.leaving(broker.durable_lsn()).len(), 2, "confirmed");
    assert_eq!((jobs.state().messages, jobs.state().first_sequence), (1, Sequence(3)));
    broker.streams().delete("jobs").unwrap();
    settle(&broker);
    assert_eq!(memory(), 0);
}

#[test]
fn memory_is_bounded() {
    let sim = SimEnv::new(1);
    let log = LogConfig { memory_bytes: 8 << 10, ..log_config("/data") };
    let broker = Broker::open(sim.env(), BrokerConfig::default(), log).unwrap();
    let reserving = |name: &str, bytes| StreamConfig { max_bytes: Some(bytes), ..config(name) };
    let stream = make(&broker, reserving("m", 6 << 10));
    let refused = broker.streams().create(reserving("n", 3 << 10), false).unwrap_err();
    assert!(
        matches!(refused, CreateStreamError::MemoryExceeded { asked_bytes: 3072, free_bytes: 2048 }),
        "{refused}"
    );
    let refused = broker.streams().update(reserving("m", 9 << 10), false).unwrap_err();
    assert!(matches!(refused, UpdateStreamError::MemoryExceeded { .. }), "{refused}");
    broker.streams().update(reserving("m", 8 << 10), false).unwrap();

    let other = make(&broker, config("other"));
    let message = |arrival| Publish { subject: "other.a", headers: &[], payload: &[7; 1000], arrival };
    let refused = (0..9).find_map(|_| other.publish(message(broker.now())).err()).unwrap();
    assert!(matches!(refused, PublishError::Log(AppendError::MemoryFull { .. })), "{refused}");
    let state = other.state();
    assert_eq!(state.messages, state.last_sequence.0, "what was refused left no trace");
    other.purge(&Purge { below: Sequence(2), ..Purge::default() }).unwrap();
    other.publish(message(broker.now())).unwrap();
    drop(stream);
}

#[test]
fn kafka_reads_and_writes_it_like_others() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let stream = make(&broker, config("m"));
    publish(&broker, &stream, "m.a", None);
    let mut builder = BatchBuilder::new(Offset::ZERO);
    let now = broker.now().to_ms();
    for (key, id, value) in [("m.b", Some("one"), "1"), ("m.b", Some("one"), "again"), ("m.c", None, "2")] {
        let header: [HeaderRef<'_>; 1] = [(b"Nats-Msg-Id", id.map(str::as_bytes))];
        let headers = if id.is_some() { &header[..] } else { &[] };
        builder.push_with_headers(now, Some(key.as_bytes()), Some(value.as_bytes()), headers).unwrap();
    }
    let produced = produce(&broker, stream.partition(), builder.build().unwrap()).unwrap();
    assert_eq!((produced.base_offset, produced.lsn), (Offset(1), Lsn::ZERO));
    let read = read_all(stream.partition());
    assert_eq!(read, [(0, "body".to_owned()), (1, "1".to_owned()), (3, "2".to_owned())]);
    assert_eq!((body(&stream, 2).as_deref(), body(&stream, 3)), (Some("1"), None));
    // A batch of which all is known already.
    let memory = broker.stats().log.memory_bytes;
    let mut builder = BatchBuilder::new(Offset::ZERO);
    let header: [HeaderRef<'_>; 1] = [(b"Nats-Msg-Id", Some(b"one"))];
    builder.push_with_headers(now, Some(b"m.b"), Some(b"late"), &header).unwrap();
    produce(&broker, stream.partition(), builder.build().unwrap()).unwrap();
    assert_eq!((read_all(stream.partition()).len(), broker.stats().log.memory_bytes), (3, memory));
    stream.delete_message(Sequence(2)).unwrap();
    assert_eq!(read_all(stream.partition()).len(), 2);
    stream.partition().delete_records(Some(Offset(3))).unwrap();
    let state = stream.state();
    assert_eq!((state.first_sequence, state.messages, state.last_sequence), (Sequence(4), 1, Sequence(5)));
    stream.purge(&Purge::default()).unwrap();
    let fetched = read_from(stream.partition(), Offset(5)).unwrap();
    assert_eq!((fetched, stream.partition().log_start()), (vec![], Offset(5)));
}
