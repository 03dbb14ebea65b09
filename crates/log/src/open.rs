//! Opening a data directory: make it or recover it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use duolog_env::Env;
use duolog_types::{Lsn, Offset, PartitionId};
use parking_lot::{Condvar, Mutex};
use roaring::RoaringTreemap;

use crate::checkpoint::manifest::{self, MANIFEST_VERSION, Manifest, SnapshotKey, SnapshotRef};
use crate::checkpoint::partition_table::{self, PARTITIONS};
use crate::checkpoint::run::Checkpointer;
use crate::checkpoint::snapshot;
use crate::config::LogConfig;
use crate::dead::ranges;
use crate::durable::Durability;
use crate::error::OpenError;
use crate::log::Shared;
use crate::partition::core::{Core, State, TailEntry};
use crate::partition::memory::MemoryBudget;
use crate::partitions::Partitions;
use crate::queue::Queue;
use crate::segment::store::SegmentStore;
use crate::space::{Ballast, SpaceGuard};
use crate::stats::Counters;
use crate::table::{Table, TableId};
use crate::tail::Tail;
use crate::wal::file::WalFiles;
use crate::wal::frame::{Found, FrameHeader};
use crate::wal::layout::FILE_HEADER_BYTES;
use crate::wal::recovery::{self, Place};
use crate::wal::writer::{DurablePoint, Writer};

/// What recovery found, for the startup lines and the tests.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Whether the directory was made just now.
    pub is_new: bool,
    /// Entries replayed from the WAL.
    pub entries: u64,
    /// WAL bytes read for that.
    pub bytes: u64,
    /// Bytes of a torn group, never acknowledged, that were left behind.
    pub torn_bytes: u64,
    /// Damaged ranges given up at the operator's word.
    pub given_up: u64,
    /// Partitions that exist.
    pub partitions: u64,
    /// How long it took.
    pub took: Duration,
}

const SMALLEST_WAL_FILE_BYTES: u64 = 64 << 10;
/// A WAL file's length must fit the 32 bits of a group's payload.
const LARGEST_WAL_FILE_BYTES: u64 = 2 << 30;

fn check(config: &LogConfig) -> Result<(), OpenError> {
    let bytes = config.wal_file_bytes;
    let in_range = (SMALLEST_WAL_FILE_BYTES..=LARGEST_WAL_FILE_BYTES).contains(&bytes);
    if !in_range || !bytes.is_multiple_of(FILE_HEADER_BYTES) {
        return Err(OpenError::BadConfig {
            setting: "wal.file_bytes",
            problem: format!(
                "{bytes} isn't a multiple of {FILE_HEADER_BYTES} from {SMALLEST_WAL_FILE_BYTES} to {LARGEST_WAL_FILE_BYTES}"
            ),
        });
    }
    Ok(())
}

/// Takes the directory over and rebuilds the log's state.
pub(crate) fn open(env: &Env, config: LogConfig, tables: Vec<Arc<dyn Table>>) -> Result<Shared, OpenError> {
    check(&config)?;
    let began = env.clock.monotonic();
    let dir = config.dir.clone();
    for sub in [dir.clone(), dir.join("wal"), dir.join("segments"), dir.join("snapshots")] {
        env.disk.create_dir_all(&sub).map_err(|error| OpenError::io("creating", &sub, error))?;
    }
    let lock = env.disk.lock(&dir.join("LOCK")).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { dir: dir.clone() },
        _ => OpenError::io("locking", dir.join("LOCK"), error),
    })?;

    let mode = recovery::open_mode(config.durability);
    let wal_files = WalFiles::new(env, dir.join("wal"), config.wal_file_bytes, config.checkpoint_bytes, mode);
    let manifest = manifest::read(env, &dir)?;
    let is_new = manifest.is_none();
    let mut manifest = match manifest {
        Some(manifest) => manifest,
        None => initialise(env, &config, &wal_files)?,
    };
    let mut replay = Replay::new(tables, &manifest);
    replay.restore_snapshots(env, &config)?;
    let found = recovery::recover(env, &wal_files, manifest.point, config.damage, |found, place| {
        replay.frame(found, place)
    })?;
    replay.forget_dead_beyond_the_end();
    delete_garbage(&manifest, env, &dir)?;
    snapshot::remove_strays(env, &dir, &manifest.snapshots)
        .map_err(|error| OpenError::io("removing old files from", dir.join("snapshots"), error))?;

    if manifest.version < MANIFEST_VERSION {
        // From here on the directory may hold what an older binary doesn't know: it has to refuse by the name of the
        // format, and not find damage.
        manifest.version = MANIFEST_VERSION;
        manifest.generation += 1;
        manifest::write(env, &dir, &manifest)
            .map_err(|error| OpenError::io("writing the manifest of", &dir, error))?;
    }

    let last_lsn = match duolog_env::seeded_bug("reused_lsn") {
        false => found.end.lsn,
        true => Lsn(found.end.lsn.0.saturating_sub(1)),
    };
    let point = DurablePoint { lsn: last_lsn, ..found.end };
    let file = wal_files.get(point.file_seq).ok_or_else(|| {
        OpenError::io("finding the newest WAL file in", dir.join("wal"), io::ErrorKind::NotFound.into())
    })?;
    // What a torn group left behind this point is overwritten or stays as noise: no byte of it can pass for a group
    // header, since none but the log knows the file's epoch.
    file.resume_filling(point.position);
    let writer = Writer::resume(file, point);

    let Replay { partitions, tables, changed, .. } = replay;
    let entry_limit = config.wal_file_bytes - 2 * FILE_HEADER_BYTES;
    let segments =
        SegmentStore::new(env, dir.join("segments"), config.block_cache_bytes, config.max_open_files);
    let count =
        (0..crate::partitions::SHARDS as u32).map(|shard| partitions.of_shard(shard).len() as u64).sum();
    let stats = Counters::default();
    stats.wrote_before(found.bytes);
    let shared = Shared {
        env: env.clone(),
        queue: Queue::new(last_lsn, config.queue_bytes, entry_limit),
        durability: Arc::new(Durability::starting_at(last_lsn)),
        tail: Tail::new(config.tail_bytes),
        memory: MemoryBudget::new(config.memory_bytes),
        wal_files,
        segments,
        partitions,
        tables,
        changed: Mutex::new(changed),
        point: Mutex::new(point),
        space: SpaceGuard::default(),
        ballast: Ballast::new(dir.join("BALLAST"), config.wal_file_bytes),
        stats,
        writer: Mutex::new(writer),
        checkpointer: Mutex::new(Checkpointer::new(&manifest)),
        checkpointed_wal_bytes: AtomicU64::new(0),
        unpaid_bytes: AtomicU64::new(0),
        stopping: Mutex::new(false),
        stop_or_work: Condvar::new(),
        recovery: RecoveryReport {
            is_new,
            entries: found.entries,
            bytes: found.bytes,
            torn_bytes: found.torn_bytes,
            given_up: found.given_up,
            partitions: count,
            took: env.clock.monotonic().saturating_sub(began),
        },
        lock,
        config,
    };
    shared.measure_space();
    Ok(shared)
}

/// Deletes the segments that the newest manifest left for deletion: a crash may have come before that.
fn delete_garbage(manifest: &Manifest, env: &Env, dir: &std::path::Path) -> Result<(), OpenError> {
    let segments = SegmentStore::new(env, dir.join("segments"), 0, 1);
    for name in &manifest.garbage {
        segments.delete(*name).map_err(|error| OpenError::io("deleting segments from", dir, error))?;
    }
    Ok(())
}

/// Makes the first WAL file and the first manifest. Nothing is acknowledged before both are durable, so a directory
/// with a WAL but without a manifest is either one that a crash left half made, or one that lost its manifests.
fn initialise(env: &Env, config: &LogConfig, wal_files: &WalFiles) -> Result<Manifest, OpenError> {
    let dir = &config.dir;
    if manifest::has_wal_groups(env, dir) {
        return Err(manifest::missing(dir.join("MANIFEST-a")));
    }
    let wal = wal_files.dir();
    let leftovers = env.disk.list(wal).map_err(|error| OpenError::io("listing", wal, error))?;
    for name in leftovers {
        let path = wal.join(name);
        env.disk.remove(&path).map_err(|error| OpenError::io("removing", &path, error))?;
    }
    let file = wal_files
        .begin(1, Lsn(1), 0, 0, wal_files.size())
        .map_err(|error| OpenError::io("making a WAL file in", wal, error))?;
    let point =
        DurablePoint { lsn: Lsn::ZERO, file_seq: 1, position: FILE_HEADER_BYTES, chain: file.header.chain() };
    let first = Manifest { generation: 1, point, ..Manifest::default() };
    manifest::write(env, dir, &first)
        .map_err(|error| OpenError::io("writing the manifest of", dir, error))?;
    Ok(first)
}

/// The state that is being rebuilt.
struct Replay {
    partitions: Partitions,
    tables: BTreeMap<TableId, Arc<dyn Table>>,
    changed: BTreeSet<(TableId, u32)>,
    snapshots: Vec<SnapshotRef>,
    as_of: BTreeMap<(TableId, u32), Lsn>,
}

impl Replay {
    fn new(tables: Vec<Arc<dyn Table>>, manifest: &Manifest) -> Self {
        let mut by_id = BTreeMap::new();
        for table in tables {
            let id = table.id();
            assert!(id != PARTITIONS, "table number 0 is the log's own");
            assert!(by_id.insert(id, table).is_none(), "two state tables have the number {}", id.0);
        }
        let partitions = Partitions::new();
        partitions.saw_id(PartitionId(manifest.next_partition - 1));
        Self {
            partitions,
            tables: by_id,
            changed: BTreeSet::new(),
            snapshots: manifest.snapshots.clone(),
            as_of: BTreeMap::new(),
        }
    }

    fn restore_snapshots(&mut self, env: &Env, config: &LogConfig) -> Result<(), OpenError> {
        for found in &std::mem::take(&mut self.snapshots) {
            let bytes = snapshot::read(env, &config.dir, found)?;
            let (restored, table, shard) = match found.key {
                SnapshotKey::Shard(PARTITIONS, shard) => {
                    (partition_table::restore(&self.partitions, &bytes), PARTITIONS, shard)
                }
                SnapshotKey::Shard(table, shard) => {
                    (self.table(table, shard)?.restore(shard, &bytes), table, shard)
                }
                SnapshotKey::Dead(partition, chunk) => {
                    (self.restore_dead(partition, chunk, &bytes), PARTITIONS, Partitions::shard_of(partition))
                }
            };
            restored.map_err(|detail| OpenError::Table { table: table.0, shard, detail })?;
            self.as_of.insert((table, shard), found.as_of);
        }
        Ok(())
    }

    /// In the order of keys, the partitions come before what is dead in them.
    fn restore_dead(&self, partition: PartitionId, chunk: u64, bytes: &[u8]) -> Result<(), String> {
        match self.partitions.get(partition) {
            Some(core) => core.lock().dead.restore(chunk, bytes),
            // It was dropped between the two parts of a checkpoint.
            None => {
                self.partitions.forget_dead_of(partition);
                Ok(())
            }
        }
    }

    /// Nothing may be dead that isn't there: where a damaged range was given up, its offsets are given anew.
    fn forget_dead_beyond_the_end(&self) {
        for core in (0..crate::partitions::SHARDS as u32).flat_map(|shard| self.partitions.of_shard(shard)) {
            let mut state = core.lock();
            let end = state.next;
            if state.dead.forget_from(end) && state.mark_dirty() {
                self.partitions.list_dirty(&core);
            }
        }
    }

    fn table(&self, table: TableId, shard: u32) -> Result<&Arc<dyn Table>, OpenError> {
        let detail = || "this binary doesn't know the table; start a newer duolog".to_string();
        self.tables.get(&table).ok_or_else(|| OpenError::Table { table: table.0, shard, detail: detail() })
    }

    fn frame(&mut self, found: Found<'_>, place: Place) -> Result<(), OpenError> {
        match found.header {
            FrameHeader::State { table, shard } => {
                if self.as_of.get(&(table, shard)).is_some_and(|as_of| found.lsn <= *as_of) {
                    return Ok(());
                }
                let owner = self.table(table, shard)?;
                owner.apply(shard, found.payload, found.lsn).map_err(|detail| OpenError::Table {
                    table: table.0,
                    shard,
                    detail,
                })?;
                self.changed.insert((table, shard));
            }
            FrameHeader::Create { partition } => {
                if self.partitions.get(partition).is_none() {
                    let state = State { created: true, ..State::default() };
                    self.partitions.insert(Core::with_state(partition, state));
                }
                self.mark(partition);
            }
            FrameHeader::Drop { partition } => {
                if let Some(core) = self.partitions.get(partition) {
                    core.publish_drop();
                    self.partitions.remove(&core);
                }
            }
            FrameHeader::Trim { partition, to } => {
                if let Some(core) = self.partitions.get(partition) {
                    let mut state = core.lock();
                    state.start = state.start.max(to);
                    state.start_queued = state.start;
                    state.start_lsn = found.lsn;
                    let start = state.start;
                    state.dead.forget_below(start);
                }
                self.mark(partition);
            }
            FrameHeader::Delete { partition } => self.delete(partition, found.payload)?,
            FrameHeader::Skip { partition, to, .. } => {
                if let Some(core) = self.partitions.get(partition) {
                    fill_gap(&mut core.lock(), to, found.lsn);
                }
                self.mark(partition);
            }
            FrameHeader::Batch {
                partition,
                base_offset,
                offset_count,
                arrival,
                max_timestamp,
                of_single_records,
            } => {
                let entry = TailEntry {
                    base: base_offset,
                    end: base_offset.plus(i64::from(offset_count)),
                    lsn: found.lsn,
                    file_seq: place.file_seq,
                    position: place.position,
                    len: found.payload.len() as u32,
                    arrival,
                    max_timestamp,
                };
                if self.batch(partition, entry)? {
                    for table in self.tables.values() {
                        if of_single_records {
                            table.apply_single_records(partition, base_offset, arrival, found.payload);
                        } else {
                            table.apply_batch(partition, base_offset, arrival, found.payload);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn delete(&self, partition: PartitionId, payload: &[u8]) -> Result<(), OpenError> {
        let Some(core) = self.partitions.get(partition) else { return Ok(()) };
        let mut offsets = RoaringTreemap::new();
        {
            let mut state = core.lock();
            for range in ranges::decode(payload) {
                let range = range.map_err(|detail| not_of(partition, detail))?;
                state.delete(range);
                // What was given up with a damaged range gives its offsets to something new.
                let end = range.end.min(state.next);
                if range.base < end {
                    offsets.insert_range(range.base.0 as u64..end.0 as u64);
                }
            }
        }
        self.mark(partition);
        for table in self.tables.values() {
            table.apply_delete(partition, &offsets);
        }
        Ok(())
    }

    /// Returns whether the batch is one that the partition didn't have.
    fn batch(&self, partition: PartitionId, entry: TailEntry) -> Result<bool, OpenError> {
        let Some(core) = self.partitions.get(partition) else { return Ok(false) };
        {
            let mut state = core.lock();
            if entry.end <= state.next {
                return Ok(false);
            }
            if entry.base < state.next || (entry.len as usize) < duolog_record::HEADER_BYTES {
                let TailEntry { base, end, len, .. } = entry;
                let next = state.next;
                let detail = format!(
                    "a batch of {len} bytes takes the offsets {base}..{end} of a partition that ends at {next}"
                );
                return Err(not_of(partition, detail));
            }
            // Only where a damaged range was given up: its offsets stay empty.
            fill_gap(&mut state, entry.base, entry.lsn);
            state.push_tail(entry);
            state.next = entry.end;
            state.high_watermark = entry.end;
        }
        self.mark(partition);
        Ok(true)
    }

    fn mark(&self, partition: PartitionId) {
        if let Some(core) = self.partitions.get(partition)
            && core.lock().mark_dirty()
        {
            self.partitions.list_dirty(&core);
        }
    }
}

fn not_of(partition: PartitionId, detail: String) -> OpenError {
    OpenError::Table { table: PARTITIONS.0, shard: Partitions::shard_of(partition), detail }
}

fn fill_gap(state: &mut State, to: Offset, lsn: Lsn) {
    if to > state.next {
        state.push_tail(TailEntry::gap(state.next, to, lsn));
        state.next = to;
        state.high_watermark = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_over_offsets_that_are_taken_is_damage_and_no_panic() {
        let mut replay = Replay::new(Vec::new(), &Manifest::default());
        let partition = PartitionId(1);
        let payload = [0; duolog_record::HEADER_BYTES];
        let mut frame = |header: FrameHeader, payload: &[u8]| {
            replay.frame(
                Found { lsn: Lsn(1), header, payload, payload_at: 0 },
                Place { file_seq: 1, position: 4096 },
            )
        };
        let batch = |base: i64| FrameHeader::Batch {
            partition,
            base_offset: Offset(base),
            offset_count: 5,
            arrival: duolog_types::Nanos(0),
            max_timestamp: duolog_types::TimestampMs(0),
            of_single_records: false,
        };
        frame(FrameHeader::Create { partition }, &[]).unwrap();
        frame(batch(0), &payload).unwrap();
        frame(batch(0), &payload).expect("known already, as after a checkpoint");
        let refused = frame(batch(3), &payload).unwrap_err().to_string();
        assert!(refused.contains("takes the offsets 3..8 of a partition that ends at 5"), "{refused}");
        let refused = frame(batch(5), &payload[1..]).unwrap_err().to_string();
        assert!(refused.contains("a batch of 60 bytes"), "{refused}");
    }
}
