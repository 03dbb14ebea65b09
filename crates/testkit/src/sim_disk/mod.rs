//! A disk in memory that records what was done to it, knows what of it is durable, and fails on demand.
//!
//! Owns names, locks, faults and the trace. What an operation does to the disk's state is `model`'s; the open
//! file is `file`'s; which states a crash may leave is `crate::crash`'s.

mod content;
mod faults;
mod file;
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use duolog_env::{Disk, File, Lock, OpenMode, Space};
use parking_lot::{Condvar, Mutex, MutexGuard};

use content::CHUNK_BYTES;
use faults::{Faults, eio, emfile};
use file::SimFile;
pub(crate) use file::TORN_BYTES;
pub use model::Inode;
pub use model::Op;
pub(crate) use model::{Effect, Model, View};
use model::{Name, parent};

/// The size that a disk without a capacity says it has: 1 TiB.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// A simulated disk. A clone is a second handle on the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when a sync arrives at the gate and when the gate opens.
    gate: Condvar,
}

struct State {
    model: Model,
    /// The model before the first operation of `ops`.
    initial: Model,
    ops: Vec<Op>,
    faults: Faults,
    locks: BTreeSet<Name>,
    /// Which file the handle at an address is: `sync_files` is given handles whose type is not known.
    handles: BTreeMap<usize, Inode>,
    /// Open gates on syncs; while there is one, syncs wait.
    gates: usize,
    waiting_syncs: usize,
}

/// The state of a disk that a crash left: what [`SimDisk::from_image`] starts from.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) model: Model,
}

/// What was done to a disk since it was made.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(crate) initial: Model,
    pub(crate) ops: Vec<Op>,
}

impl Trace {
    /// The operations in their order; boundary `b` lies before operation `b`.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::from_image(Image { model: Model::default() })
    }

    /// The disk that a crash left, with an empty trace, no faults and no locks.
    #[must_use]
    pub fn from_image(image: Image) -> Self {
        let mut model = image.model;
        model.restart_trace();
        let state = State {
            initial: model.clone(),
            model,
            ops: Vec::new(),
            faults: Faults::default(),
            locks: BTreeSet::new(),
            handles: BTreeMap::new(),
            gates: 0,
            waiting_syncs: 0,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), gate: Condvar::new() }) }
    }

    /// What was done to this disk so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        let state = self.shared.state.lock();
        Trace { initial: state.initial.clone(), ops: state.ops.clone() }
    }

    /// How many operations were done so far: the boundary at which this disk stands.
    #[must_use]
    pub fn boundary(&self) -> usize {
        self.shared.state.lock().ops.len()
    }

    /// The disk as the next process finds it when this one is killed now: every write is there, and what
    /// wasn't synced can still be lost by a later power cut.
    #[must_use]
    pub fn killed(&self) -> Image {
        Image { model: self.shared.state.lock().model.clone() }
    }

    /// The disk after a power cut now that loses all that isn't durable.
    #[must_use]
    pub fn power_cut(&self) -> Image {
        let state = self.shared.state.lock();
        Image { model: Model::durable_only(state.model.durable.clone(), state.model.next_inode().0) }
    }

    /// Lets the `nth` write from now (1 is the next one) fail with EIO. The front half of its sectors is
    /// written all the same, as a device that dies half-way does.
    pub fn fail_write(&self, nth: u64) {
        self.shared.state.lock().faults.write_in = Some(nth.max(1));
    }

    /// Lets the `nth` sync from now (1 is the next one; directories and durable writes count) fail with EIO,
    /// and lie from then on: the bytes it should have made durable are dropped, readers still see them, and
    /// later syncs succeed. After a directory's failed sync no later sync of that directory means anything.
    pub fn fail_sync(&self, nth: u64) {
        self.shared.state.lock().faults.sync_in = Some(nth.max(1));
    }

    /// Bounds what files may take, in bytes; a write that needs more fails with ENOSPC. `None` lifts it.
    /// Overwriting what was written before needs no room, filling a hole does.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        let mut state = self.shared.state.lock();
        state.faults.capacity = capacity;
        state.faults.room_in = None;
    }

    /// Lets the disk be full when the `nth` operation from now comes that needs room (1 is the next one): that one
    /// fails with ENOSPC, as do all like it until [`set_capacity`](Self::set_capacity) lifts it.
    pub fn fill_at(&self, nth: u64) {
        self.shared.state.lock().faults.room_in = Some(nth.max(1));
    }

    /// Whether [`fill_at`](Self::fill_at) has come, or another capacity is set.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.shared.state.lock().faults.capacity.is_some()
    }

    /// Bounds how many files may be open at a time: opening one more fails with EMFILE. `None` lifts it.
    pub fn set_open_files(&self, max: Option<usize>) {
        self.shared.state.lock().faults.open_files = max;
    }

    /// How many files are open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.shared.state.lock().handles.len()
    }

    /// Lets every later operation on this disk fail, as a machine without power would: for the threads that a
    /// test leaves behind.
    pub fn power_off(&self) {
        self.shared.state.lock().faults.power_off = true;
        self.shared.gate.notify_all();
    }

    /// Flips bit `bit` (0 to 7) of the byte at `at` of the file at `path`, durably and for readers.
    ///
    /// # Errors
    /// `NotFound` when there is no such file, `UnexpectedEof` when it ends before `at`.
    pub fn flip_bit(&self, path: &Path, at: u64, bit: u8) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let inode = state.find(&normal(path)?)?;
        if at >= state.model.cache.len(inode) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        state.record(Op::FlipBit { inode, at, bit });
        Ok(())
    }

    /// Holds every sync that comes from now on until the gate is dropped.
    pub fn hold_syncs(&self) -> SyncGate {
        self.shared.state.lock().gates += 1;
        SyncGate { shared: Arc::clone(&self.shared) }
    }

    fn inode_of(&self, file: &dyn File) -> io::Result<Inode> {
        let address = std::ptr::from_ref(file).addr();
        self.shared.state.lock().handles.get(&address).copied().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{file:?} is not a file of this disk"))
        })
    }

    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.shared.state.lock();
        state.faults.check_power()?;
        Ok(state)
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk({} operations)", self.boundary())
    }
}

/// While it lives, syncs of its disk wait.
#[derive(Debug)]
#[must_use = "dropping the gate opens it"]
pub struct SyncGate {
    shared: Arc<Shared>,
}

impl SyncGate {
    /// Blocks the calling thread until `count` syncs wait here.
    pub fn wait_for(&self, count: usize) {
        let mut state = self.shared.state.lock();
        while state.waiting_syncs < count {
            self.shared.gate.wait(&mut state);
        }
    }

    /// How many syncs wait here now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.state.lock().waiting_syncs
    }
}

impl Drop for SyncGate {
    fn drop(&mut self) {
        self.shared.state.lock().gates -= 1;
        self.shared.gate.notify_all();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    /// Waits while a gate holds the syncs.
    fn pass_gate(&self, state: &mut MutexGuard<'_, State>) -> io::Result<()> {
        if state.gates > 0 {
            state.waiting_syncs += 1;
            self.gate.notify_all();
            while state.gates > 0 && !state.faults.power_off {
                self.gate.wait(state);
            }
            state.waiting_syncs -= 1;
        }
        state.faults.check_power()
    }

    fn sync(&self, inodes: Vec<Inode>) -> io::Result<()> {
        let mut state = self.state.lock();
        self.pass_gate(&mut state)?;
        let fails = state.faults.sync_fails();
        state.record(if fails { Op::SyncFailed { inodes } } else { Op::Sync { inodes } });
        if fails { Err(eio()) } else { Ok(()) }
    }
}

impl State {
    fn record(&mut self, op: Op) {
        self.model.apply(&op);
        self.ops.push(op);
    }

    fn find(&self, name: &str) -> io::Result<Inode> {
        self.model.cache.names.get(name).copied().ok_or_else(|| not_found(name))
    }

    fn create(&mut self, path: Name) -> io::Result<Inode> {
        if !self.model.cache.has_dir(parent(&path)) {
            return Err(not_found(parent(&path)));
        }
        if self.model.cache.names.contains_key(&path) || self.model.cache.has_dir(&path) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{path} exists")));
        }
        let inode = self.model.next_inode();
        self.record(Op::Create { path, inode });
        Ok(inode)
    }

    /// Bytes that the files with a name take.
    fn used_bytes(&self) -> u64 {
        let linked: BTreeSet<Inode> = self.model.cache.names.values().copied().collect();
        let files = linked.into_iter().filter_map(|inode| self.model.cache.content(inode));
        files.map(|content| content.allocated_chunks() * CHUNK_BYTES as u64).sum()
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir = normal(dir)?;
        let mut state = self.state()?;
        let ends = dir.match_indices('/').map(|(end, _)| end).chain([dir.len()]);
        for part in ends.map(|end| &dir[..end]) {
            if state.model.cache.names.contains_key(part) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{part} is a file")));
            }
            if !state.model.cache.has_dir(part) {
                state.record(Op::MakeDir { dir: part.into() });
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = normal(dir)?;
        let state = self.state()?;
        if !state.model.cache.has_dir(&dir) {
            return Err(not_found(&dir));
        }
        let below: Name = if dir.is_empty() { dir } else { format!("{dir}/").into() };
        let names = state.model.cache.names.range(Arc::clone(&below)..).map(|(name, _)| name);
        let names = names.map_while(|name| name.strip_prefix(&*below));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path = normal(path)?;
        let mut state = self.state()?;
        if state.faults.open_files.is_some_and(|max| state.handles.len() >= max) {
            return Err(emfile());
        }
        let inode = match mode {
            OpenMode::CreateNew => state.create(path)?,
            OpenMode::Read => state.find(&path)?,
            OpenMode::ReadWrite | OpenMode::Direct => state.find(&path)?,
        };
        let file = Arc::new(SimFile::new(Arc::clone(&self.shared), inode, mode));
        state.handles.insert(file.address(), inode);
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from)?, normal(to)?);
        let mut state = self.state()?;
        state.find(&from)?;
        if !state.model.cache.has_dir(parent(&to)) {
            return Err(not_found(parent(&to)));
        }
        state.record(Op::Rename { from, to });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        let mut state = self.state()?;
        state.find(&path)?;
        state.record(Op::Remove { path });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = normal(dir)?;
        let mut state = self.state()?;
        if !state.model.cache.has_dir(&dir) {
            return Err(not_found(&dir));
        }
        self.shared.pass_gate(&mut state)?;
        let fails = state.faults.sync_fails();
        state.record(if fails { Op::SyncDirFailed { dir } } else { Op::SyncDir { dir } });
        if fails { Err(eio()) } else { Ok(()) }
    }

    fn sync_files(&self, dir: &Path, files: &[Arc<dyn File>]) -> io::Result<()> {
        let dir = normal(dir)?;
        if !self.state()?.model.cache.has_dir(&dir) {
            return Err(not_found(&dir));
        }
        let inodes = files.iter().map(|file| self.inode_of(&**file)).collect::<io::Result<Vec<Inode>>>()?;
        if inodes.is_empty() { Ok(()) } else { self.shared.sync(inodes) }
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let state = self.state()?;
        let total_bytes = state.faults.capacity.unwrap_or(UNLIMITED_BYTES);
        Ok(Space { free_bytes: total_bytes.saturating_sub(state.used_bytes()), total_bytes })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let path = normal(path)?;
        let mut state = self.state()?;
        if !state.locks.insert(Arc::clone(&path)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !state.model.cache.names.contains_key(&path)
            && let Err(error) = state.create(Arc::clone(&path))
        {
            state.locks.remove(&path);
            return Err(error);
        }
        drop(state);
        Ok(Box::new(SimLock { shared: Arc::clone(&self.shared), path }))
    }
}

#[derive(Debug)]
struct SimLock {
    shared: Arc<Shared>,
    path: Name,
}

impl Lock for SimLock {
    fn still_held(&self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.shared.state.lock().locks.remove(&self.path);
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no {name:?} on the simulated disk"))
}

/// `path` as the disk keeps it; a leading `/` is left out.
fn normal(path: &Path) -> io::Result<Name> {
    let mut name = String::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) => {
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(&part.to_string_lossy());
            }
            Component::ParentDir | Component::Prefix(_) => {
                let text = format!("{} is not a path of the simulated disk", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
    }
    Ok(name.into())
}
