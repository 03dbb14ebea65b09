//! Produce, fetch, offsets and deletion, over a log on a simulated disk and over one in a real directory.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use duolog_broker::partition::{DeleteRecordsError, FetchError, FetchSpec, OffsetQuery, ProduceError};
use duolog_broker::{AppendError, Broker, BrokerConfig, LogConfig, Partition, Watch, retention};
use duolog_env::{Clock, Env};
use duolog_testkit::SimEnv;
use duolog_types::{Lsn, Nanos, Offset, ProducerId, TimestampMs};

fn now_ms(broker: &Broker) -> i64 {
    broker.now().to_ms().0
}

fn find(partition: &Partition, query: OffsetQuery) -> Option<(i64, Option<i64>)> {
    let found = wait(partition.find_offset(query)).unwrap();
    found.map(|found| (found.offset.0, found.timestamp.map(|timestamp| timestamp.0)))
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[]);
    let partition = topic.partition(0).unwrap();
    let now = now_ms(&broker);
    let produced = produce(&broker, partition, batch_at(&["a", "b"], now)).unwrap();
    assert_eq!((produced.base_offset, produced.duplicate), (Offset(0), false));
    assert!(broker.durable_lsn() < produced.lsn);
    assert_eq!((partition.log_end(), partition.high_watermark()), (Offset(2), Offset(0)));
    assert_eq!(read_all(partition), []);
    assert_eq!(find(partition, OffsetQuery::Latest), Some((0, None)));
    assert_eq!(find(partition, OffsetQuery::Timestamp(TimestampMs(0))), None);

    settle(&broker);
    wait(broker.durable(produced.lsn)).unwrap();
    assert_eq!(read_all(partition), expected(0, &["a", "b"]));
    assert_eq!(find(partition, OffsetQuery::Latest), Some((2, None)));
    assert_eq!(find(partition, OffsetQuery::Timestamp(TimestampMs(0))), Some((0, Some(now))));
    let stats = broker.stats();
    assert_eq!((stats.produced_batches, stats.produced_records, stats.topics), (1, 2, 1));
}

#[test]
fn a_duplicate_is_answered_as_the_original_and_waits_for_it() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[("message.timestamp.type", "LogAppendTime")]);
    let partition = topic.partition(0).unwrap();
    let id = ProducerId(7);
    let now = now_ms(&broker);
    produce(&broker, partition, batch_at(&["other"], now)).unwrap();
    let sent = idempotent(id, 0, 0, &["a", "b"], now);
    let original = produce(&broker, partition, sent.clone()).unwrap();
    assert_eq!(original.log_append_time, Some(TimestampMs(now)));

    sim.clock.advance(Duration::from_secs(5));
    let again = produce(&broker, partition, sent.clone()).unwrap();
    assert!(again.duplicate && again.lsn > broker.durable_lsn(), "the original isn't durable yet");
    assert_eq!(
        (again.base_offset, again.log_append_time, again.lsn),
        (original.base_offset, original.log_append_time, original.lsn)
    );
    settle(&broker);
    assert_eq!(read_all(partition), expected(0, &["other", "a", "b"]));
    assert_eq!(broker.stats().duplicate_batches, 1);

    let gap = produce(&broker, partition, idempotent(id, 0, 3, &["c"], now)).unwrap_err();
    assert!(matches!(gap, ProduceError::OutOfOrder { expected: 2, got: 3, .. }), "{gap}");
    produce(&broker, partition, idempotent(id, 1, 0, &["d"], now)).unwrap();
    let fenced = produce(&broker, partition, idempotent(id, 0, 2, &["e"], now)).unwrap_err();
    assert!(matches!(fenced, ProduceError::Fenced { .. }), "{fenced}");
    let (producers, lsn) = partition.describe_producers();
    assert_eq!((producers.len(), producers[0].epoch.0, producers[0].last_sequence), (1, 1, 0));
    assert!(lsn > broker.durable_lsn());
}

/// The last batches of a producer are known after a power cut, however they were stored, and after their
/// records are gone.
#[test]
fn producers_survive_restart_checkpoint_and_deletion() {
    for checkpoints in [&[][..], &[1], &[3], &[0, 2, 5]] {
        for delete in [false, true] {
            let sim = SimEnv::new(1);
            let broker = open(sim.env()).unwrap();
            let topic = create(&broker, "orders", &[]);
            let partition = topic.partition(0).unwrap();
            let now = now_ms(&broker);
            let batches: Vec<_> = (0..6)
                .map(|n| idempotent(ProducerId(7), 3, n * 2, &[&format!("{n}a"), &format!("{n}b")], now))
                .collect();
            for (index, batch) in batches.iter().enumerate() {
                produce(&broker, partition, batch.clone()).unwrap();
                settle(&broker);
                if checkpoints.contains(&index) {
                    broker.checkpoint().unwrap();
                }
            }
            if delete {
                partition.delete_records(None).unwrap();
                settle(&broker);
            }
            let (_sim, broker) = after_power_cut(&sim.disk);
            let topic = broker.catalog().topic("orders").unwrap();
            let partition = topic.partition(0).unwrap();
            let what = format!("checkpoints after {checkpoints:?}, deleted: {delete}");
            for (index, batch) in batches.iter().enumerate().skip(1) {
                let again = produce(&broker, partition, batch.clone()).unwrap();
                assert!(again.duplicate, "{what}");
                assert_eq!((again.base_offset.0, again.lsn), (index as i64 * 2, Lsn::ZERO), "{what}");
            }
            let too_old = produce(&broker, partition, batches[0].clone()).unwrap_err();
            assert!(matches!(too_old, ProduceError::OutOfOrder { expected: 12, .. }), "{what}");
            let next = produce(&broker, partition, idempotent(ProducerId(7), 3, 12, &["z"], now)).unwrap();
            assert_eq!((next.base_offset, next.duplicate), (Offset(12), false), "{what}");
        }
    }
}

#[test]
fn producers_are_forgotten_a_day_after_their_last_batch() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[("message.timestamp.after.max.ms", "9223372036854775807")]);
    let partition = topic.partition(0).unwrap();
    let now = now_ms(&broker);
    let send = |sequence| {
        produce(&broker, partition, idempotent(ProducerId(1), 0, sequence, &["x"], now)).map(|p| p.duplicate)
    };
    assert!(!send(0).unwrap());
    sim.clock.advance(Duration::from_secs(23 * 3600));
    assert!(!send(1).unwrap());
    sim.clock.advance(Duration::from_secs(23 * 3600));
    assert!(matches!(send(9), Err(ProduceError::OutOfOrder { .. })), "used 23 hours ago");
    sim.clock.advance(Duration::from_secs(3600));
    assert!(!send(9).unwrap(), "a day after its last batch anything goes");
    sim.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(retention::apply_all(&broker).producers_expired, 1);
    assert_eq!(partition.producer_count(), 0);
}

#[test]
fn fetch_has_bounds_and_gives_one_batch_at_least() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[]);
    let partition = topic.partition(0).unwrap();
    let now = now_ms(&broker);
    let values: Vec<String> = (0..100).map(|n| format!("{n}-{}", "x".repeat(900))).collect();
    for (index, value) in values.iter().enumerate() {
        produce(&broker, partition, batch_at(&[value], now)).unwrap();
        if index % 10 == 0 {
            settle(&broker);
        }
        if index == 60 {
            broker.checkpoint().unwrap();
        }
    }
    settle(&broker);
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    assert_eq!(read_all(partition), expected(0, &values), "from segments, WAL and memory");
    assert_eq!(read_from(partition, Offset(97)).unwrap(), expected(97, &values[97..]));

    let fetch = |from, max_bytes, at_least_one| {
        wait(partition.fetch(FetchSpec { from: Offset(from), max_bytes, at_least_one }))
    };
    let one = fetch(3, 1, true).unwrap();
    assert_eq!((one.next_offset, one.high_watermark, one.log_start), (Offset(4), Offset(100), Offset(0)));
    assert_eq!(fetch(3, 1, false).unwrap().bytes, 0);
    let end = fetch(100, 1 << 20, true).unwrap();
    assert_eq!((end.runs.len(), end.next_offset), (0, Offset(100)));
    for from in [-1, 101] {
        let error = fetch(from, 1, true).unwrap_err();
        assert!(
            matches!(error, FetchError::OutOfRange { high_watermark: Offset(100), .. }),
            "{from}: {error}"
        );
    }
}

#[test]
fn offsets_are_found_by_time_and_by_name() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[]);
    let partition = topic.partition(0).unwrap();
    for query in [OffsetQuery::MaxTimestamp, OffsetQuery::LatestTiered, OffsetQuery::EarliestPendingUpload] {
        assert_eq!(find(partition, query), None, "{query:?} of an empty partition");
    }
    // Timestamps that don't rise, three records in each batch, some of them checkpointed.
    for (index, times) in [[10, 50, 20], [30, 40, 35], [90, 60, 90], [70, 80, 5]].iter().enumerate() {
        let mut builder = duolog_record::BatchBuilder::new(Offset::ZERO);
        for time in times {
            builder.push(TimestampMs(*time), None, Some(b"v")).unwrap();
        }
        produce(&broker, partition, builder.build().unwrap()).unwrap();
        settle(&broker);
        if index == 1 {
            broker.checkpoint().unwrap();
        }
    }
    let at = |time| find(partition, OffsetQuery::Timestamp(TimestampMs(time)));
    assert_eq!(at(0), Some((0, Some(10))));
    assert_eq!(at(11), Some((1, Some(50))));
    assert_eq!(at(51), Some((6, Some(90))));
    assert_eq!(at(90), Some((6, Some(90))));
    assert_eq!(at(91), None, "no error, and no offset");
    assert_eq!(find(partition, OffsetQuery::MaxTimestamp), Some((6, Some(90))), "the first of the largest");
    assert_eq!(find(partition, OffsetQuery::Earliest), Some((0, None)));
    assert_eq!(find(partition, OffsetQuery::Latest), Some((12, None)));
    assert_eq!(find(partition, OffsetQuery::LatestStable), Some((12, None)));

    partition.delete_records(Some(Offset(2))).unwrap();
    settle(&broker);
    assert_eq!(find(partition, OffsetQuery::Earliest), Some((2, None)));
    assert_eq!(find(partition, OffsetQuery::EarliestLocal), Some((2, None)));
    assert_eq!(at(0), Some((2, Some(20))), "what was deleted is not found");
    assert_eq!(at(45), Some((6, Some(90))), "nor does the batch that had it stand in the way");

    partition.delete_records(Some(Offset(9))).unwrap();
    settle(&broker);
    assert_eq!(find(partition, OffsetQuery::MaxTimestamp), Some((10, Some(80))));
    assert_eq!(at(85), None);
}

#[test]
fn records_are_deleted_up_to_an_offset_and_not_beyond_what_is_visible() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[]);
    let partition = topic.partition(0).unwrap();
    let now = now_ms(&broker);
    for value in ["a", "b", "c"] {
        produce(&broker, partition, batch_at(&[value], now)).unwrap();
    }
    settle(&broker);
    produce(&broker, partition, batch_at(&["not durable"], now)).unwrap();
    for to in [-2, 4] {
        let error = partition.delete_records(Some(Offset(to))).unwrap_err();
        assert!(matches!(error, DeleteRecordsError::OutOfRange { .. }), "{to}: {error}");
    }
    let deleted = partition.delete_records(Some(Offset(2))).unwrap();
    assert_eq!(deleted.log_start, Offset(2));
    assert!(deleted.lsn > broker.durable_lsn());
    assert_eq!(partition.log_start(), Offset(0), "not moved before it is durable");
    settle(&broker);
    assert_eq!(partition.log_start(), Offset(2));
    assert_eq!(partition.delete_records(Some(Offset(1))).unwrap().log_start, Offset(2), "never back");
    assert!(matches!(read_from(partition, Offset(1)), Err(FetchError::OutOfRange { .. })));
    assert_eq!(partition.delete_records(None).unwrap().log_start, Offset(4));
    settle(&broker);
    let (_sim, broker) = after_power_cut(&sim.disk);
    let topic = broker.catalog().topic("orders").unwrap();
    assert_eq!(topic.partition(0).unwrap().log_start(), Offset(4));
}

#[test]
fn retention_deletes_by_age_and_size_and_only_where_it_may() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let hour = Duration::from_secs(3600);
    let aged = create(&broker, "aged", &[("retention.ms", "3600000")]);
    let kept = create(&broker, "kept", &[("retention.ms", "3600000"), ("cleanup.policy", "")]);
    let sized = create(&broker, "sized", &[("retention.bytes", "0"), ("retention.ms", "-1")]);
    let all = [&aged, &kept, &sized];
    for topic in all {
        let now = now_ms(&broker);
        produce(&broker, topic.partition(0).unwrap(), batch_at(&["old"], now)).unwrap();
    }
    settle(&broker);
    broker.checkpoint().unwrap();
    sim.clock.advance(hour);
    assert_eq!(retention::apply_all(&broker).trimmed, 1, "by size; by age it is one millisecond too early");
    settle(&broker);
    sim.clock.advance(Duration::from_millis(1));
    for topic in all {
        let now = now_ms(&broker);
        produce(&broker, topic.partition(0).unwrap(), batch_at(&["new"], now)).unwrap();
    }
    settle(&broker);
    assert_eq!(retention::apply_all(&broker).trimmed, 2);
    settle(&broker);
    let starts = all.map(|topic| topic.partition(0).unwrap().log_start().0);
    assert_eq!(starts, [1, 0, 2]);
    assert_eq!(read_all(aged.partition(0).unwrap()), expected(1, &["new"]));
    assert_eq!(retention::apply_all(&broker), retention::Round::default(), "nothing is left to do");
}

#[test]
fn a_clock_that_jumps_ahead_takes_no_data_at_once() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let aged = create(&broker, "aged", &[("retention.ms", "3600000")]);
    let sized = create(&broker, "sized", &[("retention.ms", "3600000"), ("retention.bytes", "0")]);
    for topic in [&aged, &sized] {
        produce(&broker, topic.partition(0).unwrap(), batch_at(&["a"], now_ms(&broker))).unwrap();
    }
    settle(&broker);
    broker.checkpoint().unwrap();
    let right = sim.clock.wall();
    sim.clock.set_wall(Nanos(right.0 + 86_400_000_000_000));
    let held = retention::apply_all(&broker);
    assert_eq!((held.trimmed, held.held), (1, 1), "what is too much goes");
    settle(&broker);
    assert_eq!(aged.partition(0).unwrap().log_start(), Offset(0));
    // Set right, it takes nothing; had it been right, it would have gone an hour later.
    sim.clock.set_wall(right);
    assert_eq!(retention::apply_all(&broker), retention::Round::default());
    sim.clock.set_wall(Nanos(right.0 + 86_400_000_000_000));
    assert_eq!(retention::apply_all(&broker).held, 1);
    sim.clock.advance(Duration::from_secs(3600));
    assert_eq!(retention::apply_all(&broker).trimmed, 1);
}

#[test]
fn a_deleted_topic_takes_and_gives_nothing() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[]);
    let partition = topic.partition(0).unwrap();
    let now = now_ms(&broker);
    produce(&broker, partition, batch_at(&["a"], now)).unwrap();
    settle(&broker);
    let watch = Watch::new();
    let _guard = partition.watch(&watch, 42);
    broker.catalog().delete(topic.id()).unwrap();
    let refused = produce(&broker, partition, batch_at(&["b"], now)).unwrap_err();
    assert!(matches!(refused, ProduceError::Log(AppendError::Dropped(_))), "{refused}");
    settle(&broker);
    wait(watch.ready());
    assert_eq!(watch.take_ready(), [42], "who waits is woken");
    assert!(matches!(read_from(partition, Offset(0)), Err(FetchError::Deleted)));
}

/// The same paths on a real disk, with the log's own threads and the background task.
#[test]
fn a_real_directory_serves_many_producers_and_retention() {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimEnv::new(1);
    let real = Env::real();
    // Real files; time stands still but for what the test says.
    let env = Env { clock: sim.clock.clone(), rng: real.rng, disk: real.disk };
    let log =
        LogConfig { threads: true, durability: duolog_broker::Durability::Os, ..log_config(dir.path()) };
    let broker = Broker::open(env.clone(), BrokerConfig::default(), log.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();

    let configs = vec![("retention.ms".to_owned(), Some("1000".to_owned()))];
    let new = duolog_broker::catalog::NewTopic {
        name: "orders".to_owned(),
        partitions: Some(3),
        configs,
        ..Default::default()
    };
    let created = broker.catalog().create(&new).unwrap();
    runtime.block_on(broker.durable(created.lsn)).unwrap();
    let topic = created.topic.unwrap();
    let timestamp = sim.clock.wall().to_ms().0;
    let tasks: Vec<_> = (0..6)
        .map(|producer| {
            let (broker, topic) = (broker.clone(), topic.clone());
            runtime.spawn(async move {
                let partition = topic.partition(producer % 3).unwrap();
                for sequence in 0..100 {
                    let value = format!("{producer}-{sequence}");
                    let id = ProducerId(i64::from(producer));
                    let sent = idempotent(id, 0, sequence, &[&value], timestamp);
                    let produced = produce(&broker, partition, sent.clone()).unwrap();
                    broker.durable(produced.lsn).await.unwrap();
                    let again = produce(&broker, partition, sent).unwrap();
                    assert_eq!((again.base_offset, again.duplicate), (produced.base_offset, true));
                }
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    let check = |topic: &duolog_broker::Topic| {
        for (index, partition) in topic.partitions().iter().enumerate() {
            let records = read_all(partition);
            assert_eq!(records.len(), 200);
            for producer in [index, index + 3] {
                let mine: Vec<_> =
                    records.iter().filter(|(_, value)| value.starts_with(&format!("{producer}-"))).collect();
                let sequences: Vec<_> = (0..100).map(|sequence| format!("{producer}-{sequence}")).collect();
                assert!(mine.iter().map(|(_, value)| value).eq(&sequences), "each once, in order");
            }
        }
    };
    check(&topic);
    broker.close().unwrap();
    drop((topic, broker));

    let broker = Broker::open(env, BrokerConfig::default(), log).unwrap();
    let topic = broker.catalog().topic("orders").unwrap();
    check(&topic);
    let watch = Watch::new();
    let guards: Vec<_> =
        (0..).zip(topic.partitions()).map(|(token, partition)| partition.watch(&watch, token)).collect();
    let background = runtime.spawn(Arc::clone(&broker).run_background());
    runtime.block_on(async {
        while sim.clock.sleeper_count() == 0 {
            tokio::task::yield_now().await;
        }
        sim.clock.advance(BrokerConfig::default().retention_check_interval);
        let mut moved = 0;
        while moved < guards.len() {
            watch.ready().await;
            moved += watch.take_ready().len();
        }
    });
    assert!(topic.partitions().iter().all(|partition| partition.log_start() == Offset(200)));
    background.abort();
    broker.close().unwrap();
}
