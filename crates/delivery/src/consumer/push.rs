//! The receiver of a push consumer: whether it listens, whether it keeps up, when it was last sent something.

use std::time::Duration;

use super::{Consumer, Step};
use crate::config::{Mode, PushConfig};
use crate::effect::{Effect, Heartbeat, Target};
use crate::stream::after;

/// How many bytes may be on their way at most before the receiver must have said that it keeps up.
const WINDOW_BYTES_MAX: u64 = 32 << 20;
/// Where that begins; each answer doubles it.
const WINDOW_BYTES_FIRST: u64 = WINDOW_BYTES_MAX / 16;

/// The receiver's state.
#[derive(Clone, Debug)]
pub(super) struct Push {
    /// Whether anybody listens.
    pub(super) is_active: bool,
    /// Bytes that may be on their way.
    window_bytes: u64,
    /// Bytes on their way, as far as is known.
    sent_bytes: u64,
    /// The request that wasn't answered yet, and what its answer will say has arrived.
    asked: Option<(u64, u64)>,
    next_id: u64,
    /// Whether [`PushConfig::flow_control`].
    is_controlled: bool,
    heartbeat_at: Option<Duration>,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            is_active: false,
            window_bytes: WINDOW_BYTES_FIRST,
            sent_bytes: 0,
            asked: None,
            next_id: 1,
            is_controlled: false,
            heartbeat_at: None,
        }
    }
}

impl Push {
    /// Whether it would take a message.
    pub(super) fn takes(&self) -> bool {
        self.is_active && !(self.is_controlled && self.sent_bytes > self.window_bytes)
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.heartbeat_at
    }

    /// A message went out. Returns the flow control request that goes with it, if it is time for one.
    pub(super) fn delivered(&mut self, config: &PushConfig, size: u64, now: Duration) -> Option<u64> {
        self.heartbeat_at = config.heartbeat.map(|every| after(now, every));
        self.is_controlled = config.flow_control;
        if !config.flow_control {
            return None;
        }
        self.sent_bytes = self.sent_bytes.saturating_add(size);
        match &mut self.asked {
            Some((_, arrived)) => {
                if self.sent_bytes.saturating_sub(*arrived) >= self.window_bytes {
                    *arrived += size;
                }
                None
            }
            None if self.sent_bytes > self.window_bytes / 2 => {
                let id = self.next_id;
                self.next_id += 1;
                self.asked = Some((id, self.sent_bytes));
                Some(id)
            }
            None => None,
        }
    }

    /// The receiver has answered. Only the newest request counts.
    pub(super) fn answered(&mut self, id: u64) {
        if let Some((asked, arrived)) = self.asked
            && asked == id
        {
            self.window_bytes = self.window_bytes.saturating_mul(2).min(WINDOW_BYTES_MAX);
            self.sent_bytes = self.sent_bytes.saturating_sub(arrived);
            self.asked = None;
        }
    }
}

impl Consumer {
    /// Somebody listens now, or nobody does any more.
    pub(super) fn interest(&mut self, is_there: bool, step: &mut Step<'_>) {
        let Mode::Push(config) = &self.config.mode else { return };
        let now = step.now.monotonic;
        if is_there {
            if self.push.heartbeat_at.is_none() {
                self.push.heartbeat_at = config.heartbeat.map(|every| after(now, every));
            }
            self.idle.occupied();
        } else if self.push.is_active {
            self.push.heartbeat_at = None;
            self.idle.begin(&self.config, now);
        }
        self.push.is_active = is_there;
    }

    pub(super) fn push_tick(&mut self, step: &mut Step<'_>) {
        let now = step.now.monotonic;
        let Mode::Push(config) = &self.config.mode else { return };
        if self.push.heartbeat_at.is_none_or(|at| at > now) {
            return;
        }
        self.push.heartbeat_at = config.heartbeat.map(|every| after(now, every));
        let position = self.window.heartbeat_position();
        step.effects.push(Effect::Heartbeat(Heartbeat {
            to: Target::Push,
            number: position.number,
            sequence: position.sequence,
            stalled: self.push.asked.map(|(id, _)| id),
        }));
    }
}
