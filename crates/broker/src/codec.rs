//! The encoding of this crate's frames and snapshots: a version byte, then fields in a fixed order.
//!
//! ```text
//! u8, i16, i32, i64, u64   fixed width, little endian
//! varint                   LEB128 of a u64: lengths, counts, small numbers
//! bytes, str               varint length, then the bytes
//! ```
//!
//! Written by hand rather than with a serialisation crate: a dozen fields, whose layout on disk must not move
//! with a derive. Nothing is allocated from a count that was read: a count only bounds a loop that ends with
//! the bytes.

use bytes::{BufMut, Bytes, BytesMut};
use duolog_types::TopicId;

/// Why stored state could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum CodecError {
    /// The bytes end inside a field.
    #[error("the bytes end inside {field}, at byte {at}")]
    Short {
        /// The field.
        field: &'static str,
        /// Where, bytes from the start.
        at: usize,
    },
    /// A field's value makes no sense.
    #[error("{field} is invalid at byte {at}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Where, bytes from the start.
        at: usize,
    },
    /// A newer duolog wrote it.
    #[error("version {found} of the encoding is newer than {known}, the newest that is known here")]
    TooNew {
        /// The version found.
        found: u8,
        /// The newest known one.
        known: u8,
    },
    /// Bytes are left over.
    #[error("{left} bytes follow the last field")]
    Trailing {
        /// How many.
        left: usize,
    },
}

/// Appends fields.
#[derive(Debug)]
pub(crate) struct Writer(BytesMut);

impl Writer {
    /// Begins with the version byte.
    pub(crate) fn new(version: u8) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u8(version);
        Self(bytes)
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.put_u8(value);
        self
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.0.put_i16_le(value);
        self
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.0.put_i32_le(value);
        self
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.put_i64_le(value);
        self
    }

    pub(crate) fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.put_u8((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.0.put_u8(value as u8);
        self
    }

    pub(crate) fn str(&mut self, value: &str) -> &mut Self {
        self.varint(value.len() as u64);
        self.0.put_slice(value.as_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.varint(value.len() as u64);
        self.0.put_slice(value);
        self
    }

    pub(crate) fn topic_id(&mut self, value: TopicId) -> &mut Self {
        self.0.put_slice(&value.0);
        self
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Takes fields off, checked.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads the version byte, which must not be above `known`. Returns the version.
    pub(crate) fn new(bytes: &'a [u8], known: u8) -> Result<(Self, u8), CodecError> {
        let mut reader = Self { bytes, at: 0 };
        let found = reader.u8("version")?;
        if found > known {
            return Err(CodecError::TooNew { found, known });
        }
        Ok((reader, found))
    }

    /// The next byte, which stays.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let Some(taken) = self.bytes[self.at..].first_chunk::<N>() else {
            return Err(CodecError::Short { field, at: self.at });
        };
        self.at += N;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, CodecError> {
        Ok(self.take::<1>(field)?[0])
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, CodecError> {
        self.take(field).map(i16::from_le_bytes)
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, CodecError> {
        self.take(field).map(i32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, CodecError> {
        self.take(field).map(i64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64, CodecError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError::Invalid { field, at: start })
    }

    pub(crate) fn str(&mut self, field: &'static str) -> Result<&'a str, CodecError> {
        let start = self.at;
        std::str::from_utf8(self.bytes(field)?).map_err(|_| CodecError::Invalid { field, at: start })
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], CodecError> {
        let start = self.at;
        let length = self.varint(field)?;
        let left = self.bytes.len() - self.at;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= left)
            .ok_or(CodecError::Short { field, at: start })?;
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    pub(crate) fn topic_id(&mut self, field: &'static str) -> Result<TopicId, CodecError> {
        self.take(field).map(TopicId)
    }

    /// That `field` makes no sense, for checks above single fields.
    pub(crate) fn invalid(&self, field: &'static str) -> CodecError {
        CodecError::Invalid { field, at: self.at }
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<(), CodecError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(CodecError::Trailing { left }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_come_back(
            a in any::<u8>(), b in any::<i16>(), c in any::<i32>(), d in any::<i64>(), e in any::<u64>(),
            text in ".{0,40}", id in any::<[u8; 16]>(),
        ) {
            let mut writer = Writer::new(3);
            writer.u8(a).i16(b).i32(c).i64(d).varint(e).str(&text).topic_id(TopicId(id));
            let bytes = writer.finish();
            let (mut reader, version) = Reader::new(&bytes, 3).unwrap();
            prop_assert_eq!(version, 3);
            prop_assert_eq!(reader.u8("a").unwrap(), a);
            prop_assert_eq!(reader.i16("b").unwrap(), b);
            prop_assert_eq!(reader.i32("c").unwrap(), c);
            prop_assert_eq!(reader.i64("d").unwrap(), d);
            prop_assert_eq!(reader.varint("e").unwrap(), e);
            prop_assert_eq!(reader.str("text").unwrap(), text.as_str());
            prop_assert_eq!(reader.topic_id("id").unwrap(), TopicId(id));
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn foreign_bytes_are_an_error_or_a_value(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((mut reader, _)) = Reader::new(&bytes, u8::MAX) {
                while reader.varint("v").and_then(|_| reader.str("s")).is_ok() {}
            }
        }
    }

    #[test]
    fn newer_versions_short_and_trailing_bytes_are_named() {
        assert_eq!(Reader::new(&[2], 1).unwrap_err(), CodecError::TooNew { found: 2, known: 1 });
        assert_eq!(Reader::new(&[], 1).unwrap_err(), CodecError::Short { field: "version", at: 0 });
        let (mut reader, _) = Reader::new(&[1, 200, 1, b'x'], 1).unwrap();
        assert_eq!(reader.str("name").unwrap_err(), CodecError::Short { field: "name", at: 1 });
        let (reader, _) = Reader::new(&[1, 0], 1).unwrap();
        assert_eq!(reader.finish().unwrap_err(), CodecError::Trailing { left: 1 });
        let (mut reader, _) = Reader::new(&[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], 1).unwrap();
        assert_eq!(reader.varint("n").unwrap_err(), CodecError::Invalid { field: "n", at: 1 });
    }
}
