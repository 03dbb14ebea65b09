//! Why a connection ended.

use duolog_nats_wire::connect::ConnectError;
use duolog_nats_wire::{ErrorText, ParseError};

/// Why a connection ended. What needs an operator's eye is [`is_bad_input`](Self::is_bad_input).
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The client closed it.
    #[error("the client closed the connection")]
    PeerClosed,
    /// The client sent `-ERR`.
    #[error("the client gave up")]
    PeerGaveUp,
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Draining,
    /// The stream failed.
    #[error("read or write: {0}")]
    Io(#[from] std::io::Error),
    /// What came is no operation.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// CONNECT can't be read.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// INFO from a client, which isn't even JSON.
    #[error("INFO: {0}")]
    Info(serde_json::Error),
    /// HPUB from a client that didn't say that it has headers.
    #[error("HPUB without headers in CONNECT")]
    HeadersNotSupported,
    /// The client was told why.
    #[error("-ERR '{0}'")]
    Refused(ErrorText),
    /// The client takes too little of what it subscribed to.
    #[error("slow consumer: {pending} bytes wait, the limit is {limit}")]
    SlowConsumer {
        /// Bytes that waited.
        pending: usize,
        /// The limit: of the connection, or what is left of all connections' memory.
        limit: usize,
    },
    /// The client took nothing for too long.
    #[error("slow consumer: the client took no byte for {seconds} s")]
    NotReading {
        /// How long.
        seconds: u64,
    },
    /// A large message was begun and doesn't come.
    #[error("a message was begun and no byte of it came for {seconds} s")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// A handler panicked: our mistake.
    #[error("internal error: {0}")]
    Internal(String),
}

impl CloseReason {
    /// What the client is told before the end, if anything.
    #[must_use]
    pub fn told(&self) -> Option<ErrorText> {
        match self {
            Self::Refused(text) => Some(text.clone()),
            Self::Parse(ParseError::UnknownOperation) => Some(ErrorText::UnknownOperation),
            Self::Parse(ParseError::ControlLine { .. }) => Some(ErrorText::ControlLine),
            Self::Parse(ParseError::Payload { .. }) => Some(ErrorText::Payload),
            // The reference closes without a word here.
            Self::Parse(ParseError::Arguments { .. })
            | Self::Connect(_)
            | Self::Info(_)
            | Self::HeadersNotSupported
            | Self::PeerClosed
            | Self::PeerGaveUp
            | Self::Draining
            | Self::Io(_)
            | Self::SlowConsumer { .. }
            | Self::NotReading { .. }
            | Self::Stalled { .. }
            | Self::Internal(_) => None,
        }
    }

    /// Whether the client took too little: the reference's slow consumer.
    #[must_use]
    pub fn is_slow_consumer(&self) -> bool {
        matches!(self, Self::SlowConsumer { .. } | Self::NotReading { .. })
    }

    /// Whether the client sent what it shouldn't have, or did not take what it should.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::PeerClosed | Self::PeerGaveUp | Self::Draining | Self::Io(_) | Self::Internal(_) => false,
            Self::Refused(text) => *text != ErrorText::Stale,
            Self::Parse(_)
            | Self::Connect(_)
            | Self::Info(_)
            | Self::HeadersNotSupported
            | Self::SlowConsumer { .. }
            | Self::NotReading { .. }
            | Self::Stalled { .. } => true,
        }
    }
}
