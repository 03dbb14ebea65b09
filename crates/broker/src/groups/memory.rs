//! What members may take of memory, over all groups: a bound on what clients can make the broker remember that
//! is in no log and costs them nothing to say.
//!
//! A shard counts what is said to it and, each time that is another [`RECOUNT_BYTES`], what is really kept.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::table::SHARDS;

/// How far a shard's count may be above what it really holds.
pub(super) const RECOUNT_BYTES: usize = 64 << 10;

/// What a member or a pending member id takes beside its texts.
pub(super) const MEMBER_BYTES: usize = 512;

/// The shards' counts.
#[derive(Debug)]
pub(super) struct Memory {
    held: [AtomicUsize; SHARDS as usize],
    limit: usize,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self { held: std::array::from_fn(|_| AtomicUsize::new(0)), limit }
    }

    /// A shard's count. Call it under the shard's lock.
    pub(super) fn set(&self, shard: u32, bytes: usize) {
        self.held[shard as usize].store(bytes, Relaxed);
    }

    /// What all shards hold.
    pub(super) fn held(&self) -> usize {
        self.held.iter().map(|bytes| bytes.load(Relaxed)).sum()
    }

    /// Whether so much more may be held.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.held().saturating_add(bytes) <= self.limit
    }
}
