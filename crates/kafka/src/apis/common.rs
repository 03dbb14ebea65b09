//! What several APIs say alike: who the one broker is, and how topics are found.

use std::collections::HashSet;
use std::sync::Arc;

use duolog_broker::catalog::ConfigChange;
use duolog_broker::config::ConfigSource;
use duolog_broker::{Partition, Topic};
use duolog_types::{Lsn, TopicId};
use kafka_wire_core::{StrBytes, Uuid};

use crate::door::Door;
use crate::errors::ErrorCode;

/// "Authorized operations" where they weren't asked for.
pub(crate) const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// Every operation there is on a topic, as bits (Kafka's `AclOperation`): read, write, create, delete, alter,
/// describe, describe configs, alter configs. Without access control everybody may do everything.
pub(crate) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// Every operation there is on a cluster: create, alter, describe, cluster action, describe configs, alter
/// configs, idempotent write.
pub(crate) const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// The operations, or that they weren't asked for.
pub(crate) fn operations(asked: bool, all: i32) -> i32 {
    if asked { all } else { OPERATIONS_NOT_ASKED }
}

impl Door {
    /// This broker's node id.
    pub(crate) fn node_id(&self) -> i32 {
        self.broker.config().node_id
    }

    /// Where clients are told to connect to.
    pub(crate) fn host(&self) -> StrBytes {
        StrBytes::from(self.advertised.0.as_str())
    }

    /// The port behind [`host`](Self::host).
    pub(crate) fn port(&self) -> i32 {
        i32::from(self.advertised.1)
    }

    /// The topic with this name.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, ErrorCode> {
        self.broker.catalog().topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// The topic with this id.
    pub(crate) fn topic_by_id(&self, id: Uuid) -> Result<Arc<Topic>, ErrorCode> {
        self.broker.catalog().topic_by_id(TopicId(id.to_bytes())).ok_or(ErrorCode::UnknownTopicId)
    }
}

/// A topic's partition with this index.
pub(crate) fn partition(topic: &Topic, index: i32) -> Result<&Arc<Partition>, ErrorCode> {
    topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// A topic's id as the wire has it.
pub(crate) fn wire_id(id: TopicId) -> Uuid {
    Uuid::from_bytes(id.0)
}

/// A text as the wire has it.
pub(crate) fn text(text: impl std::fmt::Display) -> Option<StrBytes> {
    Some(StrBytes::from(text.to_string()))
}

/// Resource type of topics in the APIs about configs.
pub(crate) const RESOURCE_TOPIC: i8 = 2;
/// Resource type of brokers.
pub(crate) const RESOURCE_BROKER: i8 = 4;

/// Kafka's `ConfigSource`.
pub(crate) fn config_source(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::Topic => 1,
        ConfigSource::StaticBroker => 4,
        ConfigSource::Default => 5,
    }
}

/// A resource whose configs shall change.
pub(crate) struct Resource {
    /// Its type.
    pub(crate) kind: i8,
    /// Its name.
    pub(crate) name: StrBytes,
    /// How, or why the request makes no sense.
    pub(crate) change: Result<ConfigChange, (ErrorCode, String)>,
}

/// What became of it.
pub(crate) struct Altered {
    pub(crate) kind: i8,
    pub(crate) name: StrBytes,
    pub(crate) error: ErrorCode,
    pub(crate) why: Option<String>,
}

/// Changes configs, each resource on its own, and says what the answer waits for.
pub(crate) fn alter_resources(
    door: &Door,
    resources: Vec<Resource>,
    validate_only: bool,
) -> (Vec<Altered>, Lsn) {
    let mut seen = HashSet::new();
    let twice: HashSet<(i8, StrBytes)> = resources
        .iter()
        .map(|resource| (resource.kind, resource.name.clone()))
        .filter(|key| !seen.insert(key.clone()))
        .collect();
    let catalog = door.broker.catalog();
    let mut after = catalog.changed();
    let altered = resources.into_iter().map(|resource| {
        let result = if twice.contains(&(resource.kind, resource.name.clone())) {
            Err((ErrorCode::InvalidRequest, "the resource stands twice in the request".to_owned()))
        } else {
            resource.change.and_then(|change| match resource.kind {
                RESOURCE_TOPIC => catalog
                    .alter_config(&resource.name, &change, validate_only)
                    .map_err(|error| (ErrorCode::from(&error), error.to_string())),
                RESOURCE_BROKER => Err((
                    ErrorCode::InvalidRequest,
                    "a broker's configs are set in its configuration file, environment or flags".to_owned(),
                )),
                other => Err((
                    ErrorCode::InvalidRequest,
                    format!("configs of resource type {other} are not kept here"),
                )),
            })
        };
        let (error, why) = match result {
            Ok(lsn) => {
                after = after.max(lsn);
                (ErrorCode::None, None)
            }
            Err((error, why)) => (error, Some(why)),
        };
        Altered { kind: resource.kind, name: resource.name, error, why }
    });
    (altered.collect(), after)
}
