//! Publishing: from a subject to everybody who subscribed.
//!
//! ```text
//! message ─► cache: what the subject matches ─► handlers      taken on this thread
//!                                            ─► connections   appended to what waits for each
//!                                            ─► flush()       each connection woken once, handlers told
//! ```
//!
//! A publisher belongs to one session or task. On its way a message takes no lock but that of each receiving
//! connection, and nothing is allocated for one that nobody wants.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use duolog_nats_wire::encode::Delivery;

use super::Router;
use super::cache::Cache;
use super::handler::{Handler, Inbound, Origin, Pace};
use super::subscription::{Group, Matched, Subscription, Target};
use crate::session::connection::Connection;
use crate::session::outbound::{Payload, SHARED_PAYLOAD};

/// Connections that may be owed a wake-up before they are all woken.
const MAX_WAKES: usize = 1024;

/// Publishes messages, remembering what their subjects match.
pub struct Publisher {
    router: Arc<Router>,
    cache: Cache,
    after: After,
    /// Chooses members of queue groups; never used for anything that must be secret.
    chance: u64,
}

/// What is left to do when the messages of a read are all on their way.
#[derive(Default)]
struct After {
    /// Connections that must be woken.
    wakes: Vec<Arc<Connection>>,
    /// Handlers that were given something.
    handlers: Vec<Arc<dyn Handler>>,
    /// A connection for which too much waits.
    congested: Option<Arc<Connection>>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Clients and handlers that got it.
    pub receivers: usize,
    /// For one of them so much waits that it should not get more for a moment.
    pub congested: bool,
}

/// The connection that a client's message comes from.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) connection: &'a Arc<Connection>,
    /// It gets its own messages too.
    pub(crate) echo: bool,
}

impl Publisher {
    pub(super) fn new(router: Arc<Router>, chance: u64) -> Self {
        Self { router, cache: Cache::default(), after: After::default(), chance: chance | 1 }
    }

    /// Publishes a message of the broker's own. Receivers are woken at the next [`flush`](Self::flush).
    pub fn publish(&mut self, message: &Inbound<'_>) -> Published {
        self.publish_from(message, Origin::Server, None)
    }

    pub(crate) fn publish_from(
        &mut self,
        message: &Inbound<'_>,
        origin: Origin<'_>,
        sender: Option<Sender<'_>>,
    ) -> Published {
        let matched = self.cache.get(&self.router.index, message.subject);
        if matched.plain.is_empty() && matched.groups.is_empty() {
            return Published::default();
        }
        // xorshift64*: one for each message that has receivers.
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        let chance = self.chance.wrapping_mul(0x2545_F491_4F6C_DD1D);
        let round = Round { router: &self.router, message, origin, sender, chance, shared: OnceCell::new() };
        let published = round.deliver(matched, &mut self.after);
        if self.after.wakes.len() >= MAX_WAKES {
            self.after.wake();
        }
        published
    }

    /// Wakes whoever got something and tells handlers that there is no more for now. Must be called whenever the
    /// caller is about to wait.
    pub fn flush(&mut self) -> Pace {
        self.after.wake();
        self.after.end_batch()
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.after.congested.is_some()
    }

    /// The connection for which too much waits, if the last messages met one: whoever published should pause.
    pub(crate) fn take_congested(&mut self) -> Option<Arc<Connection>> {
        self.after.congested.take()
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.flush();
    }
}

impl After {
    fn wake(&mut self) {
        for connection in self.wakes.drain(..) {
            connection.waker.wake();
        }
    }

    fn end_batch(&mut self) -> Pace {
        let mut pace = Pace::Go;
        for handler in self.handlers.drain(..) {
            if handler.end_of_batch() == Pace::Stall {
                pace = Pace::Stall;
            }
        }
        pace
    }

    fn touched(&mut self, handler: &Arc<dyn Handler>) {
        // Few handlers, and mostly the last one again.
        if !self.handlers.iter().rev().any(|own| Arc::ptr_eq(own, handler)) {
            self.handlers.push(Arc::clone(handler));
        }
    }
}

/// One message on its way.
struct Round<'a> {
    router: &'a Router,
    message: &'a Inbound<'a>,
    origin: Origin<'a>,
    sender: Option<Sender<'a>>,
    chance: u64,
    /// A large payload, copied once for all receivers.
    shared: OnceCell<Bytes>,
}

impl Round<'_> {
    fn deliver(&self, matched: &Matched, after: &mut After) -> Published {
        let mut published = Published::default();
        for subscription in &matched.plain {
            if self.deliver_to(subscription, after, &mut published.congested) {
                published.receivers += 1;
            }
        }
        for group in &matched.groups {
            if self.deliver_to_one(group, after, &mut published.congested) {
                published.receivers += 1;
            }
        }
        published
    }

    /// A random member, or the next that takes it.
    fn deliver_to_one(&self, group: &Group, after: &mut After, congested: &mut bool) -> bool {
        let members = &group.members;
        let count = members.len();
        // The high half is the better one; a bias of 1 in 2^32 hurts nobody.
        let first = (self.chance >> 32) as usize % count.max(1);
        (0..count).any(|step| self.deliver_to(&members[(first + step) % count], after, congested))
    }

    fn deliver_to(&self, subscription: &Arc<Subscription>, after: &mut After, congested: &mut bool) -> bool {
        match &subscription.target {
            Target::Client(connection) => self.append(subscription, connection, after, congested),
            Target::Handler(handler) => {
                if subscription.ended.load(Ordering::Relaxed) {
                    return false;
                }
                after.touched(handler);
                handler.publish(self.message, self.origin)
            }
        }
    }

    fn append(
        &self,
        subscription: &Arc<Subscription>,
        connection: &Arc<Connection>,
        after: &mut After,
        congested: &mut bool,
    ) -> bool {
        if let Some(sender) = self.sender
            && !sender.echo
            && Arc::ptr_eq(sender.connection, connection)
        {
            return false;
        }
        let message = self.message;
        let headers = if connection.headers.load(Ordering::Relaxed) { message.headers } else { b"" };
        let delivery = Delivery {
            subject: message.subject,
            sid: &subscription.sid,
            reply: message.reply,
            headers,
            payload_len: message.payload.len(),
        };
        let shared = (message.payload.len() >= SHARED_PAYLOAD)
            .then(|| self.shared.get_or_init(|| Bytes::copy_from_slice(message.payload)));
        let payload = Payload::new(message.payload, shared);
        let mut outbound = connection.outbound.lock();
        if outbound.closed || subscription.ended.load(Ordering::Relaxed) {
            return false;
        }
        let delivered = subscription.delivered.load(Ordering::Relaxed) + 1;
        subscription.delivered.store(delivered, Ordering::Relaxed);
        outbound.put_message(&delivery, &payload);
        let max = subscription.max.load(Ordering::Relaxed);
        let is_last = max > 0 && delivered >= max;
        if is_last {
            subscription.ended.store(true, Ordering::Relaxed);
            outbound.ended.push(Arc::clone(subscription));
        }
        if outbound.is_congested() && !outbound.closed {
            *congested = true;
            if after.congested.is_none() {
                after.congested = Some(Arc::clone(connection));
            }
        }
        let wake = !std::mem::replace(&mut outbound.announced, true);
        drop(outbound);
        if wake {
            after.wakes.push(Arc::clone(connection));
        }
        if is_last {
            self.router.forget(subscription);
        }
        true
    }
}
