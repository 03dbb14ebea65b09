//! Messages without a payload that say how things stand: a header block with a status.

use std::fmt::{self, Display};

use super::time::Span;

/// What is said. `Display` is the header block, with its empty line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// A pull request's time is over.
    RequestTimeout(Unserved),
    /// A pull request that doesn't wait found nothing (any more).
    NoMessages,
    /// Others that wait will take all there is.
    RequestsPending,
    /// Nobody listens for a pull request any more.
    InterestExpired(Unserved),
    /// The next message is larger than the bytes that are left of a pull request.
    MessageSizeExceedsMaxBytes(Unserved),
    /// A pull request has its messages, and bytes left.
    BatchCompleted(Unserved),
    /// Too many pull requests wait.
    ExceededMaxWaiting,
    /// A pull request asks for more messages than the consumer allows.
    ExceededMaxRequestBatch(i64),
    /// One waits longer than the consumer allows.
    ExceededMaxRequestExpires(Span),
    /// One asks for more bytes than the consumer allows.
    ExceededMaxRequestMaxBytes(i64),
    /// The consumer isn't pulled from.
    ConsumerIsPushBased,
    /// The consumer is gone.
    ConsumerDeleted,
    /// The server stops.
    ServerShutdown(Unserved),
    /// The request needs a newer server.
    RequiredApiLevel,
    /// A pull request can't be understood.
    BadRequest(String),
    /// The consumer lives, and has nothing to deliver.
    IdleHeartbeat {
        /// The last delivery's number.
        consumer_sequence: u64,
        /// The last delivered sequence.
        stream_sequence: u64,
        /// The subject to answer on, if flow control waits for that.
        stalled: Option<String>,
    },
    /// Answer this when you have come so far.
    FlowControlRequest,
    /// `DIRECT.GET`: there is no such message.
    MessageNotFound,
    /// `DIRECT.GET`: none of the subjects has a message.
    NoResults,
    /// `DIRECT.GET`: too many subjects match.
    TooManyResults,
    /// `DIRECT.GET` without a body.
    EmptyRequest,
    /// `DIRECT.GET` with a body that contradicts itself.
    BadDirectRequest,
    /// `DIRECT.GET` with a body that isn't JSON.
    MalformedRequest,
    /// `DIRECT.GET`: the message can't be read, and why.
    Failed(String),
    /// `DIRECT.GET`: the end of a batch.
    EndOfBatch {
        /// Messages that would follow.
        pending: u64,
        /// The last sequence that was sent.
        last_sequence: u64,
        /// Where the view ends, for several subjects.
        up_to_sequence: Option<u64>,
    },
    /// A request that nobody answers.
    NoResponders {
        /// Its subject.
        subject: String,
    },
}

/// What a pull request was not given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unserved {
    /// Messages.
    pub messages: i64,
    /// Bytes.
    pub bytes: i64,
}

impl Status {
    /// The status and its description.
    fn line(&self) -> (u16, String) {
        let (code, text) = match self {
            Self::IdleHeartbeat { .. } => (100, "Idle Heartbeat"),
            Self::FlowControlRequest => (100, "FlowControl Request"),
            Self::EndOfBatch { .. } => (204, "EOB"),
            Self::BadRequest(why) => return (400, format!("Bad Request - {why}")),
            Self::NoMessages => (404, "No Messages"),
            Self::MessageNotFound => (404, "Message Not Found"),
            Self::NoResults => (404, "No Results"),
            Self::RequestTimeout(_) => (408, "Request Timeout"),
            Self::RequestsPending => (408, "Requests Pending"),
            Self::InterestExpired(_) => (408, "Interest Expired"),
            Self::EmptyRequest => (408, "Empty Request"),
            Self::BadDirectRequest => (408, "Bad Request"),
            Self::MalformedRequest => (408, "Malformed Request"),
            Self::MessageSizeExceedsMaxBytes(_) => (409, "Message Size Exceeds MaxBytes"),
            Self::BatchCompleted(_) => (409, "Batch Completed"),
            Self::ExceededMaxWaiting => (409, "Exceeded MaxWaiting"),
            Self::ExceededMaxRequestBatch(limit) => {
                return (409, format!("Exceeded MaxRequestBatch of {limit}"));
            }
            Self::ExceededMaxRequestExpires(limit) => {
                return (409, format!("Exceeded MaxRequestExpires of {limit}"));
            }
            Self::ExceededMaxRequestMaxBytes(limit) => {
                return (409, format!("Exceeded MaxRequestMaxBytes of {limit}"));
            }
            Self::ConsumerIsPushBased => (409, "Consumer is push based"),
            Self::ConsumerDeleted => (409, "Consumer Deleted"),
            Self::ServerShutdown(_) => (409, "Server Shutdown"),
            Self::RequiredApiLevel => (412, "Required Api Level"),
            Self::TooManyResults => (413, "Too Many Results"),
            // A line end in the reason would end the header.
            Self::Failed(why) => return (500, why.replace(['\r', '\n'], " ")),
            Self::NoResponders { .. } => (503, ""),
        };
        (code, text.into())
    }

    /// The header block, with its empty line.
    #[must_use]
    pub fn header_block(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, text) = self.line();
        write!(out, "NATS/1.0 {code}")?;
        if !text.is_empty() {
            write!(out, " {text}")?;
        }
        out.write_str("\r\n")?;
        match self {
            Self::RequestTimeout(unserved)
            | Self::InterestExpired(unserved)
            | Self::MessageSizeExceedsMaxBytes(unserved)
            | Self::BatchCompleted(unserved)
            | Self::ServerShutdown(unserved) => {
                let Unserved { messages, bytes } = unserved;
                write!(out, "Nats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}\r\n")?;
            }
            Self::IdleHeartbeat { consumer_sequence, stream_sequence, stalled } => {
                write!(
                    out,
                    "Nats-Last-Consumer: {consumer_sequence}\r\nNats-Last-Stream: {stream_sequence}\r\n"
                )?;
                if let Some(subject) = stalled {
                    write!(out, "Nats-Consumer-Stalled: {subject}\r\n")?;
                }
            }
            Self::EndOfBatch { pending, last_sequence, up_to_sequence } => {
                write!(out, "Nats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last_sequence}\r\n")?;
                if let Some(sequence) = up_to_sequence {
                    write!(out, "Nats-UpTo-Sequence: {sequence}\r\n")?;
                }
            }
            Self::NoResponders { subject } => write!(out, "Nats-Subject: {subject}\r\n")?,
            _ => {}
        }
        out.write_str("\r\n")
    }
}

/// The headers that `DIRECT.GET` puts behind a message's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectHeaders<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The message's subject.
    pub subject: &'a str,
    /// Its sequence.
    pub sequence: u64,
    /// When it came.
    pub time: super::time::Time,
    /// In a batch: messages that follow, and the sequence before this one of the batch.
    pub batch: Option<(u64, u64)>,
}

impl DirectHeaders<'_> {
    /// The header block: the message's own (`own`, from `NATS/1.0` to its empty line, or empty), then these.
    #[must_use]
    pub fn header_block(&self, own: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut block = Vec::with_capacity(own.len() + 160 + self.subject.len());
        block.extend_from_slice(own.strip_suffix(b"\r\n").unwrap_or(b"NATS/1.0\r\n"));
        let Self { stream, subject, sequence, time, batch } = self;
        // Writing to a vector can't fail.
        let _ = write!(
            block,
            "Nats-Stream: {stream}\r\nNats-Subject: {subject}\r\nNats-Sequence: {sequence}\r\nNats-Time-Stamp: {time}\r\n"
        );
        if let Some((pending, last)) = batch {
            let _ = write!(block, "Nats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last}\r\n");
        }
        block.extend_from_slice(b"\r\n");
        block
    }
}

#[cfg(test)]
mod tests {
    use super::super::time::Time;
    use super::*;

    #[test]
    fn status_blocks_are_the_reference_s() {
        let unserved = Unserved { messages: 3, bytes: 70 };
        for (status, block) in [
            (
                Status::RequestTimeout(unserved),
                "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 70\r\n\r\n",
            ),
            (Status::NoMessages, "NATS/1.0 404 No Messages\r\n\r\n"),
            (
                Status::ExceededMaxRequestExpires(Span::seconds(1)),
                "NATS/1.0 409 Exceeded MaxRequestExpires of 1s\r\n\r\n",
            ),
            (
                Status::IdleHeartbeat {
                    consumer_sequence: 2,
                    stream_sequence: 9,
                    stalled: Some("$JS.FC.A.c.x".into()),
                },
                "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 9\r\nNats-Consumer-Stalled: $JS.FC.A.c.x\r\n\r\n",
            ),
            (
                Status::EndOfBatch { pending: 0, last_sequence: 4, up_to_sequence: Some(4) },
                "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 4\r\nNats-UpTo-Sequence: 4\r\n\r\n",
            ),
            (Status::NoResponders { subject: "a.b".into() }, "NATS/1.0 503\r\nNats-Subject: a.b\r\n\r\n"),
        ] {
            assert_eq!(status.to_string(), block);
        }
    }

    #[test]
    fn direct_headers_stand_behind_the_message_s_own() {
        // nats-server 2.15.1.
        let headers = DirectHeaders {
            stream: "A",
            subject: "a.2",
            sequence: 3,
            time: Time::from_nanos(1_795_463_993_649_195_640),
            batch: None,
        };
        let added = "Nats-Stream: A\r\nNats-Subject: a.2\r\nNats-Sequence: 3\r\nNats-Time-Stamp: 2026-11-23T19:59:53.64919564Z\r\n\r\n";
        let block = |own: &str| String::from_utf8(headers.header_block(own.as_bytes())).unwrap();
        assert_eq!(block("NATS/1.0\r\nX: y\r\n\r\n"), format!("NATS/1.0\r\nX: y\r\n{added}"));
        assert_eq!(block(""), format!("NATS/1.0\r\n{added}"));
    }
}
