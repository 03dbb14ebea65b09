//! What a consumer asks its host about the stream.

use std::time::Duration;

use duolog_types::{Nanos, Sequence};

use crate::effect::Delivery;
use crate::event::ReplyTo;

/// What the machine knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place.
    pub sequence: Sequence,
    /// What a client receives of it: subject, headers and payload.
    pub size_bytes: u64,
    /// When it was stored.
    pub time: Nanos,
}

/// An answer about the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// This one.
    Found(Message),
    /// None: nothing matches below `upto` (of [`Stream::next`]), or it is gone (of [`Stream::get`]).
    Nothing {
        /// The first sequence that wasn't looked at.
        upto: Sequence,
    },
    /// It has to be fetched first: [`crate::Event::Wake`] follows when it is there.
    NotYet,
}

/// The host's answers about the stream behind a consumer, and about those who listen. Called within a step; must
/// not block. Only durable messages are told of.
pub trait Stream {
    /// The first message at or behind `from` that the consumer is interested in.
    fn next(&mut self, from: Sequence) -> Lookup;

    /// The message at `sequence`, whether or not it matches any more.
    fn get(&mut self, sequence: Sequence) -> Lookup;

    /// How many messages at or behind `from` the consumer is interested in.
    fn pending(&mut self, from: Sequence) -> u64;

    /// What a client receives with a delivery beside the message itself (JetStream: the ack subject).
    fn envelope_bytes(&self, delivery: &Delivery, message: &Message) -> u64;

    /// Whether anybody listens there.
    fn has_interest(&mut self, to: &ReplyTo) -> bool;
}

/// Adds up to "never" instead of overflowing.
pub(crate) fn after(now: Duration, wait: Duration) -> Duration {
    now.saturating_add(wait)
}
