//! PUB and HPUB: a message to whoever subscribed.

use std::sync::atomic::Ordering;

use duolog_nats_wire::encode::{self, Delivery};
use duolog_nats_wire::{ErrorText, Publish, subject};

use crate::router::{Inbound, Origin, Sender};
use crate::session::Session;
use crate::session::close::CloseReason;
use crate::session::outbound::Payload;

/// Subjects that servers keep for themselves.
const RESERVED: [&[u8]; 2] = [b"$NRG.", b"_GR_."];
/// Reply subjects that servers keep for themselves.
const RESERVED_REPLY: &[u8] = b"_R_.";

pub(crate) fn handle(session: &mut Session<'_>, publish: &Publish<'_>) -> Result<(), CloseReason> {
    if publish.is_hpub && !session.options.headers {
        return Err(CloseReason::HeadersNotSupported);
    }
    session.in_messages += 1;
    session.in_bytes += (publish.headers.len() + publish.payload.len()) as u64;
    if session.options.pedantic && !subject::is_valid_literal(publish.subject) {
        // It is delivered all the same.
        session.refuse(&ErrorText::PublishSubject);
    }
    if RESERVED.iter().any(|reserved| publish.subject.starts_with(reserved)) {
        session.refuse(&ErrorText::PublishPermission(publish.subject.to_vec()));
        return Ok(());
    }
    if let Some(reply) = publish.reply
        && reply.len() > RESERVED_REPLY.len()
        && reply.starts_with(RESERVED_REPLY)
    {
        session.refuse(&ErrorText::ReplyPermission(reply.to_vec()));
        return Ok(());
    }
    session.ok();
    let message = Inbound {
        subject: publish.subject,
        reply: publish.reply,
        headers: publish.headers,
        payload: publish.payload,
    };
    let sender = Sender { connection: session.connection, echo: session.options.echo };
    let origin = Origin::Client(&session.client);
    let published = session.publisher.publish_from(&message, origin, Some(sender));
    if published.receivers == 0
        && session.options.no_responders
        && let Some(reply) = publish.reply
    {
        no_responders(session, publish.subject, reply);
    }
    Ok(())
}

/// Tells the client that nobody takes its request, on the subscription of its own that waits for the answer.
fn no_responders(session: &mut Session<'_>, subject: &[u8], reply: &[u8]) {
    let waiting = session.subscriptions.values().find(|own| {
        own.queue.is_none()
            && !own.ended.load(Ordering::Relaxed)
            && (*own.subject == *reply || subject::matches(reply, &own.subject))
    });
    let Some(waiting) = waiting else { return };
    let headers = encode::no_responders(subject);
    let delivery =
        Delivery { subject: reply, sid: &waiting.sid, reply: None, headers: &headers, payload_len: 0 };
    let mut outbound = session.connection.outbound.lock();
    if !outbound.closed {
        outbound.put_message(&delivery, &Payload::new(b"", None));
    }
}
