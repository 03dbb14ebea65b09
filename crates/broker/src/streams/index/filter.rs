//! Which messages a consumer or a request wants, by subject, in a form that is asked for each message.

use super::Index;
use super::chunk::{CHUNK, Chunk, number_of, position_of};
use super::dictionary::SubjectId;
use crate::streams::subject;

/// Patterns, and the numbers of the subjects that they let through. Whoever keeps one tells it of new numbers
/// ([`Filter::assigned`]) and of numbers that were taken back ([`Filter::freed`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Empty: everything.
    patterns: Vec<String>,
    numbers: Vec<u64>,
    /// The same numbers as a list, as long as there were never more than [`FEW`].
    few: Option<Vec<SubjectId>>,
}

impl Filter {
    /// The filter of `patterns`; none, or one that is `>`, is everything.
    pub(crate) fn new(patterns: &[String], index: &mut Index) -> Self {
        if patterns.iter().any(|pattern| pattern == ">") {
            return Self::default();
        }
        let mut filter = Self { patterns: patterns.to_vec(), numbers: Vec::new(), few: Some(Vec::new()) };
        for pattern in patterns {
            for id in index.subjects.matching(pattern) {
                filter.insert(id);
            }
        }
        filter
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether it lets a subject through.
    pub(crate) fn matches(&self, subject: &str) -> bool {
        self.is_everything() || self.patterns.iter().any(|pattern| subject::matches(pattern, subject))
    }

    /// Whether it lets the subject of a number through.
    #[inline]
    pub(crate) fn contains(&self, id: SubjectId) -> bool {
        self.is_everything()
            || self.numbers.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn insert(&mut self, id: SubjectId) {
        let at = id as usize / 64;
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, 0);
        }
        let bit = 1 << (id % 64);
        if self.numbers[at] & bit == 0 {
            self.numbers[at] |= bit;
            self.few = self.few.take().filter(|few| few.len() < FEW);
            if let Some(few) = &mut self.few {
                few.push(id);
            }
        }
    }

    /// A subject got a number.
    pub(crate) fn assigned(&mut self, id: SubjectId, subject: &str) {
        if !self.is_everything() && self.matches(subject) {
            self.insert(id);
        }
    }

    /// A number is no subject's any more.
    pub(crate) fn freed(&mut self, id: SubjectId) {
        if let Some(word) = self.numbers.get_mut(id as usize / 64) {
            *word &= !(1 << (id % 64));
            if let Some(few) = &mut self.few {
                few.retain(|own| *own != id);
            }
        }
    }

    /// The numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = SubjectId> + '_ {
        self.numbers.iter().enumerate().flat_map(|(at, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros())?;
                word &= word - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }
}

/// Up to so many subjects, where a filter's messages begin and end is looked up before the chunks are gone through.
const FEW: usize = 64;

impl Index {
    /// Where the filter's messages can stand.
    fn span(&self, filter: &Filter) -> (u64, u64) {
        let Some(few) = filter.few.as_ref().filter(|_| !filter.is_everything()) else {
            return (self.first, self.last);
        };
        let (mut from, mut to) = (u64::MAX, 0);
        for id in few {
            let subject = self.subjects.get(*id);
            if subject.count > 0 {
                from = from.min(subject.first);
                to = to.max(subject.last);
            }
        }
        (from, to)
    }

    /// The first message from `from` on, up to `to`, that the filter lets through.
    pub(crate) fn next_match(&self, filter: &Filter, from: u64, to: u64) -> Option<u64> {
        let (first, last) = self.span(filter);
        let (from, to) = (from.max(first).max(1), to.min(last));
        if from > to {
            return None;
        }
        if filter.is_everything() {
            return self.next_live(from).filter(|sequence| *sequence <= to);
        }
        for (number, chunk) in self.chunks.range(number_of(from)..=number_of(to)) {
            let base = number * CHUNK + 1;
            let skip = if base < from { position_of(from) } else { 0 };
            let found = chunk.live_positions(skip).find(|position| filter.contains(chunk.subject(*position)));
            if let Some(position) = found {
                return Some(base + position as u64).filter(|sequence| *sequence <= to);
            }
        }
        None
    }

    /// The last message up to `to` that the filter lets through.
    pub(crate) fn previous_match(&self, filter: &Filter, to: u64) -> Option<u64> {
        let (first, last) = self.span(filter);
        let to = to.min(last);
        if first > to {
            return None;
        }
        let in_span = self.iter_live_back(to).take_while(|sequence| *sequence >= first);
        in_span.into_iter().find(|sequence| self.lets_through(filter, *sequence))
    }

    /// Whether the filter lets the message of a sequence through; no, if it is gone.
    pub(crate) fn lets_through(&self, filter: &Filter, sequence: u64) -> bool {
        self.get(sequence).is_some_and(|entry| filter.contains(entry.subject))
    }

    /// How many messages from `from` on the filter lets through.
    pub(crate) fn count_matches(&self, filter: &Filter, from: u64) -> u64 {
        if filter.is_everything() {
            return self.count_from(from);
        }
        let all = || filter.numbers().map(|id| self.count_of(id)).sum::<u64>();
        let (first, last) = self.span(filter);
        if from <= first {
            return all();
        }
        if from > last {
            return 0;
        }
        // Whichever side is shorter.
        if from - first < last - from {
            return all() - self.count_between(filter, first, from - 1);
        }
        self.count_between(filter, from, last)
    }

    /// How many messages `from..=to` the filter lets through; all of them are looked at.
    pub(crate) fn count_between(&self, filter: &Filter, from: u64, to: u64) -> u64 {
        let mut count = 0;
        for (number, chunk) in self.chunks.range(number_of(from)..=number_of(to)) {
            let base = number * CHUNK + 1;
            let skip = if base < from { position_of(from) } else { 0 };
            let end = if base + (CHUNK - 1) > to { position_of(to) } else { CHUNK as usize - 1 };
            count += count_in(chunk, filter, skip, end);
        }
        count
    }
}

fn count_in(chunk: &Chunk, filter: &Filter, from: usize, to: usize) -> u64 {
    let positions = chunk.live_positions(from).take_while(|position| *position <= to);
    positions.filter(|position| filter.contains(chunk.subject(*position))).count() as u64
}
