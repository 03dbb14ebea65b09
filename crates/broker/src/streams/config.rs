//! What a stream is told to be: the part of JetStream's StreamConfig that is supported, in this broker's own terms.
//!
//! The wire struct has all fields; the door converts, and refuses those that aren't here unless they are at their zero
//! value. Checks and defaults: `validate`.

use std::collections::BTreeMap;
use std::time::Duration;

/// Which messages a stream lets go (JetStream: `retention`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetentionPolicy {
    /// Those beyond its limits.
    #[default]
    Limits,
    /// Those that every interested consumer has acknowledged, too.
    Interest,
    /// Each once it was acknowledged.
    WorkQueue,
}

/// What happens at a limit (JetStream: `discard`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiscardPolicy {
    /// The oldest messages go.
    #[default]
    Old,
    /// The new message is refused.
    New,
}

/// Where messages are kept (JetStream: `storage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageType {
    /// On stable storage before they are acknowledged.
    #[default]
    File,
    /// In memory: gone after a restart, and no sequence is used again.
    Memory,
}

/// What the client wants of the store (JetStream: `compression`). Remembered and shown; the log decides by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreCompression {
    /// No compression.
    #[default]
    None,
    /// S2.
    S2,
}

/// Limits that a stream sets for its consumers (JetStream: `consumer_limits`). 0 is "no limit", and so is what is
/// negative, which is remembered and shown as it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerLimits {
    /// The default and the most for `inactive_threshold`, nanoseconds.
    pub inactive_threshold: i64,
    /// The default and the most for `max_ack_pending`.
    pub max_ack_pending: i64,
}

/// A stream's configuration. Where a limit is `None`, JetStream writes -1 (or 0, for times).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamConfig {
    /// Its name: also the topic's.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// The subjects whose messages it takes, wildcards allowed; none of them overlaps with another stream's. Empty for
    /// the streams of a topic that was made through Kafka.
    pub subjects: Vec<String>,
    /// Which messages it lets go.
    pub retention: RetentionPolicy,
    /// The most consumers it may have.
    pub max_consumers: Option<u64>,
    /// The most messages.
    pub max_msgs: Option<u64>,
    /// The most bytes, by JetStream's record size.
    pub max_bytes: Option<u64>,
    /// The oldest a message may get.
    pub max_age: Option<Duration>,
    /// The most messages of one subject.
    pub max_msgs_per_subject: Option<u64>,
    /// The most bytes of one message: headers and payload.
    pub max_msg_size: Option<u32>,
    /// What happens at `max_msgs` and `max_bytes`.
    pub discard: DiscardPolicy,
    /// With [`DiscardPolicy::New`]: a message beyond `max_msgs_per_subject` is refused too.
    pub discard_new_per_subject: bool,
    /// Where messages are kept.
    pub storage: StorageType,
    /// 0 and 1 are one; a single node refuses more.
    pub num_replicas: u32,
    /// Publishes are never answered.
    pub no_ack: bool,
    /// How long a message id is remembered. `None`, before validation, takes the default.
    pub duplicate_window: Option<Duration>,
    /// Nothing may change any more.
    pub sealed: bool,
    /// Messages can't be deleted one by one.
    pub deny_delete: bool,
    /// The stream can't be purged.
    pub deny_purge: bool,
    /// A message may purge the older ones (`Nats-Rollup`).
    pub allow_rollup_hdrs: bool,
    /// `DIRECT.GET` is answered.
    pub allow_direct: bool,
    /// Remembered; it means something for mirrors only.
    pub mirror_direct: bool,
    /// The sequence of the first message; 0 (not given) is 1, too.
    pub first_seq: u64,
    /// Remembered, see [`StoreCompression`].
    pub compression: StoreCompression,
    /// Limits for its consumers.
    pub consumer_limits: ConsumerLimits,
    /// Messages may say when they expire (`Nats-TTL`).
    pub allow_msg_ttl: bool,
    /// How long the marker stays that is left where a subject's last message expired; `None` leaves none.
    pub subject_delete_marker_ttl: Option<Duration>,
    /// The client's own words. Keys that begin with `_nats.` are the server's.
    pub metadata: BTreeMap<String, String>,
}
