//! Messages and records: what of one is what of the other, both ways without loss.
//!
//! | message | record |
//! |---|---|
//! | subject | a stream made through NATS: the key is the subject. A topic bound to root `r`: `r` is the null key, `r.x` is key `x` |
//! | body | value; a null value is an empty body and the header `Duolog-Null-Value` |
//! | headers | headers, in order; one that NATS can't carry is `Duolog-Header: base64(name) base64(value)`, or `… -` where the value is null |
//!
//! **Keys in subjects.** Bytes that a subject can't carry are written `%XX` (upper-case hexadecimal), and so is `%` itself:
//! white space, control bytes, `*`, `>`, and everything from 0x80 on that isn't UTF-8. An empty token is `%-`, so that the
//! empty key, a leading or trailing dot and two dots have names. A subject that isn't the escape of a key is stored with
//! its bytes as key and itself in the header `Duolog-Subject`.

use bytes::Bytes;
use duolog_record::Record;

use super::Publish;
use super::message::{Header, HeaderRef};

/// Where messages with this header have a null value in Kafka.
pub const NULL_VALUE: &[u8] = b"Duolog-Null-Value";
/// A header of a record that NATS can't carry.
pub const RAW_HEADER: &[u8] = b"Duolog-Header";
/// The subject of a record whose key doesn't say it.
pub const SUBJECT: &[u8] = b"Duolog-Subject";

/// How keys and subjects go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// The key is the subject.
    Empty,
    /// Subjects begin with the topic's name.
    Topic(std::sync::Arc<str>),
}

impl Root {
    /// The subject of a record, by its key. `None`: the stream is one of subjects, and this key is none.
    pub(crate) fn subject_of(&self, key: Option<&[u8]>) -> Option<String> {
        match self {
            Self::Empty => {
                let subject = std::str::from_utf8(key?).ok()?;
                let fits = super::subject::is_valid(subject) && super::subject::is_literal(subject);
                fits.then(|| subject.to_owned())
            }
            Self::Topic(root) => Some(match key {
                None => root.to_string(),
                Some(key) => format!("{root}.{}", escape(key)),
            }),
        }
    }

    /// Whether a message with `subject` would have been stored with `key` and its subject beside it.
    fn keeps(&self, subject: &str, key: Option<&[u8]>) -> bool {
        use super::subject::{is_literal, is_valid};
        let (own_key, is_kept) = self.key_of(subject);
        is_kept && own_key.as_deref() == key && is_valid(subject) && is_literal(subject)
    }

    /// The key of a subject, and whether the subject must be kept beside it.
    pub(crate) fn key_of(&self, subject: &str) -> (Option<Vec<u8>>, bool) {
        match self {
            Self::Empty => (Some(subject.as_bytes().to_vec()), false),
            Self::Topic(root) => match subject.strip_prefix(&**root) {
                Some("") => (None, false),
                Some(rest) if rest.starts_with('.') => match unescape(&rest[1..]) {
                    Some(key) => (Some(key), false),
                    None => (Some(rest.as_bytes()[1..].to_vec()), true),
                },
                // Not under the root: only a test gets here, since subjects are looked up by root.
                _ => (Some(subject.as_bytes().to_vec()), true),
            },
        }
    }
}

/// Writes a key as the tokens behind a root.
#[must_use]
pub fn escape(key: &[u8]) -> String {
    let mut out = String::with_capacity(key.len());
    for (at, token) in key.split(|byte| *byte == b'.').enumerate() {
        if at > 0 {
            out.push('.');
        }
        if token.is_empty() {
            out.push_str("%-");
        }
        for part in token.utf8_chunks() {
            for c in part.valid().chars() {
                match c {
                    '%' | '*' | '>' | '\0'..=' ' | '\x7f' => put_hex(&mut out, c as u8),
                    c => out.push(c),
                }
            }
            part.invalid().iter().for_each(|byte| put_hex(&mut out, *byte));
        }
    }
    out
}

fn put_hex(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The key whose escape is `text`; `None` if it is no key's.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(text.len());
    for (at, token) in text.split('.').enumerate() {
        if at > 0 {
            key.push(b'.');
        }
        if token == "%-" {
            continue;
        }
        let mut bytes = token.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                key.push(byte);
                continue;
            }
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            key.push((high * 16 + low) as u8);
        }
    }
    // Only what `escape` writes: each key has one subject.
    (escape(&key) == text).then_some(key)
}

/// Hands key, value and headers of the record that a message is to `then`.
pub(crate) fn with_record<T>(
    root: &Root,
    message: &Publish<'_>,
    then: impl FnOnce(Option<&[u8]>, Option<&[u8]>, &[HeaderRef<'_>]) -> T,
) -> T {
    let is_own = |name: &[u8]| name.starts_with(b"Duolog-");
    let plain = !message.headers.iter().any(|(name, _)| is_own(name));
    if plain && *root == Root::Empty {
        return then(Some(message.subject.as_bytes()), Some(message.payload), message.headers);
    }
    let (key, keep_subject) = root.key_of(message.subject);
    let is_null = message.payload.is_empty() && message.headers.iter().any(|(name, _)| *name == NULL_VALUE);
    let decoded: Vec<(Vec<u8>, Option<Vec<u8>>)> = message
        .headers
        .iter()
        .filter(|(name, _)| *name == RAW_HEADER)
        .map(|(_, value)| raw_header(value.unwrap_or_default()).unwrap_or_default())
        .collect();
    let mut raw = decoded.iter();
    let mut headers: Vec<HeaderRef<'_>> = Vec::with_capacity(message.headers.len() + 1);
    for (name, value) in message.headers {
        match *name {
            NULL_VALUE if is_null => {}
            SUBJECT => {}
            RAW_HEADER => {
                let header = raw.next().filter(|(name, _)| !name.is_empty());
                headers.push(header.map_or((*name, *value), |(name, value)| (name, value.as_deref())));
            }
            _ => headers.push((name, *value)),
        }
    }
    if keep_subject {
        headers.push((SUBJECT, Some(message.subject.as_bytes())));
    }
    then(key.as_deref(), (!is_null).then_some(message.payload), &headers)
}

fn raw_header(text: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let mut parts = text.split(|byte| *byte == b' ');
    let (name, value) = (parts.next()?, parts.next()?);
    let value = if value == b"-" { None } else { Some(from_base64(value)?) };
    parts.next().is_none().then_some((from_base64(name)?, value))
}

/// What NATS sees of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) subject: String,
    pub(crate) headers: Vec<Header>,
    pub(crate) payload: Bytes,
}

impl Seen {
    /// `None`: the stream is one of subjects, and the record's key is none.
    pub(crate) fn of(record: &Record, root: &Root) -> Option<Self> {
        let kept = record.headers.iter().find(|(name, _)| name == SUBJECT);
        let kept = kept.and_then(|(_, value)| std::str::from_utf8(value.as_ref()?).ok());
        // A Kafka client may write such a header, too: it counts only as we would have written it.
        let subject = match kept.filter(|kept| root.keeps(kept, record.key.as_deref())) {
            Some(subject) => subject.to_owned(),
            None => root.subject_of(record.key.as_deref())?,
        };
        let mut headers = Vec::with_capacity(record.headers.len());
        for (name, value) in &record.headers {
            if name == SUBJECT {
                continue;
            }
            match value {
                Some(value) if can_carry(name, value) => headers.push((name.clone(), Some(value.clone()))),
                value => {
                    let value = value.as_ref().map_or("-".to_owned(), |value| to_base64(value));
                    let text = format!("{} {value}", to_base64(name));
                    headers.push((Bytes::from_static(RAW_HEADER), Some(Bytes::from(text))));
                }
            }
        }
        let payload = record.value.clone().unwrap_or_else(|| {
            headers.push((Bytes::from_static(NULL_VALUE), Some(Bytes::from_static(b"1"))));
            Bytes::new()
        });
        Some(Self { subject, headers, payload })
    }
}

/// Whether a NATS header block can hold it, and give it back as it was.
fn can_carry(name: &[u8], value: &[u8]) -> bool {
    let plain_name = name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':');
    let no_breaks = !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    // White space around a value is lost by clients.
    let trimmed = value.trim_ascii().len() == value.len();
    !name.is_empty() && plain_name && name != RAW_HEADER && name != NULL_VALUE && no_breaks && trimmed
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// URL-safe base64 without padding; nothing is `.`, which is no digit, so that no part is ever empty.
fn to_base64(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return ".".to_owned();
    }
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word =
            three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            out.push(char::from(BASE64[(word >> (18 - 6 * at)) as usize & 63]));
        }
    }
    out
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"." {
        return Some(Vec::new());
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for four in text.chunks(4) {
        if four.len() == 1 {
            return None;
        }
        let mut word = 0u32;
        for byte in four {
            word = word << 6 | BASE64.iter().position(|digit| digit == byte)? as u32;
        }
        word <<= 6 * (4 - four.len());
        out.extend_from_slice(&word.to_be_bytes()[1..four.len()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use duolog_types::{Nanos, Offset, TimestampMs};
    use proptest::prelude::*;

    use super::*;
    use crate::streams::subject::{is_literal, is_valid};

    fn topic() -> Root {
        Root::Topic("orders".into())
    }

    /// The record of a message, as the log gives it back.
    fn record(root: &Root, subject: &str, headers: &[Header], payload: &[u8]) -> Record {
        let headers: Vec<HeaderRef<'_>> =
            headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
        let message = Publish { subject, headers: &headers, payload, arrival: Nanos(0) };
        with_record(root, &message, |key, value, headers| Record {
            offset: Offset(0),
            timestamp: TimestampMs(0),
            key: key.map(Bytes::copy_from_slice),
            value: value.map(Bytes::copy_from_slice),
            headers: headers
                .iter()
                .map(|(name, value)| (Bytes::copy_from_slice(name), value.map(Bytes::copy_from_slice)))
                .collect(),
        })
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..12),
            "[a-c.%* >é\r\n:-]{0,9}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn keys_survive_being_subjects(key in bytes()) {
            let subject = topic().subject_of(Some(&key)).unwrap();
            prop_assert!(is_valid(&subject) && is_literal(&subject), "{subject:?}");
            prop_assert_eq!(topic().key_of(&subject), (Some(key), false));
        }

        #[test]
        fn subjects_survive_being_keys(rest in "[a-c%0-9A-F.-]{1,9}") {
            let subject = format!("orders.{rest}");
            prop_assume!(is_valid(&subject));
            let stored = record(&topic(), &subject, &[], b"x");
            prop_assert_eq!(Seen::of(&stored, &topic()).unwrap().subject, subject);
        }

        #[test]
        fn records_survive_being_messages(
            key in prop::option::of(bytes()),
            value in prop::option::of(bytes()),
            headers in prop::collection::vec((bytes(), prop::option::of(bytes())), 0..4),
        ) {
            let headers: Vec<Header> = headers
                .into_iter()
                .map(|(name, value)| (Bytes::from(name), value.map(Bytes::from)))
                .filter(|(name, _)| name != SUBJECT)
                .collect();
            let original = Record {
                offset: Offset(0),
                timestamp: TimestampMs(0),
                key: key.map(Bytes::from),
                value: value.map(Bytes::from),
                headers,
            };
            let seen = Seen::of(&original, &topic()).unwrap();
            let again = record(&topic(), &seen.subject, &seen.headers, &seen.payload);
            prop_assert_eq!(&again.key, &original.key);
            prop_assert_eq!(&again.value, &original.value);
            // An empty name can't come back: no client makes one.
            if original.headers.iter().all(|(name, _)| !name.is_empty()) {
                prop_assert_eq!(&again.headers, &original.headers);
            }
        }
    }

    #[test]
    fn escapes_are_as_documented() {
        for (key, subject) in [
            (&b"eu.1"[..], "orders.eu.1"),
            (b"", "orders.%-"),
            (b"a..b", "orders.a.%-.b"),
            (b"a b", "orders.a%20b"),
            (b"*", "orders.%2A"),
            (b"100%", "orders.100%25"),
            (b"\xff\xc3\xa9", "orders.%FFé"),
        ] {
            assert_eq!(topic().subject_of(Some(key)).unwrap(), subject);
        }
        assert_eq!(topic().subject_of(None).unwrap(), "orders");
        assert_eq!(topic().key_of("orders"), (None, false));
        assert_eq!(topic().key_of("orders.%zz"), (Some(b"%zz".to_vec()), true));
        assert_eq!(Root::Empty.subject_of(Some(b"a b")), None);
        assert_eq!(Root::Empty.subject_of(None), None);
    }
}
