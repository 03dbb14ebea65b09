//! `$JS.API.CONSUMER.INFO.<stream>.<consumer>`: all there is to tell of a consumer. There must be no body.
//! Source: nats-server 2.15, `consumer_info_response`.

use duolog_nats_wire::jetstream::error::{ApiError, CONSUMER_NOT_FOUND, STREAM_NOT_FOUND};
use duolog_nats_wire::jetstream::reply::{ConsumerInfoReply, Reply};
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::JetStream;
use crate::jetstream::consumers::convert::info_to_wire;
use crate::jetstream::consumers::of_stream;

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<ConsumerInfoReply>) {
    match tell(jetstream, request) {
        Ok((after, reply)) => (after, Ok(reply)),
        Err((after, error)) => (after, Err(error)),
    }
}

fn tell(jetstream: &JetStream, request: &Request) -> Result<(Lsn, ConsumerInfoReply), (Lsn, ApiError)> {
    request.must_be_empty().map_err(|error| (Lsn::ZERO, error))?;
    let (_, consumers) = of_stream(jetstream, request.token(2))
        .ok_or_else(|| (jetstream.streams().changed(), STREAM_NOT_FOUND.error()))?;
    let missing = || (consumers.changed(), CONSUMER_NOT_FOUND.error());
    let consumer = consumers.get(request.token(3)).ok_or_else(missing)?;
    let (info, lsn) = jetstream.consumers.info(&consumer).ok_or_else(missing)?;
    let info = info_to_wire(request.token(2), &consumer, &info, Some(&jetstream.identity), jetstream.now());
    Ok((lsn, ConsumerInfoReply { info: Some(info) }))
}
