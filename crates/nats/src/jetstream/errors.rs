//! The broker's typed errors in JetStream's words: number, status and text of the reference's table. The one place
//! where one becomes the other.

use duolog_broker::streams::{
    CreateStreamError, DeleteMessageError, DeleteStreamError, GetError, PublishError, PurgeError,
    StreamConfigError, UpdateStreamError,
};
use duolog_nats_wire::jetstream::error::{self as table, ApiError};

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
        CreateStreamError::Log(error) => table::STREAM_CREATE.because(error),
    }
}

pub(super) fn update(error: &UpdateStreamError) -> ApiError {
    match error {
        UpdateStreamError::NotFound => table::STREAM_NOT_FOUND.error(),
        UpdateStreamError::Config(error) => config(error),
        UpdateStreamError::SubjectsOverlap { .. } => table::STREAM_SUBJECT_OVERLAP.error(),
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
        PurgeError::NotPermitted | PurgeError::Log(_) => table::STREAM_PURGE_FAILED.because(error),
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
        PublishError::MaxMessages
        | PublishError::MaxBytes
        | PublishError::MaxMessagesPerSubject
        | PublishError::Log(_) => table::STREAM_STORE_FAILED.because(error),
        PublishError::NotOurs { .. } => return None,
    })
}
