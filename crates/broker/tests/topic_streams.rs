//! Partitions of topics that were made through Kafka, as NATS clients use them; on a small log that the test drives.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::*;
use duolog_broker::Broker;
use duolog_broker::catalog::{
    AlterConfigError, AlterOp, ConfigChange, CreateTopicError, NewPartitions, NewTopic, Topic, TopicWatcher,
};
use duolog_broker::streams::{GetQuery, HeaderRef, Origin, PubAck, Publish, PublishError, Purge, Stream};
use duolog_testkit::SimEnv;
use duolog_types::{Offset, Sequence};

struct Fixture {
    sim: SimEnv,
    broker: Arc<Broker>,
}

fn fixture() -> Fixture {
    let sim = SimEnv::new(1);
    sim.clock.advance(Duration::from_secs(1_700_000_000));
    let broker = open(sim.env()).unwrap();
    settle(&broker);
    Fixture { sim, broker }
}

impl Fixture {
    fn make(&self, name: &str, partitions: i32) -> Arc<Topic> {
        let new = NewTopic { name: name.to_owned(), partitions: Some(partitions), ..NewTopic::default() };
        let created = self.broker.catalog().create(&new).unwrap();
        settle(&self.broker);
        created.topic.unwrap()
    }

    fn stream(&self) -> Arc<Stream> {
        self.broker.streams().get("orders").unwrap()
    }

    fn publish(&self, subject: &str, headers: &[(&str, &str)]) -> Result<PubAck, PublishError> {
        let headers: Vec<HeaderRef<'_>> =
            headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))).collect();
        let message = Publish { subject, headers: &headers, payload: b"hello", arrival: self.broker.now() };
        self.stream().publish(message)
    }

    /// As a Kafka client does.
    fn produce(&self, key: &str, id: &str) -> i64 {
        let mut builder = duolog_record::BatchBuilder::new(Offset::ZERO);
        let header: &[HeaderRef<'_>] = &[(b"Nats-Msg-Id", Some(id.as_bytes()))];
        let headers = if id.is_empty() { &[] } else { header };
        // Its own clock: a batch of ours has our arrival.
        let timestamp = duolog_types::TimestampMs(self.broker.now().to_ms().0 - 5);
        builder.push_with_headers(timestamp, Some(key.as_bytes()), Some(b"kafka"), headers).unwrap();
        let stream = self.stream();
        produce(&self.broker, stream.partition(), builder.build().unwrap()).unwrap().base_offset.0
    }

    fn restart(&mut self, clean: bool) {
        if clean {
            self.broker.close().unwrap();
        }
        let now = self.broker.now();
        let disk = self.sim.disk.clone();
        let (sim, broker) = after_power_cut(&disk);
        let ahead = now.0 - sim.env().clock.wall().0;
        sim.clock.advance(Duration::from_nanos(u64::try_from(ahead).unwrap_or(0)));
        (self.sim, self.broker) = (sim, broker);
    }
}

#[test]
fn a_topics_window_of_ids_survives_restarts_and_checkpoints() {
    for clean in [true, false] {
        let mut f = fixture();
        f.make("orders", 1);
        assert_eq!(f.stream().origin(), Origin::Kafka);
        assert_eq!(f.produce("a", "from-kafka"), 0);
        let first = f.publish("orders.a", &[("Nats-Msg-Id", "job-1")]).unwrap();
        assert_eq!((first.sequence, first.duplicate), (Sequence(2), false));
        settle(&f.broker);
        for round in 0..5 {
            match round {
                1 | 4 => f.restart(clean),
                // What was recovered from the log must be in the next snapshot, whether anybody asked for it or not.
                2 => f.broker.checkpoint().unwrap(),
                3 => {
                    f.restart(clean);
                    f.broker.checkpoint().unwrap();
                }
                _ => {}
            }
            for known in 1..round + 2 {
                let again = f.publish("orders.a", &[("Nats-Msg-Id", &format!("job-{known}"))]).unwrap();
                let told = (again.sequence, again.duplicate);
                assert_eq!(told, (Sequence(known + 1), true), "round {round}, clean: {clean}");
            }
            // Ids of what Kafka clients produced count in streams made through NATS only.
            let id = format!("job-{}", round + 2);
            let new = f.publish("orders.b", &[("Nats-Msg-Id", &id)]).unwrap();
            assert_eq!((new.sequence, new.duplicate), (Sequence(round + 3), false), "{id}");
            settle(&f.broker);
        }
        assert!(!f.publish("orders.a", &[("Nats-Msg-Id", "from-kafka")]).unwrap().duplicate);
        f.sim.clock.advance(Duration::from_secs(120));
        assert!(!f.publish("orders.a", &[("Nats-Msg-Id", "job-1")]).unwrap().duplicate);
    }
}

#[test]
fn conditions_see_what_is_not_durable_yet_through_either_door() {
    let f = fixture();
    f.make("orders", 1);
    let expect = |sequence: &str| {
        f.publish("orders.a", &[("Nats-Expected-Last-Subject-Sequence", sequence)]).map(|ack| ack.sequence.0)
    };
    let last = |sequence: &str| {
        f.publish("orders.a", &[("Nats-Expected-Last-Sequence", sequence)]).map(|ack| ack.sequence.0)
    };
    assert_eq!(f.produce("a", ""), 0);
    // It isn't durable, and nobody noted it: only now does somebody ask.
    assert!(matches!(expect("1"), Err(PublishError::NotIndexed)));
    settle(&f.broker);
    assert_eq!(expect("1").unwrap(), 2);
    assert!(matches!(expect("1"), Err(PublishError::WrongLastSequence { last: Sequence(2) })));
    assert_eq!(f.produce("b", ""), 2);
    assert_eq!(expect("2").unwrap(), 4);
    assert_eq!(f.produce("a", ""), 4);
    assert!(matches!(expect("4"), Err(PublishError::WrongLastSequence { last: Sequence(5) })));
    assert!(matches!(last("4"), Err(PublishError::WrongLastSequence { last: Sequence(5) })));
    assert_eq!(last("5").unwrap(), 6);
    settle(&f.broker);
    assert_eq!(f.produce("a", ""), 6);
    assert_eq!(f.publish("orders.b", &[]).unwrap().sequence, Sequence(8));
    settle(&f.broker);
    assert_eq!(expect("7").unwrap(), 9);
    settle(&f.broker);
    let state = f.stream().state();
    assert_eq!((state.messages, state.last_sequence, state.num_subjects), (9, Sequence(9), 2));
}

#[test]
fn deletes_through_nats_are_gaps_for_kafka_and_deleted_records_are_gone_for_nats() {
    let mut f = fixture();
    f.make("orders", 1);
    for number in 0..6 {
        if number % 2 == 0 {
            assert_eq!(f.produce("a", ""), number)
        } else {
            f.publish("orders.b", &[]).map(drop).unwrap()
        }
    }
    settle(&f.broker);
    f.stream().delete_message(Sequence(3)).unwrap();
    settle(&f.broker);
    f.stream().partition().delete_records(Some(Offset(1))).unwrap();
    settle(&f.broker);
    for _ in 0..2 {
        let stream = f.stream();
        let state = stream.state();
        assert_eq!((state.messages, state.first_sequence, state.num_deleted), (4, Sequence(2), 1));
        assert_eq!(stream.deleted(10), [Sequence(3)]);
        assert!(wait(stream.get(GetQuery::Sequence(Sequence(3)))).is_err());
        let values = read_all(stream.partition());
        let offsets: Vec<i64> = values.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [1, 3, 4, 5]);
        f.restart(false);
    }
    let purge = Purge { subject: Some("orders.b".to_owned()), ..Purge::default() };
    assert_eq!(f.stream().purge(&purge).unwrap().messages, 3);
}

#[test]
fn names_that_no_subject_can_begin_with_are_refused_with_the_reason() {
    let f = fixture();
    for name in ["_INBOX", "_INBOX.x", "_SYS", "a..b", ".a", "a."] {
        let new = NewTopic { name: name.to_owned(), ..NewTopic::default() };
        let error = f.broker.catalog().create(&new).unwrap_err();
        assert!(matches!(&error, CreateTopicError::NoSubjects { name: told } if told == name), "{error:?}");
        let configs = vec![("nats.bind".to_owned(), Some("false".to_owned()))];
        f.broker.catalog().create(&NewTopic { configs, ..new }).unwrap();
        let bind = vec![("nats.bind".to_owned(), AlterOp::Set(Some("true".to_owned())))];
        let altered = f.broker.catalog().alter_config(name, &ConfigChange::Incremental(bind), false);
        assert!(matches!(altered, Err(AlterConfigError::NoSubjects)), "{altered:?}");
    }
}

#[derive(Default)]
struct Counting {
    changed: AtomicUsize,
    deleted: AtomicUsize,
}

impl TopicWatcher for Counting {
    fn changed(&self, _: &Arc<Topic>) {
        self.changed.fetch_add(1, Ordering::Relaxed);
    }

    fn deleted(&self, _: &Topic) {
        self.deleted.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_watches_the_topics_is_told_of_every_change() {
    let f = fixture();
    let counting = Arc::new(Counting::default());
    let catalog = f.broker.catalog();
    catalog.set_watcher(Some(counting.clone()));
    let topic = f.make("orders", 1);
    let streams = f.broker.streams();
    assert_eq!(streams.subjects_of(&topic), ["orders", "orders.>"]);
    let more = NewPartitions { topic: "orders".to_owned(), total: 3, assignments: None };
    catalog.create_partitions(&more, false).unwrap();
    let unbind = vec![("nats.bind".to_owned(), AlterOp::Set(Some("false".to_owned())))];
    catalog.alter_config("orders", &ConfigChange::Incremental(unbind), false).unwrap();
    assert!(streams.subjects_of(&topic).is_empty() && streams.match_subject("orders.a").is_none());
    catalog.delete(topic.id()).unwrap();
    let told = (counting.changed.load(Ordering::Relaxed), counting.deleted.load(Ordering::Relaxed));
    assert_eq!(told, (3, 1));
}

#[test]
fn a_record_without_a_key_into_a_stream_is_told_what_it_lacks() {
    use duolog_broker::partition::ProduceError;
    use duolog_broker::streams::StreamConfig;
    let f = fixture();
    let subjects = vec!["jobs.>".to_owned()];
    let config = StreamConfig { name: "JOBS".to_owned(), subjects, ..StreamConfig::default() };
    let stream = f.broker.streams().create(config, false).unwrap().stream;
    settle(&f.broker);
    let refused = produce(&f.broker, stream.partition(), batch_at(&["x"], f.broker.now().to_ms().0));
    let Err(ProduceError::Stream { errors }) = refused else { panic!("{refused:?}") };
    assert!(errors[0].problem.to_string().contains("has no key"), "{errors:?}");
}
