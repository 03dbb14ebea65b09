//! The handle that callers hold.

use std::future::Future;
use std::sync::Arc;

use duolog_types::{Lsn, Offset, PartitionId};

use super::core::{Core, Extent};
use crate::dead::set::Dead;
use crate::entry::Entry;
use crate::error::{AppendError, Poisoned, ReadError};
use crate::log::Shared;
use crate::watch::{Registration, Watch, WatchGuard};

/// A partition's borders: see the getters of [`Partition`] with the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that may be read.
    pub start: Offset,
    /// One behind the last durable offset.
    pub high_watermark: Offset,
    /// One behind the last offset taken, durable or not.
    pub end: Offset,
}

/// A cheap handle on one partition. It stays usable (with errors) after the partition was dropped.
#[derive(Clone)]
pub struct Partition {
    pub(crate) log: Arc<Shared>,
    pub(crate) core: Arc<Core>,
}

impl Partition {
    /// The partition's number.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.core.id
    }

    /// The first offset that may be read (Kafka: log start offset).
    #[must_use]
    pub fn start(&self) -> Offset {
        self.core.lock().start
    }

    /// One behind the last durable offset: what readers may see (Kafka: high watermark).
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.core.lock().high_watermark
    }

    /// One behind the last offset taken, durable or not (Kafka: log end offset).
    #[must_use]
    pub fn end(&self) -> Offset {
        self.core.lock().next
    }

    /// All of the partition's borders at one moment.
    ///
    /// # Errors
    /// The partition was dropped.
    pub fn bounds(&self) -> Result<Bounds, ReadError> {
        let state = self.core.lock();
        if state.dropped {
            return Err(ReadError::Dropped(self.core.id));
        }
        Ok(Bounds { start: state.start, high_watermark: state.high_watermark, end: state.next })
    }

    /// Bytes of the batches that are kept; where some of a segment is deleted, in proportion.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.core.lock().size_bytes()
    }

    /// Stretches of the partition, oldest first; the last is what isn't checkpointed yet, if anything.
    #[must_use]
    pub fn extents(&self) -> Vec<Extent> {
        self.core.lock().extents()
    }

    /// The deleted offsets of `from..to`, as far as they are durable and not below the log start. Cheap: it shares the partition's
    /// memory.
    #[must_use]
    pub fn dead(&self, from: Offset, to: Offset) -> Dead {
        let state = self.core.lock();
        state.dead.view(from.max(state.start), to)
    }

    /// How many offsets of `from..to` are deleted, as [`dead`](Self::dead) has them.
    #[must_use]
    pub fn dead_count(&self, from: Offset, to: Offset) -> u64 {
        let state = self.core.lock();
        match &state.memory {
            Some(memory) => memory.dead_count(from.max(state.start), to),
            None => state.dead.count_in(from.max(state.start), to),
        }
    }

    /// From which size on a segment of this partition is sealed, bytes (Kafka: segment.bytes).
    pub fn set_segment_bytes(&self, bytes: u64) {
        self.core.lock().segment_bytes = bytes;
    }

    /// Ends when `lsn` is durable, at once if it is; as [`Log::durable`](crate::Log::durable).
    pub fn durable(&self, lsn: Lsn) -> impl Future<Output = Result<(), Poisoned>> + Send + use<> {
        self.log.durability.wait(lsn)
    }

    /// Queues an entry; as [`Log::submit`](crate::Log::submit).
    ///
    /// # Errors
    /// The entry is then certainly not in the log.
    pub fn submit(&self, entry: Entry) -> Result<Lsn, AppendError> {
        self.log.submit(entry)
    }

    /// Registers the partition with `watch` under `token`, until the guard is dropped.
    #[must_use]
    pub fn watch(&self, watch: &Watch, token: u64) -> WatchGuard {
        let registration = Registration::new(watch, token);
        self.core.watch(registration.clone());
        WatchGuard::new(self.core.clone(), registration)
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Partition({})", self.core.id)
    }
}
