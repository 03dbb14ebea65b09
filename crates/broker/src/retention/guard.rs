//! Whether the wall clock can be believed: it decides what is old, and one jump ahead would make everything so.
//!
//! ```text
//! wall       10:00      10:05        2031!
//! monotonic      0 s      300 s       600 s ──── HOLD ────► what is old goes after all
//!                                      ▲ the wall went on by far more than the monotonic clock
//! ```
//!
//! Decides only, from readings: no clock, no log.

use std::time::Duration;

use duolog_types::Nanos;

/// A jump ahead of more than this is doubted.
const DOUBTED: Duration = Duration::from_secs(3600);

/// So long what would take most of a partition is held: for whoever is told to set the clock right. A machine that was
/// suspended jumps as well, and loses nothing but this time.
const HOLD: Duration = Duration::from_secs(3600);

/// See the module. One reading a round of retention.
#[derive(Clone, Copy, Debug)]
pub struct ClockGuard {
    wall: Nanos,
    monotonic: Duration,
    held_until: Option<Duration>,
    /// How far ahead the clock jumped while it is doubted, nanoseconds.
    ahead: i128,
}

impl ClockGuard {
    /// Believes the clock as it stands.
    #[must_use]
    pub fn new(wall: Nanos, monotonic: Duration) -> Self {
        Self { wall, monotonic, held_until: None, ahead: 0 }
    }

    /// Takes a reading. Returns whether the clock is doubted now.
    pub fn doubts(&mut self, wall: Nanos, monotonic: Duration) -> bool {
        let passed = monotonic.saturating_sub(self.monotonic).as_nanos() as i128;
        let jumped = i128::from(wall.0) - i128::from(self.wall.0) - passed;
        (self.wall, self.monotonic) = (wall, monotonic);
        let doubted = DOUBTED.as_nanos() as i128;
        if self.held_until.is_none() {
            self.ahead = 0;
        }
        // Set back by a part of what it jumped, it is as wrong as before.
        self.ahead += jumped;
        if jumped > doubted {
            self.held_until = Some(monotonic + HOLD);
            let seconds = jumped / 1_000_000_000;
            tracing::error!(
                seconds,
                held_seconds = HOLD.as_secs(),
                "the clock jumped ahead: what would take most of a partition by age is held, and so are old offsets of groups; set the clock right if it is wrong"
            );
        } else if self.ahead <= doubted && self.held_until.take().is_some() {
            tracing::info!("the clock was set back: retention goes on");
        }
        self.held_until = self.held_until.filter(|until| monotonic < *until);
        self.held_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;

    fn doubts(guard: &mut ClockGuard, wall: i64, monotonic: i64) -> bool {
        guard.doubts(Nanos(wall * 1_000_000_000), Duration::from_secs(monotonic as u64))
    }

    #[test]
    fn a_jump_ahead_is_doubted_for_an_hour_unless_it_is_taken_back() {
        let mut guard = ClockGuard::new(Nanos(0), Duration::ZERO);
        assert!(!doubts(&mut guard, 5 * MINUTE, 5 * MINUTE));
        assert!(!doubts(&mut guard, 600 * MINUTE, 600 * MINUTE), "time that passed is no jump");
        assert!(!doubts(&mut guard, 665 * MINUTE, 605 * MINUTE), "an hour is believed");
        assert!(doubts(&mut guard, 731 * MINUTE, 610 * MINUTE));
        assert!(doubts(&mut guard, 736 * MINUTE, 615 * MINUTE), "still");
        assert!(!doubts(&mut guard, 620 * MINUTE, 620 * MINUTE), "set back");
        assert!(doubts(&mut guard, 9000 * MINUTE, 625 * MINUTE));
        assert!(doubts(&mut guard, 8800 * MINUTE, 630 * MINUTE), "set back, but days ahead still");
        assert!(doubts(&mut guard, 8854 * MINUTE, 684 * MINUTE));
        assert!(!doubts(&mut guard, 8855 * MINUTE, 685 * MINUTE), "nobody set it back");
    }
}
