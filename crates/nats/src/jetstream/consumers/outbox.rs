//! What consumers send: deliveries, statuses, signs of life, confirmations; each leaves when what it waits for is
//! durable, all of a consumer in the order in which they were handed over.
//!
//! A delivery for which nobody listens any more when it leaves is given back to its consumer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use duolog_broker::consumers::{
    self as broker, Consumer, ConsumerConfig, Heartbeat, Outgoing, ReplyTo, Sink, Target,
};
use duolog_nats_wire::jetstream::ack::AckSubject;
use duolog_nats_wire::jetstream::advisory::{Action, Delivery as Delivered, Event};
use duolog_nats_wire::jetstream::status::Status;
use duolog_types::{Lsn, Nanos, PartitionId, Sequence};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::convert::status_to_wire;
use crate::jetstream::JetStream;
use crate::jetstream::convert::header_block;
use crate::router::{Inbound, Router};

/// Bytes of deliveries that may wait before no more are read: each consumer may add what it has read already.
const FULL_BYTES: usize = 64 << 20;

/// What waits to leave.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<VecDeque<Parcel>>,
    news: Notify,
    /// Bytes in `queue`, and of what was taken from it and isn't sent yet.
    waiting: AtomicUsize,
    emptier: Notify,
}

/// One message on its way.
struct Parcel {
    after: Lsn,
    to: Bytes,
    /// The subject that clients are shown.
    shown: Option<String>,
    reply: Option<Vec<u8>>,
    headers: Vec<u8>,
    payload: Bytes,
    /// Whose delivery it is.
    ticket: Option<Ticket>,
}

struct Ticket {
    partition: PartitionId,
    consumer: Arc<str>,
    sequence: Sequence,
    request: Option<ReplyTo>,
}

impl Parcel {
    fn len(&self) -> usize {
        self.to.len() + self.reply.as_ref().map_or(0, Vec::len) + self.headers.len() + self.payload.len()
    }
}

impl Outbox {
    fn put(&self, parcel: Parcel) {
        self.waiting.fetch_add(parcel.len(), Ordering::Relaxed);
        let mut queue = self.queue.lock();
        queue.push_back(parcel);
        if queue.len() == 1 {
            self.news.notify_one();
        }
    }

    fn send(&self, after: Lsn, to: Bytes, reply: Option<Vec<u8>>, status: Option<&Status>) {
        let headers = status.map(Status::header_block).unwrap_or_default();
        self.put(Parcel { after, to, shown: None, reply, headers, payload: Bytes::new(), ticket: None });
    }

    /// Ends when less than [`FULL_BYTES`] wait.
    async fn room(&self) {
        loop {
            // Registered before the look, so that no news is missed in between.
            let emptier = self.emptier.notified();
            tokio::pin!(emptier);
            emptier.as_mut().enable();
            if self.waiting.load(Ordering::Relaxed) < FULL_BYTES {
                return;
            }
            emptier.await;
        }
    }

    /// So many bytes wait no longer.
    fn left(&self, bytes: usize) {
        let before = self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        if before >= FULL_BYTES {
            self.emptier.notify_waiters();
        }
    }

    /// Sends what becomes durable, for as long as there is a JetStream.
    pub(crate) async fn run(self: Arc<Self>, jetstream: Weak<JetStream>, router: Arc<Router>) {
        let mut publisher = router.publisher();
        loop {
            let first = self.queue.lock().front().map(|parcel| parcel.after);
            let Some(first) = first else {
                self.news.notified().await;
                continue;
            };
            let Some(jetstream) = jetstream.upgrade() else { return };
            if first > jetstream.broker.durable_lsn() && jetstream.broker.durable(first).await.is_err() {
                // Nobody knows whether what waits is true.
                let given_up: usize = self.queue.lock().drain(..).map(|parcel| parcel.len()).sum();
                self.left(given_up);
                return;
            }
            let durable = jetstream.broker.durable_lsn().max(first);
            let (mut lost, mut sent) = (Vec::new(), 0);
            for parcel in self.take(durable) {
                sent += parcel.len();
                let message = Inbound {
                    subject: &parcel.to,
                    reply: parcel.reply.as_deref(),
                    headers: &parcel.headers,
                    payload: &parcel.payload,
                };
                let published = match &parcel.shown {
                    Some(shown) => publisher.deliver(&message, shown.as_bytes()),
                    None => publisher.publish(&message),
                };
                lost.extend(parcel.ticket.filter(|_| published.receivers == 0));
            }
            publisher.flush();
            self.left(sent);
            for ticket in lost {
                ticket.give_back(&jetstream);
            }
            drop(jetstream);
            tokio::task::yield_now().await;
        }
    }

    fn take(&self, durable: Lsn) -> VecDeque<Parcel> {
        let mut queue = self.queue.lock();
        let count = queue.iter().take_while(|parcel| parcel.after <= durable).count();
        if count == queue.len() { std::mem::take(&mut *queue) } else { queue.drain(..count).collect() }
    }
}

impl Ticket {
    fn give_back(self, jetstream: &JetStream) {
        let consumer =
            jetstream.consumers.of(self.partition).and_then(|consumers| consumers.get(&self.consumer));
        if let Some(consumer) = consumer {
            jetstream.consumers.not_delivered(&consumer, self.sequence, self.request);
        }
    }
}

/// The door, as the broker's consumers see it.
pub(crate) struct Deliveries {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) jetstream: Weak<JetStream>,
    pub(crate) router: Arc<Router>,
}

impl Deliveries {
    fn tell(&self, consumer: &Consumer, event: Event<'_>) {
        if let Some(jetstream) = self.jetstream.upgrade() {
            jetstream.advise(consumer.stream(), event);
        }
    }
}

/// The subject that a receiver answers when it has come so far.
fn flow_subject(consumer: &Consumer, id: u64) -> String {
    format!("{}{}.{}.{id}", super::acks::FLOW_PREFIX, consumer.stream(), consumer.name())
}

fn ack_subject<'a>(consumer: &'a Consumer, delivery: &broker::Delivery, time: Nanos) -> AckSubject<'a> {
    AckSubject {
        stream: consumer.stream(),
        consumer: consumer.name(),
        deliveries: delivery.count.into(),
        stream_sequence: delivery.sequence.0,
        consumer_sequence: delivery.number,
        timestamp: time.0,
        pending: delivery.pending,
    }
}

fn target(to: &Target, config: &ConsumerConfig) -> Bytes {
    match to {
        Target::Push => Bytes::copy_from_slice(config.deliver_subject.as_bytes()),
        Target::Pull(to) => to.0.clone(),
    }
}

impl Sink for Deliveries {
    fn deliver(&self, outgoing: &Outgoing<'_>, lsn: Lsn) {
        let Outgoing { consumer, config, delivery, message } = outgoing;
        let mut reply = Vec::with_capacity(96);
        ack_subject(consumer, delivery, message.time).encode_to(&mut reply);
        let request = match &delivery.to {
            Target::Push => None,
            Target::Pull(to) => Some(to.clone()),
        };
        let ticket = Ticket {
            partition: consumer.partition(),
            consumer: Arc::clone(consumer.name()),
            sequence: delivery.sequence,
            request,
        };
        self.outbox.put(Parcel {
            after: lsn,
            to: target(&delivery.to, config),
            shown: Some(message.subject.clone()),
            reply: Some(reply),
            headers: header_block(&message.headers),
            payload: message.payload.clone(),
            ticket: Some(ticket),
        });
    }

    fn status(&self, to: &ReplyTo, status: &broker::Status, lsn: Lsn) {
        self.outbox.send(lsn, to.0.clone(), None, Some(&status_to_wire(status)));
    }

    fn heartbeat(&self, consumer: &Consumer, config: &ConsumerConfig, heartbeat: &Heartbeat, lsn: Lsn) {
        let status = Status::IdleHeartbeat {
            consumer_sequence: heartbeat.number,
            stream_sequence: heartbeat.sequence.0,
            stalled: heartbeat.stalled.map(|id| flow_subject(consumer, id)),
        };
        self.outbox.send(lsn, target(&heartbeat.to, config), None, Some(&status));
    }

    fn flow_control(&self, consumer: &Consumer, config: &ConsumerConfig, id: u64, lsn: Lsn) {
        let reply = flow_subject(consumer, id).into_bytes();
        self.outbox.send(lsn, target(&Target::Push, config), Some(reply), Some(&Status::FlowControlRequest));
    }

    fn confirm(&self, to: &ReplyTo, lsn: Lsn) {
        self.outbox.send(lsn, to.0.clone(), None, None);
    }

    fn advisory(&self, consumer: &Consumer, advisory: &broker::Advisory) {
        let delivery = |sequence: &Sequence, number: &u64, count: &u32| Delivered {
            consumer_seq: *number,
            stream_seq: sequence.0,
            deliveries: u64::from(*count),
        };
        let name = consumer.name().as_ref();
        let event = match advisory {
            broker::Advisory::MaxDeliveries { sequence, count } => {
                Event::MaxDeliveries { consumer: name, stream_seq: sequence.0, deliveries: u64::from(*count) }
            }
            broker::Advisory::Nak { sequence, number, count } => {
                Event::Nak { consumer: name, delivery: delivery(sequence, number, count) }
            }
            broker::Advisory::Terminated { sequence, number, count, reason, gone } => Event::Terminated {
                consumer: name,
                delivery: delivery(sequence, number, count),
                reason: match reason {
                    Some(reason) => reason,
                    None if *gone => "Unacknowledged message was deleted",
                    None => "",
                },
            },
        };
        self.tell(consumer, event);
    }

    fn acknowledged(&self, consumer: &Consumer, config: &ConsumerConfig, ack: &broker::Acknowledged) {
        let Some(jetstream) = self.jetstream.upgrade() else { return };
        let percent = config.sample_percent().unwrap_or(0);
        if percent < 100 {
            let mut random = [0; 4];
            jetstream.broker.env().rng.fill(&mut random);
            if u32::from_le_bytes(random) % 100 >= percent {
                return;
            }
        }
        let delivery = Delivered {
            consumer_seq: ack.number,
            stream_seq: ack.sequence.0,
            deliveries: u64::from(ack.count),
        };
        let ack_time = i64::try_from(ack.held.as_nanos()).unwrap_or(i64::MAX);
        jetstream
            .advise(consumer.stream(), Event::AckSample { consumer: consumer.name(), delivery, ack_time });
    }

    fn deleted(&self, consumer: &Consumer, _lsn: Lsn) {
        if let Some(jetstream) = self.jetstream.upgrade() {
            jetstream.interests.forget(consumer);
        }
        self.tell(consumer, Event::Consumer(consumer.name(), Action::Delete));
    }

    fn envelope_bytes(&self, consumer: &Consumer, delivery: &broker::Delivery, time: Nanos) -> u64 {
        ack_subject(consumer, delivery, time).encoded_len() as u64
    }

    fn has_interest(&self, subject: &[u8]) -> bool {
        self.router.interest(subject)
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.outbox.room())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_read_while_too_much_waits() {
        let outbox = Arc::new(Outbox::default());
        outbox.room().await;
        outbox.send(Lsn(1), Bytes::from(vec![b'x'; FULL_BYTES]), None, None);
        let waiter = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        outbox.left(1);
        waiter.await.unwrap();
    }
}
