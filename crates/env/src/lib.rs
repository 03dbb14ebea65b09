//! The only way to time, chance and disk.
//!
//! Owns the traits [`Clock`], [`Rng`] and [`Disk`]/[`File`] and their real forms. The simulated forms live in
//! `duolog-testkit`; because nothing else in the product may reach a clock, a random number or a file
//! (`clippy.toml` refuses it), a test that hands in the simulated ones owns everything that can go wrong.
//! Knows nothing of logs, protocols or brokers.

mod clock;
mod disk;
mod real_disk;
mod rng;
mod seeded;

use std::sync::Arc;

pub use clock::{Clock, RealClock, Sleep};
pub use disk::{AlignedBuf, Disk, File, Lock, OpenMode, SECTOR_BYTES, Space};
pub use real_disk::RealDisk;
pub use rng::{RealRng, Rng};
#[cfg(seeded_bug)]
pub use seeded::choose_seeded_bug;
pub use seeded::seeded_bug;

/// Time, chance and disk, handed down from the process's start to whatever needs them. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub rng: Arc<dyn Rng>,
    /// Files.
    pub disk: Arc<dyn Disk>,
}

impl Env {
    /// The real machine: its clock, its entropy, its file systems.
    #[must_use]
    pub fn real() -> Self {
        Self { clock: Arc::new(RealClock::new()), rng: Arc::new(RealRng), disk: Arc::new(RealDisk) }
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}
