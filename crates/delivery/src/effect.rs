//! What a consumer asks its host to do.

use std::time::Duration;

use duolog_types::Sequence;

use crate::durable::Record;
use crate::event::ReplyTo;

/// One thing for the host to do. Effects of a step are carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the log. At most one in a step, and the first of its effects.
    Persist(Record),
    /// Hand a message over.
    Deliver(Delivery),
    /// Tell a pull request something that isn't a message.
    Status {
        /// The request's address.
        to: ReplyTo,
        /// What.
        status: Status,
    },
    /// A sign of life.
    Heartbeat(Heartbeat),
    /// Push: ask the receiver whether it keeps up; its answer is [`crate::Event::FlowControl`].
    FlowControl {
        /// Which request this is.
        id: u64,
    },
    /// Say that what was asked is done, once the newest entry of this consumer is durable.
    Confirm {
        /// To whom.
        to: ReplyTo,
    },
    /// This consumer doesn't need the message any more: a stream that keeps messages by interest may drop it, in
    /// the same entry as this step's records.
    Settled {
        /// The message.
        sequence: Sequence,
        /// The number of its first delivery, or of the one that was acknowledged, if each is alone; 0 if it was not in
        /// flight any more.
        number: u64,
        /// How often it was delivered.
        count: u32,
        /// How long ago it was delivered last.
        held: Duration,
        /// Why.
        how: SettledHow,
    },
    /// Tell operators.
    Advisory(Advisory),
    /// Nobody has been interested for too long: delete the consumer.
    Delete,
    /// There is more to deliver: send [`crate::Event::Wake`] when what this step delivered is on its way.
    More,
}

/// A message on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it goes.
    pub to: Target,
    /// The message.
    pub sequence: Sequence,
    /// The delivery's own number. JetStream: consumer sequence.
    pub number: u64,
    /// How often the message has been delivered, with this time.
    pub count: u32,
    /// How many messages remain to be delivered for the first time after this one.
    pub pending: u64,
    /// Whether it may leave only when the entry of this step is durable: its count must not be forgotten.
    pub after_durable: bool,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the push consumer's receiver.
    Push,
    /// To a pull request.
    Pull(ReplyTo),
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// To whom.
    pub to: Target,
    /// The number of the last delivery.
    pub number: u64,
    /// The last sequence that was looked at.
    pub sequence: Sequence,
    /// Push: deliveries have stopped until this flow control request is answered.
    pub stalled: Option<u64>,
}

/// What a pull request is told. Each but `Heartbeat` (an effect of its own) ends it or refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// 400: a heartbeat of which not even two fit into the request's time.
    HeartbeatTooLarge,
    /// 404: there is nothing (any more).
    NoMessages,
    /// 408: its time is over.
    Timeout {
        /// Messages that it still waited for.
        messages: u64,
        /// Bytes that it still would have taken.
        bytes: u64,
    },
    /// 408: requests that came before already wait for more than there is.
    RequestsPending,
    /// 409: the next message is larger than what the request still takes.
    MessageTooLarge {
        /// Messages that it still waited for.
        messages: u64,
        /// Bytes that it still would have taken.
        bytes: u64,
    },
    /// 409: it has got its messages, and would have taken more bytes.
    BatchCompleted {
        /// Messages that it still waited for: 0.
        messages: u64,
        /// Bytes that it still would have taken.
        bytes: u64,
    },
    /// 409: too many requests wait.
    ExceededMaxWaiting,
    /// 409: it asks for more messages than a request may.
    ExceededMaxBatch {
        /// How many it may ask for.
        limit: u64,
    },
    /// 409: it wants to wait longer than a request may.
    ExceededMaxExpires {
        /// How long it may wait.
        limit: Duration,
    },
    /// 409: it asks for more bytes than a request may.
    ExceededMaxBytes {
        /// How many it may ask for.
        limit: u64,
    },
    /// 409: nobody can ask this consumer for messages.
    PushBased,
    /// 409: the consumer is being deleted.
    ConsumerDeleted,
    /// 409: the server stops.
    ServerShutdown,
}

/// Why a message is of no more concern to the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettledHow {
    /// It was acknowledged.
    Acknowledged,
    /// It was terminated.
    Terminated,
    /// It was delivered, and no acknowledgement is expected.
    Delivered,
    /// It is gone from the stream.
    Gone,
}

/// What operators are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advisory {
    /// A message has been delivered as often as is allowed and was never acknowledged. Told once.
    MaxDeliveries {
        /// The message.
        sequence: Sequence,
        /// How often it was delivered.
        count: u32,
    },
    /// A message was refused for now.
    Nak {
        /// The message.
        sequence: Sequence,
        /// The delivery that the client spoke of.
        number: u64,
        /// How often it was delivered.
        count: u32,
    },
    /// A message was refused for ever, or went from the stream before it was acknowledged (`reason` None and
    /// `gone`).
    Terminated {
        /// The message.
        sequence: Sequence,
        /// The delivery that the client spoke of.
        number: u64,
        /// How often it was delivered.
        count: u32,
        /// What the client gave as its reason.
        reason: Option<String>,
        /// Whether it is gone from the stream.
        gone: bool,
    },
}
