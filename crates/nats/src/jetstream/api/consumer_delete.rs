//! `$JS.API.CONSUMER.DELETE.<stream>.<consumer>`: deletes a consumer; who waits for its messages is told. There must be
//! no body.
//! Source: nats-server 2.15, `consumer_delete_response`.

use duolog_nats_wire::jetstream::advisory;
use duolog_nats_wire::jetstream::error::{ApiError, CONSUMER_NOT_FOUND, STREAM_NOT_FOUND};
use duolog_nats_wire::jetstream::reply::{ConsumerDeleteReply, Reply};
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::consumers::of_stream;
use crate::jetstream::{JetStream, errors};

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<ConsumerDeleteReply>) {
    match delete(jetstream, request) {
        Ok(after) => (after, Ok(ConsumerDeleteReply { success: true })),
        Err((after, error)) => (after, Err(error)),
    }
}

fn delete(jetstream: &JetStream, request: &Request) -> Result<Lsn, (Lsn, ApiError)> {
    request.must_be_empty().map_err(|error| (Lsn::ZERO, error))?;
    let (_, consumers) = of_stream(jetstream, request.token(2))
        .ok_or_else(|| (jetstream.streams().changed(), STREAM_NOT_FOUND.error()))?;
    let name = request.token(3);
    let consumer = consumers.get(name).ok_or_else(|| (consumers.changed(), CONSUMER_NOT_FOUND.error()))?;
    let after = jetstream
        .consumers
        .delete(&consumers, name)
        .map_err(|error| (consumers.changed(), errors::delete_consumer(&error)))?;
    jetstream.interests.forget(&consumer);
    jetstream.advise(request.token(2), advisory::Event::Consumer(name, advisory::Action::Delete));
    Ok(after)
}
