//! What an operator chooses for the broker. The server's configuration maps onto this one to one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::GroupsConfig;

/// Settings of a broker (not of its log: `duolog_log::LogConfig`).
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// This broker's number in answers (Kafka: `node.id`).
    pub node_id: i32,
    /// Partitions of a topic that is made without saying how many (Kafka: `num.partitions`).
    pub default_partitions: u32,
    /// Replication factor of a topic that is made without saying which (Kafka: `default.replication.factor`).
    pub default_replication_factor: i16,
    /// Whether a client that asks for an unknown topic makes it (Kafka: `auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// The most partitions one topic may have.
    pub max_partitions_per_topic: u32,
    /// The most partitions all topics together may have.
    pub max_partitions: u32,
    /// Defaults for topic configs, by the topic config's name (`retention.ms`, not `log.retention.ms`).
    pub topic_defaults: BTreeMap<String, String>,
    /// The most that `max.message.bytes` of a topic may say: a larger batch would fit neither into a client's request
    /// nor into one entry of the log.
    pub message_bytes_max: usize,
    /// How often retention is applied (Kafka: `log.retention.check.interval.ms`).
    pub retention_check_interval: Duration,
    /// How long a producer is remembered after its last batch (Kafka: `producer.id.expiration.ms`).
    pub producer_id_expiration: Duration,
    /// Consumer groups: timeouts, sizes, how long offsets are kept.
    pub groups: GroupsConfig,
    /// Memory for what members of groups say about themselves, over all groups; joining is refused beyond it.
    pub group_members_bytes_max: usize,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            node_id: 1,
            default_partitions: 1,
            default_replication_factor: 1,
            auto_create_topics: true,
            max_partitions_per_topic: 10_000,
            max_partitions: 200_000,
            topic_defaults: BTreeMap::new(),
            // What requests of the default size have room for.
            message_bytes_max: 16 << 20,
            retention_check_interval: Duration::from_secs(300),
            producer_id_expiration: Duration::from_secs(24 * 3600),
            groups: GroupsConfig::default(),
            group_members_bytes_max: 256 << 20,
        }
    }
}
