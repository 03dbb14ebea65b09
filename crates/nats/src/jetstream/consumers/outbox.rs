//! What consumers send: deliveries, statuses, signs of life, confirmations; each leaves when what it waits for is
//! durable, all of a consumer in the order in which they were handed over.
//!
//! A delivery for which nobody listens any more when it leaves is given back to its consumer.

use std::collections::VecDeque;
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

/// What waits to leave.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<VecDeque<Parcel>>,
    news: Notify,
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

impl Outbox {
    fn put(&self, parcel: Parcel) {
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
                self.queue.lock().clear();
                return;
            }
            let durable = jetstream.broker.durable_lsn().max(first);
            let mut lost = Vec::new();
            for parcel in self.take(durable) {
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

    fn deleted(&self, consumer: &Consumer, _lsn: Lsn) {
        if let Some(jetstream) = self.jetstream.upgrade() {
            jetstream.interests.forget(consumer);
        }
        self.tell(consumer, Event::Consumer(consumer.name(), Action::Delete));
    }

    fn envelope_bytes(&self, consumer: &Consumer, delivery: &broker::Delivery, time: Nanos) -> u64 {
        let mut reply = Vec::with_capacity(96);
        ack_subject(consumer, delivery, time).encode_to(&mut reply);
        reply.len() as u64
    }

    fn has_interest(&self, subject: &[u8]) -> bool {
        self.router.interest(subject)
    }
}
