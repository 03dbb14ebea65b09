//! What the log does while its disk is full: it refuses data early, gives back what it can't use, and frees what is
//! dead.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::path::Path;

use common::*;
use duolog_env::{Disk, OpenMode};
use duolog_log::{AppendError, Log, LogConfig};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::{Lsn, Offset, PartitionId};

const SEGMENTS: &str = "/data/segments/01";

fn used(disk: &SimDisk) -> u64 {
    disk.set_capacity(Some(1 << 40));
    let space = disk.space(Path::new("/data")).unwrap();
    space.total_bytes - space.free_bytes
}

#[test]
fn a_second_of_data_never_takes_more_than_the_reading_found_free() {
    let sim = SimEnv::new(1);
    let (log, table) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    settle(&log);
    sim.disk.set_capacity(Some(used(&sim.disk) + (400 << 10)));
    log.measure_space();
    let mut admitted = 0;
    // The disk isn't looked at again, as within the second between two readings.
    let refused = loop {
        match orders.append(batch(&["x".repeat(3600).as_str()])) {
            Ok(_) => admitted += 3600,
            Err(error) => break error,
        }
        assert!(admitted < 400 << 10, "all that is free, with no room left for a checkpoint");
        settle(&log);
    };
    assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused}");
    assert!(admitted > 0);
    table.set(&log, "k", "control entries go on");
    settle(&log);
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoint_failures, 0, "what was admitted has its room");
}

#[test]
fn a_checkpoint_without_room_takes_none() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    // A segment that the next checkpoint extends, and enough for new ones behind it.
    orders.append(batch(&["first"])).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    for _ in 0..60 {
        orders.append(batch(&["x".repeat(4000).as_str()])).unwrap();
        settle(&log);
    }
    let expected = read_all(&orders).unwrap();
    let names = sim.disk.list(Path::new(SEGMENTS)).unwrap();
    sim.disk.set_capacity(Some(used(&sim.disk)));
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoint_failures, 1);
    // What is left of the reserve is free; and so is all that the attempt wrote.
    let before = used(&sim.disk);
    sim.disk.set_capacity(Some(before + (40 << 10)));
    for _ in 0..3 {
        log.checkpoint().unwrap();
    }
    assert_eq!(log.stats().checkpoint_failures, 4);
    assert_eq!(sim.disk.list(Path::new(SEGMENTS)).unwrap(), names);
    assert_eq!(used(&sim.disk), before);
    assert_eq!(read_all(&orders).unwrap(), expected);
    sim.disk.set_capacity(None);
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoint_failures, 4);
    assert_eq!(read_all(&orders).unwrap(), expected);
}

#[test]
fn what_was_trimmed_is_freed_though_nothing_is_free() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create_with_segments(&log);
    orders.trim(Offset(30)).unwrap();
    settle(&log);
    sim.disk.set_capacity(Some(used(&sim.disk)));
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoint_failures, 0);
    assert_eq!(sim.disk.list(Path::new(SEGMENTS)).unwrap(), Vec::<String>::new());
    // There is room again, so the reserve is back.
    sim.disk.set_capacity(None);
    log.measure_space();
    assert!(sim.disk.list(Path::new("/data")).unwrap().contains(&"BALLAST".to_string()));
}

#[test]
fn no_spare_is_made_of_what_a_checkpoint_needs() {
    let sim = SimEnv::new(1);
    let (log, _) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    orders.append(batch(&["x".repeat(30_000).as_str()])).unwrap();
    settle(&log);
    sim.disk.set_capacity(Some(used(&sim.disk) + (70 << 10)));
    log.measure_space();
    assert!(log.stats().disk_full);
    while log.prepare_wal().unwrap() {}
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoint_failures, 0);
    assert_eq!(sim.disk.list(Path::new("/data/wal")).unwrap().len(), 1);
}

#[test]
fn a_checkpoint_without_file_handles_is_tried_again() {
    for free in 0..12 {
        let sim = SimEnv::new(1);
        let (log, table) = open(&sim.env(), config("/data")).unwrap();
        let (orders, other) = (create(&log), create(&log));
        for n in 0..30 {
            orders.append(batch(&[&format!("{n}-{}", "x".repeat(2000))])).unwrap();
            other.append(batch(&[&format!("{n}")])).unwrap();
            settle(&log);
        }
        log.checkpoint().unwrap();
        orders.append(batch(&["newest"])).unwrap();
        table.set(&log, "key", "value");
        settle(&log);
        other.trim(Offset(30)).unwrap();
        settle(&log);
        let before = log.stats();
        sim.disk.set_open_files(Some(sim.disk.open_files() + free));
        log.checkpoint().unwrap();
        log.prepare_wal().unwrap_or_default();
        let stats = log.stats();
        assert!(!stats.poisoned, "{free}");
        let (made, failed) = (stats.checkpoints - before.checkpoints, stats.checkpoint_failures);
        assert_eq!(made + failed, 1, "{free}");
        assert!(free > 0 || failed == 1, "no handle at all");
        sim.disk.set_open_files(None);
        log.checkpoint().unwrap();
        assert_eq!((log.stats().checkpoint_failures, log.stats().poisoned), (failed, false), "{free}");
        let expected = read_all(&orders).unwrap();
        assert_eq!(expected.last(), Some(&(30, "newest".into())));
        let cut = SimDisk::from_image(sim.disk.power_cut());
        let (log, after) = open(&SimEnv::with_disk(cut, 2).env(), config("/data")).unwrap();
        assert_eq!(read_all(&partition(&log, orders.id())).unwrap(), expected, "{free}");
        assert_eq!(after.all(), table.all());
    }
}

#[test]
fn a_log_whose_directory_was_replaced_stops() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for checkpoint in [false, true] {
        let (log, _) = open(&duolog_env::Env::real(), config(&data)).unwrap();
        let orders = create(&log);
        orders.append(batch(&["a"])).unwrap();
        settle(&log);
        let aside = dir.path().join(format!("aside-{checkpoint}"));
        duolog_env::RealDisk.rename(&data, &aside).unwrap();
        let manifest = data.join("MANIFEST-a");
        if checkpoint {
            std::fs::create_dir_all(data.join("segments/01")).unwrap();
            std::fs::create_dir_all(data.join("snapshots")).unwrap();
            let reason = log.checkpoint().unwrap_err();
            assert!(reason.detail.contains("removed or replaced"), "{}", reason.detail);
        }
        log.measure_space();
        assert!(matches!(orders.append(batch(&["b"])), Err(AppendError::Poisoned(_))));
        assert!(!manifest.exists(), "nothing is written into a stranger's directory");
        drop((log, orders));
    }
}

/// Sets keys until the WAL has no room for one; returns the entry that waits.
fn set_until_stuck(log: &Log, table: &KeyTable) -> Lsn {
    for n in 0.. {
        assert!(n < 1000, "the disk was to be full");
        let lsn = table.set(log, "key", &format!("{n}-{}", "v".repeat(2000)));
        settle(log);
        if log.stats().wal_waits {
            return lsn;
        }
    }
    unreachable!()
}

#[test]
fn a_wal_without_room_waits_and_goes_on_where_it_was() {
    let sim = SimEnv::new(1);
    let config = LogConfig { queue_bytes: 80 << 10, ..config("/data") };
    let (log, table) = open(&sim.env(), config.clone()).unwrap();
    let orders = create(&log);
    orders.append(batch(&["before"])).unwrap();
    settle(&log);
    // Others take what the log gives back.
    sim.disk.set_capacity(Some(used(&sim.disk) - (128 << 10)));
    let stuck = set_until_stuck(&log, &table);
    let durable = log.durable_lsn();
    assert!(durable < stuck);
    assert!(matches!(orders.append(batch(&["no"])), Err(AppendError::DiskFull { .. })));
    // What is no data waits, up to an eighth of the queue.
    assert!(log.admits_control());
    let mut last = stuck;
    let refused = loop {
        match table.try_set(&log, "key", &"w".repeat(1000)) {
            Ok(lsn) => last = lsn,
            Err(refused) => break refused,
        }
        assert!(!log.commit().unwrap());
    };
    assert!(matches!(refused, AppendError::Overloaded { limit_bytes: 10_240, .. }), "{refused}");
    assert!(last.0 >= stuck.0 + 9);
    assert!(!log.admits_control(), "who can refuses before that");
    // Neither a checkpoint nor the spare's maker hangs, stops the log, or shows what isn't durable.
    orders.trim(Offset(1)).unwrap();
    log.checkpoint().unwrap();
    log.prepare_wal().unwrap_or_default();
    log.measure_space();
    assert_eq!((log.durable_lsn(), log.stats().poisoned, log.stats().checkpoints), (durable, false, 0));
    assert_eq!(read_all(&orders).unwrap(), [(0, "before".into())], "the trim isn't durable");
    let killed = SimDisk::from_image(sim.disk.killed());
    let (_, after) = open(&SimEnv::with_disk(killed, 2).env(), config.clone()).unwrap();
    assert!(after.all()["key"].starts_with(&format!("{}-", durable.0 - 3)), "the newest durable one");

    // Far less than a whole WAL file: it goes on in a small one, and the checkpoint gives the large ones back.
    sim.disk.set_capacity(Some(used(&sim.disk) + (48 << 10)));
    settle(&log);
    assert!(!log.stats().wal_waits && log.durable_lsn() > last);
    assert_eq!(read_all(&orders).unwrap(), []);
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoints, 1);
    sim.disk.set_capacity(None);
    log.measure_space();
    orders.append(batch(&["after"])).unwrap();
    settle(&log);
    let cut = SimDisk::from_image(sim.disk.power_cut());
    drop((log, orders));
    let (log, after) = open(&SimEnv::with_disk(cut, 3).env(), config).unwrap();
    assert_eq!(after.all(), table.all());
    assert_eq!(read_all(&partition(&log, PartitionId(1))).unwrap(), [(1, "after".into())]);
}

#[test]
fn a_clean_stop_without_room_says_what_is_not_written() {
    let sim = SimEnv::new(1);
    let (log, table) = open(&sim.env(), config("/data")).unwrap();
    let orders = create(&log);
    orders.append(batch(&["before"])).unwrap();
    settle(&log);
    // Others take what the log gives back.
    sim.disk.set_capacity(Some(used(&sim.disk) - (128 << 10)));
    let stuck = set_until_stuck(&log, &table);
    table.set(&log, "key", "behind it");
    let reason = log.close().unwrap_err();
    let expected = format!("no room for 2 entries (LSN {stuck} to {})", stuck.0 + 1);
    assert!(reason.detail.contains(&expected), "{reason}");
    drop((log, orders));
    // All that was acknowledged is there.
    let (log, after) = open(&sim.env(), config("/data")).unwrap();
    assert_eq!(log.durable_lsn().0, stuck.0 - 1);
    assert!(after.all()["key"].starts_with(&format!("{}-", stuck.0 - 4)));
    sim.disk.set_capacity(None);
    log.close().unwrap();
}

#[test]
fn a_clean_stop_makes_room_with_its_checkpoint() {
    let sim = SimEnv::new(1);
    let (log, table) = open(&sim.env(), config("/data")).unwrap();
    settle(&log);
    // No room for a third WAL file, but for what a checkpoint writes.
    sim.disk.set_capacity(Some(used(&sim.disk) + (70 << 10)));
    let filler = sim.disk.open(Path::new("/data/filler"), OpenMode::CreateNew).unwrap();
    while log.stats().wal_bytes < 60 << 10 {
        table.set(&log, "key", &"v".repeat(2000));
        settle(&log);
    }
    filler.allocate(66 << 10).unwrap();
    table.set(&log, "key", &"v".repeat(9000));
    settle(&log);
    assert!(log.stats().wal_waits);
    sim.disk.remove(Path::new("/data/filler")).unwrap();
    sim.disk.set_capacity(Some(used(&sim.disk) + (20 << 10)));
    log.close().unwrap();
    assert_eq!(log.stats().checkpoints, 1);
}

/// Queues more than the WAL has room for, and waits until its writer says so.
fn wait_until_stuck(log: &Log, table: &KeyTable) -> Lsn {
    let last = (0..200).map(|_| table.set(log, "key", &"v".repeat(2000))).last().unwrap();
    let clock = duolog_env::Env::real().clock;
    let began = clock.monotonic();
    while !log.stats().wal_waits {
        assert!((clock.monotonic() - began).as_secs() < 60, "the disk was to be full");
        std::thread::yield_now();
    }
    last
}

/// The same with the log's own threads: nobody has to call anything for the log to go on.
#[test]
fn the_writer_looks_for_room_by_itself() {
    let sim = SimEnv::new(1);
    let threads = LogConfig { threads: true, checkpoint_bytes: 1 << 30, ..config("/data") };
    let (log, table) = open(&sim.env(), threads).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let lsn = table.set(&log, "key", "before");
    runtime.block_on(log.durable(lsn)).unwrap();
    sim.disk.set_capacity(Some(used(&sim.disk)));
    let last = wait_until_stuck(&log, &table);
    assert!(log.durable_lsn() < last);
    sim.disk.set_capacity(None);
    runtime.block_on(log.durable(last)).unwrap();
    assert!(!log.stats().wal_waits);

    sim.disk.set_capacity(Some(used(&sim.disk) - (128 << 10)));
    let last = wait_until_stuck(&log, &table);
    let waiting = log.durable(last);
    let reason = log.close().unwrap_err();
    assert!(reason.detail.contains("no room"), "{reason}");
    assert_eq!(runtime.block_on(waiting).unwrap_err().detail, reason.detail);
}

#[test]
fn dead_segments_are_freed_under_more_data_than_there_is_room_for() {
    let sim = SimEnv::new(1);
    let (log, table) = open(&sim.env(), config("/data")).unwrap();
    let (old, new) = (create(&log), create(&log));
    for _ in 0..30 {
        old.append(batch(&["x".repeat(2000).as_str()])).unwrap();
        settle(&log);
    }
    log.checkpoint().unwrap();
    // More than the old segments give back.
    for _ in 0..30 {
        new.append(batch(&["y".repeat(4000).as_str()])).unwrap();
        settle(&log);
    }
    table.set(&log, "key", "kept");
    old.append(batch(&["kept"])).unwrap();
    old.trim(Offset(30)).unwrap();
    settle(&log);
    old.trim(Offset(30)).unwrap();
    settle(&log);
    let expected = read_all(&new).unwrap();
    // The reserve's room goes to others, but for what a manifest needs.
    sim.disk.set_capacity(Some(used(&sim.disk) - (64 << 10) + (12 << 10)));
    let names = || sim.disk.list(Path::new(SEGMENTS)).unwrap();
    assert!(names().len() > 4);
    log.checkpoint().unwrap();
    assert_eq!((log.stats().checkpoints, log.stats().checkpoint_failures), (1, 1));
    assert_eq!(names(), Vec::<String>::new());
    let check = |log: &Log, table: &KeyTable| {
        assert_eq!(read_all(&partition(log, old.id())).unwrap(), [(30, "kept".into())]);
        assert_eq!(read_all(&partition(log, new.id())).unwrap(), expected);
        assert_eq!(table.all()["key"], "kept");
    };
    check(&log, &table);
    for image in [sim.disk.killed(), sim.disk.power_cut()] {
        let (log, table) =
            open(&SimEnv::with_disk(SimDisk::from_image(image), 2).env(), config("/data")).unwrap();
        check(&log, &table);
    }
    sim.disk.set_capacity(None);
    log.checkpoint().unwrap();
    assert_eq!(log.stats().checkpoints, 2);
    check(&log, &table);
    let cut = SimDisk::from_image(sim.disk.power_cut());
    let (log, table) = open(&SimEnv::with_disk(cut, 3).env(), config("/data")).unwrap();
    check(&log, &table);
}

/// A manifest that found no room may all the same be whole when the disk is read again; what it names must be so too.
#[test]
fn a_manifest_without_room_is_never_mixed_with_the_next() {
    let mut hits = 0;
    for (nth, when) in (1..30).flat_map(|nth| [(nth, 0), (nth, 1)]) {
        let sim = SimEnv::new(1);
        let (log, table) = open(&sim.env(), config("/data")).unwrap();
        let orders = create(&log);
        for round in 0..3 {
            orders.append(batch(&[&format!("{round}")])).unwrap();
            table.set(&log, "key", &format!("{round}-{}", "v".repeat(round * 9000)));
            settle(&log);
            if round == when {
                sim.disk.fill_at(nth);
            }
            log.checkpoint().unwrap();
            let expected = (read_all(&orders).unwrap(), table.all());
            for image in [sim.disk.killed(), sim.disk.power_cut()] {
                let (log, table) =
                    open(&SimEnv::with_disk(SimDisk::from_image(image), 2).env(), config("/data")).unwrap();
                assert_eq!(
                    (read_all(&partition(&log, orders.id())).unwrap(), table.all()),
                    expected,
                    "{nth}"
                );
            }
            hits += u64::from(sim.disk.is_bounded());
            sim.disk.set_capacity(None);
            log.measure_space();
        }
        assert_eq!(log.stats().checkpoints + log.stats().checkpoint_failures, 3, "{nth}");
        // Nothing is left of what wasn't in force.
        assert_eq!(sim.disk.list(Path::new("/data/snapshots")).unwrap().len(), 1, "{nth}");
    }
    assert!(hits > 0);
}
