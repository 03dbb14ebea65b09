//! The bare disk: what a write that survives a power cut costs, with nothing around it.
//!
//! Two ways, both into a file whose blocks are written already: past the page cache with `O_DIRECT|O_DSYNC`, as the
//! WAL does, and a plain write with `fdatasync` behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use duolog_env::{AlignedBuf, Disk, File, OpenMode, RealDisk};

const FILE_BYTES: u64 = 64 << 20;
const PREWRITE_BYTES: usize = 1 << 20;

/// A prewritten file, written from front to back and over again; removed at the end.
pub struct Bare {
    path: PathBuf,
    direct: Arc<dyn File>,
    cached: Arc<dyn File>,
    block: AlignedBuf,
    at: u64,
}

impl Bare {
    /// A file in `dir`, to be written in blocks of `block_bytes`, which is a multiple of 4 KiB.
    pub fn create(dir: &Path, block_bytes: usize) -> anyhow::Result<Self> {
        let path = dir.join(format!("bare-{}", std::process::id()));
        let cached = RealDisk.open(&path, OpenMode::CreateNew)?;
        cached.set_len(FILE_BYTES)?;
        let direct = RealDisk.open(&path, OpenMode::Direct)?;
        let zeros = AlignedBuf::zeroed(PREWRITE_BYTES);
        for at in (0..FILE_BYTES).step_by(PREWRITE_BYTES) {
            direct.write_durable(&zeros, at)?;
        }
        let mut block = AlignedBuf::zeroed(block_bytes);
        block.fill(0x5a);
        Ok(Self { path, direct, cached, block, at: 0 })
    }

    /// One write with `O_DIRECT|O_DSYNC`.
    pub fn direct(&mut self) -> anyhow::Result<Duration> {
        let at = self.next();
        let began = Instant::now();
        self.direct.write_durable(&self.block, at)?;
        Ok(began.elapsed())
    }

    /// One write through the page cache, and `fdatasync`.
    pub fn cached(&mut self) -> anyhow::Result<Duration> {
        let at = self.next();
        let began = Instant::now();
        self.cached.write_at(&self.block, at)?;
        self.cached.sync_data()?;
        Ok(began.elapsed())
    }

    fn next(&mut self) -> u64 {
        let at = self.at;
        let behind = at + self.block.len() as u64;
        self.at = if behind + self.block.len() as u64 > FILE_BYTES { 0 } else { behind };
        at
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // The directory is the caller's to remove; a file that stays behind in it harms nobody.
        let _ = RealDisk.remove(&self.path);
    }
}
