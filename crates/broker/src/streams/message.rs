//! What goes into a stream and what comes out of it.

use bytes::Bytes;
use duolog_types::{Lsn, Nanos, Sequence};

use super::StorageType;

/// A header of a message that is published: name and value. A null value comes from Kafka only.
pub type HeaderRef<'a> = (&'a [u8], Option<&'a [u8]>);

/// A header of a stored message.
pub type Header = (Bytes, Option<Bytes>);

/// A message to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// Its subject, valid and literal: the door has checked that.
    pub subject: &'a str,
    /// Its headers, in order.
    pub headers: &'a [HeaderRef<'a>],
    /// Its body.
    pub payload: &'a [u8],
    /// When it was read ([`Broker::now`](crate::Broker::now)).
    pub arrival: Nanos,
}

/// Where a message stands. The reply waits for `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubAck {
    /// Its sequence. Of a duplicate: the original's.
    pub sequence: Sequence,
    /// Whether a message of this id was there already, and nothing was stored.
    pub duplicate: bool,
    /// The reply waits for this. Of a duplicate: of the original, which may not be durable yet.
    pub lsn: Lsn,
}

/// A stored message, as NATS sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its sequence.
    pub sequence: Sequence,
    /// Its subject.
    pub subject: String,
    /// Its headers, in order. See `mapping` for what stands there for things that NATS can't carry.
    pub headers: Vec<Header>,
    /// Its body.
    pub payload: Bytes,
    /// When it arrived.
    pub time: Nanos,
}

/// How large a message's header block is on the wire: `NATS/1.0\r\n`, the headers as `name: value\r\n`, an empty line.
/// 0 without headers.
#[must_use]
pub fn header_block_bytes<'a>(headers: impl IntoIterator<Item = (usize, usize)> + 'a) -> usize {
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name + value + 4;
    }
    if bytes == 0 { 0 } else { bytes + 12 }
}

/// JetStream's size of a stored message: what `max_bytes` and `state.bytes` count.
#[must_use]
pub fn record_bytes(storage: StorageType, subject: usize, headers: usize, payload: usize) -> u64 {
    if storage == StorageType::Memory {
        // Beside the message, its sequence and its time.
        return (subject + headers + payload + 16) as u64;
    }
    let headers = if headers == 0 { 0 } else { 4 + headers };
    (22 + subject + headers + payload + 8) as u64
}
