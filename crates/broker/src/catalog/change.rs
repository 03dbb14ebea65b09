//! What may be asked of the catalog, and why it may be refused. Each refusal names the Kafka error it means.

use std::collections::BTreeMap;
use std::sync::Arc;

use duolog_log::AppendError;
use duolog_types::Lsn;

use super::Topic;
use super::names::NameProblem;
use crate::config::ConfigError;

/// A topic to be made.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the broker's default (Kafka: -1). Counted from `assignments` if those
    /// are given.
    pub partitions: Option<i32>,
    /// The replication factor asked for; `None` for the default (Kafka: -1). Any factor from 1 is taken and
    /// remembered, and the effective one is 1 (design §4).
    pub replication_factor: Option<i16>,
    /// The brokers of each partition, if the client places them itself: partition → broker ids.
    pub assignments: BTreeMap<i32, Vec<i32>>,
    /// Configs that differ from the defaults; a `None` value means "the default".
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was made, or (`validate_only`) would have been.
#[derive(Clone, Debug)]
pub struct Created {
    /// The topic; `None` if only validated.
    pub topic: Option<Arc<Topic>>,
    /// How many partitions it has.
    pub partitions: u32,
    /// The replication factor that was asked for. The effective one is 1.
    pub replication_factor: i16,
    /// Its configs, for the answer.
    pub config: Arc<crate::config::TopicConfig>,
    /// The reply waits for this.
    pub lsn: Lsn,
}

/// Why a topic was not made. It is certainly absent, except after [`AppendError::Poisoned`].
#[derive(Debug, thiserror::Error)]
pub enum CreateTopicError {
    /// `INVALID_TOPIC_EXCEPTION`.
    #[error(transparent)]
    InvalidName(#[from] NameProblem),
    /// `INVALID_TOPIC_EXCEPTION`: the names differ only in `.` and `_`, which metrics and NATS can't tell apart.
    #[error("topic {name} collides with existing topic {existing}: '.' and '_' count as the same")]
    Collides {
        /// The name asked for.
        name: String,
        /// The topic that is there.
        existing: Arc<str>,
    },
    /// `INVALID_TOPIC_EXCEPTION`: as a root of subjects it would overlap with a stream; `nats.bind=false` makes it all
    /// the same.
    #[error(
        "topic {name} would take the subjects {name} and {name}.>, and stream {stream} takes {subject}; \
         set nats.bind=false to make it without subjects"
    )]
    SubjectsOverlap {
        /// The name asked for.
        name: String,
        /// The stream that is there.
        stream: Arc<str>,
        /// Its subject.
        subject: String,
    },
    /// `INVALID_TOPIC_EXCEPTION`: no subject can begin with the name, or those that do are NATS's own;
    /// `nats.bind=false` makes it all the same.
    #[error(
        "topic {name} would take the subjects {name} and {name}.>, which are reserved for NATS itself or have an empty \
         token; set nats.bind=false to make it without subjects"
    )]
    NoSubjects {
        /// The name asked for.
        name: String,
    },
    /// `TOPIC_ALREADY_EXISTS`.
    #[error("topic {name} already exists")]
    Exists {
        /// The name asked for.
        name: String,
    },
    /// `INVALID_PARTITIONS`.
    #[error("number of partitions {requested} is not between 1 and {limit}")]
    InvalidPartitions {
        /// How many were asked for.
        requested: i64,
        /// The most that are possible now.
        limit: u32,
    },
    /// `INVALID_REPLICATION_FACTOR`.
    #[error("replication factor {requested} is less than 1")]
    InvalidReplicationFactor {
        /// The factor asked for.
        requested: i16,
    },
    /// `INVALID_REPLICA_ASSIGNMENT`.
    #[error("replica assignment of partition {partition}: {problem}")]
    InvalidAssignment {
        /// The partition.
        partition: i32,
        /// What is wrong.
        problem: &'static str,
    },
    /// `INVALID_REQUEST`.
    #[error("a manual assignment goes with neither a number of partitions nor a replication factor")]
    AssignmentAndCount,
    /// `INVALID_CONFIG`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`AppendError`]: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why a topic was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteTopicError {
    /// `UNKNOWN_TOPIC_OR_PARTITION` (by name) or `UNKNOWN_TOPIC_ID` (by id).
    #[error("there is no such topic")]
    Unknown,
    /// See [`AppendError`]: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Partitions to be added.
#[derive(Clone, Debug, Default)]
pub struct NewPartitions {
    /// The topic's name.
    pub topic: String,
    /// How many partitions the topic shall have, in all.
    pub total: i32,
    /// The brokers of each new partition, if the client places them itself.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Why no partitions were added.
#[derive(Debug, thiserror::Error)]
pub enum CreatePartitionsError {
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("there is no topic {name}")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// `INVALID_PARTITIONS`.
    #[error(
        "topic has {current} partitions, and {requested} were asked for: it must be more, and at most {limit}"
    )]
    InvalidPartitions {
        /// How many there are.
        current: u32,
        /// How many there should be.
        requested: i32,
        /// The most that are possible now.
        limit: u32,
    },
    /// `INVALID_PARTITIONS`: a stream is one ordered sequence.
    #[error("{name} is a stream that was made through NATS: it has one partition for ever")]
    OneStream {
        /// The name asked for.
        name: String,
    },
    /// `INVALID_REPLICA_ASSIGNMENT`.
    #[error("replica assignment of partition {partition}: {problem}")]
    InvalidAssignment {
        /// The partition.
        partition: i32,
        /// What is wrong.
        problem: &'static str,
    },
    /// See [`AppendError`]: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// A change of a topic's configs.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// Some keys change (Kafka: IncrementalAlterConfigs).
    Incremental(Vec<(String, AlterOp)>),
    /// These and no others are set from now on (Kafka: AlterConfigs). A `None` value means "the default".
    Replace(Vec<(String, Option<String>)>),
}

/// What happens to one config key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterOp {
    /// Gets a value. `None` is refused, as Kafka does.
    Set(Option<String>),
    /// Goes back to the default.
    Delete,
    /// List configs: these items are added to what is effective now.
    Append(Option<String>),
    /// List configs: these items are taken away from what is effective now.
    Subtract(Option<String>),
}

/// Why a config was not changed. Nothing of the request took effect.
#[derive(Debug, thiserror::Error)]
pub enum AlterConfigError {
    /// `INVALID_CONFIG`: `nats.bind=true`, and a stream takes the topic's subjects.
    #[error("the topic can't be bound to its subjects: stream {stream} takes {subject}")]
    SubjectsOverlap {
        /// The stream that is there.
        stream: Arc<str>,
        /// Its subject.
        subject: String,
    },
    /// `INVALID_CONFIG`: `nats.bind=true`, and no subject can begin with the topic's name.
    #[error(
        "the topic can't be bound to its subjects: they are reserved for NATS itself or have an empty token"
    )]
    NoSubjects,
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("there is no topic {name}")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// `INVALID_REQUEST`: the key stands twice in the request.
    #[error("config {key} stands twice in the request")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// `INVALID_REQUEST`: a value is missing.
    #[error("config {key} was given no value")]
    NullValue {
        /// The key.
        key: String,
    },
    /// `INVALID_CONFIG`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`AppendError`]: `KAFKA_STORAGE_ERROR`.
    #[error(transparent)]
    Log(#[from] AppendError),
}
