//! `$JS.API.STREAM.CREATE.<stream>`: makes a stream; one with the same configuration is found instead.
//! Source: nats-server 2.15, `stream_create_response`.

use std::sync::Arc;

use duolog_nats_wire::jetstream::advisory::{Action, Event};
use duolog_nats_wire::jetstream::error::{ApiError, STREAM_INVALID_CONFIG, STREAM_MISMATCH};
use duolog_nats_wire::jetstream::reply::{Reply, StreamCreateReply};
use duolog_nats_wire::jetstream::stream::StreamConfigRequest;
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::convert::{Detail, config_from_wire, stream_info};
use crate::jetstream::{JetStream, errors};

pub(super) fn answer(jetstream: &Arc<JetStream>, request: &Request) -> (Lsn, Reply<StreamCreateReply>) {
    match create(jetstream, request) {
        Ok((after, reply)) => (after, Ok(reply)),
        // A refusal tells of the streams that there are.
        Err(error) => (jetstream.streams().changed(), Err(error)),
    }
}

fn create(jetstream: &Arc<JetStream>, request: &Request) -> Result<(Lsn, StreamCreateReply), ApiError> {
    let asked = request.decode(StreamConfigRequest::decode)?;
    if asked.config.name != request.token(2) {
        return Err(STREAM_MISMATCH.error());
    }
    if asked.config.sealed {
        return Err(STREAM_INVALID_CONFIG.because("stream configuration for create can not be sealed"));
    }
    let config = config_from_wire(asked.config)?;
    if config.mirror_direct {
        return Err(STREAM_INVALID_CONFIG.because("stream has no mirror but does have mirror direct"));
    }
    let created =
        jetstream.streams().create(config, asked.pedantic).map_err(|error| errors::create(&error))?;
    if created.did_create {
        jetstream.advise(request.token(2), Event::Stream(Action::Create));
    }
    let (after, info) = stream_info(jetstream, &created.stream, Detail { server: true, ..Detail::default() });
    // The reference says so of a stream that was there already, too.
    Ok((created.lsn.max(after), StreamCreateReply { info: Some(info), did_create: true }))
}
