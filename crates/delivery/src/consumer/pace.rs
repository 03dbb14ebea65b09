//! How fast messages may go out: a rate, and the speed at which they were stored.

use std::time::Duration;

use duolog_types::{Nanos, Sequence};

use crate::config::{Config, Mode, RateLimit};
use crate::stream::Message;

/// A gap between messages that isn't kept when they are replayed.
const GAP_MIN: Duration = Duration::from_millis(1);

/// What holds messages back although somebody would take them.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    rate: Option<RateLimit>,
    /// When the receiver will have got all that was sent, at the rate.
    busy_until: Duration,
    /// Replay at original speed until this sequence was looked at.
    replay_until: Option<Sequence>,
    /// When a message was delivered last, and when that message had been stored.
    last: Option<(Duration, Nanos)>,
    /// When the message that is held back may go.
    gate: Option<Duration>,
}

impl Pace {
    pub(super) fn new(config: &Config, last: Sequence) -> Self {
        let replay_until = (config.replay_original && last > Sequence::ZERO).then_some(last);
        Self { rate: rate_of(config), busy_until: Duration::ZERO, replay_until, last: None, gate: None }
    }

    pub(super) fn update(&mut self, config: &Config) {
        self.rate = rate_of(config);
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.gate
    }

    /// Whether a message was held back until now. It is looked for again.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.gate.is_some_and(|at| at <= now);
        if is_due {
            self.gate = None;
        }
        is_due
    }

    /// All below `next` was looked at.
    pub(super) fn caught_up(&mut self, next: Sequence) {
        if self.replay_until.is_some_and(|until| next > until) {
            self.replay_until = None;
        }
    }

    /// Whether the message has to be held back; then [`Pace::next_deadline`] says until when.
    pub(super) fn must_wait(&mut self, message: &Message, size: u64, now: Duration) -> bool {
        let at = self.replay_at(message).max(self.rate_at(size, now));
        self.gate = (at > now).then_some(at);
        self.gate.is_some()
    }

    fn replay_at(&self, message: &Message) -> Duration {
        let (Some(_), Some((sent, stored))) = (self.replay_until, self.last) else { return Duration::ZERO };
        let gap = message.time.0.saturating_sub(stored.0);
        let gap = Duration::from_nanos(u64::try_from(gap).unwrap_or(0));
        if gap > GAP_MIN { sent.saturating_add(gap) } else { Duration::ZERO }
    }

    /// A burst may go out at once: the receiver may be busy for as long as that takes.
    fn rate_at(&self, size: u64, now: Duration) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let burst = takes(rate, rate.burst_bytes);
        let until = self.busy_until.max(now).saturating_add(takes(rate, size.min(rate.burst_bytes)));
        until.saturating_sub(burst)
    }

    pub(super) fn delivered(&mut self, message: &Message, size: u64, now: Duration) {
        self.gate = None;
        self.last = Some((now, message.time));
        if let Some(rate) = self.rate {
            self.busy_until = self.busy_until.max(now).saturating_add(takes(rate, size));
        }
    }
}

fn rate_of(config: &Config) -> Option<RateLimit> {
    match &config.mode {
        Mode::Push(push) => push.rate,
        Mode::Pull(_) => None,
    }
}

/// How long so many bytes take at the rate.
fn takes(rate: RateLimit, bytes: u64) -> Duration {
    let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate.bits_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
