//! How a consumer stands. JetStream: the dynamic part of ConsumerInfo.

use duolog_types::{Nanos, Sequence};

use super::Consumer;
use crate::config::Mode;
use crate::stream::Stream;
use crate::window::{Position, Window};

/// How a consumer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The last delivery, and the newest message that was delivered.
    pub delivered: Position,
    /// When that was.
    pub last_delivered: Option<Nanos>,
    /// Everything up to here is done.
    pub floor: Position,
    /// When something was acknowledged last.
    pub last_acknowledged: Option<Nanos>,
    /// How many messages are unacknowledged.
    pub ack_pending: usize,
    /// How many of those and of the exhausted ones were delivered more than once. 0 if each is delivered only once.
    pub redelivered: usize,
    /// How many requests wait. Send [`crate::Event::Sweep`] before this is asked for.
    pub waiting: usize,
    /// How many messages were never delivered.
    pub pending: u64,
    /// Push: whether anybody listens.
    pub push_bound: bool,
}

impl Consumer {
    /// How it stands.
    #[must_use]
    pub fn info(&self, stream: &mut dyn Stream) -> Info {
        let is_once_only = self.config.max_deliver == Some(1);
        Info {
            delivered: self.window.delivered(),
            last_delivered: self.last_delivered,
            floor: self.window.floor(),
            last_acknowledged: self.last_acknowledged,
            ack_pending: self.window.in_flight().len(),
            redelivered: if is_once_only { 0 } else { self.window.redelivered() },
            waiting: self.requests.len(),
            pending: self.pending_behind(None, stream),
            push_bound: matches!(self.config.mode, Mode::Push(_)) && self.push.is_active,
        }
    }

    /// How many messages remain to be delivered for the first time, after `delivering` if that is being delivered.
    pub(super) fn pending_behind(&self, delivering: Option<Sequence>, stream: &mut dyn Stream) -> u64 {
        let first = self.window.first();
        let is_first = delivering.is_some() && first.front().copied() == delivering;
        let next = match delivering {
            Some(sequence) => self.window.next().max(sequence.next()),
            None => self.window.next(),
        };
        let left = first.len() - usize::from(is_first);
        (left as u64).saturating_add(stream.pending(next))
    }
}

impl Window {
    /// What a sign of life says: the last delivery, and the last sequence that was looked at.
    pub(crate) fn heartbeat_position(&self) -> Position {
        Position { number: self.next_number() - 1, sequence: self.next().previous() }
    }
}
