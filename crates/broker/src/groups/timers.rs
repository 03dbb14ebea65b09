//! When which shard has something due: one alarm for all of them, so that an idle group costs no timer.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use duolog_env::Clock;
use tokio::sync::Notify;

use super::table::SHARDS;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The least time between two looks: a deadline is met to the millisecond.
const GRAIN: Duration = Duration::from_millis(1);

/// The shards' deadlines, and the one that is being waited for.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// Microseconds of the monotonic clock.
    deadlines: [AtomicU64; SHARDS as usize],
    /// What [`Alarm::due`] waits for: later deadlines needn't wake it.
    armed: AtomicU64,
    earlier: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        let never = || AtomicU64::new(NEVER);
        Self { deadlines: std::array::from_fn(|_| never()), armed: never(), earlier: Notify::new() }
    }
}

impl Alarm {
    /// A shard's next deadline. Call it under the shard's lock.
    pub(crate) fn set(&self, shard: u32, deadline: Option<Duration>) {
        let at = deadline.map_or(NEVER, |at| micros(at.saturating_add(Duration::from_nanos(999))));
        self.deadlines[shard as usize].store(at, SeqCst);
        // Stored before `armed` is read, and `due` raises `armed` before it reads: one of both sees the other.
        if at < self.armed.load(SeqCst) {
            self.earlier.notify_one();
        }
    }

    /// Whether a shard's deadline has come.
    pub(crate) fn is_due(&self, shard: u32, now: Duration) -> bool {
        self.deadlines[shard as usize].load(SeqCst) <= micros(now)
    }

    /// Ends when a deadline has come.
    pub(crate) async fn due(&self, clock: &dyn Clock) {
        loop {
            self.armed.store(NEVER, SeqCst);
            let first = self.deadlines.iter().map(|at| at.load(SeqCst)).min().unwrap_or(NEVER);
            self.armed.store(first, SeqCst);
            let now = micros(clock.monotonic());
            if first <= now {
                return;
            }
            if first == NEVER {
                self.earlier.notified().await;
                continue;
            }
            let sleep = clock.sleep(Duration::from_micros(first - now).max(GRAIN));
            tokio::select! {
                () = sleep => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}

/// Rounded down; deadlines are rounded up, so that the machine agrees that what is due here is due.
fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(NEVER - 1)
}
