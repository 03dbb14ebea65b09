//! A workload that uses all of the log, and the model of what must be true of it after anything went wrong.
//!
//! What was acknowledged (durable when it was noted) must be there; what is there must have been submitted; offsets
//! hold what they were given; every hole is a gap that was asked for. The one thing that may be otherwise, and only
//! where a test says so: a damaged range answers with an error that says that it is damaged.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use duolog_env::Env;
use duolog_log::{AppendError, Entry, Log, NewRecord, Poisoned, ReadError};
use duolog_testkit::{SimRng, Violation};
use duolog_types::{Lsn, Offset, PartitionId};
use roaring::RoaringTreemap;

use super::common::*;

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
    DeleteSubmitted {
        partition: PartitionId,
        offsets: Vec<i64>,
    },
    Deleted {
        partition: PartitionId,
        offsets: Vec<i64>,
    },
    /// A reader saw that these offsets are dead.
    RevealedDead {
        partition: PartitionId,
        offsets: Vec<i64>,
    },
    /// A reader saw the records below this offset.
    Revealed {
        partition: PartitionId,
        high_watermark: i64,
    },
}

/// A random workload; hands out what is promised the moment that the log says it is durable.
pub struct Workload<'a> {
    pub env: Env,
    pub rng: SimRng,
    pub steps: usize,
    /// Gets each promise, and the entry that holds it; [`Lsn::ZERO`] for what is only begun.
    pub mark: &'a dyn Fn(Lsn, Promise),
    /// Runs before each step: for what happens to the disk meanwhile.
    pub meanwhile: &'a dyn Fn(&Log),
    /// The newest entry that the disk itself says is durable.
    pub persisted: Cell<Lsn>,
}

/// Why a workload ended before its end.
#[derive(Debug)]
pub enum Stopped {
    /// The directory couldn't be opened.
    NotOpened(duolog_log::OpenError),
    /// The log stopped.
    Poisoned(Poisoned),
}

impl From<Poisoned> for Stopped {
    fn from(reason: Poisoned) -> Self {
        Self::Poisoned(reason)
    }
}

/// What was queued, unless the disk is full.
fn admitted<T>(queued: Result<T, AppendError>) -> Result<Option<T>, Stopped> {
    match queued {
        Ok(queued) => Ok(Some(queued)),
        Err(AppendError::DiskFull { .. } | AppendError::Overloaded { .. }) => Ok(None),
        Err(AppendError::Poisoned(reason)) => Err(reason.into()),
        Err(other) => panic!("{other}"),
    }
}

impl Workload<'_> {
    pub fn run(&self) -> Result<(), Stopped> {
        let (log, table) = open(&self.env, config("/data")).map_err(Stopped::NotOpened)?;
        let mut partitions = Vec::new();
        let mut waiting: Vec<(Lsn, Promise)> = Vec::new();
        for step in 0..self.steps {
            (self.meanwhile)(&log);
            self.step(step, &log, &table, &mut partitions, &mut waiting)?;
            if self.rng.one_in(2) {
                self.settle(&log)?;
            }
            let durable = log.durable_lsn();
            for chosen in &partitions {
                let dead = chosen.dead(Offset(0), Offset(i64::MAX));
                if !dead.is_empty() {
                    let offsets = dead.iter().map(|offset| offset.0).collect();
                    (self.mark)(durable, Promise::RevealedDead { partition: chosen.id(), offsets });
                }
                let high_watermark = chosen.high_watermark().0;
                (self.mark)(durable, Promise::Revealed { partition: chosen.id(), high_watermark });
            }
            waiting.retain(|(lsn, promise)| {
                let kept = *lsn <= durable;
                if kept {
                    (self.mark)(*lsn, promise.clone());
                }
                !kept
            });
            if self.rng.one_in(12) {
                let _ = log.prepare_wal();
            }
        }
        if self.rng.one_in(2) {
            log.close()?;
            self.persisted.set(log.durable_lsn());
        }
        Ok(())
    }

    fn begin(&self, promise: Promise) {
        (self.mark)(Lsn::ZERO, promise);
    }

    fn settle(&self, log: &Log) -> Result<(), Poisoned> {
        loop {
            let durable = log.durable_lsn();
            if !log.commit()? {
                return Ok(());
            }
            // What the group that was just written says.
            self.persisted.set(durable);
        }
    }

    fn step(
        &self,
        step: usize,
        log: &Log,
        table: &Arc<KeyTable>,
        partitions: &mut Vec<duolog_log::Partition>,
        waiting: &mut Vec<(Lsn, Promise)>,
    ) -> Result<(), Stopped> {
        let rng = &self.rng;
        match rng.below(20) {
            0 | 1 => {
                let id = log.allocate_partitions(1);
                if let Some(lsn) = admitted(log.submit(Entry::new().create_partition(id)))? {
                    partitions.push(partition(log, id));
                    waiting.push((lsn, Promise::Created(id)));
                }
            }
            2 if partitions.len() > 2 => {
                let gone = partitions.swap_remove(rng.index(partitions.len())).id();
                self.begin(Promise::DropSubmitted(gone));
                if let Some(lsn) = admitted(log.submit(Entry::new().drop_partition(gone)))? {
                    waiting.push((lsn, Promise::Dropped(gone)));
                }
            }
            3 => log.checkpoint()?,
            4 if !partitions.is_empty() => {
                let chosen = &partitions[rng.index(partitions.len())];
                let to = chosen.start().0
                    + rng.below((chosen.high_watermark().0 - chosen.start().0 + 1) as u64) as i64;
                self.begin(Promise::TrimSubmitted { partition: chosen.id(), to });
                if let Some(lsn) = admitted(chosen.trim(Offset(to)))? {
                    waiting.push((lsn, Promise::Trimmed { partition: chosen.id(), to }));
                }
            }
            5 if !partitions.is_empty() => {
                let chosen = &partitions[rng.index(partitions.len())];
                let from = chosen.end().0;
                self.begin(Promise::Skipped { partition: chosen.id(), from, to: from + 3 });
                admitted(chosen.skip_to(Offset(from + 3)))?;
            }
            6 | 7 => {
                let (key, value) = ("k".repeat(1 + rng.index(4)), format!("{step}"));
                self.begin(Promise::SetSubmitted { key: key.clone(), value: value.clone() });
                if let Some(lsn) = admitted(table.try_set(log, &key, &value))? {
                    waiting.push((lsn, Promise::Set { key, value }));
                }
            }
            8..=10 if !partitions.is_empty() => {
                // Most of what a work queue holds dies young; now and then all of a stretch dies.
                let chosen = &partitions[rng.index(partitions.len())];
                let (start, end) = (chosen.start().0, chosen.end().0);
                let all = rng.one_in(4);
                let (from, to) = if rng.one_in(3) {
                    (start, end)
                } else {
                    let from = start + rng.below((end - start).max(1) as u64) as i64;
                    (from, from + 1 + rng.below(8) as i64)
                };
                let offsets: Vec<i64> = (from..to).filter(|_| all || !rng.one_in(4)).collect();
                let partition = chosen.id();
                self.begin(Promise::DeleteSubmitted { partition, offsets: offsets.clone() });
                let named: RoaringTreemap = offsets.iter().map(|offset| *offset as u64).collect();
                // What isn't taken yet isn't deleted.
                let offsets: Vec<i64> = offsets.into_iter().filter(|offset| *offset < end).collect();
                let queued = if rng.one_in(3) {
                    let (key, value) = ("d".to_owned(), format!("{step}"));
                    self.begin(Promise::SetSubmitted { key: key.clone(), value: value.clone() });
                    let queued = admitted(
                        table.try_set_with(log, &key, &value, |entry| entry.delete(partition, named)),
                    )?;
                    waiting.extend(queued.map(|lsn| (lsn, Promise::Set { key, value })));
                    queued
                } else {
                    admitted(chosen.delete(&named))?
                };
                waiting.extend(queued.map(|lsn| (lsn, Promise::Deleted { partition, offsets })));
            }
            11..=13 if !partitions.is_empty() => {
                let chosen = &partitions[rng.index(partitions.len())];
                let partition = chosen.id();
                for n in 0..=rng.below(4) {
                    let value = format!("{step}.r{n}-{}", "x".repeat(rng.index(700)));
                    let (base, values) = (chosen.end().0, vec![value.clone()]);
                    self.begin(Promise::Submitted { partition, base, values: values.clone() });
                    let arrival = duolog_types::Nanos(step as i64 * 1_000_000);
                    let record =
                        NewRecord { key: None, value: Some(value.as_bytes()), headers: &[], arrival };
                    if let Some(appended) = admitted(chosen.append_record(record))? {
                        assert_eq!(appended.base_offset.0, base);
                        waiting.push((appended.lsn, Promise::Appended { partition, base, values }));
                    }
                }
            }
            _ if !partitions.is_empty() => {
                let chosen = &partitions[rng.index(partitions.len())];
                let filler = "x".repeat(rng.index(3000));
                let values: Vec<String> =
                    (0..=rng.below(2)).map(|n| format!("{step}.{n}-{filler}")).collect();
                let base = chosen.end().0;
                let partition = chosen.id();
                self.begin(Promise::Submitted { partition, base, values: values.clone() });
                let batch = batch(&values.iter().map(String::as_str).collect::<Vec<_>>());
                if let Some(appended) = admitted(chosen.append(batch))? {
                    waiting.push((appended.lsn, Promise::Appended { partition, base, values }));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct Model {
    /// What an offset may hold: after a crash, what was never acknowledged gives its place to something new.
    submitted: BTreeMap<PartitionId, BTreeMap<i64, Vec<String>>>,
    acked: BTreeMap<PartitionId, BTreeMap<i64, String>>,
    created: Vec<PartitionId>,
    drop_submitted: Vec<PartitionId>,
    dropped: Vec<PartitionId>,
    gaps: BTreeMap<PartitionId, Vec<(i64, i64)>>,
    trim_submitted: BTreeMap<PartitionId, i64>,
    trimmed: BTreeMap<PartitionId, i64>,
    delete_submitted: BTreeMap<PartitionId, BTreeSet<i64>>,
    /// Acknowledged, or seen by a reader.
    dead: BTreeMap<PartitionId, BTreeSet<i64>>,
    keys: BTreeMap<String, Vec<String>>,
    keys_acked: BTreeMap<String, usize>,
    revealed: BTreeMap<PartitionId, i64>,
    /// Ranges of a partition may answer that they are damaged.
    pub may_be_damaged: bool,
    /// Offsets that did.
    pub damaged: Cell<u64>,
}

impl Model {
    pub fn of(promises: &[Promise]) -> Self {
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
                Promise::DeleteSubmitted { partition, offsets } => {
                    model.delete_submitted.entry(partition).or_default().extend(offsets);
                }
                Promise::Deleted { partition, offsets } | Promise::RevealedDead { partition, offsets } => {
                    model.dead.entry(partition).or_default().extend(offsets);
                }
                Promise::Revealed { partition, high_watermark } => {
                    let seen = model.revealed.entry(partition).or_default();
                    *seen = high_watermark.max(*seen);
                }
            }
        }
        model
    }

    pub fn check(&self, log: &Log, keys: &BTreeMap<String, String>) -> Result<(), Violation> {
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
        let (records, damaged) =
            read_undamaged(found).map_err(|error| Violation::new("unreadable", format!("{id}: {error}")))?;
        self.damaged.set(self.damaged.get() + damaged.len() as u64);
        if !damaged.is_empty() && !self.may_be_damaged {
            return Err(Violation::new("unreadable", format!("{id}: offsets {damaged:?} are damaged")));
        }
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
        let none = BTreeSet::new();
        let (dead, may_be_dead) =
            (self.dead.get(&id).unwrap_or(&none), self.delete_submitted.get(&id).unwrap_or(&none));
        if let Some(offset) = dead.iter().find(|offset| records.contains_key(offset)) {
            return Err(Violation::new(
                "undead-record",
                format!("{id} offset {offset} was deleted and is back"),
            ));
        }
        let acked = self.acked.get(&id);
        for (offset, value) in acked.into_iter().flatten().filter(|(offset, _)| **offset >= start) {
            if !records.contains_key(offset) && !damaged.contains(offset) && !may_be_dead.contains(offset) {
                return Err(Violation::new("lost-write", format!("{id} offset {offset}: {value:.12}")));
            }
        }
        let end = found.end().0;
        let gaps = self.gaps.get(&id);
        let explained = |offset: i64| {
            may_be_dead.contains(&offset)
                || gaps.into_iter().flatten().any(|(from, to)| (*from..*to).contains(&offset))
        };
        let there = |offset: &i64| records.contains_key(offset) || damaged.contains(offset);
        if let Some(hole) = (start..end).find(|offset| !there(offset) && !explained(*offset)) {
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

/// Every record that is readable, and the offsets that answer that they are damaged.
fn read_undamaged(
    partition: &duolog_log::Partition,
) -> Result<(BTreeMap<i64, String>, BTreeSet<i64>), ReadError> {
    let (mut records, mut damaged) = (BTreeMap::new(), BTreeSet::new());
    let mut from = partition.start();
    loop {
        match read_from(partition, from, &mut records) {
            Ok(()) => return Ok((records, damaged)),
            Err((at, ReadError::Corrupt { .. })) => {
                damaged.insert(at.0);
                from = at.plus(1);
            }
            Err((_, error)) => return Err(error),
        }
    }
}
