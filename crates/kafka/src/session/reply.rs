//! What a handler gives back: bytes to send, and when they may leave.

use bytes::{Bytes, BytesMut};
use duolog_types::Lsn;
use kafka_wire_core::{ApiVersion, EncodeError, KafkaEncode};

/// A whole response frame, ready to send once the state that it reveals is durable.
pub struct Reply {
    /// The frame, length prefix and response header included.
    pub pieces: Vec<Bytes>,
    /// The newest state that the reply reveals: it leaves when this is durable (`Lsn::ZERO`: at once).
    pub after: Lsn,
    /// The frame to send instead if the log stops before `after` is durable. Without it the connection is
    /// closed, which every client retries.
    pub if_stopped: Option<Box<dyn FnOnce() -> Bytes + Send>>,
}

impl Reply {
    /// A reply that reveals nothing that isn't durable.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        Self { pieces: vec![frame], after: Lsn::ZERO, if_stopped: None }
    }

    /// The same reply, held back until `after` is durable.
    #[must_use]
    pub fn after(mut self, after: Lsn) -> Self {
        self.after = after;
        self
    }

    /// The same reply, with another one to send if the log stops before.
    #[must_use]
    pub fn or_if_stopped(mut self, frame: impl FnOnce() -> Bytes + Send + 'static) -> Self {
        self.if_stopped = Some(Box::new(frame));
        self
    }

    /// Bytes of the frame.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether the frame has no bytes (never, for one that was encoded).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(Bytes::is_empty)
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("bytes", &self.len())
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It is answered.
    Reply(Reply),
    /// It gets no answer (Produce with acks=0).
    Silent,
}

/// How a response is framed: which correlation id, and whether its header has tagged fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFrame {
    /// Echoed from the request.
    pub correlation_id: i32,
    /// Response header version 1 (flexible), as opposed to 0.
    pub flexible_header: bool,
}

/// The length prefix, written when the frame's end is known.
const LENGTH_BYTES: usize = 4;

impl ResponseFrame {
    /// A buffer that begins with room for the length, and the response header.
    #[must_use]
    pub fn begin(self, capacity: usize) -> BytesMut {
        let mut buffer = BytesMut::with_capacity(LENGTH_BYTES + 5 + capacity);
        buffer.extend_from_slice(&[0; LENGTH_BYTES]);
        buffer.extend_from_slice(&self.correlation_id.to_be_bytes());
        if self.flexible_header {
            // No tagged fields.
            buffer.extend_from_slice(&[0]);
        }
        buffer
    }

    /// The whole frame of a response.
    ///
    /// # Errors
    /// If the response can't be said in this version: a mistake of the handler's.
    pub fn encode(self, response: &impl KafkaEncode, version: i16) -> Result<Bytes, EncodeError> {
        let version = ApiVersion::new(version);
        let mut buffer = self.begin(0);
        response.encode_into(&mut buffer, version)?;
        finish(&mut buffer, 0)?;
        Ok(buffer.freeze())
    }
}

/// Writes the length prefix of a frame that `buffer` begins and `spliced` more bytes end.
///
/// # Errors
/// If the frame is longer than its prefix can say.
pub fn finish(buffer: &mut BytesMut, spliced: usize) -> Result<(), EncodeError> {
    let bytes = buffer.len() - LENGTH_BYTES + spliced;
    let length = i32::try_from(bytes).map_err(|_| EncodeError::FrameTooLarge { bytes })?;
    buffer[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
