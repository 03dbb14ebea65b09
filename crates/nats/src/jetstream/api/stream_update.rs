//! `$JS.API.STREAM.UPDATE.<stream>`: changes a stream's configuration; lower limits hold at once.
//! Source: nats-server 2.15, `stream_update_response`.

use std::sync::Arc;

use duolog_broker::streams::{UpdateStreamError, check_config};
use duolog_nats_wire::jetstream::advisory::{Action, Event};
use duolog_nats_wire::jetstream::error::{ApiError, STREAM_MISMATCH};
use duolog_nats_wire::jetstream::reply::{Reply, StreamUpdateReply};
use duolog_nats_wire::jetstream::stream::StreamConfigRequest;
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::consumers::of_stream;
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
    // In the reference's order: what is wrong in itself comes before whose it is.
    let config = config_from_wire(asked.config)?;
    if config.name != request.token(2) {
        check_config(&config, asked.pedantic).map_err(|error| errors::config(&error))?;
        return Err(STREAM_MISMATCH.error());
    }
    let of_stream = of_stream(jetstream, &config.name).map(|(_, consumers)| consumers);
    let updated = jetstream
        .streams()
        .update_if(config, asked.pedantic, |old, new| {
            let Some(of_stream) = of_stream else { return Ok(()) };
            let consumers = of_stream.beyond(&old.consumer_limits, &new.consumer_limits);
            if consumers.is_empty() { Ok(()) } else { Err(UpdateStreamError::LimitsViolated { consumers }) }
        })
        .map_err(|error| errors::update(&error))?;
    jetstream.advise(request.token(2), Event::Stream(Action::Modify));
    let (after, info) = stream_info(jetstream, &updated.stream, Detail { server: true, ..Detail::default() });
    Ok((updated.lsn.max(after), StreamUpdateReply { info: Some(info) }))
}
