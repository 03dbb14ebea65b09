//! Single records that join a batch while it waits.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use common::*;
use duolog_log::{AppendError, Log, NewRecord, Partition};
use duolog_record::{BatchHeader, DecodeBudget, Record, records, split};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::{Nanos, Offset, TimestampMs};
use proptest::prelude::*;

fn record(value: &str, arrival_ms: i64) -> NewRecord<'_> {
    NewRecord {
        key: Some(b"orders.new"),
        value: Some(value.as_bytes()),
        headers: &[],
        arrival: Nanos(arrival_ms * 1_000_000 + 17),
    }
}

/// The batches that a reader gets, with their records.
fn batches(partition: &Partition) -> Vec<(BatchHeader, Vec<Record>)> {
    let mut found = Vec::new();
    let mut from = partition.start();
    while from < partition.high_watermark() {
        let chunk = read(partition, spec(from)).unwrap();
        for run in &chunk.runs {
            for batch in split(run) {
                let (header, batch) = batch.unwrap();
                duolog_record::verify_crc(&batch).unwrap();
                let all = records(&batch, DecodeBudget::default()).unwrap();
                found.push((header, all.map(Result::unwrap).collect()));
            }
        }
        from = chunk.next_offset;
    }
    found
}

fn opened() -> (SimEnv, Log) {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    (sim, log)
}

#[test]
fn records_of_one_group_are_one_batch_with_an_offset_each() {
    let (sim, log) = opened();
    let orders = create(&log);
    let first = orders.append_record(record("a", 1000)).unwrap();
    let second = orders.append_record(record("b", 998)).unwrap();
    let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h", Some(b"1")), (b"none", None)];
    let third = orders.append_record(NewRecord { headers: &headers, key: None, ..record("", 1005) }).unwrap();
    assert_eq!([first.base_offset, second.base_offset, third.base_offset], [0, 1, 2].map(Offset));
    assert_eq!(third.end_offset, Offset(3));
    assert_eq!([second.lsn, third.lsn], [first.lsn; 2], "one entry");
    assert_eq!(orders.high_watermark(), Offset(0), "nothing is readable before it is durable");
    settle(&log);
    let later = orders.append_record(record("c", 1006)).unwrap();
    assert!(later.lsn > first.lsn, "the batch was taken");
    settle(&log);

    let check = |partition: &Partition| {
        let found = batches(partition);
        assert_eq!(found.len(), 2);
        let (header, records) = &found[0];
        assert_eq!((header.record_count, header.last_offset_delta, header.base_offset), (3, 2, Offset(0)));
        assert_eq!((header.base_timestamp, header.max_timestamp), (TimestampMs(1000), TimestampMs(1005)));
        assert_eq!(header.producer_id.0, -1);
        let times: Vec<_> = records.iter().map(|record| record.timestamp.0).collect();
        assert_eq!(times, [1000, 998, 1005], "each in its own milliseconds, even where the clock went back");
        assert_eq!(records[2].key, None);
        assert_eq!(records[2].value.as_deref(), Some(&b""[..]));
        assert_eq!(records[2].headers, [("h".into(), Some("1".into())), ("none".into(), None)]);
        let chunk = read(partition, spec(Offset(0))).unwrap();
        assert_eq!(chunk.arrivals[0], Nanos(1000 * 1_000_000 + 17), "the first record's");
    };
    check(&orders);
    log.checkpoint().unwrap();
    check(&orders);
    let id = orders.id();
    drop((log, orders));
    let again = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
    let (log, _) = open(&again.env(), config("/data")).unwrap();
    check(&partition(&log, id));
}

#[test]
fn nothing_is_put_in_front_of_what_was_queued_before() {
    let (_sim, log) = opened();
    let orders = create(&log);
    orders.append_record(record("0", 1)).unwrap();
    orders.append(batch(&["1", "2"])).unwrap();
    orders.append_record(record("3", 1)).unwrap();
    orders.append_record(record("4", 1)).unwrap();
    orders.skip_to(Offset(9)).unwrap();
    orders.append_record(record("9", 1)).unwrap();
    settle(&log);
    let expected = [0, 1, 2, 3, 4, 9].map(|n| (n, n.to_string()));
    assert_eq!(read_all(&orders).unwrap(), expected);
    let counts: Vec<_> = batches(&orders).iter().map(|(header, _)| header.record_count).collect();
    assert_eq!(counts, [1, 2, 2, 1]);
}

#[test]
fn a_full_batch_and_a_large_record_begin_a_new_one() {
    let (_sim, log) = opened();
    let orders = create(&log);
    let filler = "x".repeat(20_000);
    let lsns: Vec<_> =
        (0..4).map(|_| orders.append_record_deferred(record(&filler, 1)).unwrap().lsn).collect();
    assert_eq!(lsns[0], lsns[1]);
    assert!(lsns[2] > lsns[1] && lsns[3] == lsns[2], "what fits a WAL file of 64 KiB: {lsns:?}");
    let large = "y".repeat(50_000);
    orders.append_record(record(&large, 1)).unwrap();
    let small = orders.append_record(record("small", 1)).unwrap();
    settle(&log);
    assert_eq!(batches(&orders).len(), 3, "the small one fits behind the large one");
    assert_eq!(read_all(&orders).unwrap().last().unwrap(), &(small.base_offset.0, "small".into()));
    let too_large = orders.append_record(record(&"z".repeat(70_000), 1));
    assert!(matches!(too_large, Err(AppendError::TooLarge { .. })), "{too_large:?}");
    assert_eq!(orders.end(), small.end_offset, "it took no offset");
    assert_eq!(log.stats().queued_bytes, 0);
}

#[test]
fn what_joins_counts_for_the_queue_and_is_refused_like_the_rest() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), duolog_log::LogConfig { queue_bytes: 2_000, ..config("/data") }).unwrap();
    let orders = create(&log);
    settle(&log);
    let filler = "x".repeat(500);
    let refused = loop {
        match orders.append_record(record(&filler, 1)) {
            Ok(_) => assert!(orders.end() < Offset(10)),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Overloaded { .. }), "{refused}");
    let admitted = orders.end();
    settle(&log);
    assert_eq!(log.stats().queued_bytes, 0);
    assert_eq!(orders.append_record(record("more", 1)).unwrap().base_offset, admitted);
    settle(&log);
    assert_eq!(orders.high_watermark(), admitted.plus(1));
    log.close().unwrap();
    assert!(matches!(orders.append_record(record("late", 1)), Err(AppendError::Poisoned(_))));
}

#[tokio::test]
async fn every_record_is_durable_with_its_entry_whoever_commits_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let threaded = duolog_log::LogConfig { threads: true, ..config(dir.path()) };
    let (log, _) = open(&duolog_env::Env::real(), threaded).unwrap();
    let orders = create(&log);
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (log, orders) = (log.clone(), orders.clone());
            std::thread::spawn(move || {
                (0..5_000)
                    .map(|_| {
                        let appended = orders.append_record(record("a value", 5)).unwrap();
                        if appended.lsn <= log.durable_lsn() {
                            assert!(orders.high_watermark() > appended.base_offset);
                        }
                        appended.base_offset.0
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut offsets: Vec<i64> = tasks.into_iter().flat_map(|task| task.join().unwrap()).collect();
    log.durable(log.last_lsn()).await.unwrap();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..10_000).collect::<Vec<_>>(), "an offset each");
    let read: Vec<i64> = read_all(&orders).unwrap().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(read, offsets);
    log.close().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_order_of_appends_is_read_back_in_that_order(steps in proptest::collection::vec((0u8..6, 0usize..9_000), 1..40)) {
        let (sim, log) = opened();
        let orders = create(&log);
        let mut expected = Vec::new();
        for (index, (step, len)) in steps.into_iter().enumerate() {
            let value = format!("{index}-{}", "v".repeat(len));
            let at = orders.end().0;
            match step {
                0 => { orders.append(batch(&[&value, "and"])).unwrap(); expected.extend([(at, value), (at + 1, "and".into())]); }
                1 => { settle(&log); }
                2 => { orders.skip_to(Offset(at + 2)).unwrap(); }
                _ => { orders.append_record(record(&value, index as i64)).unwrap(); expected.push((at, value)); }
            }
        }
        settle(&log);
        prop_assert_eq!(&read_all(&orders).unwrap(), &expected);
        prop_assert_eq!(log.stats().queued_bytes, 0);
        let id = orders.id();
        drop((log, orders));
        let again = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
        let (log, _) = open(&again.env(), config("/data")).unwrap();
        prop_assert_eq!(read_all(&partition(&log, id)).unwrap(), expected);
    }
}
