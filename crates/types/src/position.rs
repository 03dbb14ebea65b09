//! Positions: in a partition (offset), in the write-ahead log (LSN), in a partition's leadership (epoch).

use std::fmt;

/// A record's position in its partition. The first record of a partition has offset 0; offsets only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Offset = Offset(0);

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

/// A message's position in a stream, as JetStream counts: the first has sequence 1, and 0 is "before the first".
/// A record's sequence is its offset + 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first message.
    pub const ZERO: Sequence = Sequence(0);
    /// The first message of every stream.
    pub const FIRST: Sequence = Sequence(1);

    /// The sequence behind this one; stays at the largest instead of overflowing.
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
    /// Offsets are never negative where there is a record; a negative one gives 0, "before the first".
    fn from(offset: Offset) -> Self {
        Self(u64::try_from(offset.0.saturating_add(1)).unwrap_or(0))
    }
}

impl From<Sequence> for Offset {
    /// Of sequence 0: -1. A sequence beyond all offsets gives the largest one.
    fn from(sequence: Sequence) -> Self {
        Self(i64::try_from(sequence.0).map_or(i64::MAX, |sequence| sequence - 1))
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
