//! `$JS.ACK.>` and `$JS.FC.>`: what clients say about deliveries, and that they keep up.

use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use duolog_broker::consumers::{Ack, AckKind, AckPolicy, ReplyTo};
use duolog_nats_wire::jetstream::ack::{AckKind as Said, AckSubject};
use duolog_types::Sequence;

use super::convert::pull_request;
use crate::jetstream::JetStream;
use crate::router::{Handler, Inbound, Origin, Pace};

/// What acknowledgements are published to.
pub(crate) const ACK_PATTERN: &str = "$JS.ACK.>";
/// What flow control is answered on.
pub(crate) const FLOW_PATTERN: &str = "$JS.FC.>";
/// What the subjects of flow control begin with.
pub(super) const FLOW_PREFIX: &str = "$JS.FC.";

/// Takes acknowledgements.
pub(crate) struct Acks(pub(crate) Weak<JetStream>);

impl Handler for Acks {
    fn publish(&self, message: &Inbound<'_>, _from: Origin<'_>) -> bool {
        let Some(jetstream) = self.0.upgrade() else { return false };
        let Some(subject) = str::from_utf8(message.subject).ok().and_then(AckSubject::parse) else {
            return false;
        };
        let Some(consumer) = super::find(&jetstream, subject.stream, subject.consumer) else { return false };
        if consumer.config().ack_policy == AckPolicy::None {
            // Nothing is awaited, so nobody listens.
            return false;
        }
        let Some(said) = Said::parse(message.payload) else {
            // Not understood, and answered all the same, as the reference does.
            if let Some(reply) = message.reply {
                jetstream.router.publish(&Inbound::new(reply, b""));
            }
            return true;
        };
        let reply = message.reply.map(|reply| ReplyTo(Bytes::copy_from_slice(reply)));
        let kind = match said {
            Said::Ack => AckKind::Ack,
            Said::Nak(delay) => {
                let nanos = u64::try_from(delay.0).unwrap_or(0);
                AckKind::Nak { delay: (nanos > 0).then(|| Duration::from_nanos(nanos)) }
            }
            Said::InProgress => AckKind::Progress,
            Said::Term(reason) => AckKind::Term { reason: (!reason.is_empty()).then(|| reason.to_owned()) },
            Said::Next(body) => match message.reply.map(|reply| (reply, pull_request(reply, body))) {
                None => AckKind::Ack,
                Some((_, Ok(request))) => AckKind::Next(request),
                Some((reply, Err(status))) => {
                    let headers = status.header_block();
                    jetstream.router.publish(&Inbound {
                        subject: reply,
                        reply: None,
                        headers: &headers,
                        payload: b"",
                    });
                    AckKind::Ack
                }
            },
        };
        // A request for more is answered by messages, not by a confirmation.
        let reply = reply.filter(|_| !message.payload.starts_with(b"+NXT"));
        let (sequence, number) = (Sequence(subject.stream_sequence), subject.consumer_sequence);
        jetstream.consumers.ack(&consumer, Ack { sequence, number, kind, reply });
        true
    }

    fn end_of_batch(&self) -> Pace {
        self.0.upgrade().map_or(Pace::Go, |jetstream| jetstream.replies.pace())
    }
}

/// Takes answers to flow control.
pub(crate) struct Flow(pub(crate) Weak<JetStream>);

impl Handler for Flow {
    fn publish(&self, message: &Inbound<'_>, _from: Origin<'_>) -> bool {
        let Some(jetstream) = self.0.upgrade() else { return false };
        let Some(rest) =
            str::from_utf8(message.subject).ok().and_then(|subject| subject.strip_prefix(FLOW_PREFIX))
        else {
            return false;
        };
        let mut tokens = rest.split('.');
        let (Some(stream), Some(name), Some(id)) = (tokens.next(), tokens.next(), tokens.next()) else {
            return false;
        };
        let Some(consumer) = super::find(&jetstream, stream, name) else { return false };
        if let Ok(id) = id.parse() {
            jetstream.consumers.flow_control(&consumer, id);
        }
        true
    }
}
