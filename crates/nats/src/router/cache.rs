//! What a publisher found for the subjects that it publishes to, kept until it no longer holds.
//!
//! A table with one place for each hash: no list to keep in order, and a subject that isn't published to again is
//! overwritten. Subjects that nobody wants are kept as well, so that publishing to them costs a hash and two atomics.

use super::index::{Hash, Index, Stamp};
use super::subscription::Matched;

/// Most places (the reference keeps as many).
const MAX_SLOTS: usize = 512;
const FIRST_SLOTS: usize = 16;

/// Longer subjects are looked up every time.
const MAX_SUBJECT: usize = 256;

/// Subscriptions that all places together may name; more are forgotten at once.
const MAX_HELD: usize = 1 << 16;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// A power of two many, or none.
    slots: Vec<Slot>,
    /// Subjects that were overwritten since the table grew.
    displaced: usize,
    /// Subscriptions in all places.
    held: usize,
    /// For subjects that aren't kept.
    other: Matched,
}

#[derive(Debug, Default)]
struct Slot {
    hash: Hash,
    stamp: Stamp,
    subject: Vec<u8>,
    matched: Matched,
}

impl Cache {
    /// What `subject` matches now.
    pub(crate) fn get(&mut self, index: &Index, subject: &[u8]) -> &Matched {
        let hash = index.hash(subject);
        if subject.len() > MAX_SUBJECT {
            index.find(subject, hash, &mut self.other);
            return &self.other;
        }
        if self.slots.is_empty() || (self.displaced > self.slots.len() && self.slots.len() < MAX_SLOTS) {
            self.grow();
        }
        if self.held > MAX_HELD {
            self.slots.clear();
            self.held = 0;
            self.grow();
        }
        let at = place(hash, self.slots.len());
        let slot = &mut self.slots[at];
        let same = slot.hash == hash && slot.subject == subject;
        if !same || !index.holds(slot.stamp, hash) {
            if !same {
                self.displaced += usize::from(!slot.subject.is_empty());
                slot.hash = hash;
                slot.subject.clear();
                slot.subject.extend_from_slice(subject);
            }
            self.held -= slot.matched.len();
            slot.stamp = index.find(subject, hash, &mut slot.matched);
            self.held += slot.matched.len();
        }
        &self.slots[at].matched
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.slots);
        let count = (old.len() * 2).max(FIRST_SLOTS);
        self.slots.resize_with(count, Slot::default);
        self.displaced = 0;
        for slot in old {
            if !slot.subject.is_empty() {
                let at = place(slot.hash, count);
                self.slots[at] = slot;
            }
        }
    }
}

fn place(hash: Hash, slots: usize) -> usize {
    // Truncated: only the lowest bits count.
    hash.0 as usize & (slots - 1)
}
