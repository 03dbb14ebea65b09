//! Which operations of a disk are to fail, and the gate that holds its syncs.

use std::io;

/// What goes wrong on this disk. Nothing, at first.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Writes to let pass until one fails; `None` for ever.
    pub(super) write_in: Option<u64>,
    /// Syncs to let pass until one fails; `None` for ever.
    pub(super) sync_in: Option<u64>,
    /// Bytes that files may take.
    pub(super) capacity: Option<u64>,
    /// Operations that need room to let pass until the disk is full; `None` for ever.
    pub(super) room_in: Option<u64>,
    /// Files that may be open at a time.
    pub(super) open_files: Option<usize>,
    /// The machine is off: nothing works any more.
    pub(super) power_off: bool,
}

impl Faults {
    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.power_off { Err(eio()) } else { Ok(()) }
    }

    /// Whether this write is the one that fails.
    pub(super) fn write_fails(&mut self) -> bool {
        counts_down(&mut self.write_in)
    }

    /// Whether this is the operation from which on there is no room.
    pub(super) fn room_ends(&mut self) -> bool {
        counts_down(&mut self.room_in)
    }

    /// Whether this sync is the one that fails.
    pub(super) fn sync_fails(&mut self) -> bool {
        counts_down(&mut self.sync_in)
    }
}

fn counts_down(left: &mut Option<u64>) -> bool {
    match left {
        Some(1) => {
            *left = None;
            true
        }
        Some(count) => {
            *count -= 1;
            false
        }
        None => false,
    }
}

/// What a block device that can't write answers.
pub(super) fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

/// What a process hears that has as many files open as it may.
pub(super) fn emfile() -> io::Error {
    io::Error::from_raw_os_error(24)
}

/// What a full file system answers.
pub(super) fn enospc() -> io::Error {
    io::Error::from_raw_os_error(28)
}
