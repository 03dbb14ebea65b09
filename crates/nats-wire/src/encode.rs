//! What the server sends, appended to a buffer.

use bytes::{BufMut, BytesMut};

use crate::error::ErrorText;
use crate::info::ServerInfo;

/// `PING`.
pub const PING: &[u8] = b"PING\r\n";
/// `PONG`.
pub const PONG: &[u8] = b"PONG\r\n";
/// `+OK`.
pub const OK: &[u8] = b"+OK\r\n";

/// Room for a number of 64 bits.
const DIGITS: usize = 20;

/// A delivery, but for its payload.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The subject that it was published to.
    pub subject: &'a [u8],
    /// The receiver's name for its subscription.
    pub sid: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// The header block; empty if there is none, or if the receiver takes none.
    pub headers: &'a [u8],
    /// Bytes of the payload.
    pub payload_len: usize,
}

impl Delivery<'_> {
    /// An upper bound of the control line's length.
    #[must_use]
    pub fn line_len(&self) -> usize {
        let reply = self.reply.map_or(0, |reply| reply.len() + 1);
        b"HMSG ".len() + self.subject.len() + 1 + self.sid.len() + 1 + reply + 2 * DIGITS + 3
    }

    /// Appends the control line and the header block. The payload and a line end follow.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_slice(if self.headers.is_empty() { b"MSG " } else { b"HMSG " });
        out.put_slice(self.subject);
        out.put_u8(b' ');
        out.put_slice(self.sid);
        out.put_u8(b' ');
        if let Some(reply) = self.reply {
            out.put_slice(reply);
            out.put_u8(b' ');
        }
        if !self.headers.is_empty() {
            put_number(out, self.headers.len());
            out.put_u8(b' ');
        }
        put_number(out, self.headers.len() + self.payload_len);
        out.put_slice(b"\r\n");
        out.put_slice(self.headers);
    }
}

/// `MSG` or `HMSG`, whole.
pub fn put_message(out: &mut BytesMut, delivery: &Delivery<'_>, payload: &[u8]) {
    out.reserve(delivery.line_len() + delivery.headers.len() + payload.len() + 2);
    delivery.put(out);
    out.put_slice(payload);
    out.put_slice(b"\r\n");
}

/// The header block that says that nobody took a message to `subject`.
#[must_use]
pub fn no_responders(subject: &[u8]) -> Vec<u8> {
    [b"NATS/1.0 503\r\nNats-Subject: ", subject, b"\r\n\r\n"].concat()
}

/// `INFO {…}`.
pub fn put_info(out: &mut BytesMut, info: &ServerInfo) {
    // Strings and numbers: nothing that serde_json could refuse.
    let json = serde_json::to_string(info).unwrap_or_default();
    out.reserve(json.len() + 8);
    out.put_slice(b"INFO ");
    out.put_slice(json.as_bytes());
    out.put_slice(b" \r\n");
}

/// `-ERR '…'`.
pub fn put_error(out: &mut BytesMut, error: &ErrorText) {
    out.put_slice(format!("-ERR '{error}'\r\n").as_bytes());
}

/// A number in decimal.
fn put_number(out: &mut BytesMut, number: usize) {
    let mut digits = [0; DIGITS];
    let mut at = DIGITS;
    let mut rest = number;
    loop {
        at -= 1;
        // A digit fits a byte.
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(reply: Option<&[u8]>, headers: &[u8], payload: &[u8]) -> String {
        let mut out = BytesMut::new();
        let delivery = Delivery { subject: b"a.b", sid: b"9", reply, headers, payload_len: payload.len() };
        put_message(&mut out, &delivery, payload);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn messages_are_as_the_reference_sends_them() {
        assert_eq!(message(None, b"", b"hi"), "MSG a.b 9 2\r\nhi\r\n");
        assert_eq!(message(Some(b"r"), b"", b""), "MSG a.b 9 r 0\r\n\r\n");
        assert_eq!(
            message(Some(b"r"), b"NATS/1.0\r\n\r\n", b"hi"),
            "HMSG a.b 9 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
        );
        let nobody = no_responders(b"a");
        assert_eq!(
            message(None, &nobody, b""),
            "HMSG a.b 9 33 33\r\nNATS/1.0 503\r\nNats-Subject: a\r\n\r\n\r\n"
        );
    }

    #[test]
    fn numbers_of_any_length_are_written() {
        for number in [0, 9, 10, 1_048_576, usize::MAX] {
            let mut out = BytesMut::new();
            put_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn errors_and_info_are_as_the_reference_sends_them() {
        let mut out = BytesMut::new();
        put_error(&mut out, &ErrorText::Stale);
        put_info(&mut out, &ServerInfo::default());
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert!(text.starts_with("-ERR 'Stale Connection'\r\nINFO {\"server_id\""));
        assert!(text.ends_with("} \r\n"));
    }
}
