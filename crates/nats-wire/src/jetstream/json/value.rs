//! A look at one value of a text that [`super::scan`] found to be JSON: nothing is copied until it is asked for.

use std::borrow::Cow;

use super::scan::{scan_string, scan_value, skip_space};

/// One value, from its first byte to its last.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    raw: &'a [u8],
}

/// What a value is, in the words of the reference's messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

impl<'a> Value<'a> {
    /// `raw` is exactly one value that was scanned.
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    pub(crate) fn raw(&self) -> &'a [u8] {
        self.raw
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.raw.first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        unescape(self.raw)
    }

    /// What an array holds.
    pub(crate) fn elements(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (raw, mut at) = (self.raw, 1);
        std::iter::from_fn(move || {
            let begin = next_item(raw, at)?;
            let end = scan_value(raw, begin).ok()?;
            at = end;
            Some(Value { raw: &raw[begin..end] })
        })
    }

    /// What an object holds, in its own order, doubles included.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> + use<'a> {
        let (raw, mut at) = (self.raw, 1);
        std::iter::from_fn(move || {
            let begin = next_item(raw, at)?;
            let key_end = scan_string(raw, begin).ok()?;
            let value_begin = skip_space(raw, skip_space(raw, key_end) + 1);
            let end = scan_value(raw, value_begin).ok()?;
            at = end;
            Some((unescape(&raw[begin..key_end]), Value { raw: &raw[value_begin..end] }))
        })
    }
}

/// Behind the comma, if there is one; `None` at the closing bracket.
fn next_item(raw: &[u8], at: usize) -> Option<usize> {
    let at = skip_space(raw, at);
    match raw.get(at)? {
        b']' | b'}' => None,
        b',' => Some(skip_space(raw, at + 1)),
        _ => Some(at),
    }
}

/// The text of a string with its quotes; what isn't UTF-8 becomes U+FFFD, as the reference has it.
fn unescape(quoted: &[u8]) -> Cow<'_, str> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let lossy = String::from_utf8_lossy(inner);
    if !inner.contains(&b'\\') {
        return lossy;
    }
    let mut text = String::with_capacity(lossy.len());
    let mut rest = lossy.as_ref();
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (character, taken) = unescape_one(&rest.as_bytes()[at..]);
        text.push(character);
        rest = &rest[at + taken..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The escape at the beginning of `text` and how long it is. It was scanned, so it is whole.
fn unescape_one(text: &[u8]) -> (char, usize) {
    let simple = match text.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_unicode(text),
        Some(other) => char::from(*other),
        None => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (simple, 2)
}

fn unescape_unicode(text: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(text.get(at + 2..at + 6)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, text.len().min(6)) };
    if (0xd800..0xdc00).contains(&first)
        && text.get(6..8) == Some(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(6)
    {
        let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}
