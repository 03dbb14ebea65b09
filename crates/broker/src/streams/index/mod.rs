//! Which messages a stream has, of which subjects, how large and how old: everything that can be said of a stream without
//! reading its data.
//!
//! ```text
//! chunks       number → Chunk      65 536 sequences each: subject, size, time of every message, bits of those that are there
//! dictionary   subject → number    how many messages each has, its first and its last
//! ```
//!
//! Memory: some 10 B for a message, less than 100 B for a subject. A filter over many subjects is a set of their numbers,
//! and a message is found by going through the chunks: a nanosecond for each that is passed. Pure: no lock, no log.

mod chunk;
mod dictionary;
mod filter;
mod order;
mod packed;
mod pattern;
mod stored;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(crate) use chunk::Entry;
use chunk::{CHUNK, Chunk, number_of, position_of};
use dictionary::Dictionary;
pub(crate) use dictionary::SubjectId;
pub(crate) use filter::Filter;
pub(crate) use stored::Piece;

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    chunks: BTreeMap<u64, Chunk>,
    pub(crate) subjects: Dictionary,
    messages: u64,
    bytes: u64,
    /// The first message; one behind the last sequence, if there is none.
    first: u64,
    /// The last sequence that was given, whether its message is there or not.
    last: u64,
    last_time: u64,
    /// Links from each message to the next of its subject are kept.
    links: bool,
    /// Chunks that went since they were last asked for.
    gone: Vec<u64>,
}

/// A message that was appended.
pub(crate) struct Added {
    pub(crate) subject: SubjectId,
    /// Whether the subject's number was given now.
    pub(crate) is_new: bool,
}

impl Index {
    /// An index whose first sequence will be `first`.
    #[cfg(test)]
    pub(crate) fn starting_at(first: u64) -> Self {
        let mut index = Self::default();
        index.starts_at(first);
        index
    }

    /// Has the first sequence be `first`, if none was given yet.
    pub(crate) fn starts_at(&mut self, first: u64) {
        if self.last == 0 {
            (self.first, self.last) = (first, first - 1);
        }
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn last_time(&self) -> u64 {
        self.last_time
    }

    /// Has each message remember the next of its subject: what finds a bounded subject's oldest at once.
    pub(crate) fn keep_links(&mut self) {
        if std::mem::replace(&mut self.links, true) {
            return;
        }
        let mut newest: BTreeMap<SubjectId, u64> = BTreeMap::new();
        let sequences: Vec<u64> = self.iter_live(self.first).collect();
        for sequence in sequences {
            let Some(entry) = self.get(sequence) else { continue };
            if let Some(before) = newest.insert(entry.subject, sequence) {
                self.link(before, sequence);
            }
        }
    }

    fn link(&mut self, before: u64, next: u64) {
        if let Some(chunk) = self.chunks.get_mut(&number_of(before)) {
            chunk.set_link(position_of(before), next - before);
        }
    }

    /// Appends a message. `sequence` is above the last one.
    pub(crate) fn append(&mut self, sequence: u64, subject: &str, bytes: u32, time: u64) -> Added {
        debug_assert!(sequence > self.last, "sequences rise");
        let (id, is_new) = self.subjects.find_or_assign(subject);
        let before = *self.subjects.get(id);
        if self.links && before.count > 0 && !before.last_is_bound {
            self.link(before.last, sequence);
        }
        let number = number_of(sequence);
        if !self.chunks.contains_key(&number) {
            if let Some((_, newest)) = self.chunks.iter_mut().next_back() {
                newest.seal();
            }
            self.chunks.insert(number, Chunk::default());
        }
        let chunk = self.chunks.get_mut(&number).expect("it is there now");
        chunk.push(position_of(sequence), Entry { subject: id, bytes, time });
        self.subjects.added(id, sequence);
        if self.messages == 0 {
            self.first = sequence;
        }
        self.messages += 1;
        self.bytes += u64::from(bytes);
        (self.last, self.last_time) = (sequence, time);
        Added { subject: id, is_new }
    }

    /// Gives sequences up to `last` away without messages.
    pub(crate) fn skip_to(&mut self, last: u64) {
        if last > self.last {
            self.last = last;
            if self.messages == 0 {
                self.first = last + 1;
            }
        }
    }

    /// The time of the last sequence, where its message isn't kept.
    pub(crate) fn touch(&mut self, time: u64) {
        self.last_time = time;
    }

    /// When a message expires; `u64::MAX` is never. It was just appended. Returns the time as it is kept: whether the
    /// message is a marker stands in the lowest bit.
    pub(crate) fn set_expiry(&mut self, sequence: u64, at: u64, is_marker: bool) -> u64 {
        let at = if at == u64::MAX { at } else { at & !1 | u64::from(is_marker) };
        if let Some(chunk) = self.chunks.get_mut(&number_of(sequence)) {
            chunk.expiries.push((position_of(sequence) as u16, at));
            chunk.columns_dirty = true;
        }
        at
    }

    /// All expiries of messages that are there.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.chunks.iter().flat_map(|(number, chunk)| {
            let live = chunk.expiries.iter().filter(|(position, _)| chunk.is_live(usize::from(*position)));
            live.map(move |(position, at)| (number * CHUNK + u64::from(*position) + 1, *at))
        })
    }

    /// Whether a message never expires, though others of the stream do by age.
    pub(crate) fn never_expires(&self, sequence: u64) -> bool {
        self.expiry(sequence) == Some(u64::MAX)
    }

    /// Whether a message marks that its subject's last one expired.
    pub(crate) fn is_marker(&self, sequence: u64) -> bool {
        self.expiry(sequence).is_some_and(|at| at != u64::MAX && at & 1 == 1)
    }

    fn expiry(&self, sequence: u64) -> Option<u64> {
        let chunk = self.chunks.get(&number_of(sequence))?;
        let position = position_of(sequence) as u16;
        let found = chunk.expiries.binary_search_by_key(&position, |(position, _)| *position).ok()?;
        Some(chunk.expiries[found].1)
    }

    /// The message of a sequence, if it is there.
    pub(crate) fn get(&self, sequence: u64) -> Option<Entry> {
        if sequence == 0 {
            return None;
        }
        self.chunks.get(&number_of(sequence))?.get(position_of(sequence))
    }

    /// Takes a message away. Returns what was known of it.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let entry = self.get(sequence)?;
        let number = number_of(sequence);
        let chunk = self.chunks.get_mut(&number).expect("it holds the message");
        let position = position_of(sequence);
        let next = chunk.link(position).map(|distance| sequence + distance);
        chunk.remove(position);
        let newest = number == number_of(self.last);
        if chunk.live_count() == 0 && !newest {
            self.chunks.remove(&number);
            self.gone.push(number);
        } else if chunk.wants_thinning() && !newest {
            chunk.thin();
        }
        self.messages -= 1;
        self.bytes -= u64::from(entry.bytes);
        // A link may lead to a message that is gone: then it is only a bound.
        let next = next.filter(|next| self.get(*next).is_some_and(|other| other.subject == entry.subject));
        self.subjects.removed(entry.subject, sequence, next);
        if sequence == self.first {
            self.first = self.next_live(sequence + 1).unwrap_or(self.last + 1);
        }
        Some(entry)
    }

    /// Takes the numbers of subjects without messages back, if they are many. Returns them: sets of numbers that
    /// somebody keeps must forget them.
    pub(crate) fn sweep(&mut self) -> Vec<SubjectId> {
        if self.subjects.wants_sweep() { self.subjects.sweep() } else { Vec::new() }
    }

    /// The first message from `from` on.
    pub(crate) fn next_live(&self, from: u64) -> Option<u64> {
        self.iter_live(from.max(self.first)).next()
    }

    /// The last message up to `to`.
    pub(crate) fn previous_live(&self, to: u64) -> Option<u64> {
        self.iter_live_back(to).next()
    }

    /// All messages from `from` on.
    pub(crate) fn iter_live(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let from = from.max(1);
        self.chunks.range(number_of(from)..).flat_map(move |(number, chunk)| {
            let base = number * CHUNK + 1;
            let skip = if base < from { position_of(from) } else { 0 };
            chunk.live_positions(skip).map(move |position| base + position as u64)
        })
    }

    pub(crate) fn iter_live_back(&self, to: u64) -> impl Iterator<Item = u64> + '_ {
        let to = to.min(self.last).max(1);
        self.chunks.range(..=number_of(to)).rev().flat_map(move |(number, chunk)| {
            let base = number * CHUNK + 1;
            let end = if base + (CHUNK - 1) > to { position_of(to) } else { CHUNK as usize - 1 };
            chunk.live_positions_back(end).map(move |position| base + position as u64)
        })
    }

    /// How many messages there are from `from` on.
    pub(crate) fn count_from(&self, from: u64) -> u64 {
        if from <= self.first {
            return self.messages;
        }
        let mut count = 0;
        for (number, chunk) in self.chunks.range(number_of(from)..) {
            let before = if *number == number_of(from) { chunk.live_before(position_of(from)) } else { 0 };
            count += u64::from(chunk.live_count() - before);
        }
        count
    }

    /// A subject's last message.
    pub(crate) fn last_of(&mut self, id: SubjectId) -> Option<u64> {
        let subject = *self.subjects.get(id);
        if subject.count == 0 {
            return None;
        }
        if subject.last_is_bound {
            let found = self.iter_live_back(subject.last).find(|sequence| self.is_of(*sequence, id))?;
            let subject = self.subjects.get_mut(id);
            (subject.last, subject.last_is_bound) = (found, false);
        }
        Some(self.subjects.get(id).last)
    }

    /// A subject's first message.
    pub(crate) fn first_of(&mut self, id: SubjectId) -> Option<u64> {
        let subject = *self.subjects.get(id);
        if subject.count == 0 {
            return None;
        }
        if subject.first_is_bound {
            let found = self.iter_live(subject.first).find(|sequence| self.is_of(*sequence, id))?;
            let subject = self.subjects.get_mut(id);
            (subject.first, subject.first_is_bound) = (found, false);
        }
        Some(self.subjects.get(id).first)
    }

    fn is_of(&self, sequence: u64, id: SubjectId) -> bool {
        self.get(sequence).is_some_and(|entry| entry.subject == id)
    }

    /// How many messages a subject has.
    pub(crate) fn count_of(&self, id: SubjectId) -> u64 {
        u64::from(self.subjects.get(id).count)
    }

    /// The first message that came at `time` or later. Times rise with sequences, but for clocks that were set back.
    pub(crate) fn since(&self, time: u64) -> Option<u64> {
        // Chunks whose last message is older can't have it.
        let newest_of = |chunk: &Chunk| chunk.live_positions_back(CHUNK as usize - 1).next();
        for (number, chunk) in &self.chunks {
            let old = newest_of(chunk)
                .and_then(|position| chunk.get(position))
                .is_none_or(|entry| entry.time < time);
            if old {
                continue;
            }
            let position = chunk
                .live_positions(0)
                .find(|position| chunk.get(*position).is_some_and(|entry| entry.time >= time));
            if let Some(position) = position {
                return Some(number * CHUNK + 1 + position as u64);
            }
        }
        None
    }

    /// The sequences between the first and the last message that have none: the first `limit`.
    pub(crate) fn deleted(&self, limit: usize) -> Vec<u64> {
        let mut deleted = Vec::new();
        if self.messages == 0 {
            return deleted;
        }
        let mut expected = self.first;
        // Up to the last sequence that was given: one whose message is gone is deleted too.
        for sequence in self.iter_live(self.first).chain([self.last + 1]) {
            let room = limit - deleted.len();
            deleted.extend((expected..sequence).take(room));
            if deleted.len() == limit {
                break;
            }
            expected = sequence + 1;
        }
        deleted
    }
}
