//! Room for request bytes: how much all connections, and each one, may have in flight.
//!
//! A connection takes room before it reads a request's body and waits if there is none, so memory is bounded by
//! the budgets and not by the number of clients. The first bytes of a frame come out of a pool of their own:
//! clients that announce large frames and send nothing can't take the room from those who send small ones, and
//! get large room only once the first bytes have really come.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a frame may take from the pool of first bytes.
pub const FIRST_BYTES: usize = 64 << 10;

/// The budget that all connections share.
#[derive(Clone, Debug)]
pub struct Budget {
    first: Arc<Semaphore>,
    rest: Arc<Semaphore>,
    rest_total: u32,
}

/// Room taken; given back when dropped.
#[derive(Debug, Default)]
pub struct Room {
    permits: Vec<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `total` bytes, of which an eighth is kept for the first bytes of frames.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let first = (total / 8).max(FIRST_BYTES * 16);
        let rest = u32::try_from(total).unwrap_or(u32::MAX >> 1);
        Self {
            first: Arc::new(Semaphore::new(first)),
            rest: Arc::new(Semaphore::new(rest as usize)),
            rest_total: rest,
        }
    }

    /// Room for a frame's first bytes.
    pub async fn first(&self, room: &mut Room, length: usize) {
        room.join(take(&self.first, length.min(FIRST_BYTES)).await);
    }

    /// More room, for bytes behind the first ones or for what decoding makes of them. What exceeds the whole
    /// budget is cut to it: such a request is handled alone.
    pub async fn more(&self, room: &mut Room, bytes: usize) {
        let bytes = bytes.min(self.rest_total as usize);
        if bytes > 0 {
            room.join(take(&self.rest, bytes).await);
        }
    }

    /// Bytes that are free now, for the metrics.
    #[must_use]
    pub fn available(&self) -> usize {
        self.rest.available_permits()
    }
}

/// The budget of one connection.
#[derive(Debug)]
pub struct ConnectionBudget {
    room: Arc<Semaphore>,
    total: usize,
}

impl ConnectionBudget {
    /// A budget of `total` bytes.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(total)), total }
    }

    /// Room for a frame.
    pub async fn take(&self, room: &mut Room, bytes: usize) {
        room.join(take(&self.room, bytes.min(self.total)).await);
    }
}

impl Room {
    fn join(&mut self, other: Room) {
        self.permits.extend(other.permits);
    }
}

async fn take(pool: &Arc<Semaphore>, bytes: usize) -> Room {
    let count = u32::try_from(bytes).unwrap_or(u32::MAX);
    // The semaphores are never closed; if one were, no room is no licence: the caller would only wait less.
    let permits = Arc::clone(pool).acquire_many_owned(count).await.ok();
    Room { permits: permits.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn room_is_waited_for_and_given_back() {
        let budget = Budget::new(1 << 20);
        let mut held = Room::default();
        budget.more(&mut held, 1 << 20).now_or_never().expect("the budget is free");
        let mut second = Room::default();
        assert!(budget.more(&mut second, 1).now_or_never().is_none(), "the budget is used up");
        assert!(
            budget.first(&mut second, FIRST_BYTES).now_or_never().is_some(),
            "first bytes have a pool of their own"
        );
        drop(held);
        assert!(budget.more(&mut second, 1).now_or_never().is_some());
    }

    #[test]
    fn a_request_larger_than_the_budget_is_handled_alone() {
        let budget = Budget::new(1 << 20);
        let mut room = Room::default();
        budget.more(&mut room, 1 << 30).now_or_never().expect("cut to the whole budget");
        assert_eq!(budget.available(), 0);
    }
}
