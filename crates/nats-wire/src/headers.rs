//! The header block of a message: `NATS/1.0[ status[ description]]\r\n`, lines `Name: value\r\n`, an empty line.
//!
//! Names are compared as they are written: the reference does so too where it looks for its own.

use bytes::{BufMut, BytesMut};

/// What every block begins with.
pub const VERSION: &[u8] = b"NATS/1.0";

/// A block that was read. Slices of its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    /// The status, `503`, as written.
    pub status: Option<&'a [u8]>,
    /// What stands behind the status.
    pub description: Option<&'a [u8]>,
    /// Names and values in order; a name may come more than once.
    pub entries: Vec<(&'a [u8], &'a [u8])>,
}

/// Why bytes are no header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It doesn't begin with the version.
    #[error("no NATS/1.0 at the beginning")]
    Version,
    /// A line has no end, or the empty one at the block's end is missing.
    #[error("line {line} of the header block has no end")]
    Unterminated {
        /// Counted from 0, the version's line.
        line: usize,
    },
    /// A line has no colon, or no name before it.
    #[error("line {line} of the header block has no name")]
    Name {
        /// Counted from 0, the version's line.
        line: usize,
    },
    /// Bytes behind the empty line.
    #[error("{bytes} bytes behind the header block's end")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl<'a> Headers<'a> {
    /// Reads a whole block.
    ///
    /// # Errors
    /// It isn't one.
    pub fn parse(block: &'a [u8]) -> Result<Self, HeaderError> {
        let mut rest = block.strip_prefix(VERSION).ok_or(HeaderError::Version)?;
        let mut headers = Self::default();
        let first = line(&mut rest).ok_or(HeaderError::Unterminated { line: 0 })?;
        match first {
            [] => {}
            [b' ' | b'\t', status @ ..] => headers.read_status(trim(status)),
            _ => return Err(HeaderError::Version),
        }
        for number in 1.. {
            let line = line(&mut rest).ok_or(HeaderError::Unterminated { line: number })?;
            if line.is_empty() {
                break;
            }
            let colon = memchr::memchr(b':', line).filter(|colon| *colon > 0);
            let colon = colon.ok_or(HeaderError::Name { line: number })?;
            // What stands at the end is the value's own.
            headers.entries.push((&line[..colon], line[colon + 1..].trim_ascii_start()));
        }
        if rest.is_empty() { Ok(headers) } else { Err(HeaderError::Trailing { bytes: rest.len() }) }
    }

    fn read_status(&mut self, line: &'a [u8]) {
        if line.is_empty() {
            return;
        }
        let end = memchr::memchr(b' ', line).unwrap_or(line.len());
        self.status = Some(&line[..end]);
        let description = trim(&line[end..]);
        self.description = (!description.is_empty()).then_some(description);
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.entries.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }
}

/// The first value of `name` in a block that needn't be whole: no allocation, for the paths where one header is
/// looked for in every message.
#[must_use]
pub fn find<'a>(block: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = block;
    line(&mut rest)?;
    while let Some(line) = line(&mut rest) {
        if let Some([b':', value @ ..]) = line.strip_prefix(name) {
            return Some(value.trim_ascii_start());
        }
    }
    None
}

/// Takes a line off `rest`, without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memmem::find(rest, b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// A block that is being written.
#[derive(Clone, Debug)]
pub struct HeaderBlock {
    bytes: BytesMut,
}

/// A name or value that can't stand in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header's name or value that can't be written")]
pub struct Unwritable;

impl Default for HeaderBlock {
    fn default() -> Self {
        Self::new()
    }
}

impl HeaderBlock {
    /// A block without status.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: BytesMut::from(&b"NATS/1.0\r\n"[..]) }
    }

    /// A block with a status, as the server's own messages have: `408 Request Timeout`.
    #[must_use]
    pub fn with_status(status: u16, description: &str) -> Self {
        let line = if description.is_empty() {
            format!("NATS/1.0 {status}\r\n")
        } else {
            format!("NATS/1.0 {status} {description}\r\n")
        };
        Self { bytes: BytesMut::from(line.as_bytes()) }
    }

    /// Adds a header.
    ///
    /// # Errors
    /// The name is empty or has a colon, a blank or a line end; the value has a line end.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Unwritable> {
        let bad_name = |byte: &u8| matches!(byte, b':' | b'\r' | b'\n' | b' ' | b'\t');
        let bad_value = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if name.is_empty() || name.iter().any(bad_name) || value.iter().any(bad_value) {
            return Err(Unwritable);
        }
        self.bytes.put_slice(name);
        self.bytes.put_slice(b": ");
        self.bytes.put_slice(value);
        self.bytes.put_slice(b"\r\n");
        Ok(())
    }

    /// The whole block.
    #[must_use]
    pub fn finish(mut self) -> bytes::Bytes {
        self.bytes.put_slice(b"\r\n");
        self.bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn status_and_entries_are_read_in_order() {
        let block = b"NATS/1.0 408 Request Timeout\r\nA: 1\r\nB:2 \r\nA:  3\r\nempty:\r\n\r\n";
        let headers = Headers::parse(block).unwrap();
        assert_eq!(headers.status, Some(&b"408"[..]));
        assert_eq!(headers.description, Some(&b"Request Timeout"[..]));
        let expected: [(&[u8], &[u8]); 4] = [(b"A", b"1"), (b"B", b"2 "), (b"A", b"3"), (b"empty", b"")];
        assert_eq!(headers.entries, expected);
        assert_eq!(headers.get(b"A"), Some(&b"1"[..]));
        assert_eq!(headers.get(b"a"), None, "names are compared as written");
        assert_eq!(find(block, b"B"), Some(&b"2 "[..]), "what stands at the end is the value's own");
        assert_eq!(find(block, b"NATS/1.0 408 Request Timeout"), None);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for (block, error) in [
            (&b""[..], HeaderError::Version),
            (b"HTTP/1.1\r\n\r\n", HeaderError::Version),
            (b"NATS/1.05\r\n\r\n", HeaderError::Version),
            (b"NATS/1.0", HeaderError::Unterminated { line: 0 }),
            (b"NATS/1.0\r\n", HeaderError::Unterminated { line: 1 }),
            (b"NATS/1.0\r\nA: 1\r\n", HeaderError::Unterminated { line: 2 }),
            (b"NATS/1.0\r\nA\r\n\r\n", HeaderError::Name { line: 1 }),
            (b"NATS/1.0\r\n: 1\r\n\r\n", HeaderError::Name { line: 1 }),
            (b"NATS/1.0\r\n\r\nxy", HeaderError::Trailing { bytes: 2 }),
        ] {
            assert_eq!(Headers::parse(block), Err(error), "{}", block.escape_ascii());
        }
    }

    #[test]
    fn line_ends_cannot_be_smuggled_in() {
        let mut block = HeaderBlock::new();
        assert_eq!(block.add(b"A", b"1\r\nB: 2"), Err(Unwritable));
        assert_eq!(block.add(b"A\nB", b"1"), Err(Unwritable));
        assert_eq!(block.add(b"", b"1"), Err(Unwritable));
        assert_eq!(block.add(b"A:", b"1"), Err(Unwritable));
        assert_eq!(&block.finish()[..], b"NATS/1.0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in proptest::collection::vec(("[A-Za-z0-9_-]{1,9}", "[ -~]{0,12}"), 0..6)) {
            let mut block = HeaderBlock::with_status(100, "Idle Heartbeat");
            for (name, value) in &entries {
                block.add(name.as_bytes(), value.as_bytes()).unwrap();
            }
            let block = block.finish();
            let headers = Headers::parse(&block).unwrap();
            let read: Vec<_> = headers.entries.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            let written: Vec<_> =
                entries.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.trim_ascii_start().as_bytes().to_vec())).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Headers::parse(&bytes);
            let _ = find(&bytes, b"A");
        }
    }
}
