//! Every legal state of the disk after a crash, at every operation of a workload that uses all of the log.
//!
//! The model is `crash_model`'s; besides, what is written after the recovery is found by the next one, and nothing
//! else has changed.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;
mod crash_model;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use common::*;
use crash_model::{Model, Promise, Stopped, Workload};
use duolog_env::{Disk, Env};
use duolog_log::Log;
use duolog_testkit::{Explorer, Limits, Run, SimDisk, SimEnv, SimRng, Violation};
use duolog_types::{Lsn, PartitionId};

pub fn workload(run: &Run<Promise>) {
    let rng = run.rng();
    let env = SimEnv::with_disk(run.disk().clone(), rng.below(1 << 40)).env();
    let mark = |_, promise| run.mark(promise);
    let workload =
        Workload { env, rng, steps: 60, mark: &mark, meanwhile: &|_| {}, persisted: Cell::new(Lsn::ZERO) };
    workload.run().unwrap();
}

/// The same on a disk that is full at times.
pub fn full_workload(run: &Run<Promise>) {
    let (rng, disk) = (run.rng(), run.disk().clone());
    let env = SimEnv::with_disk(disk.clone(), rng.below(1 << 40)).env();
    let chance = SimRng::new(rng.below(1 << 40));
    let meanwhile = |log: &Log| match chance.below(12) {
        0..2 => disk.fill_at(1 + chance.below(20)),
        // Others take what the log gives back.
        2 => {
            disk.set_capacity(Some(1 << 40));
            let space = disk.space(Path::new("/data")).unwrap();
            let used = space.total_bytes - space.free_bytes;
            disk.set_capacity(Some((used + chance.below(128 << 10)).saturating_sub(64 << 10)));
        }
        3..5 => disk.set_capacity(None),
        5..8 => log.measure_space(),
        _ => {}
    };
    let mark = |_, promise| run.mark(promise);
    let workload =
        Workload { env, rng, steps: 60, mark: &mark, meanwhile: &meanwhile, persisted: Cell::new(Lsn::ZERO) };
    match workload.run() {
        Ok(()) => {}
        Err(Stopped::Poisoned(reason)) if reason.detail.contains("no room") => {}
        Err(other) => panic!("{other:?}"),
    }
    disk.set_capacity(None);
}

/// A digest of everything that can be read.
fn contents(log: &Log, keys: &BTreeMap<String, String>) -> String {
    let partitions = (0..40).filter_map(|id| log.partition(PartitionId(id))).map(|partition| {
        (partition.id(), partition.start(), partition.end(), read_all(&partition).unwrap_or_default())
    });
    format!("{keys:?} {:?}", partitions.collect::<Vec<_>>())
}

pub fn check(run: &Run<Promise>, promises: &[Promise]) -> Result<(), Violation> {
    let env: Env = SimEnv::with_disk(run.disk().clone(), 99).env();
    let (log, table) =
        open(&env, config("/data")).map_err(|error| Violation::new("cannot-open", error.to_string()))?;
    let model = Model::of(promises);
    model.check(&log, &table.all())?;
    // Life goes on, and what is acknowledged now is as safe as the rest.
    let mut known = promises.to_vec();
    let mut promise = |promise: Promise| {
        run.mark(promise.clone());
        known.push(promise);
    };
    let next = create(&log);
    let (partition, base, values) = (next.id(), 0, vec!["after the crash".to_string()]);
    promise(Promise::Submitted { partition, base, values: values.clone() });
    promise(Promise::SetSubmitted { key: "after".into(), value: "the crash".into() });
    next.append(batch(&["after the crash"])).unwrap();
    table.set(&log, "after", "the crash");
    settle(&log);
    promise(Promise::Created(partition));
    promise(Promise::Appended { partition, base, values });
    promise(Promise::Set { key: "after".into(), value: "the crash".into() });
    for found in (1..40).filter_map(|id| log.partition(PartitionId(id))) {
        promise(Promise::Revealed { partition: found.id(), high_watermark: found.high_watermark().0 });
    }
    let before = contents(&log, &table.all());
    drop(log);

    let again = SimEnv::with_disk(SimDisk::from_image(run.disk().power_cut()), 100).env();
    let (log, table) = open(&again, config("/data"))
        .map_err(|error| Violation::new("cannot-open-twice", error.to_string()))?;
    Model::of(&known).check(&log, &table.all())?;
    let after = contents(&log, &table.all());
    if before != after {
        return Err(Violation::new("recovery-not-idempotent", format!("{before:.300}\n{after:.300}")));
    }
    Ok(())
}

/// `DUOLOG_CRASH_IMAGES` asks for more than the few thousand of a plain `cargo test`.
#[cfg_attr(not(seeded_bug), test)]
#[cfg_attr(seeded_bug, allow(dead_code, reason = "`seeded` uses the rest, and would disturb this"))]
fn no_crash_loses_or_invents_anything() {
    explore(workload, "no_crash_loses", None);
}

#[cfg_attr(not(seeded_bug), test)]
#[cfg_attr(seeded_bug, allow(dead_code, reason = "as above"))]
fn no_crash_on_a_full_disk_loses_or_invents_anything() {
    // Many workloads rather than many images of each: few get into the same state.
    explore(full_workload, "no_crash_on_a_full_disk", Some(Limits { per_kind: 1 }));
}

#[cfg_attr(seeded_bug, allow(dead_code, reason = "as above"))]
fn explore(workload: fn(&Run<Promise>), test: &str, limits: Option<Limits>) {
    let images = std::env::var("DUOLOG_CRASH_IMAGES").ok().and_then(|count| count.parse().ok());
    let mut explorer = Explorer::new(1, format!("cargo test -p duolog-log --test crash {test}"))
        .with_replay_from_env()
        .unwrap();
    explorer.images = images.unwrap_or(2_000);
    explorer.limits = limits.unwrap_or(explorer.limits);
    explorer.threads = if images.is_some() { 2 } else { 1 };
    let report = explorer.run(workload, check);
    println!("{report:?}");
    report.assert_clean();
}
