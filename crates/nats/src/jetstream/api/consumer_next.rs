//! `$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`: a request for messages. They come to its reply subject as they are,
//! statuses among them; nobody answers for a consumer that isn't there.
//! Source: nats-server 2.15, ADR-13, ADR-37.

use duolog_nats_wire::jetstream::status::Status;

use super::level_is_enough;
use crate::jetstream::JetStream;
use crate::jetstream::consumers::convert::pull_request;
use crate::jetstream::consumers::find;
use crate::router::Inbound;

/// On the session's thread: the machine's step is short, and requests of one client keep their order.
pub(super) fn take(jetstream: &JetStream, subject: &str, message: &Inbound<'_>) -> bool {
    let mut tokens = subject.split('.').skip(3);
    let (Some(stream), Some(name)) = (tokens.next(), tokens.next()) else { return true };
    let Some(consumer) = find(jetstream, stream, name) else { return false };
    let Some(reply) = message.reply else { return true };
    let request = match level_is_enough(jetstream, message.headers) {
        true => pull_request(reply, message.payload),
        false => Err(Status::RequiredApiLevel),
    };
    match request {
        Ok(request) => jetstream.consumers.pull(&consumer, request),
        Err(status) => {
            // A push consumer says so before it looks at what is asked.
            let status = if consumer.config().is_push() { Status::ConsumerIsPushBased } else { status };
            let headers = status.header_block();
            jetstream.router.publish(&Inbound {
                subject: reply,
                reply: None,
                headers: &headers,
                payload: b"",
            });
        }
    }
    true
}
