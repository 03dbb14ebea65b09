//! Delivery message by message, as a pure state machine: who holds what, since when, how often it was tried, and
//! up to where everything is done. JetStream consumers stand on it, and Kafka's share groups will.
//!
//! ```text
//!          Event ─►┌───────────────── Consumer (JetStream's front) ─────────────────┐─► Effect::Persist ─► log
//!                  │ pull requests in turn · push, flow control, pace · idleness     │─► Effect::Deliver ─► door
//!  Stream::next ◄──│        │ acquire · renew · release · settle · expire            │─► Effect::Status …
//!  (host's answer) │        ▼                                                        │
//!                  │ Window: per message  available → acquired → acknowledged        │
//!                  │                          ▲         │      → archived            │
//!                  │                          └─────────┘ release, expiry            │
//!                  └─────────────────────────────────────────────────────────────────┘
//! ```
//!
//! | here ([`Window`])       | JetStream                    | share group (KIP-932)               |
//! |-------------------------|------------------------------|-------------------------------------|
//! | acquired, until a time  | pending, ack wait            | Acquired, acquisition lock          |
//! | release                 | nak, expired ack wait        | release, expired lock               |
//! | renew                   | in progress                  | renew                               |
//! | settle                  | ack, term                    | accept (Acknowledged)               |
//! | exhausted (archived)    | beyond max deliver           | beyond the delivery limit, reject   |
//! | floor                   | ack floor                    | share-partition start offset − 1    |
//! | next                    | next to deliver              | share-partition end offset          |
//!
//! `Consumer::step(event, now, stream)` returns effects. It reads no clock, draws no random number, opens no file,
//! knows no wire format and never sees a message's bytes: the host answers which message is next ([`Stream`]) and
//! keeps the bytes. Nothing in a step is proportional to what merely waits: deadlines are ordered sets.
//!
//! # Invariants
//! - DELIVERY-1: a delivery's number (JetStream: consumer sequence) is given out once, across restarts too.
//! - DELIVERY-2: no message is delivered more often than the limit says, across restarts too.
//! - DELIVERY-3: what was acknowledged is never delivered again.
//! - DELIVERY-4: the bound on unacknowledged messages holds back new messages only, never a redelivery.
//! - DELIVERY-5: a message that was delivered and not settled is redelivered (if the limit allows) or archived.
//! - DELIVERY-6: the floor never goes back, and nothing that is in flight lies at or below it.
//! - DELIVERY-7: a pull request is answered by exactly as many messages as it asked for, or by one last status, or
//!   it is dropped because nobody listens any more.
//!
//! # What the host owes
//! - Effects are carried out in order; all [`Effect::Persist`] of one step go into one entry of the log.
//! - [`Effect::Confirm`] leaves only when the newest entry that holds a record of this consumer is durable.
//! - A [`Delivery`] leaves only when the reservation that covers its number ([`Record::reserved_end`]) is durable,
//!   and, if [`Delivery::after_durable`], when the entry of its own step is.
//! - [`Event::Tick`] is sent when [`Consumer::next_deadline`] has come; [`Event::Wake`] when a message may have come
//!   that matches, if [`Consumer::wants_messages`].
//! - After a restart: [`Consumer::restore`] for each record in order, then [`Consumer::loaded`] once.

mod config;
mod consumer;
mod durable;
mod effect;
mod event;
mod stream;
pub mod window;

pub use config::{AckPolicy, Config, Mode, PullConfig, PushConfig, RateLimit};
pub use consumer::{Consumer, Info, Start};
pub use durable::{Change, DecodeError, InFlightState, Record, State};
pub use effect::{Advisory, Delivery, Effect, Heartbeat, SettledHow, Status, Target};
pub use event::{Ack, AckKind, Event, Now, PullRequest, ReplyTo};
pub use stream::{Lookup, Message, Stream};
pub use window::{Holder, Position, Window};
