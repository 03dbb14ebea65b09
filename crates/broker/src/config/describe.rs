//! What DescribeConfigs shows of a topic.

use super::table::{ConfigDef, TOPIC_CONFIGS};
use super::{ConfigType, TopicConfig, TopicDefaults};

/// Who set a value (Kafka: `ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The topic (`DYNAMIC_TOPIC_CONFIG`).
    Topic,
    /// The broker's configuration file, environment or flags (`STATIC_BROKER_CONFIG`).
    StaticBroker,
    /// Nobody (`DEFAULT_CONFIG`).
    Default,
}

/// A value that would be effective if those before it weren't there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The config's name at that place.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Who set it.
    pub source: ConfigSource,
}

/// One config as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: &'static str,
    /// Its effective value.
    pub value: String,
    /// What its values are.
    pub kind: ConfigType,
    /// Who set it.
    pub source: ConfigSource,
    /// Whether it can't be altered.
    pub read_only: bool,
    /// Whether its value must not be shown. None is, so far.
    pub sensitive: bool,
    /// Where the value comes from: the effective one first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it means, and what becomes of it here.
    pub documentation: String,
}

/// The configs of a topic: those named, or all. Unknown names are left out, as Kafka does.
#[must_use]
pub fn describe_topic(
    config: &TopicConfig,
    defaults: &TopicDefaults,
    keys: Option<&[String]>,
) -> Vec<ConfigEntry> {
    TOPIC_CONFIGS
        .iter()
        .filter(|def| keys.is_none_or(|keys| keys.iter().any(|key| key == def.name)))
        .map(|def| entry(def, config, defaults))
        .collect()
}

fn entry(def: &ConfigDef, config: &TopicConfig, defaults: &TopicDefaults) -> ConfigEntry {
    let (value, source) = config.get(def.name, defaults);
    let mut synonyms = Vec::new();
    if source == ConfigSource::Topic {
        synonyms.push(ConfigSynonym { name: def.name, value: value.to_owned(), source });
    }
    synonyms.extend(broker_synonyms(def, defaults));
    ConfigEntry {
        name: def.name,
        value: value.to_owned(),
        kind: def.kind,
        source,
        read_only: false,
        sensitive: false,
        synonyms,
        documentation: def.documentation(),
    }
}

/// What gives a topic config its default: the operator's choice, then Kafka's.
pub(super) fn broker_synonyms(def: &ConfigDef, defaults: &TopicDefaults) -> Vec<ConfigSynonym> {
    let Some(name) = def.broker_name else { return Vec::new() };
    let chosen = defaults.get(def.name).map(|value| ConfigSynonym {
        name,
        value: value.to_owned(),
        source: ConfigSource::StaticBroker,
    });
    let default = ConfigSynonym { name, value: def.default.to_owned(), source: ConfigSource::Default };
    chosen.into_iter().chain([default]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn describe_shows_all_with_their_chain_of_synonyms() {
        let defaults =
            TopicDefaults::new(&BTreeMap::from([("retention.ms".to_owned(), "77".to_owned())])).unwrap();
        let set = vec![(Arc::from("retention.ms"), Arc::from("5"))];
        let config = TopicConfig::new(set, &defaults).unwrap();
        let all = describe_topic(&config, &defaults, None);
        assert_eq!(all.len(), TOPIC_CONFIGS.len());

        let one = describe_topic(&config, &defaults, Some(&["retention.ms".to_owned(), "nope".to_owned()]));
        assert_eq!(one.len(), 1);
        assert_eq!((one[0].value.as_str(), one[0].source), ("5", ConfigSource::Topic));
        let chain: Vec<_> = one[0].synonyms.iter().map(|s| (s.name, s.value.as_str(), s.source)).collect();
        assert_eq!(
            chain,
            [
                ("retention.ms", "5", ConfigSource::Topic),
                ("log.retention.ms", "77", ConfigSource::StaticBroker),
                ("log.retention.ms", "604800000", ConfigSource::Default),
            ]
        );
        let unset = describe_topic(&config, &defaults, Some(&["segment.ms".to_owned()]));
        assert_eq!(unset[0].source, ConfigSource::Default);
        assert_eq!(unset[0].synonyms.len(), 1);
    }
}
