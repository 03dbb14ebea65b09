//! When a consumer that nobody uses is to be deleted.
//!
//! Push: after nobody has listened for that long. Pull: after the last request or delivery, unless requests still
//! wait; and while messages are out with clients, that long after the last of them is due back.

use std::time::Duration;

use super::{Consumer, Step};
use crate::config::{Config, Mode};
use crate::effect::Effect;
use crate::stream::after;

#[derive(Clone, Debug, Default)]
pub(super) struct Idle {
    /// When to look whether it is idle.
    check_at: Option<Duration>,
    last_active: Duration,
    /// When the last of what waits to be delivered again would have come back if it had been delivered at once.
    expected: Duration,
}

impl Idle {
    /// The threshold counts from now.
    pub(super) fn begin(&mut self, config: &Config, now: Duration) {
        self.last_active = self.last_active.max(now);
        self.check_at = config.inactive_after.map(|threshold| after(now, threshold));
    }

    pub(super) fn active(&mut self, now: Duration) {
        self.last_active = now;
    }

    /// Push: somebody listens.
    pub(super) fn occupied(&mut self) {
        self.check_at = None;
    }

    pub(super) fn expects(&mut self, now: Duration, ack_wait: Duration) {
        self.expected = after(now, ack_wait);
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.check_at
    }
}

impl Consumer {
    pub(super) fn idle_tick(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        let Some(threshold) = self.config.inactive_after else { return };
        if self.idle.check_at.is_none_or(|at| at > now) {
            return;
        }
        self.idle.check_at = None;
        if matches!(self.config.mode, Mode::Push(_)) {
            if !self.push.is_active {
                step.effects.push(Effect::Delete);
            }
            return;
        }
        let since_last = after(self.idle.last_active, threshold);
        if since_last > now {
            self.idle.check_at = Some(since_last);
            return;
        }
        self.requests.sweep(step);
        if !self.requests.is_empty() {
            self.idle.check_at = Some(after(now, threshold));
            return;
        }
        let queued = (self.window.queued() > 0).then_some(self.idle.expected);
        let last_due = self.window.last_deadline().into_iter().chain(queued).max();
        match last_due.map(|due| after(due, threshold)) {
            Some(at) if at > now => self.idle.check_at = Some(at),
            _ => step.effects.push(Effect::Delete),
        }
    }
}
