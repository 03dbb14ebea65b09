//! Messages that may leave only when what they reveal is on stable storage: PubAcks, answers of `$JS.API`, double
//! acks.
//!
//! ```text
//! send(lsn, …) ─► queue, in order ─► durable(lsn of the first)? ─► all that are durable by then ─► router
//! ```
//!
//! One task and one queue for all of them: thousands leave in one wake-up, and none is allocated by itself. A reply
//! never overtakes another that was handed in before it. For a client that waits for each answer the session that read its
//! message does all of it ([`Replies::end_of_batch`]): two changes of threads are most of what such a client would wait for.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, BytesMut};
use duolog_broker::Broker;
use duolog_types::Lsn;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::router::{Inbound, Pace, Publisher, Router};

/// More bytes than this may wait, but whoever makes them wait is asked to pause.
const PAUSE_BYTES: usize = 32 << 20;

/// What says when something is on stable storage: the broker, or a test.
pub trait Durability: Send + Sync {
    /// The newest state that is on stable storage.
    fn durable_lsn(&self) -> Lsn;

    /// Ends when `lsn` is on stable storage, having had it written if nobody else did; false if it never will be.
    fn durable(&self, lsn: Lsn) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;

    /// Has what is queued written: by the calling thread, if that is quicker.
    fn commit_queued(&self);

    /// Has what is queued written by somebody else.
    fn commit_soon(&self);
}

impl Durability for Broker {
    fn durable_lsn(&self) -> Lsn {
        Broker::durable_lsn(self)
    }

    fn durable(&self, lsn: Lsn) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async move {
            if lsn > Broker::durable_lsn(self) {
                Broker::commit_queued(self);
            }
            Broker::durable(self, lsn).await.is_ok()
        })
    }

    fn commit_queued(&self) {
        Broker::commit_queued(self);
    }

    fn commit_soon(&self) {
        Broker::commit_soon(self);
    }
}

/// Sends messages of the broker's own once they are true for good.
pub struct Replies {
    queue: Mutex<Queue>,
    /// Bytes that wait.
    waiting: AtomicUsize,
    news: Notify,
    /// Whoever holds it sends, so that nobody overtakes; there is one while [`run`](Self::run) runs.
    sending: Mutex<Option<Publisher>>,
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replies({} bytes wait)", self.waiting())
    }
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// Subjects, reply subjects, headers and payloads of all entries, one behind the other.
    bytes: BytesMut,
}

#[derive(Clone, Copy)]
struct Entry {
    after: Lsn,
    subject: usize,
    reply: Option<usize>,
    headers: usize,
    payload: usize,
}

impl Entry {
    fn len(&self) -> usize {
        self.subject + self.reply.unwrap_or(0) + self.headers + self.payload
    }
}

impl Default for Replies {
    fn default() -> Self {
        Self::new()
    }
}

impl Replies {
    /// An empty queue. Nothing leaves before [`run`](Self::run) runs.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            news: Notify::new(),
            sending: Mutex::default(),
        }
    }

    /// Sends `message` when `after` is durable, behind everything that was sent before.
    pub fn send(&self, after: Lsn, message: &Inbound<'_>) {
        if self.push(after, message) {
            self.news.notify_one();
        }
    }

    /// As [`send`](Self::send), by a handler that calls [`end_of_batch`](Self::end_of_batch) behind it.
    pub fn send_in_batch(&self, after: Lsn, message: &Inbound<'_>) {
        self.push(after, message);
    }

    /// Has what a session's messages queued in the log written, and their answers sent: at once, on the calling
    /// thread, if it is a single one that a client waits for.
    pub fn end_of_batch(&self, durability: &dyn Durability) -> Pace {
        let (count, first) = {
            let queue = self.queue.lock();
            (queue.entries.len(), queue.entries.front().map(|entry| entry.after))
        };
        if count == 1 {
            durability.commit_queued();
        } else {
            durability.commit_soon();
        }
        let durable = durability.durable_lsn();
        if first.is_some_and(|first| first <= durable)
            && let Some(mut sending) = self.sending.try_lock()
            && let Some(publisher) = sending.as_mut()
        {
            self.send_durable(durable, publisher);
            publisher.flush();
        }
        // What is left, or came meanwhile, is the task's: whoever put it in may have told nobody.
        if !self.queue.lock().entries.is_empty() {
            self.news.notify_one();
        }
        self.pace()
    }

    /// Whether it is the only one.
    fn push(&self, after: Lsn, message: &Inbound<'_>) -> bool {
        let entry = Entry {
            after,
            subject: message.subject.len(),
            reply: message.reply.map(<[u8]>::len),
            headers: message.headers.len(),
            payload: message.payload.len(),
        };
        let mut queue = self.queue.lock();
        for part in [message.subject, message.reply.unwrap_or(b""), message.headers, message.payload] {
            queue.bytes.put_slice(part);
        }
        queue.entries.push_back(entry);
        let is_first = queue.entries.len() == 1;
        self.waiting.fetch_add(entry.len(), Ordering::Relaxed);
        is_first
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether whoever makes replies wait may go on: what a handler's `end_of_batch` answers.
    #[must_use]
    pub fn pace(&self) -> Pace {
        if self.waiting() > PAUSE_BYTES { Pace::Stall } else { Pace::Go }
    }

    /// Sends what becomes durable, until nothing ever will again (then what waits is given up: nobody knows
    /// whether it is true). One task runs this.
    pub async fn run(&self, router: &Arc<Router>, durability: &dyn Durability) {
        *self.sending.lock() = Some(router.publisher());
        loop {
            let first = self.queue.lock().entries.front().map(|entry| entry.after);
            let Some(first) = first else {
                self.news.notified().await;
                continue;
            };
            if first > durability.durable_lsn() && !durability.durable(first).await {
                // One lock after the other: a session takes them the other way round.
                *self.queue.lock() = Queue::default();
                self.waiting.store(0, Ordering::Relaxed);
                *self.sending.lock() = None;
                return;
            }
            if let Some(publisher) = self.sending.lock().as_mut() {
                self.send_durable(durability.durable_lsn().max(first), publisher);
                publisher.flush();
            }
            // So that a flood of replies leaves turns to the sessions that it wakes.
            tokio::task::yield_now().await;
        }
    }

    fn send_durable(&self, durable: Lsn, publisher: &mut Publisher) {
        let (entries, bytes) = self.take(durable);
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        let mut rest = &bytes[..];
        for entry in entries {
            let mut part = |len: usize| {
                let (part, behind) = rest.split_at(len);
                rest = behind;
                part
            };
            let subject = part(entry.subject);
            let reply = entry.reply.map(&mut part);
            let headers = part(entry.headers);
            let payload = part(entry.payload);
            publisher.publish(&Inbound { subject, reply, headers, payload });
        }
    }

    /// Takes the entries at the front that are durable.
    fn take(&self, durable: Lsn) -> (VecDeque<Entry>, BytesMut) {
        let mut queue = self.queue.lock();
        let count = queue.entries.iter().take_while(|entry| entry.after <= durable).count();
        if count == queue.entries.len() {
            let queue = std::mem::take(&mut *queue);
            return (queue.entries, queue.bytes);
        }
        let entries: VecDeque<Entry> = queue.entries.drain(..count).collect();
        let len = entries.iter().map(Entry::len).sum();
        let bytes = queue.bytes.split_to(len);
        (entries, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Handler, Origin};
    use duolog_testkit::SimEnv;
    use tokio::sync::watch;

    struct Log(watch::Sender<Option<u64>>);

    impl Durability for Log {
        fn durable_lsn(&self) -> Lsn {
            Lsn(self.0.borrow().unwrap_or(0))
        }

        fn durable(&self, lsn: Lsn) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
            let mut receiver = self.0.subscribe();
            Box::pin(async move {
                let reached =
                    receiver.wait_for(|durable| durable.is_none_or(|durable| durable >= lsn.0)).await;
                reached.is_ok_and(|durable| durable.is_some())
            })
        }

        fn commit_queued(&self) {
            self.0.send_modify(|durable| *durable = durable.map(|durable| durable + 10));
        }

        fn commit_soon(&self) {}
    }

    #[derive(Default)]
    struct Inbox(Mutex<Vec<String>>, Notify);

    impl Handler for Inbox {
        fn publish(&self, message: &Inbound<'_>, _: Origin<'_>) -> bool {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let reply = message.reply.map_or_else(|| "-".to_owned(), text);
            let (headers, payload) = (text(message.headers), text(message.payload));
            self.0.lock().push(format!("{reply} {headers} {payload}"));
            self.1.notify_one();
            true
        }
    }

    #[tokio::test]
    async fn replies_leave_in_order_when_they_are_durable_and_never_when_the_log_stops() {
        let router = Router::new(&SimEnv::new(1).env());
        let inbox = Arc::new(Inbox::default());
        let _registration = router.register("in.*", inbox.clone()).unwrap();
        let (replies, log) = (Arc::new(Replies::new()), Arc::new(Log(watch::Sender::new(Some(0)))));
        let running = tokio::spawn({
            let (replies, router, log) = (Arc::clone(&replies), Arc::clone(&router), Arc::clone(&log));
            async move { replies.run(&router, &*log).await }
        });
        let send = |lsn, payload: &str| {
            let subject = format!("in.{payload}");
            let headers = if lsn == 5 { &b"H"[..] } else { b"" };
            let reply = (lsn == 7).then_some(&b"r"[..]);
            let message =
                Inbound { subject: subject.as_bytes(), reply, headers, payload: payload.as_bytes() };
            replies.send(Lsn(lsn), &message);
        };
        let wait = async |count| {
            while inbox.0.lock().len() < count {
                inbox.1.notified().await;
            }
        };
        send(0, "at once");
        wait(1).await;
        send(5, "five");
        send(3, "three, behind five");
        send(7, "seven");
        log.0.send_replace(Some(4));
        tokio::task::yield_now().await;
        assert_eq!(inbox.0.lock().len(), 1);
        log.0.send_replace(Some(5));
        wait(3).await;
        assert_eq!(replies.waiting(), "in.seven".len() + "r".len() + "seven".len());
        log.0.send_replace(Some(7));
        wait(4).await;
        assert_eq!(*inbox.0.lock(), ["-  at once", "- H five", "-  three, behind five", "r  seven"]);
        send(9, "never");
        log.0.send_replace(None);
        running.await.unwrap();
        assert_eq!((inbox.0.lock().len(), replies.waiting()), (4, 0));
    }

    #[tokio::test]
    async fn a_single_answer_is_committed_and_sent_by_the_session_and_several_are_not() {
        let router = Router::new(&SimEnv::new(1).env());
        let inbox = Arc::new(Inbox::default());
        let _registration = router.register("in", inbox.clone()).unwrap();
        let (replies, log) = (Arc::new(Replies::new()), Arc::new(Log(watch::Sender::new(Some(0)))));
        let running = tokio::spawn({
            let (replies, router, log) = (Arc::clone(&replies), Arc::clone(&router), Arc::clone(&log));
            async move { replies.run(&router, &*log).await }
        });
        tokio::task::yield_now().await;
        let answer = |lsn: u64| {
            replies.send_in_batch(Lsn(lsn), &Inbound::new(b"in", lsn.to_string().as_bytes()));
        };
        answer(4);
        assert_eq!(replies.end_of_batch(&*log), Pace::Go);
        assert_eq!(*inbox.0.lock(), ["-  4"], "without a turn of any task");
        answer(11);
        answer(0);
        answer(12);
        replies.end_of_batch(&*log);
        tokio::task::yield_now().await;
        assert_eq!(inbox.0.lock().len(), 1, "the log's own thread writes several");
        log.0.send_replace(Some(12));
        while inbox.0.lock().len() < 4 {
            inbox.1.notified().await;
        }
        assert_eq!(*inbox.0.lock(), ["-  4", "-  11", "-  0", "-  12"]);
        // The last one is true already, the one before it isn't: the task is told of it all the same.
        answer(15);
        answer(0);
        replies.end_of_batch(&*log);
        log.0.send_replace(Some(15));
        while inbox.0.lock().len() < 6 {
            inbox.1.notified().await;
        }
        log.0.send_replace(None);
        replies.send(Lsn(99), &Inbound::new(b"in", b"never"));
        running.await.unwrap();
    }
}
