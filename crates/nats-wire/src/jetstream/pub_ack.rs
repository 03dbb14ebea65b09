//! The answer to a publish: where the message stands, or why it doesn't.

use super::error::ApiError;
use super::json::{Encode, Object};

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PubAck<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The sequence.
    pub seq: u64,
    /// Whether it stood there before: its id is known.
    pub duplicate: bool,
}

impl PubAck<'_> {
    /// Appends the answer.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"stream\":");
        self.stream.encode(out);
        out.extend_from_slice(b",\"seq\":");
        self.seq.encode(out);
        // The reference puts this one together by hand, with a space.
        out.extend_from_slice(if self.duplicate { b",\"duplicate\": true}" } else { b"}" });
    }
}

/// The answer to a publish that was refused; it names the stream and the sequence 0.
#[must_use]
pub fn encode_refusal(stream: &str, error: &ApiError) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    Object::write(&mut out, |object| {
        error.encode_into(object);
        object.field("stream", stream);
        object.field("seq", &0_u64);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::super::error::STREAM_WRONG_LAST_SEQUENCE;
    use super::*;

    #[test]
    fn an_answer_is_the_reference_s() {
        let encoded = |ack: PubAck<'_>| {
            let mut out = Vec::new();
            ack.encode_to(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(encoded(PubAck { stream: "A", seq: 1, duplicate: false }), r#"{"stream":"A","seq":1}"#);
        assert_eq!(
            encoded(PubAck { stream: "A", seq: 2, duplicate: true }),
            r#"{"stream":"A","seq":2,"duplicate": true}"#
        );
        assert_eq!(
            String::from_utf8(encode_refusal("A", &STREAM_WRONG_LAST_SEQUENCE.with(&[("seq", &2)]))).unwrap(),
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"},"stream":"A","seq":0}"#
        );
    }
}
