//! How far the log is durable, and who waits for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use duolog_types::Lsn;
use parking_lot::Mutex;

use crate::error::Poisoned;

/// The durable LSN. It only rises, until the log is poisoned.
#[derive(Debug, Default)]
pub(crate) struct Durability {
    durable: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By (LSN waited for, number of the waiter): an advance wakes a prefix and touches nobody else.
    wakers: BTreeMap<(u64, u64), Waker>,
    next_waiter: u64,
    poisoned: Option<Poisoned>,
}

impl Durability {
    pub(crate) fn starting_at(lsn: Lsn) -> Self {
        Self { durable: AtomicU64::new(lsn.0), waiting: Mutex::default() }
    }

    pub(crate) fn lsn(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn poisoned(&self) -> Option<Poisoned> {
        self.waiting.lock().poisoned.clone()
    }

    /// Everything up to `lsn` is durable: wakes those who wait for it.
    pub(crate) fn advance(&self, lsn: Lsn) {
        let woken = {
            let mut waiting = self.waiting.lock();
            self.durable.store(lsn.0, Ordering::Release);
            let later = waiting.wakers.split_off(&(lsn.0 + 1, 0));
            std::mem::replace(&mut waiting.wakers, later)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Nothing more will ever be durable: wakes everybody with the reason. The first reason stays.
    pub(crate) fn poison(&self, reason: Poisoned) {
        let woken = {
            let mut waiting = self.waiting.lock();
            waiting.poisoned.get_or_insert(reason);
            std::mem::take(&mut waiting.wakers)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Ends when `lsn` is durable, or with the reason why it won't be known.
    pub(crate) fn wait(self: &Arc<Self>, lsn: Lsn) -> WaitDurable {
        WaitDurable { durability: self.clone(), lsn, waiter: None }
    }

    /// Has everybody who waits look again: [`wait_blocking`](Self::wait_blocking) at its condition.
    pub(crate) fn nudge(&self) {
        let woken = std::mem::take(&mut self.waiting.lock().wakers);
        woken.into_values().for_each(Waker::wake);
    }

    /// Like [`wait`](Self::wait), for a thread of the log's own. Ends with `false` as soon as `give_up` holds.
    pub(crate) fn wait_blocking(
        self: &Arc<Self>,
        lsn: Lsn,
        give_up: impl Fn() -> bool,
    ) -> Result<bool, Poisoned> {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut wait = self.wait(lsn);
        loop {
            match Pin::new(&mut wait).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result.map(|()| true),
                // The waker is registered: a nudge from here on ends the parking.
                Poll::Pending if give_up() => return Ok(false),
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

/// See [`Durability::wait`]. Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct WaitDurable {
    durability: Arc<Durability>,
    lsn: Lsn,
    waiter: Option<u64>,
}

impl Future for WaitDurable {
    type Output = Result<(), Poisoned>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.durability.lsn() >= this.lsn {
            return Poll::Ready(Ok(()));
        }
        let mut waiting = this.durability.waiting.lock();
        // `advance` stores under this lock: what isn't durable now finds the waker below.
        if this.durability.lsn() >= this.lsn {
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = &waiting.poisoned {
            return Poll::Ready(Err(reason.clone()));
        }
        let waiter = match this.waiter {
            Some(waiter) => waiter,
            None => {
                waiting.next_waiter += 1;
                waiting.next_waiter
            }
        };
        this.waiter = Some(waiter);
        waiting.wakers.insert((this.lsn.0, waiter), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for WaitDurable {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.durability.waiting.lock().wakers.remove(&(self.lsn.0, waiter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_end_in_order_and_poison_ends_the_rest() {
        let durability = Arc::new(Durability::default());
        let first = tokio::spawn(durability.wait(Lsn(1)));
        let third = tokio::spawn(durability.wait(Lsn(3)));
        tokio::task::yield_now().await;
        durability.advance(Lsn(2));
        first.await.unwrap().unwrap();
        assert!(!third.is_finished());
        durability.poison(Poisoned { action: "write", detail: "EIO".into() });
        assert_eq!(third.await.unwrap().unwrap_err().detail, "EIO");
        assert!(durability.wait(Lsn(2)).await.is_ok(), "what was durable before stays so");
        assert!(durability.wait(Lsn(3)).await.is_err());
    }

    #[tokio::test]
    async fn a_dropped_wait_leaves_nothing_behind() {
        let durability = Arc::new(Durability::default());
        let wait = tokio::spawn(durability.wait(Lsn(1)));
        tokio::task::yield_now().await;
        wait.abort();
        let _ = wait.await;
        assert!(durability.waiting.lock().wakers.is_empty());
    }
}
