//! `$JS.API.STREAM.PURGE.<stream>`: deletes all messages, or those of a subject, below a sequence, but so many.
//! Source: nats-server 2.15, `stream_purge_response`.

use std::sync::Arc;

use duolog_broker::streams::{Purge, Stream};
use duolog_nats_wire::jetstream::error::{ApiError, BAD_REQUEST, STREAM_NOT_FOUND};
use duolog_nats_wire::jetstream::reply::{Reply, StreamPurgeReply};
use duolog_nats_wire::jetstream::request::StreamPurgeRequest;
use duolog_types::{Lsn, Sequence};

use super::request::Request;
use crate::jetstream::{JetStream, errors};

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<StreamPurgeReply>) {
    match purge(jetstream, request) {
        Ok((after, purged)) => (after, Ok(StreamPurgeReply { success: true, purged })),
        Err(error) => (jetstream.streams().changed(), Err(error)),
    }
}

fn purge(jetstream: &JetStream, request: &Request) -> Result<(Lsn, u64), ApiError> {
    let asked = request.decode_optional(StreamPurgeRequest::decode)?;
    if asked.seq > 0 && asked.keep > 0 {
        return Err(BAD_REQUEST.error());
    }
    let stream = jetstream.streams().get(request.token(2)).ok_or_else(|| STREAM_NOT_FOUND.error())?;
    let purge = Purge {
        subject: Some(asked.filter).filter(|filter| !filter.is_empty()),
        below: Sequence(asked.seq),
        keep: asked.keep,
    };
    let purged = stream.purge(&purge).map_err(|error| errors::purge(&error))?;
    // Consumers pass over what is gone, or look at each that they have in flight.
    let filter = purge.subject.as_deref();
    jetstream.consumers.purged(stream.partition().id(), purged_below(&stream, &purge), filter);
    Ok((purged.lsn, purged.messages))
}

/// Below which sequence nothing is left of what was to be purged.
fn purged_below(stream: &Arc<Stream>, purge: &Purge) -> Sequence {
    let end = stream.state().last_sequence.next();
    match (purge.below, purge.keep) {
        (Sequence::ZERO, 0) => end,
        (below, 0) => below.min(end),
        _ => {
            let left = stream.cursor(purge.subject.as_slice(), Sequence(1)).peek();
            left.map_or(end, |left| left.sequence)
        }
    }
}
