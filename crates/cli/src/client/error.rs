//! What can go wrong between this machine and a broker, in words that say what to do about it.

use std::io;
use std::time::Duration;

use kafka_wire_core::{DecodeError, EncodeError};

use super::error_code::ErrorCode;
use super::is_loopback;

/// Why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection: nothing was sent.
    #[error("could not reach {address}: {}{}", plain(source), unreachable_hint(address, source, seed.as_deref()))]
    Unreachable {
        /// Where nobody answered.
        address: String,
        /// Why.
        source: io::Error,
        /// The bootstrap address whose broker named `address`, if it isn't the bootstrap itself.
        seed: Option<String>,
    },
    /// No answer in time. The request may still take effect.
    #[error("no answer from {address} within {after:?} (waiting for {what})")]
    Timeout {
        /// Who didn't answer.
        address: String,
        /// What was waited for.
        what: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The connection ended inside an exchange. The request may have taken effect.
    #[error(
        "{address} closed the connection during {api}: {}; is it a Kafka broker without TLS and SASL?",
        plain(source)
    )]
    Disconnected {
        /// The peer.
        address: String,
        /// What was being asked.
        api: &'static str,
        /// What the socket said.
        source: io::Error,
    },
    /// The broker doesn't serve the API, or in no version that this client knows.
    #[error("{address} does not serve {api} in versions {}-{} (it serves {})", ours.0, ours.1, range(*theirs))]
    NotServed {
        /// The API's name.
        api: &'static str,
        /// The broker.
        address: String,
        /// Lowest and highest version of this client.
        ours: (i16, i16),
        /// Lowest and highest of the broker, if it serves the API at all.
        theirs: Option<(i16, i16)>,
    },
    /// The request can't be written in the negotiated version.
    #[error("cannot encode {api} version {version}: {source}")]
    Encode {
        /// The API's name.
        api: &'static str,
        /// The negotiated version.
        version: i16,
        /// What doesn't fit.
        source: EncodeError,
    },
    /// The answer isn't what its version says.
    #[error("{address} answered {api} version {version} with bytes that do not decode: {source}")]
    Decode {
        /// The API's name.
        api: &'static str,
        /// The negotiated version.
        version: i16,
        /// The broker.
        address: String,
        /// Where decoding stopped.
        source: DecodeError,
    },
    /// The answer belongs to another request.
    #[error("{address} answered request {got} when request {expected} was next")]
    WrongCorrelation {
        /// The broker.
        address: String,
        /// The request that waits.
        expected: i32,
        /// The request that was answered.
        got: i32,
    },
    /// Somebody named a broker that the cluster's metadata doesn't list.
    #[error("broker {node_id} is not in the cluster's metadata (no leader, or it just left)")]
    UnknownBroker {
        /// The id that was named; -1 is "none".
        node_id: i32,
    },
    /// The broker answered with an error code.
    #[error("{what}: {code}{}", detail(*code, message.as_deref()))]
    Broker {
        /// What was asked.
        what: String,
        /// Kafka's code.
        code: ErrorCode,
        /// What the broker says about it.
        message: Option<String>,
    },
    /// A record batch in an answer is broken.
    #[error("{topic}-{partition}: cannot read the batch at offset {offset}: {reason}")]
    BadBatch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The fetch's offset.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// Records that can't be made into a batch.
    #[error("cannot build a batch: {reason}")]
    Unbuildable {
        /// What doesn't fit.
        reason: String,
    },
    /// A partition that the topic doesn't have.
    #[error("topic {topic} has no partition {partition} (it has {count}: 0 to {})", count.saturating_sub(1))]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The number that was asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
}

impl ClientError {
    /// Whether the same request may well succeed a moment later, and can't take effect twice by being repeated
    /// because it was refused (or never sent).
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Broker { code, .. } => code.is_retriable(),
            Self::UnknownBroker { node_id } => *node_id >= 0,
            _ => false,
        }
    }

    /// The code that a broker answered with, if it did.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Adds, to an unreachable address that a broker advertised, who advertised it.
    pub(super) fn advertised(self, by_metadata: bool, bootstrap: &str) -> Self {
        match self {
            Self::Unreachable { address, source, .. } if by_metadata && address != bootstrap => {
                Self::Unreachable { address, source, seed: Some(bootstrap.to_owned()) }
            }
            other => other,
        }
    }
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the stream ended".to_owned(),
        io::ErrorKind::BrokenPipe => "broken pipe".to_owned(),
        _ => error.to_string(),
    }
}

fn unreachable_hint(address: &str, error: &io::Error, seed: Option<&str>) -> String {
    match seed {
        Some(seed) => format!(
            "; {seed} answers, but tells clients to connect there: set the broker's advertised address \
             (duolog: kafka.advertised) to one that this machine reaches"
        ),
        None if error.kind() == io::ErrorKind::ConnectionRefused && is_loopback(address) => {
            "; is the broker running? start it with `duolog`".to_owned()
        }
        None if error.kind() == io::ErrorKind::ConnectionRefused => "; is the broker running?".to_owned(),
        None => String::new(),
    }
}

fn range(versions: Option<(i16, i16)>) -> String {
    versions.map_or_else(|| "none".to_owned(), |(min, max)| format!("{min}-{max}"))
}

fn detail(code: ErrorCode, message: Option<&str>) -> String {
    match (message.filter(|message| !message.is_empty()), code.meaning()) {
        (Some(message), _) => format!(" ({message})"),
        (None, Some(meaning)) => format!(" ({meaning})"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_loopback_address_says_how_to_start_a_broker() {
        let refused = |address: &str, seed: Option<&str>| {
            ClientError::Unreachable {
                address: address.to_owned(),
                source: io::ErrorKind::ConnectionRefused.into(),
                seed: seed.map(str::to_owned),
            }
            .to_string()
        };
        assert_eq!(
            refused("127.0.0.1:9092", None),
            "could not reach 127.0.0.1:9092: connection refused; is the broker running? start it with `duolog`"
        );
        assert_eq!(
            refused("10.1.2.3:9092", None),
            "could not reach 10.1.2.3:9092: connection refused; is the broker running?"
        );
        assert!(refused("kafka:9092", Some("127.0.0.1:19092")).contains("127.0.0.1:19092 answers, but"));
    }

    #[test]
    fn a_broker_error_names_code_and_cause() {
        let error = ClientError::Broker {
            what: "create topic a/b".to_owned(),
            code: ErrorCode(17),
            message: Some("Topic name is invalid".to_owned()),
        };
        assert_eq!(error.to_string(), "create topic a/b: INVALID_TOPIC_EXCEPTION (Topic name is invalid)");
    }
}
