//! Why something asked of a stream is refused. Each variant names the JetStream error that it means (`err_code`);
//! the door has the table of texts. Where a refusal tells of state, the reply waits for [`Stream::changed`] or, about
//! which streams there are, for [`Streams::changed`](super::Streams::changed).
//!
//! [`Stream::changed`]: super::Stream::changed

use duolog_log::{AppendError, ReadError};
use duolog_types::Sequence;

/// What is wrong with a configuration. All are 10052 (`stream configuration invalid`), whose text is followed by this
/// one's, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamConfigError {
    /// 10052.
    #[error("stream name is required and can not contain '.', '*', '>', '\\', '/'")]
    Name,
    /// 10052: no topic can have that name, so the stream can't be seen through Kafka.
    #[error("stream name can not be a topic's name: {0}")]
    NameNotATopics(crate::catalog::NameProblem),
    /// 10052.
    #[error("stream name is too long, maximum allowed is {limit}")]
    NameTooLong {
        /// The limit.
        limit: usize,
    },
    /// 10052.
    #[error("stream description is too long, maximum allowed is {limit}")]
    DescriptionTooLong {
        /// The limit.
        limit: usize,
    },
    /// 10052.
    #[error("stream metadata exceeds maximum size of {limit} bytes")]
    MetadataTooLarge {
        /// The limit.
        limit: usize,
    },
    /// 10052.
    #[error("maximum replicas is {limit}")]
    TooManyReplicas {
        /// The limit.
        limit: u32,
    },
    /// 10074 (`replicas > 1 not supported in non-clustered mode`).
    #[error("replicas > 1 not supported in non-clustered mode")]
    ReplicasNotSupported,
    /// 10052.
    #[error("max age needs to be >= 100ms")]
    MaxAgeTooSmall,
    /// 10052.
    #[error("duplicates window can not be larger then max age")]
    DuplicatesAboveMaxAge,
    /// 10052.
    #[error("duplicates window needs to be >= 100ms")]
    DuplicatesTooSmall,
    /// 10157 (pedantic).
    #[error("duplicate window cannot be bigger than max age")]
    PedanticDuplicates,
    /// 10052.
    #[error("roll-ups require the purge permission")]
    RollupNeedsPurge,
    /// 10052.
    #[error("discard new per subject requires discard new policy to be set")]
    DiscardNewPerSubjectNeedsDiscardNew,
    /// 10052.
    #[error("discard new per subject requires max msgs per subject > 0")]
    DiscardNewPerSubjectNeedsLimit,
    /// 10052.
    #[error("subject delete marker TTL must be at least 1 second")]
    MarkerTtlTooSmall,
    /// 10052 (pedantic).
    #[error("subject delete marker cannot be set if message TTLs are disabled")]
    PedanticMarkerNeedsTtl,
    /// 10052 (pedantic).
    #[error("subject delete marker cannot be set if roll-ups are disabled")]
    PedanticMarkerNeedsRollup,
    /// 10052.
    #[error("invalid subject")]
    InvalidSubject,
    /// 10052.
    #[error("capturing all subjects requires no-ack to be true")]
    AllSubjectsNeedNoAck,
    /// 10052.
    #[error("subjects that overlap with jetstream api require no-ack to be true")]
    OverlapsApi,
    /// 10052.
    #[error("subjects that overlap with system api require no-ack to be true")]
    OverlapsSystem,
    /// 10052.
    #[error("subject {subject:?} overlaps with {other:?}")]
    SubjectsOverlap {
        /// One.
        subject: String,
        /// The other.
        other: String,
    },
    /// 10052: sequences are offsets + 1, which have 63 bits.
    #[error("first sequence {first_seq} is too large")]
    FirstSequence {
        /// What was asked for.
        first_seq: u64,
    },
    /// 10052, on update.
    #[error("stream configuration name must match original")]
    NameChanged,
    /// 10052, on update.
    #[error("stream configuration update can not change storage type")]
    StorageChanged,
    /// 10052, on update.
    #[error("stream configuration update can not change retention policy to/from workqueue")]
    RetentionChanged,
    /// 10052, on update.
    #[error("stream configuration update can not unseal a sealed stream")]
    Unsealed,
    /// 10052, on update.
    #[error("stream configuration update can not cancel deny message deletes")]
    DeleteAllowed,
    /// 10052, on update.
    #[error("stream configuration update can not cancel deny purge")]
    PurgeAllowed,
    /// 10052, on update.
    #[error("message TTL status can not be disabled")]
    TtlDisabled,
    /// 10052, on update: the stream is a partition of a topic that was made through Kafka, whose configs are changed
    /// there.
    #[error("the stream is a topic that was made through Kafka: change the topic's configs there")]
    TopicsConfig,
}

/// Why a stream was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateStreamError {
    /// See [`StreamConfigError`].
    #[error(transparent)]
    Config(#[from] StreamConfigError),
    /// 10058 (`stream name already in use with a different configuration`). Also where a topic's name collides.
    #[error("stream name already in use with a different configuration")]
    NameInUse,
    /// 10065 (`subjects overlap with an existing stream`), which may also be a topic that is bound to a root.
    #[error("subjects overlap with existing stream {stream}: {subject:?} and {other:?}")]
    SubjectsOverlap {
        /// The stream or topic that is there.
        stream: String,
        /// The subject that was asked for.
        subject: String,
        /// The subject that is there.
        other: String,
    },
    /// 10027 (`maximum number of streams reached`).
    #[error("there are {limit} partitions, and no more are allowed")]
    TooMany {
        /// The limit.
        limit: u32,
    },
    /// 10028 (`insufficient memory resources available`).
    #[error("{asked_bytes} bytes of memory are asked for, {free_bytes} are left to be reserved")]
    MemoryExceeded {
        /// What was asked for.
        asked_bytes: u64,
        /// What is left.
        free_bytes: u64,
    },
    /// 10049 (`stream create failed`).
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why a stream was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateStreamError {
    /// 10059 (`stream not found`).
    #[error("stream not found")]
    NotFound,
    /// See [`StreamConfigError`].
    #[error(transparent)]
    Config(#[from] StreamConfigError),
    /// 10065; see [`CreateStreamError::SubjectsOverlap`].
    #[error("subjects overlap with existing stream {stream}: {subject:?} and {other:?}")]
    SubjectsOverlap {
        /// The stream or topic that is there.
        stream: String,
        /// The subject that was asked for.
        subject: String,
        /// The subject that is there.
        other: String,
    },
    /// 10028 (`insufficient memory resources available`).
    #[error("{asked_bytes} bytes of memory are asked for, {free_bytes} are left to be reserved")]
    MemoryExceeded {
        /// What was asked for.
        asked_bytes: u64,
        /// What is left.
        free_bytes: u64,
    },
    /// 10069 (`change to limits violates consumers: {names}`).
    #[error("change to limits violates consumers: {}", consumers.join(", "))]
    LimitsViolated {
        /// Whose configuration is beyond the new limits.
        consumers: Vec<String>,
    },
    /// 10069 (`stream update failed`).
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why a stream was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteStreamError {
    /// 10059 (`stream not found`).
    #[error("stream not found")]
    NotFound,
    /// 10050 (`stream delete failed`): the stream is one of several partitions of a topic; deleting it would delete
    /// the others too.
    #[error("the stream is one of {partitions} partitions of topic {topic}: delete the topic")]
    OneOfSeveral {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: usize,
    },
    /// 10050.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why a message was not stored. It is certainly absent, except after [`AppendError::Poisoned`].
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// 10109 (`invalid operation on sealed stream`).
    #[error("invalid operation on sealed stream")]
    Sealed,
    /// 10174: `Nats-Batch-Id` on a stream without atomic batches.
    #[error("atomic publish is disabled")]
    AtomicDisabled,
    /// 10168: `Nats-Incr` on a stream without counters.
    #[error("message counters are disabled")]
    CounterDisabled,
    /// 10171: `Nats-Incr` is no number.
    #[error("message counter increment is invalid")]
    CounterInvalid,
    /// 10060 (`expected stream does not match`).
    #[error("expected stream does not match")]
    WrongStream,
    /// 10166.
    #[error("per-message TTL is disabled")]
    TtlDisabled,
    /// 10165.
    #[error("invalid per-message TTL")]
    TtlInvalid,
    /// 10071 (`wrong last sequence: {last}`).
    #[error("wrong last sequence: {}", last.0)]
    WrongLastSequence {
        /// What it is.
        last: Sequence,
    },
    /// 10193: a subject for `Nats-Expected-Last-Subject-Sequence` without that header.
    #[error("missing sequence for expected last sequence per subject")]
    ExpectedSubjectWithoutSequence,
    /// 10188: `Nats-Schedule` on a stream without schedules.
    #[error("message schedules is disabled")]
    SchedulesDisabled,
    /// 10070 (`wrong last msg ID: {last}`).
    #[error("wrong last msg ID: {last}")]
    WrongLastMsgId {
        /// What it is; empty if the last message had none.
        last: String,
    },
    /// 10111 (`rollup not permitted`).
    #[error("rollup not permitted")]
    RollupNotPermitted,
    /// 10111 (`rollup value invalid: "…"`).
    #[error("rollup value invalid: {value:?}")]
    RollupInvalid {
        /// What stood there.
        value: String,
    },
    /// 10054 (`message size exceeds maximum allowed`).
    #[error("message size {bytes} exceeds maximum allowed {limit}")]
    TooLarge {
        /// Headers and payload.
        bytes: usize,
        /// The stream's limit.
        limit: u32,
    },
    /// 10097 (`header size exceeds maximum allowed of 64k`).
    #[error("header size {bytes} exceeds maximum allowed of 64k")]
    HeadersTooLarge {
        /// The header block's size.
        bytes: usize,
    },
    /// 10077 (`maximum messages exceeded`).
    #[error("maximum messages exceeded")]
    MaxMessages,
    /// 10077 (`maximum bytes exceeded`).
    #[error("maximum bytes exceeded")]
    MaxBytes,
    /// 10077 (`maximum messages per subject exceeded`).
    #[error("maximum messages per subject exceeded")]
    MaxMessagesPerSubject,
    /// 10077: a condition on a subject, or on the last message's id, and the topic's subjects aren't all known yet; they
    /// are being read. The next attempt finds them.
    #[error("the topic's subjects are still being read, try again")]
    NotIndexed,
    /// The subject isn't one of the stream's (it was looked up before an update): nobody listens there any more.
    #[error("subject {subject:?} is not one of the stream's")]
    NotOurs {
        /// The subject.
        subject: String,
    },
    /// 10077 with the log's own text; [`AppendError::MemoryFull`] is 10023 (`insufficient resources`); after [`AppendError::Dropped`] the stream is gone.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why no message came back.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// 10037 (`no message found`); `DIRECT.GET`: 404.
    #[error("no message found")]
    NotFound,
    /// `DIRECT.GET`: 413 (`Too Many Results`).
    #[error("{subjects} subjects match, at most {limit} are answered")]
    TooMany {
        /// How many match.
        subjects: usize,
        /// The limit.
        limit: usize,
    },
    /// 10051 (`stream message get failed`).
    #[error(transparent)]
    Storage(#[from] ReadError),
    /// 10051: a stored record can't be read (a Kafka client sent it so).
    #[error("the record of sequence {} can't be read: {detail}", sequence.0)]
    Record {
        /// Which.
        sequence: Sequence,
        /// What is wrong.
        detail: String,
    },
    /// 10051: the log stopped.
    #[error(transparent)]
    Poisoned(#[from] duolog_log::Poisoned),
}

/// Why nothing was purged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// 10109 (`invalid operation on sealed stream`).
    #[error("invalid operation on sealed stream")]
    Sealed,
    /// 10110 (`stream purge not permitted`).
    #[error("stream purge not permitted")]
    NotPermitted,
    /// 10003 (`bad request`): `seq` and `keep` exclude each other.
    #[error("a purge takes either a sequence or a number to keep")]
    SequenceAndKeep,
    /// 10110: no stream comes so far.
    #[error("sequence {} is too large", sequence.0)]
    SequenceTooLarge {
        /// The sequence.
        sequence: Sequence,
    },
    /// 10110.
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why a message was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteMessageError {
    /// 10109 (`invalid operation on sealed stream`).
    #[error("invalid operation on sealed stream")]
    Sealed,
    /// 10057 (`message delete not permitted`).
    #[error("message delete not permitted")]
    NotPermitted,
    /// 10043 (`sequence {sequence} not found`).
    #[error("sequence {} not found", sequence.0)]
    NotFound {
        /// Which.
        sequence: Sequence,
    },
    /// 10057.
    #[error(transparent)]
    Log(#[from] AppendError),
}
