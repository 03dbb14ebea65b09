//! `$JS.API.STREAM.MSG.DELETE.<stream>`: deletes one message. `no_erase` changes nothing here: what is deleted is
//! gone for every reader, and its bytes go with their segment.
//! Source: nats-server 2.15, `stream_msg_delete_response`.

use duolog_broker::streams::{DeleteMessageError, StorageType, Stream};
use duolog_nats_wire::jetstream::error::{ApiError, BAD_REQUEST, STREAM_MSG_DELETE_FAILED, STREAM_NOT_FOUND};
use duolog_nats_wire::jetstream::reply::{MsgDeleteReply, Reply};
use duolog_nats_wire::jetstream::request::MsgDeleteRequest;
use duolog_types::{Lsn, Sequence};

use super::request::Request;
use crate::jetstream::{JetStream, errors};

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<MsgDeleteReply>) {
    match delete(jetstream, request) {
        Ok(after) => (after, Ok(MsgDeleteReply { success: true })),
        Err((after, error)) => (after, Err(error)),
    }
}

fn delete(jetstream: &JetStream, request: &Request) -> Result<Lsn, (Lsn, ApiError)> {
    let missing = |error| (jetstream.streams().changed(), error);
    if request.is_empty() {
        return Err(missing(BAD_REQUEST.error()));
    }
    let asked = request.decode(MsgDeleteRequest::decode).map_err(missing)?;
    let stream = jetstream.streams().get(request.token(3));
    let stream = stream.ok_or_else(|| missing(STREAM_NOT_FOUND.error()))?;
    let sequence = Sequence(asked.seq);
    let after =
        stream.delete_message(sequence).map_err(|error| (stream.changed(), refusal(&stream, &error)))?;
    jetstream.consumers.deleted(stream.partition().id(), sequence);
    Ok(after)
}

/// The reference's stores tell apart, on disk alone, what was never there.
fn refusal(stream: &Stream, error: &DeleteMessageError) -> ApiError {
    match error {
        DeleteMessageError::NotFound { sequence } if stream.config().storage == StorageType::File => {
            if *sequence == Sequence::ZERO {
                STREAM_MSG_DELETE_FAILED.because("no message found")
            } else if *sequence > stream.state().last_sequence {
                STREAM_MSG_DELETE_FAILED.because("stream store EOF")
            } else {
                errors::delete_message(error)
            }
        }
        error => errors::delete_message(error),
    }
}
