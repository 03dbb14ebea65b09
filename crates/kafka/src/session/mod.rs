//! One client's connection, as a function of a byte stream and a [`Service`].
//!
//! ```text
//! reader ──► frame ──► service.handle (in order) ──► reply queue ──► durable(after)? ──► writer
//!            room in the budgets                     bounded
//! ```
//!
//! Requests are handled one after the other; the next one is handled while earlier replies wait for their sync
//! in the queue. Owns pacing, bounds and order. Knows no API: what a frame means is the service's business. Both
//! halves run in one task, so that a connection costs one allocation and a panic in a handler ends it alone.

pub mod close;
pub mod connection;
pub mod queue;
pub mod reply;
#[cfg(test)]
mod tests;
mod writer;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use duolog_types::Lsn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::budget::{Budget, ConnectionBudget, FIRST_BYTES, Room};
use crate::config::KafkaConfig;
use crate::frame::{Frame, FrameError, Input};
use close::CloseReason;
use connection::Connection;
use queue::{Meter, Queued, ReplyBytes, ReplyQueue};
use reply::Outcome;

/// The log has stopped before a reply could leave: why.
#[derive(Clone, Debug)]
pub struct Stopped(pub String);

/// What stands behind the sessions: the APIs over the broker, or a test's stand-in.
pub trait Service: Send + Sync {
    /// What the service keeps for one connection.
    type Client: Send;

    /// Handles one request. Dropped in the middle if the client goes away meanwhile.
    fn handle(
        &self,
        client: &mut Self::Client,
        frame: &mut Frame,
    ) -> impl Future<Output = Result<(Outcome, Meter), CloseReason>> + Send;

    /// What requests have queued is to be written, and nobody waits for it here.
    fn commit_soon(&self);

    /// Ends when `lsn` is on stable storage. What requests have queued is written meanwhile.
    fn durable(&self, lsn: Lsn) -> impl Future<Output = Result<(), Stopped>> + Send;

    /// The newest state that is on stable storage.
    fn durable_lsn(&self) -> Lsn;

    /// The monotonic clock.
    fn now(&self) -> Duration;

    /// A reply has left.
    fn replied(&self, meter: Meter, now: Duration);
}

/// What all sessions of a listener share.
#[derive(Debug)]
pub struct Shared {
    /// Limits and timeouts.
    pub config: KafkaConfig,
    /// Room for request bytes.
    pub budget: Budget,
    /// Bytes of replies that wait in all queues.
    pub reply_bytes: Arc<ReplyBytes>,
    /// Turns true when the broker stops.
    pub draining: watch::Receiver<bool>,
}

impl Shared {
    /// What sessions share under `config`; they end when `draining` turns true.
    #[must_use]
    pub fn new(config: KafkaConfig, draining: watch::Receiver<bool>) -> Self {
        let budget = Budget::new(config.request_bytes);
        Self { config, budget, reply_bytes: Arc::default(), draining }
    }

    /// Waits until the replies of all connections leave room in their memory for one more.
    pub(crate) async fn reply_room(&self) {
        self.reply_bytes.below(self.config.reply_bytes).await;
    }
}

/// Serves one connection until it ends, and says why it did.
pub async fn run<R, W, S>(
    reader: R,
    writer: W,
    connection: &Connection,
    client: S::Client,
    service: &S,
    shared: &Shared,
) -> CloseReason
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
    S: Service,
{
    let config = &shared.config;
    // Whatever ends the connection: what it has queued is written.
    let _commit = CommitAtEnd(service);
    let queue =
        ReplyQueue::new(config.reply_queue_len, config.reply_queue_bytes, Arc::clone(&shared.reply_bytes));
    let reading = read_requests(reader, connection, client, &queue, service, shared);
    let writing = writer::write_replies(writer, connection, &queue, service);
    let ended = connection.until_ended();
    tokio::pin!(reading, writing, ended);
    let first = poll_fn(|context| {
        if let Poll::Ready(reason) = ended.as_mut().poll(context) {
            return Poll::Ready(First::Ended(reason));
        }
        loop {
            queue.take_news();
            // Before the reader: what is ready leaves before more is taken on.
            if let Poll::Ready(reason) = writing.as_mut().poll(context) {
                return Poll::Ready(First::Ended(reason));
            }
            if let Poll::Ready(reason) = reading.as_mut().poll(context) {
                return Poll::Ready(First::Read(reason));
            }
            if !queue.take_news() {
                return Poll::Pending;
            }
        }
    });
    let reason = match first.await {
        First::Ended(reason) => return reason,
        First::Read(reason) => reason,
    };
    // Nothing more is read; what was asked before is still answered.
    queue.finish();
    tokio::select! {
        ended = ended => ended,
        unwritten = writing => match unwritten {
            CloseReason::PeerClosed => reason,
            unwritten => unwritten,
        },
    }
}

/// What ended first.
enum First {
    /// The connection, with what wasn't sent.
    Ended(CloseReason),
    /// The requests.
    Read(CloseReason),
}

/// Has what a connection queued written when its session ends, dropped or not.
struct CommitAtEnd<'a, S: Service>(&'a S);

impl<S: Service> Drop for CommitAtEnd<'_, S> {
    fn drop(&mut self) {
        self.0.commit_soon();
    }
}

/// Reads requests and has them handled, one after the other, until there are no more.
async fn read_requests<R, S>(
    reader: R,
    connection: &Connection,
    mut client: S::Client,
    queue: &ReplyQueue,
    service: &S,
    shared: &Shared,
) -> CloseReason
where
    R: AsyncRead + Unpin + Send,
    S: Service,
{
    let mut input = Input::new(reader);
    let own_budget = ConnectionBudget::new(shared.config.connection_request_bytes);
    let mut draining = shared.draining.clone();
    loop {
        queue.room().await;
        let mut frame =
            match next_frame(&mut input, connection, &own_budget, &mut draining, service, shared).await {
                Ok(frame) => frame,
                Err(reason) => return reason,
            };
        connection.request_begun(service.now());
        let handled = {
            let handling = service.handle(&mut client, &mut frame);
            tokio::pin!(handling);
            loop {
                // While a request is parked, the stream's end would otherwise go unseen until it is answered.
                // What comes is kept: `fill` loses nothing when it is dropped.
                tokio::select! {
                    biased;
                    handled = &mut handling => break handled,
                    read = input.fill(), if input.is_empty() => match read {
                        Ok(0) => return CloseReason::PeerClosed,
                        Ok(_) => {}
                        Err(error) => return FrameError::Io(error).into(),
                    },
                }
            }
        };
        match handled {
            Ok((Outcome::Reply(reply), meter)) => {
                // The writer asks for the commit that its first reply waits for. Behind others, a reply would wait
                // until the client has taken those.
                let waits_for_others = !queue.is_idle();
                queue.push(Queued { reply, room: frame.room, meter });
                if waits_for_others {
                    service.commit_soon();
                }
            }
            Ok((Outcome::Silent, meter)) => {
                service.commit_soon();
                let now = service.now();
                connection.requests_answered(1, now);
                service.replied(meter, now);
            }
            Err(reason) => return reason,
        }
    }
}

/// Reads the next frame, having found room for it.
async fn next_frame<R, S>(
    input: &mut Input<R>,
    connection: &Connection,
    own_budget: &ConnectionBudget,
    draining: &mut watch::Receiver<bool>,
    service: &S,
    shared: &Shared,
) -> Result<Frame, CloseReason>
where
    R: AsyncRead + Unpin,
    S: Service,
{
    let limit = shared.config.max_request_bytes;
    let length = loop {
        if *draining.borrow_and_update() {
            return Err(CloseReason::Draining);
        }
        if let Some(length) = input.buffered_length(limit)? {
            break length;
        }
        if !input.is_empty() {
            connection.frame_begun(service.now());
        }
        let count = tokio::select! {
            count = input.fill() => count.map_err(FrameError::Io)?,
            // A closed channel is a stopped broker too.
            _ = draining.changed() => return Err(CloseReason::Draining),
        };
        if count == 0 {
            return Err(match input.buffered() {
                0 => CloseReason::PeerClosed,
                got => FrameError::Truncated { got, expected: 4 }.into(),
            });
        }
    };
    // Waiting for room isn't the client's fault: the frame's clock stands meanwhile.
    connection.frame_ended();
    let mut room = Room::default();
    own_budget.take(&mut room, length).await;
    shared.budget.first(&mut room, length).await;
    connection.frame_begun(service.now());
    let mut body = input.begin(length);
    let progress = || connection.frame_progress(service.now());
    input.read_upto(&mut body, length.min(FIRST_BYTES), progress).await?;
    if length > FIRST_BYTES {
        connection.frame_ended();
        shared.budget.more(&mut room, length - FIRST_BYTES).await;
        connection.frame_begun(service.now());
        input.read_upto(&mut body, length, progress).await?;
    }
    connection.frame_ended();
    Ok(Frame { bytes: body.freeze(), room })
}

/// Takes room for what decoding a control request makes of its bytes: some 32 times as much at worst, since the
/// smallest elements take two bytes on the wire. Small requests are covered by the pool of first bytes.
pub(crate) async fn room_to_decode(budget: &Budget, room: &mut Room, bytes: usize) {
    if bytes > FIRST_BYTES {
        budget.more(room, bytes.saturating_mul(31)).await;
    }
}
