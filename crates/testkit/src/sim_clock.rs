//! A clock that moves only when it is told to.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use duolog_env::{Clock, Sleep};
use duolog_types::Nanos;
use parking_lot::Mutex;

/// Where the wall clock starts: 2026-01-01T00:00:00Z.
const WALL_START: Nanos = Nanos(1_767_225_600_000_000_000);

/// Wall and monotonic time, advanced by hand; sleepers wake when their time has been passed.
#[derive(Debug)]
pub struct SimClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    wall: Nanos,
    monotonic: Duration,
    next_sleeper: u64,
    /// By deadline, then by order of arrival; the waker of the last poll.
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl SimClock {
    /// A clock at 2026-01-01T00:00:00Z whose monotonic time is zero.
    #[must_use]
    pub fn new() -> Self {
        let state =
            State { wall: WALL_START, monotonic: Duration::ZERO, next_sleeper: 0, sleepers: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets `span` pass on both clocks and wakes whoever slept no longer than that.
    pub fn advance(&self, span: Duration) {
        let due: Vec<Waker> = {
            let mut state = self.state.lock();
            state.monotonic += span;
            let nanos = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
            state.wall = Nanos(state.wall.0.saturating_add(nanos));
            let now = state.monotonic;
            let later = state.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later).into_values().collect()
        };
        for waker in due {
            waker.wake();
        }
    }

    /// Sets the wall clock alone, either way, as an operator or a time daemon does.
    pub fn set_wall(&self, wall: Nanos) {
        self.state.lock().wall = wall;
    }

    /// How long until the first sleeper is due; `None` when nobody sleeps.
    #[must_use]
    pub fn until_next_sleeper(&self) -> Option<Duration> {
        let state = self.state.lock();
        state.sleepers.keys().next().map(|(deadline, _)| deadline.saturating_sub(state.monotonic))
    }

    /// How many futures sleep.
    #[must_use]
    pub fn sleeper_count(&self) -> usize {
        self.state.lock().sleepers.len()
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Nanos {
        self.state.lock().wall
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().monotonic
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let mut state = self.state.lock();
        let key = (state.monotonic.saturating_add(span), state.next_sleeper);
        state.next_sleeper += 1;
        Box::pin(Sleeper { state: Arc::clone(&self.state), key })
    }
}

struct Sleeper {
    state: Arc<Mutex<State>>,
    key: (Duration, u64),
}

impl Future for Sleeper {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.monotonic >= self.key.0 {
            state.sleepers.remove(&self.key);
            return Poll::Ready(());
        }
        state.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.state.lock().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(sleep: &mut Sleep) -> Poll<()> {
        sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn sleepers_wake_when_their_time_is_passed_and_not_before() {
        let clock = SimClock::new();
        let mut short = clock.sleep(Duration::from_millis(10));
        let mut long = clock.sleep(Duration::from_millis(30));
        assert!(poll(&mut short).is_pending() && poll(&mut long).is_pending());
        assert_eq!(clock.until_next_sleeper(), Some(Duration::from_millis(10)));
        clock.advance(Duration::from_millis(10));
        assert!(poll(&mut short).is_ready() && poll(&mut long).is_pending());
        drop(long);
        assert_eq!(clock.sleeper_count(), 0);
    }

    #[test]
    fn a_wall_jump_leaves_monotonic_time_alone() {
        let clock = SimClock::new();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.wall().0 - WALL_START.0, 5_000_000_000);
        clock.set_wall(Nanos(1));
        assert_eq!((clock.wall(), clock.monotonic()), (Nanos(1), Duration::from_secs(5)));
    }
}
