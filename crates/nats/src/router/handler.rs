//! Who inside the broker takes messages: the seam for `$JS.API.>`, acks, streams and whatever else listens.

use std::net::SocketAddr;
use std::sync::Arc;

/// A message on its way to whoever subscribed. Slices of the sender's buffers.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// The subject. Any bytes: [`str::from_utf8`] where text is needed.
    pub subject: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// The header block as it came, not checked; empty if there is none.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Inbound<'a> {
    /// A message without reply and headers.
    #[must_use]
    pub fn new(subject: &'a [u8], payload: &'a [u8]) -> Self {
        Self { subject, reply: None, headers: b"", payload }
    }
}

/// Who sent a message.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// The broker itself.
    Server,
    /// A client.
    Client(&'a Arc<ClientInfo>),
}

/// What is known of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The connection's number.
    pub id: u64,
    /// Where it comes from.
    pub address: SocketAddr,
    /// When it connected, wall clock.
    pub since: duolog_types::Nanos,
    /// The user that it authenticated as; empty if nobody asked.
    pub user: String,
    /// The connection's name.
    pub name: String,
    /// The client library's language.
    pub lang: String,
    /// The client library's version.
    pub version: String,
}

/// Something inside the broker that takes the messages of the subjects for which it is
/// [registered](super::Router::register).
///
/// Both methods run on the thread of whoever published: they must not block. Locks that are held only for a moment
/// are fine; whatever takes longer is spawned. They may publish through the router.
pub trait Handler: Send + Sync {
    /// Takes a message. False if it isn't taken after all: for a request that nobody else takes either, the
    /// client is then told that there is no responder.
    #[must_use]
    fn publish(&self, message: &Inbound<'_>, from: Origin<'_>) -> bool;

    /// The sender has no more for now: called once after the messages that came in one read, if any of them went
    /// to this handler. The place to have what they queued written (`commit_soon`), so that a thousand messages
    /// cost one wake-up.
    fn end_of_batch(&self) -> Pace {
        Pace::Go
    }
}

/// Whether whoever publishes may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It may.
    Go,
    /// Too much waits: a client is not read for a moment.
    Stall,
}

/// Is told when subscriptions to a subject appear and vanish.
pub trait Watcher: Send + Sync {
    /// There is interest now, or there isn't any more. Called after the change, on the thread that made it; calls
    /// for changes that happen at once may come in either order, so ask [`Router::interest`](super::Router::interest)
    /// for what holds. Must not block.
    fn interest_changed(&self, subject: &[u8], interested: bool);
}
