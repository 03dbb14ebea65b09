//! Whether the disk has room for more data.
//!
//! Data is refused while less is free than a checkpoint needs to finish, so that acks, commits, deletes and
//! retention (which need little, and free much) always go on. Judged from the disk each time, never remembered.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::AppendError;

/// Whether `error` only says that there is no room: what was written before stands, and a later try may succeed.
pub(crate) fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SpaceGuard {
    full: AtomicBool,
    free_bytes: AtomicU64,
    needed_bytes: AtomicU64,
}

impl SpaceGuard {
    /// Takes a new reading. Data is accepted again only when a tenth more than needed is free, so that the state
    /// doesn't flap.
    pub(crate) fn update(&self, free_bytes: u64, needed_bytes: u64) {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        self.needed_bytes.store(needed_bytes, Ordering::Relaxed);
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

    /// May data be appended?
    pub(crate) fn admit_data(&self) -> Result<(), AppendError> {
        if !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(AppendError::DiskFull {
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            needed_bytes: self.needed_bytes.load(Ordering::Relaxed),
        })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_below_the_need_and_resumes_above_it() {
        let guard = SpaceGuard::default();
        guard.update(100, 100);
        assert!(guard.admit_data().is_ok());
        guard.update(99, 100);
        assert!(matches!(
            guard.admit_data(),
            Err(AppendError::DiskFull { free_bytes: 99, needed_bytes: 100 })
        ));
        guard.update(105, 100);
        assert!(guard.is_full(), "not yet a tenth more than needed");
        guard.update(110, 100);
        assert!(guard.admit_data().is_ok());
    }
}
