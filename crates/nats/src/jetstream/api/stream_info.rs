//! `$JS.API.STREAM.INFO.<stream>`: all there is to tell of a stream; on request its deleted sequences, and how many
//! messages each subject has, by page.
//! Source: nats-server 2.15, `stream_info_response`.

use duolog_nats_wire::jetstream::error::{ApiError, STREAM_NOT_FOUND};
use duolog_nats_wire::jetstream::reply::{Page, Reply, SUBJECTS_LIMIT, StreamInfoReply};
use duolog_nats_wire::jetstream::request::StreamInfoRequest;
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::JetStream;
use crate::jetstream::convert::{Detail, stream_info};

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<StreamInfoReply>) {
    match tell(jetstream, request) {
        Ok((after, reply)) => (after, Ok(reply)),
        Err(error) => (jetstream.streams().changed(), Err(error)),
    }
}

fn tell(jetstream: &JetStream, request: &Request) -> Result<(Lsn, StreamInfoReply), ApiError> {
    let asked = request.decode_optional(StreamInfoRequest::decode)?;
    let stream = jetstream.streams().get(request.token(2)).ok_or_else(|| STREAM_NOT_FOUND.error())?;
    let detail = Detail { leader: true, server: true, deleted: asked.deleted_details };
    let (mut after, mut info) = stream_info(jetstream, &stream, detail);
    let mut page = Page::default();
    if !asked.subjects_filter.is_empty() {
        let offset = usize::try_from(asked.page.offset.max(0)).unwrap_or(usize::MAX);
        let counts = stream.subjects(&asked.subjects_filter, offset, SUBJECTS_LIMIT as usize);
        after = after.max(counts.lsn);
        if counts.total > 0 {
            // As asked, even if it lies behind the last one.
            page = Page { total: counts.total as u64, offset: offset as u64, limit: SUBJECTS_LIMIT };
            info.state.subjects = counts.page.into_iter().collect();
        }
    }
    Ok((after, StreamInfoReply { page, info: Some(info) }))
}
