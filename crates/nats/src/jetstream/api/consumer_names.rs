//! `$JS.API.CONSUMER.NAMES.<stream>`: the names of a stream's consumers, by page.
//! Source: nats-server 2.15, `consumer_names_response`.

use std::sync::Arc;

use duolog_broker::consumers::{Consumer, StreamConsumers};
use duolog_nats_wire::jetstream::error::{ApiError, STREAM_NOT_FOUND};
use duolog_nats_wire::jetstream::reply::{ConsumerNamesReply, NAMES_LIMIT, Page, Reply};
use duolog_nats_wire::jetstream::request::ConsumersRequest;
use duolog_types::Lsn;

use super::request::Request;
use super::stream_names::page;
use crate::jetstream::JetStream;
use crate::jetstream::consumers::of_stream;

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<ConsumerNamesReply>) {
    match listed(jetstream, request, NAMES_LIMIT) {
        Ok((after, page, consumers)) => {
            let consumers = consumers.iter().map(|consumer| consumer.name().to_string()).collect();
            (after, Ok(ConsumerNamesReply { page, consumers }))
        }
        Err(error) => (jetstream.streams().changed(), Err(error)),
    }
}

/// The page of consumers that is asked for.
pub(super) fn listed(
    jetstream: &JetStream,
    request: &Request,
    limit: u64,
) -> Result<(Lsn, Page, Vec<Arc<Consumer>>), ApiError> {
    let asked = request.decode_optional(ConsumersRequest::decode)?;
    let (_, consumers) = of_stream(jetstream, request.token(2)).ok_or_else(|| STREAM_NOT_FOUND.error())?;
    // Before the look: what changes in between is waited for next time.
    let after = changed(&consumers);
    let mut listed = consumers.list();
    let (page, range) = page(listed.len(), asked.page.offset, limit);
    Ok((after, page, listed.drain(range).collect()))
}

fn changed(consumers: &StreamConsumers) -> Lsn {
    consumers.changed()
}
