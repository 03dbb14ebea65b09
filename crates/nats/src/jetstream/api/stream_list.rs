//! `$JS.API.STREAM.LIST`: the streams with all there is to tell, by page; with a subject, those that take it.
//! Source: nats-server 2.15, `stream_list_response`.

use duolog_nats_wire::jetstream::reply::{LIST_LIMIT, Reply, StreamListReply};
use duolog_nats_wire::jetstream::request::StreamListRequest;
use duolog_types::Lsn;

use super::request::Request;
use super::stream_names::page;
use crate::jetstream::JetStream;
use crate::jetstream::convert::{Detail, stream_info};

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<StreamListReply>) {
    let mut after = jetstream.streams().changed();
    let reply = request.decode_optional(StreamListRequest::decode).map(|asked| {
        let names =
            jetstream.streams().names(Some(asked.subject.as_str()).filter(|subject| !subject.is_empty()));
        let (page, range) = page(names.len(), asked.page.offset, LIST_LIMIT);
        // By name, and only those of the page: what nobody asks for of a topic isn't opened. One may have gone meanwhile.
        let streams = names[range].iter().filter_map(|name| jetstream.streams().get(name));
        let told = streams.map(|stream| {
            let (lsn, info) = stream_info(jetstream, &stream, Detail::default());
            after = after.max(lsn);
            info
        });
        StreamListReply { page, streams: told.collect() }
    });
    (after, reply)
}
