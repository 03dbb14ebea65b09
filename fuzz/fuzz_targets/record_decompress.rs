//! Any bytes through each codec: no panic, never more than the limit, and a second reading says the same.
#![no_main]

use duolog_record::{BatchError, Compression, compress, decompress};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (choice, limit, bytes) = input;
    let codec = Compression::ALL[1 + usize::from(choice % 4)];
    // Small limits meet the edges of blocks; some inputs get one that they can't reach.
    let limit = if choice & 0x80 == 0 { usize::from(limit) } else { 8 << 20 };
    match decompress(codec, bytes, limit) {
        Ok(plain) => {
            assert!(plain.len() <= limit);
            assert_eq!(decompress(codec, bytes, plain.len()), Ok(plain.clone()));
            let packed = compress(codec, &plain).expect("compresses");
            assert_eq!(decompress(codec, &packed, plain.len()), Ok(plain));
        }
        Err(BatchError::DecompressionTooLarge { limit: named }) => assert_eq!(named, limit),
        Err(BatchError::MalformedCompression { codec: named, .. }) => assert_eq!(named, codec),
        Err(other) => panic!("{other}"),
    }
});
