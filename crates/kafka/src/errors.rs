//! Kafka's error codes, and what each of the broker's refusals is called in them: the one table.
//!
//! Codes and their meaning: Kafka's `org.apache.kafka.common.protocol.Errors`.

use duolog_broker::AppendError;
use duolog_broker::catalog::{AlterConfigError, CreatePartitionsError, CreateTopicError, DeleteTopicError};
use duolog_broker::groups::GroupError;
use duolog_broker::partition::{DeleteRecordsError, EpochError, FetchError, OffsetError, ProduceError};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $kafka:literal,)*) => {
        /// A Kafka error code. Clients know which ones to retry, and how.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum ErrorCode { $($(#[$doc])* $name = $code,)* }

        impl ErrorCode {
            /// Every code that this broker gives.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            /// Kafka's name for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $kafka,)* }
            }
        }
    };
}

error_codes! {
    /// Something that should not happen here.
    UnknownServerError = -1 "UNKNOWN_SERVER_ERROR",
    /// No error.
    None = 0 "NONE",
    /// The offset isn't in the log.
    OffsetOutOfRange = 1 "OFFSET_OUT_OF_RANGE",
    /// A batch is damaged.
    CorruptMessage = 2 "CORRUPT_MESSAGE",
    /// No such topic, or no such partition of it.
    UnknownTopicOrPartition = 3 "UNKNOWN_TOPIC_OR_PARTITION",
    /// The batch is larger than the topic allows.
    MessageTooLarge = 10 "MESSAGE_TOO_LARGE",
    /// Metadata of an offset commit is too long.
    OffsetMetadataTooLarge = 12 "OFFSET_METADATA_TOO_LARGE",
    /// The coordinator is still loading.
    CoordinatorLoadInProgress = 14 "COORDINATOR_LOAD_IN_PROGRESS",
    /// There is no coordinator now.
    CoordinatorNotAvailable = 15 "COORDINATOR_NOT_AVAILABLE",
    /// Another broker is the coordinator.
    NotCoordinator = 16 "NOT_COORDINATOR",
    /// A topic can't have this name.
    InvalidTopic = 17 "INVALID_TOPIC_EXCEPTION",
    /// The batch fits into no segment.
    RecordListTooLarge = 18 "RECORD_LIST_TOO_LARGE",
    /// Retry: the broker has no room for the batch now.
    NotEnoughReplicas = 19 "NOT_ENOUGH_REPLICAS",
    /// Acks is none of -1, 0, 1.
    InvalidRequiredAcks = 21 "INVALID_REQUIRED_ACKS",
    /// The group has another generation.
    IllegalGeneration = 22 "ILLEGAL_GENERATION",
    /// The member's protocols don't fit the group's.
    InconsistentGroupProtocol = 23 "INCONSISTENT_GROUP_PROTOCOL",
    /// A group can't have this id.
    InvalidGroupId = 24 "INVALID_GROUP_ID",
    /// The group has no such member.
    UnknownMemberId = 25 "UNKNOWN_MEMBER_ID",
    /// The session timeout is outside of the bounds.
    InvalidSessionTimeout = 26 "INVALID_SESSION_TIMEOUT",
    /// The group rebalances.
    RebalanceInProgress = 27 "REBALANCE_IN_PROGRESS",
    /// The timestamp is outside of what the topic allows.
    InvalidTimestamp = 32 "INVALID_TIMESTAMP",
    /// This version, or this feature, isn't served.
    UnsupportedVersion = 35 "UNSUPPORTED_VERSION",
    /// There is such a topic, or one whose name is too much alike.
    TopicAlreadyExists = 36 "TOPIC_ALREADY_EXISTS",
    /// That number of partitions is impossible.
    InvalidPartitions = 37 "INVALID_PARTITIONS",
    /// That replication factor is impossible.
    InvalidReplicationFactor = 38 "INVALID_REPLICATION_FACTOR",
    /// That placement of replicas is impossible.
    InvalidReplicaAssignment = 39 "INVALID_REPLICA_ASSIGNMENT",
    /// A config is unknown, not supported, or has an impossible value.
    InvalidConfig = 40 "INVALID_CONFIG",
    /// The request contradicts itself.
    InvalidRequest = 42 "INVALID_REQUEST",
    /// The batch doesn't continue its producer's sequence.
    OutOfOrderSequenceNumber = 45 "OUT_OF_ORDER_SEQUENCE_NUMBER",
    /// A newer instance of the producer is at work.
    InvalidProducerEpoch = 47 "INVALID_PRODUCER_EPOCH",
    /// The transaction is in another state.
    InvalidTxnState = 48 "INVALID_TXN_STATE",
    /// The disk failed, or is full.
    KafkaStorageError = 56 "KAFKA_STORAGE_ERROR",
    /// The group still has members.
    NonEmptyGroup = 68 "NON_EMPTY_GROUP",
    /// There is no such group.
    GroupIdNotFound = 69 "GROUP_ID_NOT_FOUND",
    /// There is no such fetch session (any more).
    FetchSessionIdNotFound = 70 "FETCH_SESSION_ID_NOT_FOUND",
    /// The fetch session has another epoch.
    InvalidFetchSessionEpoch = 71 "INVALID_FETCH_SESSION_EPOCH",
    /// The client's leader epoch is older than the broker's.
    FencedLeaderEpoch = 74 "FENCED_LEADER_EPOCH",
    /// The client's leader epoch is newer than the broker's.
    UnknownLeaderEpoch = 75 "UNKNOWN_LEADER_EPOCH",
    /// The codec isn't known, or not in this version.
    UnsupportedCompressionType = 76 "UNSUPPORTED_COMPRESSION_TYPE",
    /// Join again, with the member id given.
    MemberIdRequired = 79 "MEMBER_ID_REQUIRED",
    /// The group has as many members as it may.
    GroupMaxSizeReached = 81 "GROUP_MAX_SIZE_REACHED",
    /// Another member took over the static instance id.
    FencedInstanceId = 82 "FENCED_INSTANCE_ID",
    /// The group is subscribed to the topic.
    GroupSubscribedToTopic = 86 "GROUP_SUBSCRIBED_TO_TOPIC",
    /// The broker's validation refused a record.
    InvalidRecord = 87 "INVALID_RECORD",
    /// There is no topic with this id.
    UnknownTopicId = 100 "UNKNOWN_TOPIC_ID",
    /// Topic ids and names were mixed in one fetch session.
    FetchSessionTopicIdError = 106 "FETCH_SESSION_TOPIC_ID_ERROR",
    /// The endpoint is of another kind.
    MismatchedEndpointType = 114 "MISMATCHED_ENDPOINT_TYPE",
    /// There is no such kind of endpoint.
    UnsupportedEndpointType = 115 "UNSUPPORTED_ENDPOINT_TYPE",
}

impl ErrorCode {
    /// The code as it stands on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The code of an outcome: none, or what its error is called.
    pub fn of<T, E: Into<Self>>(outcome: Result<T, E>) -> Self {
        outcome.map_or_else(Into::into, |_| Self::None)
    }

    /// Whether it says that something went wrong.
    #[must_use]
    pub fn is_error(self) -> bool {
        self != Self::None
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> i16 {
        code.code()
    }
}

// What the broker's refusals are called. A refusal that names its Kafka error in `duolog_broker` has it here.

impl From<&AppendError> for ErrorCode {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::Poisoned(_) | AppendError::DiskFull { .. } | AppendError::MemoryFull { .. } => {
                Self::KafkaStorageError
            }
            AppendError::Overloaded { .. } => Self::NotEnoughReplicas,
            AppendError::TooLarge { .. } => Self::RecordListTooLarge,
            AppendError::OffsetsExhausted { .. } => Self::InvalidRecord,
            AppendError::Dropped(_) => Self::UnknownTopicOrPartition,
        }
    }
}

impl From<&ProduceError> for ErrorCode {
    fn from(error: &ProduceError) -> Self {
        match error {
            ProduceError::NoBatch
            | ProduceError::NotOneBatch { .. }
            | ProduceError::Magic { .. }
            | ProduceError::BaseOffset { .. }
            | ProduceError::Count { .. }
            | ProduceError::Control
            | ProduceError::NegativeSequence { .. }
            | ProduceError::NegativeEpoch { .. }
            | ProduceError::Stream { .. }
            | ProduceError::Invalid { .. } => Self::InvalidRecord,
            ProduceError::Corrupt { .. } => Self::CorruptMessage,
            ProduceError::TooLarge { .. } => Self::MessageTooLarge,
            ProduceError::Compression { .. } => Self::UnsupportedCompressionType,
            ProduceError::LogAppendTime | ProduceError::Timestamps { .. } => Self::InvalidTimestamp,
            ProduceError::Transactional => Self::InvalidTxnState,
            ProduceError::OutOfOrder { .. } => Self::OutOfOrderSequenceNumber,
            ProduceError::Fenced { .. } => Self::InvalidProducerEpoch,
            ProduceError::Log(error) => error.into(),
        }
    }
}

impl From<&FetchError> for ErrorCode {
    fn from(error: &FetchError) -> Self {
        match error {
            FetchError::OutOfRange { .. } => Self::OffsetOutOfRange,
            FetchError::Deleted => Self::UnknownTopicOrPartition,
            FetchError::Storage(_) => Self::KafkaStorageError,
        }
    }
}

impl From<&OffsetError> for ErrorCode {
    fn from(error: &OffsetError) -> Self {
        match error {
            OffsetError::Deleted => Self::UnknownTopicOrPartition,
            OffsetError::Storage(_) => Self::KafkaStorageError,
            OffsetError::Records { .. } => Self::CorruptMessage,
        }
    }
}

impl From<EpochError> for ErrorCode {
    fn from(error: EpochError) -> Self {
        match error {
            EpochError::Unknown { .. } => Self::UnknownLeaderEpoch,
            EpochError::Fenced { .. } => Self::FencedLeaderEpoch,
        }
    }
}

impl From<&DeleteRecordsError> for ErrorCode {
    fn from(error: &DeleteRecordsError) -> Self {
        match error {
            DeleteRecordsError::OutOfRange { .. } => Self::OffsetOutOfRange,
            DeleteRecordsError::Log(error) => error.into(),
        }
    }
}

impl From<&CreateTopicError> for ErrorCode {
    fn from(error: &CreateTopicError) -> Self {
        match error {
            CreateTopicError::InvalidName(_)
            | CreateTopicError::Collides { .. }
            | CreateTopicError::SubjectsOverlap { .. }
            | CreateTopicError::NoSubjects { .. } => Self::InvalidTopic,
            CreateTopicError::Exists { .. } => Self::TopicAlreadyExists,
            CreateTopicError::InvalidPartitions { .. } => Self::InvalidPartitions,
            CreateTopicError::InvalidReplicationFactor { .. } => Self::InvalidReplicationFactor,
            CreateTopicError::InvalidAssignment { .. } => Self::InvalidReplicaAssignment,
            CreateTopicError::AssignmentAndCount => Self::InvalidRequest,
            CreateTopicError::Config(_) => Self::InvalidConfig,
            CreateTopicError::Log(error) => error.into(),
        }
    }
}

impl From<&DeleteTopicError> for ErrorCode {
    fn from(error: &DeleteTopicError) -> Self {
        match error {
            DeleteTopicError::Unknown => Self::UnknownTopicOrPartition,
            DeleteTopicError::Log(error) => error.into(),
        }
    }
}

impl From<&CreatePartitionsError> for ErrorCode {
    fn from(error: &CreatePartitionsError) -> Self {
        match error {
            CreatePartitionsError::Unknown { .. } => Self::UnknownTopicOrPartition,
            CreatePartitionsError::InvalidPartitions { .. } | CreatePartitionsError::OneStream { .. } => {
                Self::InvalidPartitions
            }
            CreatePartitionsError::InvalidAssignment { .. } => Self::InvalidReplicaAssignment,
            CreatePartitionsError::Log(error) => error.into(),
        }
    }
}

impl From<&AlterConfigError> for ErrorCode {
    fn from(error: &AlterConfigError) -> Self {
        match error {
            AlterConfigError::Unknown { .. } => Self::UnknownTopicOrPartition,
            AlterConfigError::DuplicateKey { .. } | AlterConfigError::NullValue { .. } => {
                Self::InvalidRequest
            }
            AlterConfigError::Config(_)
            | AlterConfigError::SubjectsOverlap { .. }
            | AlterConfigError::NoSubjects => Self::InvalidConfig,
            AlterConfigError::Log(error) => error.into(),
        }
    }
}

impl From<GroupError> for ErrorCode {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::CoordinatorNotAvailable => Self::CoordinatorNotAvailable,
            GroupError::NotCoordinator => Self::NotCoordinator,
            GroupError::IllegalGeneration => Self::IllegalGeneration,
            GroupError::InconsistentGroupProtocol => Self::InconsistentGroupProtocol,
            GroupError::InvalidGroupId => Self::InvalidGroupId,
            GroupError::UnknownMemberId => Self::UnknownMemberId,
            GroupError::InvalidSessionTimeout => Self::InvalidSessionTimeout,
            GroupError::RebalanceInProgress => Self::RebalanceInProgress,
            GroupError::GroupMaxSizeReached => Self::GroupMaxSizeReached,
            GroupError::MemberIdRequired => Self::MemberIdRequired,
            GroupError::FencedInstanceId => Self::FencedInstanceId,
            GroupError::OffsetMetadataTooLarge => Self::OffsetMetadataTooLarge,
            GroupError::NonEmptyGroup => Self::NonEmptyGroup,
            GroupError::GroupIdNotFound => Self::GroupIdNotFound,
            GroupError::GroupSubscribedToTopic => Self::GroupSubscribedToTopic,
        }
    }
}
