//! The settings of the group coordinator, named and defaulted as Kafka's broker settings.

use std::time::Duration;

/// What the operator may set. Every field's doc names Kafka's setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    /// Doubles as the step by which it is extended while members keep coming.
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`: a shorter session timeout is refused.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`: a longer session timeout is refused.
    pub session_timeout_max: Duration,
    /// `group.max.size`: members beyond it are refused.
    pub group_size_max: usize,
    /// How long a member that was never answered may wait in a rebalance before it is forgotten: it can't send
    /// heartbeats, and its connection may be long gone (Kafka: five minutes, not a setting there).
    pub new_member_join_timeout: Duration,
    /// `offsets.retention.minutes`: how long offsets are kept that nobody uses.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`: how often expired offsets are looked for.
    pub offsets_check_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::from_secs(3),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            group_size_max: i32::MAX as usize,
            new_member_join_timeout: Duration::from_secs(5 * 60),
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_check_interval: Duration::from_secs(10 * 60),
        }
    }
}
