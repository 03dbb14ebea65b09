//! What is built is read back; what is patched stays valid; what is flipped is noticed.

mod common;

use bytes::{Bytes, BytesMut};
use common::{HEADERS_END, builder_of, codec, expected, given_records, read_all};
use duolog_record::{
    BatchBuilder, BatchError, BatchHeader, Compression, ControlBatch, ControlKind, ControlRecord,
    DecodeBudget, Record, TimestampType, control_batch, empty_batch, empty_range, encode_header,
    patch_base_offset, patch_leader_epoch, patch_log_append_time, rebuild, record_keys_and_timestamps,
    records, split, verify_crc,
};
use duolog_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use proptest::prelude::*;

proptest! {
    #[test]
    fn records_are_read_back_as_they_were_pushed(
        given in given_records(), base in 0_i64..1 << 40, codec in codec(),
    ) {
        let builder = builder_of(&given, base, codec);
        let size_bytes = builder.size_bytes();
        let batch = builder.build().expect("builds");
        let header = BatchHeader::parse_whole(&batch).expect("parses");

        verify_crc(&batch).expect("crc is valid");
        prop_assert_eq!(read_all(&batch), Ok(expected(&given, base)));
        prop_assert_eq!(header.compression(), Ok(codec));
        prop_assert_eq!(header.record_count as usize, given.len());
        prop_assert_eq!(header.next_offset(), Offset(base + given.len() as i64));
        prop_assert_eq!(header.base_timestamp.0, given[0].timestamp);
        let max = given.iter().map(|record| record.timestamp).max();
        prop_assert_eq!(Some(header.max_timestamp.0), max);
        prop_assert_eq!(&encode_header(&header)[..], &batch[..HEADERS_END]);
        if codec == Compression::None {
            prop_assert_eq!(size_bytes, batch.len());
        }
    }

    #[test]
    fn keys_alone_agree_with_whole_records(given in given_records(), codec in codec()) {
        let batch = builder_of(&given, 3, codec).build().expect("builds");
        let keys: Result<Vec<_>, _> =
            record_keys_and_timestamps(&batch, DecodeBudget::default()).expect("opens").collect();
        let keys = keys.expect("reads");
        let whole = read_all(&batch).expect("reads");
        prop_assert_eq!(keys.len(), whole.len());
        for (key, record) in keys.iter().zip(&whole) {
            prop_assert_eq!((key.offset, key.timestamp), (record.offset, record.timestamp));
            prop_assert_eq!(&key.key, &record.key);
            prop_assert_eq!(key.is_tombstone, record.value.is_none());
        }
        let uncompressed = builder_of(&given, 3, Compression::None).size_bytes();
        prop_assert_eq!(keys.iter().map(|key| key.size_bytes).sum::<usize>(), uncompressed - HEADERS_END);
    }

    #[test]
    fn what_is_passed_over_leaves_the_rest_as_it_is(given in given_records(), codec in codec(), below in 0_i64..40) {
        let batch = builder_of(&given, 3, codec).build().expect("builds");
        let mut rest = records(&batch, DecodeBudget::default()).expect("opens");
        rest.skip_below(Offset(below));
        let rest: Vec<Record> = rest.map(|record| record.expect("reads")).collect();
        let whole = read_all(&batch).expect("reads").into_iter();
        prop_assert_eq!(rest, whole.filter(|record| record.offset >= Offset(below)).collect::<Vec<_>>());
    }

    #[test]
    fn patches_keep_the_crc_valid(given in given_records(), codec in codec(), base in 0_i64..1 << 60) {
        let batch = builder_of(&given, 0, codec).build().expect("builds");
        let mut patched = BytesMut::from(&batch[..]);
        patch_base_offset(&mut patched, Offset(base));
        patch_leader_epoch(&mut patched, LeaderEpoch(17));
        verify_crc(&patched).expect("both are outside the checksum");
        let after = BatchHeader::parse(&patched).expect("parses");
        let before = BatchHeader::parse(&batch).expect("parses");
        let want = BatchHeader { base_offset: Offset(base), partition_leader_epoch: 17, ..before };
        prop_assert_eq!(after, want);
        prop_assert_eq!(read_all(&patched.clone().freeze()), Ok(expected(&given, base)));

        patch_log_append_time(&mut patched, TimestampMs(99));
        verify_crc(&patched).expect("crc is renewed");
        let after = BatchHeader::parse(&patched).expect("parses");
        prop_assert_eq!(after.timestamp_type(), TimestampType::LogAppendTime);
        prop_assert_eq!(after.compression(), Ok(codec));
        let read = read_all(&patched.freeze()).expect("reads");
        prop_assert!(read.iter().all(|record| record.timestamp == TimestampMs(99)));
    }

    #[test]
    fn a_flipped_bit_behind_the_crc_is_noticed(
        given in given_records(), codec in codec(),
        place in any::<proptest::sample::Index>(), bit in 0_u32..8,
    ) {
        let batch = builder_of(&given, 0, codec).build().expect("builds");
        let mut flipped = batch.to_vec();
        let at = 21 + place.index(batch.len() - 21);
        flipped[at] ^= 1_u8 << bit;
        prop_assert!(verify_crc(&flipped).is_err(), "flip of byte {} is not noticed", at);
    }

    #[test]
    fn split_gives_each_batch_and_names_a_truncated_one(
        batches in proptest::collection::vec(given_records(), 1..4), codec in codec(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let batches: Vec<Bytes> =
            batches.iter().map(|given| builder_of(given, 0, codec).build().expect("builds")).collect();
        let all = Bytes::from(batches.concat());
        let found: Result<Vec<_>, _> = split(&all).map(|item| item.map(|(_, batch)| batch)).collect();
        prop_assert_eq!(found.as_ref(), Ok(&batches));

        let cut = cut.index(all.len());
        let mut position = 0;
        let mut whole = 0;
        while position + batches[whole].len() <= cut {
            position += batches[whole].len();
            whole += 1;
        }
        let items: Vec<_> = split(&all.slice(..cut)).collect();
        prop_assert!(items[..whole].iter().all(Result::is_ok));
        if cut > position {
            let remaining = cut - position;
            let needed = if remaining < HEADERS_END { HEADERS_END } else { batches[whole].len() };
            prop_assert_eq!(items.len(), whole + 1);
            prop_assert_eq!(
                items[whole].as_ref().err(),
                Some(&BatchError::Truncated { position, needed, remaining })
            );
        } else {
            prop_assert_eq!(items.len(), whole);
        }
    }

    #[test]
    fn rebuild_keeps_what_is_alive_and_the_range(
        given in given_records(), codec in codec(), alive in proptest::collection::vec(any::<bool>(), 12),
    ) {
        let batch = builder_of(&given, 40, codec)
            .producer(ProducerId(5), ProducerEpoch(1), 70)
            .transactional()
            .build()
            .expect("builds");
        let is_alive = |record: &Record| alive[(record.offset.0 - 40) as usize];
        let rebuilt = rebuild(&batch, DecodeBudget::default(), is_alive).expect("rebuilds");
        let want: Vec<_> = expected(&given, 40).into_iter().filter(is_alive).collect();

        verify_crc(&rebuilt).expect("crc is renewed");
        prop_assert_eq!(read_all(&rebuilt), Ok(want.clone()));
        let before = BatchHeader::parse(&batch).expect("parses");
        let after = BatchHeader::parse(&rebuilt).expect("parses");
        prop_assert_eq!(
            (after.base_offset, after.last_offset(), after.base_sequence, after.last_sequence()),
            (before.base_offset, before.last_offset(), before.base_sequence, before.last_sequence())
        );
        prop_assert_eq!((after.producer_id, after.producer_epoch), (ProducerId(5), ProducerEpoch(1)));
        prop_assert!(after.is_transactional());
        let max = want.iter().map(|record| record.timestamp).max().unwrap_or(before.max_timestamp);
        prop_assert_eq!(after.max_timestamp, max);
        if want.len() == given.len() {
            prop_assert_eq!(rebuilt, batch);
        }
    }
}

#[test]
fn empty_batch_keeps_the_range_and_the_producer() {
    let mut builder = BatchBuilder::new(Offset(10))
        .compression(Compression::Lz4)
        .producer(ProducerId(8), ProducerEpoch(2), i32::MAX)
        .transactional();
    builder.push(TimestampMs(5), None, Some(b"x")).expect("fits");
    builder.push(TimestampMs(9), None, Some(b"y")).expect("fits");
    let of = BatchHeader::parse(&builder.build().expect("builds")).expect("parses");

    let empty = empty_batch(&of);
    verify_crc(&empty).expect("crc is valid");
    assert_eq!(read_all(&empty), Ok(vec![]));
    let header = BatchHeader::parse_whole(&empty).expect("parses");
    assert_eq!((header.base_offset, header.last_offset()), (Offset(10), Offset(11)));
    assert_eq!((header.base_sequence, header.last_sequence()), (i32::MAX, 0));
    assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(8), ProducerEpoch(2)));
    assert_eq!((header.base_timestamp, header.max_timestamp), (TimestampMs(9), TimestampMs(9)));
    assert_eq!((header.record_count, header.compression()), (0, Ok(Compression::None)));
    assert!(header.is_transactional());
}

#[test]
fn empty_range_covers_its_offsets_or_refuses() {
    let batch = empty_range(Offset(100), Offset(250), TimestampMs(7)).expect("fits");
    verify_crc(&batch).expect("crc is valid");
    let header = BatchHeader::parse_whole(&batch).expect("parses");
    assert_eq!((header.base_offset, header.next_offset()), (Offset(100), Offset(251)));
    assert_eq!(read_all(&batch), Ok(vec![]));

    for (base, last) in [(5, 4), (0, 1 << 31), (i64::MIN, i64::MAX)] {
        let refused = empty_range(Offset(base), Offset(last), TimestampMs(7));
        assert!(matches!(refused, Err(BatchError::OffsetOverflow { .. })), "{base}..={last}: {refused:?}");
    }
}

#[test]
fn control_batch_is_one_marker() {
    for kind in [ControlKind::Abort, ControlKind::Commit] {
        let marker = ControlBatch {
            kind,
            coordinator_epoch: 6,
            producer_id: ProducerId(1000),
            producer_epoch: ProducerEpoch(3),
            timestamp: TimestampMs(123),
            offset: Offset(55),
        };
        let batch = control_batch(&marker);
        verify_crc(&batch).expect("crc is valid");
        let header = BatchHeader::parse_whole(&batch).expect("parses");
        assert!(header.is_control() && header.is_transactional());
        assert_eq!((header.base_sequence, header.last_offset()), (-1, Offset(55)));
        assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(1000), ProducerEpoch(3)));
        let read = read_all(&batch).expect("reads");
        assert_eq!(read.len(), 1);
        assert_eq!(ControlRecord::parse(&read[0]), Ok(ControlRecord { kind, coordinator_epoch: 6 }));
    }
}

#[test]
fn control_record_of_another_type_is_refused() {
    let refused = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| {
        let record = Record {
            offset: Offset(0),
            timestamp: TimestampMs(0),
            key: key.map(Bytes::from_static),
            value: value.map(Bytes::from_static),
            headers: vec![],
        };
        ControlRecord::parse(&record).expect_err("must be refused")
    };
    let unknown = |kind, version| BatchError::UnknownControlRecord { kind, version };
    assert_eq!(refused(None, Some(&[0; 6])), unknown(-1, -1));
    assert_eq!(refused(Some(&[0; 3]), Some(&[0; 6])), unknown(-1, -1));
    assert_eq!(refused(Some(&[0, 0, 0, 2]), Some(&[0; 6])), unknown(2, 0));
    assert_eq!(refused(Some(&[0xff, 0xff, 0, 1]), Some(&[0; 6])), unknown(1, -1));
    assert_eq!(refused(Some(&[0, 0, 0, 1]), Some(&[0; 5])), unknown(1, -1));
}

#[test]
fn push_record_keeps_gaps_and_refuses_to_go_back() {
    let record = |offset| Record {
        offset: Offset(offset),
        timestamp: TimestampMs(1),
        key: None,
        value: None,
        headers: vec![(Bytes::from_static(b"h"), None)],
    };
    let mut builder = BatchBuilder::new(Offset(10));
    builder.push_record(&record(12)).expect("a gap in front");
    builder.push_record(&record(15)).expect("a gap in between");
    assert_eq!(
        builder.push_record(&record(15)),
        Err(BatchError::BadOffsetDelta { delta: 5, min: 6, max: i64::from(i32::MAX) })
    );
    assert_eq!(
        builder.push_record(&record(1 << 40)),
        Err(BatchError::OffsetOverflow { base_offset: 10, delta: (1 << 40) - 10 })
    );
    assert_eq!(builder.next_offset(), Offset(16));
    let batch = builder.build().expect("builds");
    assert_eq!(read_all(&batch), Ok(vec![record(12), record(15)]));
    assert_eq!(BatchHeader::parse(&batch).expect("parses").base_offset, Offset(10));
}
