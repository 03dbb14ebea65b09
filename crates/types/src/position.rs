//! Positions: in a partition (offset), in the write-ahead log (LSN), in a partition's leadership (epoch).

use std::fmt;

/// A record's position in its partition. The first record of a partition has offset 0; offsets only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Offset = Offset(0);
    /// Where a partition may end. Far enough from the largest number that no sum of it with a batch's count overflows.
    pub const END_MAX: Offset = Offset(1 << 62);

    /// The offset `count` behind this one; stays at the largest offset instead of overflowing.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message's position in its stream, as JetStream counts: from 1, so `sequence = offset + 1`. 0 is "no message":
/// what an empty stream says of its first and last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl Sequence {
    /// "No message".
    pub const ZERO: Sequence = Sequence(0);
    /// The first message of every stream.
    pub const FIRST: Sequence = Sequence(1);

    /// The offset of the record that is this message. Sequence 0 has none, and gives the offset before the first.
    #[must_use]
    pub const fn offset(self) -> Offset {
        // A client may name any number; the largest ones stay at the largest offset.
        match self.0 {
            0 => Offset(-1),
            above if above > i64::MAX as u64 => Offset(i64::MAX),
            sequence => Offset(sequence as i64 - 1),
        }
    }

    /// The sequence behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The sequence before this one; that of 0 is 0.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl From<Offset> for Sequence {
    /// The sequence of the record at `offset`; a negative offset has none and gives 0.
    fn from(offset: Offset) -> Self {
        Self(u64::try_from(offset.0).map_or(0, |offset| offset + 1))
    }
}

impl From<Sequence> for Offset {
    fn from(sequence: Sequence) -> Self {
        sequence.offset()
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Log sequence number: the position of an entry in the write-ahead log. Entries are numbered from 1 in the
/// order in which they were queued; `Lsn(0)` is "before everything" and is always durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first entry: durable in every log.
    pub const ZERO: Lsn = Lsn(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a partition has changed its owner. One machine: 0 for ever (Kafka: partition leader epoch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaderEpoch(pub i32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_is_offset_plus_one() {
        for (sequence, offset) in [(0, -1), (1, 0), (2, 1), (1 << 40, (1 << 40) - 1)] {
            assert_eq!(Sequence(sequence).offset(), Offset(offset));
            assert_eq!(Sequence::from(Offset(offset)), Sequence(sequence));
        }
        assert_eq!(Sequence(u64::MAX).offset(), Offset(i64::MAX));
        assert_eq!(Sequence::from(Offset(-7)), Sequence::ZERO);
    }
}
