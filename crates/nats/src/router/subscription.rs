//! Subscriptions, and sets of them that have the same subject.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;

use super::handler::Handler;
use crate::session::connection::Connection;

/// Who gets what a subscription matches.
pub(crate) enum Target {
    /// A client.
    Client(Arc<Connection>),
    /// Something inside the broker.
    Handler(Arc<dyn Handler>),
}

/// One subscription, of a client or a handler.
pub(crate) struct Subscription {
    pub(crate) subject: Arc<[u8]>,
    pub(crate) queue: Option<Arc<[u8]>>,
    /// The client's name for it.
    pub(crate) sid: Box<[u8]>,
    pub(crate) target: Target,
    /// Its place in its set. Changed under the index's lock only.
    slot: AtomicUsize,
    /// Messages that were delivered. This and the next two change under the connection's lock only.
    pub(crate) delivered: AtomicU64,
    /// Messages after which it ends; 0: it doesn't.
    pub(crate) max: AtomicU64,
    /// It was ended, though it may still stand in somebody's cache.
    pub(crate) ended: AtomicBool,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.subject.escape_ascii())
    }
}

impl Subscription {
    pub(crate) fn new(subject: &[u8], queue: Option<&[u8]>, sid: &[u8], target: Target) -> Self {
        Self {
            subject: subject.into(),
            queue: queue.map(Into::into),
            sid: sid.into(),
            target,
            slot: AtomicUsize::new(0),
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }
}

type Members = Vec<Arc<Subscription>>;

/// Subscriptions of one subject.
#[derive(Debug, Default)]
pub(crate) struct SubSet {
    plain: Members,
    /// By name of the group. Boxed: most subjects have none.
    queues: Option<Box<HashMap<Arc<[u8]>, Members>>>,
}

impl SubSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_none()
    }

    pub(crate) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    pub(crate) fn has_queue(&self, queue: &[u8]) -> bool {
        self.queues.as_ref().is_some_and(|queues| queues.contains_key(queue))
    }

    pub(crate) fn insert(&mut self, subscription: Arc<Subscription>) {
        let members = match &subscription.queue {
            None => &mut self.plain,
            Some(queue) => self.queues.get_or_insert_default().entry(Arc::clone(queue)).or_default(),
        };
        subscription.slot.store(members.len(), Ordering::Relaxed);
        members.push(subscription);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, subscription: &Arc<Subscription>) -> bool {
        let Some(queue) = &subscription.queue else { return remove(&mut self.plain, subscription) };
        let Some(queues) = &mut self.queues else { return false };
        let Some(members) = queues.get_mut(queue) else { return false };
        let removed = remove(members, subscription);
        if members.is_empty() {
            queues.remove(queue);
        }
        if queues.is_empty() {
            self.queues = None;
        }
        removed
    }
}

fn remove(members: &mut Members, subscription: &Arc<Subscription>) -> bool {
    let slot = subscription.slot.load(Ordering::Relaxed);
    if !members.get(slot).is_some_and(|member| Arc::ptr_eq(member, subscription)) {
        return false;
    }
    members.swap_remove(slot);
    if let Some(moved) = members.get(slot) {
        moved.slot.store(slot, Ordering::Relaxed);
    }
    if members.capacity() > 16 && members.len() < members.capacity() / 4 {
        members.shrink_to(members.len() * 2);
    }
    true
}

/// What a subject matched: every plain subscription gets the message, and one member of every group.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    pub(crate) plain: Members,
    pub(crate) groups: Vec<Group>,
}

/// The members of a queue group, whatever subject each subscribed to.
#[derive(Debug)]
pub(crate) struct Group {
    name: Arc<[u8]>,
    pub(crate) members: Members,
}

/// With more groups than this, they are looked up rather than searched.
const SEARCHED_GROUPS: usize = 16;

impl Matched {
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.groups.clear();
        // What one message to thousands took isn't kept for messages to one.
        self.plain.shrink_to(64);
        self.groups.shrink_to(16);
    }

    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.groups.iter().map(|group| group.members.len()).sum::<usize>()
    }

    pub(crate) fn add(&mut self, set: &SubSet) {
        self.plain.extend(set.plain.iter().cloned());
        let Some(queues) = &set.queues else { return };
        if self.groups.is_empty() {
            let group = |(name, members): (&Arc<[u8]>, &Members)| Group {
                name: Arc::clone(name),
                members: members.clone(),
            };
            self.groups.extend(queues.iter().map(group));
        } else {
            self.add_to_groups(queues);
        }
    }

    fn add_to_groups(&mut self, queues: &HashMap<Arc<[u8]>, Members>) {
        let by_name: Option<HashMap<Arc<[u8]>, usize>> = (self.groups.len() > SEARCHED_GROUPS).then(|| {
            self.groups.iter().enumerate().map(|(at, group)| (Arc::clone(&group.name), at)).collect()
        });
        let own = self.groups.len();
        for (name, members) in queues {
            let at = match &by_name {
                Some(by_name) => by_name.get(name).copied(),
                None => self.groups[..own].iter().position(|group| group.name == *name),
            };
            match at {
                Some(at) => self.groups[at].members.extend(members.iter().cloned()),
                None => self.groups.push(Group { name: Arc::clone(name), members: members.clone() }),
            }
        }
    }
}
