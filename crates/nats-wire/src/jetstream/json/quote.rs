//! How Go prints what it quotes in its messages: `%q` of a text and of one character.

use std::fmt::Write as _;

/// The first character of `text` in single quotes, and how many bytes of the text it takes.
pub(crate) fn quote_char(text: &[u8]) -> (String, usize) {
    let head = &text[..text.len().min(4)];
    let character = match std::str::from_utf8(head) {
        Ok(valid) => valid.chars().next(),
        Err(error) => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok().and_then(|valid| valid.chars().next())
        }
    };
    let mut quoted = String::from("'");
    let size = match character {
        Some('\'') => {
            quoted.push_str("\\'");
            1
        }
        Some('"') => {
            quoted.push('"');
            1
        }
        Some(character) => {
            push_escaped(&mut quoted, character);
            character.len_utf8()
        }
        None => {
            let _ = write!(quoted, "\\x{:02x}", head.first().copied().unwrap_or_default());
            1
        }
    };
    quoted.push('\'');
    (quoted, size)
}

/// `text` in double quotes.
pub(crate) fn quote(text: &[u8]) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => quoted.push_str("\\\""),
                other => push_escaped(&mut quoted, other),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(out: &mut String, character: char) {
    match character {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        other if (other as u32) < 0x20 || other == '\u{7f}' => {
            let _ = write!(out, "\\x{:02x}", other as u32);
        }
        // Go asks its Unicode tables; these are the ones that ours can tell without any.
        other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
            let _ = write!(out, "\\u{:04x}", other as u32);
        }
        other => out.push(other),
    }
}
