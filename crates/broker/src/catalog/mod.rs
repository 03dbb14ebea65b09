//! Which topics there are, with their partitions and configs.
//!
//! A topic is an immutable snapshot behind an `Arc`; a change puts a new one into the index. Readers take a lock
//! for one look-up only. Every change is one WAL entry (a catalog frame, and frames that make or drop its
//! partitions), so it is there whole or not at all.
//!
//! **Not durable is visible here**: a topic is found as soon as its change is queued, since a change must see the
//! one before. So a reply that shows topics, or that one is missing, waits for [`Catalog::changed`] (or, about
//! one topic, [`Topic::changed`]).

mod change;
mod names;
mod plan;
mod streams;
pub(crate) mod table;
mod topic;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use duolog_env::Env;
use duolog_log::{Entry, Log};
use duolog_types::{Lsn, PartitionId, TopicId};
use parking_lot::RwLock;

pub use change::{
    AlterConfigError, AlterOp, ConfigChange, CreatePartitionsError, CreateTopicError, Created,
    DeleteTopicError, NewPartitions, NewTopic,
};
pub use names::{NAME_MAX, NameProblem, check_name};
pub use streams::TopicWatcher;
pub use topic::Topic;
pub(crate) use topic::TopicRecord;

use crate::config::{ConfigEntry, TopicConfig, TopicDefaults, describe_broker, describe_topic, plan_change};
use crate::partition::{Partition, PartitionContext, TopicShared};
use crate::streams::matcher::{Matcher, can_be_root};
use crate::streams::{Origin, Stream};
use crate::{BrokerConfig, Groups, OpenError};
use names::collision_key;
use table::{CLUSTER_SHARD, CatalogTable, cluster_frame, deleted_frame, shard_of, topic_frame};

/// The catalog.
pub struct Catalog {
    env: Env,
    log: Log,
    settings: BrokerConfig,
    defaults: TopicDefaults,
    table: Arc<CatalogTable>,
    context: Arc<PartitionContext>,
    groups: Groups,
    index: RwLock<Index>,
    /// Which subjects are whose.
    subjects: RwLock<Matcher<Arc<Stream>, TopicId>>,
    watcher: RwLock<Option<Arc<dyn TopicWatcher>>>,
    cluster_id: String,
}

/// What readers look things up in.
#[derive(Debug, Default)]
struct Index {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
    /// Names in the form in which those that collide are equal.
    collisions: HashMap<String, Arc<str>>,
    partition_count: usize,
    changed: Lsn,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Catalog({} topics)", self.topic_count())
    }
}

impl Index {
    fn put(&mut self, topic: Arc<Topic>) {
        let name = topic.name().clone();
        self.changed = self.changed.max(topic.changed());
        self.partition_count += topic.partitions().len();
        self.collisions.insert(collision_key(&name), name.clone());
        self.by_id.insert(topic.id(), topic.clone());
        if let Some(before) = self.by_name.insert(name, topic) {
            self.partition_count -= before.partitions().len();
        }
    }

    fn remove(&mut self, topic: &Topic, lsn: Lsn) {
        self.changed = self.changed.max(lsn);
        self.partition_count -= topic.partitions().len();
        self.by_name.remove(topic.name());
        self.by_id.remove(&topic.id());
        self.collisions.remove(&collision_key(topic.name()));
    }
}

impl Catalog {
    /// Builds the handles of what recovery put into `table`, and gives a new data directory its cluster id.
    pub(crate) fn open(
        env: Env,
        log: Log,
        settings: BrokerConfig,
        table: Arc<CatalogTable>,
        context: Arc<PartitionContext>,
        groups: Groups,
    ) -> Result<Self, OpenError> {
        let defaults = TopicDefaults::new(&settings.topic_defaults)?;
        TopicConfig::new(Vec::new(), &defaults)?
            .check_message_bytes(settings.message_bytes_max, &defaults)?;
        let mut index = Index::default();
        let mut subjects = Matcher::default();
        let mut state = table.lock();
        for record in state.topics() {
            let topic = Arc::new(recovered(record, &log, &defaults, &context)?);
            streams::bind(&mut subjects, &topic);
            index.put(topic);
        }
        let cluster_id = match state.cluster_id {
            Some(id) => id,
            None => {
                let id = random_id(&env).0;
                let entry = Entry::new().state(table::CATALOG_TABLE, CLUSTER_SHARD, cluster_frame(id));
                let lsn = log.submit(entry)?;
                state.set_cluster_id(id, lsn);
                index.changed = lsn;
                id
            }
        };
        drop(state);
        let index = RwLock::new(index);
        let subjects = RwLock::new(subjects);
        let (cluster_id, watcher) = (base64url(cluster_id), RwLock::default());
        Ok(Self {
            env,
            log,
            settings,
            defaults,
            table,
            context,
            groups,
            index,
            subjects,
            watcher,
            cluster_id,
        })
    }

    /// The topic of a name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.index.read().by_name.get(name).cloned()
    }

    /// The topic of an id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.index.read().by_id.get(&id).cloned()
    }

    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.index.read().by_name.values().cloned().collect()
    }

    /// Up to `limit` topics whose names are `name` or behind it, by name.
    #[must_use]
    pub fn topics_from(&self, name: &str, limit: usize) -> Vec<Arc<Topic>> {
        let index = self.index.read();
        let range = index.by_name.range::<str, _>((Bound::Included(name), Bound::Unbounded));
        range.take(limit).map(|(_, topic)| topic.clone()).collect()
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.index.read().by_name.len()
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.index.read().partition_count
    }

    /// The newest change of any topic: a reply that shows which topics there are (or aren't) waits for it.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        self.index.read().changed
    }

    /// The cluster's id: 22 characters, the same for the life of a data directory. A reply that shows it waits
    /// for [`Catalog::changed`].
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// What is checked and decided for a new topic, without making it: also the answer to `validate_only`.
    ///
    /// # Errors
    /// See [`CreateTopicError`].
    pub fn validate(&self, new: &NewTopic) -> Result<Created, CreateTopicError> {
        self.plan_topic(new).map(|plan| Created {
            topic: None,
            partitions: plan.partitions,
            replication_factor: plan.replication_factor,
            config: Arc::new(plan.config),
            lsn: self.changed(),
        })
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// See [`CreateTopicError`]. The reply to `Exists` and `Collides` waits for [`Catalog::changed`].
    pub fn create(&self, new: &NewTopic) -> Result<Created, CreateTopicError> {
        // Held to the end, so that two requests can't both find the name free.
        let mut state = self.table.lock();
        let plan = self.plan_topic(new)?;
        let first = self.log.allocate_partitions(plan.partitions).0;
        let record = Arc::new(TopicRecord {
            id: random_id(&self.env),
            name: Arc::from(new.name.as_str()),
            partitions: (first..first + u64::from(plan.partitions)).map(PartitionId).collect(),
            replication_factor: plan.replication_factor,
            created: self.env.clock.wall(),
            overrides: plan.config.overrides().clone(),
            stream: None,
        });
        let mut entry = Entry::new().state(table::CATALOG_TABLE, shard_of(record.id), topic_frame(&record));
        for partition in &record.partitions {
            entry = entry.create_partition(*partition);
        }
        let lsn = self.log.submit(entry)?;
        state.put(record.clone(), lsn);

        let shared = TopicShared::new(record.name.clone(), record.id, plan.config);
        let partitions = self.handles(&record.partitions, 0, &shared);
        let config = shared.config();
        let topic = Arc::new(Topic {
            record,
            partitions,
            shared,
            config: config.clone(),
            changed: lsn,
            stream: None,
        });
        self.install(&topic);
        Ok(Created {
            topic: Some(topic),
            partitions: plan.partitions,
            replication_factor: plan.replication_factor,
            config,
            lsn,
        })
    }

    /// The topic of a name, made with the defaults if it isn't there. (Whether clients may do this is
    /// [`BrokerConfig::auto_create_topics`]; the caller asks.) The reply waits for [`Topic::changed`].
    ///
    /// # Errors
    /// See [`CreateTopicError`].
    pub fn get_or_create(&self, name: &str) -> Result<Arc<Topic>, CreateTopicError> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        // A typo of a Kafka client must not take subjects away from core NATS.
        let configs = vec![("nats.bind".to_owned(), Some("false".to_owned()))];
        match self.create(&NewTopic { name: name.to_owned(), configs, ..NewTopic::default() }) {
            Ok(Created { topic: Some(topic), .. }) => Ok(topic),
            // Somebody else was faster.
            Ok(Created { topic: None, .. }) | Err(CreateTopicError::Exists { .. }) => {
                self.topic(name).ok_or_else(|| CreateTopicError::Exists { name: name.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes a topic and its data. Readers and producers that hold it find it gone.
    ///
    /// # Errors
    /// See [`DeleteTopicError`]. The reply to `Unknown` waits for [`Catalog::changed`].
    pub fn delete(&self, id: TopicId) -> Result<Lsn, DeleteTopicError> {
        let mut state = self.table.lock();
        let topic = self.topic_by_id(id).ok_or(DeleteTopicError::Unknown)?;
        let mut entry = Entry::new().state(table::CATALOG_TABLE, shard_of(id), deleted_frame(id));
        for partition in topic.partitions() {
            entry = entry.drop_partition(partition.id());
        }
        let lsn = self.log.submit(entry)?;
        state.remove(id, lsn);
        self.uninstall(&topic, lsn);
        for partition in topic.partitions() {
            self.context.producers.forget(partition.id());
            self.context.streams.forget(partition.id());
        }
        drop(state);
        // An entry of their own: should a crash come between, the next start does it.
        self.groups.topic_deleted(topic.name(), id);
        Ok(lsn)
    }

    /// Gives a topic more partitions, or says whether it could (`validate_only`).
    ///
    /// # Errors
    /// See [`CreatePartitionsError`].
    pub fn create_partitions(
        &self,
        new: &NewPartitions,
        validate_only: bool,
    ) -> Result<Lsn, CreatePartitionsError> {
        let mut state = self.table.lock();
        let topic = self
            .topic(&new.topic)
            .ok_or_else(|| CreatePartitionsError::Unknown { name: new.topic.clone() })?;
        if topic.stream.is_some() {
            return Err(CreatePartitionsError::OneStream { name: new.topic.clone() });
        }
        let added = self.plan_partitions(&topic, new)?;
        if validate_only {
            return Ok(topic.changed());
        }
        let first = self.log.allocate_partitions(added).0;
        let ids: Vec<_> = (first..first + u64::from(added)).map(PartitionId).collect();
        let mut record = TopicRecord::clone(&topic.record);
        record.partitions.extend_from_slice(&ids);
        let mut entry = Entry::new().state(table::CATALOG_TABLE, shard_of(record.id), topic_frame(&record));
        for partition in &ids {
            entry = entry.create_partition(*partition);
        }
        let lsn = self.log.submit(entry)?;
        let record = Arc::new(record);
        state.put(record.clone(), lsn);

        let mut partitions = topic.partitions.clone();
        partitions.extend(self.handles(&ids, partitions.len(), &topic.shared));
        let topic = Topic {
            record,
            partitions,
            shared: topic.shared.clone(),
            config: topic.config.clone(),
            changed: lsn,
            stream: None,
        };
        self.install(&Arc::new(topic));
        Ok(lsn)
    }

    /// Changes a topic's configs, or says whether it could (`validate_only`).
    ///
    /// # Errors
    /// See [`AlterConfigError`].
    pub fn alter_config(
        &self,
        name: &str,
        change: &ConfigChange,
        validate_only: bool,
    ) -> Result<Lsn, AlterConfigError> {
        let mut state = self.table.lock();
        let topic = self.topic(name).ok_or_else(|| AlterConfigError::Unknown { name: name.to_owned() })?;
        let config = plan_change(&topic.config, &self.defaults, change)?;
        // One that was set when the limit was higher doesn't stand in the way of other changes.
        if config.max_message_bytes != topic.config.max_message_bytes {
            config.check_message_bytes(self.settings.message_bytes_max, &self.defaults)?;
        }
        if config.nats_bind && !topic.config.nats_bind && topic.stream.is_none() {
            if !can_be_root(name) {
                return Err(AlterConfigError::NoSubjects);
            }
            let overlap = self.subjects.read().overlap_of_root(name);
            if let Some((stream, subject)) = overlap {
                return Err(AlterConfigError::SubjectsOverlap { stream, subject });
            }
        }
        if validate_only || config == *topic.config {
            return Ok(topic.changed());
        }
        let mut record = TopicRecord::clone(&topic.record);
        record.overrides = config.overrides().clone();
        let entry = Entry::new().state(table::CATALOG_TABLE, shard_of(record.id), topic_frame(&record));
        let lsn = self.log.submit(entry)?;
        let record = Arc::new(record);
        state.put(record.clone(), lsn);

        topic.shared.set_config(config);
        topic.partitions.iter().for_each(|partition| partition.apply_config());
        let topic = Topic {
            record,
            partitions: topic.partitions.clone(),
            shared: topic.shared.clone(),
            config: topic.shared.config(),
            changed: lsn,
            stream: topic.stream.clone(),
        };
        self.install(&Arc::new(topic));
        Ok(lsn)
    }

    /// A topic's configs for DescribeConfigs: those named, or all.
    #[must_use]
    pub fn describe_topic(&self, topic: &Topic, keys: Option<&[String]>) -> Vec<ConfigEntry> {
        describe_topic(topic.config(), &self.defaults, keys)
    }

    /// The configs of a topic that was planned or made, for CreateTopics' answer.
    #[must_use]
    pub fn describe_config(&self, config: &TopicConfig, keys: Option<&[String]>) -> Vec<ConfigEntry> {
        describe_topic(config, &self.defaults, keys)
    }

    /// The broker's configs for DescribeConfigs: those named, or all.
    #[must_use]
    pub fn describe_broker(&self, keys: Option<&[String]>) -> Vec<ConfigEntry> {
        describe_broker(&self.settings, &self.defaults, keys)
    }

    /// Handles of partitions whose creation was just queued.
    fn handles(
        &self,
        ids: &[PartitionId],
        first_index: usize,
        shared: &Arc<TopicShared>,
    ) -> Vec<Arc<Partition>> {
        let handle = |(place, id): (usize, &PartitionId)| {
            let log = self.log.partition(*id).expect("a submitted entry's partitions can be had at once");
            Arc::new(Partition::new(log, first_index + place, shared.clone(), self.context.clone()))
        };
        ids.iter().enumerate().map(handle).collect()
    }
}

/// A topic as recovery left it. Its configs were checked when they were set; should this binary refuse one of
/// them, the topic is served with the defaults of those, loudly.
fn recovered(
    record: &Arc<TopicRecord>,
    log: &Log,
    defaults: &TopicDefaults,
    context: &Arc<PartitionContext>,
) -> Result<Topic, OpenError> {
    let mut overrides = record.overrides.clone();
    let config = loop {
        match TopicConfig::new(overrides.clone(), defaults) {
            Ok(config) => break config,
            Err(error) => {
                tracing::error!(topic = %record.name, %error, "a stored topic config is not valid any more");
                let valid = |(key, value): &(Arc<str>, Arc<str>)| {
                    TopicConfig::new(vec![(key.clone(), value.clone())], defaults).is_ok()
                };
                let before = overrides.len();
                overrides.retain(valid);
                if overrides.len() == before {
                    // Valid one by one, and not together.
                    overrides.clear();
                }
            }
        }
    };
    let shared = TopicShared::new(record.name.clone(), record.id, config);
    let mut partitions = Vec::with_capacity(record.partitions.len());
    for (index, id) in record.partitions.iter().enumerate() {
        let Some(log) = log.partition(*id) else {
            return Err(OpenError::MissingPartition {
                topic: record.name.to_string(),
                index,
                partition: *id,
            });
        };
        partitions.push(Arc::new(Partition::new(log, index, shared.clone(), context.clone())));
    }
    let stream = record
        .stream
        .as_ref()
        .map(|config| Stream::open(record, config, &partitions[0], Origin::Nats, context));
    Ok(Topic {
        record: record.clone(),
        partitions,
        config: shared.config(),
        shared,
        changed: Lsn::ZERO,
        stream,
    })
}

/// A random version 4 UUID that, in Kafka's base64 form, doesn't begin with a dash (tools would take it for a
/// flag), as Kafka's own ids.
fn random_id(env: &Env) -> TopicId {
    loop {
        let mut bytes = [0; 16];
        env.rng.fill(&mut bytes);
        if bytes[0] >> 2 != 62 {
            return TopicId::from_random(bytes);
        }
    }
}

/// Kafka's text form of a UUID: 22 characters of URL-safe base64, without padding.
fn base64url(id: [u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = u128::from_be_bytes(id);
    // 21 groups of 6 bits, and the last 2 bits.
    let groups = (0..21).map(|group| (number >> (122 - 6 * group)) as usize & 63);
    groups.chain([(number as usize & 3) << 4]).map(|index| char::from(ALPHABET[index])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_as_kafkas() {
        assert_eq!(base64url([0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64url([0xff; 16]), "_____________________w");
        // Uuid(0, 1).toString() of the Java client.
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(base64url(one), "AAAAAAAAAAAAAAAAAAAAAQ");
    }
}
