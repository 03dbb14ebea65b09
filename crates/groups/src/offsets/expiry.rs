//! When a committed offset is old enough to be forgotten.
//!
//! | group | counted from |
//! |---|---|
//! | Empty, with a protocol type | when it became Empty |
//! | Stable, `consumer`, subscription known | the commit, for topics that nobody subscribes to any more |
//! | no protocol type (offsets kept for a simple consumer) | the commit |
//! | any other | never |
//!
//! An offset whose commit named its own retention expires by that alone. Source: Kafka's
//! `OffsetExpirationConditionImpl` and `ClassicGroup.offsetExpirationCondition`.

use std::time::Duration;

use duolog_types::TimestampMs;

use super::CommittedOffset;

/// From when an offset's age counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// From its commit.
    Commit,
    /// From when the group became Empty.
    Empty(TimestampMs),
}

/// A group's rule of expiry at one moment.
pub(crate) struct Expiry<'a> {
    /// From when the age counts.
    pub(crate) since: Since,
    /// How old an offset may become.
    pub(crate) retention: Duration,
    /// Which topics are in use, so that their offsets don't expire.
    pub(crate) in_use: &'a dyn Fn(&str) -> bool,
}

impl Expiry<'_> {
    pub(crate) fn is_expired(&self, offset: &CommittedOffset, now: TimestampMs) -> bool {
        if let Some(expires_at) = offset.expires_at {
            return now >= expires_at;
        }
        let since = match self.since {
            Since::Commit => offset.committed_at,
            Since::Empty(at) => at,
        };
        i128::from(now.0) - i128::from(since.0) >= self.retention.as_millis().cast_signed()
    }
}
