//! Bombs, lies and noise: no codec gives or takes more than its budget, and none panics.
//!
//! One test binary with one test, because it measures the peak of everything that the process allocates.

mod common;

use bytes::Bytes;
use common::{builder_of, codec, given_records};
use duolog_record::{
    BatchBuilder, BatchError, BatchHeader, Compression, DecodeBudget, compress, decompress, encode_header,
    record_keys_and_timestamps, records, split, verify_crc,
};
use duolog_types::{Offset, TimestampMs};
use peak_alloc::PeakAlloc;
use proptest::test_runner::{Config, TestRunner};
use proptest::{prelude::*, sample::Index};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What a codec's own state may take beside its output: flate2's window and tables, error texts.
const STATE_BYTES_MAX: usize = 192 << 10;

const COMPRESSED: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Runs `act` and says by how much the process outgrew what it had before.
fn peak_of<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = act();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

/// A buffer at the limit may stand beside the smaller one that it replaces, until the bytes are moved.
fn allowed(limit: usize) -> usize {
    limit * 2 + STATE_BYTES_MAX
}

#[test]
fn decompression_stays_within_its_budget() {
    honest_data_is_read_up_to_the_very_limit();
    bombs_are_refused_at_the_limit();
    frames_that_ask_for_much_get_little();
    batches_that_are_bombs_are_refused_by_the_default_budget();
    proptest_noise(noise_neither_panics_nor_outgrows);
    proptest_noise(damaged_batches_neither_panic_nor_outgrow);
}

fn honest_data_is_read_up_to_the_very_limit() {
    for size in [0, 1, 1000, 16 << 10, (64 << 10) + 1, 300_000] {
        let plain: Vec<u8> = (0..size).map(|index| (index / 100 * 7 % 251) as u8).collect();
        for codec in Compression::ALL {
            let packed = compress(codec, &plain).expect("compresses");
            assert_eq!(decompress(codec, &packed, size), Ok(plain.clone()), "{codec}, {size} bytes");
            if size > 0 {
                assert_eq!(
                    decompress(codec, &packed, size - 1),
                    Err(BatchError::DecompressionTooLarge { limit: size - 1 }),
                    "{codec}, {size} bytes"
                );
            }
        }
    }
}

fn bombs_are_refused_at_the_limit() {
    let limit = 1 << 20;
    for codec in COMPRESSED {
        let bomb = compress(codec, &vec![0; 256 << 20]).expect("compresses");
        let (result, peak) = peak_of(|| decompress(codec, &bomb, limit));
        assert_eq!(result, Err(BatchError::DecompressionTooLarge { limit }), "{codec}");
        assert!(peak <= allowed(limit), "{codec}: {peak} bytes at the peak for a limit of {limit}");
    }
}

/// Buffers and windows that a frame claims and has no use for.
fn frames_that_ask_for_much_get_little() {
    let limit = 64 << 20;
    // lz4: linked blocks of up to 4 MiB, and one that decodes to nothing.
    let lz4 = [0x04, 0x22, 0x4d, 0x18, 0x40, 0x70, 0xdf, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    // zstd: a window of 2 GiB and no size, then one empty last block.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    for (codec, frame) in [(Compression::Lz4, &lz4[..]), (Compression::Zstd, &zstd)] {
        let (result, peak) = peak_of(|| decompress(codec, frame, limit));
        assert_eq!(result, Ok(vec![]), "{codec}");
        assert!(peak <= STATE_BYTES_MAX, "{codec}: {peak} bytes at the peak");
    }
    // snappy: one byte more than allowed, by the first bytes of a bare block.
    let (result, peak) = peak_of(|| decompress(Compression::Snappy, &[0x81, 0x80, 0x80, 0x20, 0], limit));
    assert_eq!(result, Err(BatchError::DecompressionTooLarge { limit }));
    assert!(peak <= STATE_BYTES_MAX, "snappy: {peak} bytes at the peak");
}

fn batches_that_are_bombs_are_refused_by_the_default_budget() {
    let budget = DecodeBudget::default();
    assert_eq!(budget.limit_for(10), 1 << 20);
    assert_eq!(budget.limit_for(100_000), 20_000_000);
    assert_eq!(budget.limit_for(1 << 20), 64 << 20);
    for codec in COMPRESSED {
        let mut builder = BatchBuilder::new(Offset(0)).compression(codec);
        builder.push(TimestampMs(0), None, Some(&vec![0; 100 << 20])).expect("fits");
        let batch = builder.build().expect("builds");
        let limit = budget.limit_for(batch.len() - 61);
        let (result, peak) = peak_of(|| records(&batch, budget).map(|_| ()));
        assert_eq!(result, Err(BatchError::DecompressionTooLarge { limit }), "{codec}");
        assert!(peak <= allowed(limit), "{codec}: {peak} bytes at the peak for a limit of {limit}");
    }
}

fn proptest_noise(case: fn(&mut TestRunner)) {
    case(&mut TestRunner::new(Config { cases: 2_000, failure_persistence: None, ..Config::default() }));
}

/// Reads `bytes` every way there is; only the peak is of interest.
fn read_every_way(bytes: &Bytes) {
    let _ = verify_crc(bytes);
    for item in split(bytes) {
        let Ok((_, batch)) = item else { continue };
        if let Ok(records) = records(&batch, DecodeBudget::default()) {
            records.for_each(drop);
        }
        if let Ok(keys) = record_keys_and_timestamps(&batch, DecodeBudget::default()) {
            keys.for_each(drop);
        }
    }
}

fn noise_neither_panics_nor_outgrows(runner: &mut TestRunner) {
    // Noise behind the magic of each format, in a header that says so, gets past the first checks.
    let magics = proptest::sample::select(vec![
        &b""[..],
        b"\x1f\x8b\x08\x00",
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01",
        b"\x04\x22\x4d\x18\x60\x40\x82",
        b"\x28\xb5\x2f\xfd",
    ]);
    let noise = (magics, proptest::collection::vec(any::<u8>(), 0..400), codec(), 0..5_i32);
    runner
        .run(&noise, |(magic, noise, codec, record_count)| {
            let body = [magic, &noise].concat();
            let empty = BatchBuilder::new(Offset(0)).build().expect("builds");
            let header = BatchHeader {
                batch_length: 49 + body.len() as i32,
                attributes: i16::from(codec.code()),
                record_count,
                ..BatchHeader::parse(&empty).expect("parses")
            };
            let batch = Bytes::from([&encode_header(&header)[..], &body].concat());
            let noise = Bytes::from(noise);
            let ((), peak) = peak_of(|| {
                read_every_way(&batch);
                read_every_way(&noise);
            });
            prop_assert!(peak <= allowed(1 << 20), "{} bytes at the peak", peak);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn damaged_batches_neither_panic_nor_outgrow(runner: &mut TestRunner) {
    let damage = proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4);
    runner
        .run(&(given_records(), codec(), damage), |(given, codec, damage)| {
            let mut batch = builder_of(&given, 0, codec).build().expect("builds").to_vec();
            for (place, byte) in damage {
                let at = place.index(batch.len());
                batch[at] = byte;
            }
            let batch = Bytes::from(batch);
            let limit = DecodeBudget::default().limit_for(batch.len());
            let ((), peak) = peak_of(|| read_every_way(&batch));
            prop_assert!(peak <= allowed(limit), "{} bytes at the peak", peak);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
