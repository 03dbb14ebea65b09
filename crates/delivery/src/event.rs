//! What can happen to a consumer.

use std::time::Duration;

use bytes::Bytes;
use duolog_types::{Nanos, Sequence};

use crate::config::Config;

/// What time it is, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For waits and deadlines: never goes back.
    pub monotonic: Duration,
    /// For what is shown: survives restarts, may jump.
    pub wall: Nanos,
}

/// Where an answer goes: an address that means something to the host only (JetStream: a reply subject).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyTo(pub Bytes);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A client asks for messages.
    Pull(PullRequest),
    /// A client says what became of a message.
    Ack(Ack),
    /// Push: whether anybody listens now.
    Interest(bool),
    /// Push: the receiver has answered a flow control request ([`crate::Effect::FlowControl`]).
    FlowControl {
        /// Which one.
        id: u64,
    },
    /// There may be something to deliver: messages came, were made ready to be read, or what was delivered has left.
    Wake,
    /// A delivery could not be handed over (nobody listened any more): it doesn't count. A push receiver is gone
    /// then, until [`Event::Interest`] says otherwise.
    NotDelivered {
        /// The message.
        sequence: Sequence,
        /// The request that it was meant for, if it was one.
        request: Option<ReplyTo>,
    },
    /// The stream begins here now: retention has removed what lay before.
    Trimmed {
        /// The stream's first sequence.
        first: Sequence,
    },
    /// All that this consumer could be interested in below `below` was purged.
    Purged {
        /// The first sequence that was not.
        below: Sequence,
    },
    /// Something was purged or deleted that may have been in flight: look at each.
    Recheck,
    /// One message was deleted.
    Deleted {
        /// Which.
        sequence: Sequence,
    },
    /// The settings have changed; the mode is the same as before.
    Update {
        /// The new settings.
        config: Box<Config>,
        /// Whether all that is in flight is to be delivered again: the receiver is another one now.
        redeliver: bool,
    },
    /// Forget requests that have expired or that nobody waits for any more, before they are counted.
    Sweep,
    /// Time has passed: carries out what [`crate::Consumer::next_deadline`] announced, if it is due.
    Tick,
}

/// A request for messages. JetStream: `CONSUMER.MSG.NEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Where messages and statuses go.
    pub to: ReplyTo,
    /// How many messages; 0 is taken for 1.
    pub batch: u64,
    /// How many bytes at most. None: no bound.
    pub max_bytes: Option<u64>,
    /// How long it waits. None: for ever.
    pub expires: Option<Duration>,
    /// Whether it wants to know at once if there is nothing.
    pub no_wait: bool,
    /// After how long without a message a sign of life is sent to it.
    pub heartbeat: Option<Duration>,
}

/// What a client says about a message that was delivered to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The message.
    pub sequence: Sequence,
    /// The number of the delivery that is spoken of. As the client sent it: not to be trusted.
    pub number: u64,
    /// What it says.
    pub kind: AckKind,
    /// Who wants to know when that is certain, if anybody.
    pub reply: Option<ReplyTo>,
}

/// What can be said about a delivered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// It is done.
    Ack,
    /// It is done, and the client wants more: the request's `to` takes the place of a confirmation.
    Next(PullRequest),
    /// It could not be handled: deliver it again, at once or after a while.
    Nak {
        /// The while.
        delay: Option<Duration>,
    },
    /// It is being handled: the wait begins anew.
    Progress,
    /// It can't be handled at all: never deliver it again.
    Term {
        /// Why, if the client says so.
        reason: Option<String>,
    },
}
