//! What waits to be sent to one client.
//!
//! Whoever publishes appends here, under the connection's short lock; the connection's own task sends it in vectored
//! writes. Small messages are copied into one growing chunk, so that a thousand of them are one write; a large
//! payload is copied once and shared by all its receivers.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use duolog_nats_wire::encode::Delivery;

use super::close::CloseReason;

/// A chunk is handed to the writer when it has so many bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// What a chunk begins with.
const FIRST_CHUNK_BYTES: usize = 512;
/// A payload of at least so many bytes stands as a chunk of its own.
pub(crate) const SHARED_PAYLOAD: usize = 16 << 10;
/// Slices in one write call.
const MAX_SLICES: usize = 64;

/// Bytes that wait in all connections together, in chunks.
#[derive(Debug)]
pub(crate) struct TotalPending {
    pub(crate) bytes: AtomicUsize,
    pub(crate) limit: usize,
}

/// A connection whose share is less than this isn't ended for what all together take.
const SMALL_SHARE: usize = 1 << 20;

/// Bytes on their way to a client. Every change is made under the connection's lock.
#[derive(Debug)]
pub(crate) struct Outbound {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in `chunks` and `tail`, and those that the writer has taken and not yet sent.
    pub(crate) pending: usize,
    /// Of these, what counts in `total`.
    counted: usize,
    max_pending: usize,
    total: Arc<TotalPending>,
    /// Somebody has promised to wake the connection's task for what waits.
    pub(crate) announced: bool,
    /// Why nothing more is taken.
    pub(crate) closed: bool,
    pub(crate) reason: Option<CloseReason>,
    /// Publishers that wait until there is room.
    pub(crate) stalled: Vec<Waker>,
    /// Messages that were delivered since the counters were last told.
    pub(crate) messages: u64,
    pub(crate) message_bytes: u64,
    /// Subscriptions that ended by themselves.
    pub(crate) ended: Vec<Arc<crate::router::Subscription>>,
}

impl Outbound {
    pub(crate) fn new(max_pending: usize, total: Arc<TotalPending>) -> Self {
        Self {
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            pending: 0,
            counted: 0,
            max_pending,
            total,
            announced: false,
            closed: false,
            reason: None,
            stalled: Vec::new(),
            messages: 0,
            message_bytes: 0,
            ended: Vec::new(),
        }
    }

    /// Whether more waits than publishers should add to: they are stalled.
    pub(crate) fn is_congested(&self) -> bool {
        self.pending > self.max_pending / 4 * 3
    }

    /// Whether more waits than may.
    pub(crate) fn is_over(&self) -> bool {
        self.pending >= self.max_pending
    }

    /// Appends a message.
    pub(crate) fn put_message(&mut self, delivery: &Delivery<'_>, payload: &Payload<'_>) {
        let before = self.tail.len();
        self.room(delivery.line_len() + delivery.headers.len() + payload.inline_len() + 2);
        let before = if self.tail.is_empty() { 0 } else { before };
        delivery.put(&mut self.tail);
        match payload.shared {
            None => {
                self.tail.put_slice(payload.bytes);
                self.tail.put_slice(b"\r\n");
                self.pending += self.tail.len() - before;
            }
            Some(shared) => {
                self.pending += self.tail.len() - before + shared.len() + 2;
                self.rotate();
                self.count(shared.len());
                self.chunks.push_back(shared.clone());
                self.tail.put_slice(b"\r\n");
            }
        }
        self.messages += 1;
        self.message_bytes += (delivery.headers.len() + delivery.payload_len) as u64;
        self.check();
    }

    /// Appends bytes that aren't a message.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        self.room(bytes.len());
        self.tail.put_slice(bytes);
        self.pending += bytes.len();
        self.check();
    }

    /// Appends the last bytes that the client gets, closed or not.
    pub(crate) fn put_last(&mut self, bytes: &[u8]) {
        self.room(bytes.len());
        self.tail.put_slice(bytes);
        self.pending += bytes.len();
    }

    /// Makes room in the tail for `bytes` more.
    fn room(&mut self, bytes: usize) {
        if self.tail.capacity() - self.tail.len() >= bytes {
            return;
        }
        if self.tail.len() + bytes > CHUNK_BYTES && !self.tail.is_empty() {
            self.rotate();
        }
        let doubled = (self.tail.len() * 2).clamp(FIRST_CHUNK_BYTES, CHUNK_BYTES);
        self.tail.reserve(bytes.max(doubled - self.tail.len().min(doubled)));
    }

    fn rotate(&mut self) {
        if !self.tail.is_empty() {
            let chunk = self.tail.split().freeze();
            self.count(chunk.len());
            self.chunks.push_back(chunk);
        }
    }

    fn count(&mut self, bytes: usize) {
        self.counted += bytes;
        self.total.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends the connection if it takes too little.
    fn check(&mut self) {
        if self.pending > self.max_pending {
            let (pending, limit) = (self.pending, self.max_pending);
            self.close(CloseReason::SlowConsumer { pending, limit });
        } else if self.counted > SMALL_SHARE && self.total.bytes.load(Ordering::Relaxed) > self.total.limit {
            let (pending, limit) = (self.total.bytes.load(Ordering::Relaxed), self.total.limit);
            self.close(CloseReason::SlowConsumer { pending, limit });
        }
    }

    /// Nothing more is taken, and what waits is given up, unless the reason is one that the client is told.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if self.closed {
            return;
        }
        self.closed = true;
        if reason.is_slow_consumer() {
            self.forget();
        }
        self.reason = Some(reason);
        self.wake_stalled();
    }

    /// Gives up what waits.
    pub(crate) fn forget(&mut self) {
        self.total.bytes.fetch_sub(self.counted, Ordering::Relaxed);
        (self.counted, self.pending) = (0, 0);
        self.chunks = VecDeque::new();
        self.tail = BytesMut::new();
    }

    fn wake_stalled(&mut self) {
        for waker in self.stalled.drain(..) {
            waker.wake();
        }
    }

    /// Moves what waits into `batch`, which the writer sends without the lock.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        self.announced = false;
        self.rotate();
        if batch.chunks.is_empty() {
            std::mem::swap(&mut batch.chunks, &mut self.chunks);
        } else {
            batch.chunks.append(&mut self.chunks);
        }
    }

    /// So many bytes of a batch were sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.pending = self.pending.saturating_sub(bytes);
        let counted = bytes.min(self.counted);
        self.counted -= counted;
        self.total.bytes.fetch_sub(counted, Ordering::Relaxed);
        if !self.stalled.is_empty() && !self.is_congested() {
            self.wake_stalled();
        }
    }

    /// Frees the chunk that nothing waits in.
    pub(crate) fn trim(&mut self) {
        if self.tail.is_empty() && self.chunks.is_empty() {
            self.tail = BytesMut::new();
            self.chunks = VecDeque::new();
        }
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.forget();
    }
}

/// A message's payload, for one or many receivers.
pub(crate) struct Payload<'a> {
    bytes: &'a [u8],
    shared: Option<&'a Bytes>,
}

impl<'a> Payload<'a> {
    pub(crate) fn new(bytes: &'a [u8], shared: Option<&'a Bytes>) -> Self {
        Self { bytes, shared }
    }

    fn inline_len(&self) -> usize {
        if self.shared.is_some() { 0 } else { self.bytes.len() }
    }
}

/// What the writer is sending.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    chunks: VecDeque<Bytes>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Calls `write` with the first slices.
    pub(crate) fn slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = self.chunks.len().min(MAX_SLICES);
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
        }
        write(&slices[..count])
    }

    /// Drops what was written.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        while bytes > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            if chunk.len() <= bytes {
                bytes -= chunk.len();
                self.chunks.pop_front();
            } else {
                chunk.advance(bytes);
                bytes = 0;
            }
        }
    }
}
