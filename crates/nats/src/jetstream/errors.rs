//! The broker's typed errors in JetStream's words: number, status and text of the reference's table. The one place
//! where one becomes the other.

use duolog_broker::AppendError;
use duolog_broker::consumers::{ConsumerConfigError, CreateConsumerError, DeleteConsumerError};
use duolog_broker::streams::{
    CreateStreamError, DeleteMessageError, DeleteStreamError, GetError, PublishError, PurgeError,
    StreamConfigError, UpdateStreamError,
};
use duolog_nats_wire::jetstream::error::{self as table, ApiError};
use duolog_nats_wire::jetstream::time::Span;

pub(super) fn config(error: &StreamConfigError) -> ApiError {
    match error {
        StreamConfigError::ReplicasNotSupported => table::STREAM_REPLICAS_NOT_SUPPORTED.error(),
        StreamConfigError::PedanticDuplicates
        | StreamConfigError::PedanticMarkerNeedsTtl
        | StreamConfigError::PedanticMarkerNeedsRollup => table::PEDANTIC.because(error),
        _ => table::STREAM_INVALID_CONFIG.because(error),
    }
}

pub(super) fn create(error: &CreateStreamError) -> ApiError {
    match error {
        CreateStreamError::Config(error) => config(error),
        CreateStreamError::NameInUse => table::STREAM_NAME_EXIST.error(),
        CreateStreamError::SubjectsOverlap { .. } => table::STREAM_SUBJECT_OVERLAP.error(),
        CreateStreamError::TooMany { .. } => table::MAXIMUM_STREAMS_LIMIT.error(),
        CreateStreamError::MemoryExceeded { .. } => table::MEMORY_RESOURCES_EXCEEDED.error(),
        CreateStreamError::Log(error) => table::STREAM_CREATE.because(error),
    }
}

pub(super) fn update(error: &UpdateStreamError) -> ApiError {
    match error {
        UpdateStreamError::NotFound => table::STREAM_NOT_FOUND.error(),
        UpdateStreamError::Config(error) => config(error),
        UpdateStreamError::SubjectsOverlap { .. } => table::STREAM_SUBJECT_OVERLAP.error(),
        UpdateStreamError::MemoryExceeded { .. } => table::MEMORY_RESOURCES_EXCEEDED.error(),
        UpdateStreamError::LimitsViolated { .. } => table::STREAM_UPDATE.because(error),
        UpdateStreamError::Log(error) => table::STREAM_UPDATE.because(error),
    }
}

pub(super) fn delete(error: &DeleteStreamError) -> ApiError {
    match error {
        DeleteStreamError::NotFound => table::STREAM_NOT_FOUND.error(),
        DeleteStreamError::OneOfSeveral { .. } | DeleteStreamError::Log(_) => {
            table::STREAM_DELETE.because(error)
        }
    }
}

pub(super) fn purge(error: &PurgeError) -> ApiError {
    match error {
        PurgeError::Sealed => table::STREAM_SEALED.error(),
        PurgeError::SequenceAndKeep => table::BAD_REQUEST.error(),
        PurgeError::NotPermitted | PurgeError::SequenceTooLarge { .. } | PurgeError::Log(_) => {
            table::STREAM_PURGE_FAILED.because(error)
        }
    }
}

pub(super) fn delete_message(error: &DeleteMessageError) -> ApiError {
    match error {
        DeleteMessageError::Sealed => table::STREAM_SEALED.error(),
        DeleteMessageError::NotFound { sequence } => table::SEQUENCE_NOT_FOUND.with(&[("seq", sequence)]),
        DeleteMessageError::NotPermitted | DeleteMessageError::Log(_) => {
            table::STREAM_MSG_DELETE_FAILED.because(error)
        }
    }
}

pub(super) fn get(error: &GetError) -> ApiError {
    match error {
        GetError::NotFound => table::NO_MESSAGE_FOUND.error(),
        GetError::TooMany { .. } | GetError::Storage(_) | GetError::Record { .. } | GetError::Poisoned(_) => {
            table::STREAM_GENERAL_ERROR.because(error)
        }
    }
}

/// `None`: the subject isn't the stream's, so nobody answers.
pub(super) fn publish(error: &PublishError) -> Option<ApiError> {
    Some(match error {
        PublishError::Sealed => table::STREAM_SEALED.error(),
        PublishError::AtomicDisabled => table::ATOMIC_PUBLISH_DISABLED.error(),
        PublishError::CounterDisabled => table::MESSAGE_INCR_DISABLED.error(),
        PublishError::CounterInvalid => table::MESSAGE_INCR_INVALID.error(),
        PublishError::WrongStream => table::STREAM_NOT_MATCH.error(),
        PublishError::TtlDisabled => table::MESSAGE_TTL_DISABLED.error(),
        PublishError::TtlInvalid => table::MESSAGE_TTL_INVALID.error(),
        PublishError::WrongLastSequence { last } => table::STREAM_WRONG_LAST_SEQUENCE.with(&[("seq", last)]),
        PublishError::ExpectedSubjectWithoutSequence => {
            table::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID.error()
        }
        PublishError::SchedulesDisabled => table::MESSAGE_SCHEDULES_DISABLED.error(),
        PublishError::WrongLastMsgId { last } => table::STREAM_WRONG_LAST_MSG_ID.with(&[("id", last)]),
        PublishError::RollupNotPermitted | PublishError::RollupInvalid { .. } => {
            table::STREAM_ROLLUP_FAILED.because(error)
        }
        PublishError::TooLarge { .. } => table::STREAM_MESSAGE_EXCEEDS_MAXIMUM.error(),
        PublishError::HeadersTooLarge { .. } => table::STREAM_HEADER_EXCEEDS_MAXIMUM.error(),
        PublishError::Log(AppendError::MemoryFull { .. }) => table::INSUFFICIENT_RESOURCES.error(),
        PublishError::MaxMessages
        | PublishError::MaxBytes
        | PublishError::MaxMessagesPerSubject
        | PublishError::NotIndexed
        | PublishError::Log(_) => table::STREAM_STORE_FAILED.because(error),
        PublishError::NotOurs { .. } => return None,
    })
}

pub(super) fn create_consumer(error: &CreateConsumerError) -> ApiError {
    use CreateConsumerError as Error;
    match error {
        Error::Config(error) => consumer_config(error),
        Error::StreamNotFound => table::STREAM_NOT_FOUND.error(),
        Error::AlreadyExists => table::CONSUMER_ALREADY_EXISTS.error(),
        Error::DoesNotExist => table::CONSUMER_DOES_NOT_EXIST.error(),
        Error::TooMany { .. } => table::MAXIMUM_CONSUMERS_LIMIT.error(),
        Error::WorkQueueMultipleUnfiltered => table::CONSUMER_WQ_MULTIPLE_UNFILTERED.error(),
        Error::WorkQueueNotUnique => table::CONSUMER_WQ_CONSUMER_NOT_UNIQUE.error(),
        Error::NotUpdatable(_) | Error::PullToPush | Error::PushToPull => {
            table::CONSUMER_CREATE.because(error)
        }
        Error::NameInUse => table::CONSUMER_NAME_EXIST.error(),
        Error::Log(error) => table::CONSUMER_STORE_FAILED.because(error),
    }
}

pub(super) fn delete_consumer(error: &DeleteConsumerError) -> ApiError {
    match error {
        DeleteConsumerError::NotFound => table::CONSUMER_NOT_FOUND.error(),
        DeleteConsumerError::Log(error) => table::CONSUMER_STORE_FAILED.because(error),
    }
}

fn consumer_config(error: &ConsumerConfigError) -> ApiError {
    use ConsumerConfigError as Error;
    match error {
        Error::Pedantic(text) => table::PEDANTIC.because(text),
        Error::Invalid(text) => table::STREAM_INVALID_CONFIG.because(text),
        Error::BadName => table::CONSUMER_BAD_DURABLE_NAME.error(),
        Error::NameTooLong { limit } => table::CONSUMER_NAME_TOO_LONG.with(&[("max", limit)]),
        Error::NamesDiffer => table::CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH.error(),
        Error::ReplicasExceedStream => table::CONSUMER_REPLICAS_EXCEEDS_STREAM.error(),
        Error::ReplicasNegative => table::REPLICAS_COUNT_CANNOT_BE_NEGATIVE.error(),
        Error::BackoffNegative => table::CONSUMER_BACK_OFF_NEGATIVE.error(),
        Error::AckWaitNegative => table::CONSUMER_ACK_WAIT_NEGATIVE.error(),
        Error::BackoffTooLong => table::CONSUMER_MAX_DELIVER_BACKOFF.error(),
        Error::DescriptionTooLong { limit } => table::CONSUMER_DESCRIPTION_TOO_LONG.with(&[("max", limit)]),
        Error::MetadataTooLarge { limit } => {
            table::CONSUMER_METADATA_LENGTH.with(&[("limit", &format_args!("{}KB", limit / 1024))])
        }
        Error::DeliverToWildcards => table::CONSUMER_DELIVER_TO_WILDCARDS.error(),
        Error::DeliverSubjectInvalid => table::CONSUMER_INVALID_DELIVER_SUBJECT.error(),
        Error::DeliverCycle => table::CONSUMER_DELIVER_CYCLE.error(),
        Error::PushMaxWaiting => table::CONSUMER_PUSH_MAX_WAITING.error(),
        Error::MaxPendingNeedsAckPolicy => table::CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED.error(),
        Error::HeartbeatTooSmall => table::CONSUMER_SMALL_HEARTBEAT.error(),
        Error::PullNeedsAck => table::CONSUMER_PULL_REQUIRES_ACK.error(),
        Error::PullRateLimit => table::CONSUMER_PULL_WITH_RATE_LIMIT.error(),
        Error::HeartbeatNeedsPush => table::CONSUMER_HB_REQUIRES_PUSH.error(),
        Error::FlowControlNeedsPush => table::CONSUMER_FC_REQUIRES_PUSH.error(),
        Error::MaxExpiresTooSmall => table::CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL.error(),
        Error::MaxAckPendingExceeds { limit } => {
            table::CONSUMER_MAX_PENDING_ACK_EXCESS.with(&[("limit", limit)])
        }
        Error::InactiveThresholdExceeds { limit } => {
            table::CONSUMER_INACTIVE_THRESHOLD_EXCESS.with(&[("limit", &Span(*limit))])
        }
        Error::BothFilters => table::CONSUMER_DUPLICATE_FILTER_SUBJECTS.error(),
        Error::EmptyFilter => table::CONSUMER_EMPTY_FILTER.error(),
        Error::FiltersOverlap => table::CONSUMER_OVERLAPPING_SUBJECT_FILTERS.error(),
        Error::Policy { .. } => table::CONSUMER_INVALID_POLICY.because(error),
        Error::Sampling { value } => {
            let reason = format!("strconv.Atoi: parsing {value:?}: invalid syntax");
            table::CONSUMER_INVALID_SAMPLING.because(reason)
        }
        Error::FlowControlNeedsHeartbeat => table::CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS.error(),
        Error::WorkQueueNeedsExplicitAck => table::CONSUMER_WQ_REQUIRES_EXPLICIT_ACK.error(),
        Error::WorkQueueNeedsDeliverAll => table::CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL.error(),
    }
}
