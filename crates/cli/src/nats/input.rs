//! What the command line says about a message: its subject, headers and body.

use std::io::{IsTerminal, Read};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use duolog_nats_wire::subject;

use crate::exit::Failure;
use crate::output;

/// A subject that a message can be published to.
pub fn literal_subject(text: &str) -> Result<String, String> {
    pattern_subject(text)?;
    if subject::has_wildcard(text.as_bytes()) {
        return Err(format!("`{text}` stands for many subjects; a message goes to one, without * and >"));
    }
    Ok(text.to_owned())
}

/// A subject that can be subscribed to.
pub fn pattern_subject(text: &str) -> Result<String, String> {
    if subject::is_valid(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no subject: tokens between dots, none empty, no spaces, > only as the last"))
}

/// Headers as NATS has them.
///
/// # Errors
/// A name or value can't be written.
pub fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let bad = |reason: &dyn std::fmt::Display| Failure::Usage(format!("header {name}: {reason}"));
        if name.is_empty() {
            return Err(bad(&"it has no name"));
        }
        let parsed: HeaderName = name.parse().map_err(|error| bad(&error))?;
        let value: HeaderValue = value.parse().map_err(|error| bad(&error))?;
        map.append(parsed, value);
    }
    Ok(map)
}

/// The body that was given, or the whole of stdin: without one, or for `-`.
///
/// # Errors
/// Stdin can't be read.
pub async fn body(given: Option<String>) -> Result<Bytes, Failure> {
    if let Some(text) = given.filter(|text| text != "-") {
        return Ok(Bytes::from(text));
    }
    if std::io::stdin().is_terminal() {
        output::progress("type the body; end with Ctrl-D");
    }
    let (done, read) = tokio::sync::oneshot::channel();
    // A plain thread: reading a terminal or pipe can't be cancelled, and must not keep the process alive.
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let outcome = std::io::stdin().lock().read_to_end(&mut bytes).map(|_| Bytes::from(bytes));
        // Nobody waits any more: the command was interrupted.
        let _ = done.send(outcome);
    });
    let outcome = read.await.map_err(|_| Failure::Failed("reading stdin ended".to_owned()))?;
    outcome.map_err(|source| Failure::Io { what: "stdin".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_to_one_subject_and_a_subscription_to_many() {
        for good in ["a", "a.b-c", "$KV.b.k", "a.*b"] {
            assert_eq!(literal_subject(good).as_deref(), Ok(good));
        }
        for bad in ["", "a..b", ".a", "a.", "a b", "a.*", ">"] {
            assert!(literal_subject(bad).is_err(), "{bad}");
        }
        assert_eq!(pattern_subject("a.*.>").as_deref(), Ok("a.*.>"));
        assert!(pattern_subject("a.>.b").is_err());
    }

    #[test]
    fn a_header_that_would_forge_a_line_is_refused() {
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert!(header_map(&pair("A", "1")).is_ok());
        for (name, value) in [("A", "1\r\nB: 2"), ("A:B", "1"), ("", "1")] {
            assert!(header_map(&pair(name, value)).is_err(), "{name:?} {value:?}");
        }
    }
}
