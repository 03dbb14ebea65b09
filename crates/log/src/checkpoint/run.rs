//! One checkpoint, from cut to cleaning up.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use duolog_env::File;
use duolog_types::{Lsn, PartitionId};

use super::manifest::{self, Manifest, SnapshotKey};
use super::partition_table::{self, PARTITIONS};
use super::reclaim::Reclaim;
use super::snapshot::{self, NewShard, Snapshots, Thrift};
use crate::dead::set::{Change, chunk_bytes};
use crate::error::{Poisoned, ReadError};
use crate::log::Shared;
use crate::partition::core::{Core, State, TailEntry};
use crate::partition::read::{read_ahead, read_from_wal};
use crate::partitions::{Dirty, Partitions};
use crate::segment::store::shard_dir;
use crate::segment::writer::{SegmentWriter, Undo};
use crate::segment::{SegmentMeta, SegmentName};
use crate::space::{is_no_room, may_pass};
use crate::table::TableId;
use crate::wal::writer::DurablePoint;

/// How many batches of a partition are fetched from the WAL at once.
const READ_AHEAD_BATCHES: usize = 64;

/// What checkpoints carry from one to the next.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    /// Of the manifest in force, and where recovery begins by it.
    generation: u64,
    point: DurablePoint,
    /// The newest generation that a manifest may have on the disk.
    begun: u64,
    snapshots: Snapshots,
    /// Snapshot files of tries whose manifest may be whole: they stay until another is in force.
    strays: Vec<u64>,
    /// Partitions whose border has moved since the manifest in force.
    ahead: BTreeSet<PartitionId>,
    /// Shard directories whose names are durable.
    known_dirs: BTreeSet<PathBuf>,
    /// The last attempt found no room: what would only save some is left until one has succeeded.
    had_no_room: bool,
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

/// What a new manifest names, and no longer names.
struct Forced<'a> {
    shards: Vec<NewShard>,
    /// Partitions of which nothing is dead any more: they are gone.
    dropped: &'a [PartitionId],
    garbage: &'a [SegmentName],
    thrift: Thrift,
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
            point: manifest.point,
            begun: manifest.generation,
            snapshots: Snapshots::from_refs(&manifest.snapshots),
            strays: Vec::new(),
            ahead: BTreeSet::new(),
            known_dirs: BTreeSet::new(),
            had_no_room: false,
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
            Ok(()) => {
                self.had_no_room = false;
                Ok(true)
            }
            Err(error) => {
                self.had_no_room = true;
                // Also what became garbage in this attempt: its partitions name it no more.
                dirty.garbage = garbage;
                log.changed.lock().extend(changed);
                give_back_dirty(log, dirty);
                Err(error)
            }
        }
    }

    /// Frees the segments that are dead, where there is no room for more than that: recovery goes on beginning where it
    /// did, and nothing moves into segments. Needs nothing of the WAL, which may wait for that room. Returns whether
    /// anything was freed.
    pub(crate) fn free_dead(&mut self, log: &Shared) -> Result<bool, CheckpointError> {
        let mut dirty = log.partitions.take_dirty();
        let mut shards: BTreeSet<u32> = dirty.shards.iter().copied().collect();
        for core in &dirty.cores {
            let mut state = core.lock();
            let State { segments, start, dead, .. } = &mut *state;
            let is_dead =
                |segment: &mut SegmentMeta| segment.end <= *start || dead.covers(segment.base, segment.end);
            dirty.garbage.extend(segments.extract_if(.., is_dead).map(|segment| segment.name(core.id)));
        }
        // Also of what a try before found dead: the manifest in force may still name it.
        shards.extend(dirty.garbage.iter().map(|name| Partitions::shard_of(name.partition)));
        dirty.garbage.sort_unstable();
        dirty.garbage.dedup();
        let freed = match dirty.garbage.is_empty() {
            true => Ok(false),
            false => self.forget(log, &shards, &dirty.garbage).map(|()| true),
        };
        if matches!(freed, Ok(true)) {
            dirty.garbage.clear();
            dirty.shards.clear();
        }
        give_back_dirty(log, dirty);
        freed
    }

    /// Puts a manifest in force that doesn't name `garbage` any more.
    fn forget(
        &mut self,
        log: &Shared,
        shards: &BTreeSet<u32>,
        garbage: &[SegmentName],
    ) -> Result<(), CheckpointError> {
        let mut wanted: BTreeSet<(TableId, u32)> = shards.iter().map(|shard| (PARTITIONS, *shard)).collect();
        // What the tables made of batches behind the border is rebuilt from them; of those before it, it must be there.
        for id in &self.ahead {
            wanted.extend(log.tables.values().filter_map(|table| Some((table.id(), table.shard_of(*id)?))));
        }
        if !self.ahead.is_empty() {
            for (id, table) in &log.tables {
                wanted.extend(table.changed_shards().into_iter().map(|shard| (*id, shard)));
            }
        }
        // What died since the manifest in force is behind the point where recovery goes on beginning.
        let shards = wanted.into_iter().map(|(table, shard)| take_snapshot(log, table, shard)).collect();
        if !self.ahead.is_empty() {
            flush(log)?;
        }
        let new = Forced { shards, dropped: &[], garbage, thrift: Thrift::OnlyNew };
        self.put_in_force(log, self.point, new)?;
        if !self.ahead.is_empty() {
            log.tables.values().for_each(|table| table.checkpointed());
        }
        Ok(())
    }

    /// Never one that was begun, since what is left of that may be whole; and in the slot that the manifest in force isn't
    /// in.
    fn next_generation(&self) -> u64 {
        let next = self.begun + 1;
        if next % 2 == self.generation % 2 { next + 1 } else { next }
    }

    /// Writes `new` and the manifest that names it, and deletes what that no longer names.
    fn put_in_force(
        &mut self,
        log: &Shared,
        point: DurablePoint,
        new: Forced<'_>,
    ) -> Result<(), CheckpointError> {
        let Forced { shards, dropped, garbage, thrift } = new;
        let generation = self.next_generation();
        let dir = &log.config.dir;
        let written = self.snapshots.write(&log.env, dir, generation, shards, thrift, dropped);
        let snapshots = written.map_err(|error| {
            if is_no_room(&error) {
                snapshot::give_back(&log.env, dir, generation);
            }
            failed("writing a snapshot")(error)
        })?;
        let manifest = Manifest {
            version: manifest::MANIFEST_VERSION,
            generation,
            point,
            next_partition: log.partitions.next_id(),
            snapshots: snapshots.refs().copied().collect(),
            garbage: garbage.to_vec(),
        };
        log.check_lock()?;
        self.begun = generation;
        manifest::write(&log.env, dir, &manifest).map_err(|error| {
            self.strays.push(generation);
            failed("writing the manifest")(error)
        })?;
        self.generation = generation;
        self.point = point;
        self.snapshots = snapshots;

        for stray in self.strays.drain(..) {
            snapshot::give_back(&log.env, dir, stray);
        }
        log.wal_files.release_below(point.file_seq);
        self.snapshots.delete_unused(&log.env, dir);
        for name in garbage.iter().copied() {
            if let Err(error) = log.segments.delete(name) {
                tracing::warn!(?name, %error, "a dead segment can't be removed");
            }
        }
        Ok(())
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
            if part.drained > 0 {
                self.ahead.insert(id);
            }
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
        flush(log)?;
        let new = Forced { shards, dropped: &dirty.dropped, garbage, thrift: Thrift::AsBest };
        self.put_in_force(log, point, new)?;
        for (core, changes) in &dead {
            core.lock().dead.stored(changes);
        }
        log.tables.values().for_each(|table| table.checkpointed());
        self.ahead.clear();
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
        let mut reclaim = Reclaim::new(log, !self.had_no_room);
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
        let (entries, segments, start, seal_bytes, dead, in_memory) = {
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
            (entries, state.segments.clone(), state.start, seal_bytes, dead, state.memory.is_some())
        };
        // What died since it was appended isn't written a second time.
        // And of a partition in memory nothing stands in the WAL but how far its offsets go: the border says that.
        let is_dead =
            |entry: &TailEntry| in_memory || entry.end <= start || dead.covers(entry.base, entry.end);
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
        let mut fetched = 0;
        for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.end > start) {
            if is_dead(entry) {
                writer.leave_out((entry.end.0 - entry.base.0) as u64);
                continue;
            }
            if at >= fetched {
                fetched = entries.len().min(at + READ_AHEAD_BATCHES);
                read_ahead(log, entries[at..fetched].iter().filter(|entry| !is_dead(entry)));
            }
            let bytes = if entry.is_gap() { bytes::Bytes::new() } else { batch(log, entry)? };
            writer.add(*entry, &bytes).map_err(failed("writing a segment"))?;
            log.throttle(bytes.len() as u64);
        }
        let segments = writer.finish().map_err(failed("writing a segment"))?;
        Ok(Written { core: core.clone(), drained, segments, garbage: Vec::new() })
    }
}

/// Everything that is queued becomes durable, or this isn't the time for a checkpoint.
fn flush(log: &Shared) -> Result<(), CheckpointError> {
    if log.flush()? {
        return Ok(());
    }
    let detail = "the WAL has no room for what the snapshots may show";
    Err(CheckpointError::Full(io::Error::new(io::ErrorKind::StorageFull, detail)))
}

/// The next checkpoint has to look at these again.
fn give_back_dirty(log: &Shared, dirty: Dirty) {
    for core in &dirty.cores {
        let mut state = core.lock();
        state.listed_dirty = true;
        state.dead.reclaim_due = !state.dead.is_empty();
    }
    log.partitions.restore_dirty(dirty);
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
