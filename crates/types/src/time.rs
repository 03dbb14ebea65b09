//! Points in time. Durations are `std::time::Duration`.

/// Milliseconds since the Unix epoch: what Kafka's records and requests carry. -1 is "none" on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimestampMs(pub i64);

/// Nanoseconds since the Unix epoch: when something arrived here, by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nanos(pub i64);

impl Nanos {
    /// The same point in whole milliseconds, rounded down.
    #[must_use]
    pub const fn to_ms(self) -> TimestampMs {
        TimestampMs(self.0.div_euclid(1_000_000))
    }
}
