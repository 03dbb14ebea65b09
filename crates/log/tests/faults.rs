//! Disks that do worse than to lose power: syncs that fail and lie from then on, no room, flipped bits.
//!
//! `DUOLOG_FAULT_ROUNDS` asks for more rounds than a plain `cargo test` makes. A failure names its round, and
//! `DUOLOG_FAULT_ROUND` runs that one alone.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;
mod crash_model;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use common::*;
use crash_model::{Model, Promise, Stopped, Workload};
use duolog_env::Disk;
use duolog_log::{Log, OpenError};
use duolog_testkit::{Op, SimDisk, SimEnv, SimRng, Violation};
use duolog_types::Lsn;

/// The seeds of a test's rounds.
fn rounds(plain: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    match number("DUOLOG_FAULT_ROUND") {
        Some(round) => round..round + 1,
        None => 0..number("DUOLOG_FAULT_ROUNDS").unwrap_or(plain),
    }
}

/// A workload that ran, and what became of it.
struct Ran {
    disk: SimDisk,
    promises: Vec<(Lsn, Promise)>,
    persisted: Lsn,
    end: Result<(), Stopped>,
}

impl Ran {
    /// Runs the workload of `seed` on `disk`; `meanwhile` runs before each of its steps.
    fn new(seed: u64, disk: SimDisk, meanwhile: &dyn Fn(&Log)) -> Self {
        let promises = RefCell::new(Vec::new());
        let mark = |lsn, promise| promises.borrow_mut().push((lsn, promise));
        let workload = Workload {
            env: SimEnv::with_disk(disk.clone(), seed).env(),
            rng: SimRng::new(seed),
            steps: 60,
            mark: &mark,
            meanwhile,
            persisted: Cell::new(Lsn::ZERO),
        };
        let end = workload.run();
        let persisted = workload.persisted.get();
        Self { disk, promises: promises.into_inner(), persisted, end }
    }

    /// What was promised of entries up to `lsn`.
    fn model(&self, lsn: Lsn) -> Model {
        let held: Vec<Promise> =
            self.promises.iter().filter(|(at, _)| *at <= lsn).map(|(_, it)| it.clone()).collect();
        Model::of(&held)
    }

    fn all(&self) -> Model {
        self.model(Lsn(u64::MAX))
    }
}

fn syncs(disk: &SimDisk) -> u64 {
    let trace = disk.trace();
    let is_sync = |op: &&Op| matches!(op, Op::Sync { .. } | Op::SyncWrite { .. } | Op::SyncDir { .. });
    trace.ops().iter().filter(is_sync).count() as u64
}

/// Opens what `disk` holds, as a process without faults, and checks all of it; goes on with life, checks again.
fn check(disk: &SimDisk, ran: &mut Ran) -> Result<(), Violation> {
    let (log, table) = open(&SimEnv::with_disk(disk.clone(), 99).env(), config("/data"))
        .map_err(|error| Violation::new("cannot-open", error.to_string()))?;
    ran.all().check(&log, &table.all())?;
    let more = create(&log);
    let (partition, base, values) = (more.id(), 0, vec!["after".to_owned()]);
    more.append(batch(&["after"])).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    let new = [
        Promise::Submitted { partition, base, values: values.clone() },
        Promise::Created(partition),
        Promise::Appended { partition, base, values },
    ];
    ran.promises.extend(new.map(|promise| (Lsn::ZERO, promise)));
    ran.all().check(&log, &table.all())
}

/// Opens what `disk` holds and writes three WAL files full.
fn fill(disk: &SimDisk, ran: &mut Ran) -> Result<(), Violation> {
    let (log, table) = open(&SimEnv::with_disk(disk.clone(), 99).env(), config("/data"))
        .map_err(|error| Violation::new("cannot-open", error.to_string()))?;
    ran.all().check(&log, &table.all())?;
    let more = create(&log);
    settle(&log);
    ran.promises.push((Lsn::ZERO, Promise::Created(more.id())));
    for base in 0..16 {
        let (partition, values) = (more.id(), vec![format!("{base}-{}", "y".repeat(12 << 10))]);
        more.append(batch(&[&values[0]])).unwrap();
        settle(&log);
        let submitted = Promise::Submitted { partition, base, values: values.clone() };
        ran.promises
            .extend([submitted, Promise::Appended { partition, base, values }].map(|it| (Lsn::ZERO, it)));
    }
    Ok(())
}

#[test]
fn a_failed_sync_that_lies_loses_nothing_that_was_promised() {
    let (mut failed, mut poisoned) = (0, 0);
    for round in rounds(3) {
        let count = syncs(&Ran::new(round, SimDisk::new(), &|_| {}).disk);
        for nth in 1..=count {
            let disk = SimDisk::new();
            disk.fail_sync(nth);
            let mut ran = Ran::new(round, disk, &|_| {});
            failed += 1;
            poisoned += u64::from(matches!(ran.end, Err(Stopped::Poisoned(_))));
            let after = SimDisk::from_image(ran.disk.power_cut());
            if let Err(violation) = check(&after, &mut ran) {
                panic!("round {round}, sync {nth} of {count}, ended {:?}: {violation}", ran.end);
            }
        }
    }
    println!("{failed} failed syncs, {poisoned} of them stopped the log");
    assert!(poisoned > 0);
}

/// The kernel goes on with what it holds in memory and calls it clean; then the power fails.
#[test]
fn a_restart_on_a_kernel_that_lies_loses_nothing_at_the_power_cut_after_it() {
    let mut restarts = 0;
    for round in rounds(3) {
        let count = syncs(&Ran::new(round, SimDisk::new(), &|_| {}).disk);
        for nth in 1..=count {
            let disk = SimDisk::new();
            disk.fail_sync(nth);
            let mut ran = Ran::new(round, disk, &|_| {});
            let lied_of_names =
                ran.disk.trace().ops().iter().any(|op| matches!(op, Op::SyncDirFailed { .. }));
            if lied_of_names {
                // No sync of that directory means anything any more: nothing that a process does can help.
                continue;
            }
            restarts += 1;
            let killed = SimDisk::from_image(ran.disk.killed());
            let mut checked = match (nth + round) % 2 {
                0 => check(&killed, &mut ran),
                // Without a checkpoint, but with WAL files used again that only the newest manifest has freed.
                _ => fill(&killed, &mut ran),
            };
            if checked.is_ok() {
                checked = check(&SimDisk::from_image(killed.power_cut()), &mut ran);
            }
            if let Err(violation) = checked {
                panic!("round {round}, sync {nth} of {count}, ended {:?}: {violation}", ran.end);
            }
        }
    }
    println!("{restarts} restarts after a failed sync");
    assert!(restarts > 0);
}

fn used(disk: &SimDisk) -> u64 {
    disk.set_capacity(Some(1 << 40));
    let space = disk.space(Path::new("/data")).unwrap();
    disk.set_capacity(None);
    space.total_bytes - space.free_bytes
}

#[test]
fn a_full_disk_loses_nothing_that_was_promised_and_the_log_resumes() {
    let (mut full, waits, mut failures, mut unwritten) = (0, Cell::new(0), 0, 0);
    for round in rounds(300) {
        let (disk, chance) = (SimDisk::new(), SimRng::new(round ^ 0xf011));
        let last = RefCell::new(None);
        let mut ran = Ran::new(round, disk.clone(), &|log| {
            match chance.below(10) {
                // Less than is used, where others take what the log gives back.
                0..3 => {
                    let capacity = used(&disk) + chance.below(192 << 10);
                    disk.set_capacity(Some(capacity.saturating_sub(96 << 10)));
                }
                3 => {
                    disk.set_capacity(None);
                    log.measure_space();
                    while log.commit().unwrap() {}
                    assert!(!log.stats().disk_full, "the log takes data again");
                }
                _ => {}
            }
            // The background does so every second.
            if chance.one_in(2) {
                log.measure_space();
            }
            let stats = log.stats();
            waits.set(waits.get() + u64::from(stats.wal_waits));
            *last.borrow_mut() = Some((stats.disk_full, stats.checkpoint_failures));
        });
        let (was_full, failed) = last.take().unwrap_or_default();
        full += u64::from(was_full);
        failures += failed;
        // A clean stop may say that it has no room for what nobody was told is written; nothing else may stop the log.
        match &ran.end {
            Ok(()) => {}
            Err(Stopped::Poisoned(reason)) if reason.detail.contains("no room") => unwritten += 1,
            Err(other) => panic!("round {round}: {other:?}"),
        }
        // A restart needs no room, and everything is readable.
        let still_full = SimDisk::from_image(ran.disk.killed());
        still_full.set_capacity(Some(used(&still_full)));
        let (log, table) = open(&SimEnv::with_disk(still_full, 98).env(), config("/data")).unwrap();
        if let Err(violation) = ran.all().check(&log, &table.all()) {
            panic!("round {round}, still full, ended {:?}: {violation}", ran.end);
        }
        let before = ran.promises.len();
        for image in [ran.disk.killed(), ran.disk.power_cut()] {
            ran.promises.truncate(before);
            if let Err(violation) = check(&SimDisk::from_image(image), &mut ran) {
                panic!("round {round}, ended {:?}: {violation}", ran.end);
            }
        }
    }
    println!(
        "{full} rounds ended full, {failures} checkpoints found no room, {} steps the WAL had none, {unwritten} stops",
        waits.get()
    );
    assert!(failures > 0 && waits.get() > 0);
}

/// Full from each operation on that needs room, for a while; then there is room again.
#[test]
fn wherever_the_disk_becomes_full_the_log_resumes() {
    let (mut fills, waits, mut not_opened) = (0, Cell::new(0), 0);
    for round in rounds(3) {
        for nth in 1.. {
            let (disk, full_steps) = (SimDisk::new(), Cell::new(0));
            disk.fill_at(nth);
            let mut ran = Ran::new(round, disk.clone(), &|log| {
                log.measure_space();
                waits.set(waits.get() + u64::from(log.stats().wal_waits));
                full_steps.set(full_steps.get() + u64::from(disk.is_bounded()));
                if full_steps.get() == 3 + nth % 9 {
                    disk.set_capacity(None);
                    log.measure_space();
                    while log.commit().unwrap() {}
                    let stats = log.stats();
                    assert!(
                        !stats.disk_full && !stats.wal_waits,
                        "round {round}, from {nth} on: takes data again"
                    );
                }
            });
            let came = disk.is_bounded() || full_steps.get() > 0;
            match &ran.end {
                Ok(()) => {}
                Err(Stopped::NotOpened(_)) if ran.promises.is_empty() => not_opened += 1,
                Err(Stopped::Poisoned(reason)) if reason.detail.contains("no room") => {}
                Err(other) => panic!("round {round}, full from {nth} on: {other:?}"),
            }
            let before = ran.promises.len();
            for image in [ran.disk.killed(), ran.disk.power_cut()] {
                ran.promises.truncate(before);
                if let Err(violation) = check(&SimDisk::from_image(image), &mut ran) {
                    panic!("round {round}, full from {nth} on, ended {:?}: {violation}", ran.end);
                }
            }
            if !came {
                break;
            }
            fills += 1;
        }
    }
    println!(
        "{fills} times full, {not_opened} of them while it opened, {} steps without room for the WAL",
        waits.get()
    );
    assert!(fills > 0 && not_opened > 0);
}

/// As few files open as it takes at times, and at times fewer.
#[test]
fn a_process_without_file_handles_loses_nothing_and_resumes() {
    let (mut failures, waits) = (0, Cell::new(0));
    for round in rounds(200) {
        let (disk, chance) = (SimDisk::new(), SimRng::new(round ^ 0xf11e));
        let failed = Cell::new(0);
        let mut ran = Ran::new(round, disk.clone(), &|log| {
            match chance.below(6) {
                0 | 1 => disk.set_open_files(Some(disk.open_files() + chance.index(4))),
                2 => disk.set_open_files(None),
                _ => {}
            }
            waits.set(waits.get() + u64::from(log.stats().wal_waits));
            failed.set(log.stats().checkpoint_failures);
        });
        failures += failed.get();
        match &ran.end {
            Ok(()) => {}
            Err(Stopped::Poisoned(reason)) if reason.detail.contains("no room") => {}
            Err(other) => panic!("round {round}: {other:?}"),
        }
        let before = ran.promises.len();
        for image in [ran.disk.killed(), ran.disk.power_cut()] {
            ran.promises.truncate(before);
            if let Err(violation) = check(&SimDisk::from_image(image), &mut ran) {
                panic!("round {round}, ended {:?}: {violation}", ran.end);
            }
        }
    }
    println!("{failures} checkpoints had no handle, the WAL had none in {} steps", waits.get());
    assert!(failures > 0 && waits.get() > 0);
}

/// Every file of the log below `dir`.
fn files(disk: &SimDisk, dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let shards = (0..=255).map(|shard| format!("segments/{shard:02x}"));
    for sub in ["", "wal", "snapshots"].into_iter().map(str::to_owned).chain(shards) {
        let sub = dir.join(sub);
        found.extend(disk.list(&sub).unwrap_or_default().into_iter().map(|name| sub.join(name)));
    }
    found
}

#[derive(Debug, Default)]
struct Flips {
    flipped: u64,
    refused: u64,
    /// Opened, and some range answered that it is damaged.
    unreadable: u64,
    harmless: u64,
}

#[test]
fn a_flipped_bit_never_gives_wrong_bytes_nor_a_silent_loss() {
    let mut flips = Flips::default();
    for round in rounds(40) {
        let ran = Ran::new(round, SimDisk::new(), &|_| {});
        let (image, chance) = (ran.disk.power_cut(), SimRng::new(round ^ 0xf11b));
        let whole = SimDisk::from_image(image.clone());
        let files = files(&whole, Path::new("/data"));
        for _ in 0..40 {
            let path = &files[chance.index(files.len())];
            let len = whole.open(path, duolog_env::OpenMode::Read).unwrap().len().unwrap();
            if len == 0 {
                continue;
            }
            // Headers are few bytes of a large file: half of the flips go there.
            let header = if chance.one_in(2) { chance.below(len.div_ceil(4096)) * 4096 } else { 0 };
            let within = if header > 0 || chance.one_in(4) { 64.min(len - header) } else { len };
            let (at, bit) = (header + chance.below(within), chance.below(8) as u8);
            let disk = SimDisk::from_image(image.clone());
            disk.flip_bit(path, at, bit).unwrap();
            flips.flipped += 1;
            let context = |violation| {
                panic!("round {round}, bit {bit} of byte {at} of {}: {violation}", path.display())
            };
            match open(&SimEnv::with_disk(disk, 99).env(), config("/data")) {
                Err(OpenError::Corrupt { .. }) => flips.refused += 1,
                Err(error) => context(Violation::new("unclear-refusal", error.to_string())),
                Ok((log, table)) => {
                    let mut model = ran.model(ran.persisted);
                    model.may_be_damaged = true;
                    model.check(&log, &table.all()).unwrap_or_else(context);
                    match model.damaged.get() {
                        0 => flips.harmless += 1,
                        _ => flips.unreadable += 1,
                    }
                }
            }
        }
    }
    println!("{flips:?}");
    assert!(flips.refused > 0 && flips.unreadable > 0 && flips.harmless > 0, "{flips:?}");
}
