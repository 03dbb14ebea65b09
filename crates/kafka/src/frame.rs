//! Frames off a byte stream: `int32 length`, then so many bytes.
//!
//! ```text
//! socket ──► read-ahead (256 B, inline) ──► length checked ──► exact-size buffer ◄── socket
//! ```
//!
//! Owns where one request ends and the next begins, and nothing of what is inside. The length is judged before
//! a byte is allocated for it. Requests that fit into the read-ahead cost one read call; of larger ones all but
//! the first bytes go from the socket straight into the buffer whose slices are appended to the log.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that are read ahead of a frame's buffer. A silent connection costs these and no heap.
const READ_AHEAD_BYTES: usize = 256;

/// The least that a request header takes: key, version, correlation id.
pub const MIN_FRAME_BYTES: usize = 8;

/// Why no frame could be read. The connection can't go on: the next frame's beginning is unknown.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended inside a frame.
    #[error("the stream ended after {got} of {expected} bytes of a frame")]
    Truncated {
        /// Bytes that came.
        got: usize,
        /// Bytes that were announced.
        expected: usize,
    },
    /// The length prefix makes no request of this protocol.
    #[error("frame length {length} is outside of {MIN_FRAME_BYTES}..={limit}{}", guess(*.length))]
    Length {
        /// What the prefix said.
        length: i32,
        /// The largest accepted length.
        limit: usize,
    },
    /// The stream failed.
    #[error("read: {0}")]
    Io(#[from] io::Error),
}

/// What a foreign protocol's first four bytes look like as a length: the most common operator's mistake.
fn guess(length: i32) -> &'static str {
    match &length.to_be_bytes() {
        [0x16, 0x03, ..] => " (it looks like a TLS handshake on a plain listener)",
        b"GET " | b"POST" | b"HEAD" | b"PUT " => " (it looks like HTTP)",
        b"CONN" | b"INFO" | b"PING" => " (it looks like a NATS client)",
        _ => "",
    }
}

/// The reading half of a connection.
#[derive(Debug)]
pub struct Input<R> {
    reader: R,
    ahead: [u8; READ_AHEAD_BYTES],
    start: usize,
    end: usize,
}

impl<R: AsyncRead + Unpin> Input<R> {
    /// Frames from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, ahead: [0; READ_AHEAD_BYTES], start: 0, end: 0 }
    }

    /// Whether no byte of the next frame has been read yet.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Reads once into the read-ahead and returns how many bytes came; 0 is the stream's end, or no room.
    ///
    /// Cancel-safe: what was read is kept in `self`.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.ahead.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let count = self.reader.read(&mut self.ahead[self.end..]).await?;
        self.end += count;
        Ok(count)
    }

    /// The next frame's length, if its four bytes are here already.
    ///
    /// # Errors
    /// [`FrameError::Length`] if it is outside of the bounds.
    pub fn buffered_length(&self, limit: usize) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.ahead[self.start..self.end].first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        match usize::try_from(length) {
            Ok(bytes) if (MIN_FRAME_BYTES..=limit).contains(&bytes) => Ok(Some(bytes)),
            _ => Err(FrameError::Length { length, limit }),
        }
    }

    /// How many bytes of the next frame's length prefix are here, for the error when no more come.
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// Begins a frame whose length [`buffered_length`](Self::buffered_length) told: takes the prefix away and
    /// makes the buffer, with what is here already.
    pub fn begin(&mut self, length: usize) -> BytesMut {
        self.start += 4;
        let mut body = BytesMut::with_capacity(length);
        let here = length.min(self.end - self.start);
        body.extend_from_slice(&self.ahead[self.start..self.start + here]);
        self.start += here;
        body
    }

    /// Reads until `body` has `upto` bytes, and not one more. `progress` is told whenever bytes came.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if the stream ends before.
    pub async fn read_upto(
        &mut self,
        body: &mut BytesMut,
        upto: usize,
        mut progress: impl FnMut(),
    ) -> Result<(), FrameError> {
        while body.len() < upto {
            let missing = upto - body.len();
            let count = self.reader.read_buf(&mut body.limit(missing)).await?;
            if count == 0 {
                return Err(FrameError::Truncated { got: body.len(), expected: upto });
            }
            progress();
        }
        Ok(())
    }
}

/// A whole request, without its length prefix, and the room it takes in the budgets.
#[derive(Debug)]
pub struct Frame {
    /// The bytes; slices of them share the one allocation.
    pub bytes: Bytes,
    /// Given back when this is dropped.
    pub room: crate::budget::Room,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Input<&[u8]> {
        Input::new(bytes)
    }

    #[tokio::test]
    async fn frame_takes_its_own_bytes_and_leaves_the_next_ones() {
        let mut stream = Vec::new();
        let first: Vec<u8> = (0..1000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for body in [&first[..], b"87654321", b"12345678"] {
            stream.extend_from_slice(&i32::try_from(body.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(body);
        }
        let mut input = input(&stream);
        for body in [&first[..], b"87654321", b"12345678"] {
            while input.buffered_length(4096).unwrap().is_none() {
                assert_ne!(input.fill().await.unwrap(), 0);
            }
            let length = input.buffered_length(4096).unwrap().unwrap();
            let mut frame = input.begin(length);
            input.read_upto(&mut frame, length, || {}).await.unwrap();
            assert_eq!(&frame[..], body);
        }
        assert!(input.is_empty());
        assert_eq!(input.fill().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn lengths_outside_of_the_bounds_are_refused_before_anything_is_allocated() {
        for length in [-1, 0, 7, 1025, i32::MAX, i32::MIN] {
            let mut input = input(&[]);
            input.ahead[..4].copy_from_slice(&i32::to_be_bytes(length));
            input.end = 4;
            assert!(matches!(input.buffered_length(1024), Err(FrameError::Length { .. })), "{length}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_inside_a_frame_says_how_far_it_came() {
        let mut input = input(b"\0\0\0\x10abc");
        input.fill().await.unwrap();
        let length = input.buffered_length(1024).unwrap().unwrap();
        let mut frame = input.begin(length);
        let error = input.read_upto(&mut frame, length, || {}).await.unwrap_err();
        assert_eq!(error.to_string(), "the stream ended after 3 of 16 bytes of a frame");
    }

    #[test]
    fn foreign_protocols_are_named() {
        let tls = FrameError::Length { length: i32::from_be_bytes([0x16, 3, 1, 2]), limit: 10 };
        assert!(tls.to_string().contains("TLS"));
        let http = FrameError::Length { length: i32::from_be_bytes(*b"GET "), limit: 10 };
        assert!(http.to_string().contains("HTTP"));
    }
}
