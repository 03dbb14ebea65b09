//! One topic, as it was at one moment.

use std::sync::Arc;

use duolog_types::{Lsn, Nanos, PartitionId, TopicId};

use crate::Partition;
use crate::config::TopicConfig;
use crate::partition::TopicShared;
use crate::streams::{Stream, StreamConfig};

/// What of a topic is stored: the catalog's frames and snapshots hold this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicRecord {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    pub(crate) partitions: Vec<PartitionId>,
    pub(crate) replication_factor: i16,
    pub(crate) created: Nanos,
    /// What differs from the defaults, sorted by key.
    pub(crate) overrides: Vec<(Arc<str>, Arc<str>)>,
    /// The stream that it is, if it was made through NATS: it has one partition then.
    pub(crate) stream: Option<Arc<StreamConfig>>,
}

/// A topic as it was at one moment. A change makes a new one; the handles of its partitions are shared.
#[derive(Debug)]
pub struct Topic {
    pub(crate) record: Arc<TopicRecord>,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) config: Arc<TopicConfig>,
    /// What its partitions share with it.
    pub(crate) shared: Arc<TopicShared>,
    pub(crate) changed: Lsn,
    pub(crate) stream: Option<Arc<Stream>>,
}

impl Topic {
    /// The topic's id: random, and never given to another topic, also not to one of the same name.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.record.id
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.record.name
    }

    /// Its partitions; a partition's index is its place here.
    #[must_use]
    pub fn partitions(&self) -> &[Arc<Partition>] {
        &self.partitions
    }

    /// The partition of an index that a client named.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// Its configs.
    #[must_use]
    pub fn config(&self) -> &Arc<TopicConfig> {
        &self.config
    }

    /// The replication factor that was asked for when it was made. The effective one is 1.
    #[must_use]
    pub fn requested_replication_factor(&self) -> i16 {
        self.record.replication_factor
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Nanos {
        self.record.created
    }

    /// The stream that it is, if it was made through NATS.
    #[must_use]
    pub fn stream(&self) -> Option<&Arc<Stream>> {
        self.stream.as_ref()
    }

    /// Its newest change: a reply that reveals the topic waits for this to be durable.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        self.changed
    }
}
