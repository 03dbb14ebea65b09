//! What `-ERR` says, to the letter, and whether the connection goes on.

use std::fmt;

/// The text of one `-ERR`. `Display` gives what stands between the quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorText {
    /// No operation.
    UnknownOperation,
    /// Wrong credentials, or none where some are needed.
    Authorization,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// Pings went unanswered.
    Stale,
    /// A message is too large.
    Payload,
    /// A control line is too long.
    ControlLine,
    /// The server has as many connections as it may.
    Connections,
    /// The connection has as many subscriptions as it may.
    Subscriptions,
    /// CONNECT asked for a protocol that there isn't.
    Protocol,
    /// CONNECT asked for no_responders without headers.
    NoRespondersWithoutHeaders,
    /// A pedantic client published to what isn't a literal subject.
    PublishSubject,
    /// A subscription's subject can't be one.
    Subject,
    /// Publishing to this subject is not for clients.
    PublishPermission(Vec<u8>),
    /// Publishing with this reply subject is not for clients.
    ReplyPermission(Vec<u8>),
    /// Subscribing to this subject, in this queue group, is not for clients.
    SubscribePermission(Vec<u8>, Option<Vec<u8>>),
}

impl ErrorText {
    /// Whether the connection is closed behind it.
    #[must_use]
    pub fn closes(&self) -> bool {
        match self {
            Self::UnknownOperation
            | Self::Authorization
            | Self::AuthenticationTimeout
            | Self::Stale
            | Self::Payload
            | Self::ControlLine
            | Self::Connections
            | Self::Protocol
            | Self::NoRespondersWithoutHeaders => true,
            Self::Subscriptions
            | Self::PublishSubject
            | Self::Subject
            | Self::PublishPermission(_)
            | Self::ReplyPermission(_)
            | Self::SubscribePermission(..) => false,
        }
    }
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOperation => f.write_str("Unknown Protocol Operation"),
            Self::Authorization => f.write_str("Authorization Violation"),
            Self::AuthenticationTimeout => f.write_str("Authentication Timeout"),
            Self::Stale => f.write_str("Stale Connection"),
            Self::Payload => f.write_str("Maximum Payload Violation"),
            Self::ControlLine => f.write_str("maximum control line exceeded"),
            Self::Connections => f.write_str("maximum connections exceeded"),
            Self::Subscriptions => f.write_str("maximum subscriptions exceeded"),
            Self::Protocol => f.write_str("invalid client protocol"),
            Self::NoRespondersWithoutHeaders => f.write_str("no responders requires headers support"),
            Self::PublishSubject => f.write_str("Invalid Publish Subject"),
            Self::Subject => f.write_str("Invalid Subject"),
            Self::PublishPermission(subject) => {
                write!(f, "Permissions Violation for Publish to {}", Quoted(subject))
            }
            Self::ReplyPermission(reply) => {
                write!(f, "Permissions Violation for Publish with Reply of {}", Quoted(reply))
            }
            Self::SubscribePermission(subject, None) => {
                write!(f, "Permissions Violation for Subscription to {}", Quoted(subject))
            }
            Self::SubscribePermission(subject, Some(queue)) => {
                let (subject, queue) = (Quoted(subject), Quoted(queue));
                write!(f, "Permissions Violation for Subscription to {subject} using queue {queue}")
            }
        }
    }
}

/// Bytes as Go's `%q` writes them: in double quotes, what can't be printed escaped.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '"' | '\\' => write!(f, "\\{letter}")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '\u{7}' => f.write_str("\\a")?,
                    '\u{8}' => f.write_str("\\b")?,
                    '\u{c}' => f.write_str("\\f")?,
                    '\u{b}' => f.write_str("\\v")?,
                    control if control.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(control))?,
                    control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                    plain => write!(f, "{plain}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_quoted_as_go_does() {
        let refused = ErrorText::PublishPermission(b"a\"\\\x01\xff.\xc3\xa9\n".to_vec());
        assert_eq!(
            refused.to_string(),
            "Permissions Violation for Publish to \"a\\\"\\\\\\x01\\xff.\u{e9}\\n\""
        );
        let refused = ErrorText::SubscribePermission(b"a".to_vec(), Some(b"_sys_".to_vec()));
        assert_eq!(
            refused.to_string(),
            "Permissions Violation for Subscription to \"a\" using queue \"_sys_\""
        );
        assert!(!refused.closes());
    }
}
