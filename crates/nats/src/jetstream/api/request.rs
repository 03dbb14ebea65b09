//! A request of the API, taken off the session's buffers: what it asks, of what, and where the answer goes.

use bytes::Bytes;
use duolog_nats_wire::jetstream::DecodeError;
use duolog_nats_wire::jetstream::error::{ApiError, INVALID_JSON, NOT_EMPTY_REQUEST};
use tokio::sync::OwnedSemaphorePermit;

use crate::router::Inbound;

/// A request under way. It holds its room in the queue until it is answered.
pub(super) struct Request {
    /// Behind `$JS.API.`.
    subject: String,
    reply: Option<Bytes>,
    headers: Bytes,
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Request {
    pub(super) fn new(subject: &str, message: &Inbound<'_>, room: OwnedSemaphorePermit) -> Self {
        Self {
            subject: subject.to_owned(),
            reply: message.reply.map(Bytes::copy_from_slice),
            headers: Bytes::copy_from_slice(message.headers),
            body: Bytes::copy_from_slice(message.payload),
            _room: room,
        }
    }

    /// The `index`th token behind `$JS.API.`; the table has seen to it that there is one.
    pub(super) fn token(&self, index: usize) -> &str {
        self.subject.split('.').nth(index).unwrap_or_default()
    }

    /// Everything behind the first `tokens` tokens.
    pub(super) fn behind(&self, tokens: usize) -> &str {
        self.subject.splitn(tokens + 1, '.').nth(tokens).unwrap_or_default()
    }

    pub(super) fn reply(&self) -> Option<&[u8]> {
        self.reply.as_deref()
    }

    pub(super) fn headers(&self) -> &[u8] {
        &self.headers
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Decodes the body.
    pub(super) fn decode<T>(&self, decode: fn(&[u8]) -> Result<T, DecodeError>) -> Result<T, ApiError> {
        decode(&self.body).map_err(|error| INVALID_JSON.because(error))
    }

    /// Decodes the body where the reference looks at it only if it begins like an object or an array.
    pub(super) fn decode_optional<T: Default>(
        &self,
        decode: fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, ApiError> {
        match self.body.trim_ascii_start().first() {
            Some(b'{' | b'[') => self.decode(decode),
            _ => Ok(T::default()),
        }
    }

    /// Whether nothing is asked: no body, or an object without fields.
    pub(super) fn is_empty(&self) -> bool {
        let body = self.body.trim_ascii();
        let inner = body.strip_prefix(b"{").and_then(|body| body.strip_suffix(b"}"));
        self.body.is_empty() || inner.is_some_and(|inner| inner.trim_ascii().is_empty())
    }

    /// Refuses a body where there must be none.
    pub(super) fn must_be_empty(&self) -> Result<(), ApiError> {
        if self.is_empty() { Ok(()) } else { Err(NOT_EMPTY_REQUEST.error()) }
    }
}
