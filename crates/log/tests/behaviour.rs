//! What the log does, on a simulated disk that the test drives and on a real one with threads.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use common::*;
use duolog_env::Env;
use duolog_log::{AppendError, Entry, OpenError, ReadError, Watch};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::{Lsn, Offset, PartitionId, TimestampMs};

fn reopened(disk: &SimDisk) -> Env {
    SimEnv::with_disk(SimDisk::from_image(disk.power_cut()), 2).env()
}

#[test]
fn nothing_is_readable_before_it_is_durable() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    settle(&log);
    let appended = orders.append(batch(&["a", "b"])).unwrap();
    assert_eq!((appended.base_offset, appended.end_offset), (Offset(0), Offset(2)));
    assert_eq!((orders.end(), orders.high_watermark()), (Offset(2), Offset(0)));
    assert!(read(&orders, spec(Offset(0))).unwrap().runs.is_empty());
    assert!(log.durable_lsn() < appended.lsn);
    settle(&log);
    assert_eq!((orders.high_watermark(), log.durable_lsn()), (Offset(2), appended.lsn));
    assert_eq!(read_all(&orders).unwrap(), [(0, "a".into()), (1, "b".into())]);
}

#[test]
fn everything_acknowledged_survives_a_power_cut() {
    let sim = SimEnv::new(1);
    let (log, table) = open(&sim.env(), config("/data")).unwrap();
    let (orders, users) = (create(&log), create(&log));
    table.set(&log, "k", "1");
    orders.append(batch(&["a", "b"])).unwrap();
    users.append(batch(&["u"])).unwrap();
    settle(&log);
    orders.append(batch(&["never acknowledged"])).unwrap();

    let (again, table) = open(&reopened(&sim.disk), config("/data")).unwrap();
    assert_eq!(read_all(&partition(&again, orders.id())).unwrap(), [(0, "a".into()), (1, "b".into())]);
    assert_eq!(read_all(&partition(&again, users.id())).unwrap(), [(0, "u".into())]);
    assert_eq!(table.all()["k"], "1");
    assert!(again.allocate_partitions(1) > users.id(), "a partition's number is never given twice");
}

#[test]
fn reads_are_the_same_from_memory_wal_and_segments() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    let long = "x".repeat(700);
    let expected: Vec<(i64, String)> = (0..200).map(|n| (n, format!("{n}-{long}"))).collect();
    for (index, (_, value)) in expected.iter().enumerate() {
        orders.append(batch(&[value])).unwrap();
        if index % 3 == 0 {
            settle(&log);
        }
        if index == 90 {
            settle(&log);
            log.checkpoint().unwrap();
        }
    }
    settle(&log);
    assert_eq!(read_all(&orders).unwrap(), expected);
    let extents = orders.extents();
    assert!(extents.len() > 3, "several segments and the tail: {extents:?}");
    assert_eq!(extents.last().unwrap().end_offset, Offset(200));

    log.checkpoint().unwrap();
    assert_eq!(read_all(&orders).unwrap(), expected);
    log.close().unwrap();
    let (again, _) = open(&reopened(&sim.disk), config("/data")).unwrap();
    assert_eq!(again.recovery().entries, 0, "a clean end leaves nothing to replay");
    assert_eq!(read_all(&partition(&again, orders.id())).unwrap(), expected);
}

#[test]
fn a_lost_index_is_rebuilt_and_a_damaged_segment_is_an_error_for_its_range_only() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let (orders, users) = (create(&log), create(&log));
    for n in 0..100 {
        orders.append(batch(&[&format!("{n}-{}", "x".repeat(3000))])).unwrap();
        users.append(batch(&["u"])).unwrap();
        settle(&log);
    }
    log.checkpoint().unwrap();
    let expected = read_all(&orders).unwrap();
    log.close().unwrap();

    let env = reopened(&sim.disk);
    let shard = std::path::Path::new("/data/segments/01");
    for name in env.disk.list(shard).unwrap().iter().filter(|name| name.ends_with(".idx")) {
        env.disk.remove(&shard.join(name)).unwrap();
    }
    let (again, _) = open(&env, config("/data")).unwrap();
    assert_eq!(read_all(&partition(&again, orders.id())).unwrap(), expected);
    drop(again);

    let disk = SimDisk::from_image(sim.disk.power_cut());
    let first = disk_list(&disk, shard).into_iter().find(|name| name.ends_with(".seg")).unwrap();
    disk.flip_bit(&shard.join(&first), 5000, 3).unwrap();
    let (again, _) = open(&SimEnv::with_disk(disk, 3).env(), config("/data")).unwrap();
    let damaged = read_all(&partition(&again, orders.id())).unwrap_err();
    assert!(matches!(&damaged, ReadError::Corrupt { path, .. } if path.ends_with(&first)), "{damaged}");
    assert!(read(&partition(&again, orders.id()), spec(Offset(60))).is_ok(), "the rest is served");
    assert_eq!(read_all(&partition(&again, users.id())).unwrap().len(), 100);
}

fn disk_list(disk: &SimDisk, dir: &std::path::Path) -> Vec<String> {
    use duolog_env::Disk;
    disk.list(dir).unwrap()
}

#[test]
fn a_partition_ends_before_the_numbers_do() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    let beyond = orders.skip_to(Offset(Offset::END_MAX.0 + 1)).unwrap_err();
    assert!(matches!(beyond, AppendError::OffsetsExhausted { end } if end > Offset::END_MAX), "{beyond}");
    orders.skip_to(Offset(Offset::END_MAX.0 - 1)).unwrap();
    orders.append(batch(&["last"])).unwrap();
    assert!(matches!(orders.append(batch(&["none left"])), Err(AppendError::OffsetsExhausted { .. })));
    settle(&log);
    drop((orders, log));
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = log.partition(PartitionId(1)).unwrap();
    assert_eq!(read(&orders, spec(Offset(Offset::END_MAX.0 - 1))).unwrap().next_offset, Offset::END_MAX);
}

#[test]
fn trims_skips_and_drops_survive() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let (orders, gone) = (create(&log), create(&log));
    orders.append(batch(&["a", "b"])).unwrap();
    orders.skip_to(Offset(10)).unwrap();
    orders.append(batch(&["c"])).unwrap();
    gone.append(batch(&["x"])).unwrap();
    settle(&log);
    assert_eq!(orders.trim(Offset(1)).unwrap(), log.last_lsn());
    log.submit(Entry::new().drop_partition(gone.id())).unwrap();
    assert!(matches!(gone.append(batch(&["y"])), Err(AppendError::Dropped(_))));
    assert_eq!(orders.start(), Offset(0), "not before it is durable");
    settle(&log);
    let expected = vec![(1, "b".to_string()), (10, "c".to_string())];
    assert_eq!(read_all(&orders).unwrap(), expected);
    let below = read(&orders, spec(Offset(0))).unwrap_err();
    assert!(matches!(below, ReadError::OutOfRange { start: Offset(1), end: Offset(11), .. }), "{below}");
    assert!(matches!(read(&gone, spec(Offset(0))), Err(ReadError::Dropped(_))));

    for with_checkpoint in [false, true] {
        if with_checkpoint {
            log.checkpoint().unwrap();
        }
        let (again, _) = open(&reopened(&sim.disk), config("/data")).unwrap();
        assert_eq!(read_all(&partition(&again, orders.id())).unwrap(), expected);
        assert_eq!(partition(&again, orders.id()).end(), Offset(11));
        assert!(again.partition(gone.id()).is_none());
    }
}

#[test]
fn a_gap_at_the_end_is_served_as_an_empty_batch() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    orders.append(batch(&["a"])).unwrap();
    orders.skip_to(Offset(5)).unwrap();
    settle(&log);
    for _ in 0..2 {
        let chunk = read(&orders, spec(Offset(1))).unwrap();
        assert_eq!(chunk.next_offset, Offset(5));
        let header = duolog_record::BatchHeader::parse(&chunk.runs[0]).unwrap();
        assert_eq!(
            (header.base_offset, header.last_offset(), header.record_count),
            (Offset(1), Offset(4), 0)
        );
        log.checkpoint().unwrap();
    }
}

#[test]
fn retention_frees_segments_and_wal_files_are_used_again() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    for round in 0..30 {
        for _ in 0..10 {
            orders.append(batch(&["x".repeat(2000).as_str()])).unwrap();
            settle(&log);
        }
        orders.trim(Offset(round * 10)).unwrap();
        settle(&log);
        log.checkpoint().unwrap();
    }
    let wal = disk_list(&sim.disk, std::path::Path::new("/data/wal"));
    assert!(wal.len() <= 5, "{wal:?}");
    let segments = disk_list(&sim.disk, std::path::Path::new("/data/segments/01"));
    assert!(segments.len() <= 8, "{segments:?}");
    let snapshots = disk_list(&sim.disk, std::path::Path::new("/data/snapshots"));
    assert!(snapshots.len() <= 3, "{snapshots:?}");
    assert_eq!(read_all(&orders).unwrap().len(), 10);
}

#[test]
fn a_checkpoint_that_finds_no_room_forgets_no_dead_segment() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create_with_segments(&log);
    let shard = std::path::Path::new("/data/segments/01");
    assert!(!disk_list(&sim.disk, shard).is_empty());
    orders.trim(Offset(30)).unwrap();
    settle(&log);
    // Less than what is used: what the log holds in reserve doesn't help either.
    sim.disk.set_capacity(Some(1));
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoint_failures, 1);
    sim.disk.set_capacity(None);
    log.checkpoint().unwrap();
    assert_eq!(disk_list(&sim.disk, shard), Vec::<String>::new());
}

#[test]
fn a_stopped_log_writes_nothing_more() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    settle(&log);
    sim.disk.fail_sync(1);
    orders.append(batch(&["a"])).unwrap();
    log.commit().unwrap_err();
    let before = sim.disk.boundary();
    assert!(log.commit().is_err() && log.checkpoint().is_err() && log.close().is_err());
    assert!(!log.prepare_wal().unwrap());
    let trace = sim.disk.trace();
    assert_eq!(sim.disk.boundary(), before, "{:?}", &trace.ops()[before..]);
}

#[test]
fn a_failed_write_stops_the_log_and_loses_nothing_acknowledged() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    orders.append(batch(&["a"])).unwrap();
    settle(&log);
    sim.disk.fail_sync(1);
    let failed = orders.append(batch(&["b"])).unwrap();
    let poisoned = log.commit().unwrap_err();
    assert_eq!(poisoned.action, "write to the WAL");
    assert!(log.durable_lsn() < failed.lsn);
    assert_eq!(orders.high_watermark(), Offset(1));
    assert!(matches!(orders.append(batch(&["c"])), Err(AppendError::Poisoned(_))));
    assert!(log.checkpoint().is_err());

    let (again, _) = open(&reopened(&sim.disk), config("/data")).unwrap();
    assert_eq!(read_all(&partition(&again, orders.id())).unwrap()[0], (0, "a".into()));
}

#[test]
fn a_full_disk_refuses_data_but_not_state_and_recovers() {
    let sim = SimEnv::new(1);
    let (log, table) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    settle(&log);
    while log.prepare_wal().unwrap() {}
    sim.disk.set_capacity(Some(used(&sim.disk) + (20 << 10)));
    log.measure_space();
    assert!(matches!(orders.append(batch(&["a"])), Err(AppendError::DiskFull { .. })));
    table.set(&log, "k", "still goes");
    settle(&log);
    sim.disk.set_capacity(None);
    log.measure_space();
    orders.append(batch(&["a"])).unwrap();
    settle(&log);
    assert_eq!(read_all(&orders).unwrap().len(), 1);
}

fn used(disk: &SimDisk) -> u64 {
    use duolog_env::Disk;
    disk.set_capacity(Some(1 << 40));
    let space = disk.space(std::path::Path::new("/data")).unwrap();
    space.total_bytes - space.free_bytes
}

#[test]
fn a_flipped_bit_below_the_durable_end_is_refused_and_can_be_given_up() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    settle(&log);
    for value in ["a", "b", "c"] {
        orders.append(batch(&[value])).unwrap();
        settle(&log);
    }
    // Groups: header sector, create, a, b, c.
    let disk = SimDisk::from_image(sim.disk.power_cut());
    disk.flip_bit(std::path::Path::new("/data/wal/00000001.wal"), 2 * 4096 + 150, 0).unwrap();
    let refused = open(&SimEnv::with_disk(disk.clone(), 3).env(), config("/data")).map(|_| ()).unwrap_err();
    let OpenError::Corrupt { position, after, .. } = &refused else { panic!("{refused}") };
    assert_eq!((*position, *after), (2 * 4096, Lsn(1)), "{refused}");
    assert!(refused.to_string().contains("--give-up-damaged"), "{refused}");

    let damage = duolog_log::DamagePolicy::GiveUp;
    let config = duolog_log::LogConfig { damage, ..config("/data") };
    let (again, _) = open(&SimEnv::with_disk(disk, 3).env(), config).unwrap();
    assert_eq!(again.recovery().given_up, 1);
    assert_eq!(read_all(&partition(&again, orders.id())).unwrap(), [(1, "b".into()), (2, "c".into())]);
}

#[test]
fn a_directory_is_used_by_one_log_at_a_time() {
    let sim = SimEnv::new(1);
    let (_log, _) = open(&sim.env(), config("/data")).unwrap();
    assert!(matches!(open(&sim.env(), config("/data")), Err(OpenError::InUse { .. })));
}

#[test]
fn batches_are_found_by_time_wherever_they_stand() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    for times in [[10, 20], [15, 40], [5, 30], [50, 60]] {
        orders.append(batch_at(&[("x", times[0]), ("y", times[1])])).unwrap();
        settle(&log);
    }
    let base = |found: Option<bytes::Bytes>| {
        found.map(|b| duolog_record::BatchHeader::parse(&b).unwrap().base_offset.0)
    };
    for _ in 0..2 {
        assert_eq!(base(orders.find_by_timestamp(TimestampMs(0)).unwrap()), Some(0));
        assert_eq!(base(orders.find_by_timestamp(TimestampMs(21)).unwrap()), Some(2));
        assert_eq!(base(orders.find_by_timestamp(TimestampMs(41)).unwrap()), Some(6));
        assert_eq!(base(orders.find_by_timestamp(TimestampMs(61)).unwrap()), None);
        assert_eq!(base(orders.find_max_timestamp().unwrap()), Some(6));
        log.checkpoint().unwrap();
    }
}

#[test]
fn the_largest_timestamp_is_sought_among_readable_records_only() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let (orders, cut) = (create(&log), create(&log));
    for time in [9000, 5000, 6000] {
        orders.append(batch_at(&[("x", time)])).unwrap();
    }
    // Here the start cuts into the batch with the largest timestamp.
    for times in [[9000, 1000], [5000, 6000], [2000, 3000]] {
        cut.append(batch_at(&[("x", times[0]), ("y", times[1])])).unwrap();
    }
    settle(&log);
    let base = |partition: &duolog_log::Partition| {
        let found = partition.find_max_timestamp().unwrap().unwrap();
        duolog_record::BatchHeader::parse(&found).unwrap().base_offset.0
    };
    assert_eq!((base(&orders), base(&cut)), (0, 0));
    orders.trim(Offset(1)).unwrap();
    cut.trim(Offset(1)).unwrap();
    settle(&log);
    assert_eq!((base(&orders), base(&cut)), (2, 2), "in the tail");
    log.checkpoint().unwrap();
    assert_eq!((base(&orders), base(&cut)), (2, 2), "in segments");
    // In a segment made before the trim, and in the block that the start cuts.
    for id in [&orders, &cut] {
        id.trim(Offset(2)).unwrap();
    }
    settle(&log);
    assert_eq!((base(&orders), base(&cut)), (2, 2), "cut behind the checkpoint");
    cut.trim(Offset(4)).unwrap();
    settle(&log);
    assert_eq!(base(&cut), 4);
    cut.trim(Offset(6)).unwrap();
    settle(&log);
    assert_eq!(cut.find_max_timestamp().unwrap(), None);
}

#[tokio::test]
async fn a_watch_tells_of_the_partitions_with_news_only() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let (orders, users) = (create(&log), create(&log));
    settle(&log);
    let watch = Watch::new();
    let guard = orders.watch(&watch, 1);
    let _users = users.watch(&watch, 2);
    orders.append(batch(&["a"])).unwrap();
    orders.append(batch(&["b"])).unwrap();
    assert_eq!(watch.take_ready(), [] as [u64; 0], "not before it is durable");
    settle(&log);
    watch.ready().await;
    assert_eq!(watch.take_ready(), [1]);
    assert!(watch.bytes_seen() > 100);
    drop(guard);
    orders.append(batch(&["c"])).unwrap();
    users.append(batch(&["c"])).unwrap();
    settle(&log);
    assert_eq!(watch.take_ready(), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_log_with_threads_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real();
    let config = duolog_log::LogConfig { threads: true, wal_file_bytes: 1 << 20, ..config(dir.path()) };
    let (log, table) = open(&env, config.clone()).unwrap();
    let partitions: Vec<_> = (0..20).map(|_| create(&log)).collect();
    let writers: Vec<_> = partitions
        .iter()
        .cloned()
        .map(|partition| {
            let log = log.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    let appended = partition.append(batch(&[&format!("{n}-{}", "y".repeat(500))])).unwrap();
                    log.durable(appended.lsn).await.unwrap();
                    assert!(partition.high_watermark() >= appended.end_offset, "durable is readable");
                    if n == 50 {
                        let log = log.clone();
                        tokio::task::spawn_blocking(move || log.checkpoint()).await.unwrap().unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let lsn = table.set(&log, "k", "v");
    log.durable(lsn).await.unwrap();
    let again_config = config.clone();
    drop((log, partitions));

    let (log, table) = open(&env, again_config).unwrap();
    assert!(log.recovery().entries > 0, "it wasn't closed, so it is replayed");
    assert_eq!(table.all()["k"], "v");
    for id in 1..=20 {
        let found = read_all(&partition(&log, duolog_types::PartitionId(id))).unwrap();
        assert_eq!(found.len(), 100);
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(n, (offset, value))| { *offset == n as i64 && value.starts_with(&format!("{n}-")) })
        );
    }
    log.close().unwrap();
}

/// Fails with the first error line, as a full or closed stderr may.
struct BrokenOutput;

impl tracing::Subscriber for BrokenOutput {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        panic!("the output is gone");
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Polls what another thread will make true; the test's own deadline ends it if that never comes.
#[expect(clippy::disallowed_methods, reason = "the patience of a test is real time")]
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_true() {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{what}");
        std::thread::yield_now();
    }
}

/// Knows which thread woke it.
#[derive(Default)]
struct WokenBy(parking_lot::Mutex<Option<std::thread::ThreadId>>);

impl std::task::Wake for WokenBy {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.lock().get_or_insert(std::thread::current().id());
    }
}

#[test]
fn a_lone_append_is_committed_by_its_caller_and_sealed_by_the_log() {
    let sim = SimEnv::new(1);
    let config = duolog_log::LogConfig { threads: true, ..config("/data") };
    let (log, _) = open(&sim.env(), config).unwrap();
    let orders = create(&log);
    let (mut appended, this) = (0, std::thread::current().id());
    until("a caller commits what it appended", || {
        let lone = orders.append_deferred(batch(&["a"])).unwrap();
        appended += 1;
        let woken_by = std::sync::Arc::new(WokenBy::default());
        let mut durable = Box::pin(log.durable(lone.lsn));
        let waker = std::task::Waker::from(woken_by.clone());
        let waits = durable.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending();
        log.commit_queued();
        until("it is durable", || log.durable_lsn() >= lone.lsn);
        // Before it sleeps for the first time, the log's own thread may be quicker.
        waits && *woken_by.0.lock() == Some(this)
    });
    let groups = log.stats().groups;
    sim.clock.advance(std::time::Duration::from_millis(5));
    until("the log's thread seals the caller's group", || log.stats().groups == groups + 1);

    let first = orders.append_deferred(batch(&["b"])).unwrap();
    let second = orders.append_deferred(batch(&["c"])).unwrap();
    log.commit_queued();
    until("several are durable as well", || log.durable_lsn() >= second.lsn);
    assert!(first.lsn < second.lsn);
    let last = orders.append_deferred(batch(&["d"])).unwrap();
    log.commit_soon();
    until("and what nobody waits for", || log.durable_lsn() >= last.lsn);
    assert_eq!(read_all(&orders).unwrap().len(), appended + 3);
    log.close().unwrap();
}

#[test]
fn a_log_that_stops_does_so_though_nobody_takes_the_line_about_it() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    settle(&log);
    sim.disk.fail_sync(1);
    orders.append(batch(&["a"])).unwrap();
    let commit = std::panic::AssertUnwindSafe(|| log.commit());
    tracing::subscriber::with_default(BrokenOutput, || std::panic::catch_unwind(commit)).unwrap_err();
    assert!(log.stats().poisoned);
    assert!(matches!(orders.append(batch(&["b"])), Err(AppendError::Poisoned(_))));
}

/// A table whose snapshot is a bug.
struct Panics;

impl duolog_log::Table for Panics {
    fn id(&self) -> duolog_log::TableId {
        KEYS
    }
    fn restore(&self, _: u32, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn apply(&self, _: u32, _: &[u8], _: Lsn) -> Result<(), String> {
        Ok(())
    }
    fn snapshot(&self, _: u32) -> duolog_log::ShardSnapshot {
        panic!("a bug in a table");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_panics_stops_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = duolog_log::LogConfig {
        threads: true,
        checkpoint_age: std::time::Duration::ZERO,
        ..config(dir.path())
    };
    let log = duolog_log::Log::open(&Env::real(), config, vec![std::sync::Arc::new(Panics)]).unwrap();
    let lsn = log.submit(Entry::new().state(KEYS, 0, "k=v")).unwrap();
    log.durable(lsn).await.unwrap();
    let patience = std::time::Duration::from_secs(30);
    let reason = tokio::time::timeout(patience, log.until_poisoned()).await.expect("the log stops");
    assert_eq!(reason.detail, "a bug in a table");
}

/// Somebody who waits, with a bug that shows on one thread only.
struct PanicsOn(std::thread::ThreadId, std::sync::atomic::AtomicBool);

impl std::task::Wake for PanicsOn {
    fn wake(self: std::sync::Arc<Self>) {
        if std::thread::current().id() == self.0 {
            self.1.store(true, std::sync::atomic::Ordering::SeqCst);
            panic!("a bug in a waiter");
        }
    }
}

#[test]
fn a_caller_that_panics_while_it_commits_stops_the_log() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), duolog_log::LogConfig { threads: true, ..config("/data") }).unwrap();
    let orders = create(&log);
    let waiter = std::sync::Arc::new(PanicsOn(std::thread::current().id(), false.into()));
    // The log's own thread may be quicker at first.
    until("a caller commits what it appended", || {
        let lone = orders.append_deferred(batch(&["a"])).unwrap();
        let mut durable = Box::pin(log.durable(lone.lsn));
        let waker = std::task::Waker::from(waiter.clone());
        let _ = durable.as_mut().poll(&mut std::task::Context::from_waker(&waker));
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| log.commit_queued()));
        until("it is durable", || log.durable_lsn() >= lone.lsn);
        waiter.1.load(std::sync::atomic::Ordering::SeqCst)
    });
    assert!(log.stats().poisoned, "what the panic left half done is unknown");
    assert!(orders.append(batch(&["b"])).is_err());
}
