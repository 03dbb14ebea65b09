//! `$JS.API.STREAM.DELETE.<stream>`: deletes a stream, and the topic that it is. There must be no body.
//! Source: nats-server 2.15, `stream_delete_response`.

use std::sync::Arc;

use duolog_nats_wire::jetstream::advisory::{Action, Event};
use duolog_nats_wire::jetstream::error::ApiError;
use duolog_nats_wire::jetstream::reply::{Reply, StreamDeleteReply};
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::{JetStream, errors};

pub(super) fn answer(jetstream: &Arc<JetStream>, request: &Request) -> (Lsn, Reply<StreamDeleteReply>) {
    match delete(jetstream, request) {
        Ok(after) => (after, Ok(StreamDeleteReply { success: true })),
        Err(error) => (jetstream.streams().changed(), Err(error)),
    }
}

fn delete(jetstream: &Arc<JetStream>, request: &Request) -> Result<Lsn, ApiError> {
    request.must_be_empty()?;
    let after = jetstream.streams().delete(request.token(2)).map_err(|error| errors::delete(&error))?;
    jetstream.advise(request.token(2), Event::Stream(Action::Delete));
    Ok(after)
}
