//! What can go wrong between this machine and a NATS server, in words that say what to do about it.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::{ConnectErrorKind, PublishError, RequestError};
use duolog_nats_wire::jetstream::error::{CONSUMER_NOT_FOUND, ErrorKind, NO_MESSAGE_FOUND, STREAM_NOT_FOUND};

use super::Nats;
use crate::client::is_loopback;

/// Why a request to a NATS server has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// No connection: nothing was sent.
    #[error("could not reach {address}: {reason}")]
    Unreachable {
        /// Where nobody answered.
        address: String,
        /// Why, and what to try.
        reason: String,
    },
    /// Not with this user, password or token.
    #[error(
        "{address} refuses the connection: authorization violation; give --user and --password, or --token"
    )]
    Unauthorized {
        /// Who refused.
        address: String,
    },
    /// No answer in time. The request may still take effect.
    #[error("no answer within {after:?} (waiting for {what})")]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
    },
    /// Nobody subscribes to the subject.
    #[error("nobody listens on {subject} (no responders)")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// Nobody answers JetStream's API.
    #[error(
        "{address} has no JetStream: nobody answers {subject}; switch it on there (nats-server: `--jetstream`)"
    )]
    NoJetStream {
        /// The server.
        address: String,
        /// What was asked.
        subject: String,
    },
    /// No stream takes a message of this subject.
    #[error(
        "no stream takes {subject}: nobody acknowledged it; make one with \
         `duolog stream create NAME --subject '{subject}'`"
    )]
    NoStream {
        /// The subject.
        subject: String,
    },
    /// JetStream said no.
    #[error("{what}: {description} ({err_code}){}", hint(*err_code))]
    Api {
        /// What was asked.
        what: String,
        /// The kind of error, as HTTP would say it.
        code: u16,
        /// Which error.
        err_code: u16,
        /// The server's words.
        description: String,
    },
    /// The server said `-ERR`, or the client refused to send.
    #[error("{address}: {text}")]
    Server {
        /// The server.
        address: String,
        /// What it said.
        text: String,
    },
    /// The answer isn't what JetStream answers.
    #[error("{address} answered {what} with what can't be read: {reason}")]
    Unreadable {
        /// The server.
        address: String,
        /// What was asked.
        what: String,
        /// Where it ends.
        reason: String,
    },
    /// The message is too large for the server.
    #[error(
        "{subject}: headers and payload are over the server's max_payload of {limit} bytes; nothing was sent"
    )]
    TooLarge {
        /// The subject.
        subject: String,
        /// The limit.
        limit: usize,
    },
    /// A pull request ended with a status.
    #[error("{what}: {status} {description}{}", status_hint(description))]
    Status {
        /// What was asked.
        what: String,
        /// The number.
        status: u16,
        /// The server's words.
        description: String,
    },
}

impl NatsError {
    /// Whether JetStream answered with this error.
    #[must_use]
    pub fn is(&self, kind: ErrorKind) -> bool {
        matches!(self, Self::Api { err_code, .. } if *err_code == kind.err_code)
    }

    pub(super) fn no_connection(address: &str, after: Duration) -> Self {
        Self::Timeout { what: format!("a connection to {address}; is a NATS server there?"), after }
    }

    pub(super) fn connect(address: String, after: Duration, error: &async_nats::ConnectError) -> Self {
        let source = error.source();
        let io = source.and_then(|source| source.downcast_ref::<io::Error>());
        let said = source.map_or_else(|| error.to_string(), ToString::to_string);
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Self::Unauthorized { address }
            }
            ConnectErrorKind::TimedOut => Self::no_connection(&address, after),
            _ if io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) => {
                let local = is_loopback(address.strip_prefix("nats://").unwrap_or(&address));
                let how = if local { " start it with `duolog`" } else { "" };
                let reason = format!("connection refused; is the broker running?{how}");
                Self::Unreachable { address, reason }
            }
            ConnectErrorKind::Io => {
                Self::Unreachable { address, reason: format!("{said}; is it a NATS server?") }
            }
            _ => Self::Unreachable { address, reason: said },
        }
    }

    pub(super) fn request(nats: &Nats, subject: &str, error: &RequestError) -> Self {
        match error.kind() {
            RequestErrorKind::TimedOut => {
                Self::Timeout { what: format!("a reply on {subject}"), after: nats.timeout() }
            }
            RequestErrorKind::NoResponders => Self::NoResponders { subject: subject.to_owned() },
            RequestErrorKind::MaxPayloadExceeded => {
                Self::TooLarge { subject: subject.to_owned(), limit: nats.max_payload() }
            }
            RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
                Self::Server { address: nats.address().to_owned(), text: format!("{subject}: {error}") }
            }
        }
    }

    pub(super) fn publish(nats: &Nats, subject: &str, error: &PublishError) -> Self {
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                Self::TooLarge { subject: subject.to_owned(), limit: nats.max_payload() }
            }
            PublishErrorKind::InvalidSubject | PublishErrorKind::Send => {
                Self::Server { address: nats.address().to_owned(), text: format!("{subject}: {error}") }
            }
        }
    }
}

/// What to do about an error of JetStream's table.
fn hint(err_code: u16) -> &'static str {
    if err_code == STREAM_NOT_FOUND.err_code {
        "; `duolog stream list` shows what there is"
    } else if err_code == CONSUMER_NOT_FOUND.err_code {
        "; `duolog consumer list STREAM` shows what there is"
    } else if err_code == NO_MESSAGE_FOUND.err_code {
        "; `duolog stream describe STREAM` shows the first and the last sequence"
    } else {
        ""
    }
}

fn status_hint(description: &str) -> &'static str {
    if description.contains("push based") {
        "; it delivers to a subject by itself: read that with `duolog sub`"
    } else {
        ""
    }
}
