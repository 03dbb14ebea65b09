//! What DescribeConfigs shows of the broker: read-only here, since the server's configuration is its source.

use super::describe::broker_synonyms;
use super::table::TOPIC_CONFIGS;
use super::{ConfigEntry, ConfigSource, ConfigSynonym, ConfigType, TopicDefaults};
use crate::BrokerConfig;

struct Shown {
    name: &'static str,
    kind: ConfigType,
    value: String,
    default: String,
    doc: &'static str,
}

fn shown(config: &BrokerConfig) -> Vec<Shown> {
    use ConfigType::{Boolean, Int, Long};
    let default = BrokerConfig::default();
    let row = |name, kind, get: fn(&BrokerConfig) -> String, doc| Shown {
        name,
        kind,
        value: get(config),
        default: get(&default),
        doc,
    };
    vec![
        row(
            "auto.create.topics.enable",
            Boolean,
            |c| c.auto_create_topics.to_string(),
            "Whether a client that asks for an unknown topic makes it.",
        ),
        row("broker.id", Int, |c| c.node_id.to_string(), "This broker's number."),
        row(
            "default.replication.factor",
            Int,
            |c| c.default_replication_factor.to_string(),
            "The replication factor of topics that are made without one. The effective one is always 1.",
        ),
        row("delete.topic.enable", Boolean, |_| "true".to_owned(), "Whether topics can be deleted."),
        row(
            "log.retention.check.interval.ms",
            Long,
            |c| c.retention_check_interval.as_millis().to_string(),
            "How often retention is applied.",
        ),
        row(
            "group.initial.rebalance.delay.ms",
            Int,
            |c| c.groups.initial_rebalance_delay.as_millis().to_string(),
            "How long the first rebalance of an empty group waits for more members.",
        ),
        row(
            "group.max.session.timeout.ms",
            Int,
            |c| c.groups.session_timeout_max.as_millis().to_string(),
            "The longest session timeout that a group's member may ask for.",
        ),
        row("group.max.size", Int, |c| c.groups.group_size_max.to_string(), "The most members of a group."),
        row(
            "group.min.session.timeout.ms",
            Int,
            |c| c.groups.session_timeout_min.as_millis().to_string(),
            "The shortest session timeout that a group's member may ask for.",
        ),
        row("node.id", Int, |c| c.node_id.to_string(), "This broker's number."),
        row(
            "num.partitions",
            Int,
            |c| c.default_partitions.to_string(),
            "How many partitions a topic gets that is made without saying how many.",
        ),
        row(
            "offsets.retention.check.interval.ms",
            Long,
            |c| c.groups.offsets_check_interval.as_millis().to_string(),
            "How often expired offsets are looked for.",
        ),
        row(
            "offsets.retention.minutes",
            Int,
            |c| (c.groups.offsets_retention.as_secs() / 60).to_string(),
            "How long the commits of a group are kept after its last member left.",
        ),
        row(
            "producer.id.expiration.ms",
            Int,
            |c| c.producer_id_expiration.as_millis().to_string(),
            "How long an idempotent producer is remembered after its last batch.",
        ),
    ]
}

/// The configs of the broker: those named, or all. Sorted by name.
#[must_use]
pub fn describe_broker(
    config: &BrokerConfig,
    defaults: &TopicDefaults,
    keys: Option<&[String]>,
) -> Vec<ConfigEntry> {
    let mut entries: Vec<ConfigEntry> = shown(config)
        .into_iter()
        .map(|shown| {
            let chosen = (shown.value != shown.default).then(|| ConfigSynonym {
                name: shown.name,
                value: shown.value.clone(),
                source: ConfigSource::StaticBroker,
            });
            let default =
                ConfigSynonym { name: shown.name, value: shown.default, source: ConfigSource::Default };
            let synonyms: Vec<_> = chosen.into_iter().chain([default]).collect();
            entry(shown.name, shown.kind, synonyms, shown.doc.to_owned())
        })
        .collect();
    for def in TOPIC_CONFIGS {
        if let Some(name) = def.broker_name {
            entries.push(entry(name, def.kind, broker_synonyms(def, defaults), def.documentation()));
        }
    }
    entries.retain(|entry| keys.is_none_or(|keys| keys.iter().any(|key| key == entry.name)));
    entries.sort_by_key(|entry| entry.name);
    entries
}

/// `synonyms` has at least the default; its first is effective.
fn entry(
    name: &'static str,
    kind: ConfigType,
    synonyms: Vec<ConfigSynonym>,
    documentation: String,
) -> ConfigEntry {
    let (value, source) = match synonyms.first() {
        Some(first) => (first.value.clone(), first.source),
        None => (String::new(), ConfigSource::Default),
    };
    ConfigEntry { name, value, kind, source, read_only: true, sensitive: false, synonyms, documentation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_configs_are_sorted_read_only_and_name_their_source() {
        let config = BrokerConfig { default_partitions: 4, ..BrokerConfig::default() };
        let all = describe_broker(&config, &TopicDefaults::default(), None);
        assert!(all.is_sorted_by(|a, b| a.name < b.name), "sorted, each once");
        assert!(all.iter().all(|entry| entry.read_only));
        let partitions = all.iter().find(|entry| entry.name == "num.partitions").unwrap();
        assert_eq!((partitions.value.as_str(), partitions.source), ("4", ConfigSource::StaticBroker));
        assert_eq!(partitions.synonyms.len(), 2);
        let one =
            describe_broker(&config, &TopicDefaults::default(), Some(&["message.max.bytes".to_owned()]));
        assert_eq!((one.len(), one[0].value.as_str()), (1, "1048588"));
    }
}
