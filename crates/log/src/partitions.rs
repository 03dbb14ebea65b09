//! All partitions by number, and the list of those that the next checkpoint has to visit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duolog_types::PartitionId;
use parking_lot::{Mutex, RwLock};

use crate::partition::core::Core;
use crate::segment::SegmentName;
use crate::segment::store::SHARD_DIRS;

/// Shards of the partitions' own state table; as many as there are segment directories.
pub(crate) const SHARDS: usize = SHARD_DIRS as usize;

/// See the module.
#[derive(Debug)]
pub(crate) struct Partitions {
    shards: Vec<RwLock<HashMap<PartitionId, Arc<Core>>>>,
    dirty: Mutex<Dirty>,
    next_id: AtomicU64,
}

/// What the next checkpoint has to look at.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub cores: Vec<Arc<Core>>,
    /// Shards that lost a partition.
    pub shards: Vec<u32>,
    /// Segments of dropped partitions, to be deleted once nothing names them.
    pub garbage: Vec<SegmentName>,
    /// Dropped partitions, whose dead offsets nothing may name any more.
    pub dropped: Vec<PartitionId>,
}

impl Partitions {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            dirty: Mutex::default(),
            next_id: AtomicU64::new(1),
        }
    }

    pub(crate) fn shard_of(id: PartitionId) -> u32 {
        (id.0 % SHARDS as u64) as u32
    }

    fn shard(&self, id: PartitionId) -> &RwLock<HashMap<PartitionId, Arc<Core>>> {
        &self.shards[Self::shard_of(id) as usize]
    }

    pub(crate) fn get(&self, id: PartitionId) -> Option<Arc<Core>> {
        self.shard(id).read().get(&id).cloned()
    }

    pub(crate) fn insert(&self, core: Arc<Core>) {
        self.saw_id(core.id);
        self.shard(core.id).write().insert(core.id, core);
    }

    /// Takes back a partition whose creation was refused.
    pub(crate) fn forget(&self, core: &Arc<Core>) {
        self.shard(core.id).write().remove(&core.id);
    }

    /// Takes a dropped partition out and hands its segments to the next checkpoint for deletion.
    pub(crate) fn remove(&self, core: &Arc<Core>) {
        self.shard(core.id).write().remove(&core.id);
        let segments = std::mem::take(&mut core.lock().segments);
        let mut dirty = self.dirty.lock();
        dirty.shards.push(Self::shard_of(core.id));
        dirty.garbage.extend(segments.into_iter().map(|segment| segment.name(core.id)));
        dirty.dropped.push(core.id);
    }

    /// Has the next checkpoint forget what was dead in a partition that is gone.
    pub(crate) fn forget_dead_of(&self, partition: PartitionId) {
        let mut dirty = self.dirty.lock();
        dirty.shards.push(Self::shard_of(partition));
        dirty.dropped.push(partition);
    }

    pub(crate) fn list_dirty(&self, core: &Arc<Core>) {
        self.dirty.lock().cores.push(core.clone());
    }

    pub(crate) fn take_dirty(&self) -> Dirty {
        std::mem::take(&mut self.dirty.lock())
    }

    /// Gives back what a failed checkpoint took.
    pub(crate) fn restore_dirty(&self, taken: Dirty) {
        let mut dirty = self.dirty.lock();
        dirty.cores.extend(taken.cores);
        dirty.shards.extend(taken.shards);
        dirty.garbage.extend(taken.garbage);
        dirty.dropped.extend(taken.dropped);
    }

    /// Reserves `count` numbers and returns the first.
    pub(crate) fn allocate(&self, count: u32) -> PartitionId {
        PartitionId(self.next_id.fetch_add(u64::from(count), Ordering::Relaxed))
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Numbers up to `id` were given once, and are never given again.
    pub(crate) fn saw_id(&self, id: PartitionId) {
        self.next_id.fetch_max(id.0 + 1, Ordering::Relaxed);
    }

    /// The partitions of a shard, in the order of their numbers.
    pub(crate) fn of_shard(&self, shard: u32) -> Vec<Arc<Core>> {
        let mut cores: Vec<_> = self.shards[shard as usize].read().values().cloned().collect();
        cores.sort_by_key(|core| core.id);
        cores
    }
}
