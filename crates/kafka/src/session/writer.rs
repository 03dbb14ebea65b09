//! The writing half of a connection: replies leave in order, each when what it reveals is durable.
//!
//! Replies that may leave together go out in one vectored write, stored batches among them as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::close::CloseReason;
use super::connection::Connection;
use super::queue::{Meter, Queued, ReplyQueue};
use super::{Service, reply::Reply};

/// Slices in one write call.
const MAX_SLICES: usize = 64;

/// Replies are collected into one write until it has so many bytes.
const COALESCE_BYTES: usize = 256 << 10;

/// Sends the queue's replies until it is finished and empty, the stream fails, or the log stops.
pub(super) async fn write_replies<W, S>(
    mut writer: W,
    connection: &Connection,
    queue: &ReplyQueue,
    service: &S,
) -> CloseReason
where
    W: AsyncWrite + Unpin,
    S: Service,
{
    let mut batch = Batch::default();
    while let Some(first) = queue.pop().await {
        let stopped = match service.durable(first.reply.after).await {
            Ok(()) => {
                batch.add(first);
                None
            }
            Err(stopped) => {
                if !batch.add_instead(first) {
                    return CloseReason::LogStopped(stopped.0);
                }
                Some(stopped)
            }
        };
        let durable = service.durable_lsn();
        while batch.has_room()
            && let Some(next) = queue.pop_if(|reply| stopped.is_some() || reply.after <= durable)
        {
            // Behind a reply that the log's end took away, only those that don't depend on it are true.
            if next.reply.after <= durable {
                batch.add(next);
            } else if !batch.add_instead(next) {
                break;
            }
        }
        let sent = batch.bytes;
        if let Err(error) = batch.send(&mut writer, connection, service).await {
            return CloseReason::Write(error);
        }
        queue.sent(sent);
        let now = service.now();
        connection.requests_answered(batch.meters.len(), now);
        for meter in batch.meters.drain(..) {
            service.replied(meter, now);
        }
        batch.rooms.clear();
        if let Some(stopped) = stopped {
            return CloseReason::LogStopped(stopped.0);
        }
    }
    CloseReason::PeerClosed
}

/// Replies that leave in one go.
#[derive(Default)]
struct Batch {
    pieces: VecDeque<Bytes>,
    meters: Vec<Meter>,
    rooms: Vec<crate::budget::Room>,
    /// What these replies count in the queue.
    bytes: usize,
    unsent: usize,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.unsent < COALESCE_BYTES && self.pieces.len() < MAX_SLICES
    }

    fn add(&mut self, queued: Queued) {
        let Queued { reply, room, meter } = queued;
        let Reply { pieces, .. } = reply;
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.bytes += piece.len();
            self.unsent += piece.len();
            self.pieces.push_back(piece);
        }
        self.meters.push(meter);
        self.rooms.push(room);
    }

    /// Adds what the reply says when the log has stopped; false if it has nothing to say then.
    fn add_instead(&mut self, mut queued: Queued) -> bool {
        let Some(instead) = queued.reply.if_stopped.take() else { return false };
        let counted = queued.reply.len();
        queued.reply.pieces = vec![instead()];
        let before = self.bytes;
        self.add(queued);
        self.bytes = before + counted;
        true
    }

    async fn send<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        connection: &Connection,
        service: &impl Service,
    ) -> std::io::Result<()> {
        while !self.pieces.is_empty() {
            connection.writing(service.now());
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.pieces.len().min(MAX_SLICES);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
            }
            let mut written = writer.write_vectored(&slices[..count]).await?;
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            while written > 0
                && let Some(piece) = self.pieces.front_mut()
            {
                if piece.len() <= written {
                    written -= piece.len();
                    self.pieces.pop_front();
                } else {
                    piece.advance(written);
                    written = 0;
                }
            }
        }
        writer.flush().await?;
        connection.written();
        self.bytes = 0;
        self.unsent = 0;
        Ok(())
    }
}
