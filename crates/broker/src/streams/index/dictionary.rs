//! Which subjects there are: a number for each, and each number's messages.
//!
//! ```text
//! arena     pages of bytes; a subject's text stands in one of them
//! subjects  pages of 4096 entries of 32 B: where the text is, count, first and last sequence
//! by_text   hash table of numbers
//! order     blocks of numbers sorted by text: prefixes and wildcards; made when first asked for
//! ```
//!
//! A subject whose last message went keeps its number until many have gone, so that a work queue's subjects don't come and
//! go with each message; then their numbers are free for others.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::order::Order;
use super::pattern;
use crate::streams::subject;

/// Entries of a page, which is also a piece of a snapshot.
pub(super) const PAGE: usize = 4096;
/// Bytes of a page of texts; a longer text gets a page of its own.
const ARENA_PAGE: usize = 1 << 16;
/// Below so many, subjects without messages are kept whatever their share.
const IDLE_MIN: usize = 1024;

/// A subject's number.
pub(crate) type SubjectId = u32;

/// What is known of a subject.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subject {
    /// The first message's sequence or (with `first_is_bound`) a sequence that it isn't below.
    pub first: u64,
    /// The last message's sequence or (with `last_is_bound`) one that it isn't above.
    pub last: u64,
    offset: u32,
    len: u32,
    /// How many messages.
    pub count: u32,
    pub first_is_bound: bool,
    pub last_is_bound: bool,
    used: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Dictionary {
    arena: Vec<Vec<u8>>,
    arena_used: usize,
    arena_dead: usize,
    pages: Vec<Vec<Subject>>,
    free: Vec<SubjectId>,
    by_text: HashTable<SubjectId>,
    hasher: DefaultHashBuilder,
    order: Option<Order>,
    /// Subjects without messages that keep their numbers.
    idle: usize,
    /// Pages that changed since they were last taken.
    dirty: Vec<bool>,
}

impl Dictionary {
    /// How many subjects have messages.
    pub(crate) fn live(&self) -> usize {
        self.by_text.len() - self.idle
    }

    pub(super) fn get(&self, id: SubjectId) -> &Subject {
        &self.pages[id as usize / PAGE][id as usize % PAGE]
    }

    pub(super) fn get_mut(&mut self, id: SubjectId) -> &mut Subject {
        &mut self.pages[id as usize / PAGE][id as usize % PAGE]
    }

    /// A subject's text.
    pub(crate) fn text(&self, id: SubjectId) -> &str {
        text(&self.arena, self.get(id))
    }

    /// The subjects with more messages than `limit`, in no order.
    pub(crate) fn with_more_than(&self, limit: u64) -> Vec<SubjectId> {
        self.by_text.iter().copied().filter(|id| u64::from(self.get(*id).count) > limit).collect()
    }

    /// The number of a subject.
    pub(crate) fn find(&self, subject: &str) -> Option<SubjectId> {
        let hash = self.hasher.hash_one(subject.as_bytes());
        self.by_text.find(hash, |id| bytes(&self.arena, self.get(*id)) == subject.as_bytes()).copied()
    }

    /// The number of a subject, given now if it has none; and whether it was.
    pub(super) fn find_or_assign(&mut self, subject: &str) -> (SubjectId, bool) {
        let hash = self.hasher.hash_one(subject.as_bytes());
        let same = |id: &SubjectId| bytes(&self.arena, self.get(*id)) == subject.as_bytes();
        if let Some(id) = self.by_text.find(hash, same) {
            return (*id, false);
        }
        let id = self.free.pop().unwrap_or_else(|| self.grow());
        self.assign(id, subject, hash);
        (id, true)
    }

    /// Whether a number is a subject's.
    pub(super) fn is_used(&self, id: SubjectId) -> bool {
        self.pages[id as usize / PAGE].get(id as usize % PAGE).is_some_and(|subject| subject.used)
    }

    /// Gives a number of a snapshot to its subject. `false` if that can't be.
    pub(super) fn restore(&mut self, id: SubjectId, subject: &str) -> bool {
        let hash = self.hasher.hash_one(subject.as_bytes());
        if self.by_text.find(hash, |id| self.text(*id) == subject).is_some() {
            return false;
        }
        while self.pages.len() <= id as usize / PAGE {
            self.add_page();
        }
        let page = &mut self.pages[id as usize / PAGE];
        page.resize(page.len().max(id as usize % PAGE + 1), Subject::default());
        if self.get(id).used {
            return false;
        }
        self.assign(id, subject, hash);
        true
    }

    /// Frees the numbers that no subject of the restored pieces has.
    pub(super) fn restored(&mut self) {
        let pages = self.pages.len();
        for (at, page) in self.pages.iter_mut().enumerate() {
            if at + 1 < pages {
                page.resize(PAGE, Subject::default());
            }
            let unused = page.iter().enumerate().filter(|(_, subject)| !subject.used);
            self.free.extend(unused.map(|(index, _)| (at * PAGE + index) as SubjectId));
        }
        self.dirty.fill(false);
    }

    fn assign(&mut self, id: SubjectId, subject: &str, hash: u64) {
        let (offset, len) = self.put_text(subject);
        *self.get_mut(id) = Subject { offset, len, used: true, ..Subject::default() };
        let (arena, pages, hasher) = (&self.arena, &self.pages, &self.hasher);
        self.by_text.insert_unique(hash, id, |id| {
            let entry = &pages[*id as usize / PAGE][*id as usize % PAGE];
            hasher.hash_one(bytes(arena, entry))
        });
        self.idle += 1;
        self.dirty[id as usize / PAGE] = true;
        if let Some(order) = &mut self.order {
            order.insert(id, |id| bytes(arena, &pages[id as usize / PAGE][id as usize % PAGE]));
        }
    }

    fn grow(&mut self) -> SubjectId {
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.add_page();
        }
        let at = self.pages.len() - 1;
        self.pages[at].push(Subject::default());
        (at * PAGE + self.pages[at].len() - 1) as SubjectId
    }

    fn add_page(&mut self) {
        // Small dictionaries stay small: a page grows like any list.
        self.pages.push(Vec::new());
        self.dirty.push(false);
    }

    fn put_text(&mut self, subject: &str) -> (u32, u32) {
        let len = subject.len();
        if self.arena.last().is_none_or(|page| page.len() + len > ARENA_PAGE) || len > ARENA_PAGE {
            self.arena.push(Vec::new());
        }
        let at = self.arena.len() - 1;
        let page = &mut self.arena[at];
        let offset = (at * ARENA_PAGE + page.len()) as u32;
        page.extend_from_slice(subject.as_bytes());
        self.arena_used += len;
        (offset, len as u32)
    }

    /// A subject got a message.
    pub(super) fn added(&mut self, id: SubjectId, sequence: u64) {
        let subject = self.get_mut(id);
        if subject.count == 0 {
            (subject.first, subject.first_is_bound) = (sequence, false);
        }
        (subject.last, subject.last_is_bound) = (sequence, false);
        subject.count += 1;
        if subject.count == 1 {
            self.idle -= 1;
        }
    }

    /// A subject lost a message. `next` is the following one of the subject, if that is known.
    pub(super) fn removed(&mut self, id: SubjectId, sequence: u64, next: Option<u64>) {
        let subject = self.get_mut(id);
        subject.count = subject.count.saturating_sub(1);
        match subject.count {
            0 => {
                self.idle += 1;
                return;
            }
            1 if !subject.last_is_bound && sequence != subject.last => {
                (subject.first, subject.first_is_bound) = (subject.last, false);
                return;
            }
            1 if !subject.first_is_bound && sequence != subject.first => {
                (subject.last, subject.last_is_bound) = (subject.first, false);
                return;
            }
            _ => {}
        }
        if sequence == subject.first {
            (subject.first, subject.first_is_bound) = match next {
                Some(next) => (next, false),
                None => (sequence + 1, true),
            };
        }
        if sequence == subject.last {
            (subject.last, subject.last_is_bound) = (sequence - 1, true);
        }
    }

    /// Whether so many subjects are without messages that [`Dictionary::sweep`] is worth its while.
    pub(super) fn wants_sweep(&self) -> bool {
        self.idle > IDLE_MIN && self.idle > self.live()
    }

    /// Takes the numbers of all subjects without messages back. Returns them.
    pub(super) fn sweep(&mut self) -> Vec<SubjectId> {
        let mut freed = Vec::with_capacity(self.idle);
        for at in 0..self.pages.len() {
            for index in 0..self.pages[at].len() {
                let subject = self.pages[at][index];
                if !subject.used || subject.count > 0 {
                    continue;
                }
                let id = (at * PAGE + index) as SubjectId;
                let hash = self.hasher.hash_one(bytes(&self.arena, &subject));
                if let Ok(found) = self.by_text.find_entry(hash, |found| *found == id) {
                    found.remove();
                }
                self.arena_dead += subject.len as usize;
                self.pages[at][index] = Subject::default();
                self.dirty[at] = true;
                freed.push(id);
            }
        }
        self.idle = 0;
        self.free.extend_from_slice(&freed);
        self.order = None;
        if self.arena_dead > self.arena_used / 2 && self.arena_dead > ARENA_PAGE {
            self.compact_arena();
        }
        freed
    }

    fn compact_arena(&mut self) {
        let old = std::mem::take(&mut self.arena);
        (self.arena_used, self.arena_dead) = (0, 0);
        for at in 0..self.pages.len() {
            for index in 0..self.pages[at].len() {
                let subject = self.pages[at][index];
                if subject.used {
                    let (offset, len) = self.put_text(text(&old, &subject));
                    (self.pages[at][index].offset, self.pages[at][index].len) = (offset, len);
                }
            }
        }
    }

    /// The subjects that `pattern` lets through, by text; also those without messages.
    pub(crate) fn matching(&mut self, pattern: &str) -> Vec<SubjectId> {
        if subject::is_literal(pattern) {
            return self.find(pattern).into_iter().collect();
        }
        if self.order.is_none() {
            self.order = Some(self.sorted());
        }
        let (arena, pages) = (&self.arena, &self.pages);
        let entry = |id: SubjectId| &pages[id as usize / PAGE][id as usize % PAGE];
        let bytes_of = |id: SubjectId| bytes(arena, entry(id));
        let prefix = subject::literal_prefix(pattern);
        let order = self.order.as_ref().expect("made above");
        pattern::matching(order, pattern, prefix, bytes_of)
    }

    fn sorted(&self) -> Order {
        let mut ids: Vec<SubjectId> = self.by_text.iter().copied().collect();
        let bytes_of = |id: SubjectId| bytes(&self.arena, self.get(id));
        ids.sort_unstable_by(|a, b| bytes_of(*a).cmp(bytes_of(*b)));
        Order::from_sorted(&ids)
    }

    /// Pages that changed since they were last asked for.
    pub(super) fn take_dirty(&mut self) -> Vec<usize> {
        let dirty = (0..self.pages.len()).filter(|page| self.dirty[*page]).collect();
        self.dirty.fill(false);
        dirty
    }

    /// The subjects of a page: number and text.
    pub(super) fn page(&self, page: usize) -> impl Iterator<Item = (SubjectId, &str)> + Clone {
        let used = self.pages[page].iter().enumerate().filter(|(_, subject)| subject.used);
        used.map(move |(index, subject)| ((page * PAGE + index) as SubjectId, text(&self.arena, subject)))
    }

    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Roughly, the memory of all of it.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.arena.iter().map(Vec::capacity).sum::<usize>()
            + self.pages.iter().map(|page| page.capacity() * size_of::<Subject>()).sum::<usize>()
            + self.by_text.capacity() * 8 / 7 * 5
            + self.order.as_ref().map_or(0, Order::memory_bytes)
    }
}

fn bytes<'a>(arena: &'a [Vec<u8>], subject: &Subject) -> &'a [u8] {
    let (page, start) = (subject.offset as usize / ARENA_PAGE, subject.offset as usize % ARENA_PAGE);
    &arena[page][start..start + subject.len as usize]
}

fn text<'a>(arena: &'a [Vec<u8>], subject: &Subject) -> &'a str {
    std::str::from_utf8(bytes(arena, subject)).expect("only texts are put in, and each is taken out whole")
}
