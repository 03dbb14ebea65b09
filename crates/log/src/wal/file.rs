//! WAL files: those in use by sequence number, spare ones ready to be used, and their making.
//!
//! A spare is a whole file of zeros (or of old groups): writing into it changes no metadata, which halves the
//! time of a sync (rules-storage §2.1). Spares are made in the background; a start or a rotation that finds none
//! begins with a file that is only allocated, and the background fills it ahead of the writer. Where there is no room
//! for that either, a file that is just large enough has to do, so that the entries get through that free room.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duolog_env::{AlignedBuf, Disk, Env, File, OpenMode};
use duolog_types::Lsn;
use parking_lot::{Mutex, RwLock};

use super::layout::{FILE_HEADER_BYTES, FileHeader, padded};
use crate::space::{is_no_room, never_passes};

/// How much is zeroed in one go: bounds how long the writer waits for the background.
const FILL_CHUNK_BYTES: u64 = 1 << 20;
/// Spares kept at least; more are deleted, unless checkpoints free more at a time.
const SPARES_MIN: usize = 2;
/// On a full disk a file may be so much smaller than it should be.
const SMALL_FILES_PART: u64 = 256;

/// A WAL file that is or was part of the log.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub header: FileHeader,
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    /// Room for groups ends here; less than usual where the disk was full.
    pub size: u64,
    /// Below this position the file's blocks are written (zeros or groups).
    filled: AtomicU64,
    /// Held while a chunk at `filled` is being zeroed.
    filling: Mutex<()>,
    /// Open a second time, for reading through the system's cache.
    cached: Mutex<Option<Arc<dyn File>>>,
}

impl WalFile {
    /// Claims everything below `end` for the writer, so that the background never zeroes it.
    pub(crate) fn claim(&self, end: u64) {
        if end > self.filled.load(Ordering::Acquire) {
            let _guard = self.filling.lock();
            self.filled.fetch_max(end, Ordering::AcqRel);
        }
    }

    /// Has the background zero what was never written behind `end`, where the log ends in a file that recovery
    /// found. Before the first write only.
    pub(crate) fn resume_filling(&self, end: u64) {
        // Without an answer the file counts as written: its syncs are slower, that's all.
        if let Ok(written) = self.file.written_until(end) {
            self.filled.store(padded(written.max(end)), Ordering::Release);
        }
    }

    /// Zeroes the next chunk ahead of the writer; `false` when the file is full of written blocks.
    pub(crate) fn fill_chunk(&self) -> io::Result<bool> {
        let _guard = self.filling.lock();
        let at = self.filled.load(Ordering::Acquire);
        if at >= self.size {
            return Ok(false);
        }
        let len = FILL_CHUNK_BYTES.min(self.size - at);
        self.file.write_durable(&AlignedBuf::zeroed(len as usize), at)?;
        self.filled.store(at + len, Ordering::Release);
        Ok(true)
    }

    /// The file by way of the system's cache, which the writer goes past: for readers of many batches, whom the system
    /// can read ahead for. `None` where no file handle is left.
    ///
    /// What the cache holds of a range that is written later is dropped by the system at the write; should it not be,
    /// the batch's checksum tells, and [`read_range`](Self::read_range) reads what stands on the disk.
    pub(crate) fn cached(&self, disk: &dyn Disk) -> Option<Arc<dyn File>> {
        let mut cached = self.cached.lock();
        if cached.is_none() {
            *cached = disk.open(&self.path, OpenMode::Read).ok();
        }
        cached.clone()
    }

    /// Reads `len` bytes at `at`, whatever their alignment.
    pub(crate) fn read_range(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let start = at - at % FILE_HEADER_BYTES;
        let mut window = AlignedBuf::zeroed(padded(at - start + len as u64) as usize);
        let got = self.file.read_at(&mut window, start)?;
        let from = (at - start) as usize;
        match window.get(from..from + len) {
            Some(bytes) if got >= from + len => Ok(bytes.to_vec()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A file that isn't part of the log.
#[derive(Debug)]
pub(crate) struct Spare {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    /// Below this position its blocks are written.
    pub filled: u64,
}

/// What a step of preparation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepared {
    /// Zeroed a part of the file in use, ahead of the writer: more is urgent, since a sync of blocks that were never
    /// written takes several times as long.
    InUse,
    /// Went on with a spare: more may take its time.
    Spare,
    /// There is nothing to do.
    Nothing,
}

/// All WAL files of a data directory.
pub(crate) struct WalFiles {
    env: Env,
    dir: PathBuf,
    size: u64,
    mode: OpenMode,
    spares_max: usize,
    live: RwLock<BTreeMap<u64, Arc<WalFile>>>,
    spares: Mutex<Vec<Spare>>,
    /// Files that left the log while a reader still held them.
    retired: Mutex<Vec<Arc<WalFile>>>,
    next_name: AtomicU64,
}

impl WalFiles {
    /// `reuse_bytes` is what a checkpoint frees at a time: so much is kept as spares, so that a log in full flow
    /// writes into old files and never into blocks that were never written.
    pub(crate) fn new(env: &Env, dir: PathBuf, size: u64, reuse_bytes: u64, mode: OpenMode) -> Self {
        Self {
            env: env.clone(),
            dir,
            size,
            mode,
            spares_max: SPARES_MIN.max(usize::try_from(reuse_bytes.div_ceil(size)).unwrap_or(SPARES_MIN) + 1),
            live: RwLock::default(),
            spares: Mutex::default(),
            retired: Mutex::default(),
            next_name: AtomicU64::new(1),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How files are opened.
    pub(crate) fn mode(&self) -> OpenMode {
        self.mode
    }

    /// Size of a file where there is room for it, bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes over a file that recovery found to be part of the log.
    pub(crate) fn adopt_live(&self, header: FileHeader, path: PathBuf, file: Arc<dyn File>) {
        let size = file.len().unwrap_or(self.size);
        let (filled, filling) = (AtomicU64::new(u64::MAX), Mutex::default());
        let file = WalFile { header, path, file, size, filled, filling, cached: Mutex::default() };
        self.live.write().insert(header.seq, Arc::new(file));
    }

    /// Takes over a file that recovery found to be free.
    pub(crate) fn adopt_spare(&self, spare: Spare) {
        self.spares.lock().push(spare);
    }

    /// Names made from now on don't collide with `name`.
    pub(crate) fn saw_name(&self, name: &str) {
        if let Some(number) = name.strip_suffix(".wal").and_then(|number| number.parse::<u64>().ok()) {
            self.next_name.fetch_max(number + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, seq: u64) -> Option<Arc<WalFile>> {
        self.live.read().get(&seq).cloned()
    }

    /// Begins the next file of the log: header written and durable, name too. A full disk may give less than the
    /// usual size, but never less than `needed` bytes.
    ///
    /// An error that [may pass](crate::space::may_pass) left nothing behind: the next try begins anew.
    pub(crate) fn begin(
        &self,
        seq: u64,
        first_lsn: Lsn,
        prev_end: u64,
        prev_chain: u32,
        needed: u64,
    ) -> io::Result<Arc<WalFile>> {
        let spare = self.spares.lock().pop();
        let (spare, size) = match spare {
            Some(spare) => (spare, self.size),
            None => self.create_at_least(needed)?,
        };
        let header = FileHeader { seq, epoch: self.env.rng.next_u64(), first_lsn, prev_end, prev_chain };
        let mut sector = AlignedBuf::with_capacity(FILE_HEADER_BYTES as usize);
        sector.extend_from_slice(&header.encode());
        sector.pad_to(FILE_HEADER_BYTES as usize);
        // Never tried again: there may be two files with one number then.
        spare.file.write_durable(&sector, 0).map_err(never_passes)?;
        let file = Arc::new(WalFile {
            header,
            path: spare.path,
            file: spare.file,
            size,
            filled: AtomicU64::new(spare.filled.max(FILE_HEADER_BYTES)),
            filling: Mutex::default(),
            cached: Mutex::default(),
        });
        self.live.write().insert(seq, file.clone());
        Ok(file)
    }

    /// A new file of the usual size, or of what the disk has room for.
    fn create_at_least(&self, needed: u64) -> io::Result<(Spare, u64)> {
        let small = padded(needed.max(self.size / SMALL_FILES_PART)).min(self.size);
        match self.create(self.size) {
            Err(error) if is_no_room(&error) && small < self.size => {
                let spare = self.create(small)?;
                tracing::warn!(bytes = small, "no room for a whole WAL file: going on in a small one");
                Ok((spare, small))
            }
            created => Ok((created?, self.size)),
        }
    }

    fn create(&self, size: u64) -> io::Result<Spare> {
        let name = format!("{:08}.wal", self.next_name.fetch_add(1, Ordering::Relaxed));
        let path = self.dir.join(name);
        let created = self.env.disk.open(&path, OpenMode::CreateNew)?;
        self.complete(&path, &*created, size)
            .map(|file| Spare { path: path.clone(), file, filled: 0 })
            .inspect_err(|_| {
                // What there was of room is taken now, and nothing but this name holds it.
                if let Err(error) = self.env.disk.remove(&path) {
                    tracing::warn!(path = %path.display(), %error, "half a WAL file can't be removed");
                }
            })
    }

    /// Reserves the room of a file that was just made, durably with its name, and opens it as files are.
    fn complete(&self, path: &Path, created: &dyn File, size: u64) -> io::Result<Arc<dyn File>> {
        created.allocate(size)?;
        // The length must be durable too: groups are synced by data only.
        created.sync_data().map_err(never_passes)?;
        if !duolog_env::seeded_bug("no_directory_sync") {
            self.env.disk.sync_dir(&self.dir).map_err(never_passes)?;
        }
        self.env.disk.open(path, self.mode)
    }

    /// One step of background work: fills the file in use, else makes a spare.
    ///
    /// A spare is also what control entries go to when the disk is full. It is made only where `may_create` says that
    /// the next checkpoint has its room without it.
    pub(crate) fn prepare_step(&self, may_create: bool) -> io::Result<Prepared> {
        self.reclaim_retired();
        let current = self.live.read().last_key_value().map(|(_, file)| file.clone());
        if let Some(current) = current
            && current.fill_chunk()?
        {
            return Ok(Prepared::InUse);
        }
        let spare = {
            let mut spares = self.spares.lock();
            match spares.iter().position(|spare| spare.filled < self.size) {
                Some(index) => Some(spares.swap_remove(index)),
                None if spares.is_empty() && may_create => None,
                None => return Ok(Prepared::Nothing),
            }
        };
        let mut spare = match spare {
            Some(spare) => spare,
            None => self.create(self.size)?,
        };
        let len = FILL_CHUNK_BYTES.min(self.size - spare.filled);
        let filled = spare.file.write_durable(&AlignedBuf::zeroed(len as usize), spare.filled);
        if filled.is_ok() {
            spare.filled += len;
        }
        self.spares.lock().push(spare);
        filled.map(|()| Prepared::Spare)
    }

    /// Deletes all spares but one, which control entries may need. Returns whether there were any.
    pub(crate) fn release_spares(&self) -> bool {
        let surplus = {
            let mut spares = self.spares.lock();
            let keep = spares.len().min(1);
            spares.split_off(keep)
        };
        for spare in &surplus {
            if let Err(error) = self.env.disk.remove(&spare.path) {
                tracing::warn!(path = %spare.path.display(), %error, "a spare WAL file can't be removed");
            }
        }
        !surplus.is_empty()
    }

    /// Takes the files below `seq` out of the log; they become spares, or are deleted, once no reader holds them.
    pub(crate) fn release_below(&self, seq: u64) {
        let released = {
            let mut live = self.live.write();
            let kept = live.split_off(&seq);
            std::mem::replace(&mut *live, kept)
        };
        self.retired.lock().extend(released.into_values());
        self.reclaim_retired();
    }

    fn reclaim_retired(&self) {
        let mut retired = self.retired.lock();
        let mut index = 0;
        while index < retired.len() {
            if Arc::strong_count(&retired[index]) > 1 {
                index += 1;
                continue;
            }
            let file = retired.swap_remove(index);
            let mut spares = self.spares.lock();
            if spares.len() < self.spares_max && file.file.len().is_ok_and(|len| len == self.size) {
                spares.push(Spare { path: file.path.clone(), file: file.file.clone(), filled: self.size });
            } else if let Err(error) = self.env.disk.remove(&file.path) {
                tracing::warn!(path = %file.path.display(), %error, "a WAL file that isn't needed any more can't be removed");
            }
        }
    }
}

impl std::fmt::Debug for WalFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WalFiles({})", self.dir.display())
    }
}
