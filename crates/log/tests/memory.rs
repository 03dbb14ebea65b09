//! Partitions in memory: read and acknowledged at once, gone after a restart, and no offset is given twice all the same.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::collections::BTreeMap;

use common::*;
use duolog_log::{AppendError, Entry, Log, LogConfig, NewRecord, Partition};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::{Lsn, Nanos, Offset, PartitionId, TimestampMs};
use proptest::prelude::*;
use roaring::RoaringTreemap;

const LIMIT: u64 = 64 << 10;

fn small() -> LogConfig {
    LogConfig { memory_bytes: LIMIT, ..config("/data") }
}

fn opened() -> (SimEnv, Log) {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), small()).unwrap();
    (sim, log)
}

fn create_in_memory(log: &Log) -> Partition {
    let partition = create(log);
    partition.hold_in_memory();
    settle(log);
    partition
}

/// The partition after a power cut, held in memory again.
fn after_power_cut(sim: &SimEnv, id: PartitionId) -> (SimEnv, Log, Partition) {
    let again = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
    let (log, _) = open(&again.env(), small()).unwrap();
    let partition = log.partition(id).unwrap();
    partition.hold_in_memory();
    (again, log, partition)
}

fn put(partition: &Partition, value: &str) -> duolog_log::Appended {
    let value = Some(value.as_bytes());
    partition.append_record(NewRecord { key: None, value, headers: &[], arrival: Nanos(5_000_000) }).unwrap()
}

fn set(offsets: impl IntoIterator<Item = u64>) -> RoaringTreemap {
    offsets.into_iter().collect()
}

fn all(partition: &Partition) -> Vec<(i64, String)> {
    read_all(partition).unwrap()
}

fn expected(of: &[(i64, &str)]) -> Vec<(i64, String)> {
    of.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

#[test]
fn what_is_appended_is_there_at_once_and_never_written() {
    let (sim, log) = opened();
    let memory = create_in_memory(&log);
    let before = log.stats().entries;
    assert_eq!(put(&memory, "a").lsn, Lsn::ZERO, "nothing to wait for");
    let appended = memory.append(batch(&["b", "c"])).unwrap();
    assert_eq!((appended.base_offset, appended.end_offset, appended.lsn), (Offset(1), Offset(3), Lsn::ZERO));
    assert_eq!(all(&memory), expected(&[(0, "a"), (1, "b"), (2, "c")]));
    settle(&log);
    log.checkpoint().unwrap();
    assert_eq!(log.stats().entries, before, "nothing was queued for the WAL");
    let chunk = read(&memory, spec(Offset(1))).unwrap();
    assert_eq!((chunk.arrivals, chunk.next_offset), (vec![Nanos(7)], Offset(3)));

    let end = memory.end();
    let (_, log, memory) = after_power_cut(&sim, memory.id());
    assert!(memory.end() >= end && memory.start() == memory.high_watermark(), "{:?}", memory.bounds());
    assert_eq!((all(&memory), memory.size_bytes(), log.stats().memory_bytes), (vec![], 0, 0));
}

#[test]
fn what_could_be_given_again_is_not_shown() {
    let (sim, log) = opened();
    let memory = create(&log);
    settle(&log);
    memory.hold_in_memory();
    let appended = put(&memory, "a");
    assert!(appended.lsn > log.durable_lsn(), "the reservation isn't durable");
    assert_eq!((memory.high_watermark(), all(&memory)), (Offset(0), vec![]));
    settle(&log);
    assert!(appended.lsn <= log.durable_lsn());
    assert_eq!(all(&memory), expected(&[(0, "a")]));
    let end = memory.end();
    let (_, _log, memory) = after_power_cut(&sim, memory.id());
    assert!(memory.end() >= end);
}

#[test]
fn a_batch_beyond_the_reserved_end_waits_for_the_next_block() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), LogConfig { memory_bytes: 1 << 30, ..config("/data") }).unwrap();
    let memory = create_in_memory(&log);
    put(&memory, "a");
    let many = vec!["x"; 40_000];
    let appended = memory.append(batch(&many)).unwrap();
    assert!(appended.lsn > log.durable_lsn());
    assert_eq!(memory.high_watermark(), Offset(1), "not a part of it either");
    settle(&log);
    assert_eq!((memory.high_watermark(), memory.end()), (Offset(40_001), Offset(40_001)));
    // From here on the next block is asked for before it is needed.
    let mut waited = 0;
    for _ in 0..50_000 {
        waited += u64::from(put(&memory, "y").lsn > log.durable_lsn());
        if memory.end().0 % 1000 == 0 {
            settle(&log);
        }
    }
    assert_eq!(waited, 0);
}

#[test]
fn offsets_are_never_given_twice_over_many_crashes_and_checkpoints() {
    let (mut sim, log) = opened();
    let mut memory = create_in_memory(&log);
    let (mut log, id) = (log, memory.id());
    let mut newest = Offset(-1);
    for round in 0..20 {
        for _ in 0..3 {
            let appended = put(&memory, "v");
            assert!(appended.base_offset > newest, "round {round}");
            if appended.lsn <= log.durable_lsn() {
                newest = appended.base_offset;
            }
        }
        if round % 3 == 0 {
            settle(&log);
            newest = memory.end().plus(-1);
        }
        if round % 4 == 0 {
            log.checkpoint().unwrap();
            newest = memory.end().plus(-1);
        }
        if round % 5 == 4 {
            log.close().unwrap();
        }
        (sim, log, memory) = after_power_cut(&sim, id);
    }
    drop((sim, log));
}

#[test]
fn deletes_and_trims_give_memory_back_at_once() {
    let (_sim, log) = opened();
    let memory = create_in_memory(&log);
    put(&memory, "a");
    memory.append(batch(&["b", "c", "d", "e"])).unwrap();
    put(&memory, "f");
    let full = log.stats().memory_bytes;
    assert_eq!(memory.delete(&set([0, 99])).unwrap(), Lsn::ZERO);
    let without_a = log.stats().memory_bytes;
    assert!(without_a < full);
    memory.delete(&set([2])).unwrap();
    assert_eq!(all(&memory), expected(&[(1, "b"), (3, "d"), (4, "e"), (5, "f")]));
    assert_eq!(memory.dead_count(Offset(0), Offset(9)), 1);
    memory.delete(&set([2, 3])).unwrap();
    assert!(log.stats().memory_bytes < without_a, "half of the batch is dead: it was made anew");
    assert_eq!(all(&memory), expected(&[(1, "b"), (4, "e"), (5, "f")]));
    memory.delete(&set([1, 4])).unwrap();
    assert_eq!(all(&memory), expected(&[(5, "f")]));
    // With what else the entry says.
    let entry = Entry::new().delete(memory.id(), set([5]));
    assert_eq!(log.submit(entry).unwrap(), Lsn::ZERO);
    assert_eq!((all(&memory), memory.size_bytes(), log.stats().memory_bytes), (vec![], 0, 0));
    // A reader gets on where nothing is left.
    assert_eq!(read(&memory, spec(Offset(0))).unwrap().next_offset, Offset(6));

    (0..10).for_each(|_| _ = put(&memory, "g"));
    memory.trim(Offset(15)).unwrap();
    assert_eq!((memory.start(), all(&memory).len()), (Offset(15), 1));
    assert_eq!(memory.trim(Offset(99)).unwrap(), Lsn::ZERO);
    assert_eq!((memory.start(), log.stats().memory_bytes), (Offset(16), 0));
}

#[test]
fn what_is_over_the_budget_is_refused() {
    let (_sim, log) = opened();
    let (one, other) = (create_in_memory(&log), create_in_memory(&log));
    let value = "x".repeat(1000);
    let mut count = 0;
    let refused = loop {
        let partition = if count % 2 == 0 { &one } else { &other };
        let record = NewRecord { key: None, value: Some(value.as_bytes()), headers: &[], arrival: Nanos(1) };
        match partition.append_record(record) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::MemoryFull { limit_bytes: LIMIT, .. }), "{refused}");
    assert!((40..64).contains(&count), "{count}");
    assert!(log.stats().memory_bytes <= LIMIT);
    let end = one.end();
    one.trim(Offset(2)).unwrap();
    assert_eq!(put(&one, &value).base_offset, end, "the refused one took no offset");
    log.submit(Entry::new().drop_partition(one.id())).unwrap();
    settle(&log);
    assert!(log.stats().memory_bytes < LIMIT * 2 / 3);
    assert!(matches!(one.append(batch(&["x"])), Err(AppendError::Dropped(_))));
}

#[test]
fn a_partition_on_disk_that_becomes_one_in_memory_lets_go_of_its_data() {
    let (sim, log) = opened();
    let partition = create_with_segments(&log);
    partition.append(batch(&["tail"])).unwrap();
    settle(&log);
    let end = partition.end();
    let (_, log, memory) = after_power_cut(&sim, partition.id());
    assert_eq!((memory.start(), memory.end(), all(&memory)), (end, end, vec![]));
    settle(&log);
    log.checkpoint().unwrap();
    put(&memory, "new");
    assert_eq!(all(&memory), expected(&[(end.0, "new")]));
    assert_eq!(memory.extents().len(), 1);
}

#[test]
fn batches_are_found_by_time() {
    let (_sim, log) = opened();
    let memory = create_in_memory(&log);
    memory.append(batch_at(&[("a", 10), ("b", 90)])).unwrap();
    memory.append(batch_at(&[("c", 20), ("d", 30)])).unwrap();
    let base =
        |found: Option<bytes::Bytes>| found.map(|batch| i64::from_be_bytes(batch[..8].try_into().unwrap()));
    assert_eq!(base(memory.find_by_timestamp(TimestampMs(15)).unwrap()), Some(0));
    assert_eq!(base(memory.find_max_timestamp().unwrap()), Some(0));
    memory.delete(&set([1])).unwrap();
    assert_eq!(base(memory.find_by_timestamp(TimestampMs(15)).unwrap()), Some(2));
    assert_eq!(base(memory.find_max_timestamp().unwrap()), Some(2));
    assert_eq!(base(memory.find_by_timestamp(TimestampMs(31)).unwrap()), None);
}

#[derive(Clone, Debug)]
enum Step {
    Record,
    Batch(usize),
    Delete(Vec<u64>),
    Trim(u64),
    Skip(u64),
    Settle,
    Checkpoint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Record),
        3 => (1..9usize).prop_map(Step::Batch),
        4 => prop::collection::vec(0..60u64, 1..8).prop_map(Step::Delete),
        1 => (0..60u64).prop_map(Step::Trim),
        1 => (0..9u64).prop_map(Step::Skip),
        1 => Just(Step::Settle),
        1 => Just(Step::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Readers get what a map would hold; all of the budget comes back.
    #[test]
    fn it_is_a_map(steps in prop::collection::vec(step(), 1..60)) {
        let (_sim, log) = opened();
        let memory = create_in_memory(&log);
        let (mut model, mut next, mut start) = (BTreeMap::new(), 0i64, 0i64);
        for step in steps {
            match step {
                Step::Record => {
                    put(&memory, &format!("v{next}"));
                    model.insert(next, format!("v{next}"));
                    next += 1;
                }
                Step::Batch(count) => {
                    let values: Vec<String> = (next..).take(count).map(|at| format!("v{at}")).collect();
                    memory.append(batch(&values.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
                    model.extend((next..).zip(values));
                    next += count as i64;
                }
                Step::Delete(offsets) => {
                    memory.delete(&set(offsets.iter().copied())).unwrap();
                    offsets.iter().for_each(|offset| _ = model.remove(&(*offset as i64)));
                }
                Step::Trim(to) => {
                    memory.trim(Offset(to as i64)).unwrap();
                    start = start.max(next.min(to as i64));
                    model.retain(|offset, _| *offset >= start);
                }
                Step::Skip(by) => {
                    next += by as i64;
                    memory.skip_to(Offset(next)).unwrap();
                }
                Step::Settle => settle(&log),
                Step::Checkpoint => log.checkpoint().unwrap(),
            }
            prop_assert_eq!(all(&memory), model.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!((memory.start().0, memory.high_watermark().0, memory.end().0), (start, next, next));
        }
        memory.trim(memory.end()).unwrap();
        prop_assert_eq!((log.stats().memory_bytes, memory.size_bytes()), (0, 0));
    }
}
