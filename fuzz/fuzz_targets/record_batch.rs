//! Any bytes, walked as batches and read every way there is: no panic; and what is read can be written again.
#![no_main]

use bytes::Bytes;
use duolog_record::{
    BatchBuilder, BatchHeader, Compression, DecodeBudget, Record, empty_batch, encode_header,
    patch_log_append_time, rebuild, record_keys_and_timestamps, records, split, verify_crc,
};
use duolog_types::TimestampMs;
use libfuzzer_sys::fuzz_target;

const BUDGET: DecodeBudget = DecodeBudget { max_bytes: 1 << 20, floor_bytes: 64 << 10, ratio: 200 };

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = verify_crc(&bytes);
    for item in split(&bytes) {
        let Ok((header, batch)) = item else { return };
        assert_eq!(encode_header(&header)[..], batch[..61]);
        assert_eq!(batch.len(), header.size_bytes());
        read_batch(&header, &batch);
    }
});

fn read_batch(header: &BatchHeader, batch: &Bytes) {
    let read: Result<Vec<Record>, _> = match records(batch, BUDGET) {
        Ok(records) => records.collect(),
        Err(error) => Err(error),
    };
    let keys = record_keys_and_timestamps(batch, BUDGET).map(|keys| keys.filter(Result::is_ok).count());
    let empty = empty_batch(header);
    verify_crc(&empty).expect("an empty batch is valid");
    let kept_half = rebuild(batch, BUDGET, |record| record.offset.0 % 2 == 0);
    let Ok(read) = read else {
        assert!(kept_half.is_err(), "what can't be read can't be rebuilt");
        return;
    };

    assert_eq!(read.len(), header.record_count as usize);
    assert_eq!(keys, Ok(read.len()));
    assert!(read.is_sorted_by(|a, b| a.offset < b.offset));
    let half: Vec<_> = read.iter().filter(|record| record.offset.0 % 2 == 0).cloned().collect();
    assert_same(&kept_half.expect("what can be read can be rebuilt"), &half, batch);
    let mut patched = batch.to_vec();
    patch_log_append_time(&mut patched, TimestampMs(7));
    verify_crc(&patched).expect("a patched batch is valid");
    write_again(header, &read);
}

/// `rebuilt` holds just `want`; it is `batch` itself, whose checksum nobody vouched for, if nothing was left out.
fn assert_same(rebuilt: &Bytes, want: &[Record], batch: &Bytes) {
    if rebuilt != batch {
        verify_crc(rebuilt).expect("a rebuilt batch is valid");
    }
    // Kept records may compress worse than the budget's ratio allows for: this one is fixed.
    let read: Result<Vec<_>, _> = records(rebuilt, DecodeBudget::fixed(2 << 20)).expect("opens").collect();
    assert_eq!(read.expect("reads"), want);
}

fn write_again(header: &BatchHeader, read: &[Record]) {
    let mut builder = BatchBuilder::new(header.base_offset).compression(Compression::None);
    for record in read {
        // Timestamps may be too far apart to be told by deltas from the first one.
        if builder.push_record(record).is_err() {
            return;
        }
    }
    let batch = builder.build().expect("builds");
    verify_crc(&batch).expect("a built batch is valid");
    // Headers are bounded by the budget, and uncompressed records are not: this one has room for all.
    let again: Result<Vec<_>, _> = records(&batch, DecodeBudget::fixed(256 << 20)).expect("opens").collect();
    assert_eq!(again.expect("reads"), read);
}
