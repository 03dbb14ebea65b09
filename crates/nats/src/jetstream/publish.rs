//! Messages to the subjects of streams: stored, and answered when that is durable.
//!
//! On the session's thread, without await and without the disk; a message for which nobody waits costs no more than
//! the one lock of its stream.

use std::sync::{Arc, Weak};

use duolog_broker::streams::{HeaderRef, Publish, Stream};
use duolog_nats_wire::headers::Headers;
use duolog_nats_wire::jetstream::error::{ApiError, BAD_REQUEST};
use duolog_nats_wire::jetstream::pub_ack::{PubAck, encode_refusal};
use duolog_nats_wire::subject::is_valid_literal;
use duolog_types::TopicId;

use super::{JetStream, errors};
use crate::router::{Handler, Inbound, Origin, Pace};

/// Takes the messages of one pattern.
pub(super) struct Publishes {
    pub jetstream: Weak<JetStream>,
    pub target: Target,
}

/// Where they go.
pub(super) enum Target {
    /// A stream made through NATS.
    Stream(Arc<Stream>),
    /// A topic made through Kafka: the partition that the key in the subject picks.
    Topic(TopicId),
}

impl Handler for Publishes {
    fn publish(&self, message: &Inbound<'_>, _from: Origin<'_>) -> bool {
        let Some(jetstream) = self.jetstream.upgrade() else { return false };
        // A subject that is none can't be asked for again: it isn't stored.
        let Some(subject) =
            str::from_utf8(message.subject).ok().filter(|subject| is_valid_literal(subject.as_bytes()))
        else {
            return false;
        };
        match &self.target {
            Target::Stream(stream) => store(&jetstream, stream, subject, message),
            // Of two topics whose roots match the longer one's takes it.
            Target::Topic(id) => match jetstream.streams().match_topic(*id, subject) {
                Some(stream) => store(&jetstream, &stream, subject, message),
                None => false,
            },
        }
    }

    fn end_of_batch(&self) -> Pace {
        match self.jetstream.upgrade() {
            Some(jetstream) => jetstream.replies.end_of_batch(&*jetstream.broker),
            None => Pace::Go,
        }
    }
}

/// False: the stream doesn't take it after all.
fn store(jetstream: &JetStream, stream: &Stream, subject: &str, message: &Inbound<'_>) -> bool {
    let headers = match headers(message.headers) {
        Ok(headers) => headers,
        Err(error) => {
            refuse(jetstream, stream, message, &error);
            return true;
        }
    };
    let arrival = jetstream.broker.now();
    match stream.publish(Publish { subject, headers: &headers, payload: message.payload, arrival }) {
        Ok(ack) => {
            if let Some(reply) = message.reply.filter(|_| !stream.config().no_ack) {
                let mut answer = Vec::with_capacity(64);
                let ack_fields =
                    PubAck { stream: stream.name(), seq: ack.sequence.0, duplicate: ack.duplicate };
                ack_fields.encode_to(&mut answer);
                jetstream.replies.send_in_batch(ack.lsn, &Inbound::new(reply, &answer));
            }
        }
        Err(error) => match errors::publish(&error) {
            Some(error) => refuse(jetstream, stream, message, &error),
            None => return false,
        },
    }
    true
}

fn refuse(jetstream: &JetStream, stream: &Stream, message: &Inbound<'_>, error: &ApiError) {
    if let Some(reply) = message.reply.filter(|_| !stream.config().no_ack) {
        jetstream
            .replies
            .send_in_batch(stream.changed(), &Inbound::new(reply, &encode_refusal(stream.name(), error)));
    }
}

/// The headers of a block. The reference stores any bytes; a block that isn't one has no headers that Kafka could be
/// shown, and is refused.
fn headers(block: &[u8]) -> Result<Vec<HeaderRef<'_>>, ApiError> {
    if block.is_empty() {
        return Ok(Vec::new());
    }
    let parsed = Headers::parse(block).map_err(|_| BAD_REQUEST.error())?;
    Ok(parsed.entries.into_iter().map(|(name, value)| (name, Some(value))).collect())
}
