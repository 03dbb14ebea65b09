//! Bytes to records. The bytes carry a CRC where they are stored, yet nothing here trusts them: nothing is reserved
//! from a count, and lists that must rise are checked to.

use duolog_types::Sequence;

use super::encode::{
    DELIVERED, EXHAUSTED, NOT_DELIVERED, RESERVED, SETTLED, SETTLED_THROUGH, TRIMMED, VERSION, WHOLE,
};
use super::{Change, InFlightState, Record, State};
use crate::window::Position;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end within a field.
    #[error("delivery record ends within a field")]
    Truncated,
    /// Written by a newer version.
    #[error("delivery record has version {version}, this binary knows up to {VERSION}")]
    Version {
        /// The version.
        version: u8,
    },
    /// No such kind of change.
    #[error("delivery record holds a change of the unknown kind {kind}")]
    Kind {
        /// The kind.
        kind: u8,
    },
    /// A number that doesn't fit its field.
    #[error("delivery record holds a number that does not fit its field")]
    Number,
    /// A list of sequences doesn't rise.
    #[error("delivery record holds sequence {sequence} twice")]
    Order {
        /// Where it stands still.
        sequence: Sequence,
    },
}

impl Record {
    /// Reads what [`Record::encode`] made.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut input = Input(bytes);
        let version = input.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version { version });
        }
        let mut changes = Vec::new();
        while !input.0.is_empty() {
            changes.push(input.change()?);
        }
        Ok(Record { changes })
    }
}

/// What is still unread.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(DecodeError::Number);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Number)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.u64()?).map_err(|_| DecodeError::Number)
    }

    fn sequence(&mut self) -> Result<Sequence, DecodeError> {
        self.u64().map(Sequence)
    }

    fn position(&mut self) -> Result<Position, DecodeError> {
        Ok(Position { number: self.u64()?, sequence: self.sequence()? })
    }

    fn change(&mut self) -> Result<Change, DecodeError> {
        Ok(match self.u8()? {
            WHOLE => Change::Whole(Box::new(self.state()?)),
            DELIVERED => {
                Change::Delivered { sequence: self.sequence()?, number: self.u64()?, count: self.u32()? }
            }
            SETTLED => Change::Settled { sequence: self.sequence()? },
            SETTLED_THROUGH => Change::SettledThrough { position: self.position()? },
            EXHAUSTED => Change::Exhausted { sequence: self.sequence()? },
            NOT_DELIVERED => Change::NotDelivered { sequence: self.sequence()? },
            TRIMMED => Change::Trimmed { below: self.sequence()? },
            RESERVED => Change::Reserved { end: self.u64()? },
            kind => return Err(DecodeError::Kind { kind }),
        })
    }

    fn state(&mut self) -> Result<State, DecodeError> {
        Ok(State {
            next: self.sequence()?,
            next_number: self.u64()?,
            reserved_end: self.u64()?,
            delivered: self.position()?,
            floor: self.position()?,
            in_flight: self.rising(|input, sequence| {
                let number = input.u64()?;
                // The number before it is asked for: the first one is 1.
                if number == 0 {
                    return Err(DecodeError::Number);
                }
                Ok(InFlightState { sequence, number, count: input.u32()? })
            })?,
            exhausted: self.rising(|input, sequence| Ok((sequence, input.u32()?)))?,
            first: self.rising(|_, sequence| Ok(sequence))?,
        })
    }

    /// Every element takes at least a byte, so a count that lies ends in `Truncated` before it costs memory.
    fn rising<T>(
        &mut self,
        read: impl Fn(&mut Self, Sequence) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let (mut list, mut sequence) = (Vec::new(), Sequence::ZERO);
        for _ in 0..self.u64()? {
            let step = self.u64()?;
            if step == 0 {
                return Err(DecodeError::Order { sequence });
            }
            sequence = Sequence(sequence.0.checked_add(step).ok_or(DecodeError::Number)?);
            list.push(read(self, sequence)?);
        }
        Ok(list)
    }
}
