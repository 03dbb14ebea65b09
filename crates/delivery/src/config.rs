//! What a consumer was told to do, with the protocol's sentinels and defaults resolved.

use std::time::Duration;

/// What an acknowledgement settles. JetStream: `ack_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckPolicy {
    /// Nothing is acknowledged: a message is done when it is delivered.
    None,
    /// One acknowledgement settles its message and all before it.
    All,
    /// Each message is settled by its own acknowledgement.
    Explicit,
}

/// A consumer's settings as far as delivery goes. The host keeps the rest (names, filters, subjects).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What an acknowledgement settles.
    pub ack: AckPolicy,
    /// How long a delivered message may stay unacknowledged before it is delivered again.
    pub ack_wait: Duration,
    /// Replaces `ack_wait`: the n-th wait of a message; the last one repeats. Empty: none.
    pub backoff: Vec<Duration>,
    /// How often a message is delivered at most. None: no limit.
    pub max_deliver: Option<u32>,
    /// How many messages may be unacknowledged before no new one is delivered. None: no bound.
    pub max_ack_pending: Option<usize>,
    /// Who asks for messages.
    pub mode: Mode,
    /// Whether messages are delivered with the time between them that they were stored with, until the consumer has
    /// caught up with what was there when it began.
    pub replay_original: bool,
    /// After how long without anybody interested the consumer is to be deleted. None: never. The host has added
    /// whatever random part it wants.
    pub inactive_after: Option<Duration>,
    /// Whether its state outlives the process. If not, nothing is handed out to be persisted.
    pub durable: bool,
}

/// Who asks for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Clients send requests.
    Pull(PullConfig),
    /// Messages go to a subject as long as somebody listens there.
    Push(PushConfig),
}

/// Bounds on pull requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullConfig {
    /// How many requests may wait.
    pub max_waiting: usize,
    /// How many messages one request may ask for. None: no bound.
    pub max_batch: Option<u64>,
    /// How long a request may wait. None: no bound.
    pub max_expires: Option<Duration>,
    /// How many bytes a request may ask for. None: no bound.
    pub max_bytes: Option<u64>,
}

/// How messages are pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushConfig {
    /// After how long without a message a sign of life is sent. None: never.
    pub heartbeat: Option<Duration>,
    /// Whether the receiver is asked now and then to say that it keeps up, and deliveries stop until it has.
    pub flow_control: bool,
    /// How fast messages may go out. None: as fast as they can.
    pub rate: Option<RateLimit>,
}

/// A bound on the rate of a push consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The rate. Not 0.
    pub bits_per_second: u64,
    /// What may go out at once: the largest message that there can be.
    pub burst_bytes: u64,
}

impl Config {
    /// How long a message is waited for that has been delivered `count` times (at least once).
    #[must_use]
    pub fn wait_for(&self, count: u32) -> Duration {
        let index = (count.max(1) as usize - 1).min(self.backoff.len().saturating_sub(1));
        self.backoff.get(index).copied().unwrap_or(self.ack_wait)
    }

    /// Whether `count` deliveries are all that are allowed.
    #[must_use]
    pub fn is_last(&self, count: u32) -> bool {
        self.max_deliver.is_some_and(|limit| count >= limit)
    }
}
