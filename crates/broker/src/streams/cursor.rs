//! A filter's place in a stream: what comes next, and how many are left.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use duolog_types::{Nanos, Sequence};

use super::core::{CursorState, State};
use super::index::Filter;
use super::{Stream, subject};

/// So far, what lies in between is counted rather than all that is left.
const NEAR: u64 = 1 << 16;

/// The next message that a filter lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its sequence.
    pub sequence: Sequence,
    /// When it arrived.
    pub time: Nanos,
    /// Its size by JetStream's record size.
    pub bytes: u32,
    /// How many messages match behind it.
    pub pending: u64,
}

/// A place in a stream, for a filter: what comes next, and how many are left. Exact at any moment: the stream counts for
/// each of its cursors what comes and goes. Dropping it ends the counting.
pub struct Cursor {
    stream: Arc<Stream>,
    slot: usize,
    subjects: Vec<String>,
}

impl Cursor {
    pub(super) fn new(stream: &Arc<Stream>, subjects: &[String], from: Sequence) -> Self {
        let mut state = stream.lock();
        let filter = Filter::new(subjects, &mut state.index);
        let position = from.0.max(1);
        let pending = state.index.count_matches(&filter, position);
        let cursor = Some(CursorState { filter, position, looked: 0, ahead: VecDeque::new(), pending });
        let slot = match state.cursors.iter().position(Option::is_none) {
            Some(slot) => {
                state.cursors[slot] = cursor;
                slot
            }
            None => {
                state.cursors.push(cursor);
                state.cursors.len() - 1
            }
        };
        drop(state);
        Self { stream: stream.clone(), slot, subjects: subjects.to_vec() }
    }

    fn with<T>(&self, then: impl FnOnce(&mut State, &mut CursorState) -> T) -> T {
        let mut state = self.stream.lock();
        let mut cursor =
            state.cursors[self.slot].take().expect("a cursor keeps its slot until it is dropped");
        let done = then(&mut state, &mut cursor);
        state.cursors[self.slot] = Some(cursor);
        done
    }

    /// Takes the next message that is durable, if there is one, and moves behind it.
    pub fn take_next(&self) -> Option<Delivery> {
        self.with(|state, cursor| {
            let delivery = next(state, cursor)?;
            cursor.position = delivery.sequence.0 + 1;
            cursor.pending = delivery.pending;
            Some(delivery)
        })
    }

    /// The next message that would be taken.
    #[must_use]
    pub fn peek(&self) -> Option<Delivery> {
        self.with(|state, cursor| next(state, cursor))
    }

    /// How many messages match from the cursor's place on (JetStream: `num_pending`).
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.with(|_, cursor| cursor.pending)
    }

    /// From which sequence on the next message is looked for.
    #[must_use]
    pub fn position(&self) -> Sequence {
        self.with(|_, cursor| Sequence(cursor.position))
    }

    /// The next `count` messages that would be taken.
    #[must_use]
    pub fn ahead(&self, count: usize) -> Vec<Sequence> {
        self.with(|state, cursor| {
            let (last, mut from) = (known(state), cursor.position.max(cursor.looked));
            let following = std::iter::from_fn(|| {
                let sequence = state.index.next_match(&cursor.filter, from, last)?;
                from = sequence + 1;
                Some(Sequence(sequence))
            });
            let found: Vec<Sequence> = following.take(count).collect();
            if !cursor.filter.is_everything() {
                cursor.ahead = found.iter().map(|sequence| sequence.0).collect();
            }
            found
        })
    }

    /// Goes on at `from`, which may be anywhere. Close by, it costs what lies in between.
    pub fn seek(&self, from: Sequence) {
        self.with(|state, cursor| {
            let to = from.0.max(1);
            let (position, looked) = (cursor.position, cursor.looked.max(cursor.position));
            let between = |from: u64, to: u64| {
                if from < to { state.index.count_between(&cursor.filter, from, to - 1) } else { 0 }
            };
            cursor.pending = if to.abs_diff(position) > NEAR {
                state.index.count_matches(&cursor.filter, to)
            } else if to >= position {
                cursor.pending.saturating_sub(between(looked, to))
            } else {
                cursor.pending + between(to, position)
            };
            cursor.position = to;
            if to < position {
                cursor.ahead.clear();
            }
            cursor.looked = if to >= position { looked } else { 0 };
        });
    }

    /// Whether the filter lets a subject through.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|pattern| subject::matches(pattern, subject))
    }

    /// Whether the filter lets the message of a sequence through; `None` if it is gone.
    #[must_use]
    pub fn matches_sequence(&self, sequence: Sequence) -> Option<bool> {
        self.with(|state, cursor| Some(cursor.filter.contains(state.index.get(sequence.0)?.subject)))
    }

    /// What is known of a message without reading it; `None` if it is gone. `pending` is counted anew.
    #[must_use]
    pub fn known(&self, sequence: Sequence) -> Option<Delivery> {
        self.with(|state, cursor| {
            let entry = state.index.get(sequence.0)?;
            let pending = state.index.count_matches(&cursor.filter, sequence.0 + 1);
            Some(Delivery { sequence, time: time(entry.time), bytes: entry.bytes, pending })
        })
    }

    /// The last message of each subject that the filter lets through, in the order of sequences, up to `up_to`
    /// (JetStream: deliver policy last per subject).
    #[must_use]
    pub fn last_per_subject(&self, up_to: Sequence) -> Vec<Sequence> {
        self.with(|state, cursor| state.last_of_each(&cursor.filter, up_to.0))
    }

    /// The last message that the filter lets through.
    #[must_use]
    pub fn last(&self) -> Option<Sequence> {
        self.with(|state, cursor| state.index.previous_match(&cursor.filter, u64::MAX).map(Sequence))
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut state = self.stream.core().lock();
        state.cursors[self.slot] = None;
        while state.cursors.last().is_some_and(Option::is_none) {
            state.cursors.pop();
        }
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({}, {:?})", self.stream.name(), self.subjects)
    }
}

fn time(nanos: u64) -> Nanos {
    Nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// The last message that may be seen and is indexed: a topic's log goes on while its index is asked.
fn known(state: &State) -> u64 {
    state.last_durable().min(state.index.last())
}

fn next(state: &State, cursor: &mut CursorState) -> Option<Delivery> {
    let (from, last) = (cursor.position.max(cursor.looked), known(state));
    while cursor.ahead.front().is_some_and(|ahead| *ahead < from || state.index.get(*ahead).is_none()) {
        cursor.ahead.pop_front();
    }
    let ahead = cursor.ahead.front().copied();
    let found = ahead.or_else(|| state.index.next_match(&cursor.filter, from, last));
    cursor.looked = found.unwrap_or(last + 1).max(from);
    let sequence = found?;
    let entry = state.index.get(sequence)?;
    // All that stands before it and behind the cursor doesn't match, so it is the first of those counted.
    let pending = cursor.pending.saturating_sub(1);
    Some(Delivery { sequence: Sequence(sequence), time: time(entry.time), bytes: entry.bytes, pending })
}

impl State {
    /// The last message up to `up_to` of each subject that the filter lets through, in the order of sequences.
    pub(super) fn last_of_each(&mut self, filter: &Filter, up_to: u64) -> Vec<Sequence> {
        let ids: Vec<_> = match filter.is_everything() {
            true => self.index.subjects.matching(">"),
            false => filter.numbers().collect(),
        };
        let mut found = Vec::with_capacity(ids.len());
        let mut later = Vec::new();
        for id in ids {
            match self.index.last_of(id) {
                Some(last) if last <= up_to => found.push(Sequence(last)),
                Some(_) => later.push(id),
                None => {}
            }
        }
        if !later.is_empty() {
            // Those were as of then older: one look backwards finds all that are wanted.
            let mut wanted: std::collections::HashSet<_> = later.into_iter().collect();
            for sequence in self.index.iter_live_back(up_to) {
                if let Some(entry) = self.index.get(sequence)
                    && wanted.remove(&entry.subject)
                {
                    found.push(Sequence(sequence));
                    if wanted.is_empty() {
                        break;
                    }
                }
            }
        }
        found.sort_unstable();
        found
    }
}
