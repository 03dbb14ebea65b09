//! Files as the log needs them: positioned reads and writes, an explicit border between "written" and
//! "durable", and nothing else.
//!
//! What each call promises after a power cut is the whole point of this trait, so it is stated for each:
//! a write is durable after a later [`File::sync_data`] (or [`Disk::sync_files`], or at once by
//! [`File::write_durable`]); a created, renamed or removed name is durable after [`Disk::sync_dir`] on its
//! directory. Everything else may be lost, kept or torn at sector borders, in any order.
//! A failed sync is never to be retried on the same file: the kernel may have dropped the pages.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What a disk writes as a whole; also the alignment of [`AlignedBuf`] and of the WAL's groups.
pub const SECTOR_BYTES: usize = 4096;

/// How a file is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing. Its name is durable after `sync_dir`.
    CreateNew,
    /// An existing file for [`File::write_durable`] and reads past the page cache, with direct I/O where the
    /// file system allows it. Positions, lengths and memory must be aligned to [`SECTOR_BYTES`].
    Direct,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an unprivileged process may still use.
    pub free_bytes: u64,
    /// The whole file system.
    pub total_bytes: u64,
}

/// Names and whole files.
pub trait Disk: Send + Sync {
    /// Makes `dir` and its parents, and makes their names durable.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names of the regular files in `dir`, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Gives `from` the name `to`, replacing what stood there, at once for every observer; durable after
    /// `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name; the removal is durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes every byte written so far to each of `files` durable; all lie below `dir`. One call for many
    /// files, since one `syncfs` for a thousand of them costs a fortieth of a thousand `fdatasync`s.
    fn sync_files(&self, dir: &Path, files: &[Arc<dyn File>]) -> io::Result<()>;

    /// Room on the file system that holds `dir`.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// Takes the lock file at `path` for this process, until the returned value is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` while another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// An open file. All positions are in bytes from its start. Shared by readers and one writer.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `at`; fewer only at the file's end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Tells that `len` bytes at `at` will be read soon, so that the system may fetch them meanwhile. Only a hint, for
    /// speed.
    fn will_read(&self, at: u64, len: u64) {
        let _ = (at, len);
    }

    /// Writes all of `bytes` at `at`; extends the file where needed. Not durable before a sync.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `at` and returns when they are durable (one `O_DSYNC` write where the file is
    /// open as [`OpenMode::Direct`], else write + fdatasync).
    fn write_durable(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes everything written so far durable, with as much metadata as it takes to read it back.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeros) the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Extends the file to `len` bytes and reserves room for all of them, so that later writes below `len` can't
    /// find the disk full.
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    /// The first position from `from` on whose block was never written: a sync of a write to it changes metadata,
    /// which takes twice as long. The file's length where that isn't known. Only a hint, for speed.
    fn written_until(&self, from: u64) -> io::Result<u64> {
        let _ = from;
        self.len()
    }
}

/// A held lock file; dropping it lets go.
pub trait Lock: Send + Sync + fmt::Debug {
    /// Whether the path still names the file that is locked: it doesn't once the file, or a directory above it, was
    /// removed or replaced, and then nobody is kept out any more.
    fn still_held(&self) -> io::Result<bool>;
}

/// Memory for direct I/O: its bytes start at a multiple of [`SECTOR_BYTES`].
pub struct AlignedBuf {
    memory: Vec<u8>,
    start: usize,
}

impl AlignedBuf {
    /// No bytes yet, and room for `capacity` of them.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut memory: Vec<u8> = Vec::with_capacity(capacity + SECTOR_BYTES);
        let start = memory.as_ptr().align_offset(SECTOR_BYTES);
        memory.resize(start, 0);
        Self { memory, start }
    }

    /// `len` zero bytes.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buf = Self::with_capacity(len);
        buf.pad_to(len);
        buf
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    /// If they don't fit the capacity: growing would move the memory and lose the alignment.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        assert!(self.memory.len() + bytes.len() <= self.memory.capacity(), "an aligned buffer must not grow");
        self.memory.extend_from_slice(bytes);
    }

    /// Appends zeros until there are `len` bytes.
    ///
    /// # Panics
    /// If they don't fit the capacity.
    pub fn pad_to(&mut self, len: usize) {
        let end = self.start + len;
        assert!(end <= self.memory.capacity(), "an aligned buffer must not grow");
        if end > self.memory.len() {
            self.memory.resize(end, 0);
        }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

impl std::ops::Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl std::ops::DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.as_ref().len())
    }
}
