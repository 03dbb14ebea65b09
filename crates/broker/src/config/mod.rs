//! Configs of topics and of the broker: which there are, what they mean, what was set, what is effective.
//!
//! One table ([`TOPIC_CONFIGS`]) gives validation, defaults, `describe` and the docs. A config is obeyed, or it
//! is accepted and says in its documentation that it has no effect here and why; a value that would change what
//! a client may rely on, and that can't be obeyed, is refused. Nothing is ignored in silence.

mod alter;
mod broker;
mod describe;
mod table;
mod topic;

pub(crate) use alter::{overrides_of, plan_change};
pub use broker::describe_broker;
pub use describe::{ConfigEntry, ConfigSource, ConfigSynonym, describe_topic};
pub use table::{ConfigDef, ConfigType, Effect, TOPIC_CONFIGS, Valid, topic_config_def};
pub use topic::{Overrides, TopicConfig, TopicDefaults};

/// Why a config is refused (`INVALID_CONFIG`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such config.
    #[error("unknown topic config name: {key}")]
    UnknownKey {
        /// The name given.
        key: String,
    },
    /// The value can't be read, or is out of bounds.
    #[error("invalid value {value} for configuration {key}: {problem}")]
    InvalidValue {
        /// The config.
        key: String,
        /// The value given.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The value is a good one for Kafka, and can't be obeyed here.
    #[error("{value} for configuration {key} is not supported yet: {reason}")]
    NotSupported {
        /// The config.
        key: String,
        /// The value given.
        value: String,
        /// Why.
        reason: &'static str,
    },
    /// Items can be added to and taken from lists only.
    #[error("configuration {key} is not a list, so nothing can be added to it or taken from it")]
    NotAList {
        /// The config.
        key: String,
    },
    /// Two configs contradict each other.
    #[error("{low} ({low_value}) is larger than {high} ({high_value})")]
    Conflict {
        /// The one that should be lower.
        low: &'static str,
        /// Its value.
        low_value: i64,
        /// The one that should be higher.
        high: &'static str,
        /// Its value.
        high_value: i64,
    },
}
