//! Forms of compressed data that our own writer doesn't choose, and others do.

use std::io::Write;

use duolog_record::{BatchError, Compression, compress, decompress};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

const LIMIT: usize = 8 << 20;

/// 300 kB that refer back both near and far, with parts that don't compress.
fn plain() -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes = Vec::new();
    while bytes.len() < 300_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state & 0x8000 == 0 {
            bytes.extend_from_slice(&state.to_be_bytes());
        } else {
            let back = 1 + (state >> 16) as usize % 65_000;
            let start = bytes.len().saturating_sub(back);
            let copied = bytes[start..(start + 40).min(bytes.len())].to_vec();
            bytes.extend_from_slice(&copied);
        }
    }
    bytes
}

fn reads_as_plain(codec: Compression, packed: &[u8]) {
    assert_eq!(decompress(codec, packed, LIMIT), Ok(plain()), "{codec}");
}

#[test]
fn lz4_frames_of_every_kind() {
    let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
    for block_size in sizes {
        for block_mode in [BlockMode::Independent, BlockMode::Linked] {
            for checksums in [false, true] {
                let frame = FrameInfo::new()
                    .block_size(block_size)
                    .block_mode(block_mode)
                    .block_checksums(checksums)
                    .content_checksum(checksums)
                    .content_size(checksums.then_some(plain().len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
                encoder.write_all(&plain()).expect("compresses");
                let packed = encoder.finish().expect("compresses");
                reads_as_plain(Compression::Lz4, &packed);

                // With checksums, any flip is noticed; without, the frame's end still is.
                let mut damaged = packed.clone();
                let middle = packed.len() / 2;
                damaged[middle] ^= 1;
                if checksums {
                    assert!(decompress(Compression::Lz4, &damaged, LIMIT).is_err());
                }
                assert!(decompress(Compression::Lz4, &packed[..packed.len() - 1], LIMIT).is_err());
            }
        }
    }
}

#[test]
fn bare_snappy_block() {
    let packed = snap::raw::Encoder::new().compress_vec(&plain()).expect("compresses");
    reads_as_plain(Compression::Snappy, &packed);
}

#[test]
fn zstd_without_its_size() {
    let packed = zstd::encode_all(&plain()[..], 3).expect("compresses");
    assert!(matches!(zstd::zstd_safe::get_frame_content_size(&packed), Ok(None)), "a stream has no size");
    reads_as_plain(Compression::Zstd, &packed);
    // Well compressed, so that the first guesses at the size are too small.
    let zeros = vec![0; 5 << 20];
    let packed = zstd::encode_all(&zeros[..], 3).expect("compresses");
    assert_eq!(decompress(Compression::Zstd, &packed, LIMIT), Ok(zeros));
}

#[test]
fn several_frames_are_one_payload() {
    let plain = plain();
    let (first, second) = plain.split_at(100_000);
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let both =
            [compress(codec, first).expect("compresses"), compress(codec, second).expect("compresses")];
        reads_as_plain(codec, &both.concat());
    }
}

#[test]
fn cut_off_frames_and_garbage_behind_them_are_refused() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let packed = compress(codec, &plain()).expect("compresses");
        for cut in [packed.len() - 1, packed.len() / 2, 3] {
            let refused = decompress(codec, &packed[..cut], LIMIT);
            assert!(
                matches!(refused, Err(BatchError::MalformedCompression { codec: c, .. }) if c == codec),
                "{codec} cut at {cut}: {:?}",
                refused.map(|bytes| bytes.len())
            );
        }
        let garbage = [&packed[..], b"garbage behind"].concat();
        assert!(decompress(codec, &garbage, LIMIT).is_err(), "{codec}");
    }
}
