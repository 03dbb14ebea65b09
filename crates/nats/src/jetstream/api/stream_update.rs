//! `$JS.API.STREAM.UPDATE.<stream>`: changes a stream's configuration; lower limits hold at once.
//! Source: nats-server 2.15, `stream_update_response`.

use std::sync::Arc;

use duolog_nats_wire::jetstream::advisory::{Action, Event};
use duolog_nats_wire::jetstream::error::{ApiError, STREAM_MISMATCH};
use duolog_nats_wire::jetstream::reply::{Reply, StreamUpdateReply};
use duolog_nats_wire::jetstream::stream::StreamConfigRequest;
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::convert::{Detail, config_from_wire, stream_info};
use crate::jetstream::{JetStream, errors};

pub(super) fn answer(jetstream: &Arc<JetStream>, request: &Request) -> (Lsn, Reply<StreamUpdateReply>) {
    match update(jetstream, request) {
        Ok((after, reply)) => (after, Ok(reply)),
        Err(error) => (jetstream.streams().changed(), Err(error)),
    }
}

fn update(jetstream: &Arc<JetStream>, request: &Request) -> Result<(Lsn, StreamUpdateReply), ApiError> {
    let asked = request.decode(StreamConfigRequest::decode)?;
    if asked.config.name != request.token(2) {
        return Err(STREAM_MISMATCH.error());
    }
    let config = config_from_wire(asked.config)?;
    let updated =
        jetstream.streams().update(config, asked.pedantic).map_err(|error| errors::update(&error))?;
    jetstream.advise(request.token(2), Event::Stream(Action::Modify));
    let (after, info) = stream_info(jetstream, &updated.stream, Detail { server: true, ..Detail::default() });
    Ok((updated.lsn.max(after), StreamUpdateReply { info: Some(info) }))
}
