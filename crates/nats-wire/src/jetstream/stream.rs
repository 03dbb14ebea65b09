//! A stream as the API describes it: its configuration, its state, its info.
//!
//! All fields of the reference (nats-server 2.15) are here, so that a request that names one is understood; what the
//! broker doesn't do yet, the door refuses.

use std::collections::BTreeMap;

use super::json::{cannot_unmarshal, go_enum, go_struct};
use super::time::{Span, Time};

go_enum! {
    /// When messages may go.
    pub enum Retention: "RetentionPolicy", refuse (cannot_unmarshal) {
        /// When a limit is reached.
        Limits = "limits",
        /// When every consumer that wants them has acknowledged.
        Interest = "interest",
        /// When one consumer has acknowledged.
        WorkQueue = "workqueue",
    }
}

go_enum! {
    /// What gives way when a limit is reached.
    pub enum Discard: "DiscardPolicy", refuse (cannot_unmarshal),
        also { "OLD" => Old, "Old" => Old, "NEW" => New, "New" => New } {
        /// The oldest message.
        Old = "old",
        /// The new message: it is refused.
        New = "new",
    }
}

go_enum! {
    /// Where messages are kept.
    pub enum Storage: "StorageType", refuse (cannot_unmarshal) {
        /// On disk.
        File = "file",
        /// In memory only.
        Memory = "memory",
    }
}

fn unknown_compression(raw: &[u8]) -> String {
    let kind = match raw.first() {
        Some(b'"') => return "unknown compression algorithm".into(),
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    format!("json: cannot unmarshal {kind} into Go value of type string")
}

go_enum! {
    /// How messages are compressed on disk.
    pub enum Compression: "StoreCompression", refuse (unknown_compression) {
        /// Not.
        None = "none",
        /// With S2.
        S2 = "s2",
    }
}

go_enum! {
    /// When a publish is acknowledged.
    pub enum PersistMode: "PersistModeType", refuse (cannot_unmarshal), also { "" => Default } {
        /// When it is stored.
        Default = "default",
        /// Before.
        Async = "async",
    }
}

go_struct! {
    /// Where replicas should stand.
    pub struct Placement: "Placement" {
        /// The cluster's name.
        cluster [omit]: String,
        /// What the servers must be tagged with.
        tags [omit]: Vec<String>,
        /// The server that should lead.
        preferred [omit]: String,
    }
}

go_struct! {
    /// How a subject is renamed.
    pub struct SubjectTransform: "SubjectTransformConfig" {
        /// What it applies to.
        src: String,
        /// What it becomes.
        dest: String,
    }
}

go_struct! {
    /// Where stored messages are published again.
    pub struct RePublish: "RePublish" {
        /// What it applies to.
        src [omit]: String,
        /// What the subject becomes.
        dest: String,
        /// Without the payload.
        headers_only [omit]: bool,
    }
}

go_struct! {
    /// A stream of another account or domain.
    pub struct ExternalStream: "ExternalStream" {
        /// The prefix of its API.
        api: String,
        /// The prefix of what it delivers to.
        deliver: String,
    }
}

go_struct! {
    /// The durable consumer that a source reads through.
    pub struct SourceConsumer: "StreamConsumerSource" {
        /// Its name.
        name [omit]: String,
        /// Where it delivers to.
        deliver_subject [omit]: String,
    }
}

go_struct! {
    /// A stream that another one copies.
    pub struct StreamSource: "StreamSource" {
        /// Its name.
        name: String,
        /// The first sequence to copy.
        opt_start_seq [omit]: u64,
        /// The first time to copy.
        opt_start_time [omit]: Option<Time>,
        /// What to copy.
        filter_subject [omit]: String,
        /// How subjects are renamed.
        subject_transforms [omit]: Vec<SubjectTransform>,
        /// Where it is, if elsewhere.
        external [omit]: Option<ExternalStream>,
        /// The durable consumer to read through.
        consumer [omit]: Option<SourceConsumer>,
    }
}

go_struct! {
    /// What a stream's consumers are held to.
    pub struct ConsumerLimits: "StreamConsumerLimits" {
        /// How long one may be idle.
        inactive_threshold [omit]: Span,
        /// How many unacknowledged messages one may have.
        max_ack_pending [omit]: i64 = "int",
    }
}

go_struct! {
    /// The configuration of a stream.
    pub struct StreamConfig: "StreamConfig" {
        /// Its name.
        name: String,
        /// For people.
        description [omit]: String,
        /// What it stores.
        subjects [omit]: Vec<String>,
        /// When messages may go.
        retention: Retention,
        /// Consumers it may have, -1 for any number.
        max_consumers: i64 = "int",
        /// Messages it may hold, -1 for any number.
        max_msgs: i64,
        /// Bytes it may hold, -1 for any number.
        max_bytes: i64,
        /// How old a message may get, 0 for any age.
        max_age: Span,
        /// Messages it may hold of one subject, -1 for any number.
        max_msgs_per_subject: i64,
        /// Bytes of one message with its headers, -1 for any number.
        max_msg_size [omit]: i32,
        /// What gives way at a limit.
        discard: Discard,
        /// Where it keeps messages.
        storage: Storage,
        /// Copies.
        num_replicas: i64 = "int",
        /// Whether publishes stay unanswered.
        no_ack [omit]: bool,
        /// How long a message id is remembered.
        duplicate_window [omit]: Span,
        /// Where its replicas should stand.
        placement [omit]: Option<Placement>,
        /// The stream that it is a copy of.
        mirror [omit]: Option<StreamSource>,
        /// The streams that it gathers.
        sources [omit]: Vec<StreamSource> = "[]*server.StreamSource",
        /// How it is compressed.
        compression: Compression,
        /// The sequence of its first message, if not 1.
        first_seq [omit]: u64,
        /// How subjects are renamed on the way in.
        subject_transform [omit]: Option<SubjectTransform>,
        /// Where stored messages are published again.
        republish [omit]: Option<RePublish>,
        /// Whether `DIRECT.GET` is answered.
        allow_direct: bool,
        /// Whether a mirror answers it too.
        mirror_direct: bool,
        /// Whether `discard: new` holds for a subject's own bound.
        discard_new_per_subject [omit]: bool,
        /// Whether nothing may change any more.
        sealed: bool,
        /// Whether messages can't be deleted.
        deny_delete: bool,
        /// Whether it can't be purged.
        deny_purge: bool,
        /// Whether a message may replace the older ones (`Nats-Rollup`).
        allow_rollup_hdrs: bool,
        /// What its consumers are held to.
        consumer_limits: ConsumerLimits,
        /// Whether a message may say how long it lives (`Nats-TTL`).
        allow_msg_ttl: bool,
        /// How long a marker stands in place of a subject's last message.
        subject_delete_marker_ttl [omit]: Span,
        /// Whether its messages are counters.
        allow_msg_counter [omit]: bool,
        /// Whether batches may be published atomically.
        allow_atomic [omit]: bool,
        /// Whether messages may be scheduled.
        allow_msg_schedules [omit]: bool,
        /// When a publish is acknowledged.
        persist_mode [omit]: PersistMode,
        /// Whether batches may be published fast.
        allow_batched [omit]: bool,
        /// What its owner notes.
        metadata [omit]: BTreeMap<String, String>,
    }
}

go_struct! {
    /// What `STREAM.CREATE` and `STREAM.UPDATE` ask for.
    pub struct StreamConfigRequest: "StreamConfigRequest", embeds config: StreamConfig {
        /// Whether what would be adjusted silently is refused instead.
        pedantic [omit]: bool,
    }
}

/// How many messages each subject has.
pub type SubjectCounts = BTreeMap<String, u64>;

go_struct! {
    /// What was lost of a stream.
    pub struct LostData: "LostStreamData" {
        /// The sequences.
        msgs: Option<Vec<u64>>,
        /// Their bytes.
        bytes: u64,
    }
}

/// What a stream holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Messages.
    pub messages: u64,
    /// Their bytes, as the reference counts them.
    pub bytes: u64,
    /// The first sequence that is there; one above the last if there is none.
    pub first_seq: u64,
    /// When it came; zero if there is none.
    pub first_ts: Time,
    /// The last sequence that was given.
    pub last_seq: u64,
    /// When it came.
    pub last_ts: Time,
    /// Subjects that have a message.
    pub num_subjects: u64,
    /// Messages of each subject that was asked about.
    pub subjects: SubjectCounts,
    /// Sequences between first and last that aren't there.
    pub num_deleted: u64,
    /// Which, if asked.
    pub deleted: Vec<u64>,
    /// What was lost.
    pub lost: Option<LostData>,
    /// Consumers.
    pub consumer_count: u64,
}

go_struct! {
    /// Who leads: this server, where there is one only.
    pub struct ClusterInfo: "ClusterInfo" {
        /// The cluster's name.
        name [omit]: String,
        /// The leader's name.
        leader [omit]: String,
    }
}

/// A stream, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its configuration.
    pub config: StreamConfig,
    /// When it was made.
    pub created: Time,
    /// What it holds.
    pub state: StreamState,
    /// Who leads.
    pub cluster: Option<ClusterInfo>,
    /// When this was gathered.
    pub ts: Time,
}

mod encode {
    use super::super::json::{Encode, EncodeFields, Object};
    use super::{StreamInfo, StreamState};

    impl Encode for StreamState {
        fn encode(&self, out: &mut Vec<u8>) {
            Object::write(out, |object| {
                object.field("messages", &self.messages);
                object.field("bytes", &self.bytes);
                object.field("first_seq", &self.first_seq);
                object.field("first_ts", &self.first_ts);
                object.field("last_seq", &self.last_seq);
                object.field("last_ts", &self.last_ts);
                object.omit_empty("num_subjects", &self.num_subjects);
                object.omit_empty("subjects", &self.subjects);
                object.omit_empty("num_deleted", &self.num_deleted);
                object.omit_empty("deleted", &self.deleted);
                object.omit_empty("lost", &self.lost);
                object.field("consumer_count", &self.consumer_count);
            });
        }

        fn is_empty(&self) -> bool {
            false
        }
    }

    impl EncodeFields for StreamInfo {
        fn encode_fields(&self, object: &mut Object<'_>) {
            object.field("config", &self.config);
            object.field("created", &self.created);
            object.field("state", &self.state);
            object.omit_empty("cluster", &self.cluster);
            object.field("ts", &self.ts);
        }
    }

    impl Encode for StreamInfo {
        fn encode(&self, out: &mut Vec<u8>) {
            Object::write(out, |object| self.encode_fields(object));
        }

        fn is_empty(&self) -> bool {
            false
        }
    }
}
