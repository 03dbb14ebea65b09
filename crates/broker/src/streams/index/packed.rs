//! A column of numbers in as few bytes as the largest of them needs above the smallest.

/// Numbers that don't change any more: what a chunk's columns become when it is full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    base: u64,
    /// Bytes for each number, 0 to 8.
    width: u8,
    len: u32,
    bytes: Box<[u8]>,
}

impl Packed {
    pub(super) fn new(values: impl ExactSizeIterator<Item = u64> + Clone) -> Self {
        let base = values.clone().min().unwrap_or(0);
        let span = values.clone().max().unwrap_or(0) - base;
        let width = (u64::BITS - span.leading_zeros()).div_ceil(8) as usize;
        let len = values.len() as u32;
        let mut bytes = Vec::with_capacity(width * values.len());
        for value in values {
            bytes.extend_from_slice(&(value - base).to_le_bytes()[..width]);
        }
        Self { base, width: width as u8, len, bytes: bytes.into() }
    }

    /// Takes what [`Packed::parts`] gave; `None` if the bytes don't fit the numbers.
    pub(super) fn from_parts(base: u64, width: u8, len: u32, bytes: &[u8]) -> Option<Self> {
        let fits = width <= 8 && bytes.len() == usize::from(width) * len as usize;
        fits.then(|| Self { base, width, len, bytes: bytes.into() })
    }

    pub(super) fn parts(&self) -> (u64, u8, u32, &[u8]) {
        (self.base, self.width, self.len, &self.bytes)
    }

    /// The number at `index`.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub(super) fn get(&self, index: usize) -> u64 {
        let delta = match self.width {
            0 => 0,
            1 => u64::from(self.bytes[index]),
            2 => u64::from(u16::from_le_bytes([self.bytes[2 * index], self.bytes[2 * index + 1]])),
            width => {
                let width = usize::from(width);
                let mut value = [0; 8];
                value[..width].copy_from_slice(&self.bytes[width * index..width * (index + 1)]);
                u64::from_le_bytes(value)
            }
        };
        // Damaged numbers may overflow; they are wrong then, and no reason to stop.
        self.base.wrapping_add(delta)
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(
            base in 0..u64::MAX / 2,
            shift in 0..63u32,
            deltas in prop::collection::vec(any::<u64>(), 0..50),
        ) {
            let values: Vec<u64> = deltas.iter().map(|delta| base + (delta >> (shift + 1))).collect();
            let packed = Packed::new(values.iter().copied());
            let (base, width, len, bytes) = packed.parts();
            let again = Packed::from_parts(base, width, len, bytes).unwrap();
            prop_assert_eq!(&again, &packed);
            for (index, value) in values.iter().enumerate() {
                prop_assert_eq!(again.get(index), *value);
            }
        }
    }

    #[test]
    fn equal_numbers_take_no_bytes() {
        assert_eq!(Packed::new([7; 1000].into_iter()).parts().3.len(), 0);
        assert!(Packed::from_parts(0, 9, 1, &[0; 9]).is_none());
        assert!(Packed::from_parts(0, 2, 2, &[0; 3]).is_none());
    }
}
