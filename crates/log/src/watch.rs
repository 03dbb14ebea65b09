//! Waiting for news of many partitions at once, as epoll does for sockets.
//!
//! A partition whose high watermark or log start moved, or that was dropped, puts its token into the watch's ready
//! list once, however much happened since; a partition without news costs nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

use crate::partition::core::Core;

/// A set of watched partitions and the list of those with news. One task waits on a watch at a time.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ready: Mutex<Ready>,
    bytes_seen: AtomicU64,
}

#[derive(Debug, Default)]
struct Ready {
    registrations: Vec<Arc<Registration>>,
    waker: Option<Waker>,
}

/// One partition's place in one watch; the partition holds it.
#[derive(Debug)]
pub(crate) struct Registration {
    watch: Arc<Inner>,
    token: u64,
    /// The token stands in the ready list.
    listed: AtomicBool,
}

impl Registration {
    pub(crate) fn new(watch: &Watch, token: u64) -> Arc<Self> {
        Arc::new(Self { watch: watch.0.clone(), token, listed: AtomicBool::new(false) })
    }

    /// The partition has news, of which `bytes` became readable.
    pub(crate) fn notify(self: &Arc<Self>, bytes: u64) {
        self.watch.bytes_seen.fetch_add(bytes, Ordering::AcqRel);
        let waker = {
            let mut ready = self.watch.ready.lock();
            if !self.listed.swap(true, Ordering::AcqRel) {
                ready.registrations.push(self.clone());
            }
            ready.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Watch {
    /// A watch on nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the tokens of the partitions that had news since they were last taken.
    #[must_use]
    pub fn take_ready(&self) -> Vec<u64> {
        let mut ready = self.0.ready.lock();
        let taken = std::mem::take(&mut ready.registrations);
        taken
            .iter()
            .map(|registration| {
                registration.listed.store(false, Ordering::Release);
                registration.token
            })
            .collect()
    }

    /// Bytes that became readable in watched partitions since the watch was made.
    #[must_use]
    pub fn bytes_seen(&self) -> u64 {
        self.0.bytes_seen.load(Ordering::Acquire)
    }

    /// Ends as soon as a token stands in the ready list.
    pub async fn ready(&self) {
        poll_fn(|context| {
            let mut ready = self.0.ready.lock();
            if !ready.registrations.is_empty() {
                return Poll::Ready(());
            }
            ready.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Ends when there is news after `bytes_seen` bytes: for waits that count bytes and have taken the tokens or
    /// leave them in the list.
    pub async fn more_than(&self, bytes_seen: u64) {
        poll_fn(|context| {
            let mut ready = self.0.ready.lock();
            if self.bytes_seen() > bytes_seen {
                return Poll::Ready(());
            }
            ready.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Ends a partition's registration when dropped.
#[derive(Debug)]
pub struct WatchGuard {
    core: Arc<Core>,
    registration: Arc<Registration>,
}

impl WatchGuard {
    pub(crate) fn new(core: Arc<Core>, registration: Arc<Registration>) -> Self {
        Self { core, registration }
    }
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.core.unwatch(&self.registration);
        self.registration
            .watch
            .ready
            .lock()
            .registrations
            .retain(|listed| !Arc::ptr_eq(listed, &self.registration));
    }
}
