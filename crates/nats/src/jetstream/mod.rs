//! JetStream behind the NATS door: the API, the subjects of streams, and what is answered when.
//!
//! ```text
//! $JS.API.>        api       one table: subject → what answers it        ─┐
//! streams' own     publish   a message is stored, its PubAck waits        ├─► Replies (durable) ─► router
//! subjects         bindings  which subjects these are, as the catalog says │
//! $JS.ACK.>, …     consumers requests, acknowledgements, deliveries      ─┘
//! ```
//!
//! Owns the translation: wire structs ⇄ the broker's own ([`convert`]), the broker's typed errors → numbers and texts
//! of the reference ([`errors`]). Decides nothing: what a stream is, what is stored and when that holds is
//! `duolog_broker`'s.

mod api;
mod bindings;
mod consumers;
mod convert;
mod errors;
mod publish;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use duolog_broker::consumers::Consumers;
use duolog_broker::{Broker, Streams};
pub use duolog_nats_wire::jetstream::API_LEVEL;
use duolog_nats_wire::jetstream::advisory::{Advisory, Event};
use duolog_nats_wire::jetstream::time::Time;
use duolog_types::{Lsn, Nanos};

use crate::replies::Replies;
use crate::router::{Inbound, InvalidSubject, Registration, Router};

/// What the server says of itself in JetStream's answers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name: who leads every stream.
    pub server_name: String,
    /// The version of nats-server that it announces.
    pub version: String,
    /// The level of the API that it announces.
    pub api_level: u64,
}

/// JetStream for one router. Dropped, nothing of it answers any more.
pub struct JetStream {
    broker: Arc<Broker>,
    router: Arc<Router>,
    replies: Arc<Replies>,
    identity: Identity,
    requests: AtomicU64,
    refusals: AtomicU64,
    /// Requests that were passed over since this was told last.
    dropped: AtomicU64,
    consumers: Consumers,
    interests: consumers::interest::Interests,
    outbox: Arc<consumers::outbox::Outbox>,
    bindings: bindings::Bindings,
    registrations: OnceLock<Vec<Registration>>,
}

impl std::fmt::Debug for JetStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JetStream({} requests)", self.requests.load(Ordering::Relaxed))
    }
}

impl JetStream {
    /// Registers the API and the subjects of all streams with `router`. Answers leave through `replies`, which
    /// somebody must [run](Replies::run). Must be called inside a runtime: the API has a task of its own.
    ///
    /// # Errors
    /// Never, but for a subject of ours that isn't one.
    pub fn start(
        broker: &Arc<Broker>,
        router: &Arc<Router>,
        replies: &Arc<Replies>,
        identity: Identity,
    ) -> Result<Arc<Self>, InvalidSubject> {
        let jetstream = Arc::new(Self {
            broker: Arc::clone(broker),
            router: Arc::clone(router),
            replies: Arc::clone(replies),
            identity,
            requests: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            consumers: broker.consumers().clone(),
            interests: consumers::interest::Interests::default(),
            outbox: Arc::default(),
            bindings: bindings::Bindings::default(),
            registrations: OnceLock::new(),
        });
        let weak = || Arc::downgrade(&jetstream);
        jetstream.consumers.set_sink(Arc::new(consumers::outbox::Deliveries {
            outbox: Arc::clone(&jetstream.outbox),
            jetstream: weak(),
            router: Arc::clone(router),
        }));
        tokio::spawn(Arc::clone(&jetstream.outbox).run(weak(), Arc::clone(router)));
        let registrations = vec![
            api::register(&jetstream)?,
            router.register(consumers::acks::ACK_PATTERN, Arc::new(consumers::acks::Acks(weak())))?,
            router.register(consumers::acks::FLOW_PATTERN, Arc::new(consumers::acks::Flow(weak())))?,
        ];
        // Set once, here.
        let _ = jetstream.registrations.set(registrations);
        bindings::follow(&jetstream);
        for consumers in jetstream.consumers.streams() {
            for consumer in consumers.list() {
                jetstream.interests.follow(&jetstream, &consumer);
            }
        }
        Ok(jetstream)
    }

    fn streams(&self) -> &Streams {
        self.broker.streams()
    }

    /// Tells whoever listens what happened to a stream or one of its consumers.
    fn advise(&self, stream: &str, event: Event<'_>) {
        let mut advisory = Advisory { id: "", timestamp: self.now(), stream, event };
        let subject = advisory.subject();
        if !self.router.interest(subject.as_bytes()) {
            return;
        }
        let mut random = [0; 16];
        self.broker.env().rng.fill(&mut random);
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        advisory.id = &id;
        // Not here: whoever tells may hold a lock.
        self.replies.send(Lsn::ZERO, &Inbound::new(subject.as_bytes(), &advisory.encode()));
    }

    /// Now, on the wall clock.
    fn now(&self) -> Time {
        time(self.broker.now())
    }

    /// Sends `message` when `after` is durable: at once, if it is.
    fn send(&self, after: Lsn, message: &Inbound<'_>) {
        if after <= self.broker.durable_lsn() {
            self.router.publish(message);
        } else {
            self.replies.send(after, message);
        }
    }
}

/// A time of ours as JetStream writes it.
fn time(at: Nanos) -> Time {
    Time::from_nanos(at.0)
}
