//! Which subscriptions a subject matches.
//!
//! ```text
//! literal subjects   256 tables by hash, each with a lock and a generation of its own
//! with wildcards     one trie (trie.rs), one lock, one generation
//! ```
//!
//! What a look-up found holds as long as the two generations that it depends on stand ([`Stamp`]); whoever keeps it
//! asks two atomics and takes no lock. A change to one literal subject makes 1 in 256 of the kept look-ups void.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::RwLock;

use super::subscription::{Matched, SubSet, Subscription};
use super::trie::Trie;
use duolog_nats_wire::subject::has_wildcard;

const SHARDS: usize = 256;

/// All subscriptions.
#[derive(Debug)]
pub(crate) struct Index {
    /// Seeded at start: clients choose the subjects, and mustn't choose what collides.
    hasher: DefaultHashBuilder,
    shards: Box<[Shard]>,
    wild: RwLock<Trie>,
    wild_generation: AtomicU64,
    count: AtomicUsize,
}

/// On a cache line of its own, so that changes in one shard don't slow readers of another.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    generation: AtomicU64,
    subjects: RwLock<HashTable<Subject>>,
}

#[derive(Debug)]
struct Subject {
    name: Arc<[u8]>,
    set: SubSet,
}

/// When a look-up was made: it holds while [`Index::holds`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    literal: u64,
    wild: u64,
}

/// A subject's hash, of one index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) u64);

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            wild: RwLock::default(),
            wild_generation: AtomicU64::new(0),
            count: AtomicUsize::new(0),
        }
    }

    pub(crate) fn hash(&self, subject: &[u8]) -> Hash {
        Hash(self.hasher.hash_one(subject))
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds a subscription; its subject is subscribable.
    pub(crate) fn insert(&self, subscription: &Arc<Subscription>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if has_wildcard(&subscription.subject) {
            let mut wild = self.wild.write();
            wild.insert(Arc::clone(subscription));
            self.wild_generation.fetch_add(1, Ordering::Release);
            return;
        }
        let name = &subscription.subject;
        let hash = self.hash(name);
        let shard = self.shard(hash);
        let mut subjects = shard.subjects.write();
        let rehash = |subject: &Subject| self.hash(&subject.name).0;
        let entry = subjects.entry(hash.0, |subject| subject.name == *name, rehash);
        entry
            .or_insert_with(|| Subject { name: Arc::clone(name), set: SubSet::default() })
            .into_mut()
            .set
            .insert(Arc::clone(subscription));
        shard.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether it was there.
    pub(crate) fn remove(&self, subscription: &Arc<Subscription>) -> bool {
        let removed = if has_wildcard(&subscription.subject) {
            let mut wild = self.wild.write();
            let removed = wild.remove(subscription);
            self.wild_generation.fetch_add(1, Ordering::Release);
            removed
        } else {
            self.remove_literal(subscription)
        };
        if removed {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    fn remove_literal(&self, subscription: &Arc<Subscription>) -> bool {
        let name = &subscription.subject;
        let hash = self.hash(name);
        let shard = self.shard(hash);
        let mut subjects = shard.subjects.write();
        let Ok(mut entry) = subjects.find_entry(hash.0, |subject| subject.name == *name) else {
            return false;
        };
        let removed = entry.get_mut().set.remove(subscription);
        if entry.get().set.is_empty() {
            entry.remove();
            if subjects.capacity() > 64 && subjects.len() < subjects.capacity() / 8 {
                subjects.shrink_to_fit(|subject| self.hash(&subject.name).0);
            }
        }
        shard.generation.fetch_add(1, Ordering::Release);
        removed
    }

    /// Whether what was found at `stamp` is still what there is.
    pub(crate) fn holds(&self, stamp: Stamp, hash: Hash) -> bool {
        stamp == self.stamp(hash)
    }

    fn stamp(&self, hash: Hash) -> Stamp {
        Stamp {
            literal: self.shard(hash).generation.load(Ordering::Acquire),
            wild: self.wild_generation.load(Ordering::Acquire),
        }
    }

    /// Puts what `subject` matches into `matched`.
    pub(crate) fn find(&self, subject: &[u8], hash: Hash, matched: &mut Matched) -> Stamp {
        matched.clear();
        // Before the look-up: a change in between makes the result older than it is, never newer.
        let stamp = self.stamp(hash);
        self.visit(subject, hash, &mut |set| matched.add(set));
        stamp
    }

    /// Hands every set whose subject matches `subject` to `visit`, under the index's locks.
    pub(crate) fn visit(&self, subject: &[u8], hash: Hash, visit: &mut dyn FnMut(&SubSet)) {
        {
            let subjects = self.shard(hash).subjects.read();
            if let Some(literal) = subjects.find(hash.0, |own| *own.name == *subject) {
                visit(&literal.set);
            }
        }
        let wild = self.wild.read();
        // A subject with an empty token matches nothing.
        if !wild.is_empty() && !has_empty_token(subject) {
            wild.visit(subject, visit);
        }
    }

    fn shard(&self, hash: Hash) -> &Shard {
        // Bits in the middle: the tables inside use the lowest and the highest.
        &self.shards[(hash.0 >> 32) as usize % SHARDS]
    }
}

fn has_empty_token(subject: &[u8]) -> bool {
    subject.first().is_none_or(|byte| *byte == b'.')
        || subject.ends_with(b".")
        || subject.windows(2).any(|pair| pair == b"..")
}
