//! Bytes that came and aren't operations yet, in one buffer.
//!
//! A message larger than [`FIRST_BYTES`] takes its room from what all connections share before the buffer grows for
//! it, so that memory is bounded by that and not by the number of clients who announce much and send nothing.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a connection may hold without asking.
pub(crate) const FIRST_BYTES: usize = 64 << 10;
const SMALLEST: usize = 1 << 10;
/// Reads in a row that fill less than half the buffer before it shrinks.
const SHORT_READS: u32 = 8;

/// Room for large messages, of all connections.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) used: AtomicUsize,
    pub(crate) limit: usize,
}

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            // One message always fits, however small the limit.
            (used == 0 || used + bytes <= self.limit).then_some(used + bytes)
        });
        taken.is_ok()
    }
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Bytes before this are done with.
    at: usize,
    /// How much room the next read is given.
    read_bytes: usize,
    short_reads: u32,
    room: Arc<Room>,
    /// What it has taken of the room.
    taken: usize,
}

impl Input {
    pub(crate) fn new(room: Arc<Room>) -> Self {
        Self { bytes: Vec::new(), at: 0, read_bytes: SMALLEST, short_reads: 0, room, taken: 0 }
    }

    /// What hasn't been used.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn used(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Whether it holds room for a large message.
    pub(crate) fn holds_room(&self) -> bool {
        self.taken > 0
    }

    /// Makes room so that `needed` bytes from the first unused one can be held. False if all connections together
    /// hold too much: ask again later.
    pub(crate) fn prepare(&mut self, needed: usize) -> bool {
        if self.at > 0 {
            self.bytes.copy_within(self.at.., 0);
            self.bytes.truncate(self.bytes.len() - self.at);
            self.at = 0;
        }
        if needed <= FIRST_BYTES {
            self.give_back();
            if self.bytes.capacity() > 2 * FIRST_BYTES {
                self.bytes.shrink_to(FIRST_BYTES);
            }
        } else if self.taken < needed {
            self.give_back();
            if !self.room.take(needed) {
                return false;
            }
            self.taken = needed;
        }
        let wanted = needed.saturating_sub(self.bytes.len()).max(self.read_bytes);
        let wanted = if needed > FIRST_BYTES {
            // Grows as the bytes come.
            wanted.min(self.bytes.len().max(FIRST_BYTES))
        } else {
            wanted
        };
        if self.bytes.capacity() - self.bytes.len() < wanted.min(SMALLEST) || self.bytes.is_empty() {
            self.bytes.reserve(wanted);
        }
        true
    }

    /// Reads once, what fits. 0: the stream has ended.
    pub(crate) fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        let room = self.bytes.capacity() - self.bytes.len();
        // Dropped when it isn't ready: nothing is lost with it.
        let read = pin!(reader.read_buf(&mut self.bytes)).poll(context);
        if let Poll::Ready(Ok(count)) = read {
            self.adapt(count, room);
        }
        read
    }

    fn adapt(&mut self, count: usize, room: usize) {
        if count == room {
            self.read_bytes = (self.read_bytes * 2).min(FIRST_BYTES);
            self.short_reads = 0;
        } else if count < self.read_bytes / 2 {
            self.short_reads += 1;
            if self.short_reads > SHORT_READS {
                self.read_bytes = (self.read_bytes / 2).max(SMALLEST);
                self.short_reads = 0;
            }
        }
    }

    /// Frees the buffer if nothing is in it.
    pub(crate) fn trim(&mut self) {
        if self.rest().is_empty() {
            self.bytes = Vec::new();
            self.at = 0;
            self.read_bytes = SMALLEST;
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.room.used.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.give_back();
    }
}
