//! Streams: what JetStream promises of them, by name of the rule; on a small log that the test drives.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use duolog_broker::Broker;
use duolog_broker::catalog::{CreateTopicError, NewPartitions, NewTopic};
use duolog_broker::streams::{
    BatchQuery, CreateStreamError, DeleteMessageError, DiscardPolicy, GetError, GetQuery, HeaderRef,
    Interest, MultiQuery, PubAck, Publish, PublishError, Purge, PurgeError, RetentionPolicy, Stream,
    StreamConfig, UpdateStreamError,
};
use duolog_testkit::SimEnv;
use duolog_types::{Lsn, Sequence};

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

fn config(name: &str, subjects: &[&str]) -> StreamConfig {
    StreamConfig {
        name: name.to_owned(),
        subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
        ..StreamConfig::default()
    }
}

impl Fixture {
    fn make(&self, config: StreamConfig) -> Arc<Stream> {
        let created = self.broker.streams().create(config, false).unwrap();
        assert!(created.did_create);
        settle(&self.broker);
        created.stream
    }

    fn orders(&self, change: impl FnOnce(&mut StreamConfig)) -> Arc<Stream> {
        let mut config = config("ORDERS", &["orders.>"]);
        change(&mut config);
        self.make(config)
    }

    fn publish(
        &self,
        stream: &Stream,
        subject: &str,
        headers: &[(&str, &str)],
    ) -> Result<PubAck, PublishError> {
        let headers: Vec<HeaderRef<'_>> =
            headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))).collect();
        let message = Publish { subject, headers: &headers, payload: b"hello", arrival: self.broker.now() };
        stream.publish(message)
    }

    fn put(&self, stream: &Stream, subject: &str) -> u64 {
        let ack = self.publish(stream, subject, &[]).unwrap();
        settle(&self.broker);
        assert!(!ack.duplicate && ack.lsn > Lsn::ZERO);
        ack.sequence.0
    }

    fn restart(&mut self, clean: bool) -> Arc<Stream> {
        if clean {
            self.broker.close().unwrap();
        }
        let now = self.broker.now();
        let disk = self.sim.disk.clone();
        let (sim, broker) = after_power_cut(&disk);
        let ahead = now.0 - sim.env().clock.wall().0;
        sim.clock.advance(Duration::from_nanos(u64::try_from(ahead).unwrap_or(0)));
        (self.sim, self.broker) = (sim, broker);
        self.broker.streams().get("ORDERS").unwrap()
    }
}

/// The sequences that are there, by what readers get.
fn there(stream: &Stream) -> Vec<u64> {
    let mut found = Vec::new();
    let mut from = Sequence(1);
    while let Ok(message) = wait(stream.get(GetQuery::NextBySubject { subject: ">", from })) {
        found.push(message.sequence.0);
        from = message.sequence.next();
    }
    found
}

#[test]
fn a_message_comes_back_as_it_went_in() {
    let f = fixture();
    let stream = f.orders(|_| {});
    let ack = f.publish(&stream, "orders.eu.1", &[("Trace", "a"), ("Trace", "b")]).unwrap();
    settle(&f.broker);
    assert_eq!((ack.sequence, ack.duplicate), (Sequence(1), false));
    let message = wait(stream.get(GetQuery::Sequence(Sequence(1)))).unwrap();
    assert_eq!((message.subject.as_str(), &message.payload[..]), ("orders.eu.1", &b"hello"[..]));
    let headers: Vec<_> = message.headers.iter().map(|(n, v)| (&n[..], v.as_deref().unwrap())).collect();
    assert_eq!(headers, [(&b"Trace"[..], &b"a"[..]), (b"Trace", b"b")]);
    assert_eq!(message.time, f.broker.now());
    let state = stream.state();
    // 22 + subject + 4 + header block + payload + 8.
    assert_eq!((state.messages, state.bytes), (1, 22 + 11 + 4 + (10 + 10 + 10 + 2) + 5 + 8));
    assert_eq!(
        (state.first_sequence, state.last_sequence, state.num_subjects),
        (Sequence(1), Sequence(1), 1)
    );
    assert_eq!(state.first_time, Some(message.time));
}

#[test]
fn a_fresh_stream_has_no_sequences_and_a_purged_one_goes_on() {
    let f = fixture();
    let stream = f.orders(|_| {});
    let state = stream.state();
    assert_eq!((state.first_sequence, state.last_sequence, state.messages), (Sequence(0), Sequence(0), 0));
    for _ in 0..3 {
        f.put(&stream, "orders.a");
    }
    let purged = stream.purge(&Purge::default()).unwrap();
    settle(&f.broker);
    assert_eq!(purged.messages, 3);
    let state = stream.state();
    assert_eq!((state.first_sequence, state.last_sequence, state.messages), (Sequence(4), Sequence(3), 0));
    assert_eq!((state.first_time, state.num_deleted, state.num_subjects), (None, 0, 0));
    assert_eq!(f.put(&stream, "orders.a"), 4);
}

#[test]
fn first_seq_is_the_first_sequence() {
    let mut f = fixture();
    let stream = f.orders(|config| config.first_seq = 1000);
    assert_eq!(stream.state().first_sequence, Sequence(1000));
    assert_eq!(stream.state().last_sequence, Sequence(999));
    assert_eq!(f.put(&stream, "orders.a"), 1000);
    let stream = f.restart(true);
    assert_eq!(there(&stream), [1000]);
}

#[test]
fn creating_twice_is_fine_with_the_same_configuration_only() {
    let f = fixture();
    f.orders(|_| {});
    let streams = f.broker.streams();
    assert!(!streams.create(config("ORDERS", &["orders.>"]), false).unwrap().did_create);
    let differs = streams.create(config("ORDERS", &["orders.*"]), false);
    assert!(matches!(differs, Err(CreateStreamError::NameInUse)));
    let overlaps = streams.create(config("OTHER", &["orders.eu"]), false);
    assert!(matches!(overlaps, Err(CreateStreamError::SubjectsOverlap { .. })));
    assert!(streams.match_subject("orders.x").is_some());
    assert!(streams.match_subject("orders").is_none());
    assert_eq!(streams.names(Some("orders.eu.*")).len(), 1);
    assert!(streams.names(Some("invoices.>")).is_empty());
    streams.delete("ORDERS").unwrap();
    assert!(streams.get("ORDERS").is_none() && streams.match_subject("orders.x").is_none());
    assert!(streams.create(config("OTHER", &["orders.eu"]), false).unwrap().did_create);
}

#[test]
fn expectations_are_checked_in_the_references_order() {
    let f = fixture();
    let stream = f.orders(|_| {});
    f.put(&stream, "orders.a");
    f.publish(&stream, "orders.b", &[("Nats-Msg-Id", "x")]).unwrap();
    let refused = |headers: &[(&str, &str)]| f.publish(&stream, "orders.a", headers).unwrap_err();
    assert!(matches!(
        refused(&[("Nats-Expected-Stream", "OTHER"), ("Nats-TTL", "1")]),
        PublishError::WrongStream
    ));
    assert!(matches!(refused(&[("Nats-TTL", "1")]), PublishError::TtlDisabled));
    let last = |error| match error {
        PublishError::WrongLastSequence { last } => last.0,
        other => panic!("{other}"),
    };
    assert_eq!(last(refused(&[("Nats-Expected-Last-Subject-Sequence", "0")])), 1);
    let elsewhere = [
        ("Nats-Expected-Last-Subject-Sequence", "1"),
        ("Nats-Expected-Last-Subject-Sequence-Subject", "orders.*"),
    ];
    assert_eq!(last(refused(&elsewhere)), 2);
    let alone = [("Nats-Expected-Last-Subject-Sequence-Subject", "orders.*")];
    assert!(matches!(refused(&alone), PublishError::ExpectedSubjectWithoutSequence));
    // A retry with an expected sequence is told of the sequence, not that it is a duplicate.
    assert_eq!(last(refused(&[("Nats-Expected-Last-Sequence", "1"), ("Nats-Msg-Id", "x")])), 2);
    assert!(matches!(refused(&[("Nats-Expected-Last-Msg-Id", "y")]),
        PublishError::WrongLastMsgId { last } if last == "x"));
    assert!(matches!(refused(&[("Nats-Rollup", "sub")]), PublishError::RollupNotPermitted));
    let batch = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), ("Nats-Expected-Stream", "OTHER")];
    assert!(matches!(refused(&batch), PublishError::AtomicDisabled));
    assert!(matches!(refused(&[("Nats-Incr", "1")]), PublishError::CounterDisabled));
    assert!(matches!(refused(&[("Nats-Incr", "x")]), PublishError::CounterInvalid));
    assert!(matches!(refused(&[("Nats-Schedule", "@every 1s")]), PublishError::SchedulesDisabled));
    let fine = [("Nats-Expected-Last-Sequence", "2"), ("Nats-Expected-Last-Msg-Id", "x")];
    assert_eq!(f.publish(&stream, "orders.a", &fine).unwrap().sequence, Sequence(3));
    assert_eq!(stream.state().messages, 3);
}

#[test]
fn a_message_id_is_known_within_its_window_over_restarts_and_acks() {
    for clean in [true, false] {
        let mut f = fixture();
        let mut stream = f.orders(|config| {
            config.retention = RetentionPolicy::WorkQueue;
            config.duplicate_window = Some(Duration::from_secs(10));
        });
        let first = f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "job-1")]).unwrap();
        f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "job-2")]).unwrap();
        settle(&f.broker);
        // Acknowledged: it is gone, and its id is known all the same.
        stream.remove(duolog_broker::Entry::new(), &[first.sequence]).unwrap();
        settle(&f.broker);
        for round in 0..3 {
            if round > 0 {
                stream = f.restart(clean);
            }
            for (id, sequence) in [("job-1", 1), ("job-2", 2)] {
                let again = f.publish(&stream, "orders.b", &[("Nats-Msg-Id", id)]).unwrap();
                assert!(again.duplicate, "{id} in round {round}, clean: {clean}");
                assert_eq!(again.sequence, Sequence(sequence));
            }
            assert_eq!(there(&stream), [2]);
        }
        f.sim.clock.advance(Duration::from_secs(10));
        assert!(!f.publish(&stream, "orders.b", &[("Nats-Msg-Id", "job-1")]).unwrap().duplicate);
    }
}

#[test]
fn a_duplicates_reply_waits_for_the_original() {
    let f = fixture();
    let stream = f.orders(|_| {});
    let first = f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "x")]).unwrap();
    let again = f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "x")]).unwrap();
    assert!(again.duplicate && again.lsn >= first.lsn && again.lsn > f.broker.durable_lsn());
    settle(&f.broker);
    let later = f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "x")]).unwrap();
    assert!(later.duplicate && later.lsn <= f.broker.durable_lsn());
}

#[test]
fn limits_are_exact_after_every_publish() {
    let mut f = fixture();
    let stream = f.orders(|config| {
        config.max_msgs = Some(5);
        config.max_msgs_per_subject = Some(2);
    });
    for n in 0..20 {
        f.put(&stream, &format!("orders.{}", n % 4));
        let state = stream.state();
        assert!(state.messages <= 5, "{state:?}");
        assert_eq!(state.last_sequence, Sequence(n + 1));
    }
    assert_eq!(there(&stream), [16, 17, 18, 19, 20]);
    for _ in 0..3 {
        f.put(&stream, "orders.0");
    }
    assert_eq!(there(&stream), [18, 19, 20, 22, 23]);
    let stream = f.restart(false);
    assert_eq!(there(&stream), [18, 19, 20, 22, 23]);
    f.broker.checkpoint().unwrap();
    f.restart(false);
    let stream = f.restart(true);
    assert_eq!(there(&stream), [18, 19, 20, 22, 23]);
    assert_eq!(stream.state().num_deleted, 1);
    assert_eq!(stream.deleted(10), [Sequence(21)]);
}

#[test]
fn max_bytes_counts_jetstreams_record_size() {
    let f = fixture();
    let one = 22 + 8 + 5 + 8;
    let stream = f.orders(|config| config.max_bytes = Some(3 * one));
    for _ in 0..5 {
        f.put(&stream, "orders.a");
    }
    assert_eq!((stream.state().messages, stream.state().bytes), (3, 3 * one));
}

#[test]
fn discard_new_refuses_but_for_what_replaces_its_subjects_oldest() {
    let f = fixture();
    let stream = f.orders(|config| {
        config.discard = DiscardPolicy::New;
        config.max_msgs = Some(2);
        config.max_msgs_per_subject = Some(1);
    });
    f.put(&stream, "orders.a");
    f.put(&stream, "orders.b");
    assert!(matches!(f.publish(&stream, "orders.c", &[]), Err(PublishError::MaxMessages)));
    assert_eq!(f.put(&stream, "orders.a"), 3);
    assert_eq!(there(&stream), [2, 3]);
    let mut per_subject = StreamConfig::clone(&stream.config());
    per_subject.discard_new_per_subject = true;
    per_subject.allow_rollup_hdrs = true;
    f.broker.streams().update(per_subject, false).unwrap();
    assert!(matches!(f.publish(&stream, "orders.a", &[]), Err(PublishError::MaxMessagesPerSubject)));
    assert_eq!(f.publish(&stream, "orders.a", &[("Nats-Rollup", "sub")]).unwrap().sequence, Sequence(4));
    settle(&f.broker);
    assert_eq!(there(&stream), [2, 4]);
}

#[test]
fn lower_limits_take_effect_at_once() {
    let f = fixture();
    let stream = f.orders(|_| {});
    for _ in 0..10 {
        f.put(&stream, "orders.a");
    }
    let lower = StreamConfig { max_msgs: Some(3), ..StreamConfig::clone(&stream.config()) };
    f.broker.streams().update(lower, false).unwrap();
    assert_eq!(stream.state().messages, 3);
    settle(&f.broker);
    assert_eq!(there(&stream), [8, 9, 10]);
    assert_eq!(read_all(stream.partition()).len(), 3, "Kafka's readers see the same");
    let missing = f.broker.streams().update(config("NONE", &[]), false);
    assert!(matches!(missing, Err(UpdateStreamError::NotFound)));
}

#[test]
fn rollups_purge_what_is_older() {
    let mut f = fixture();
    let stream = f.orders(|config| config.allow_rollup_hdrs = true);
    for n in 0..6 {
        f.put(&stream, &format!("orders.{}", n % 2));
    }
    f.publish(&stream, "orders.0", &[("Nats-Rollup", "sub")]).unwrap();
    settle(&f.broker);
    assert_eq!(there(&stream), [2, 4, 6, 7]);
    assert!(matches!(
        f.publish(&stream, "orders.0", &[("Nats-Rollup", "some")]),
        Err(PublishError::RollupInvalid { value }) if value == "some"
    ));
    f.publish(&stream, "orders.1", &[("Nats-Rollup", "all")]).unwrap();
    settle(&f.broker);
    assert_eq!(there(&stream), [8]);
    let stream = f.restart(false);
    assert_eq!(there(&stream), [8]);
}

#[test]
fn purges_take_a_subject_a_sequence_or_leave_some() {
    let f = fixture();
    let stream = f.orders(|_| {});
    for n in 0..12 {
        f.put(&stream, &format!("orders.{}", n % 3));
    }
    let purge = |purge: Purge| {
        let purged = stream.purge(&purge).unwrap().messages;
        settle(&f.broker);
        (purged, there(&stream))
    };
    let subject = Some("orders.1".to_owned());
    let (purged, left) = purge(Purge { subject: subject.clone(), keep: 3, ..Purge::default() });
    assert_eq!((purged, left), (1, vec![1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
    let (purged, left) = purge(Purge { subject, below: Sequence(9), ..Purge::default() });
    assert_eq!((purged, left), (2, vec![1, 3, 4, 6, 7, 9, 10, 11, 12]));
    assert_eq!(purge(Purge { below: Sequence(1), ..Purge::default() }).0, 0);
    assert_eq!(purge(Purge { below: Sequence(7), ..Purge::default() }).1, [7, 9, 10, 11, 12]);
    assert_eq!(purge(Purge { keep: 2, ..Purge::default() }).1, [11, 12]);
    assert_eq!(purge(Purge { below: Sequence(20), ..Purge::default() }), (2, vec![]));
    assert_eq!((stream.state().first_sequence, stream.state().last_sequence), (Sequence(20), Sequence(19)));
    assert_eq!(f.put(&stream, "orders.1"), 20);
    let both = Purge { below: Sequence(3), keep: 1, ..Purge::default() };
    assert!(matches!(stream.purge(&both), Err(PurgeError::SequenceAndKeep)));
}

#[test]
fn deny_flags_and_sealing_are_obeyed() {
    let f = fixture();
    let stream = f.orders(|config| (config.deny_delete, config.deny_purge) = (true, true));
    f.put(&stream, "orders.a");
    assert!(matches!(stream.delete_message(Sequence(1)), Err(DeleteMessageError::NotPermitted)));
    assert!(matches!(stream.purge(&Purge::default()), Err(PurgeError::NotPermitted)));
    let sealed = StreamConfig { sealed: true, ..StreamConfig::clone(&stream.config()) };
    f.broker.streams().update(sealed, false).unwrap();
    assert!(matches!(f.publish(&stream, "orders.a", &[]), Err(PublishError::Sealed)));
    assert!(matches!(stream.delete_message(Sequence(1)), Err(DeleteMessageError::Sealed)));
    assert!(matches!(stream.purge(&Purge::default()), Err(PurgeError::Sealed)));
}

#[test]
fn deleting_the_first_moves_first_seq_and_an_inner_one_counts() {
    let f = fixture();
    let stream = f.orders(|_| {});
    for _ in 0..5 {
        f.put(&stream, "orders.a");
    }
    stream.delete_message(Sequence(3)).unwrap();
    assert_eq!((stream.state().num_deleted, stream.state().first_sequence), (1, Sequence(1)));
    stream.delete_message(Sequence(1)).unwrap();
    stream.delete_message(Sequence(2)).unwrap();
    settle(&f.broker);
    assert_eq!((stream.state().num_deleted, stream.state().first_sequence), (0, Sequence(4)));
    assert_eq!(stream.partition().log_start().0, 3, "logStartOffset = first_seq − 1");
    assert!(matches!(stream.delete_message(Sequence(1)), Err(DeleteMessageError::NotFound { .. })));
    assert!(matches!(wait(stream.get(GetQuery::Sequence(Sequence(3)))), Err(GetError::NotFound)));
}

#[test]
fn old_messages_expire_when_their_time_comes() {
    let mut f = fixture();
    let stream = f.orders(|config| {
        config.max_age = Some(Duration::from_secs(10));
        config.allow_msg_ttl = true;
    });
    f.put(&stream, "orders.a");
    f.publish(&stream, "orders.keep", &[("Nats-TTL", "never")]).unwrap();
    f.publish(&stream, "orders.short", &[("Nats-TTL", "2")]).unwrap();
    for invalid in ["x", "0"] {
        let refused = f.publish(&stream, "orders.a", &[("Nats-TTL", invalid)]);
        assert!(matches!(refused, Err(PublishError::TtlInvalid)), "{invalid}");
    }
    settle(&f.broker);
    f.sim.clock.advance(Duration::from_secs(3));
    f.put(&stream, "orders.b");
    f.broker.expire_messages();
    settle(&f.broker);
    assert_eq!(there(&stream), [1, 2, 4]);
    f.sim.clock.advance(Duration::from_secs(7));
    f.broker.expire_messages();
    settle(&f.broker);
    assert_eq!(there(&stream), [2, 4]);
    let stream = f.restart(false);
    f.sim.clock.advance(Duration::from_secs(60));
    f.broker.expire_messages();
    settle(&f.broker);
    assert_eq!(there(&stream), [2]);
}

#[test]
fn a_subjects_last_message_leaves_a_marker() {
    let f = fixture();
    let stream = f.orders(|config| {
        config.max_age = Some(Duration::from_secs(10));
        config.subject_delete_marker_ttl = Some(Duration::from_secs(90));
    });
    f.put(&stream, "orders.a");
    f.put(&stream, "orders.a");
    f.sim.clock.advance(Duration::from_secs(10));
    f.broker.expire_messages();
    settle(&f.broker);
    assert_eq!(there(&stream), [3]);
    let marker = wait(stream.get(GetQuery::LastBySubject("orders.a"))).unwrap();
    let headers: Vec<_> = marker.headers.iter().map(|(n, v)| (&n[..], v.as_deref().unwrap())).collect();
    let expected: [(&[u8], &[u8]); 3] =
        [(b"Nats-Marker-Reason", b"MaxAge"), (b"Nats-TTL", b"1m30s"), (b"Nats-Rollup", b"sub")];
    assert_eq!(headers, expected);
    // The marker goes by the stream's age, and leaves none.
    f.sim.clock.advance(Duration::from_secs(10));
    f.broker.expire_messages();
    settle(&f.broker);
    assert_eq!((there(&stream), stream.state().last_sequence), (vec![], Sequence(3)));
}

struct Wants(&'static str);

impl Interest for Wants {
    fn wants(&self, subject: &str) -> bool {
        subject == self.0
    }
}

#[test]
fn what_nobody_wants_takes_a_sequence_and_is_not_kept() {
    let mut f = fixture();
    let stream = f.orders(|config| config.retention = RetentionPolicy::Interest);
    let first = f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "x")]).unwrap();
    assert_eq!(first.sequence, Sequence(1));
    assert!(f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "x")]).unwrap().duplicate);
    let wants: Arc<dyn Interest> = Arc::new(Wants("orders.b"));
    stream.set_interest(Some(Arc::downgrade(&wants)));
    assert_eq!(f.put(&stream, "orders.b"), 2);
    assert_eq!(f.put(&stream, "orders.a"), 3);
    assert_eq!(there(&stream), [2]);
    assert_eq!((stream.state().messages, stream.state().last_sequence), (1, Sequence(3)));
    let stream = f.restart(false);
    assert_eq!(there(&stream), [2]);
    assert_eq!(stream.state().last_sequence, Sequence(3));
    assert!(f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "x")]).unwrap().duplicate);
}

#[test]
fn messages_are_found_by_subject_sequence_and_time() {
    let f = fixture();
    let stream = f.orders(|_| {});
    let mut times = Vec::new();
    for n in 0..9 {
        f.sim.clock.advance(Duration::from_micros(1500));
        times.push(f.broker.now());
        f.put(&stream, &format!("orders.{}", n % 3));
    }
    let get = |query| wait(stream.get(query)).map(|message| message.sequence.0).ok();
    assert_eq!(get(GetQuery::LastBySubject("orders.1")), Some(8));
    assert_eq!(get(GetQuery::LastBySubject("orders.*")), Some(9));
    assert_eq!(get(GetQuery::LastBySubject("orders.9")), None);
    assert_eq!(get(GetQuery::NextBySubject { subject: "orders.0", from: Sequence(2) }), Some(4));
    assert_eq!(get(GetQuery::SinceTime { time: times[4], subject: None }), Some(5));
    assert_eq!(get(GetQuery::SinceTime { time: times[4], subject: Some("orders.0") }), Some(7));
    assert_eq!(stream.sequence_since(times[8]), Sequence(9));
    let query = BatchQuery {
        from: Sequence(2),
        time: None,
        subject: Some("orders.2"),
        messages_max: 2,
        bytes_max: usize::MAX,
    };
    let batch = wait(stream.get_batch(query)).unwrap();
    let found: Vec<_> = batch.messages.iter().map(|(m, pending)| (m.sequence.0, *pending)).collect();
    assert_eq!((found, batch.pending), (vec![(3, 2), (6, 1)], 1));
    let multi = MultiQuery {
        from: Sequence(0),
        subjects: &["orders.0", "orders.2"],
        up_to: Some(Sequence(8)),
        up_to_time: None,
        messages_max: 10,
        bytes_max: usize::MAX,
        subjects_max: 1024,
    };
    let batch = wait(stream.get_last_of_each(multi)).unwrap();
    let found: Vec<_> = batch.messages.iter().map(|(m, pending)| (m.sequence.0, *pending)).collect();
    assert_eq!(found, [(6, 1), (7, 0)]);
    let many = MultiQuery { subjects_max: 1, ..multi };
    assert!(matches!(wait(stream.get_last_of_each(many)), Err(GetError::TooMany { subjects: 2, limit: 1 })));
    let counts = stream.subjects("orders.*", 1, 1);
    assert_eq!((counts.page, counts.total), (vec![("orders.1".to_owned(), 3)], 3));
}

#[test]
fn a_cursor_knows_what_comes_next_and_how_many_are_left() {
    let f = fixture();
    let stream = f.orders(|config| config.max_msgs_per_subject = Some(2));
    let cursor = stream.cursor(&["orders.a".to_owned(), "orders.b".to_owned()], Sequence(1));
    for subject in ["orders.a", "orders.c", "orders.b", "orders.a"] {
        f.publish(&stream, subject, &[]).unwrap();
    }
    assert_eq!(cursor.pending(), 3);
    assert!(cursor.take_next().is_none(), "nothing is durable yet");
    settle(&f.broker);
    let first = cursor.take_next().unwrap();
    assert_eq!((first.sequence, first.pending), (Sequence(1), 2));
    // Evicts 1 (behind the cursor), then 4 (before it).
    f.put(&stream, "orders.a");
    f.put(&stream, "orders.a");
    assert_eq!(cursor.pending(), 3);
    let taken: Vec<_> =
        std::iter::from_fn(|| cursor.take_next()).map(|d| (d.sequence.0, d.pending)).collect();
    assert_eq!(taken, [(3, 2), (5, 1), (6, 0)]);
    cursor.seek(Sequence(1));
    assert_eq!(cursor.pending(), 3);
    assert_eq!(cursor.last_per_subject(Sequence(u64::MAX)), [Sequence(3), Sequence(6)]);
}

#[test]
fn a_stream_is_a_topic_of_one_partition_and_topics_are_streams() {
    let f = fixture();
    let stream = f.orders(|_| {});
    f.put(&stream, "orders.a");
    let topic = f.broker.catalog().topic("ORDERS").unwrap();
    assert_eq!(topic.partitions().len(), 1);
    assert_eq!(read_all(&topic.partitions()[0]), expected(0, &["hello"]));
    let more = NewPartitions { topic: "ORDERS".to_owned(), total: 2, assignments: None };
    assert!(f.broker.catalog().create_partitions(&more, false).is_err());

    let new = NewTopic { name: "pay.ments".to_owned(), partitions: Some(3), ..NewTopic::default() };
    f.broker.catalog().create(&new).unwrap();
    settle(&f.broker);
    let streams = f.broker.streams();
    let names: Vec<String> = streams.names(None).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["ORDERS", "pay_ments", "pay_ments=1", "pay_ments=2"]);
    assert!(streams.get("pay_ments=3").is_none() && streams.get("pay_ments=0").is_none());
    assert!(streams.get("pay.ments").is_none());
    let by_key = streams.match_subject("pay.ments.eu.7").unwrap();
    assert_eq!(streams.names(Some("pay.ments.eu.7")), [by_key.name().clone()]);
    assert!(streams.names(Some("pay.ments.>")).is_empty());
    f.publish(&by_key, "pay.ments.eu.7", &[]).unwrap();
    settle(&f.broker);
    let message = wait(by_key.get(GetQuery::LastBySubject("pay.ments.eu.*"))).unwrap();
    assert_eq!((message.subject.as_str(), message.sequence), ("pay.ments.eu.7", Sequence(1)));
    assert_eq!(by_key.state().messages, 1);
    assert!(matches!(
        streams.create(config("X", &["pay.*.eu"]), false),
        Err(CreateStreamError::SubjectsOverlap { stream, .. }) if stream == "pay.ments"
    ));
    let shadow = NewTopic { name: "orders".to_owned(), ..NewTopic::default() };
    let collides = f.broker.catalog().create(&shadow);
    assert!(matches!(collides, Err(CreateTopicError::SubjectsOverlap { .. })), "{collides:?}");
    let auto = f.broker.catalog().get_or_create("orders").unwrap();
    assert!(!auto.config().nats_bind);
    assert_eq!(streams.match_subject("orders.x").unwrap().name(), stream.name());
}

/// A batch of records with keys, ids and values, as a Kafka client sends it.
fn keyed(f: &Fixture, records: &[(Option<&str>, &str, &str)]) -> bytes::Bytes {
    let mut builder = duolog_record::BatchBuilder::new(duolog_types::Offset::ZERO);
    for (key, id, value) in records {
        let header: &[HeaderRef<'_>] = &[(b"Nats-Msg-Id", Some(id.as_bytes()))];
        let headers = if id.is_empty() { &[] } else { header };
        let key = key.map(str::as_bytes);
        builder.push_with_headers(f.broker.now().to_ms(), key, Some(value.as_bytes()), headers).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn kafkas_producers_obey_a_streams_rules() {
    use duolog_broker::partition::ProduceError;
    let mut f = fixture();
    let stream = f.orders(|config| config.max_msgs_per_subject = Some(2));
    let send = |f: &Fixture, records: &[(Option<&str>, &str, &str)]| {
        let stream = f.broker.streams().get("ORDERS").unwrap();
        let produced = produce(&f.broker, stream.partition(), keyed(f, records));
        settle(&f.broker);
        produced.map(|produced| produced.base_offset.0)
    };
    let bad = send(&f, &[(Some("orders.a"), "", "1"), (None, "", "2"), (Some("invoices.a"), "", "3")]);
    match bad {
        Err(ProduceError::Stream { errors }) => {
            assert_eq!(errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1, 2]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stream.state().messages, 0);
    f.publish(&stream, "orders.a", &[("Nats-Msg-Id", "x")]).unwrap();
    // "x" is known, and "y" stands there twice: both keep their offsets and are no messages.
    let batch = [
        (Some("orders.a"), "x", "1"),
        (Some("orders.b"), "y", "2"),
        (Some("orders.b"), "y", "3"),
        (Some("orders.b"), "", "4"),
    ];
    assert_eq!(send(&f, &batch).unwrap(), 1);
    assert_eq!(there(&stream), [1, 3, 5]);
    assert_eq!(stream.state().last_sequence, Sequence(5));
    assert_eq!(read_all(stream.partition()).iter().map(|(o, _)| *o).collect::<Vec<_>>(), [0, 2, 4]);
    send(&f, &[(Some("orders.b"), "", "5")]).unwrap();
    assert_eq!(there(&stream), [1, 5, 6]);
    assert!(f.publish(&stream, "orders.b", &[("Nats-Msg-Id", "y")]).unwrap().duplicate);
    // DeleteRecords is a purge.
    stream.partition().delete_records(Some(duolog_types::Offset(4))).unwrap();
    settle(&f.broker);
    assert_eq!((there(&stream), stream.state().first_sequence), (vec![5, 6], Sequence(5)));
    let stream = f.restart(false);
    assert_eq!((there(&stream), stream.state().last_sequence), (vec![5, 6], Sequence(6)));
}

#[test]
fn a_cursor_counts_what_is_left_wherever_it_is_moved() {
    let f = fixture();
    let stream = f.orders(|_| {});
    for number in 0..300 {
        f.publish(&stream, &format!("orders.{}", number % 7), &[]).unwrap();
    }
    settle(&f.broker);
    let filter = ["orders.3".to_owned(), "orders.5".to_owned()];
    let matches = |sequence: u64| matches!((sequence - 1) % 7, 3 | 5);
    let cursor = stream.cursor(&filter, Sequence(1));
    let mut gone = std::collections::BTreeSet::new();
    // Steps of a walk that goes on, back, over the end, and looks before it moves or doesn't.
    for (step, from) in
        [1, 2, 40, 41, 39, 5, 299, 120, 300, 301, 900, 1, 150, 151, 160, 4].into_iter().enumerate()
    {
        if step % 2 == 0 {
            let _ = cursor.peek();
        }
        cursor.seek(Sequence(from));
        let left = |from: u64, gone: &std::collections::BTreeSet<u64>| {
            (from..=300).filter(|sequence| matches(*sequence) && !gone.contains(sequence)).collect::<Vec<_>>()
        };
        assert_eq!(cursor.pending(), left(from, &gone).len() as u64, "from {from}");
        let ahead: Vec<u64> = cursor.ahead(3).iter().map(|sequence| sequence.0).collect();
        assert_eq!(ahead, left(from, &gone)[..ahead.len()], "from {from}");
        assert_eq!(ahead.len(), left(from, &gone).len().min(3));
        assert_eq!(cursor.peek().map(|next| next.sequence.0), ahead.first().copied());
        // What was looked at and what stands behind the cursor may go at any time.
        for sequence in ahead.iter().take(1).chain([&(step as u64 * 7 + 4)]) {
            if stream.delete_message(Sequence(*sequence)).is_ok() {
                gone.insert(*sequence);
            }
        }
        settle(&f.broker);
        assert_eq!(cursor.pending(), left(from, &gone).len() as u64, "from {from}, less what was deleted");
        assert_eq!(cursor.peek().map(|next| next.sequence.0), left(from, &gone).first().copied());
    }
}
