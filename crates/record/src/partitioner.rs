//! Which partition a key belongs to, by the Java client's rule: murmur2, so that all doors agree with it.
//!
//! librdkafka's default (CRC-32) and other clients' differ; a broker never sees which one was used.

use std::num::NonZeroU32;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// Kafka's `Utils.murmur2`: the 32-bit MurmurHash2 with a fixed seed, over little-endian words.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> i32 {
    // Java lengths are 31 bits, and the hash takes the length modulo 2^32 anyway.
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> SHIFT;
        mixed = mixed.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^= hash >> 15;
    hash as i32
}

/// The partition of a record with this key, of all `partitions` of its topic, available or not.
///
/// An empty key is a key; a record without a key has no fixed partition.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: NonZeroU32) -> u32 {
    // Kafka's Utils.toPositive is this mask, not an absolute value.
    let positive = murmur2(key) as u32 & 0x7fff_ffff;
    positive % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_the_vectors_of_kafkas_utils_test() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn partition_masks_the_sign_bit() {
        let partitions = NonZeroU32::new(7).expect("not zero");
        // 479470107 % 7, and (-973932308 & 0x7fffffff) % 7 = 1173551340 % 7.
        assert_eq!(partition_for_key(b"abc", partitions), 479_470_107 % 7);
        assert_eq!(partition_for_key(b"21", partitions), 1_173_551_340 % 7);
    }
}
