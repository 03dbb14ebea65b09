//! Why a connection ended.

use crate::frame::FrameError;

/// Why a connection ended. What is the client's doing and needs an operator's eye is [`is_bad_input`].
///
/// [`is_bad_input`]: CloseReason::is_bad_input
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The client closed it between two requests.
    #[error("the client closed the connection")]
    PeerClosed,
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Draining,
    /// No frame could be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Writing a reply failed.
    #[error("write: {0}")]
    Write(std::io::Error),
    /// A request header or body can't be decoded.
    #[error("{what} can't be decoded: {detail}")]
    Malformed {
        /// Which part of which API.
        what: String,
        /// What is wrong.
        detail: String,
    },
    /// A request names an API that isn't served.
    #[error("API key {key} (version {version}) isn't served")]
    UnknownApi {
        /// The key asked for.
        key: i16,
        /// The version asked for.
        version: i16,
    },
    /// A request names a version that isn't served.
    #[error("{api} version {version} isn't served (served: {min}-{max})")]
    UnsupportedVersion {
        /// The API.
        api: &'static str,
        /// The version asked for.
        version: i16,
        /// Lowest served one.
        min: i16,
        /// Highest served one.
        max: i16,
    },
    /// A request is larger than its API may be.
    #[error("a {api} request of {bytes} bytes is larger than the {limit} bytes allowed")]
    RequestTooLarge {
        /// The API.
        api: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A Produce with acks=0 failed: the protocol has no other way to say so.
    #[error("a produce request with acks=0 failed: {detail}")]
    UnansweredProduce {
        /// What failed.
        detail: String,
    },
    /// No request for too long.
    #[error("no request for {seconds} s")]
    Idle {
        /// How long.
        seconds: u64,
    },
    /// A started frame doesn't come.
    #[error("a frame was begun and not finished for {seconds} s")]
    Stalled {
        /// How long.
        seconds: u64,
    },
    /// The client takes no replies.
    #[error("the client took no byte of its replies for {seconds} s")]
    NotReading {
        /// How long.
        seconds: u64,
    },
    /// Too many connections.
    #[error("{open} connections are open, the limit is {limit}{scope}")]
    TooMany {
        /// How many are open.
        open: usize,
        /// The limit.
        limit: usize,
        /// Of whom.
        scope: &'static str,
    },
    /// The log has stopped; what was waiting was told so.
    #[error("the log has stopped: {0}")]
    LogStopped(String),
    /// A handler made a response that its version can't carry, or panicked: our mistake.
    #[error("internal error: {0}")]
    Internal(String),
}

impl CloseReason {
    /// Whether the client sent what it shouldn't have.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Frame(FrameError::Io(_))
            | Self::PeerClosed
            | Self::Draining
            | Self::Write(_)
            | Self::Idle { .. }
            | Self::UnansweredProduce { .. }
            | Self::LogStopped(_)
            | Self::Internal(_) => false,
            Self::Frame(_)
            | Self::Malformed { .. }
            | Self::UnknownApi { .. }
            | Self::UnsupportedVersion { .. }
            | Self::RequestTooLarge { .. }
            | Self::Stalled { .. }
            | Self::NotReading { .. }
            | Self::TooMany { .. } => true,
        }
    }
}
