//! Replies that wait for their turn, their sync, or the client: a bounded queue between a connection's two halves.
//!
//! An empty queue owns no memory, so that silent connections cost none. One reader side, one writer side, in one
//! task: nobody is woken here. The task polls a side again when [`ReplyQueue::take_news`] says so. (A task that wakes
//! itself makes tokio wake another worker, which costs more than the rest of a small request.)

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::reply::Reply;
use crate::budget::Room;

/// A reply in its place.
#[derive(Debug)]
pub struct Queued {
    /// What to send.
    pub reply: Reply,
    /// What the request takes of the budgets, given back when the reply has gone.
    pub room: Room,
    /// For the metrics: which API, and when the request was whole (nanoseconds of the monotonic clock).
    pub meter: Meter,
}

/// Which request a reply answers, for the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// The API's place in the table.
    pub api: usize,
    /// When the request was whole.
    pub since: std::time::Duration,
}

/// Bytes of replies that wait in the queues of all connections, or that are about to.
#[derive(Debug, Default)]
pub struct ReplyBytes {
    count: AtomicUsize,
    /// How many wait for it to fall: nobody as a rule, and then whoever sends has nothing to tell.
    waiting: AtomicUsize,
    fell: Notify,
}

impl ReplyBytes {
    /// How many there are.
    #[must_use]
    pub fn get(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds some.
    pub fn add(&self, bytes: usize) {
        self.count.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes some away that were added.
    pub fn sub(&self, bytes: usize) {
        // In one order with `below`: either it sees the lower count, or this sees that it waits.
        self.count.fetch_sub(bytes, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.fell.notify_waiters();
        }
    }

    /// Waits until there are fewer than `limit`.
    pub async fn below(&self, limit: usize) {
        if self.get() < limit {
            return;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        loop {
            // Made before the look, so that what falls in between isn't missed.
            let fell = self.fell.notified();
            if self.count.load(Ordering::SeqCst) < limit {
                return;
            }
            fell.await;
        }
    }
}

/// One who waits; counted until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The queue of one connection.
#[derive(Debug)]
pub struct ReplyQueue {
    state: Mutex<State>,
    max_len: usize,
    max_bytes: usize,
    /// Bytes that wait in the queues of all connections.
    all: Arc<ReplyBytes>,
}

#[derive(Debug, Default)]
struct State {
    replies: VecDeque<Queued>,
    bytes: usize,
    finished: bool,
    /// Something came or went that the other side may wait for.
    news: bool,
}

impl ReplyQueue {
    /// An empty queue; `all` counts the bytes of every connection's queue.
    #[must_use]
    pub fn new(max_len: usize, max_bytes: usize, all: Arc<ReplyBytes>) -> Self {
        Self { state: Mutex::default(), max_len, max_bytes, all }
    }

    /// Waits until one more reply may be queued. A reply may be larger than what is left: the queue then holds
    /// at most the limit and that one.
    pub async fn room(&self) {
        poll_fn(|_| {
            let state = self.state.lock();
            if state.replies.len() < self.max_len && state.bytes < self.max_bytes {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Queues a reply behind the others.
    pub fn push(&self, queued: Queued) {
        let bytes = queued.reply.len();
        self.all.add(bytes);
        let mut state = self.state.lock();
        state.bytes += bytes;
        state.replies.push_back(queued);
        state.news = true;
    }

    /// No more replies will come.
    pub fn finish(&self) {
        self.state.lock().finished = true;
    }

    /// Waits for the next reply; `None` once the queue is finished and empty.
    ///
    /// What is popped still counts until [`sent`](Self::sent) is told.
    pub async fn pop(&self) -> Option<Queued> {
        poll_fn(|_| {
            let mut state = self.state.lock();
            match state.replies.pop_front() {
                None if !state.finished => Poll::Pending,
                popped => Poll::Ready(popped),
            }
        })
        .await
    }

    /// The next reply, if there is one and `ready` says that it may leave now.
    pub fn pop_if(&self, ready: impl FnOnce(&Reply) -> bool) -> Option<Queued> {
        let mut state = self.state.lock();
        if state.replies.front().is_some_and(|queued| ready(&queued.reply)) {
            state.replies.pop_front()
        } else {
            None
        }
    }

    /// Bytes of popped replies were sent.
    pub fn sent(&self, bytes: usize) {
        self.all.sub(bytes);
        let mut state = self.state.lock();
        state.bytes -= bytes;
        state.news = true;
    }

    /// Whether anything came or went since the last call.
    pub fn take_news(&self) -> bool {
        std::mem::take(&mut self.state.lock().news)
    }

    /// Whether nothing waits, popped or not.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.replies.is_empty() && state.bytes == 0
    }
}

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        self.all.sub(self.state.get_mut().bytes);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;

    fn reply(bytes: usize) -> Queued {
        Queued {
            reply: Reply::new(Bytes::from(vec![0; bytes])),
            room: Room::default(),
            meter: Meter::default(),
        }
    }

    #[test]
    fn queue_is_bounded_by_count_and_by_bytes_and_counts_what_is_being_sent() {
        let all = Arc::new(ReplyBytes::default());
        let queue = ReplyQueue::new(2, 100, Arc::clone(&all));
        queue.push(reply(10));
        assert!(queue.room().now_or_never().is_some());
        queue.push(reply(10));
        assert!(queue.room().now_or_never().is_none(), "two replies are the limit");
        queue.pop().now_or_never().flatten().unwrap();
        assert!(queue.room().now_or_never().is_some());
        queue.push(reply(90));
        queue.pop().now_or_never().flatten().unwrap();
        queue.pop().now_or_never().flatten().unwrap();
        assert!(queue.room().now_or_never().is_none(), "popped but not sent");
        queue.sent(110);
        assert!(queue.room().now_or_never().is_some());
        assert!(queue.is_idle());
        queue.push(reply(7));
        assert_eq!(all.get(), 7);
        drop(queue);
        assert_eq!(all.get(), 0, "a dropped queue gives back what it held");
    }

    #[test]
    fn who_waits_for_room_goes_on_when_replies_of_others_have_left() {
        let all = Arc::new(ReplyBytes::default());
        let queue = ReplyQueue::new(2, 100, Arc::clone(&all));
        queue.push(reply(60));
        assert!(all.below(61).now_or_never().is_some());
        let mut waiting = Box::pin(all.below(60));
        assert!((&mut waiting).now_or_never().is_none(), "the memory is used up");
        queue.pop().now_or_never().flatten().unwrap();
        queue.sent(60);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn finished_queue_gives_its_rest_and_then_nothing() {
        let queue = ReplyQueue::new(2, 100, Arc::default());
        queue.push(reply(1));
        queue.finish();
        assert!(queue.pop().now_or_never().flatten().is_some());
        assert!(matches!(queue.pop().now_or_never(), Some(None)));
    }
}
