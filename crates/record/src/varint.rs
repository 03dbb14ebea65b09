//! Zigzag variable-length integers (protobuf's, as Kafka's `ByteUtils`), and the cursor that reads records.

use std::ops::Range;

use crate::BatchError;

/// Reads record data with every position counted from the start of the (decompressed) records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes` from `position`, which must not be behind their end.
    pub(crate) fn new(bytes: &'a [u8], position: usize) -> Self {
        debug_assert!(position <= bytes.len(), "a cursor starts within its bytes");
        Self { bytes, position }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(crate) fn byte(&mut self) -> Result<u8, BatchError> {
        let Some(&byte) = self.bytes.get(self.position) else {
            return Err(self.truncated(1));
        };
        self.position += 1;
        Ok(byte)
    }

    /// Steps over `size` bytes and says where they are.
    pub(crate) fn span(&mut self, size: usize) -> Result<Range<usize>, BatchError> {
        if size > self.remaining() {
            return Err(self.truncated(size));
        }
        let start = self.position;
        self.position += size;
        Ok(start..self.position)
    }

    /// A cursor over the next `size` bytes alone; this one steps over them.
    pub(crate) fn nested(&mut self, size: usize) -> Result<Cursor<'a>, BatchError> {
        let span = self.span(size)?;
        Ok(Cursor { bytes: &self.bytes[..span.end], position: span.start })
    }

    pub(crate) fn varint(&mut self) -> Result<i32, BatchError> {
        let start = self.position;
        let value = self.varlong()?;
        i32::try_from(value).map_err(|_| BatchError::MalformedVarint { position: start })
    }

    pub(crate) fn varlong(&mut self) -> Result<i64, BatchError> {
        let start = self.position;
        let mut raw = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                break;
            }
            raw |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
        }
        Err(BatchError::MalformedVarint { position: start })
    }

    fn truncated(&self, needed: usize) -> BatchError {
        BatchError::RecordTruncated { position: self.position, needed, remaining: self.remaining() }
    }
}

/// Appends `value` to `out`. A value that fits in 32 bits takes at most five bytes, the same as a varint.
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that `put_varlong` takes for `value`.
pub(crate) fn varlong_size(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)) as u64;
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_long(bytes: &[u8]) -> Result<i64, BatchError> {
        Cursor::new(bytes, 0).varlong()
    }

    #[test]
    fn known_encodings() {
        // Kafka's ByteUtilsTest.
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (-8193, &[0x81, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(varlong_size(value), bytes.len(), "{value}");
            assert_eq!(read_long(bytes), Ok(value));
        }
    }

    #[test]
    fn overlong_and_overflowing_integers_are_refused() {
        let malformed = Err(BatchError::MalformedVarint { position: 0 });
        assert_eq!(read_long(&[0xff; 11]), malformed);
        let mut tenth_byte_too_large = [0xff; 10];
        tenth_byte_too_large[9] = 0x02;
        assert_eq!(read_long(&tenth_byte_too_large), malformed);
        let one_above_i32 = [0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(Cursor::new(&one_above_i32, 0).varint(), Err(BatchError::MalformedVarint { position: 0 }));
        assert_eq!(
            read_long(&[0x80]),
            Err(BatchError::RecordTruncated { position: 1, needed: 1, remaining: 0 })
        );
    }
}
