//! The configs of one topic, read once and then used as numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use duolog_record::{Compression, TimestampType};

use super::table::{TOPIC_CONFIGS, items, topic_config_def};
use super::{ConfigError, ConfigSource};

/// What differs from the defaults: key and value, sorted by key.
pub type Overrides = Vec<(Arc<str>, Arc<str>)>;

/// Defaults for topics as the broker's operator chose them, checked.
#[derive(Clone, Debug, Default)]
pub struct TopicDefaults {
    values: BTreeMap<&'static str, String>,
}

impl TopicDefaults {
    /// Checks the operator's defaults.
    ///
    /// # Errors
    /// An unknown name or a bad value.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut checked = BTreeMap::new();
        for (key, value) in values {
            let def = topic_config_def(key).ok_or_else(|| ConfigError::UnknownKey { key: key.clone() })?;
            checked.insert(def.name, def.check(value)?.to_owned());
        }
        let defaults = Self { values: checked };
        TopicConfig::new(Vec::new(), &defaults)?;
        Ok(defaults)
    }

    /// The value that the operator chose for all topics, if any.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

/// The configs of one topic: what was set, and what is effective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    overrides: Overrides,
    /// Whether old data is deleted at all (`cleanup.policy`).
    pub deletes: bool,
    /// How long data is kept, milliseconds; `None` is for ever (`retention.ms`).
    pub retention_ms: Option<u64>,
    /// How large a partition may grow; `None` is without limit (`retention.bytes`).
    pub retention_bytes: Option<u64>,
    /// From which size on a segment is sealed; `None` is the log's own setting (`segment.bytes`).
    pub segment_bytes: Option<u64>,
    /// The largest batch that is taken (`max.message.bytes`).
    pub max_message_bytes: usize,
    /// Whose clock gives the timestamps (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How far in the past a timestamp may be; `None` is without limit (`message.timestamp.before.max.ms`).
    pub timestamp_before_max_ms: Option<i64>,
    /// How far in the future a timestamp may be; `None` is without limit (`message.timestamp.after.max.ms`).
    pub timestamp_after_max_ms: Option<i64>,
    /// The codec in which batches are stored; `None` is the producer's (`compression.type`).
    pub compression: Option<Compression>,
    /// Whether the topic is bound to the subjects that begin with its name (`nats.bind`).
    pub nats_bind: bool,
}

impl TopicConfig {
    /// Reads the effective values of checked overrides over the defaults.
    ///
    /// # Errors
    /// An override that the table refuses, or two that contradict each other.
    pub fn new(mut overrides: Overrides, defaults: &TopicDefaults) -> Result<Self, ConfigError> {
        overrides.sort();
        for (key, value) in &overrides {
            let def =
                topic_config_def(key).ok_or_else(|| ConfigError::UnknownKey { key: key.to_string() })?;
            def.check(value)?;
        }
        let value = |key: &str| effective(key, &overrides, defaults).0;
        let number = |key: &str| value(key).parse::<i64>().unwrap_or(i64::MAX);
        let bound = |key: &str| Some(number(key)).filter(|bound| *bound != i64::MAX);

        let (low, high) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
        if number(low) > number(high) {
            let (low_value, high_value) = (number(low), number(high));
            return Err(ConfigError::Conflict { low, low_value, high, high_value });
        }
        let read = Self {
            overrides: Overrides::new(),
            deletes: items(value("cleanup.policy")).any(|item| item == "delete"),
            retention_ms: u64::try_from(number("retention.ms")).ok(),
            retention_bytes: u64::try_from(number("retention.bytes")).ok(),
            segment_bytes: match effective("segment.bytes", &overrides, defaults) {
                (_, ConfigSource::Default) => None,
                _ => u64::try_from(number("segment.bytes")).ok(),
            },
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(0),
            timestamp_type: match value("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: bound("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: bound("message.timestamp.after.max.ms"),
            compression: match value("compression.type") {
                "uncompressed" => Some(Compression::None),
                "gzip" => Some(Compression::Gzip),
                "snappy" => Some(Compression::Snappy),
                "lz4" => Some(Compression::Lz4),
                "zstd" => Some(Compression::Zstd),
                _ => None,
            },
            nats_bind: value("nats.bind") == "true",
        };
        Ok(Self { overrides, ..read })
    }

    /// Checks that a topic's own, or the operator's, `max.message.bytes` can be obeyed.
    ///
    /// # Errors
    /// It is above `limit`.
    pub(crate) fn check_message_bytes(
        &self,
        limit: usize,
        defaults: &TopicDefaults,
    ) -> Result<(), ConfigError> {
        let key = "max.message.bytes";
        let (value, source) = self.get(key, defaults);
        if self.max_message_bytes <= limit || source == ConfigSource::Default {
            return Ok(());
        }
        Err(ConfigError::InvalidValue {
            key: key.to_owned(),
            value: value.to_owned(),
            problem: format!(
                "kafka.max_frame_bytes and wal.file_bytes leave room for batches of {limit} bytes at most"
            ),
        })
    }

    /// What differs from the defaults, sorted by key.
    #[must_use]
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The effective value of a known config, and who set it.
    #[must_use]
    pub fn get<'a>(&'a self, key: &str, defaults: &'a TopicDefaults) -> (&'a str, ConfigSource) {
        effective(key, &self.overrides, defaults)
    }
}

/// The effective value of a config of the table; of any other the empty text.
fn effective<'a>(
    key: &str,
    overrides: &'a Overrides,
    defaults: &'a TopicDefaults,
) -> (&'a str, ConfigSource) {
    if let Ok(index) = overrides.binary_search_by(|(name, _)| name.as_ref().cmp(key)) {
        return (&overrides[index].1, ConfigSource::Topic);
    }
    match defaults.get(key) {
        Some(value) => (value, ConfigSource::StaticBroker),
        None => {
            let found = TOPIC_CONFIGS.binary_search_by(|def| def.name.cmp(key));
            (found.map_or("", |index| TOPIC_CONFIGS[index].default), ConfigSource::Default)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &[(&str, &str)], broker: &[(&str, &str)]) -> Result<TopicConfig, ConfigError> {
        let broker: BTreeMap<_, _> =
            broker.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let set = set.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect();
        TopicConfig::new(set, &TopicDefaults::new(&broker)?)
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = config(&[], &[]).unwrap();
        assert!(config.deletes);
        assert_eq!(config.retention_ms, Some(604_800_000));
        assert_eq!(config.retention_bytes, None);
        assert_eq!((config.segment_bytes, config.max_message_bytes), (None, 1_048_588));
        assert_eq!(config.timestamp_type, TimestampType::CreateTime);
        assert_eq!((config.timestamp_before_max_ms, config.timestamp_after_max_ms), (None, Some(3_600_000)));
        assert_eq!(config.compression, None);
    }

    #[test]
    fn topic_goes_before_broker_goes_before_default() {
        let broker = [("retention.ms", "5000"), ("compression.type", "lz4")];
        let set = [("retention.ms", "-1"), ("cleanup.policy", ""), ("segment.bytes", "1048576")];
        let config = config(&set, &broker).unwrap();
        assert_eq!(config.segment_bytes, Some(1 << 20));
        assert_eq!(config.retention_ms, None);
        assert!(!config.deletes);
        assert_eq!(config.compression, Some(Compression::Lz4));
    }

    #[test]
    fn contradictions_and_unknown_names_are_refused() {
        let conflict = config(&[("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")], &[]);
        assert!(matches!(conflict, Err(ConfigError::Conflict { low_value: 9, high_value: 8, .. })));
        assert!(matches!(config(&[("retention.hours", "1")], &[]), Err(ConfigError::UnknownKey { .. })));
        assert!(matches!(config(&[], &[("retention.ms", "x")]), Err(ConfigError::InvalidValue { .. })));
    }
}
