//! Simulated time, chance and disk, and the enumerator of legal crash images.
//!
//! ```text
//! workload ──► SimDisk ──► Trace ──► CrashImages ──► SimDisk::from_image ──► recovery + check
//!    │ mark(promise)         │ boundary b            (one legal state of the disk after a cut at b)
//!    └───────────────────────┴──► the promises made before b ──────────────────────► check
//! ```
//! Knows nothing of logs, protocols or brokers: what is promised and how it is checked comes from the caller.

mod crash;
mod sim_clock;
mod sim_disk;
mod sim_rng;

use std::sync::Arc;

pub use crash::{
    CrashId, CrashImage, CrashImages, CrashPoint, Explorer, Found, Limits, ParseCrashId, Report, Run,
    Variant, Violation,
};
use duolog_env::Env;
pub use sim_clock::SimClock;
pub use sim_disk::{Image, Inode, Op, SimDisk, SyncGate, Trace};
pub use sim_rng::SimRng;

/// A whole simulated machine, with its parts in reach.
#[derive(Clone, Debug)]
pub struct SimEnv {
    /// The clock that stands still until it is told to move.
    pub clock: Arc<SimClock>,
    /// The random numbers that a seed gives.
    pub rng: Arc<SimRng>,
    /// The disk.
    pub disk: SimDisk,
}

impl SimEnv {
    /// An empty disk, a clock at its start, and the random numbers of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_disk(SimDisk::new(), seed)
    }

    /// The same on a disk that exists already (one that survived a crash).
    #[must_use]
    pub fn with_disk(disk: SimDisk, seed: u64) -> Self {
        Self { clock: Arc::new(SimClock::new()), rng: Arc::new(SimRng::new(seed)), disk }
    }

    /// What the product takes.
    #[must_use]
    pub fn env(&self) -> Env {
        Env {
            clock: Arc::clone(&self.clock) as _,
            rng: Arc::clone(&self.rng) as _,
            disk: Arc::new(self.disk.clone()),
        }
    }
}
