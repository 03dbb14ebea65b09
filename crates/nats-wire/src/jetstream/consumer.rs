//! A consumer as the API describes it: its configuration and its info, and what creates it.

use std::collections::BTreeMap;

use super::json::{cannot_unmarshal, go_enum, go_struct};
use super::stream::ClusterInfo;
use super::time::{Span, Time};

go_enum! {
    /// Where a consumer begins.
    pub enum DeliverPolicy: "DeliverPolicy", refuse (cannot_unmarshal), also { "undefined" => All } {
        /// At the first message.
        All = "all",
        /// At the last one.
        Last = "last",
        /// Behind the last one.
        New = "new",
        /// At a sequence.
        ByStartSequence = "by_start_sequence",
        /// At a time.
        ByStartTime = "by_start_time",
        /// At the last message of each subject.
        LastPerSubject = "last_per_subject",
    }
}

go_enum! {
    /// How deliveries are acknowledged.
    pub enum AckPolicy: "AckPolicy", refuse (cannot_unmarshal) {
        /// Not.
        None = "none",
        /// One acknowledges all before it.
        All = "all",
        /// Each for itself.
        Explicit = "explicit",
        /// By the answers to flow control.
        FlowControl = "flow_control",
    }
}

go_enum! {
    /// How fast old messages are delivered.
    pub enum ReplayPolicy: "ReplayPolicy", refuse (cannot_unmarshal) {
        /// As fast as can be.
        Instant = "instant",
        /// As they came.
        Original = "original",
    }
}

go_enum! {
    /// Which of the waiting requests is served.
    pub enum PriorityPolicy: "PriorityPolicy",
        refuse (|raw| format!("unknown priority policy: {}", String::from_utf8_lossy(raw))) {
        /// Each in turn.
        None = "none",
        /// Those whose conditions hold.
        Overflow = "overflow",
        /// Those of one client.
        PinnedClient = "pinned_client",
        /// Those of the lowest number.
        Prioritized = "prioritized",
    }
}

go_enum! {
    /// What a create may do.
    pub enum ConsumerAction: "ConsumerAction",
        refuse (|raw| format!("unknown consumer action: {}", String::from_utf8_lossy(raw))) {
        /// Create or update.
        CreateOrUpdate = "",
        /// Update only.
        Update = "update",
        /// Create only.
        Create = "create",
    }
}

go_struct! {
    /// The configuration of a consumer.
    pub struct ConsumerConfig: "ConsumerConfig" {
        /// Its name, if it stays.
        durable_name [omit]: String,
        /// Its name.
        name [omit]: String,
        /// For people.
        description [omit]: String,
        /// Where it begins.
        deliver_policy: DeliverPolicy,
        /// The sequence where it begins.
        opt_start_seq [omit]: u64,
        /// The time where it begins.
        opt_start_time [omit]: Option<Time>,
        /// How deliveries are acknowledged.
        ack_policy: AckPolicy,
        /// How long to wait for an acknowledgement.
        ack_wait [omit]: Span,
        /// How often one message is delivered, -1 for any number.
        max_deliver [omit]: i64 = "int",
        /// How long to wait after the first, the second … delivery.
        backoff [omit]: Vec<Span>,
        /// What it wants.
        filter_subject [omit]: String,
        /// What it wants, several.
        filter_subjects [omit]: Vec<String>,
        /// How fast old messages are delivered.
        replay_policy: ReplayPolicy,
        /// Bits a second.
        rate_limit_bps [omit]: u64,
        /// How many acknowledgements of a hundred are measured.
        sample_freq [omit]: String,
        /// Pull requests that may wait.
        max_waiting [omit]: i64 = "int",
        /// Deliveries that may be unacknowledged.
        max_ack_pending [omit]: i64 = "int",
        /// Whether a slow client is waited for.
        flow_control [omit]: bool,
        /// Without the payload.
        headers_only [omit]: bool,
        /// Messages that one pull request may ask for.
        max_batch [omit]: i64 = "int",
        /// How long one may wait.
        max_expires [omit]: Span,
        /// Bytes that one may ask for.
        max_bytes [omit]: i64 = "int",
        /// Where messages are delivered to, unless they are pulled.
        deliver_subject [omit]: String,
        /// The queue group that shares them.
        deliver_group [omit]: String,
        /// How often an idle consumer says that it lives.
        idle_heartbeat [omit]: Span,
        /// How long it may be without a client before it goes.
        inactive_threshold [omit]: Span,
        /// Copies, 0 for the stream's.
        num_replicas: i64 = "int",
        /// Whether its state is in memory only.
        mem_storage [omit]: bool,
        /// The server's own.
        direct [omit]: bool,
        /// For a source.
        sourcing [omit]: bool,
        /// What its owner notes.
        metadata [omit]: BTreeMap<String, String>,
        /// Until when it is paused.
        pause_until [omit]: Option<Time>,
        /// The groups of requests.
        priority_groups [omit]: Vec<String>,
        /// Which of them are served.
        priority_policy [omit]: PriorityPolicy,
        /// How long a client stays pinned.
        priority_timeout [omit]: Span,
    }
}

go_struct! {
    /// What `CONSUMER.CREATE` asks for.
    pub struct CreateConsumerRequest: "CreateConsumerRequest" {
        /// The stream.
        stream_name: String,
        /// The consumer.
        config: ConsumerConfig,
        /// What may be done.
        action: ConsumerAction,
        /// Whether what would be adjusted silently is refused instead.
        pedantic [omit]: bool,
    }
}

go_struct! {
    /// A place in a consumer and in its stream.
    pub struct SequenceInfo: "SequenceInfo" {
        /// The number of the delivery.
        consumer_seq: u64,
        /// The sequence of the message.
        stream_seq: u64,
        /// When it last moved.
        last_active [omit]: Option<Time>,
    }
}

go_struct! {
    /// A consumer, whole.
    pub struct ConsumerInfo: "ConsumerInfo" {
        /// Its stream.
        stream_name: String,
        /// Its name.
        name: String,
        /// When it was made.
        created: Time,
        /// Its configuration.
        config [omit]: Option<ConsumerConfig>,
        /// The last delivery.
        delivered: SequenceInfo,
        /// Everything up to here is acknowledged.
        ack_floor: SequenceInfo,
        /// Deliveries that wait for their acknowledgement.
        num_ack_pending: u64,
        /// Of them, those delivered more than once.
        num_redelivered: u64,
        /// Pull requests that wait.
        num_waiting: u64,
        /// Messages that weren't delivered yet.
        num_pending: u64,
        /// Who leads.
        cluster [omit]: Option<ClusterInfo>,
        /// Whether somebody listens where it delivers to.
        push_bound [omit]: bool,
        /// Whether it is paused.
        paused [omit]: bool,
        /// For how long.
        pause_remaining [omit]: Span,
        /// When this was gathered.
        ts: Time,
    }
}
