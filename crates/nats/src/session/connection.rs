//! What the rest of the door may know and do about an open connection: who it is, what waits for it, what it does
//! since when, and ending it.
//!
//! Timeouts need no timer per connection: a session notes what it does, and one task looks at all of them at a
//! tick ([`Connection::due`] changes nothing but what it notes, so that tests need no clock).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::close::CloseReason;
use super::outbound::{Outbound, TotalPending};
use crate::config::NatsConfig;

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number, as in INFO.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    pub(crate) outbound: Mutex<Outbound>,
    /// The connection's task.
    pub(crate) waker: AtomicWaker,
    /// The client takes headers.
    pub(crate) headers: AtomicBool,
    /// The client takes INFO at any time.
    pub(crate) takes_info: AtomicBool,
    opened_ms: u64,
    /// Still to say who it is.
    pub(crate) unauthenticated: AtomicBool,
    /// When the client last sent something.
    active_ms: AtomicU64,
    /// When its next ping is due; 0: no timer yet.
    ping_ms: AtomicU64,
    pings_out: AtomicU32,
    /// A pong has come: the reference measures the round trip once, however busy the connection is.
    ponged: AtomicBool,
    /// Since when bytes wait that the client doesn't take; 0: none do.
    write_ms: AtomicU64,
    /// Since when no byte of a large message came; 0: none was begun.
    message_ms: AtomicU64,
    /// It has buffers that it may not need any more.
    holds_buffers: AtomicBool,
    /// Buffers are to be freed.
    pub(crate) trim: AtomicBool,
    /// The lame duck's INFO is to be sent.
    pub(crate) lame_duck: AtomicBool,
}

/// What a tick has to do about a connection.
#[derive(Debug)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// It has been silent: its buffers aren't needed.
    Trim,
    End(CloseReason),
}

/// The first ping comes early, so that a round trip is measured (the reference: 2 s and up to a fifth more).
const FIRST_PING: Duration = Duration::from_secs(2);

/// A connection that was silent for so long gives its buffers back.
const TRIM_AFTER_MS: u64 = 5_000;

impl Connection {
    /// A connection that was opened `now`.
    pub(crate) fn new(
        id: u64,
        peer: SocketAddr,
        now: Duration,
        max_pending: usize,
        total: Arc<TotalPending>,
    ) -> Self {
        Self {
            id,
            peer,
            outbound: Mutex::new(Outbound::new(max_pending, total)),
            waker: AtomicWaker::new(),
            headers: AtomicBool::new(false),
            takes_info: AtomicBool::new(false),
            opened_ms: millis(now),
            unauthenticated: AtomicBool::new(false),
            active_ms: AtomicU64::new(millis(now)),
            ping_ms: AtomicU64::new(0),
            pings_out: AtomicU32::new(0),
            ponged: AtomicBool::new(false),
            write_ms: AtomicU64::new(0),
            message_ms: AtomicU64::new(0),
            holds_buffers: AtomicBool::new(true),
            trim: AtomicBool::new(false),
            lame_duck: AtomicBool::new(false),
        }
    }

    /// Ends the connection: its session stops with `reason`, once what waits was sent if the client takes it soon.
    pub fn end(&self, reason: CloseReason) {
        self.outbound.lock().close(reason);
        self.waker.wake();
    }

    /// Sends bytes that aren't a message.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut outbound = self.outbound.lock();
        outbound.put(bytes);
        let wake = !std::mem::replace(&mut outbound.announced, true);
        drop(outbound);
        if wake {
            self.waker.wake();
        }
    }

    pub(crate) fn active(&self, now: Duration) {
        self.active_ms.store(millis(now), Ordering::Relaxed);
        self.holds_buffers.store(true, Ordering::Relaxed);
    }

    /// A CONNECT came: from now on pings are sent. `chance` spreads the first ones.
    pub(crate) fn connected(&self, now: Duration, config: &NatsConfig, chance: u64) {
        self.unauthenticated.store(false, Ordering::Relaxed);
        self.schedule_first_ping(now, config, chance);
    }

    pub(crate) fn schedule_first_ping(&self, now: Duration, config: &NatsConfig, chance: u64) {
        let first = config.ping_interval.min(FIRST_PING);
        let fifth = u64::try_from(first.as_millis() / 5).unwrap_or(u64::MAX).max(1);
        let due = now + first + Duration::from_millis(chance % fifth);
        self.ping_ms.store(millis(due), Ordering::Relaxed);
    }

    pub(crate) fn pong(&self) {
        self.pings_out.store(0, Ordering::Relaxed);
        self.ponged.store(true, Ordering::Relaxed);
    }

    pub(crate) fn write_waits(&self, now: Duration) {
        // The client takes nothing since the first time that it was noted.
        if self.write_ms.load(Ordering::Relaxed) == 0 {
            self.write_ms.store(millis(now), Ordering::Relaxed);
        }
    }

    pub(crate) fn written(&self) {
        if self.write_ms.load(Ordering::Relaxed) != 0 {
            self.write_ms.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn message_progress(&self, now: Duration) {
        self.message_ms.store(millis(now), Ordering::Relaxed);
    }

    pub(crate) fn message_ended(&self) {
        self.message_ms.store(0, Ordering::Relaxed);
    }

    /// What is to be done about the connection at `now`.
    pub(crate) fn due(&self, now: Duration, config: &NatsConfig) -> Due {
        let now_ms = millis(now);
        let waited = |since: &AtomicU64| match since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(now_ms.saturating_sub(since)),
        };
        if waited(&self.write_ms) > config.write_deadline {
            return Due::End(CloseReason::NotReading { seconds: waited(&self.write_ms).as_secs() });
        }
        if waited(&self.message_ms) > config.stall_timeout {
            return Due::End(CloseReason::Stalled { seconds: waited(&self.message_ms).as_secs() });
        }
        if self.unauthenticated.load(Ordering::Relaxed)
            && Duration::from_millis(now_ms.saturating_sub(self.opened_ms)) > config.auth_timeout
        {
            return Due::End(CloseReason::Refused(duolog_nats_wire::ErrorText::AuthenticationTimeout));
        }
        match self.ping_due(now_ms, config) {
            Due::Nothing if self.is_trim_due(now_ms) => Due::Trim,
            due => due,
        }
    }

    fn is_trim_due(&self, now_ms: u64) -> bool {
        let quiet_ms = now_ms.saturating_sub(self.active_ms.load(Ordering::Relaxed));
        quiet_ms > TRIM_AFTER_MS && self.holds_buffers.swap(false, Ordering::Relaxed)
    }

    fn ping_due(&self, now_ms: u64, config: &NatsConfig) -> Due {
        let due = self.ping_ms.load(Ordering::Relaxed);
        if due == 0 || now_ms < due {
            return Due::Nothing;
        }
        let interval_ms = u64::try_from(config.ping_interval.as_millis()).unwrap_or(u64::MAX);
        self.ping_ms.store(now_ms.saturating_add(interval_ms), Ordering::Relaxed);
        let quiet_ms = now_ms.saturating_sub(self.active_ms.load(Ordering::Relaxed));
        if quiet_ms < interval_ms && self.ponged.load(Ordering::Relaxed) {
            return Due::Nothing;
        }
        let out = self.pings_out.load(Ordering::Relaxed);
        if out + 1 > config.max_pings_out {
            return Due::End(CloseReason::Refused(duolog_nats_wire::ErrorText::Stale));
        }
        self.pings_out.store(out + 1, Ordering::Relaxed);
        Due::Ping
    }
}

/// Milliseconds, never 0, which stands for "not at all".
fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX).max(1)
}
