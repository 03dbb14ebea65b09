//! Deleted records: never read again, through checkpoints, restarts and rewritten segments; their room is given back.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::*;
use duolog_env::Disk;
use duolog_log::{AppendError, Entry, Log, NewRecord, Partition};
use duolog_record::{BatchHeader, split};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::{Lsn, Nanos, Offset, PartitionId, TimestampMs};
use proptest::prelude::*;
use roaring::RoaringTreemap;

fn opened() -> (SimEnv, Log) {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    (sim, log)
}

fn reopened(sim: &SimEnv) -> (SimEnv, Log) {
    let again = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
    let (log, _) = open(&again.env(), config("/data")).unwrap();
    (again, log)
}

fn set(offsets: impl IntoIterator<Item = u64>) -> RoaringTreemap {
    offsets.into_iter().collect()
}

fn offsets(partition: &Partition) -> Vec<i64> {
    read_all(partition).unwrap().into_iter().map(|(offset, _)| offset).collect()
}

fn files(disk: &SimDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir)).unwrap()
}

#[test]
fn a_delete_is_seen_once_it_is_durable_and_for_ever() {
    let (sim, log) = opened();
    let orders = create(&log);
    orders.append(batch(&["0", "1", "2", "3"])).unwrap();
    orders.append(batch(&["4", "5"])).unwrap();
    settle(&log);
    let size = orders.size_bytes();
    let lsn = orders.delete(&set([1, 4, 5, 99])).unwrap();
    assert_eq!(offsets(&orders), [0, 1, 2, 3, 4, 5], "not durable yet");
    assert_eq!(orders.dead_count(Offset(0), Offset(100)), 0);
    settle(&log);
    assert!(log.durable_lsn() >= lsn);
    let check = |partition: &Partition| {
        assert_eq!(offsets(partition), [0, 2, 3]);
        let dead: Vec<_> = partition.dead(Offset(0), Offset(100)).iter().collect();
        assert_eq!(dead, [1, 4, 5].map(Offset), "what wasn't taken yet isn't dead");
        let chunk = read(partition, spec(Offset(0))).unwrap();
        let headers: Vec<BatchHeader> =
            chunk.runs.iter().flat_map(split).map(|batch| batch.unwrap().0).collect();
        assert_eq!((headers[0].base_offset, headers[0].last_offset()), (Offset(0), Offset(3)));
        assert_eq!(headers[0].record_count, 3);
    };
    check(&orders);
    assert!(orders.size_bytes() < size);
    let id = orders.id();
    let (_, from_wal) = reopened(&sim);
    check(&partition(&from_wal, id));
    log.checkpoint().unwrap();
    check(&orders);
    assert!(orders.size_bytes() < size);
    assert_eq!(orders.append(batch(&["6"])).unwrap().base_offset, Offset(6), "offsets aren't used again");
    settle(&log);
    let (again, log) = reopened(&sim);
    let orders = partition(&log, id);
    assert_eq!(offsets(&orders), [0, 2, 3, 6]);
    orders.delete(&set([1])).unwrap();
    orders.delete(&set([0, 2, 3])).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    assert_eq!(offsets(&orders), [6]);
    let (_, log) = reopened(&again);
    assert_eq!(offsets(&partition(&log, id)), [6]);
}

#[test]
fn what_is_queued_can_be_deleted_and_a_dead_end_is_an_empty_batch() {
    let (_sim, log) = opened();
    let orders = create(&log);
    let record = |value| NewRecord { key: None, value: Some(value), headers: &[], arrival: Nanos(5) };
    for value in [b"a", b"b", b"c"] {
        orders.append_record(record(value)).unwrap();
    }
    orders.delete(&set([1, 2])).unwrap();
    orders.append_record(record(b"d")).unwrap();
    orders.delete(&set([3])).unwrap();
    settle(&log);
    assert_eq!(offsets(&orders), [0]);
    orders.append(batch(&["4"])).unwrap();
    orders.delete(&set([4])).unwrap();
    settle(&log);
    for _ in 0..2 {
        let chunk = read(&orders, spec(Offset(4))).unwrap();
        assert_eq!(chunk.next_offset, Offset(5));
        let header = BatchHeader::parse(&chunk.runs[0]).unwrap();
        assert_eq!(
            (header.record_count, header.base_offset, header.last_offset()),
            (0, Offset(4), Offset(4))
        );
        log.checkpoint().unwrap();
    }
    orders.delete(&set([0])).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    let chunk = read(&orders, spec(Offset(0))).unwrap();
    assert_eq!((chunk.next_offset, chunk.runs.len()), (Offset(5), 1));
    assert_eq!(offsets(&orders), Vec::<i64>::new());
    let limited = read(&orders, duolog_log::ReadSpec { up_to: Offset(2), ..spec(Offset(0)) }).unwrap();
    assert!((1..=2).contains(&limited.next_offset.0), "{limited:?}");
}

#[test]
fn a_delete_is_atomic_with_state_and_refused_where_the_partition_is_gone() {
    let (sim, log) = opened();
    let orders = create(&log);
    orders.append(batch(&["0", "1"])).unwrap();
    let entry = Entry::new().state(KEYS, 1, "a=1").delete(orders.id(), set([0]));
    log.submit(entry).unwrap();
    settle(&log);
    assert_eq!(offsets(&orders), [1]);
    let again = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
    let (recovered, table) = open(&again.env(), config("/data")).unwrap();
    assert_eq!(offsets(&partition(&recovered, orders.id())), [1]);
    assert_eq!(table.all()["a"], "1");
    assert!(orders.trim(Offset(2)).unwrap() > Lsn::ZERO);
    settle(&log);
    assert_eq!(orders.delete(&set([1])).unwrap(), Lsn::ZERO, "below the log start nothing is left to delete");
    assert_eq!(orders.dead_count(Offset(0), Offset(9)), 0, "a trim forgets");
    log.submit(Entry::new().drop_partition(orders.id())).unwrap();
    assert!(matches!(orders.delete(&set([1])), Err(AppendError::Dropped(_))));
    let refused = log.submit(Entry::new().delete(orders.id(), set([1])));
    assert!(matches!(refused, Err(AppendError::Dropped(_))));
}

/// Fills sealed segments with records of one a batch.
fn filled(log: &Log, count: u64) -> Partition {
    let orders = create(log);
    for n in 0..count {
        orders.append(batch(&[format!("{n}-{}", "x".repeat(1_000)).as_str()])).unwrap();
        settle(log);
        if n % 20 == 19 {
            log.checkpoint().unwrap();
        }
    }
    orders
}

#[test]
fn dead_data_is_not_written_and_segments_are_dropped_or_rewritten() {
    let (sim, log) = opened();
    let orders = filled(&log, 100);
    let dir = "/data/segments/01";
    let extents = orders.extents();
    assert!(extents.len() > 3, "{extents:?}");
    let (first, second) = (extents[0], extents[1]);
    let size = orders.size_bytes();
    let checkpointed = log.stats().checkpoint_bytes;
    // The first segment dies; of the second every record but one in four.
    let dead = (first.base_offset.0 as u64..first.end_offset.0 as u64)
        .chain((second.base_offset.0 as u64..second.end_offset.0 as u64).filter(|n| n % 4 != 0));
    let dead = set(dead);
    orders.delete(&dead).unwrap();
    settle(&log);
    assert!(orders.size_bytes() < size - first.size_bytes / 2);
    let expected: Vec<i64> = (0..100).filter(|n| !dead.contains(*n as u64)).collect();
    assert_eq!(offsets(&orders), expected);
    log.checkpoint().unwrap();
    let names = files(&sim.disk, dir);
    let base = |extent: &duolog_log::Extent| format!("1-{:020}", extent.base_offset.0);
    assert!(!names.contains(&format!("{}.seg", base(&first))), "{names:?}");
    assert!(!names.contains(&format!("{}.seg", base(&second))), "{names:?}");
    assert!(names.contains(&format!("{}.r1.seg", base(&second))), "{names:?}");
    assert!(log.stats().checkpoint_bytes > checkpointed);
    assert_eq!(offsets(&orders), expected);
    let names = files(&sim.disk, dir);
    log.checkpoint().unwrap();
    orders.delete(&set([99])).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    assert_eq!(files(&sim.disk, dir), names, "what was rewritten isn't again");
    let (_, log) = reopened(&sim);
    let orders = partition(&log, PartitionId(1));
    assert_eq!(offsets(&orders), expected[..expected.len() - 1]);

    // A batch that is wholly dead before its checkpoint never reaches a segment.
    let before = log.stats().checkpoint_bytes;
    let at = orders.append(batch(&["y".repeat(3_000).as_str()])).unwrap().base_offset;
    orders.delete(&set([at.0 as u64])).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoint_bytes, before);
}

#[test]
fn a_rewritten_segment_outlives_a_crash_at_any_time() {
    let (sim, log) = opened();
    let orders = filled(&log, 60);
    let end = orders.extents()[0].end_offset.0 as u64;
    let dead = set((0..end).filter(|n| n % 3 != 0));
    orders.delete(&dead).unwrap();
    settle(&log);
    let expected: Vec<i64> = (0..60).filter(|n| !dead.contains(*n as u64)).collect();
    let (again, before) = reopened(&sim);
    assert_eq!(offsets(&partition(&before, PartitionId(1))), expected);
    before.checkpoint().unwrap();
    assert_eq!(offsets(&partition(&before, PartitionId(1))), expected);
    let (_, after) = reopened(&again);
    assert_eq!(offsets(&partition(&after, PartitionId(1))), expected);
}

#[test]
fn a_checkpoint_stores_the_chunks_that_changed_and_a_drop_forgets_them() {
    let (sim, log) = opened();
    let orders = create(&log);
    settle(&log);
    let far = 40 * 65_536;
    orders.skip_to(Offset(far)).unwrap();
    orders.append(batch(&["a"])).unwrap();
    settle(&log);
    // Offsets that no record has can be named too: every chunk but the last.
    orders.delete(&set((0..40).map(|chunk| chunk * 65_536 + 7))).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    let newest_snapshot = || {
        let names = files(&sim.disk, "/data/snapshots");
        let path = Path::new("/data/snapshots").join(names.iter().max().unwrap());
        sim.disk.open(&path, duolog_env::OpenMode::Read).unwrap().len().unwrap()
    };
    let all = newest_snapshot();
    orders.delete(&set([9])).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    assert!(newest_snapshot() < all / 4, "{} of {all}", newest_snapshot());
    let (again, log) = reopened(&sim);
    let orders = partition(&log, PartitionId(1));
    assert_eq!(orders.dead_count(Offset(0), Offset(far)), 41);
    orders.trim(Offset(39 * 65_536)).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    let (again, log) = reopened(&again);
    let orders = partition(&log, PartitionId(1));
    assert_eq!(orders.dead_count(Offset(0), Offset(far)), 1);
    log.submit(Entry::new().drop_partition(orders.id())).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    let (_, log) = reopened(&again);
    assert!(log.partition(PartitionId(1)).is_none());
}

#[test]
fn times_are_sought_among_the_living() {
    let (_sim, log) = opened();
    let orders = create(&log);
    orders.append(batch_at(&[("a", 10), ("b", 90)])).unwrap();
    orders.append(batch_at(&[("c", 20), ("d", 50)])).unwrap();
    orders.append(batch_at(&[("e", 70)])).unwrap();
    orders.append(batch_at(&[("f", 60)])).unwrap();
    orders.delete(&set([1, 4])).unwrap();
    settle(&log);
    for _ in 0..2 {
        let base = |batch: Option<bytes::Bytes>| {
            batch.map(|batch| BatchHeader::parse(&batch).unwrap().base_offset.0)
        };
        let find = |at| base(orders.find_by_timestamp(TimestampMs(at)).unwrap());
        assert_eq!(
            [find(0), find(11), find(45), find(55), find(65)],
            [Some(0), Some(2), Some(2), Some(5), None]
        );
        assert_eq!(base(orders.find_max_timestamp().unwrap()), Some(5));
        log.checkpoint().unwrap();
    }
    orders.delete(&set(0..6)).unwrap();
    settle(&log);
    assert_eq!(orders.find_max_timestamp().unwrap(), None);
    assert_eq!(orders.find_by_timestamp(TimestampMs(0)).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn any_history_is_read_back_as_the_model_says(
        steps in proptest::collection::vec((0u8..12, 0usize..3_000, any::<u64>()), 1..120),
    ) {
        let (mut sim, mut log) = opened();
        let mut orders = create(&log);
        settle(&log);
        let mut model: BTreeMap<i64, String> = BTreeMap::new();
        for (index, (step, len, pick)) in steps.into_iter().enumerate() {
            let end = orders.end().0;
            let at = if end == 0 { 0 } else { (pick % end as u64) as i64 };
            match step {
                0 => log.checkpoint().unwrap(),
                1 => {
                    settle(&log);
                    let (next_sim, next) = reopened(&sim);
                    (sim, log) = (next_sim, next);
                    orders = partition(&log, PartitionId(1));
                }
                2 => { orders.skip_to(Offset(end + 2)).unwrap(); }
                3 if pick % 4 == 0 => {
                    settle(&log);
                    orders.trim(Offset(at)).unwrap();
                    model.retain(|offset, _| *offset >= at);
                }
                4..=7 => {
                    let dead: Vec<u64> = (at..at + 1 + len as i64 / 60).filter(|n| pick % 3 == 0 || n % 2 == 0).map(|n| n as u64).collect();
                    orders.delete(&set(dead.clone())).unwrap();
                    model.retain(|offset, _| !(dead.contains(&(*offset as u64)) && *offset < end));
                }
                8 => {
                    let value = format!("{index}-{}", "v".repeat(len / 4));
                    let record = NewRecord { key: None, value: Some(value.as_bytes()), headers: &[], arrival: Nanos(9) };
                    orders.append_record(record).unwrap();
                    model.insert(end, value);
                }
                _ => {
                    let values: Vec<String> = (0..1 + pick % 4).map(|n| format!("{index}.{n}-{}", "v".repeat(len / 4))).collect();
                    orders.append(batch(&values.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
                    model.extend((end..).zip(values));
                }
            }
            if pick % 2 == 0 { settle(&log); }
        }
        settle(&log);
        let expected: Vec<_> = model.into_iter().collect();
        prop_assert_eq!(&read_all(&orders).unwrap(), &expected);
        log.checkpoint().unwrap();
        prop_assert_eq!(&read_all(&orders).unwrap(), &expected);
        let (_, log) = reopened(&sim);
        prop_assert_eq!(&read_all(&partition(&log, PartitionId(1))).unwrap(), &expected);
    }
}
