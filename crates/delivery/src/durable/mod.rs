//! What of a consumer survives a restart: changes and their byte form.
//!
//! ```text
//! record: version u8 = 1 │ change*
//!   kind 1 Whole           next, next number, reserved end, delivered, floor,
//!                          in flight: count, (sequence − previous, number, count)*,
//!                          exhausted: count, (sequence − previous, count)*, first: count, (sequence − previous)*
//!   kind 2 Delivered       sequence, number, count
//!   kind 3 Settled         sequence
//!   kind 4 SettledThrough  number, sequence
//!   kind 5 Exhausted       sequence
//!   kind 6 NotDelivered    sequence
//!   kind 7 Trimmed         below
//!   kind 8 Reserved        end
//! ```
//!
//! A kind is one byte; every number is an unsigned LEB128; a position is its number, then its sequence. Sequences of
//! a list rise, the first is counted from 0. Which consumer a record belongs to is the host's to note beside it.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use duolog_types::Sequence;

use crate::window::Position;

pub use decode::DecodeError;

/// The changes of one step, which become durable together. A snapshot is one change: [`Change::Whole`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// In the order in which they were made. Not empty.
    pub changes: Vec<Change>,
}

impl Record {
    /// The end of the newest reservation in it: deliveries with a lower number may leave once it is durable.
    #[must_use]
    pub fn reserved_end(&self) -> Option<u64> {
        self.changes.iter().rev().find_map(|change| match change {
            Change::Reserved { end } => Some(*end),
            Change::Whole(state) => Some(state.reserved_end),
            _ => None,
        })
    }
}

/// One change of durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// All of it: when it begins, and in snapshots.
    Whole(Box<State>),
    /// A message was delivered.
    Delivered {
        /// The message.
        sequence: Sequence,
        /// The delivery's number.
        number: u64,
        /// How often the message has been delivered.
        count: u32,
    },
    /// A message is done, whether by an acknowledgement or because it is gone.
    Settled {
        /// The message.
        sequence: Sequence,
    },
    /// All messages up to one are done.
    SettledThrough {
        /// Where the floor goes.
        position: Position,
    },
    /// A message was delivered as often as is allowed.
    Exhausted {
        /// The message.
        sequence: Sequence,
    },
    /// A delivery came to nothing.
    NotDelivered {
        /// The message.
        sequence: Sequence,
    },
    /// All below is gone from the stream.
    Trimmed {
        /// The first sequence that isn't.
        below: Sequence,
    },
    /// Numbers of deliveries below `end` may have been given out.
    Reserved {
        /// The first number that wasn't.
        end: u64,
    },
}

/// All that survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The first sequence that was never looked at.
    pub next: Sequence,
    /// The number of the next delivery.
    pub next_number: u64,
    /// Numbers below may have been given out.
    pub reserved_end: u64,
    /// The last delivery, and the newest message that was delivered.
    pub delivered: Position,
    /// Everything up to here is done.
    pub floor: Position,
    /// What is in flight, ascending.
    pub in_flight: Vec<InFlightState>,
    /// What was delivered as often as is allowed, and how often that was; ascending.
    pub exhausted: Vec<(Sequence, u32)>,
    /// What is to be delivered before anything at `next`, ascending.
    pub first: Vec<Sequence>,
}

/// What is kept of a message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlightState {
    /// The message.
    pub sequence: Sequence,
    /// The number of its first delivery.
    pub number: u64,
    /// How often it was delivered.
    pub count: u32,
}
