//! Streams: a topic's partition seen as JetStream sees it.
//!
//! ```text
//! Streams ── name → Stream         a topic made through NATS has one partition: one stream
//!    │                             a topic made through Kafka has P: P streams, `name`, `name=1`, `name=2` …
//!    └────── subject → Stream      `matcher`: the subjects of streams, and the roots that topics are bound to
//! Stream ─┬─ publish               the checks in the reference's order, then the log, under one short lock
//!         ├─ state, subjects       from the index: no data is read
//!         ├─ get, get_batch, …     the index says where, the log gives the record
//!         ├─ purge, delete, limits the index forgets at once, the log's delete bitmap follows
//!         └─ cursor                a filter's next message and how many are left, exact at once
//! ```
//!
//! **One lock for a stream** (`core`): sequences, index, dedup window and cursors change together, in the order of the
//! WAL. It is held over the queueing of an entry, never over an await or the disk. Lock order: catalog, a partition's
//! producers, a stream, the log.
//!
//! **Durable**: the configuration stands in the topic's catalog entry. The index and the dedup window are projections of
//! the partition's batches and deletes (tables STREAMS and DEDUP): recovery hands in what isn't checkpointed, and a
//! checkpoint writes the pieces that changed. What a reply reveals names its [`Lsn`](duolog_types::Lsn), as everywhere.

mod config;
pub(crate) mod core;
mod cursor;
mod dedup;
mod error;
mod headers;
mod index;
pub mod mapping;
pub(crate) mod matcher;
mod message;
mod produce;
mod publish;
mod read;
pub(crate) mod stored_config;
mod stream;
pub mod subject;
pub(crate) mod table;
pub(crate) mod timers;
mod topic;
pub(crate) mod validate;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use duolog_record::partition_for_key;
use duolog_types::{Lsn, Nanos, PartitionId, TopicId};
use parking_lot::RwLock;

pub use config::{
    ConsumerLimits, DiscardPolicy, RetentionPolicy, StorageType, StoreCompression, StreamConfig,
};
pub use cursor::{Cursor, Delivery};
pub use error::{
    CreateStreamError, DeleteMessageError, DeleteStreamError, GetError, PublishError, PurgeError,
    StreamConfigError, UpdateStreamError,
};
pub use message::{Header, HeaderRef, Message, PubAck, Publish, header_block_bytes, record_bytes};
pub use stream::{
    Batch, BatchQuery, GetQuery, Interest, MultiQuery, Origin, Purge, Purged, Stream, StreamState,
    SubjectCounts,
};

use crate::catalog::{DeleteTopicError, Topic};
use crate::partition::PartitionContext;
use crate::{Catalog, Partition};
use mapping::Root;
use matcher::Found;
use timers::Timers;

/// All streams.
pub struct Streams {
    catalog: Arc<Catalog>,
    context: Arc<PartitionContext>,
    /// Streams of topics that were made through Kafka, as far as anybody asked for them.
    of_topics: RwLock<HashMap<PartitionId, Arc<Stream>>>,
}

/// A stream that was made or found.
#[derive(Clone, Debug)]
pub struct Created {
    /// The stream.
    pub stream: Arc<Stream>,
    /// Whether it was made now; otherwise it was there, with the same configuration.
    pub did_create: bool,
    /// The reply waits for this.
    pub lsn: Lsn,
}

impl Streams {
    pub(crate) fn new(catalog: Arc<Catalog>, context: Arc<PartitionContext>) -> Self {
        Self { catalog, context, of_topics: RwLock::default() }
    }

    /// Makes a stream, or finds one with the same configuration. `pedantic` refuses where a default would be changed.
    ///
    /// # Errors
    /// See [`CreateStreamError`]; replies to refusals that tell of other streams wait for [`Streams::changed`].
    pub fn create(&self, config: StreamConfig, pedantic: bool) -> Result<Created, CreateStreamError> {
        let config = validate::checked(config, pedantic)?;
        let (topic, did_create) = self.catalog.create_stream(config)?;
        let stream = topic.stream().cloned().ok_or(CreateStreamError::NameInUse)?;
        Ok(Created { stream, did_create, lsn: topic.changed() })
    }

    /// Changes a stream's configuration. Lower limits take effect at once.
    ///
    /// # Errors
    /// See [`UpdateStreamError`].
    pub fn update(&self, config: StreamConfig, pedantic: bool) -> Result<Created, UpdateStreamError> {
        self.update_if(config, pedantic, |_, _| Ok(()))
    }

    /// As [`update`](Self::update), if `check` of the old configuration and the new one, defaults written in, lets it.
    ///
    /// # Errors
    /// See [`UpdateStreamError`], and what `check` says.
    pub fn update_if(
        &self,
        config: StreamConfig,
        pedantic: bool,
        check: impl FnOnce(&StreamConfig, &StreamConfig) -> Result<(), UpdateStreamError>,
    ) -> Result<Created, UpdateStreamError> {
        let topic = self.catalog.update_stream(config, pedantic, check)?;
        let stream = topic.stream().cloned().ok_or(UpdateStreamError::NotFound)?;
        let lsn = topic.changed().max(stream.changed());
        Ok(Created { stream, did_create: false, lsn })
    }

    /// Deletes a stream, and the topic that it is.
    ///
    /// # Errors
    /// See [`DeleteStreamError`].
    pub fn delete(&self, name: &str) -> Result<Lsn, DeleteStreamError> {
        let (topic, _) = self.locate(name).ok_or(DeleteStreamError::NotFound)?;
        if topic.partitions().len() > 1 {
            let (topic, partitions) = (topic.name().to_string(), topic.partitions().len());
            return Err(DeleteStreamError::OneOfSeveral { topic, partitions });
        }
        let deleted = self.catalog.delete(topic.id());
        deleted.map_err(|error| match error {
            DeleteTopicError::Unknown => DeleteStreamError::NotFound,
            DeleteTopicError::Log(error) => DeleteStreamError::Log(error),
        })
    }

    /// The stream of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Stream>> {
        let (topic, partition) = self.locate(name)?;
        Some(self.stream(&topic, partition))
    }

    /// The topic and the partition that a name means: `=p` names partition `p`, nothing partition 0.
    fn locate(&self, name: &str) -> Option<(Arc<Topic>, usize)> {
        let (name, partition) = match name.split_once('=') {
            // One name for each: neither `name=0` nor `name=01`.
            Some((name, number)) if !number.starts_with(['0', '+']) => (name, number.parse().ok()?),
            Some(_) => return None,
            None => (name, 0),
        };
        // Names are told apart with their dots as underscores, and a stream's has none.
        let topic = self.catalog.topic_of_stream(name)?;
        (partition < topic.partitions().len()).then_some((topic, partition))
    }

    fn stream(&self, topic: &Topic, index: usize) -> Arc<Stream> {
        if let Some(stream) = topic.stream() {
            return stream.clone();
        }
        let partition = &topic.partitions()[index];
        if let Some(stream) = self.of_topics.read().get(&partition.id()) {
            return stream.clone();
        }
        let config = Arc::new(StreamConfig {
            name: stream_name(topic, index),
            num_replicas: 1,
            allow_direct: true,
            duplicate_window: Some(std::time::Duration::from_secs(120)),
            ..StreamConfig::default()
        });
        let mut of_topics = self.of_topics.write();
        // Those of deleted topics go when others come.
        of_topics.retain(|_, stream| !is_gone(stream.partition()));
        let open = || Stream::open(&topic.record, &config, partition, Origin::Kafka, &self.context);
        of_topics.entry(partition.id()).or_insert_with(open).clone()
    }

    /// Opens the partitions of topics of which recovery found something: from here on checkpoints store it.
    pub(crate) fn reopen(&self) {
        let waiting = self.context.streams.unopened();
        let opened: Vec<_> =
            self.of_partitions(&waiting).iter().map(|stream| stream.partition().id()).collect();
        for gone in waiting.iter().filter(|id| !opened.contains(id)) {
            self.context.streams.forget(*gone);
        }
    }

    /// The streams that these partitions are.
    pub(crate) fn of_partitions(&self, wanted: &[PartitionId]) -> Vec<Arc<Stream>> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let wanted: HashSet<PartitionId> = wanted.iter().copied().collect();
        let mut found = Vec::with_capacity(wanted.len());
        for topic in self.catalog.topics() {
            for (index, partition) in topic.partitions().iter().enumerate() {
                if wanted.contains(&partition.id()) {
                    found.push(self.stream(&topic, index));
                }
            }
        }
        found
    }

    /// The newest change of which streams there are: a reply that shows that (or that one is missing) waits for it.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        self.catalog.changed()
    }

    /// The names of all streams, sorted; with `subject`, of those that take it (it may have wildcards): the streams
    /// with an overlapping subject; of a topic that is bound to a root, the one partition that the subject's key picks,
    /// and none if the look-up spans several.
    #[must_use]
    pub fn names(&self, subject: Option<&str>) -> Vec<Arc<str>> {
        let names = self.places(subject).into_iter().map(|(topic, index)| stream_name(&topic, index));
        let mut names: Vec<Arc<str>> = names.map(Arc::from).collect();
        names.sort_unstable();
        names
    }

    /// The streams themselves; as [`names`](Self::names).
    #[must_use]
    pub fn list(&self, subject: Option<&str>) -> Vec<Arc<Stream>> {
        let places = self.places(subject).into_iter();
        let mut streams: Vec<_> = places.map(|(topic, index)| self.stream(&topic, index)).collect();
        streams.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        streams
    }

    /// Topics and partitions.
    fn places(&self, subject: Option<&str>) -> Vec<(Arc<Topic>, usize)> {
        let Some(wanted) = subject else {
            let topics = self.catalog.topics().into_iter();
            return topics
                .flat_map(|topic| (0..topic.partitions().len()).map(move |p| (topic.clone(), p)))
                .collect();
        };
        let mut found = Vec::new();
        for topic in self.catalog.topics() {
            let overlapping = |stream: &Arc<Stream>| {
                stream.config().subjects.iter().any(|subject| subject::overlaps(subject, wanted))
            };
            if topic.stream().is_some_and(overlapping) {
                found.push((topic, 0));
            }
        }
        for topic in self.catalog.topics_of_subject(wanted) {
            match topic.partitions().len() {
                1 => found.push((topic, 0)),
                _ if subject::is_literal(wanted) => {
                    let index = partition_of(&topic, wanted);
                    found.push((topic, index));
                }
                _ => {}
            }
        }
        found
    }

    /// The stream that takes a literal subject: at most one does.
    #[must_use]
    pub fn match_subject(&self, subject: &str) -> Option<Arc<Stream>> {
        match self.catalog.find_subject(subject)? {
            Found::Stream(stream) => Some(stream),
            Found::Topic(id) => self.partition_for(id, subject),
        }
    }

    /// The subjects that lead to a topic: its stream's, or those that begin with its name, if it is bound to them.
    #[must_use]
    pub fn subjects_of(&self, topic: &Topic) -> Vec<String> {
        match topic.stream() {
            Some(stream) => stream.config().subjects.clone(),
            None if self.catalog.is_bound(topic) => {
                vec![topic.name().to_string(), format!("{}.>", topic.name())]
            }
            None => Vec::new(),
        }
    }

    /// The partition of topic `id` that a literal subject's key picks; none if the subject isn't (or isn't any more)
    /// that topic's but another's, whose root is longer.
    #[must_use]
    pub fn match_topic(&self, id: TopicId, subject: &str) -> Option<Arc<Stream>> {
        match self.catalog.find_subject(subject)? {
            Found::Topic(found) if found == id => self.partition_for(id, subject),
            _ => None,
        }
    }

    fn partition_for(&self, id: TopicId, subject: &str) -> Option<Arc<Stream>> {
        let topic = self.catalog.topic_by_id(id)?;
        let index = partition_of(&topic, subject);
        Some(self.stream(&topic, index))
    }
}

/// Whether a configuration makes sense for some stream, whichever there are.
///
/// # Errors
/// What is wrong with it.
pub fn check_config(config: &StreamConfig, pedantic: bool) -> Result<(), StreamConfigError> {
    validate::checked(config.clone(), pedantic).map(|_| ())
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Streams({:?})", self.catalog)
    }
}

/// Whether a partition was deleted.
fn is_gone(partition: &Partition) -> bool {
    partition.log().bounds().is_err()
}

/// The partition that a subject's key picks, as the Java client would: the first one where there is no key.
fn partition_of(topic: &Topic, subject: &str) -> usize {
    let (key, _) = Root::Topic(topic.name().clone()).key_of(subject);
    let count = u32::try_from(topic.partitions().len()).ok().and_then(NonZeroU32::new);
    match (key, count) {
        (Some(key), Some(count)) => partition_for_key(&key, count) as usize,
        _ => 0,
    }
}

/// The name of the stream that a topic's partition is.
fn stream_name(topic: &Topic, index: usize) -> String {
    let name = topic.name().replace('.', "_");
    if index == 0 { name } else { format!("{name}={index}") }
}

/// Does what is due in all streams at `now`.
pub(crate) fn expire_due(timers: &Timers, now: Nanos) {
    for core in timers.take_due(core::nanos(now)) {
        publish::expire_due(&core, now);
    }
}
