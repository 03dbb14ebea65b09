//! Batches that lie: each is refused by name, whole, and without a panic.

mod common;

use bytes::Bytes;
use common::{HEADERS_END, read_all};
use duolog_record::{
    BatchBuilder, BatchError, BatchHeader, Compression, DecodeBudget, encode_header, rebuild,
    record_keys_and_timestamps, records, split, verify_crc,
};
use duolog_types::{Offset, TimestampMs};

/// A batch of `record_count` records by its header, whose records are the bytes given.
fn batch_of(record_bytes: &[u8], record_count: i32, codec: Compression) -> Bytes {
    let empty = BatchBuilder::new(Offset(0)).build().expect("builds");
    let header = BatchHeader {
        batch_length: (HEADERS_END - 12 + record_bytes.len()) as i32,
        attributes: i16::from(codec.code()),
        last_offset_delta: 9,
        record_count,
        base_timestamp: TimestampMs(1),
        ..BatchHeader::parse(&empty).expect("parses")
    };
    let mut batch = encode_header(&header).to_vec();
    batch.extend_from_slice(record_bytes);
    batch.into()
}

fn refusal(record_bytes: &[u8], record_count: i32) -> BatchError {
    let batch = batch_of(record_bytes, record_count, Compression::None);
    let error = read_all(&batch).expect_err("must be refused");
    // Whoever reads keys alone, or leaves records out, finds the same.
    let keys: Result<Vec<_>, _> =
        record_keys_and_timestamps(&batch, DecodeBudget::default()).expect("opens").collect();
    assert_eq!(keys.expect_err("must be refused"), error);
    assert_eq!(rebuild(&batch, DecodeBudget::default(), |_| true), Err(error.clone()));
    error
}

/// length 6: attributes, timestamp delta 0, offset delta 0, null key, null value, no headers
const RECORD_0: [u8; 7] = [12, 0, 0, 0, 1, 1, 0];
/// the same at offset delta 1
const RECORD_1: [u8; 7] = [12, 0, 0, 2, 1, 1, 0];

#[test]
fn the_smallest_records_are_read() {
    let batch = batch_of(&[RECORD_0, RECORD_1].concat(), 2, Compression::None);
    assert_eq!(read_all(&batch).map(|records| records.len()), Ok(2));
}

#[test]
fn counts_that_lie_are_refused() {
    assert_eq!(refusal(&RECORD_0, 2), BatchError::MissingRecords { counted: 2, found: 1 });
    assert_eq!(refusal(&RECORD_0, i32::MAX), BatchError::MissingRecords { counted: i32::MAX, found: 1 });
    assert_eq!(
        refusal(&[RECORD_0, RECORD_1].concat(), 1),
        BatchError::TrailingBytes { counted: 1, bytes: 7 }
    );
    assert_eq!(refusal(&RECORD_0, 0), BatchError::TrailingBytes { counted: 0, bytes: 7 });
}

#[test]
fn lengths_that_lie_are_refused() {
    let truncated = |position, needed, remaining| BatchError::RecordTruncated { position, needed, remaining };
    let bad = |field, position, value| BatchError::BadRecordLength { field, position, value };
    for (record, error) in [
        // The record is longer than the batch, or negative, or shorter or longer than its fields.
        (&[14, 0, 0, 0, 1, 1, 0][..], truncated(1, 7, 6)),
        (&[1, 0, 0, 0, 1, 1, 0], bad("record length", 0, -1)),
        (&[10, 0, 0, 0, 1, 1, 0], truncated(6, 1, 0)),
        (&[14, 0, 0, 0, 1, 1, 0, 0], BatchError::RecordTrailingBytes { position: 0, bytes: 1 }),
        // Key, value and headers reach past the record; less than null; more headers than bytes.
        (&[12, 0, 0, 0, 8, 1, 0], truncated(5, 4, 2)),
        (&[12, 0, 0, 0, 3, 1, 0], bad("key length", 4, -2)),
        (&[12, 0, 0, 0, 1, 4, 0], truncated(6, 2, 1)),
        (&[12, 0, 0, 0, 1, 3, 0], bad("value length", 5, -2)),
        (&[12, 0, 0, 0, 1, 1, 1], bad("header count", 6, -1)),
        (&[16, 0, 0, 0, 1, 1, 4, 0, 1], truncated(6, 4, 2)),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 1], bad("header key length", 7, -1)),
        (&[16, 0, 0, 0, 1, 1, 2, 0, 2], truncated(9, 1, 0)),
        (&[16, 0, 0, 0, 1, 1, 2, 0, 3], bad("header value length", 8, -2)),
        // Integers that never end.
        (&[0x80], truncated(1, 1, 0)),
        (&[0xff; 12], BatchError::MalformedVarint { position: 0 }),
    ] {
        assert_eq!(refusal(record, 1), error, "{record:?}");
    }
}

#[test]
fn offsets_outside_the_batch_or_not_rising_are_refused() {
    let bad = |delta, min| BatchError::BadOffsetDelta { delta, min, max: 9 };
    assert_eq!(refusal(&[12, 0, 0, 1, 1, 1, 0], 1), bad(-1, 0));
    assert_eq!(refusal(&[12, 0, 0, 20, 1, 1, 0], 1), bad(10, 0));
    assert_eq!(refusal(&[RECORD_0, RECORD_0].concat(), 2), bad(0, 1));
    assert_eq!(refusal(&[RECORD_1, RECORD_0].concat(), 2), bad(0, 2));
}

#[test]
fn timestamp_that_overflows_is_refused() {
    let mut record = vec![30, 0];
    record.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]); // i64::MAX
    record.extend([0, 1, 1, 0]);
    assert_eq!(refusal(&record, 1), BatchError::TimestampOverflow { base_timestamp: 1, delta: i64::MAX });
}

#[test]
fn header_table_stays_within_the_budget() {
    let mut builder = BatchBuilder::new(Offset(0));
    let headers: Vec<(&[u8], Option<&[u8]>)> = vec![(b"", None); 1_000];
    builder.push_with_headers(TimestampMs(0), None, None, &headers).expect("fits");
    let batch = builder.build().expect("builds");
    assert_eq!(read_all(&batch).expect("reads")[0].headers.len(), 1_000);
    let first = records(&batch, DecodeBudget::fixed(16 << 10)).expect("opens").next();
    let limit = (16 << 10) / size_of::<(Bytes, Option<Bytes>)>();
    assert_eq!(first, Some(Err(BatchError::TooManyHeaders { count: 1_000, limit })));
}

#[test]
fn batch_of_another_size_than_it_claims_is_refused() {
    let batch = batch_of(&RECORD_0, 1, Compression::None);
    let mut longer = batch.to_vec();
    longer.push(0);
    let mismatch = BatchError::LengthMismatch { claimed: 68, actual: 69 };
    assert_eq!(read_all(&longer.clone().into()), Err(mismatch.clone()));
    assert_eq!(verify_crc(&longer), Err(mismatch));
    let truncated = BatchError::Truncated { position: 0, needed: 68, remaining: 67 };
    assert_eq!(read_all(&batch.slice(..67)), Err(truncated.clone()));
    assert_eq!(verify_crc(&batch[..67]), Err(truncated));
    // A length behind a good batch that reaches past the end, named with its place.
    let mut lying = [batch.clone(), batch].concat();
    lying[68 + 8..68 + 12].copy_from_slice(&i32::MAX.to_be_bytes());
    let items: Vec<_> = split(&lying.into()).collect();
    let needed = 12 + i32::MAX as usize;
    assert!(items[0].is_ok());
    assert_eq!(items[1], Err(BatchError::Truncated { position: 68, needed, remaining: 68 }));
    assert_eq!(items.len(), 2);
}

#[test]
fn unknown_codecs_are_refused() {
    for code in 5..8 {
        let mut batch = batch_of(&RECORD_0, 1, Compression::None).to_vec();
        batch[22] = code;
        assert_eq!(read_all(&batch.into()), Err(BatchError::UnknownCompression { code }));
    }
}
