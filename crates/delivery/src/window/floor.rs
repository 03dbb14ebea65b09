//! The floor: where it goes when something below it is done.

use duolog_types::Sequence;

use super::Window;

/// A delivery: its number and the message. JetStream: consumer sequence and stream sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The delivery's number; the first is 1.
    pub number: u64,
    /// The message.
    pub sequence: Sequence,
}

impl Window {
    /// A message has left those in flight. The floor moves only when that was the lowest one: to just below the next
    /// one that is still in flight, or, if there is none, to the last delivery.
    pub(super) fn lower_left(&mut self, sequence: Sequence) {
        let floor = match self.in_flight.first_key_value() {
            None => self.delivered,
            Some((lowest, message)) if *lowest > sequence => {
                Position { number: message.number.saturating_sub(1), sequence: lowest.previous() }
            }
            Some(_) => return,
        };
        self.raise_floor(floor);
    }

    /// Neither part of the floor ever goes back.
    pub(super) fn raise_floor(&mut self, to: Position) {
        self.floor.number = self.floor.number.max(to.number);
        self.floor.sequence = self.floor.sequence.max(to.sequence);
    }
}
