//! Topics that are streams: made and changed through NATS, and the subjects that topics are bound to.

use std::sync::Arc;

use duolog_log::Entry;
use duolog_types::{Lsn, PartitionId, TopicId};

use super::names::collision_key;
use super::table::{CATALOG_TABLE, shard_of, topic_frame};
use super::{Catalog, CreateTopicError, Topic, TopicRecord, random_id};
use crate::config::TopicConfig;
use crate::partition::TopicShared;
use crate::streams::matcher::{Found, Matcher, Overlap, can_be_root};
use crate::streams::{
    CreateStreamError, Origin, StorageType, Stream, StreamConfig, StreamConfigError, UpdateStreamError,
    validate,
};

/// Has a topic's subjects lead to it.
pub(super) fn bind(subjects: &mut Matcher<Arc<Stream>, TopicId>, topic: &Topic) {
    if let Some(stream) = &topic.stream {
        subjects.add(&stream.config().subjects, topic.name(), stream);
        return;
    }
    subjects.unbind(topic.name());
    if !topic.config.nats_bind || !can_be_root(topic.name()) {
        return;
    }
    match subjects.overlap_of_root(topic.name()) {
        None => subjects.bind(topic.name(), topic.id()),
        // Only where the operator's default of `nats.bind` was changed under both.
        Some((stream, subject)) => {
            tracing::warn!(topic = %topic.name(), %stream, %subject, "a topic isn't bound to subjects: a stream takes them");
        }
    }
}

/// Is told when topics come, change and go: who shows them elsewhere.
pub trait TopicWatcher: Send + Sync {
    /// A topic was made or changed. Called under the catalog's lock, in the order of changes: it must not change topics.
    fn changed(&self, topic: &Arc<Topic>);

    /// A topic was deleted. Called as [`changed`](Self::changed) is.
    fn deleted(&self, topic: &Topic);
}

impl Catalog {
    /// Who is told of all changes from now on.
    pub fn set_watcher(&self, watcher: Option<Arc<dyn TopicWatcher>>) {
        // In the order of changes.
        let _changing = self.table.lock();
        *self.watcher.write() = watcher;
    }

    fn watcher(&self) -> Option<Arc<dyn TopicWatcher>> {
        self.watcher.read().clone()
    }

    /// Puts a topic into what readers look things up in.
    pub(super) fn install(&self, topic: &Arc<Topic>) {
        bind(&mut self.subjects.write(), topic);
        self.index.write().put(topic.clone());
        if let Some(watcher) = self.watcher() {
            watcher.changed(topic);
        }
    }

    /// Takes it out.
    pub(super) fn uninstall(&self, topic: &Topic, lsn: Lsn) {
        let mut subjects = self.subjects.write();
        match &topic.stream {
            Some(stream) => subjects.remove(&stream.config().subjects),
            None => subjects.unbind(topic.name()),
        }
        drop(subjects);
        self.index.write().remove(topic, lsn);
        if let Some(watcher) = self.watcher() {
            watcher.deleted(topic);
        }
    }

    /// Whether a topic is bound to the subjects that begin with its name.
    pub(crate) fn is_bound(&self, topic: &Topic) -> bool {
        topic.stream.is_none() && self.subjects.read().is_bound(topic.name())
    }

    /// Whether a new topic's root is free.
    pub(super) fn check_root(&self, name: &str, config: &TopicConfig) -> Result<(), CreateTopicError> {
        if !config.nats_bind {
            return Ok(());
        }
        if !can_be_root(name) {
            return Err(CreateTopicError::NoSubjects { name: name.to_owned() });
        }
        match self.subjects.read().overlap_of_root(name) {
            None => Ok(()),
            Some((stream, subject)) => {
                Err(CreateTopicError::SubjectsOverlap { name: name.to_owned(), stream, subject })
            }
        }
    }

    /// Whose a literal subject is.
    pub(crate) fn find_subject(&self, subject: &str) -> Option<Found<Arc<Stream>, TopicId>> {
        self.subjects.read().find(subject)
    }

    /// The topics bound to a root that a subject, perhaps with wildcards, overlaps with.
    pub(crate) fn topics_of_subject(&self, subject: &str) -> Vec<Arc<Topic>> {
        let ids = self.subjects.read().topics_of(subject);
        ids.into_iter().filter_map(|id| self.topic_by_id(id)).collect()
    }

    /// The topic whose name, with its dots as underscores, is `name`.
    pub(crate) fn topic_of_stream(&self, name: &str) -> Option<Arc<Topic>> {
        let index = self.index.read();
        index.by_name.get(&**index.collisions.get(name)?).cloned()
    }

    /// Makes a topic that is a stream, or finds one with the same configuration. Returns whether it was made.
    pub(crate) fn create_stream(
        &self,
        config: StreamConfig,
    ) -> Result<(Arc<Topic>, bool), CreateStreamError> {
        let mut state = self.table.lock();
        if let Some(existing) = self.topic_of_stream(&collision_key(&config.name)) {
            let same = |stream: &Arc<Stream>| validate::same(&stream.config(), &config);
            return match existing.stream.as_ref().is_some_and(same) {
                true => Ok((existing, false)),
                false => Err(CreateStreamError::NameInUse),
            };
        }
        let limit = self.settings.max_partitions;
        if self.partition_count() >= limit as usize {
            return Err(CreateStreamError::TooMany { limit });
        }
        if let Some(overlap) = self.subjects.read().overlap(&config.subjects, &config.name) {
            let Overlap { stream, subject, other } = overlap;
            return Err(CreateStreamError::SubjectsOverlap { stream, subject, other });
        }
        if let Err((asked_bytes, free_bytes)) = self.check_memory(&config) {
            return Err(CreateStreamError::MemoryExceeded { asked_bytes, free_bytes });
        }
        let partition = self.log.allocate_partitions(1);
        let record = Arc::new(TopicRecord {
            id: random_id(&self.env),
            name: Arc::from(config.name.as_str()),
            partitions: vec![partition],
            replication_factor: 1,
            created: self.env.clock.wall(),
            overrides: kafkas_view(&config),
            stream: Some(Arc::new(config)),
        });
        let topic = self.submit_stream(&mut state, record, Some(partition), None)?;
        Ok((topic, true))
    }

    /// Changes a stream's configuration.
    pub(crate) fn update_stream(
        &self,
        new: StreamConfig,
        pedantic: bool,
        check: impl FnOnce(&StreamConfig, &StreamConfig) -> Result<(), UpdateStreamError>,
    ) -> Result<Arc<Topic>, UpdateStreamError> {
        let mut state = self.table.lock();
        let topic = self.topic_of_stream(&new.name).ok_or(UpdateStreamError::NotFound)?;
        let Some(stream) = &topic.stream else { return Err(StreamConfigError::TopicsConfig.into()) };
        let old = stream.config();
        let new = validate::updated(&old, new, pedantic)?;
        if *old == new {
            return Ok(topic);
        }
        check(&old, &new)?;
        if let Some(overlap) = self.subjects.read().overlap(&new.subjects, &new.name) {
            let Overlap { stream, subject, other } = overlap;
            return Err(UpdateStreamError::SubjectsOverlap { stream, subject, other });
        }
        if let Err((asked_bytes, free_bytes)) = self.check_memory(&new) {
            return Err(UpdateStreamError::MemoryExceeded { asked_bytes, free_bytes });
        }
        let mut record = TopicRecord::clone(&topic.record);
        record.overrides = kafkas_view(&new);
        record.stream = Some(Arc::new(new));
        Ok(self.submit_stream(&mut state, Arc::new(record), None, Some(&topic))?)
    }

    /// Whether there is as much memory as a stream in memory wants to reserve by its limit: what it asks for, and what is
    /// left of what others haven't reserved.
    fn check_memory(&self, config: &StreamConfig) -> Result<(), (u64, u64)> {
        let reserves = |config: &StreamConfig| match config.storage {
            StorageType::Memory => config.max_bytes.unwrap_or(0),
            StorageType::File => 0,
        };
        let asked = reserves(config);
        if asked == 0 {
            return Ok(());
        }
        let topics = self.topics();
        let others = topics.iter().filter_map(|topic| topic.stream()).map(|stream| stream.config());
        let others = others.filter(|other| other.name != config.name);
        let reserved: u64 = others.map(|other| reserves(&other)).fold(0, u64::saturating_add);
        let free = self.log.memory_bytes().saturating_sub(reserved);
        if asked > free { Err((asked, free)) } else { Ok(()) }
    }

    /// Queues the entry of a stream's topic and takes it over.
    fn submit_stream(
        &self,
        state: &mut super::table::State,
        record: Arc<TopicRecord>,
        create: Option<PartitionId>,
        before: Option<&Arc<Topic>>,
    ) -> Result<Arc<Topic>, duolog_log::AppendError> {
        let mut entry = Entry::new().state(CATALOG_TABLE, shard_of(record.id), topic_frame(&record));
        if let Some(partition) = create {
            entry = entry.create_partition(partition);
        }
        let lsn = self.log.submit(entry)?;
        state.put(record.clone(), lsn);
        let config = TopicConfig::new(record.overrides.clone(), &self.defaults)
            .or_else(|_| TopicConfig::new(Vec::new(), &self.defaults))
            .expect("the defaults alone were checked when the broker opened");
        let stream_config = record.stream.clone().expect("the caller makes streams");
        let topic = match before.and_then(|topic| Some((topic, topic.stream.as_ref()?))) {
            Some((topic, stream)) => {
                self.subjects.write().remove(&stream.config().subjects);
                stream.reconfigure(stream_config, lsn);
                topic.shared.set_config(config);
                Topic {
                    record,
                    partitions: topic.partitions.clone(),
                    config: topic.shared.config(),
                    shared: topic.shared.clone(),
                    changed: lsn,
                    stream: topic.stream.clone(),
                }
            }
            None => {
                let shared = TopicShared::new(record.name.clone(), record.id, config);
                let partitions = self.handles(&record.partitions, 0, &shared);
                let stream =
                    Stream::open(&record, &stream_config, &partitions[0], Origin::Nats, &self.context);
                stream.reconfigure(stream_config, lsn);
                let config = shared.config();
                Topic { record, partitions, shared, config, changed: lsn, stream: Some(stream) }
            }
        };
        let topic = Arc::new(topic);
        self.install(&topic);
        Ok(topic)
    }
}

/// What Kafka's tools show of a stream's limits, as far as Kafka has words for them.
fn kafkas_view(config: &StreamConfig) -> crate::config::Overrides {
    let age = config.max_age.map_or("-1".to_owned(), |age| age.as_millis().to_string());
    let bytes = config.max_bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
    vec![(Arc::from("retention.bytes"), Arc::from(bytes)), (Arc::from("retention.ms"), Arc::from(age))]
}
