//! One checkpoint, from cut to cleaning up.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use duolog_env::File;
use duolog_types::Lsn;

use super::manifest::{self, Manifest, SnapshotKey};
use super::partition_table::{self, PARTITIONS};
use super::reclaim::Reclaim;
use super::snapshot::{self, NewShard, Snapshots};
use crate::dead::set::{Change, chunk_bytes};
use crate::error::{Poisoned, ReadError};
use crate::log::Shared;
use crate::partition::core::{Core, TailEntry};
use crate::partition::read::read_from_wal;
use crate::partitions::{Dirty, Partitions};
use crate::segment::store::shard_dir;
use crate::segment::writer::{SegmentWriter, Undo};
use crate::segment::{SegmentMeta, SegmentName};
use crate::space::{is_no_room, may_pass};
use crate::table::TableId;
use crate::wal::writer::DurablePoint;

/// What checkpoints carry from one to the next.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    generation: u64,
    /// The newest generation that a manifest may have on the disk.
    begun: u64,
    snapshots: Snapshots,
    /// Shard directories whose names are durable.
    known_dirs: BTreeSet<PathBuf>,
}

/// Why a checkpoint didn't happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// The disk is full, or the process has no file handle left: the WAL still has everything, and the next try begins anew.
    #[error("{0}")]
    Full(io::Error),
    /// Anything else: what was written may or may not be on the disk.
    #[error("{action}: {source}")]
    Failed { action: &'static str, source: io::Error },
    /// The log stopped meanwhile.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

pub(super) fn failed(action: &'static str) -> impl FnOnce(io::Error) -> CheckpointError {
    move |source| match may_pass(&source) {
        true => CheckpointError::Full(source),
        false => CheckpointError::Failed { action, source },
    }
}

/// What one partition's part of a checkpoint wrote.
struct Written {
    core: Arc<Core>,
    /// Tail entries that stand in segments now.
    drained: usize,
    segments: Vec<SegmentMeta>,
    /// Segments whose records are dead, or stand elsewhere now.
    garbage: Vec<SegmentName>,
}

impl Checkpointer {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Self {
            generation: manifest.generation,
            begun: manifest.generation,
            snapshots: Snapshots::from_refs(&manifest.snapshots),
            known_dirs: BTreeSet::new(),
        }
    }

    /// Bytes that the next snapshot may need at most, were everything to change.
    pub(crate) fn snapshot_bytes(&self) -> u64 {
        self.snapshots.live_bytes()
    }

    /// Makes a checkpoint if anything changed. Returns whether it did.
    pub(crate) fn run(&mut self, log: &Shared) -> Result<bool, CheckpointError> {
        let point = *log.point.lock();
        let mut dirty = log.partitions.take_dirty();
        // A failed checkpoint gives its partitions back, and they may have been listed again meanwhile.
        dirty.cores.sort_by_key(|core| core.id);
        dirty.cores.dedup_by_key(|core| core.id);
        let changed = std::mem::take(&mut *log.changed.lock());
        if dirty.cores.is_empty() && dirty.shards.is_empty() && changed.is_empty() {
            return Ok(false);
        }
        let mut garbage = std::mem::take(&mut dirty.garbage);
        match self.attempt(log, point, &dirty, &changed, &mut garbage) {
            Ok(()) => Ok(true),
            Err(error) => {
                // Also what became garbage in this attempt: its partitions name it no more.
                dirty.garbage = garbage;
                log.changed.lock().extend(changed);
                for core in &dirty.cores {
                    let mut state = core.lock();
                    state.listed_dirty = true;
                    state.dead.reclaim_due = !state.dead.is_empty();
                }
                log.partitions.restore_dirty(dirty);
                Err(error)
            }
        }
    }

    fn attempt(
        &mut self,
        log: &Shared,
        point: DurablePoint,
        dirty: &Dirty,
        changed: &BTreeSet<(TableId, u32)>,
        garbage: &mut Vec<SegmentName>,
    ) -> Result<(), CheckpointError> {
        let mut undo = Vec::new();
        let written = self.write_segments(log, point.lsn, &dirty.cores, &mut undo).inspect_err(|error| {
            if matches!(error, CheckpointError::Full(_)) {
                give_back(log, &undo);
            }
        })?;
        let mut shards: BTreeSet<(TableId, u32)> = changed.clone();
        shards.extend(dirty.shards.iter().map(|shard| (PARTITIONS, *shard)));
        for part in written {
            let id = part.core.id;
            shards.insert((PARTITIONS, Partitions::shard_of(id)));
            shards.extend(log.tables.values().filter_map(|table| Some((table.id(), table.shard_of(id)?))));
            garbage.extend(install(part));
        }
        for (id, table) in &log.tables {
            shards.extend(table.changed_shards().into_iter().map(|shard| (*id, shard)));
        }
        // A dropped partition's segments may be named by an attempt before.
        garbage.sort_unstable();
        garbage.dedup();
        let mut shards: Vec<NewShard> =
            shards.into_iter().map(|(table, shard)| take_snapshot(log, table, shard)).collect();
        let dead = changed_dead(&dirty.cores);
        for (core, changes) in &dead {
            for change in changes {
                let bytes = change.bits.as_deref().map(chunk_bytes).transpose();
                shards.push(NewShard {
                    key: SnapshotKey::Dead(core.id, change.chunk),
                    as_of: Lsn::ZERO,
                    bytes: bytes.map_err(failed("laying out a snapshot"))?,
                });
            }
        }
        // A snapshot may show changes that aren't durable yet. The manifest must not name it before they are.
        log.flush()?;

        let generation = self.generation + 1;
        let dir = &log.config.dir;
        let snapshots =
            self.snapshots.write(&log.env, dir, generation, shards, &dirty.dropped).map_err(|error| {
                // A manifest that was begun before may be whole, and then names the file.
                if is_no_room(&error) && self.begun < generation {
                    snapshot::give_back(&log.env, dir, generation);
                }
                failed("writing a snapshot")(error)
            })?;
        self.begun = generation;
        let manifest = Manifest {
            version: manifest::MANIFEST_VERSION,
            generation,
            point,
            next_partition: log.partitions.next_id(),
            snapshots: snapshots.refs().copied().collect(),
            garbage: garbage.clone(),
        };
        log.check_lock()?;
        manifest::write(&log.env, dir, &manifest).map_err(failed("writing the manifest"))?;
        self.generation = generation;
        self.snapshots = snapshots;
        for (core, changes) in &dead {
            core.lock().dead.stored(changes);
        }
        log.tables.values().for_each(|table| table.checkpointed());

        log.wal_files.release_below(point.file_seq);
        self.snapshots.delete_unused(&log.env, dir);
        for name in garbage.iter().copied() {
            if let Err(error) = log.segments.delete(name) {
                tracing::warn!(?name, %error, "a dead segment can't be removed");
            }
        }
        Ok(())
    }

    /// Brings every dirty partition's batches up to `cut` into its segments, durably.
    fn write_segments(
        &mut self,
        log: &Shared,
        cut: Lsn,
        cores: &[Arc<Core>],
        undo: &mut Vec<Undo>,
    ) -> Result<Vec<Written>, CheckpointError> {
        let mut touched = Vec::new();
        let mut new_names = BTreeSet::new();
        let mut written = Vec::with_capacity(cores.len());
        let mut reclaim = Reclaim::new(log);
        for core in cores {
            let mut part = self.write_partition(log, cut, core, &mut touched, &mut new_names, undo)?;
            let Written { segments, garbage, .. } = &mut part;
            if reclaim.run(core, segments, garbage, &mut touched, undo)? {
                new_names.insert(shard_dir(log.segments.dir(), core.id));
            }
            written.push(part);
            // Files stay open until they are synced, and there may be more partitions than the process may have files.
            if touched.len() >= log.config.max_open_files {
                sync_segments(log, &mut touched)?;
            }
        }
        sync_segments(log, &mut touched)?;
        for dir in new_names {
            if !duolog_env::seeded_bug("no_directory_sync") {
                log.env.disk.sync_dir(&dir).map_err(failed("syncing a segment directory"))?;
            }
        }
        Ok(written)
    }

    fn write_partition(
        &mut self,
        log: &Shared,
        cut: Lsn,
        core: &Arc<Core>,
        touched: &mut Vec<Arc<dyn File>>,
        new_names: &mut BTreeSet<PathBuf>,
        undo: &mut Vec<Undo>,
    ) -> Result<Written, CheckpointError> {
        let (entries, segments, start, seal_bytes, dead) = {
            let mut state = core.lock();
            let drained = state.tail.iter().take_while(|entry| entry.lsn <= cut).count();
            // What comes later lists the partition anew; what is left behind the cut, at once.
            state.listed_dirty = drained < state.tail.len();
            if state.listed_dirty {
                log.partitions.list_dirty(core);
            }
            let entries: Vec<TailEntry> = state.tail.range(..drained).copied().collect();
            let seal_bytes = match state.segment_bytes {
                0 => log.config.segment_bytes,
                bytes => bytes,
            };
            let range = entries.first().zip(entries.last());
            let dead = range.map(|(first, last)| state.dead.view(first.base, last.end)).unwrap_or_default();
            (entries, state.segments.clone(), state.start, seal_bytes, dead)
        };
        // What died since it was appended isn't written a second time.
        let is_dead = |entry: &TailEntry| entry.end <= start || dead.covers(entry.base, entry.end);
        let drained = entries.len();
        if entries.iter().all(is_dead) {
            return Ok(Written { core: core.clone(), drained, segments, garbage: Vec::new() });
        }
        let dir = shard_dir(log.segments.dir(), core.id);
        if !self.known_dirs.contains(&dir) {
            log.env.disk.create_dir_all(&dir).map_err(failed("creating a segment directory"))?;
            self.known_dirs.insert(dir.clone());
        }
        new_names.insert(dir);
        let mut writer = SegmentWriter::new(&log.segments, core.id, segments, seal_bytes, touched, undo);
        for entry in entries.iter().filter(|entry| entry.end > start) {
            if is_dead(entry) {
                writer.leave_out((entry.end.0 - entry.base.0) as u64);
                continue;
            }
            let bytes = if entry.is_gap() { bytes::Bytes::new() } else { batch(log, entry)? };
            writer.add(*entry, &bytes).map_err(failed("writing a segment"))?;
            log.throttle(bytes.len() as u64);
        }
        let segments = writer.finish().map_err(failed("writing a segment"))?;
        Ok(Written { core: core.clone(), drained, segments, garbage: Vec::new() })
    }
}

/// Nothing names yet what was written: its room is better used by the next try, or by control entries.
fn give_back(log: &Shared, undo: &[Undo]) {
    for written in undo {
        if let Err(error) = written.give_back(&log.segments) {
            tracing::warn!(?written, %error, "what a checkpoint without room wrote can't be given back");
        }
    }
}

/// Makes what was written to `touched` durable, and lets go of the files.
fn sync_segments(log: &Shared, touched: &mut Vec<Arc<dyn File>>) -> Result<(), CheckpointError> {
    log.env.disk.sync_files(log.segments.dir(), touched).map_err(failed("syncing segments"))?;
    touched.clear();
    Ok(())
}

/// A batch's bytes, from memory or from the WAL.
fn batch(log: &Shared, entry: &TailEntry) -> Result<bytes::Bytes, CheckpointError> {
    if let Some((start, group)) = log.tail.group_at(entry.file_seq, entry.position) {
        let at = (entry.position - start) as usize;
        return Ok(group.slice(at..at + entry.len as usize));
    }
    read_from_wal(log, entry).map_err(|error| match error {
        ReadError::Io { source, .. } => failed("reading the WAL")(source),
        other => CheckpointError::Failed {
            action: "reading the WAL",
            source: io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        },
    })
}

/// Moves the border of the partition; returns the segments that are dead now.
fn install(part: Written) -> Vec<SegmentName> {
    let id = part.core.id;
    let mut state = part.core.lock();
    let mut garbage = part.garbage;
    if state.dropped {
        garbage.extend(part.segments.iter().map(|segment| segment.name(id)));
        return garbage;
    }
    let start = state.start;
    let (dead, live): (Vec<_>, Vec<_>) = part.segments.into_iter().partition(|segment| segment.end <= start);
    state.drain_tail(part.drained, live);
    garbage.extend(dead.into_iter().map(|segment| segment.name(id)));
    garbage
}

/// What every partition has to have written of its dead offsets.
fn changed_dead(cores: &[Arc<Core>]) -> Vec<(Arc<Core>, Vec<Change>)> {
    let mut changed = Vec::new();
    for core in cores {
        let state = core.lock();
        let changes = if state.dropped { Vec::new() } else { state.dead.changes() };
        if !changes.is_empty() {
            changed.push((core.clone(), changes));
        }
    }
    changed
}

fn take_snapshot(log: &Shared, table: TableId, shard: u32) -> NewShard {
    match log.tables.get(&table) {
        Some(owner) => {
            let taken = owner.snapshot(shard);
            let bytes = Some(taken.bytes).filter(|bytes| !bytes.is_empty());
            NewShard { key: SnapshotKey::Shard(table, shard), as_of: taken.as_of, bytes }
        }
        // Only the log's own table has no owner above it.
        None => NewShard {
            key: SnapshotKey::Shard(table, shard),
            as_of: Lsn::ZERO,
            bytes: Some(partition_table::snapshot(&log.partitions, shard)),
        },
    }
}
