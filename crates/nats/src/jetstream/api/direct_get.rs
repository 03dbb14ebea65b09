//! `$JS.API.DIRECT.GET.<stream>` and `$JS.API.DIRECT.GET.<stream>.<subject>`: messages as they are, one or many; what
//! key-value stores read with. Nobody answers unless the stream allows it.
//! Source: nats-server 2.15, ADR-31.

use std::sync::Arc;

use duolog_broker::streams::{Batch, BatchQuery, GetError, Message, MultiQuery, Stream};
use duolog_nats_wire::jetstream::request::MsgGetRequest;
use duolog_nats_wire::jetstream::status::{DirectHeaders, Status};
use duolog_types::{Lsn, Nanos, Sequence};

use super::Later;
use super::msg_get::single;
use super::request::Request;
use crate::jetstream::convert::header_block;
use crate::jetstream::{JetStream, time};
use crate::router::Inbound;

/// Messages of one batch, whatever is asked for.
const MESSAGES_MAX: usize = 1 << 16;
/// Bytes of one batch, whatever is asked for.
const BYTES_MAX: usize = 8 << 20;
/// Subjects that one request for the last messages of many may match (the reference's).
const SUBJECTS_MAX: usize = 1024;

/// Whether the stream is there and allows it.
pub(super) fn is_allowed(jetstream: &JetStream, subject: &str) -> bool {
    let name = subject.split('.').nth(2).unwrap_or_default();
    jetstream.streams().get(name).is_some_and(|stream| stream.config().allow_direct)
}

/// The request is in the body.
pub(super) fn by_request(jetstream: Arc<JetStream>, request: Request) -> Later {
    Box::pin(async move {
        let asked = if request.body().is_empty() {
            Err(Status::EmptyRequest)
        } else {
            MsgGetRequest::decode_lenient(request.body()).map_err(|_| Status::MalformedRequest)
        };
        let checked = asked.and_then(|asked| check(&asked).map(|()| asked));
        answer(&jetstream, &request, checked).await;
    })
}

/// The request is the subject.
pub(super) fn by_subject(jetstream: Arc<JetStream>, request: Request) -> Later {
    Box::pin(async move {
        let asked = match request.body() {
            [] => Ok(MsgGetRequest::default()),
            body => MsgGetRequest::decode_lenient(body).map_err(|_| Status::MalformedRequest),
        };
        let asked = asked.and_then(|asked| {
            let alone = MsgGetRequest {
                no_hdr: asked.no_hdr,
                max_bytes: asked.max_bytes,
                ..MsgGetRequest::default()
            };
            if asked != alone {
                return Err(Status::BadDirectRequest);
            }
            Ok(MsgGetRequest { last_by_subj: request.behind(3).to_owned(), ..alone })
        });
        answer(&jetstream, &request, asked).await;
    })
}

/// Whether something is asked for, and nothing that contradicts itself.
fn check(asked: &MsgGetRequest) -> Result<(), Status> {
    let (by_sequence, by_time) = (asked.seq > 0, asked.start_time.is_some());
    let (last, next, multi) =
        (!asked.last_by_subj.is_empty(), !asked.next_by_subj.is_empty(), !asked.multi_last.is_empty());
    if !(by_sequence || by_time || last || next || multi) {
        return Err(Status::EmptyRequest);
    }
    let contradicts = (by_sequence && (last || by_time))
        || (last && (by_time || next || multi || asked.batch > 0))
        || (next && multi)
        || (asked.up_to_seq > 0 && asked.up_to_time.is_some());
    if contradicts { Err(Status::BadDirectRequest) } else { Ok(()) }
}

async fn answer(jetstream: &JetStream, request: &Request, asked: Result<MsgGetRequest, Status>) {
    let Some(reply) = request.reply() else { return };
    let asked = match asked {
        _ if !request.level_is_enough(jetstream) => Err(Status::RequiredApiLevel),
        asked => asked,
    };
    // Gone since it was looked for: silence, as after any other request to a stream that goes.
    let Some(stream) = jetstream.streams().get(request.token(2)) else { return };
    let outcome = match asked {
        Ok(asked) if !asked.multi_last.is_empty() => last_of_each(jetstream, &stream, reply, &asked).await,
        Ok(asked) if asked.batch != 0 => batch(jetstream, &stream, reply, &asked).await,
        Ok(asked) => one(jetstream, &stream, reply, &asked).await,
        Err(status) => Err((Lsn::ZERO, status)),
    };
    if let Err((after, status)) = outcome {
        let headers = status.header_block();
        jetstream.send(after, &Inbound { subject: reply, reply: None, headers: &headers, payload: b"" });
    }
}

type Refused = (Lsn, Status);

async fn one(
    jetstream: &JetStream,
    stream: &Stream,
    reply: &[u8],
    asked: &MsgGetRequest,
) -> Result<(), Refused> {
    let query = single(asked).ok_or((Lsn::ZERO, Status::EmptyRequest))?;
    let message = stream.get(query).await.map_err(|error| (stream.changed(), status(error)))?;
    let headers = headers_of(stream, &message, None, asked.no_hdr);
    // What was read is durable.
    jetstream.router.publish(&Inbound {
        subject: reply,
        reply: None,
        headers: &headers,
        payload: &message.payload,
    });
    Ok(())
}

async fn batch(
    jetstream: &JetStream,
    stream: &Stream,
    reply: &[u8],
    asked: &MsgGetRequest,
) -> Result<(), Refused> {
    let query = BatchQuery {
        from: Sequence(asked.seq),
        time: asked.start_time.map(|since| Nanos(since.to_nanos())),
        subject: Some(asked.next_by_subj.as_str()).filter(|subject| !subject.is_empty()),
        // Less than none is none, and then only the end is told.
        messages_max: if asked.batch < 0 { 0 } else { most(asked.batch, MESSAGES_MAX) },
        bytes_max: most_bytes(asked),
    };
    let found = stream.get_batch(query).await.map_err(|error| (stream.changed(), status(error)))?;
    if found.messages.is_empty() && asked.batch > 0 {
        return Err((found.lsn, Status::MessageNotFound));
    }
    send(jetstream, stream, reply, &found, asked.no_hdr, None);
    Ok(())
}

async fn last_of_each(
    jetstream: &JetStream,
    stream: &Stream,
    reply: &[u8],
    asked: &MsgGetRequest,
) -> Result<(), Refused> {
    let subjects: Vec<&str> = asked.multi_last.iter().map(String::as_str).collect();
    let query = MultiQuery {
        subjects: &subjects,
        from: Sequence(asked.seq),
        up_to: Some(Sequence(asked.up_to_seq)).filter(|sequence| *sequence > Sequence::ZERO),
        up_to_time: asked.up_to_time.map(|at| Nanos(at.to_nanos())),
        messages_max: most(asked.batch, MESSAGES_MAX),
        bytes_max: most_bytes(asked),
        subjects_max: SUBJECTS_MAX,
    };
    let found = match stream.get_last_of_each(query).await {
        Ok(found) => found,
        Err(GetError::NotFound) => return Err((stream.changed(), Status::NoResults)),
        Err(error) => return Err((stream.changed(), status(error))),
    };
    // As in the reference, whatever is said of headers.
    send(jetstream, stream, reply, &found, false, Some(found.up_to.0));
    Ok(())
}

/// What is asked for, but no more than the bound; 0 and less ask for all.
fn most(asked: i64, bound: usize) -> usize {
    usize::try_from(asked).ok().filter(|asked| *asked > 0).map_or(bound, |asked| asked.min(bound))
}

/// A negative bound is reached by any message.
fn most_bytes(asked: &MsgGetRequest) -> usize {
    if asked.max_bytes < 0 { 1 } else { most(asked.max_bytes, BYTES_MAX) }
}

/// The messages of a batch in order, and its end.
fn send(
    jetstream: &JetStream,
    stream: &Stream,
    reply: &[u8],
    found: &Batch,
    no_headers: bool,
    up_to: Option<u64>,
) {
    let mut last = 0;
    let publish = |headers: &[u8], payload: &[u8]| {
        // Through the queue, all of them: so they keep their order whatever is durable when.
        jetstream.replies.send(found.lsn, &Inbound { subject: reply, reply: None, headers, payload });
    };
    for (message, pending) in &found.messages {
        let headers = headers_of(stream, message, Some((*pending, last)), no_headers);
        publish(&headers, &message.payload);
        last = message.sequence.0;
    }
    let end = Status::EndOfBatch { pending: found.pending, last_sequence: last, up_to_sequence: up_to };
    publish(&end.header_block(), b"");
}

fn headers_of(stream: &Stream, message: &Message, batch: Option<(u64, u64)>, no_headers: bool) -> Vec<u8> {
    if no_headers {
        return Vec::new();
    }
    let headers = DirectHeaders {
        stream: stream.name(),
        subject: &message.subject,
        sequence: message.sequence.0,
        time: time(message.time),
        batch,
    };
    headers.header_block(&header_block(&message.headers))
}

fn status(error: GetError) -> Status {
    match error {
        GetError::TooMany { .. } => Status::TooManyResults,
        GetError::NotFound => Status::MessageNotFound,
        error => Status::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_ask_for_nothing_or_too_much_are_refused() {
        for (body, refused) in [
            (r#"{"seq":1}"#, None),
            (r#"{"batch":2}"#, Some(Status::EmptyRequest)),
            (r#"{"seq":1,"last_by_subj":"a"}"#, Some(Status::BadDirectRequest)),
            (r#"{"last_by_subj":"a","batch":2}"#, Some(Status::BadDirectRequest)),
            (r#"{"next_by_subj":"a","multi_last":["a"]}"#, Some(Status::BadDirectRequest)),
            (
                r#"{"multi_last":["a"],"up_to_seq":1,"up_to_time":"2020-01-01T00:00:00Z"}"#,
                Some(Status::BadDirectRequest),
            ),
            (r#"{"multi_last":["a"],"seq":1}"#, None),
        ] {
            let asked = MsgGetRequest::decode(body.as_bytes()).unwrap();
            assert_eq!(check(&asked).err(), refused, "{body}");
        }
        assert_eq!([most(0, 9), most(-1, 9), most(5, 9), most(50, 9)], [9, 9, 5, 9]);
    }
}
