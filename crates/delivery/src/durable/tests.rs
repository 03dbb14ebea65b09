use duolog_types::Sequence;
use proptest::prelude::*;

use super::{Change, DecodeError, InFlightState, Record, State};
use crate::window::Position;

fn position() -> impl Strategy<Value = Position> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(number, sequence)| Position { number, sequence: Sequence(sequence) })
}

fn state() -> impl Strategy<Value = State> {
    let sequences = || prop::collection::btree_map(1..u64::MAX, (1..u64::MAX, any::<u32>()), 0..8);
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, position(), position(), sequences(), sequences(), sequences()).prop_map(
        |((next, next_number, reserved_end), delivered, floor, in_flight, exhausted, first)| State {
            next: Sequence(next),
            next_number,
            reserved_end,
            delivered,
            floor,
            in_flight: in_flight
                .into_iter()
                .map(|(sequence, (number, count))| InFlightState {
                    sequence: Sequence(sequence),
                    number,
                    count,
                })
                .collect(),
            exhausted: exhausted
                .into_iter()
                .map(|(sequence, (_, count))| (Sequence(sequence), count))
                .collect(),
            first: first.into_keys().map(Sequence).collect(),
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let sequence = || any::<u64>().prop_map(Sequence);
    prop_oneof![
        state().prop_map(|state| Change::Whole(Box::new(state))),
        (sequence(), any::<u64>(), any::<u32>()).prop_map(|(sequence, number, count)| Change::Delivered {
            sequence,
            number,
            count
        }),
        sequence().prop_map(|sequence| Change::Settled { sequence }),
        position().prop_map(|position| Change::SettledThrough { position }),
        sequence().prop_map(|sequence| Change::Exhausted { sequence }),
        sequence().prop_map(|sequence| Change::NotDelivered { sequence }),
        sequence().prop_map(|below| Change::Trimmed { below }),
        any::<u64>().prop_map(|end| Change::Reserved { end }),
    ]
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was(changes in prop::collection::vec(change(), 1..6)) {
        let record = Record { changes };
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_cut_record_is_refused_or_a_prefix(changes in prop::collection::vec(change(), 1..4), cut in any::<prop::sample::Index>()) {
        let record = Record { changes };
        let bytes = record.encode();
        if let Ok(read) = Record::decode(&bytes[..cut.index(bytes.len())]) {
            prop_assert_eq!(&read.changes[..], &record.changes[..read.changes.len()]);
        }
    }

    #[test]
    fn foreign_bytes_are_an_error_or_a_record(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = Record::decode(&bytes);
    }
}

#[test]
fn the_byte_form_is_as_drawn() {
    let record = Record {
        changes: vec![
            Change::Delivered { sequence: Sequence(300), number: 7, count: 2 },
            Change::Settled { sequence: Sequence(3) },
            Change::Reserved { end: 128 },
        ],
    };
    assert_eq!(&record.encode()[..], &[1, 2, 0xac, 2, 7, 2, 3, 3, 8, 0x80, 1]);
}

#[test]
fn what_is_no_record_is_named() {
    assert_eq!(Record::decode(&[]), Err(DecodeError::Truncated));
    assert_eq!(Record::decode(&[2]), Err(DecodeError::Version { version: 2 }));
    assert_eq!(Record::decode(&[1, 99]), Err(DecodeError::Kind { kind: 99 }));
    assert_eq!(Record::decode(&[1, 3, 0x80]), Err(DecodeError::Truncated));
    let too_large = [&[1, 3][..], &[0xff; 9], &[2]].concat();
    assert_eq!(Record::decode(&too_large), Err(DecodeError::Number));
    // A state whose list claims two in flight at the same sequence.
    let twice = [1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 5, 1, 1, 0, 2, 1, 0, 0];
    assert_eq!(Record::decode(&twice), Err(DecodeError::Order { sequence: Sequence(5) }));
}
