//! The log as its owner sees it: submit, wait, checkpoint, close.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use duolog_env::{Env, Lock};
use duolog_types::{Lsn, PartitionId};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::checkpoint::run::{CheckpointError, Checkpointer};
use crate::config::LogConfig;
use crate::dead::ranges;
use crate::durable::Durability;
use crate::entry::{Entry, Frame};
use crate::error::{AppendError, OpenError, Poisoned};
use crate::open::{self, RecoveryReport};
use crate::partition::Partition;
use crate::partition::core::Core;
use crate::partition::memory::MemoryBudget;
use crate::partitions::Partitions;
use crate::queue::{Queue, Waiting, WaitingEntry, Wake};
use crate::segment::store::SegmentStore;
use crate::space::{Ballast, SpaceGuard, is_no_room, may_pass};
use crate::stats::{Counters, LogStats};
use crate::table::{Table, TableId};
use crate::tail::Tail;
use crate::threads::{self, Threads};
use crate::wal::file::{Prepared, WalFiles};
use crate::wal::writer::{DurablePoint, Writer};

/// So many bytes the background writes at full speed before it waits.
const THROTTLE_BYTES: u64 = 1 << 20;

/// A writer that is held so long is held by a disk that stalls.
const STALLED_AFTER: Duration = Duration::from_millis(5);

/// Everything that the log's parts share. Each part has its own lock, and none is taken inside another's but in the
/// order partition, queue.
pub(crate) struct Shared {
    pub env: Env,
    pub config: LogConfig,
    pub queue: Queue,
    pub durability: Arc<Durability>,
    pub tail: Tail,
    pub memory: Arc<MemoryBudget>,
    pub wal_files: WalFiles,
    pub segments: SegmentStore,
    pub partitions: Partitions,
    pub tables: BTreeMap<TableId, Arc<dyn Table>>,
    /// Shards that changed since the last checkpoint.
    pub changed: Mutex<BTreeSet<(TableId, u32)>>,
    /// Behind the newest durable group.
    pub point: Mutex<DurablePoint>,
    pub space: SpaceGuard,
    pub ballast: Ballast,
    pub stats: Counters,
    pub writer: Mutex<Writer>,
    pub checkpointer: Mutex<Checkpointer>,
    /// WAL bytes written when the newest checkpoint was cut.
    pub checkpointed_wal_bytes: AtomicU64,
    /// Bytes that the checkpoint wrote and hasn't waited for yet.
    pub unpaid_bytes: AtomicU64,
    /// Wakes the background threads, and tells them to end.
    pub stopping: Mutex<bool>,
    pub stop_or_work: Condvar,
    pub recovery: RecoveryReport,
    pub lock: Box<dyn Lock>,
}

/// A cheap handle on the log. When the last one is dropped, the log's threads end; call [`Log::close`] before, to end
/// cleanly.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

impl Log {
    /// Recovers the data directory (makes it, if it isn't there) and starts the log. Before this returns, `tables`
    /// have got their snapshots and every frame since.
    ///
    /// # Errors
    /// See [`OpenError`]; acknowledged data is never given up to open the log.
    ///
    /// # Panics
    /// If two tables have one number, or one has the log's own, 0.
    pub fn open(env: &Env, config: LogConfig, tables: Vec<Arc<dyn Table>>) -> Result<Self, OpenError> {
        let shared = Arc::new(open::open(env, config, tables)?);
        if shared.recovery.given_up > 0
            && let Err(reason) = shared.checkpoint()
        {
            // What was dead in the range that is lost must be forgotten before its offsets are given anew.
            let source = io::Error::other(reason.to_string());
            return Err(OpenError::io("checkpointing what is left of", &shared.config.dir, source));
        }
        let threads = Arc::new(threads::start(&shared)?);
        Ok(Self { shared, threads })
    }

    /// What recovery found when the log was opened.
    #[must_use]
    pub fn recovery(&self) -> RecoveryReport {
        self.shared.recovery.clone()
    }

    /// Reserves the numbers of `count` new partitions and returns the first. They exist once an entry creates them.
    #[must_use]
    pub fn allocate_partitions(&self, count: u32) -> PartitionId {
        self.shared.partitions.allocate(count)
    }

    /// Queues an entry. Call it under the lock that owns the state, so that the order of frames is the order of
    /// changes. A partition that the entry creates can be had from [`partition`](Self::partition) at once; one that
    /// it drops takes no more batches.
    ///
    /// # Errors
    /// The entry is then certainly not in the log.
    pub fn submit(&self, entry: Entry) -> Result<Lsn, AppendError> {
        self.shared.submit(entry)
    }

    /// A partition by its number.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<Partition> {
        let core = self.shared.partitions.get(id)?;
        Some(Partition { log: self.shared.clone(), core })
    }

    /// The newest entry on stable storage.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.durability.lsn()
    }

    /// The newest entry that was queued.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        self.shared.queue.last_lsn()
    }

    /// Ends when `lsn` is durable, at once if it is.
    pub fn durable(&self, lsn: Lsn) -> impl Future<Output = Result<(), Poisoned>> + Send + use<> {
        self.shared.durability.wait(lsn)
    }

    /// Ends when the log has stopped after a failed write or sync, and never otherwise.
    pub fn until_poisoned(&self) -> impl Future<Output = Poisoned> + Send + use<> {
        let never = self.shared.durability.wait(Lsn(u64::MAX));
        async move {
            match never.await {
                Err(reason) => reason,
                Ok(()) => std::future::pending().await,
            }
        }
    }

    /// Whether entries that are no data are taken, and some more by those who can't take back what they decided.
    /// Otherwise the disk is full and many wait: whoever can should refuse before it decides.
    #[must_use]
    pub fn admits_control(&self) -> bool {
        self.shared.queue.admits_control()
    }

    /// Has what was appended [deferred](Partition::append_deferred) committed, by the calling thread if nobody else
    /// waits and the disk is quick: that saves two changes of threads, most of what one client waits for. Else by
    /// the log's own thread.
    pub fn commit_queued(&self) {
        self.shared.commit_queued();
    }

    /// Has what was appended [deferred](Partition::append_deferred) committed by the log's own thread.
    pub fn commit_soon(&self) {
        self.shared.queue.wake_writer();
    }

    /// Memory for partitions that are [held in it](Partition::hold_in_memory), bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.shared.config.memory_bytes
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.shared.stats()
    }

    /// Commits one group. Only for logs without threads of their own. Returns whether it did: not if nothing waits,
    /// nor if the disk has no room for it ([`LogStats::wal_waits`]).
    ///
    /// # Errors
    /// The log has stopped.
    pub fn commit(&self) -> Result<bool, Poisoned> {
        self.shared.commit()
    }

    /// Makes a checkpoint now. Blocks on the disk.
    ///
    /// # Errors
    /// The log has stopped, or does so now. A full disk is no error here: the WAL keeps everything.
    pub fn checkpoint(&self) -> Result<(), Poisoned> {
        self.shared.checkpoint().map(|_| ())
    }

    /// Looks at how full the disk is now; the background does so every second.
    pub fn measure_space(&self) {
        self.shared.measure_space();
    }

    /// Does one step of what the background does ahead of the writer: zeroes a file, makes a spare. Only for logs
    /// without threads. Returns whether more is left.
    ///
    /// # Errors
    /// What the disk said; unless it is only full, the log has then stopped.
    pub fn prepare_wal(&self) -> io::Result<bool> {
        self.shared.prepare_wal().map(|did| did != Prepared::Nothing)
    }

    /// Commits what waits, records that it is durable, makes a checkpoint, ends the threads. Blocks on the disk.
    ///
    /// # Errors
    /// The log had stopped, or does so now; or the disk has no room for entries that wait, none of them acknowledged.
    /// A checkpoint without room is no error: the WAL keeps everything.
    pub fn close(&self) -> Result<(), Poisoned> {
        self.threads.stop(&self.shared);
        let closed = self.shared.finish();
        self.shared.durability.poison(Poisoned { action: "append", detail: "the log was closed".into() });
        closed
    }
}

impl Shared {
    pub(crate) fn submit(self: &Arc<Self>, entry: Entry) -> Result<Lsn, AppendError> {
        let mut frames = Vec::with_capacity(entry.frames.len());
        let mut in_memory = Vec::new();
        for frame in entry.frames {
            frames.push(match frame {
                Frame::State { table, shard, change } => {
                    self.changed.lock().insert((table, shard));
                    Waiting::State { table, shard, change }
                }
                Frame::Delete { partition, offsets } => {
                    let core = self.partitions.get(partition).ok_or(AppendError::Dropped(partition))?;
                    let ranges = {
                        let state = core.lock();
                        if state.closed {
                            return Err(AppendError::Dropped(partition));
                        }
                        if state.memory.is_some() {
                            drop(state);
                            in_memory.push((core, offsets));
                            continue;
                        }
                        // What was taken by now stands in front of this entry.
                        ranges::encode(&offsets, state.start, state.next)
                    };
                    Waiting::Delete { core, ranges }
                }
                Frame::Create { partition } => Waiting::Create(Core::new(partition)),
                Frame::Drop { partition } => {
                    let core = self.partitions.get(partition).ok_or(AppendError::Dropped(partition))?;
                    core.lock().closed = true;
                    Waiting::Drop(core)
                }
            });
        }
        // Nobody waits for what is gone after a restart anyway.
        let delete_in_memory =
            || in_memory.iter().for_each(|(core, offsets)| core.lock().delete_in_memory(offsets));
        if frames.is_empty() && !in_memory.is_empty() {
            delete_in_memory();
            return Ok(Lsn::ZERO);
        }
        let created: Vec<Arc<Core>> = frames
            .iter()
            .filter_map(|frame| match frame {
                Waiting::Create(core) => Some(core.clone()),
                _ => None,
            })
            .collect();
        let dropped: Vec<Arc<Core>> = frames
            .iter()
            .filter_map(|frame| match frame {
                Waiting::Drop(core) => Some(core.clone()),
                _ => None,
            })
            .collect();
        // Before the entry can become durable: a checkpoint behind it must find them.
        created.iter().for_each(|core| self.partitions.insert(core.clone()));
        let pushed = self.queue.push(WaitingEntry::Many(frames), false, Wake::Now);
        if pushed.is_err() {
            created.iter().for_each(|core| self.partitions.forget(core));
            dropped.iter().for_each(|core| core.lock().closed = false);
        } else {
            delete_in_memory();
        }
        pushed
    }

    pub(crate) fn commit(&self) -> Result<bool, Poisoned> {
        self.hold_writer().commit(self)
    }

    /// Waits for the writer. Where a thread that appends holds it for long, the disk stalls under it, and that thread
    /// may be the one that waited for the sockets of all: those who wait for durability are woken once, on other
    /// threads, which then look after them.
    pub(crate) fn hold_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.try_lock_for(STALLED_AFTER).unwrap_or_else(|| {
            self.durability.nudge();
            self.writer.lock()
        })
    }

    /// See [`Log::commit_queued`]. An error is the log's end, which everybody who waits for it learns.
    fn commit_queued(&self) {
        if self.config.threads
            && self.config.callers_commit
            && self.queue.has_one()
            && let Some(mut writer) = self.writer.try_lock()
            && writer.is_quiet()
        {
            let was_sealed = !writer.is_unsealed();
            // Not behind the write: it may stall, and the log's thread is the one who sees to that.
            let _ = writer.commit_and(self, || {
                if was_sealed {
                    self.queue.tell_unsealed();
                }
            });
        } else {
            self.queue.wake_writer();
        }
    }

    /// One step of making WAL files ahead of the writer. A failed sync stops the log here too: the kernel may call
    /// clean what it lost, so that the name of a file that is made later would be lost with all that it holds.
    pub(crate) fn prepare_wal(&self) -> io::Result<Prepared> {
        if self.durability.poisoned().is_some() {
            return Ok(Prepared::Nothing);
        }
        let reserved = self.pending_bytes() + self.queue.bytes() + self.config.wal_file_bytes;
        let may_create = !self.space.is_full() || self.space.free_bytes() > reserved;
        self.wal_files.prepare_step(may_create).inspect_err(|error| {
            if !may_pass(error) {
                self.poison("preparation of a WAL file", error);
            }
        })
    }

    /// Returns when everything that is queued now is durable; `false` if the WAL has no room for it.
    pub(crate) fn flush(&self) -> Result<bool, Poisoned> {
        let target = self.queue.last_lsn();
        let is_stuck = || self.queue.is_stuck();
        if self.config.threads && !*self.stopping.lock() && self.durability.wait_blocking(target, is_stuck)? {
            return Ok(true);
        }
        // There is no thread that writes, or it waits for room, of which there may be some by now.
        while self.durability.lsn() < target {
            if !self.commit()? {
                return Ok(false);
            }
        }
        self.durability.poisoned().map_or(Ok(true), Err)
    }

    /// Stops the log: nothing more becomes durable, every waiter learns why.
    pub(crate) fn poison(&self, action: &'static str, error: &dyn std::error::Error) -> Poisoned {
        self.stop(Poisoned { action, detail: error.to_string() })
    }

    /// As [`poison`](Self::poison), with the reason as a whole.
    pub(crate) fn stop(&self, reason: Poisoned) -> Poisoned {
        // Before the line: whoever takes it may fail or hang, and must not keep a log alive that can't go on.
        self.queue.poison(reason.clone());
        self.durability.poison(reason.clone());
        tracing::error!(action = reason.action, error = reason.detail, "the log stops for good; restart it");
        reason
    }

    /// Makes a checkpoint; `false` if there was nothing to do or no room.
    pub(crate) fn checkpoint(&self) -> Result<bool, Poisoned> {
        let mut checkpointer = self.checkpointer.lock();
        if let Some(reason) = self.durability.poisoned() {
            return Err(reason);
        }
        let written = self.stats.wal_bytes();
        let mut outcome = checkpointer.run(self);
        if let Err(CheckpointError::Full(error)) = &outcome
            && is_no_room(error)
        {
            let released = self.wal_files.release_spares() | self.ballast.release(&self.env);
            // First what takes little room and may make much.
            match checkpointer.free_dead(self) {
                Ok(freed) if freed || released => outcome = checkpointer.run(self),
                Err(CheckpointError::Full(_)) if released => outcome = checkpointer.run(self),
                Ok(_) | Err(CheckpointError::Full(_)) => {}
                Err(error) => outcome = Err(error),
            }
        }
        let made = match outcome {
            Ok(made) => made,
            Err(CheckpointError::Full(error)) => {
                self.stats.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "no room or no file handles for a checkpoint; the WAL keeps everything and it is tried again");
                return Ok(false);
            }
            Err(CheckpointError::Poisoned(reason)) => return Err(reason),
            // What was written may be lost though the kernel calls it clean: only a restart knows (ATC'20).
            Err(CheckpointError::Failed { action, source }) => return Err(self.poison(action, &source)),
        };
        self.checkpointed_wal_bytes.store(written, Ordering::Relaxed);
        if made {
            self.stats.checkpoints.fetch_add(1, Ordering::Relaxed);
            self.queue.tell_room();
        }
        drop(checkpointer);
        self.measure_space();
        Ok(made)
    }

    /// The clean end: everything durable, sealed, checkpointed.
    fn finish(&self) -> Result<(), Poisoned> {
        self.queue.close();
        loop {
            while self.commit()? {}
            // A checkpoint of what is durable may give back the file that the rest needs.
            if !self.queue.is_stuck() || !self.checkpoint()? {
                break;
            }
        }
        if self.queue.is_stuck() {
            let reason = self.writer.lock().unwritten(self);
            return Err(self.stop(reason));
        }
        self.writer.lock().seal(self)?;
        self.checkpoint().map(|_| ())
    }

    /// Bytes of the WAL that aren't checkpointed.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.stats.wal_bytes().saturating_sub(self.checkpointed_wal_bytes.load(Ordering::Relaxed))
    }

    /// Has the background look for work.
    pub(crate) fn wake_filler(&self) {
        self.stop_or_work.notify_all();
    }

    /// Waits as long as writing `bytes` may take in the background, so that it doesn't move the WAL's p99. Waits for
    /// a mebibyte at a time: a timer takes longer than the write of one batch.
    pub(crate) fn throttle(&self, bytes: u64) {
        self.stats.checkpoint_bytes.fetch_add(bytes, Ordering::Relaxed);
        let rate = self.config.background_bytes_per_second;
        if rate == 0 || !self.config.threads {
            return;
        }
        let unpaid = self.unpaid_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unpaid < THROTTLE_BYTES {
            return;
        }
        self.unpaid_bytes.store(0, Ordering::Relaxed);
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.stop_or_work.wait_for(&mut stopping, Duration::from_secs_f64(unpaid as f64 / rate as f64));
        }
    }

    fn stats(&self) -> LogStats {
        LogStats {
            durable_lsn: self.durability.lsn().0,
            wal_pending_bytes: self.pending_bytes(),
            queued_bytes: self.queue.bytes(),
            tail_bytes: self.tail.bytes() as u64,
            memory_bytes: self.memory.used(),
            disk_free_bytes: self.space.free_bytes(),
            disk_full: self.space.is_full(),
            wal_waits: self.queue.is_stuck(),
            poisoned: self.durability.poisoned().is_some(),
            ..self.stats.read()
        }
    }

    /// Stops the log if the data directory isn't the one that it locked: what it writes there nobody would find, and
    /// another process may have begun a log under the name.
    pub(crate) fn check_lock(&self) -> Result<(), Poisoned> {
        match self.lock.still_held() {
            Ok(true) => Ok(()),
            Ok(false) => {
                let detail = "the data directory was removed or replaced under the running broker".into();
                Err(self.stop(Poisoned { action: "hold the data directory", detail }))
            }
            Err(error) => {
                tracing::warn!(%error, "whether the data directory is still locked can't be seen");
                Ok(())
            }
        }
    }

    /// Takes a new reading of the disk, and sees whether it is still there.
    pub(crate) fn measure_space(&self) {
        if self.durability.poisoned().is_some() || self.check_lock().is_err() {
            return;
        }
        let snapshot_bytes = self.checkpointer.try_lock().map(|checkpointer| checkpointer.snapshot_bytes());
        let snapshot_bytes = self.space.snapshot_bytes(snapshot_bytes);
        let charged = self.space.charged_bytes();
        let needed = self.pending_bytes()
            // Admitted, and to be written to the WAL and to a segment.
            + 2 * self.queue.bytes()
            + snapshot_bytes
            + self.config.segment_bytes.min(self.config.wal_file_bytes)
            + self.config.wal_file_bytes.min(self.config.checkpoint_bytes);
        match self.env.disk.space(&self.config.dir) {
            Ok(space) => {
                let has_room = space.free_bytes > needed + 2 * self.ballast.bytes();
                if has_room {
                    self.ballast.make(&self.env);
                }
                self.space.update(charged, space.free_bytes, needed);
            }
            Err(error) => {
                self.space.unknown();
                tracing::warn!(%error, "the disk doesn't say how full it is");
            }
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({})", self.config.dir.display())
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&*self.shared, f)
    }
}
