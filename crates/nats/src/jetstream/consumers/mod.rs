//! Consumers behind the NATS door: pull requests and acknowledgements on their way in, deliveries on their way out.
//!
//! ```text
//! $JS.API.CONSUMER.MSG.NEXT ─► api ──┐
//! $JS.ACK.>, $JS.FC.>       ─► acks ─┼─► broker's consumers ─► outbox (Sink) ─► durable? ─► router
//! subscriptions come and go ─► interest ─┘                                  nobody there: told back
//! ```

pub(super) mod acks;
pub(super) mod convert;
pub(super) mod interest;
pub(super) mod outbox;

use std::sync::Arc;

use duolog_broker::consumers::{Consumer, StreamConsumers};
use duolog_broker::streams::Stream;

use super::JetStream;

/// A stream and its consumers.
pub(super) fn of_stream(jetstream: &JetStream, name: &str) -> Option<(Arc<Stream>, Arc<StreamConsumers>)> {
    let stream = jetstream.streams().get(name)?;
    let consumers = jetstream.broker.consumers_of(&stream);
    Some((stream, consumers))
}

/// One consumer.
pub(super) fn find(jetstream: &JetStream, stream: &str, consumer: &str) -> Option<Arc<Consumer>> {
    of_stream(jetstream, stream)?.1.get(consumer)
}
