//! The machine's file systems, by way of rustix.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FlockOperation, Mode, OFlags, SeekFrom};

use crate::disk::{Disk, File, Lock, OpenMode, Space};

/// From how many files on one `syncfs` is cheaper than an `fdatasync` each (rules-storage §2.1: 10 files
/// appended 2.5 ms against 1.85 ms for a hundred by one `syncfs`).
const SYNCFS_FROM_FILES: usize = 8;

/// The real disk. Stateless: paths are the operating system's.
#[derive(Debug)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// Open with `O_DSYNC`: a write that returned is durable.
    dsync: bool,
}

#[derive(Debug)]
struct RealLock {
    file: fs::File,
    path: PathBuf,
}

impl Lock for RealLock {
    fn still_held(&self) -> io::Result<bool> {
        let held = self.file.metadata()?;
        match rustix::fs::stat(&self.path) {
            Ok(named) => Ok((held.dev(), held.ino()) == (named.st_dev, named.st_ino)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn parent_of(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn open_with(path: &Path, flags: OFlags) -> io::Result<fs::File> {
    let fd = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?;
    Ok(fs::File::from(fd))
}

impl Disk for RealDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = dir;
        while !at.as_os_str().is_empty() && !at.exists() {
            missing.push(at);
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        for dir in missing.into_iter().rev() {
            match fs::create_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            self.sync_dir(parent_of(dir))?;
        }
        // Also when the name was there: a process that was killed may have made it and not synced it.
        self.sync_dir(parent_of(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = match mode {
            OpenMode::Read => RealFile { file: open_with(path, OFlags::RDONLY)?, dsync: false },
            OpenMode::ReadWrite => RealFile { file: open_with(path, OFlags::RDWR)?, dsync: false },
            OpenMode::CreateNew => RealFile {
                file: open_with(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?,
                dsync: false,
            },
            OpenMode::Direct => match open_with(path, OFlags::RDWR | OFlags::DIRECT | OFlags::DSYNC) {
                Ok(file) => RealFile { file, dsync: true },
                // tmpfs and some network file systems know no O_DIRECT: write + fdatasync instead.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                    RealFile { file: open_with(path, OFlags::RDWR)?, dsync: false }
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Arc::new(file))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the real disk")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the real disk")]
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        open_with(dir, OFlags::RDONLY | OFlags::DIRECTORY)?.sync_all()
    }

    fn sync_files(&self, dir: &Path, files: &[Arc<dyn File>]) -> io::Result<()> {
        if files.len() >= SYNCFS_FROM_FILES {
            // Kernels from 5.8 on report a failed writeback of any file here.
            let root = open_with(dir, OFlags::RDONLY | OFlags::DIRECTORY)?;
            return Ok(rustix::fs::syncfs(root.as_fd())?);
        }
        files.iter().try_for_each(|file| file.sync_data())
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = open_with(path, OFlags::RDWR | OFlags::CREATE)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(RealLock { file, path: path.to_path_buf() }))
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.file.read_at(&mut buf[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn will_read(&self, at: u64, len: u64) {
        // A file system that doesn't take the hint reads later, that's all.
        let _ = rustix::fs::fadvise(&self.file, at, std::num::NonZero::new(len), Advice::WillNeed);
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn write_durable(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)?;
        if self.dsync { Ok(()) } else { self.file.sync_data() }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            // File systems without fallocate only get the length: what is missing shows when it is written.
            Err(rustix::io::Errno::OPNOTSUPP) => self.set_len(len),
            other => Ok(other?),
        }
    }

    fn written_until(&self, from: u64) -> io::Result<u64> {
        // Blocks that are only allocated count as holes. A file system without holes says its end.
        Ok(rustix::fs::seek(&self.file, SeekFrom::Hole(from))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{AlignedBuf, SECTOR_BYTES};

    #[test]
    fn direct_write_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        RealDisk.open(&path, OpenMode::CreateNew).unwrap().set_len(3 * SECTOR_BYTES as u64).unwrap();
        let file = RealDisk.open(&path, OpenMode::Direct).unwrap();
        let mut block = AlignedBuf::zeroed(SECTOR_BYTES);
        block.fill(7);
        file.write_durable(&block, SECTOR_BYTES as u64).unwrap();
        let mut back = AlignedBuf::zeroed(SECTOR_BYTES);
        assert_eq!(file.read_at(&mut back, SECTOR_BYTES as u64).unwrap(), SECTOR_BYTES);
        assert_eq!(back.as_ref(), block.as_ref());
    }

    #[test]
    fn blocks_that_were_only_allocated_are_told_from_written_ones() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("wal"), OpenMode::CreateNew).unwrap();
        file.allocate(16 * SECTOR_BYTES as u64).unwrap();
        file.write_durable(&[7; 4 * SECTOR_BYTES], 0).unwrap();
        let until = file.written_until(0).unwrap();
        // Larger blocks, or a file system that doesn't know holes, may say more; never less.
        assert!((4 * SECTOR_BYTES as u64..=16 * SECTOR_BYTES as u64).contains(&until), "{until}");
        assert!(file.written_until(8 * SECTOR_BYTES as u64).unwrap() >= 8 * SECTOR_BYTES as u64);
    }

    #[test]
    fn a_lock_whose_file_was_replaced_is_not_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let held = RealDisk.lock(&path).unwrap();
        assert!(held.still_held().unwrap());
        RealDisk.remove(&path).unwrap();
        assert!(!held.still_held().unwrap());
        let _other = RealDisk.lock(&path).unwrap();
        assert!(!held.still_held().unwrap());
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let held = RealDisk.lock(&path).unwrap();
        assert_eq!(RealDisk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        RealDisk.lock(&path).unwrap();
    }
}
