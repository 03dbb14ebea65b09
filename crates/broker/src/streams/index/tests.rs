//! The index against a list of messages that is looked through.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::codec::{Reader, Writer};
use crate::streams::subject;

#[derive(Clone, Debug)]
enum Op {
    Append { subject: u8, bytes: u32 },
    Skip(u64),
    Remove(prop::sample::Index),
    RemoveFirst,
    RemoveOfSubject(u8),
    Sweep,
    Restore,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..40u8, 1..5000u32).prop_map(|(subject, bytes)| Op::Append { subject, bytes }),
        1 => prop_oneof![1..5u64, 60_000..140_000u64].prop_map(Op::Skip),
        4 => any::<prop::sample::Index>().prop_map(Op::Remove),
        3 => Just(Op::RemoveFirst),
        2 => (0..40u8).prop_map(Op::RemoveOfSubject),
        1 => Just(Op::Sweep),
        1 => Just(Op::Restore),
    ]
}

fn name(subject: u8) -> String {
    format!("orders.{}.{}", ["eu", "us", "ap"][usize::from(subject % 3)], subject / 3)
}

#[derive(Clone, Debug, Default)]
struct Model {
    messages: BTreeMap<u64, (String, u32, u64)>,
    last: u64,
}

const PATTERNS: &[&[&str]] = &[
    &[],
    &["orders.>"],
    &["orders.eu.*"],
    &["orders.*.3"],
    &["orders.us.1", "orders.ap.>"],
    &["orders.eu.0"],
    &["nobody.>"],
];

impl Model {
    fn matching(&self, patterns: &[&str]) -> Vec<u64> {
        let lets =
            |subject: &str| patterns.is_empty() || patterns.iter().any(|p| subject::matches(p, subject));
        self.messages
            .iter()
            .filter(|(_, (subject, ..))| lets(subject))
            .map(|(sequence, _)| *sequence)
            .collect()
    }

    fn check(&self, index: &mut Index, filters: &[Filter], probes: &[u64]) {
        assert_eq!(index.messages(), self.messages.len() as u64);
        assert_eq!(index.bytes(), self.messages.values().map(|(_, bytes, _)| u64::from(*bytes)).sum::<u64>());
        assert_eq!(index.last(), self.last);
        assert_eq!(index.first(), self.messages.keys().next().copied().unwrap_or(self.last + 1));
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        self.messages.values().for_each(|(subject, ..)| *counts.entry(subject).or_default() += 1);
        assert_eq!(index.subjects.live(), counts.len());
        for (subject, count) in &counts {
            let id = index.subjects.find(subject).unwrap();
            assert_eq!(index.count_of(id), *count, "{subject}");
            let of: Vec<u64> = self.matching(&[subject]);
            assert_eq!(index.first_of(id), of.first().copied(), "{subject}");
            assert_eq!(index.last_of(id), of.last().copied(), "{subject}");
        }
        for (patterns, filter) in PATTERNS.iter().zip(filters) {
            let all = self.matching(patterns);
            for from in probes {
                let next = all.iter().find(|sequence| *sequence >= from).copied();
                assert_eq!(index.next_match(filter, *from, u64::MAX), next, "{patterns:?} from {from}");
                let before = all.iter().rev().find(|sequence| *sequence <= from).copied();
                assert_eq!(index.previous_match(filter, *from), before, "{patterns:?} up to {from}");
                let count = all.iter().filter(|sequence| *sequence >= from).count() as u64;
                assert_eq!(index.count_matches(filter, *from), count, "{patterns:?} from {from}");
            }
        }
        for from in probes {
            let entry = self.messages.get(from);
            let found =
                index.get(*from).map(|entry| (index.subjects.text(entry.subject), entry.bytes, entry.time));
            assert_eq!(found, entry.map(|(subject, bytes, time)| (subject.as_str(), *bytes, *time)));
        }
        if self.last < 1000 && !self.messages.is_empty() {
            let gone = (index.first()..=self.last).filter(|sequence| !self.messages.contains_key(sequence));
            assert_eq!(index.deleted(usize::MAX), gone.collect::<Vec<_>>());
        }
    }
}

fn restored(index: &Index, links: bool) -> Index {
    let mut again = Index::default();
    // Backwards: pieces come in any order.
    for piece in index.all_pieces().into_iter().rev() {
        let mut writer = Writer::new(1);
        piece.put(&mut writer);
        index.encode(piece, &mut writer);
        let bytes = writer.finish();
        let (mut reader, _) = Reader::new(&bytes, 1).unwrap();
        let piece = Piece::take(&mut reader).unwrap();
        again.restore(piece, &mut reader).unwrap();
        reader.finish().unwrap();
    }
    again.restored().unwrap();
    if links {
        again.keep_links();
    }
    again
}

fn filters(index: &mut Index) -> Vec<Filter> {
    let owned = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    PATTERNS.iter().map(|patterns| Filter::new(&owned(patterns), index)).collect()
}

proptest! {
    #[test]
    fn index_equals_a_list_of_messages(
        ops in prop::collection::vec(op(), 1..120),
        links in any::<bool>(),
        probes in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        let mut index = Index::starting_at(1);
        if links {
            index.keep_links();
        }
        let mut model = Model::default();
        let mut kept = filters(&mut index);
        for op in ops {
            match op {
                Op::Append { subject, bytes } => {
                    let (subject, sequence) = (name(subject), model.last + 1);
                    let time = 1_700_000_000_000_000_000 + sequence * 1_000_003;
                    let added = index.append(sequence, &subject, bytes, time);
                    if added.is_new {
                        kept.iter_mut().for_each(|filter| filter.assigned(added.subject, &subject));
                    }
                    model.messages.insert(sequence, (subject, bytes, time));
                    model.last = sequence;
                }
                Op::Skip(by) => {
                    model.last += by;
                    index.skip_to(model.last);
                }
                Op::Remove(which) if !model.messages.is_empty() => {
                    let sequence = *model.messages.keys().nth(which.index(model.messages.len())).unwrap();
                    model.messages.remove(&sequence);
                    prop_assert!(index.remove(sequence).is_some());
                    prop_assert!(index.remove(sequence).is_none());
                }
                Op::RemoveFirst => {
                    if let Some((sequence, _)) = model.messages.pop_first() {
                        prop_assert!(index.remove(sequence).is_some());
                    }
                }
                Op::RemoveOfSubject(subject) => {
                    if let Some(first) = model.matching(&[&name(subject)]).first() {
                        model.messages.remove(first);
                        prop_assert!(index.remove(*first).is_some());
                    }
                }
                Op::Sweep => {
                    for id in index.subjects.sweep() {
                        kept.iter_mut().for_each(|filter| filter.freed(id));
                    }
                }
                Op::Restore => {
                    index = restored(&index, links);
                    kept = filters(&mut index);
                }
                Op::Remove(_) => {}
            }
        }
        let span = model.last as usize + 2;
        let probes: Vec<u64> = probes.iter().map(|probe| probe.index(span) as u64).collect();
        model.check(&mut index, &kept, &probes);
        let fresh = filters(&mut index);
        model.check(&mut index, &fresh, &probes);
    }
}

#[test]
fn chunks_that_empty_go_and_those_with_few_left_shrink() {
    let mut index = Index::starting_at(1);
    let total = 3 * CHUNK + 10;
    for sequence in 1..=total {
        index.append(sequence, &name((sequence % 40) as u8), 100, 1_700_000_000_000_000_000 + sequence);
    }
    index.take_changed();
    for sequence in (1..=CHUNK).chain((CHUNK + 1..=2 * CHUNK).filter(|sequence| sequence % 100 != 0)) {
        index.remove(sequence).unwrap();
    }
    let (changed, gone) = index.take_changed();
    assert_eq!(gone, [Piece::Columns(0), Piece::Live(0)]);
    assert_eq!(changed, [Piece::Head, Piece::Columns(1), Piece::Live(1)]);
    let mut writer = Writer::new(1);
    index.encode(Piece::Columns(1), &mut writer);
    assert!(writer.finish().len() < 100_000, "three quarters of the rows aren't kept");
    assert_eq!(index.first(), (CHUNK + 1).next_multiple_of(100));
    let again = restored(&index, false);
    assert_eq!((again.messages(), again.bytes()), (index.messages(), index.bytes()));
    assert!(again.iter_live(1).eq(index.iter_live(1)));
    assert_eq!(again.get(2 * CHUNK + 7), index.get(2 * CHUNK + 7));
}

#[test]
fn since_finds_the_first_message_of_a_time() {
    let mut index = Index::starting_at(1);
    for sequence in 1..=CHUNK + 100 {
        index.append(sequence, "a", 1, sequence * 10);
    }
    index.remove(5).unwrap();
    for (time, expected) in [(0, Some(1)), (50, Some(6)), (55, Some(6)), (u64::MAX, None)] {
        assert_eq!(index.since(time), expected, "{time}");
    }
    assert_eq!(index.since((CHUNK + 3) * 10), Some(CHUNK + 3));
}

#[test]
fn subjects_take_less_than_a_hundred_bytes() {
    let mut dictionary = Dictionary::default();
    let count = 100_000;
    for n in 0..count {
        let (id, is_new) = dictionary.find_or_assign(&format!("orders.customer.{n:014}"));
        assert!(is_new);
        dictionary.added(id, n + 1);
    }
    dictionary.matching("orders.>");
    let bytes = dictionary.memory_bytes() / count as usize;
    assert!(bytes < 100, "{bytes} bytes for a subject of 30");
}
