//! What a consumer is told to be: the part of JetStream's ConsumerConfig that is supported.
//!
//! As a client sends it, numbers and sentinels included (-1 is "no limit" where JetStream says so), so that what is
//! shown is what was asked for, with defaults written in. Checks and defaults: `validate`. Times are nanoseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use duolog_delivery::{AckPolicy, Config, Mode, PullConfig, PushConfig, RateLimit};
use duolog_types::{Nanos, Sequence};

/// Where a consumer begins (JetStream: `deliver_policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliverPolicy {
    /// With the first message.
    #[default]
    All,
    /// With the last one that matches.
    Last,
    /// Behind the last one.
    New,
    /// With [`ConsumerConfig::opt_start_seq`].
    ByStartSequence,
    /// With the first that arrived at [`ConsumerConfig::opt_start_time`] or later.
    ByStartTime,
    /// With the last one of each subject that matches, then behind them.
    LastPerSubject,
}

/// A consumer's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Its name; empty if the server is to give it one.
    pub name: String,
    /// The name again, if it stays when nobody uses it; empty if not.
    pub durable_name: String,
    /// Free text.
    pub description: String,
    /// Where it begins.
    pub deliver_policy: DeliverPolicy,
    /// See [`DeliverPolicy::ByStartSequence`]; 0: not given.
    pub opt_start_seq: Sequence,
    /// See [`DeliverPolicy::ByStartTime`].
    pub opt_start_time: Option<Nanos>,
    /// What an acknowledgement settles.
    pub ack_policy: AckPolicy,
    /// How long an acknowledgement is waited for.
    pub ack_wait: i64,
    /// How often a message is delivered at most.
    pub max_deliver: i64,
    /// Replaces `ack_wait`, for the first, the second … delivery.
    pub backoff: Vec<i64>,
    /// What it wants; empty: everything. Not with `filter_subjects`.
    pub filter_subject: String,
    /// What it wants, several.
    pub filter_subjects: Vec<String>,
    /// Whether old messages come with the time between them that they were stored with.
    pub replay_original: bool,
    /// Bits a second; 0: no bound. Push only.
    pub rate_limit_bps: u64,
    /// How many acknowledgements of a hundred are measured, `"30%"` or `"30"`; empty: none.
    pub sample_freq: String,
    /// How many requests may wait. Pull only.
    pub max_waiting: i64,
    /// How many messages may be unacknowledged.
    pub max_ack_pending: i64,
    /// Messages come without their payload.
    pub headers_only: bool,
    /// How many messages a request may ask for; 0: no bound.
    pub max_batch: i64,
    /// How long a request may wait; 0: no bound.
    pub max_expires: i64,
    /// How many bytes a request may ask for; 0: no bound.
    pub max_bytes: i64,
    /// Where messages go; empty: they are pulled.
    pub deliver_subject: String,
    /// Who shares them there.
    pub deliver_group: String,
    /// How often a sign of life is sent when there is nothing else; 0: never. Push only.
    pub idle_heartbeat: i64,
    /// Whether the receiver is asked if it keeps up. Push only.
    pub flow_control: bool,
    /// How long it may be without anybody interested before it goes; 0: the default, or for ever if it is durable.
    pub inactive_threshold: i64,
    /// Remembered; 0 is the stream's.
    pub num_replicas: i64,
    /// Its state is in memory only.
    pub mem_storage: bool,
    /// The client's own words.
    pub metadata: BTreeMap<String, String>,
}

impl Default for ConsumerConfig {
    /// As JSON without fields gives it: no acknowledgements, everything from the beginning, pulled.
    fn default() -> Self {
        Self {
            name: String::new(),
            durable_name: String::new(),
            description: String::new(),
            deliver_policy: DeliverPolicy::All,
            opt_start_seq: Sequence::ZERO,
            opt_start_time: None,
            ack_policy: AckPolicy::None,
            ack_wait: 0,
            max_deliver: 0,
            backoff: Vec::new(),
            filter_subject: String::new(),
            filter_subjects: Vec::new(),
            replay_original: false,
            rate_limit_bps: 0,
            sample_freq: String::new(),
            max_waiting: 0,
            max_ack_pending: 0,
            headers_only: false,
            max_batch: 0,
            max_expires: 0,
            max_bytes: 0,
            deliver_subject: String::new(),
            deliver_group: String::new(),
            idle_heartbeat: 0,
            flow_control: false,
            inactive_threshold: 0,
            num_replicas: 0,
            mem_storage: false,
            metadata: BTreeMap::new(),
        }
    }
}

impl ConsumerConfig {
    /// What it wants; nothing: everything.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        if self.filter_subject.is_empty() {
            self.filter_subjects.clone()
        } else {
            vec![self.filter_subject.clone()]
        }
    }

    /// How many of a hundred acknowledgements are measured; none if it isn't a number.
    #[must_use]
    pub fn sample_percent(&self) -> Option<u32> {
        let text = self.sample_freq.as_str();
        if text.is_empty() { Some(0) } else { text.strip_suffix('%').unwrap_or(text).parse().ok() }
    }

    /// Whether messages are pushed.
    #[must_use]
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// Whether it stays when nobody uses it.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// What the delivery machine is told. `jitter` comes on top of a pull consumer's inactive threshold, `burst_bytes`
    /// is the largest message that there can be.
    pub(super) fn machine(&self, jitter: Duration, burst_bytes: u64) -> Config {
        let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
        let span = |nanos: i64| positive(nanos).map(Duration::from_nanos);
        let mode = if self.is_push() {
            let rate = (self.rate_limit_bps > 0)
                .then_some(RateLimit { bits_per_second: self.rate_limit_bps, burst_bytes });
            Mode::Push(PushConfig {
                heartbeat: span(self.idle_heartbeat),
                flow_control: self.flow_control,
                rate,
            })
        } else {
            Mode::Pull(PullConfig {
                max_waiting: usize::try_from(self.max_waiting).unwrap_or(0),
                max_batch: positive(self.max_batch),
                max_expires: span(self.max_expires),
                max_bytes: positive(self.max_bytes),
            })
        };
        let jitter = if self.is_push() && self.is_durable() { Duration::ZERO } else { jitter };
        Config {
            ack: self.ack_policy,
            ack_wait: span(self.ack_wait).unwrap_or_default(),
            backoff: self.backoff.iter().map(|wait| span(*wait).unwrap_or_default()).collect(),
            max_deliver: positive(self.max_deliver).map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            max_ack_pending: positive(self.max_ack_pending)
                .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            mode,
            replay_original: self.replay_original,
            inactive_after: span(self.inactive_threshold).map(|threshold| threshold + jitter),
            durable: !self.mem_storage,
        }
    }
}
