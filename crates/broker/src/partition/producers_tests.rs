//! The producer window against a naive model that remembers every batch, and Kafka's rules one by one.

use duolog_record::{BatchBuilder, BatchHeader};
use proptest::prelude::*;

use super::*;

const NOW: TimestampMs = TimestampMs(1000);

/// The header of a batch of `count` records of producer `id`.
fn header(id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    let mut builder =
        BatchBuilder::new(Offset::ZERO).producer(ProducerId(id), ProducerEpoch(epoch), sequence);
    for _ in 0..count {
        builder.push(TimestampMs(5), None, Some(b"v")).unwrap();
    }
    BatchHeader::parse(&builder.build().unwrap()).unwrap()
}

/// A partition that appends what is judged to fit.
#[derive(Default)]
struct Partition {
    producers: Producers,
    end: Offset,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Appended(i64),
    Duplicate(i64),
    OutOfOrder { expected: i32 },
    Fenced { newest: i16 },
}

impl Partition {
    fn send(&mut self, header: &BatchHeader) -> Outcome {
        match self.producers.check(header) {
            Ok(Verdict::Append) => {
                let base_offset = self.end;
                self.producers.record(header, base_offset, Lsn(7), NOW);
                self.end = base_offset.plus(i64::from(header.record_count));
                Outcome::Appended(base_offset.0)
            }
            Ok(Verdict::Duplicate(sent)) => Outcome::Duplicate(sent.base_offset.0),
            Err(ProduceError::OutOfOrder { expected, .. }) => Outcome::OutOfOrder { expected },
            Err(ProduceError::Fenced { newest, .. }) => Outcome::Fenced { newest: newest.0 },
            Err(other) => panic!("not an error of the window: {other}"),
        }
    }
}

#[test]
fn window_follows_kafkas_rules() {
    let mut partition = Partition::default();
    let mut send = |id, epoch, sequence, count| partition.send(&header(id, epoch, sequence, count));
    // A producer that isn't known may begin anywhere.
    assert_eq!(send(1, 0, 40, 2), Outcome::Appended(0));
    assert_eq!(send(1, 0, 40, 2), Outcome::Duplicate(0));
    assert_eq!(send(1, 0, 40, 1), Outcome::OutOfOrder { expected: 42 }, "another range is no duplicate");
    assert_eq!(send(1, 0, 43, 1), Outcome::OutOfOrder { expected: 42 });
    for sequence in 42..46 {
        assert_eq!(send(1, 0, sequence, 1), Outcome::Appended(i64::from(sequence) - 40));
    }
    assert_eq!(send(1, 0, 40, 2), Outcome::Duplicate(0), "five batches are remembered");
    assert_eq!(send(1, 0, 46, 1), Outcome::Appended(6));
    assert_eq!(send(1, 0, 40, 2), Outcome::OutOfOrder { expected: 47 }, "and no more");
    // A new epoch begins with 0, and its old batches are no duplicates any more.
    assert_eq!(send(1, 1, 47, 1), Outcome::OutOfOrder { expected: 0 });
    assert_eq!(send(1, 1, 0, 1), Outcome::Appended(7));
    assert_eq!(send(1, 0, 46, 1), Outcome::Fenced { newest: 1 });
    assert_eq!(send(1, 1, 1, 1), Outcome::Appended(8));
    // Producers don't know of each other.
    assert_eq!(send(2, 0, 0, 1), Outcome::Appended(9));
}

#[test]
fn sequences_wrap_from_the_largest_to_zero() {
    let mut partition = Partition::default();
    assert_eq!(partition.send(&header(1, 0, i32::MAX - 1, 1)), Outcome::Appended(0));
    assert_eq!(partition.send(&header(1, 0, i32::MAX, 3)), Outcome::Appended(1), "wraps inside the batch");
    assert_eq!(partition.send(&header(1, 0, i32::MAX, 3)), Outcome::Duplicate(1));
    assert_eq!(partition.send(&header(1, 0, 3, 1)), Outcome::OutOfOrder { expected: 2 });
    assert_eq!(partition.send(&header(1, 0, 2, 1)), Outcome::Appended(4));
    let mut partition = Partition::default();
    partition.send(&header(1, 0, i32::MAX, 1));
    assert_eq!(partition.send(&header(1, 0, 0, 1)), Outcome::Appended(1), "wraps between batches");
}

#[test]
fn producers_expire_by_last_use() {
    let day = 86_400_000;
    let mut producers = Producers::default();
    producers.record(&header(1, 3, 10, 1), Offset(0), Lsn(1), TimestampMs(0));
    producers.record(&header(2, 0, 0, 1), Offset(1), Lsn(2), TimestampMs(0));
    producers.record(&header(1, 3, 11, 1), Offset(2), Lsn(3), TimestampMs(day / 2));

    producers.expire_one(ProducerId(1), TimestampMs(day), day);
    assert_eq!(producers.len(), 2, "1 was used half a day ago");
    assert_eq!(producers.expire(TimestampMs(day), day), 1, "2 was not");
    assert!(producers.check(&header(1, 3, 99, 1)).is_err());
    producers.expire_one(ProducerId(1), TimestampMs(day / 2 + day), day);
    assert!(matches!(producers.check(&header(1, 0, 99, 1)), Ok(Verdict::Append)), "forgotten: anything goes");
}

#[test]
fn a_flood_of_producers_pushes_the_oldest_out() {
    let mut producers = Producers::default();
    let header = header(0, 0, 0, 1);
    for id in 0..PRODUCERS_MAX as i64 + 1 {
        let header = BatchHeader { producer_id: ProducerId(id), ..header };
        producers.record(&header, Offset(id), Lsn(1), TimestampMs(id));
    }
    assert_eq!(producers.len(), PRODUCERS_MAX - PRODUCERS_MAX / 8 + 1);
    let oldest = producers.sorted()[0].0;
    assert_eq!(oldest, ProducerId(PRODUCERS_MAX as i64 / 8), "the newest and those before it are kept");
}

#[test]
fn a_replay_over_a_newer_snapshot_changes_nothing() {
    let mut live = Producers::default();
    let batches: Vec<_> =
        (0..9).map(|index| (header(index % 2, 0, index as i32 / 2, 1), Offset(index))).collect();
    for (header, offset) in &batches {
        live.record(header, *offset, Lsn::ZERO, NOW);
    }
    for included in 0..=batches.len() {
        let mut restored = Producers::default();
        for (header, offset) in &batches[..included] {
            restored.record(header, *offset, Lsn::ZERO, NOW);
        }
        for (header, offset) in &batches {
            restored.replay(header, *offset, NOW);
        }
        assert_eq!(restored, live, "snapshot after {included} batches");
    }
}

/// One batch that was appended, as the naive model remembers it.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    id: i64,
    epoch: i16,
    first: i32,
    last: i32,
    offset: i64,
}

/// Kafka's rules, said over the list of all batches ever appended.
fn naive(history: &[Remembered], header: &BatchHeader, end: i64) -> Outcome {
    let mine: Vec<_> = history.iter().filter(|sent| sent.id == header.producer_id.0).collect();
    let Some(newest) = mine.last() else { return Outcome::Appended(end) };
    let epoch = header.producer_epoch.0;
    let (first, last) = (header.base_sequence, header.last_sequence());
    let of_epoch: Vec<_> = mine.iter().rev().take_while(|sent| sent.epoch == epoch).take(WINDOW).collect();
    if let Some(sent) = of_epoch.iter().rev().find(|sent| (sent.first, sent.last) == (first, last)) {
        return Outcome::Duplicate(sent.offset);
    }
    if epoch < newest.epoch {
        return Outcome::Fenced { newest: newest.epoch };
    }
    let expected = match newest.epoch == epoch {
        true if newest.last == i32::MAX => 0,
        true => newest.last + 1,
        false => 0,
    };
    if first == expected { Outcome::Appended(end) } else { Outcome::OutOfOrder { expected } }
}

proptest! {
    /// What clients do: go on, repeat an old batch, skip, begin a new epoch or fall back to an old one, near the
    /// largest sequence.
    #[test]
    fn window_agrees_with_a_model_that_remembers_everything(
        steps in prop::collection::vec((0..2i64, 0..6u8, 0..7usize, 1..4i32), 1..60),
        start in prop_oneof![Just(0i32), Just(i32::MAX - 5)],
    ) {
        let mut partition = Partition::default();
        let mut history: Vec<Remembered> = Vec::new();
        for (id, kind, back, count) in steps {
            let mine: Vec<_> = history.iter().filter(|sent| sent.id == id).copied().collect();
            let next = |sent: &Remembered| increment_sequence(sent.last, 1);
            let header = match (mine.last(), kind) {
                (None, _) => header(id, 0, start, count),
                (Some(_), 0) => {
                    let sent = mine[mine.len().saturating_sub(back + 1)];
                    let range = i64::from(sent.last) - i64::from(sent.first);
                    let records = if range < 0 { range + (1 << 31) } else { range } + 1;
                    header(id, sent.epoch, sent.first, records as i32)
                }
                (Some(sent), 1) => header(id, sent.epoch, increment_sequence(next(sent), back as i32), count),
                (Some(sent), 2) => header(id, sent.epoch + 1, (back / 3) as i32, count),
                (Some(sent), 3) => header(id, (sent.epoch - 1).max(0), next(sent), count),
                (Some(sent), _) => header(id, sent.epoch, next(sent), count),
            };
            let end = partition.end.0;
            let expected = naive(&history, &header, end);
            let outcome = partition.send(&header);
            prop_assert_eq!(&outcome, &expected);
            if let Outcome::Appended(offset) = outcome {
                history.push(Remembered {
                    id,
                    epoch: header.producer_epoch.0,
                    first: header.base_sequence,
                    last: header.last_sequence(),
                    offset,
                });
            }
        }
    }
}
