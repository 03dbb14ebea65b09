//! What the rest of the door may know and do about an open connection: whose it is, what it is doing since
//! when, and ending it.
//!
//! Timeouts need no timer per connection: a session notes what it waits for, and one task looks at all of them
//! once a second ([`Connection::overdue`] is pure, so that tests need no clock).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::close::CloseReason;
use crate::config::KafkaConfig;

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// When its last request began to be handled or its last reply left, monotonic milliseconds.
    active_ms: AtomicU64,
    /// When the frame that is being read was begun; 0 if none is.
    frame_ms: AtomicU64,
    /// When its last bytes came.
    progress_ms: AtomicU64,
    /// When the client last took bytes of the reply that is being written; 0 if none is.
    write_ms: AtomicU64,
    /// Requests that were read and not yet answered.
    pending: AtomicUsize,
    ended: Mutex<Option<CloseReason>>,
    end: Notify,
}

impl Connection {
    /// A connection that was opened `now`.
    #[must_use]
    pub fn new(peer: SocketAddr, now: Duration) -> Self {
        Self {
            peer,
            active_ms: AtomicU64::new(millis(now)),
            frame_ms: AtomicU64::new(0),
            progress_ms: AtomicU64::new(0),
            write_ms: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
            ended: Mutex::new(None),
            end: Notify::new(),
        }
    }

    /// Ends the connection: its session stops with `reason`.
    pub fn end(&self, reason: CloseReason) {
        self.ended.lock().get_or_insert(reason);
        self.end.notify_one();
    }

    /// Waits until somebody calls [`end`](Self::end).
    pub async fn until_ended(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.ended.lock().take() {
                return reason;
            }
            self.end.notified().await;
        }
    }

    pub(super) fn frame_begun(&self, now: Duration) {
        self.progress_ms.store(millis(now), Ordering::Relaxed);
        if self.frame_ms.load(Ordering::Relaxed) == 0 {
            self.frame_ms.store(millis(now), Ordering::Relaxed);
        }
    }

    pub(super) fn frame_progress(&self, now: Duration) {
        self.progress_ms.store(millis(now), Ordering::Relaxed);
    }

    pub(super) fn frame_ended(&self) {
        self.frame_ms.store(0, Ordering::Relaxed);
    }

    pub(super) fn request_begun(&self, now: Duration) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.active_ms.store(millis(now), Ordering::Relaxed);
    }

    pub(super) fn requests_answered(&self, count: usize, now: Duration) {
        self.pending.fetch_sub(count, Ordering::Relaxed);
        self.active_ms.store(millis(now), Ordering::Relaxed);
    }

    pub(super) fn writing(&self, now: Duration) {
        self.write_ms.store(millis(now), Ordering::Relaxed);
    }

    pub(super) fn written(&self) {
        self.write_ms.store(0, Ordering::Relaxed);
    }

    /// Why the connection should be ended at `now`, if it should.
    #[must_use]
    pub fn overdue(&self, now: Duration, config: &KafkaConfig) -> Option<CloseReason> {
        let waited = |since: &AtomicU64| {
            let since = since.load(Ordering::Relaxed);
            Duration::from_millis(millis(now).saturating_sub(since))
        };
        if self.write_ms.load(Ordering::Relaxed) != 0 && waited(&self.write_ms) > config.write_timeout {
            return Some(CloseReason::NotReading { seconds: waited(&self.write_ms).as_secs() });
        }
        if self.frame_ms.load(Ordering::Relaxed) != 0 {
            if waited(&self.progress_ms) > config.stall_timeout {
                return Some(CloseReason::Stalled { seconds: waited(&self.progress_ms).as_secs() });
            }
            if waited(&self.frame_ms) > config.frame_timeout {
                return Some(CloseReason::Stalled { seconds: waited(&self.frame_ms).as_secs() });
            }
        } else if self.pending.load(Ordering::Relaxed) == 0 && waited(&self.active_ms) > config.idle_timeout {
            return Some(CloseReason::Idle { seconds: waited(&self.active_ms).as_secs() });
        }
        None
    }
}

/// Milliseconds, never 0, which stands for "not at all".
fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn connection() -> Connection {
        Connection::new(SocketAddr::from(([127, 0, 0, 1], 9)), at(1))
    }

    #[test]
    fn silent_connection_is_ended_after_the_idle_time_and_not_before() {
        let config = KafkaConfig::default();
        let connection = connection();
        assert!(connection.overdue(at(601), &config).is_none());
        assert!(matches!(connection.overdue(at(602), &config), Some(CloseReason::Idle { seconds: 601 })));
        connection.request_begun(at(600));
        assert!(connection.overdue(at(5000), &config).is_none(), "a parked request isn't idleness");
        connection.requests_answered(1, at(5000));
        assert!(connection.overdue(at(5600), &config).is_none());
        assert!(matches!(connection.overdue(at(5601), &config), Some(CloseReason::Idle { .. })));
    }

    #[test]
    fn half_frame_is_ended_when_it_stalls_or_drips() {
        let config = KafkaConfig::default();
        let connection = connection();
        connection.frame_begun(at(2));
        assert!(connection.overdue(at(12), &config).is_none());
        assert!(matches!(connection.overdue(at(13), &config), Some(CloseReason::Stalled { .. })));
        for second in 3..62 {
            connection.frame_progress(at(second));
            assert!(connection.overdue(at(second), &config).is_none(), "{second}");
        }
        connection.frame_progress(at(63));
        assert!(matches!(connection.overdue(at(63), &config), Some(CloseReason::Stalled { seconds: 61 })));
        connection.frame_ended();
        assert!(connection.overdue(at(63), &config).is_none());
    }

    #[test]
    fn client_that_takes_no_replies_is_ended() {
        let config = KafkaConfig::default();
        let connection = connection();
        connection.request_begun(at(2));
        connection.writing(at(3));
        assert!(connection.overdue(at(33), &config).is_none());
        assert!(matches!(connection.overdue(at(34), &config), Some(CloseReason::NotReading { .. })));
        connection.written();
        assert!(connection.overdue(at(34), &config).is_none());
    }
}
