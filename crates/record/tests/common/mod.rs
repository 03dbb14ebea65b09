//! What the tests of this crate share: records as plain values, their batches, and reading them back.
#![allow(dead_code, reason = "each test binary uses a part")]

use bytes::Bytes;
use duolog_record::{BatchBuilder, BatchError, Compression, DecodeBudget, Record, records};
use duolog_types::{Offset, TimestampMs};
use proptest::prelude::*;

pub const HEADERS_END: usize = 61;

/// A record as a producer would hand it over.
#[derive(Clone, Debug)]
pub struct Given {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

pub fn builder_of(given: &[Given], base_offset: i64, codec: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new(Offset(base_offset)).compression(codec);
    for record in given {
        let headers: Vec<_> = record.headers.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
        builder
            .push_with_headers(
                TimestampMs(record.timestamp),
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            )
            .expect("small records fit");
    }
    builder
}

pub fn expected(given: &[Given], base_offset: i64) -> Vec<Record> {
    let bytes = |bytes: &Vec<u8>| Bytes::copy_from_slice(bytes);
    given
        .iter()
        .enumerate()
        .map(|(index, record)| Record {
            offset: Offset(base_offset + index as i64),
            timestamp: TimestampMs(record.timestamp),
            key: record.key.as_ref().map(bytes),
            value: record.value.as_ref().map(bytes),
            headers: record.headers.iter().map(|(k, v)| (bytes(k), v.as_ref().map(bytes))).collect(),
        })
        .collect()
}

pub fn read_all(batch: &Bytes) -> Result<Vec<Record>, BatchError> {
    records(batch, DecodeBudget::default())?.collect()
}

pub fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.to_vec())
}

fn short_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        // Runs, so that the codecs have something to do.
        (any::<u8>(), 0_usize..2_000).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

pub fn given_record() -> impl Strategy<Value = Given> {
    // Few header keys, so that they often come twice.
    let header_key = proptest::sample::select(vec![b"".to_vec(), b"a".to_vec(), b"trace".to_vec()]);
    let header = (header_key, proptest::option::of(short_bytes()));
    (
        // Half of the 64 bits: the deltas of any two then fit too.
        -(1_i64 << 62)..(1_i64 << 62),
        proptest::option::of(short_bytes()),
        proptest::option::of(short_bytes()),
        proptest::collection::vec(header, 0..5),
    )
        .prop_map(|(timestamp, key, value, headers)| Given { timestamp, key, value, headers })
}

pub fn given_records() -> impl Strategy<Value = Vec<Given>> {
    proptest::collection::vec(given_record(), 1..12)
}
