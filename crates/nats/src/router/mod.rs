//! The router: who gets a message. Clients' subscriptions and the broker's own handlers stand in one index.
//!
//! ```text
//! session ─┐                    ┌─► connections (bytes that wait to be sent)
//!          ├─► Publisher ─► Index
//! broker  ─┘     (cache)        └─► Handler: $JS.API.>, $JS.ACK.>, a stream's subjects …
//! ```
//!
//! **Seam for the rest of the broker:** [`Handler`] and [`Router::register`] to take messages;
//! [`Router::publisher`] or [`Router::publish`] to send; [`Router::interest`], [`Router::interest_queue`] and
//! [`Router::watch`] to know whether anybody listens; [`crate::replies::Replies`] to send what must first be durable.
//! All of it may be used from any thread.
//!
//! No lock is held while a handler or a watcher runs.

mod cache;
mod handler;
mod index;
mod publisher;
mod subscription;
mod trie;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duolog_env::Env;
use duolog_nats_wire::subject::is_subscribable;

pub use handler::{ClientInfo, Handler, Inbound, Origin, Pace, Watcher};
pub(crate) use publisher::Sender;
pub use publisher::{Published, Publisher};
pub(crate) use subscription::{Subscription, Target};

use index::Index;
use watch::Watches;

/// Who gets what. One for the process.
#[derive(Debug)]
pub struct Router {
    index: Index,
    watches: Watches,
    /// Seeds publishers' choices among members of groups.
    chance: AtomicU64,
}

/// A subject that can't be subscribed to: it has an empty token, or something behind `>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` can't be subscribed to")]
pub struct InvalidSubject(String);

impl Router {
    /// A router without subscriptions.
    #[must_use]
    pub fn new(env: &Env) -> Arc<Self> {
        let chance = AtomicU64::new(env.rng.next_u64());
        Arc::new(Self { index: Index::new(), watches: Watches::default(), chance })
    }

    /// Has `handler` take every message whose subject matches `pattern`, until the registration is dropped. A
    /// message that matches several of a handler's registrations is given to it as often.
    ///
    /// # Errors
    /// The pattern is no subject.
    pub fn register(
        self: &Arc<Self>,
        pattern: &str,
        handler: Arc<dyn Handler>,
    ) -> Result<Registration, InvalidSubject> {
        self.register_in(pattern, None, handler)
    }

    /// As [`register`](Self::register), as a member of a queue group: of all members, clients among them, one
    /// gets each message.
    ///
    /// # Errors
    /// The pattern is no subject.
    pub fn register_queue(
        self: &Arc<Self>,
        pattern: &str,
        queue: &str,
        handler: Arc<dyn Handler>,
    ) -> Result<Registration, InvalidSubject> {
        self.register_in(pattern, Some(queue.as_bytes()), handler)
    }

    fn register_in(
        self: &Arc<Self>,
        pattern: &str,
        queue: Option<&[u8]>,
        handler: Arc<dyn Handler>,
    ) -> Result<Registration, InvalidSubject> {
        if !is_subscribable(pattern.as_bytes()) {
            return Err(InvalidSubject(pattern.to_owned()));
        }
        let target = Target::Handler(handler);
        let subscription = Arc::new(Subscription::new(pattern.as_bytes(), queue, b"", target));
        self.add(&subscription);
        Ok(Registration { router: Arc::clone(self), subscription })
    }

    /// A publisher, for one task or thread that publishes again and again.
    #[must_use]
    pub fn publisher(self: &Arc<Self>) -> Publisher {
        // An odd step, far from any small one: no two publishers begin alike.
        let chance = self.chance.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        Publisher::new(Arc::clone(self), chance)
    }

    /// Publishes one message of the broker's own and wakes its receivers at once. Whoever publishes many keeps a
    /// [`publisher`](Self::publisher).
    pub fn publish(self: &Arc<Self>, message: &Inbound<'_>) -> Published {
        let mut publisher = self.publisher();
        let published = publisher.publish(message);
        publisher.flush();
        published
    }

    /// Whether a message to the literal `subject` would reach anybody, clients or handlers, plain or in groups.
    #[must_use]
    pub fn interest(&self, subject: &[u8]) -> bool {
        self.any(subject, &|set| !set.is_empty())
    }

    /// Whether a message to the literal `subject` would reach somebody who subscribed outside all groups.
    #[must_use]
    pub fn interest_plain(&self, subject: &[u8]) -> bool {
        self.any(subject, &|set| set.has_plain())
    }

    /// Whether the group `queue` has a member that a message to the literal `subject` would reach.
    #[must_use]
    pub fn interest_queue(&self, subject: &[u8], queue: &[u8]) -> bool {
        self.any(subject, &|set| set.has_queue(queue))
    }

    fn any(&self, subject: &[u8], wanted: &dyn Fn(&subscription::SubSet) -> bool) -> bool {
        let mut found = false;
        self.index.visit(subject, self.index.hash(subject), &mut |set| found = found || wanted(set));
        found
    }

    /// Has `watcher` told whenever subscriptions that match the literal `subject` come or go, until the watch is
    /// dropped. Nothing is told of those that there are already: ask [`interest`](Self::interest) afterwards.
    #[must_use]
    pub fn watch(self: &Arc<Self>, subject: &str, watcher: Arc<dyn Watcher>) -> Watch {
        let id = self.watches.add(subject.as_bytes(), watcher);
        Watch { router: Arc::clone(self), subject: subject.as_bytes().into(), id }
    }

    /// Subscriptions that there are, handlers' included.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn add(self: &Arc<Self>, subscription: &Arc<Subscription>) {
        self.index.insert(subscription);
        self.tell(&subscription.subject);
    }

    /// Removes a subscription for good.
    pub(crate) fn remove(&self, subscription: &Arc<Subscription>) {
        subscription.ended.store(true, Ordering::Relaxed);
        self.forget(subscription);
    }

    /// Removes from the index what has ended already.
    pub(crate) fn forget(&self, subscription: &Arc<Subscription>) {
        if self.index.remove(subscription) {
            self.tell(&subscription.subject);
        }
    }

    fn tell(&self, changed: &[u8]) {
        for (subject, watcher) in self.watches.of(changed) {
            watcher.interest_changed(&subject, self.interest(&subject));
        }
    }
}

/// A handler's place in the index; dropped, the handler gets nothing more.
#[derive(Debug)]
pub struct Registration {
    router: Arc<Router>,
    subscription: Arc<Subscription>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.router.remove(&self.subscription);
    }
}

/// A watch over a subject; dropped, nothing more is told.
#[derive(Debug)]
pub struct Watch {
    router: Arc<Router>,
    subject: Arc<[u8]>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.router.watches.remove(&self.subject, self.id);
    }
}
