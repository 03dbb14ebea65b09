//! Random numbers that a seed determines (splitmix64). Not for cryptography, nor for anything but tests.

use std::sync::atomic::{AtomicU64, Ordering};

use duolog_env::Rng;

/// The odd constant by which splitmix64 walks its state (2^64 / golden ratio).
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A seeded source of numbers: the same seed gives the same numbers in the same order.
#[derive(Debug)]
pub struct SimRng {
    state: AtomicU64,
}

impl SimRng {
    /// The numbers of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// A source of its own that depends on this one's seed and on `label`, but takes nothing from this one.
    #[must_use]
    pub fn fork(&self, label: u64) -> Self {
        Self::new(mix(self.state.load(Ordering::Relaxed), label))
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(bound);
        // The upper half of a product of two 64-bit numbers fits 64 bits.
        (wide >> 64) as u64
    }

    /// An index into something of `len` items; 0 when there are none.
    pub fn index(&self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True once in `out_of` times; never when `out_of` is 0.
    pub fn one_in(&self, out_of: u64) -> bool {
        out_of > 0 && self.below(out_of) == 0
    }

    fn draw(&self) -> u64 {
        scramble(self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA))
    }
}

impl Rng for SimRng {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.draw().to_le_bytes()[..part.len()]);
        }
    }

    fn next_u64(&self) -> u64 {
        self.draw()
    }
}

/// One seed out of two numbers.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    scramble(scramble(a.wrapping_add(GAMMA)) ^ b.wrapping_mul(GAMMA))
}

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_zero_gives_the_published_splitmix64_numbers() {
        let rng = SimRng::new(0);
        assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        let rng = SimRng::new(7);
        let mut seen = [0u32; 5];
        for _ in 0..500 {
            seen[rng.index(5)] += 1;
        }
        assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn forks_differ_by_label_and_leave_the_parent_alone() {
        let rng = SimRng::new(1);
        assert_ne!(rng.fork(1).next_u64(), rng.fork(2).next_u64());
        assert_eq!(rng.fork(1).next_u64(), rng.fork(1).next_u64());
    }
}
