//! `$JS.API.STREAM.MSG.GET.<stream>`: one message as JSON, by sequence, as the last or next of a subject, or by time.
//! Source: nats-server 2.15, `stream_msg_get_response`.

use std::sync::Arc;

use duolog_broker::streams::GetQuery;
use duolog_nats_wire::jetstream::error::{ApiError, BAD_REQUEST, REQUIRED_API_LEVEL, STREAM_NOT_FOUND};
use duolog_nats_wire::jetstream::reply::{MsgGetReply, StoredMessage, encode_reply};
use duolog_nats_wire::jetstream::request::MsgGetRequest;
use duolog_types::{Lsn, Nanos, Sequence};

use super::request::Request;
use super::{Answer, Later, respond};
use crate::jetstream::convert::header_block;
use crate::jetstream::{JetStream, errors, time};

pub(super) fn run(jetstream: Arc<JetStream>, request: Request) -> Later {
    Box::pin(async move {
        let (after, reply) = match get(&jetstream, &request).await {
            Ok((after, message)) => (after, Ok(MsgGetReply { message: Some(message) })),
            Err((after, error)) => (after, Err(error)),
        };
        let answer = Answer { after, payload: encode_reply(&reply), refused: reply.is_err() };
        respond(&jetstream, &request, &answer);
    })
}

async fn get(jetstream: &JetStream, request: &Request) -> Result<(Lsn, StoredMessage), (Lsn, ApiError)> {
    let missing = |error| (jetstream.streams().changed(), error);
    if !request.level_is_enough(jetstream) {
        return Err((Lsn::ZERO, REQUIRED_API_LEVEL.error()));
    }
    if request.is_empty() {
        return Err((Lsn::ZERO, BAD_REQUEST.error()));
    }
    let asked = request.decode(MsgGetRequest::decode).map_err(|error| (Lsn::ZERO, error))?;
    let query = query(&asked).ok_or_else(|| (Lsn::ZERO, BAD_REQUEST.error()))?;
    let stream = jetstream.streams().get(request.token(3));
    let stream = stream.ok_or_else(|| missing(STREAM_NOT_FOUND.error()))?;
    let message = stream.get(query).await.map_err(|error| (stream.changed(), errors::get(&error)))?;
    let hdrs = if asked.no_hdr { Vec::new() } else { header_block(&message.headers) };
    let (subject, data) = (message.subject, message.payload.to_vec());
    // What was read is durable.
    Ok((Lsn::ZERO, StoredMessage { subject, seq: message.sequence.0, hdrs, data, time: time(message.time) }))
}

/// What is asked for; `None` if that contradicts itself, or is more than one message.
fn query(asked: &MsgGetRequest) -> Option<GetQuery<'_>> {
    let (by_sequence, by_time) = (asked.seq > 0, asked.start_time.is_some());
    let (last, next) = (!asked.last_by_subj.is_empty(), !asked.next_by_subj.is_empty());
    // A place to begin and "the last one" exclude each other, and so do two places.
    let places = [by_sequence, by_time, last].into_iter().filter(|given| *given).count();
    let many = asked.batch > 0 || asked.max_bytes > 0;
    let contradicts = places > 1 || (last && next) || many;
    if contradicts {
        return None;
    }
    single(asked)
}

/// The query for one message; `None` if nothing is asked for.
pub(super) fn single(asked: &MsgGetRequest) -> Option<GetQuery<'_>> {
    let next = Some(asked.next_by_subj.as_str()).filter(|subject| !subject.is_empty());
    if let Some(since) = asked.start_time {
        return Some(GetQuery::SinceTime { time: Nanos(since.to_nanos()), subject: next });
    }
    if let Some(subject) = next {
        return Some(GetQuery::NextBySubject { subject, from: Sequence(asked.seq) });
    }
    if asked.seq > 0 {
        return Some(GetQuery::Sequence(Sequence(asked.seq)));
    }
    (!asked.last_by_subj.is_empty()).then_some(GetQuery::LastBySubject(&asked.last_by_subj))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> MsgGetRequest {
        MsgGetRequest::decode(body.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_one_message() {
        for (body, expected) in [
            (r#"{"seq":3}"#, Some(GetQuery::Sequence(Sequence(3)))),
            (r#"{"last_by_subj":"a"}"#, Some(GetQuery::LastBySubject("a"))),
            (
                r#"{"next_by_subj":"a","seq":3}"#,
                Some(GetQuery::NextBySubject { subject: "a", from: Sequence(3) }),
            ),
            (
                r#"{"start_time":"1970-01-01T00:00:01Z"}"#,
                Some(GetQuery::SinceTime { time: Nanos(1_000_000_000), subject: None }),
            ),
            (r#"{"no_hdr":true}"#, None),
            (r#"{"seq":3,"last_by_subj":"a"}"#, None),
            (r#"{"seq":3,"start_time":"1970-01-01T00:00:01Z"}"#, None),
            (r#"{"last_by_subj":"a","next_by_subj":"a"}"#, None),
            (r#"{"seq":3,"batch":2}"#, None),
        ] {
            assert_eq!(query(&asked(body)), expected, "{body}");
        }
    }
}
