//! A group's timers, by what they are for and by when they are due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use duolog_types::MemberId;

/// What a timer is for. At most one of each is set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Members have had their time to join.
    Join,
    /// Members have had their time to sync.
    Sync,
    /// A member has not been heard of for its session timeout.
    Session(MemberId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Duration, Timer)>,
    set: BTreeMap<Timer, Duration>,
}

impl Timers {
    /// Sets the timer, in place of what it was set to before.
    pub(super) fn set(&mut self, timer: Timer, at: Duration) {
        self.cancel(&timer);
        self.due.insert((at, timer.clone()));
        self.set.insert(timer, at);
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some((timer, at)) = self.set.remove_entry(timer) {
            self.due.remove(&(at, timer));
        }
    }

    pub(super) fn cancel_all(&mut self) {
        self.due.clear();
        self.set.clear();
    }

    /// When the next timer is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out the next timer if it is due at `now`.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.set.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_in_order_and_only_as_last_set() {
        let second = Duration::from_secs;
        let mut timers = Timers::default();
        timers.set(Timer::Join, second(3));
        timers.set(Timer::Session(MemberId::from("a")), second(1));
        timers.set(Timer::Sync, second(2));
        timers.set(Timer::Session(MemberId::from("a")), second(4));
        timers.cancel(&Timer::Sync);
        assert_eq!(timers.next(), Some(second(3)));
        assert_eq!(timers.pop_due(second(2)), None);
        assert_eq!(timers.pop_due(second(9)), Some(Timer::Join));
        assert_eq!(timers.pop_due(second(9)), Some(Timer::Session(MemberId::from("a"))));
        assert_eq!(timers.pop_due(second(9)), None);
    }
}
