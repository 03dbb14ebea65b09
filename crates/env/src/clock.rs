//! What time it is, and waiting.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use duolog_types::Nanos;

/// A future that ends when a span of monotonic time has passed.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The wall clock, the monotonic clock, and timers.
pub trait Clock: Send + Sync {
    /// The wall clock: may jump either way. Only for what people read and for retention.
    fn wall(&self) -> Nanos;

    /// Time since some fixed point of this process: never goes back. For timeouts, sessions and measurements.
    fn monotonic(&self) -> Duration;

    /// Ends `span` of monotonic time from now.
    fn sleep(&self, span: Duration) -> Sleep;
}

/// The machine's clocks, and tokio's timers.
#[derive(Debug)]
pub struct RealClock {
    start: std::time::Instant,
}

impl RealClock {
    /// A clock whose monotonic time counts from now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the real clock")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the real clock")]
    fn wall(&self) -> Nanos {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that arms a real timer")]
    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}
