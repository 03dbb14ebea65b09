//! An open file of the simulated disk: bounds, alignment and faults; then the trace does the rest.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use duolog_env::{File, OpenMode, SECTOR_BYTES};
use parking_lot::MutexGuard;

use super::content::CHUNK_BYTES;
use super::faults::{eio, enospc};
use super::model::{Inode, Op};
use super::{Shared, State};

/// Where the simulated file system's files end: 1 TiB. Guards the arithmetic against nonsense positions.
const MAX_FILE_BYTES: u64 = 1 << 40;

/// What a disk writes whole when the power fails, at worst.
pub(crate) const TORN_BYTES: usize = 512;

pub(super) struct SimFile {
    shared: Arc<Shared>,
    inode: Inode,
    mode: OpenMode,
}

impl SimFile {
    pub(super) fn new(shared: Arc<Shared>, inode: Inode, mode: OpenMode) -> Self {
        Self { shared, inode, mode }
    }

    /// What tells this handle from all others while it lives.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.shared.state.lock();
        state.faults.check_power()?;
        Ok(state)
    }

    /// Direct I/O refuses what isn't aligned, as the kernel does.
    fn check_span(&self, memory: *const u8, len: usize, at: u64) -> io::Result<()> {
        let end = at.checked_add(len as u64).filter(|&end| end <= MAX_FILE_BYTES);
        if end.is_none() {
            return Err(invalid(format!("{len} bytes at {at} end beyond {MAX_FILE_BYTES}")));
        }
        let aligned = |number: u64| number.is_multiple_of(SECTOR_BYTES as u64);
        if self.mode != OpenMode::Direct
            || (aligned(at) && aligned(len as u64) && aligned(memory.addr() as u64))
        {
            return Ok(());
        }
        Err(invalid(format!(
            "direct I/O of {len} bytes at {at}, memory at {:#x}: not aligned to {SECTOR_BYTES}",
            memory.addr()
        )))
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.mode == OpenMode::Read {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is open for reading"));
        }
        Ok(())
    }

    /// A full disk refuses what would fill a hole or lengthen a file.
    fn check_room(&self, state: &mut State, at: u64, len: usize) -> io::Result<()> {
        let content = state.model.cache.content(self.inode);
        let missing = content.map_or(0, |content| content.missing_chunks(at, len));
        if missing > 0 && state.faults.room_ends() {
            state.faults.capacity = Some(state.used_bytes());
        }
        let Some(capacity) = state.faults.capacity else { return Ok(()) };
        if missing > 0 && state.used_bytes() + missing * CHUNK_BYTES as u64 > capacity {
            return Err(enospc());
        }
        Ok(())
    }

    /// Writes, and says as which operation.
    fn write(&self, state: &mut State, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.check_writable()?;
        self.check_span(bytes.as_ptr(), bytes.len(), at)?;
        self.check_room(state, at, bytes.len())?;
        let fails = state.faults.write_fails();
        let sectors = bytes.len() / TORN_BYTES;
        let written = if fails { &bytes[..sectors / 2 * TORN_BYTES] } else { bytes };
        if !written.is_empty() {
            state.record(Op::Write { inode: self.inode, at, bytes: Bytes::copy_from_slice(written) });
        }
        if fails { Err(eio()) } else { Ok(state.ops.len().saturating_sub(1)) }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.state()?;
        self.check_span(buf.as_ptr(), buf.len(), at)?;
        if self.mode == OpenMode::Direct {
            return Ok(state.model.direct_content(self.inode).map_or(0, |content| content.read(buf, at)));
        }
        Ok(state.model.cache.content(self.inode).map_or(0, |content| content.read(buf, at)))
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write(&mut *self.state()?, bytes, at).map(|_| ())
    }

    fn write_durable(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let write = self.write(&mut state, bytes, at)?;
        self.shared.pass_gate(&mut state)?;
        let inode = self.inode;
        if state.faults.sync_fails() {
            state.record(Op::SyncFailed { inodes: vec![inode] });
            return Err(eio());
        }
        if !bytes.is_empty() {
            state.record(Op::SyncWrite { inode, write });
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.sync(vec![self.inode])
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.model.cache.len(self.inode))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        if len > MAX_FILE_BYTES {
            return Err(invalid(format!("a length of {len} is beyond {MAX_FILE_BYTES}")));
        }
        self.state()?.record(Op::SetLen { inode: self.inode, len });
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        if len > MAX_FILE_BYTES {
            return Err(invalid(format!("a length of {len} is beyond {MAX_FILE_BYTES}")));
        }
        let mut state = self.state()?;
        self.check_room(&mut state, 0, len as usize)?;
        state.record(Op::Allocate { inode: self.inode, len });
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let address = self.address();
        self.shared.state.lock().handles.remove(&address);
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({}, {:?})", self.inode, self.mode)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
