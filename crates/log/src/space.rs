//! Whether the disk has room for more data.
//!
//! Data is refused while less is free than a checkpoint needs to finish, so that acks, commits, deletes and
//! retention (which need little, and free much) always go on. Judged from the disk each time, never remembered.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use duolog_env::{Env, OpenMode};
use parking_lot::Mutex;

use crate::error::AppendError;

/// Whether `error` only says that there is no room: what was written before stands, and a later try may succeed.
pub(crate) fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether `error` says that nothing was done and that it may be done later: there is no room, or no file handle is
/// left (EMFILE, ENFILE), which only an open can say, before it did anything.
pub(crate) fn may_pass(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    is_no_room(error) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// The error of a sync, or of a write that may have reached the disk: it doesn't pass even if it says that there is no
/// room, since what was written before it may be lost.
pub(crate) fn never_passes(error: io::Error) -> io::Error {
    if is_no_room(&error) { io::Error::other(error) } else { error }
}

/// What an admitted batch may take until the next checkpoint is done: once in the WAL, once in a segment.
const COPIES: u64 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct SpaceGuard {
    full: AtomicBool,
    /// The WAL finds no room for its next file, whatever the readings say.
    wal_waits: AtomicBool,
    free_bytes: AtomicU64,
    needed_bytes: AtomicU64,
    /// Bytes that data admitted so far may take; only rises.
    charged_bytes: AtomicU64,
    /// How far that may rise before the disk is looked at again: a reading is a second old, and a second's data may be
    /// more than was free.
    charge_limit: AtomicU64,
    /// What the next snapshot may take, as last seen.
    snapshot_bytes: AtomicU64,
}

impl Default for SpaceGuard {
    fn default() -> Self {
        Self {
            full: AtomicBool::new(false),
            wal_waits: AtomicBool::new(false),
            free_bytes: AtomicU64::new(0),
            needed_bytes: AtomicU64::new(0),
            charged_bytes: AtomicU64::new(0),
            charge_limit: AtomicU64::new(u64::MAX),
            snapshot_bytes: AtomicU64::new(0),
        }
    }
}

impl SpaceGuard {
    /// What was charged until now; to be asked before the disk is, and handed to [`update`](Self::update).
    pub(crate) fn charged_bytes(&self) -> u64 {
        self.charged_bytes.load(Ordering::Relaxed)
    }

    /// Takes a new reading. Data is accepted again only when a tenth more than needed is free, so that the state
    /// doesn't flap.
    pub(crate) fn update(&self, charged_before: u64, free_bytes: u64, needed_bytes: u64) {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        self.needed_bytes.store(needed_bytes, Ordering::Relaxed);
        let budget = free_bytes.saturating_sub(needed_bytes);
        self.charge_limit.store(charged_before.saturating_add(budget), Ordering::Relaxed);
        let was_full = self.full.load(Ordering::Relaxed);
        let full =
            if was_full { free_bytes < needed_bytes + needed_bytes / 10 } else { free_bytes < needed_bytes };
        self.full.store(full, Ordering::Relaxed);
        match (was_full, full) {
            (false, true) => {
                tracing::error!(
                    free_bytes,
                    needed_bytes,
                    "disk nearly full: new data is refused; free some room"
                );
            }
            (true, false) => tracing::info!(free_bytes, "the disk has room again: data is accepted"),
            _ => {}
        }
    }

    /// What the next snapshot may take: `now`, or what it was before while a checkpoint is busy with it.
    pub(crate) fn snapshot_bytes(&self, now: Option<u64>) -> u64 {
        if let Some(now) = now {
            self.snapshot_bytes.store(now, Ordering::Relaxed);
        }
        self.snapshot_bytes.load(Ordering::Relaxed)
    }

    /// The disk didn't say: the last reading's budget must not stop the log.
    pub(crate) fn unknown(&self) {
        self.charge_limit.store(u64::MAX, Ordering::Relaxed);
    }

    /// May `bytes` of data be appended?
    pub(crate) fn admit_data(&self, bytes: u64) -> Result<(), AppendError> {
        let cost = bytes * COPIES;
        let charged = self.charged_bytes.fetch_add(cost, Ordering::Relaxed) + cost;
        if !self.is_full() && charged <= self.charge_limit.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.charged_bytes.fetch_sub(cost, Ordering::Relaxed);
        Err(AppendError::DiskFull {
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            needed_bytes: self.needed_bytes.load(Ordering::Relaxed) + cost,
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed) || self.wal_waits.load(Ordering::Relaxed)
    }

    /// Whether the WAL waits for room: no data is admitted meanwhile.
    pub(crate) fn set_wal_waits(&self, waits: bool) {
        self.wal_waits.store(waits, Ordering::Relaxed);
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }
}

/// A file that holds nothing but room. It is given up for a checkpoint that found none: one that only frees dead
/// segments writes little, but not nothing.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
    /// Whether the file is there; one that a process before left is found by the first `make`.
    there: Mutex<bool>,
}

impl Ballast {
    pub(crate) fn new(path: PathBuf, wal_file_bytes: u64) -> Self {
        Self { path, bytes: wal_file_bytes.min(4 << 20), there: Mutex::new(false) }
    }

    /// What it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file, unless it is there. Nothing depends on it, so it needs no sync and a failure is no harm.
    pub(crate) fn make(&self, env: &Env) {
        let mut there = self.there.lock();
        if *there {
            return;
        }
        let file = match env.disk.open(&self.path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                env.disk.open(&self.path, OpenMode::ReadWrite)
            }
            other => other,
        };
        // Written too: not every file system reserves what is only allocated.
        let zeros = vec![0; usize::try_from(self.bytes).unwrap_or(0)];
        match file.and_then(|file| file.allocate(self.bytes).and_then(|()| file.write_at(&zeros, 0))) {
            Ok(()) => *there = true,
            Err(error) => {
                tracing::debug!(%error, "no ballast");
                let _ = env.disk.remove(&self.path);
            }
        }
    }

    /// Removes the file. Returns whether it was there.
    pub(crate) fn release(&self, env: &Env) -> bool {
        *self.there.lock() = false;
        env.disk.remove(&self.path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_below_the_need_and_resumes_above_it() {
        let guard = SpaceGuard::default();
        guard.update(0, 100, 100);
        assert!(guard.admit_data(0).is_ok());
        guard.update(0, 99, 100);
        assert!(matches!(
            guard.admit_data(0),
            Err(AppendError::DiskFull { free_bytes: 99, needed_bytes: 100 })
        ));
        guard.update(0, 105, 100);
        assert!(guard.is_full(), "not yet a tenth more than needed");
        guard.update(0, 110, 100);
        assert!(guard.admit_data(0).is_ok());
    }
}
