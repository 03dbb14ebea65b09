//! `$JS.API.CONSUMER.LIST.<stream>`: a stream's consumers with all there is to tell, by page.
//! Source: nats-server 2.15, `consumer_list_response`.

use duolog_nats_wire::jetstream::reply::{ConsumerListReply, LIST_LIMIT, Reply};
use duolog_types::Lsn;

use super::consumer_names::listed;
use super::request::Request;
use crate::jetstream::JetStream;
use crate::jetstream::consumers::convert::info_to_wire;

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<ConsumerListReply>) {
    match listed(jetstream, request, LIST_LIMIT) {
        Ok((mut after, page, listed)) => {
            let mut consumers = Vec::with_capacity(listed.len());
            for consumer in listed {
                // One that went meanwhile is left out.
                let Some((info, lsn)) = jetstream.consumers.info(&consumer) else { continue };
                after = after.max(lsn);
                consumers.push(info_to_wire(request.token(2), &consumer, &info, None, jetstream.now()));
            }
            (after, Ok(ConsumerListReply { page, consumers }))
        }
        Err(error) => (jetstream.streams().changed(), Err(error)),
    }
}
