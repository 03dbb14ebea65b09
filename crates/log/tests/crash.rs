//! Every legal state of the disk after a crash, at every operation of a workload that uses all of the log.
//!
//! The model: what was acknowledged (durable when it was noted) must be there; what is there must have been
//! submitted; offsets hold what they were given; every hole is a gap that was asked for; what is written after the
//! recovery is found by the next one, and nothing else has changed.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;

use std::collections::BTreeMap;

use common::*;
use duolog_env::Env;
use duolog_log::{Entry, Log};
use duolog_testkit::{Explorer, Run, SimDisk, SimEnv, Violation};
use duolog_types::{Lsn, Offset, PartitionId};

/// Something that a client was told, or could have seen.
#[derive(Clone, Debug)]
pub enum Promise {
    /// Handed to the log; may or may not survive.
    Submitted {
        partition: PartitionId,
        base: i64,
        values: Vec<String>,
    },
    Appended {
        partition: PartitionId,
        base: i64,
        values: Vec<String>,
    },
    Created(PartitionId),
    DropSubmitted(PartitionId),
    Dropped(PartitionId),
    Skipped {
        partition: PartitionId,
        from: i64,
        to: i64,
    },
    TrimSubmitted {
        partition: PartitionId,
        to: i64,
    },
    Trimmed {
        partition: PartitionId,
        to: i64,
    },
    SetSubmitted {
        key: String,
        value: String,
    },
    Set {
        key: String,
        value: String,
    },
    /// A reader saw the records below this offset.
    Revealed {
        partition: PartitionId,
        high_watermark: i64,
    },
}

/// Runs a random workload; notes what is promised the moment that the log says it is durable.
pub fn workload(run: &Run<Promise>) {
    let rng = run.rng();
    let sim = SimEnv::with_disk(run.disk().clone(), rng.below(1 << 40));
    let Ok((log, table)) = open(&sim.env(), config("/data")) else { return };
    let mut partitions = Vec::new();
    let mut waiting: Vec<(Lsn, Promise)> = Vec::new();
    for step in 0..60 {
        match rng.below(20) {
            0 | 1 => {
                let id = log.allocate_partitions(1);
                let lsn = log.submit(Entry::new().create_partition(id)).unwrap();
                partitions.push(partition(&log, id));
                waiting.push((lsn, Promise::Created(id)));
            }
            2 if partitions.len() > 2 => {
                let gone = partitions.swap_remove(rng.index(partitions.len())).id();
                run.mark(Promise::DropSubmitted(gone));
                let lsn = log.submit(Entry::new().drop_partition(gone)).unwrap();
                waiting.push((lsn, Promise::Dropped(gone)));
            }
            3 => log.checkpoint().unwrap(),
            4 if !partitions.is_empty() => {
                let chosen = &partitions[rng.index(partitions.len())];
                let to = chosen.start().0
                    + rng.below((chosen.high_watermark().0 - chosen.start().0 + 1) as u64) as i64;
                run.mark(Promise::TrimSubmitted { partition: chosen.id(), to });
                let lsn = chosen.trim(Offset(to)).unwrap();
                waiting.push((lsn, Promise::Trimmed { partition: chosen.id(), to }));
            }
            5 if !partitions.is_empty() => {
                let chosen = &partitions[rng.index(partitions.len())];
                let from = chosen.end().0;
                run.mark(Promise::Skipped { partition: chosen.id(), from, to: from + 3 });
                chosen.skip_to(Offset(from + 3)).unwrap();
            }
            6 | 7 => {
                let (key, value) = ("k".repeat(1 + rng.index(4)), format!("{step}"));
                run.mark(Promise::SetSubmitted { key: key.clone(), value: value.clone() });
                let lsn = table.set(&log, &key, &value);
                waiting.push((lsn, Promise::Set { key, value }));
            }
            _ if !partitions.is_empty() => {
                let chosen = &partitions[rng.index(partitions.len())];
                let filler = "x".repeat(rng.index(3000));
                let values: Vec<String> =
                    (0..=rng.below(2)).map(|n| format!("{step}.{n}-{filler}")).collect();
                let base = chosen.end().0;
                let (partition, values2) = (chosen.id(), values.clone());
                run.mark(Promise::Submitted { partition, base, values: values.clone() });
                let batch = batch(&values.iter().map(String::as_str).collect::<Vec<_>>());
                let appended = chosen.append(batch).unwrap();
                waiting.push((appended.lsn, Promise::Appended { partition, base, values: values2 }));
            }
            _ => {}
        }
        if rng.one_in(2) {
            settle(&log);
        }
        for chosen in &partitions {
            run.mark(Promise::Revealed { partition: chosen.id(), high_watermark: chosen.high_watermark().0 });
        }
        let durable = log.durable_lsn();
        waiting.retain(|(lsn, promise)| {
            let kept = *lsn <= durable;
            if kept {
                run.mark(promise.clone());
            }
            !kept
        });
        if rng.one_in(12) {
            let _ = log.prepare_wal();
        }
    }
    if rng.one_in(2) {
        let _ = log.close();
    }
}

#[derive(Default)]
struct Model {
    /// What an offset may hold: after a crash, what was never acknowledged gives its place to something new.
    submitted: BTreeMap<PartitionId, BTreeMap<i64, Vec<String>>>,
    acked: BTreeMap<PartitionId, BTreeMap<i64, String>>,
    created: Vec<PartitionId>,
    drop_submitted: Vec<PartitionId>,
    dropped: Vec<PartitionId>,
    gaps: BTreeMap<PartitionId, Vec<(i64, i64)>>,
    trim_submitted: BTreeMap<PartitionId, i64>,
    trimmed: BTreeMap<PartitionId, i64>,
    keys: BTreeMap<String, Vec<String>>,
    keys_acked: BTreeMap<String, usize>,
    revealed: BTreeMap<PartitionId, i64>,
}

impl Model {
    fn of(promises: &[Promise]) -> Self {
        let mut model = Self::default();
        for promise in promises.iter().cloned() {
            match promise {
                Promise::Submitted { partition, base, values } => {
                    let offsets = model.submitted.entry(partition).or_default();
                    for (offset, value) in (base..).zip(values) {
                        offsets.entry(offset).or_default().push(value);
                    }
                }
                Promise::Appended { partition, base, values } => {
                    model.acked.entry(partition).or_default().extend((base..).zip(values));
                }
                Promise::Created(id) => model.created.push(id),
                Promise::DropSubmitted(id) => model.drop_submitted.push(id),
                Promise::Dropped(id) => model.dropped.push(id),
                Promise::Skipped { partition, from, to } => {
                    model.gaps.entry(partition).or_default().push((from, to));
                }
                Promise::TrimSubmitted { partition, to } => {
                    let trim = model.trim_submitted.entry(partition).or_default();
                    *trim = to.max(*trim);
                }
                Promise::Trimmed { partition, to } => {
                    let trim = model.trimmed.entry(partition).or_default();
                    *trim = to.max(*trim);
                }
                Promise::SetSubmitted { key, value } => model.keys.entry(key).or_default().push(value),
                Promise::Set { key, value } => {
                    let index = model.keys[&key].iter().position(|known| *known == value).unwrap();
                    let newest = model.keys_acked.entry(key).or_default();
                    *newest = index.max(*newest);
                }
                Promise::Revealed { partition, high_watermark } => {
                    let seen = model.revealed.entry(partition).or_default();
                    *seen = high_watermark.max(*seen);
                }
            }
        }
        model
    }

    fn check(&self, log: &Log, keys: &BTreeMap<String, String>) -> Result<(), Violation> {
        for id in &self.created {
            if log.partition(*id).is_none() && !self.drop_submitted.contains(id) {
                return Err(Violation::new("lost-partition", format!("{id} was acknowledged and is gone")));
            }
        }
        if let Some(id) = self.dropped.iter().find(|id| log.partition(**id).is_some()) {
            return Err(Violation::new("undead-partition", format!("{id} was dropped and is back")));
        }
        for (id, submitted) in &self.submitted {
            if let Some(found) = log.partition(*id) {
                self.check_partition(&found, submitted)?;
            }
        }
        for (key, newest) in &self.keys_acked {
            let submitted = &self.keys[key];
            let found = keys.get(key).and_then(|value| submitted.iter().position(|known| known == value));
            if found.is_none_or(|found| found < *newest) {
                let detail = format!("{key} is {:?}, acknowledged was {}", keys.get(key), submitted[*newest]);
                return Err(Violation::new("lost-state", detail));
            }
        }
        Ok(())
    }

    fn check_partition(
        &self,
        found: &duolog_log::Partition,
        submitted: &BTreeMap<i64, Vec<String>>,
    ) -> Result<(), Violation> {
        let id = found.id();
        let records: BTreeMap<i64, String> = read_all(found)
            .map_err(|error| Violation::new("unreadable", format!("{id}: {error}")))?
            .into_iter()
            .collect();
        for (offset, value) in &records {
            if !submitted.get(offset).is_some_and(|values| values.contains(value)) {
                let detail =
                    format!("{id} offset {offset}: {value:.12}, submitted {:?}", submitted.get(offset));
                return Err(Violation::new("inconsistent-offsets", detail));
            }
        }
        let start = found.start().0;
        let bounds = [&self.trimmed, &self.trim_submitted].map(|trims| trims.get(&id).copied().unwrap_or(0));
        if start < bounds[0] || start > bounds[1] {
            return Err(Violation::new(
                "log-start",
                format!("{id} starts at {start}, trimmed to {bounds:?}"),
            ));
        }
        let acked = self.acked.get(&id);
        for (offset, value) in acked.into_iter().flatten().filter(|(offset, _)| **offset >= start) {
            if !records.contains_key(offset) {
                return Err(Violation::new("lost-write", format!("{id} offset {offset}: {value:.12}")));
            }
        }
        let end = found.end().0;
        let gaps = self.gaps.get(&id);
        let explained =
            |offset: i64| gaps.into_iter().flatten().any(|(from, to)| (*from..*to).contains(&offset));
        if let Some(hole) = (start..end).find(|offset| !records.contains_key(offset) && !explained(*offset)) {
            return Err(Violation::new(
                "unexplained-gap",
                format!("{id} has no offset {hole}, ends at {end}"),
            ));
        }
        let seen = self.revealed.get(&id).copied().unwrap_or(0);
        if end < seen {
            return Err(Violation::new("unseen", format!("{id} ends at {end}, a reader saw up to {seen}")));
        }
        Ok(())
    }
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
#[test]
fn no_crash_loses_or_invents_anything() {
    let images = std::env::var("DUOLOG_CRASH_IMAGES").ok().and_then(|count| count.parse().ok());
    let mut explorer =
        Explorer::new(1, "cargo test -p duolog-log --test crash").with_replay_from_env().unwrap();
    explorer.images = images.unwrap_or(2_000);
    explorer.threads = if images.is_some() { 2 } else { 1 };
    let report = explorer.run(workload, check);
    println!("{report:?}");
    report.assert_clean();
}
