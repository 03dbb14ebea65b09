//! `$JS.API.STREAM.NAMES`: the streams' names, by page; with a subject, of those that take it.
//! Source: nats-server 2.15, `stream_names_response`.

use duolog_nats_wire::jetstream::reply::{NAMES_LIMIT, Page, Reply, StreamNamesReply};
use duolog_nats_wire::jetstream::request::StreamNamesRequest;
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::JetStream;

pub(super) fn answer(jetstream: &JetStream, request: &Request) -> (Lsn, Reply<StreamNamesReply>) {
    // Before the look: what changes in between is waited for next time.
    let after = jetstream.streams().changed();
    let reply = request.decode_optional(StreamNamesRequest::decode).map(|asked| {
        let names =
            jetstream.streams().names(Some(asked.subject.as_str()).filter(|subject| !subject.is_empty()));
        let (page, range) = page(names.len(), asked.page.offset, NAMES_LIMIT);
        StreamNamesReply { page, streams: names[range].iter().map(ToString::to_string).collect() }
    });
    (after, reply)
}

/// The part of `total` entries that begins at `offset`; an offset outside is moved to the nearest inside.
pub(super) fn page(total: usize, offset: i64, limit: u64) -> (Page, std::ops::Range<usize>) {
    let offset = usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(total);
    let end = total.min(offset + limit as usize);
    (Page { total: total as u64, offset: offset as u64, limit }, offset..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stays_inside() {
        for (total, offset, range) in [(5, 0, 0..3), (5, 3, 3..5), (5, 9, 5..5), (5, -1, 0..3), (0, 0, 0..0)]
        {
            let (page, found) = page(total, offset, 3);
            assert_eq!((found.clone(), page.offset), (range, found.start as u64));
            assert_eq!((page.total, page.limit), (total as u64, 3));
        }
        assert_eq!(page(5, i64::MAX, 3).1, 5..5);
    }
}
