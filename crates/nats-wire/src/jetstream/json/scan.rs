//! Is this JSON, and where does the value end? Says what is wrong in the words of the reference's decoder (Go's
//! encoding/json), since clients show them to people and tests compare them.
//!
//! Iterative: what is nested costs a byte a level, up to [`MAX_DEPTH`]. Nothing is allocated for the values.

use super::quote::quote_char;

/// Levels that the reference's decoder allows.
pub(crate) const MAX_DEPTH: usize = 10_000;

/// Why a text isn't JSON. The `Display` is the reference's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    #[error("unexpected EOF")]
    UnexpectedEnd,
    #[error("invalid character {character} {context} at offset {offset}")]
    Character { character: String, context: String, offset: usize },
    #[error("invalid escape sequence `{sequence}` in string at offset {offset}")]
    Escape { sequence: String, offset: usize },
    #[error("exceeded max depth at offset {offset}")]
    Depth { offset: usize },
}

impl SyntaxError {
    /// The message without where that is.
    pub(crate) fn without_place(&self) -> String {
        match self {
            Self::UnexpectedEnd => "unexpected end of JSON input".to_string(),
            Self::Character { character, context, .. } => format!("invalid character {character} {context}"),
            Self::Escape { sequence, .. } => format!("invalid escape sequence `{sequence}` in string"),
            Self::Depth { .. } => "exceeded max depth".to_string(),
        }
    }
}

/// Behind the white space that begins at `at`.
pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// What may come next inside an array or an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Array,
    Object,
}

/// Where the value ends that begins at `at` (white space before it allowed): the index behind its last byte.
pub(crate) fn scan_value(text: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = skip_space(text, at);
    loop {
        // A value begins here.
        let first = *text.get(at).ok_or(SyntaxError::UnexpectedEnd)?;
        match first {
            b'[' | b'{' => {
                if open.len() == MAX_DEPTH {
                    return Err(SyntaxError::Depth { offset: at + 1 });
                }
                let kind = if first == b'[' { Open::Array } else { Open::Object };
                open.push(kind);
                at = skip_space(text, at + 1);
                let closed = match (kind, text.get(at)) {
                    (_, None) => return Err(SyntaxError::UnexpectedEnd),
                    (Open::Array, Some(b']')) | (Open::Object, Some(b'}')) => true,
                    (Open::Array, Some(_)) => false,
                    (Open::Object, Some(_)) => {
                        at = scan_key(text, at)?;
                        false
                    }
                };
                if !closed {
                    continue;
                }
                open.pop();
                at += 1;
            }
            b'"' => at = scan_string(text, at)?,
            b'-' | b'0'..=b'9' => at = scan_number(text, at)?,
            b't' => at = scan_literal(text, at, b"true")?,
            b'f' => at = scan_literal(text, at, b"false")?,
            b'n' => at = scan_literal(text, at, b"null")?,
            _ => return Err(character(text, at, "looking for beginning of value")),
        }
        // A value ended here: close what it ends, up to the next value.
        loop {
            let Some(innermost) = open.last() else { return Ok(at) };
            at = skip_space(text, at);
            match (innermost, text.get(at)) {
                (_, None) => return Err(SyntaxError::UnexpectedEnd),
                (Open::Array, Some(b',')) => {
                    at = skip_space(text, at + 1);
                    break;
                }
                (Open::Object, Some(b',')) => {
                    at = scan_key(text, skip_space(text, at + 1))?;
                    break;
                }
                (Open::Array, Some(b']')) | (Open::Object, Some(b'}')) => {
                    open.pop();
                    at += 1;
                }
                (Open::Array, Some(_)) => return Err(character(text, at, "after array element")),
                (Open::Object, Some(_)) => return Err(character(text, at, "after object key:value pair")),
            }
        }
    }
}

/// A key and its colon; back with where its value begins.
fn scan_key(text: &[u8], at: usize) -> Result<usize, SyntaxError> {
    match text.get(at) {
        None => return Err(SyntaxError::UnexpectedEnd),
        Some(b'"') => {}
        Some(_) => return Err(character(text, at, "looking for beginning of object key string")),
    }
    let at = skip_space(text, scan_string(text, at)?);
    match text.get(at) {
        None => Err(SyntaxError::UnexpectedEnd),
        Some(b':') => Ok(skip_space(text, at + 1)),
        Some(_) => Err(character(text, at, "after object key")),
    }
}

/// `at` is the opening quote; back with the index behind the closing one.
pub(crate) fn scan_string(text: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    at += 1;
    loop {
        match text.get(at) {
            None => return Err(SyntaxError::UnexpectedEnd),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = scan_escape(text, at)?,
            Some(0..=0x1f) => return Err(character(text, at, "in string")),
            Some(_) => at += 1,
        }
    }
}

/// `at` is the backslash; back with the index behind the escape.
fn scan_escape(text: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let bad = |end: usize| SyntaxError::Escape {
        sequence: String::from_utf8_lossy(&text[at..end]).into_owned(),
        offset: end,
    };
    match text.get(at + 1) {
        None => Err(SyntaxError::UnexpectedEnd),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match text.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            Some(_) => Err(bad(at + 6)),
            None => Err(SyntaxError::UnexpectedEnd),
        },
        Some(_) => Err(bad(at + 2)),
    }
}

fn scan_number(text: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    if text[at] == b'-' {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => scan_digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = scan_digits(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = scan_digits(text, at)?;
    }
    Ok(at)
}

/// One digit or more.
fn scan_digits(text: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let count = text[at.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (count, text.get(at)) {
        (0, None) => Err(SyntaxError::UnexpectedEnd),
        (0, Some(_)) => Err(character(text, at, "in numeric literal")),
        _ => Ok(at + count),
    }
}

fn scan_literal(text: &[u8], at: usize, literal: &[u8]) -> Result<usize, SyntaxError> {
    for (index, expected) in literal.iter().enumerate() {
        match text.get(at + index) {
            None => return Err(SyntaxError::UnexpectedEnd),
            Some(byte) if byte == expected => {}
            Some(_) => {
                let literal = String::from_utf8_lossy(literal);
                let context = format!("in literal {literal} (expecting '{}')", char::from(*expected));
                return Err(character(text, at + index, &context));
            }
        }
    }
    Ok(at + literal.len())
}

fn character(text: &[u8], at: usize, context: &str) -> SyntaxError {
    let (character, size) = quote_char(&text[at..]);
    SyntaxError::Character { character, context: context.into(), offset: at + size }
}
