//! What consumers need of the stream behind them, and of the door in front of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use duolog_delivery::{Advisory, Delivery, Heartbeat, ReplyTo, Status};
use duolog_log::{AppendError, Entry, Watch, WatchGuard};
use duolog_types::{Lsn, Nanos, PartitionId, Sequence};

use super::Consumer;
use super::config::ConsumerConfig;
use crate::streams::{Delivery as Next, GetError, Message, Stream, StreamConfig, StreamState};

/// A read that is under way.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Vec<Message>, GetError>> + Send + 'a>>;

/// A stream, as far as its consumers go. Nothing here may call its consumers back.
pub trait Source: Send + Sync {
    /// The partition that it is: its identity, never used for another one.
    fn partition(&self) -> PartitionId;
    /// Its name.
    fn name(&self) -> Arc<str>;
    /// Its configuration.
    fn config(&self) -> Arc<StreamConfig>;
    /// Its state.
    fn state(&self) -> StreamState;
    /// The last sequence that consumers may see.
    fn last_durable(&self) -> Sequence;
    /// The first sequence that arrived at `time` or later; behind the last one if there is none.
    fn sequence_since(&self, time: Nanos) -> Sequence;
    /// A place for a filter (no subjects: everything) from a sequence on.
    fn place(&self, subjects: &[String], from: Sequence) -> Box<dyn Place>;
    /// Reads messages by their sequences; those that are gone are left out.
    fn read<'a>(&'a self, sequences: &'a [Sequence], bytes_max: usize) -> Reading<'a>;
    /// Takes messages away together with the entry's frames: both or neither survives a crash.
    ///
    /// # Errors
    /// Nothing happened, then.
    fn remove(&self, entry: Entry, sequences: &[Sequence]) -> Result<Lsn, AppendError>;
    /// Registers for news: more to read, or the stream's end.
    fn watch(&self, watch: &Watch, token: u64) -> WatchGuard;
}

/// A place in a stream, for a filter.
pub trait Place: Send {
    /// The next message that is durable and matches.
    fn peek(&self) -> Option<Next>;
    /// The next `count` of them.
    fn ahead(&self, count: usize) -> Vec<Sequence>;
    /// From where on the next message is looked for.
    fn position(&self) -> Sequence;
    /// Goes elsewhere.
    fn seek(&self, from: Sequence);
    /// How many messages match from here on.
    fn pending(&self) -> u64;
    /// Whether the message of a sequence matches; none if there is no such message (any more).
    fn matches(&self, sequence: Sequence) -> Option<bool>;
    /// The last message that matches.
    fn last(&self) -> Option<Sequence>;
    /// The last message of each subject that matches, ascending, up to a sequence.
    fn last_per_subject(&self, up_to: Sequence) -> Vec<Sequence>;
}

/// A message on its way to a client.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Whose.
    pub consumer: &'a Consumer,
    /// Its settings: the deliver subject, whether the payload is left out.
    pub config: &'a ConsumerConfig,
    /// The delivery: where it goes, its numbers.
    pub delivery: &'a Delivery,
    /// The message.
    pub message: &'a Message,
}

/// The door, as far as deliveries go. Called under a consumer's lock: must not block, and must not call the consumers.
/// What is handed over for one consumer leaves in this order, each thing when its `lsn` is durable; it never falls.
pub trait Sink: Send + Sync {
    /// Hands a message over. If nobody listens when it leaves: [`Consumers::not_delivered`](super::Consumers).
    fn deliver(&self, outgoing: &Outgoing<'_>, lsn: Lsn);
    /// Tells a request something.
    fn status(&self, to: &ReplyTo, status: &Status, lsn: Lsn);
    /// Sends a sign of life.
    fn heartbeat(&self, consumer: &Consumer, config: &ConsumerConfig, heartbeat: &Heartbeat, lsn: Lsn);
    /// Asks a push consumer's receiver whether it keeps up.
    fn flow_control(&self, consumer: &Consumer, config: &ConsumerConfig, id: u64, lsn: Lsn);
    /// Says that what was asked is done.
    fn confirm(&self, to: &ReplyTo, lsn: Lsn);
    /// Tells operators.
    fn advisory(&self, consumer: &Consumer, advisory: &Advisory);
    /// A message was acknowledged, by itself, of a consumer whose acknowledgements are measured
    /// ([`ConsumerConfig::sample_percent`]).
    fn acknowledged(&self, consumer: &Consumer, config: &ConsumerConfig, acknowledged: &Acknowledged) {
        let _ = (consumer, config, acknowledged);
    }
    /// A consumer was deleted because nobody used it.
    fn deleted(&self, consumer: &Consumer, lsn: Lsn);
    /// What a client receives with a delivery beside the message: the ack subject's length.
    fn envelope_bytes(&self, consumer: &Consumer, delivery: &Delivery, time: Nanos) -> u64;
    /// Whether anybody listens on a subject.
    fn has_interest(&self, subject: &[u8]) -> bool;
    /// Ends when there is room for more deliveries: nothing is read for a consumer before.
    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

/// An acknowledgement, for whoever measures them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The message.
    pub sequence: Sequence,
    /// The delivery that was acknowledged.
    pub number: u64,
    /// How often the message was delivered.
    pub count: u32,
    /// How long ago, the last time.
    pub held: std::time::Duration,
}

/// Nobody in front: before the door is there, and where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl Sink for NoSink {
    fn deliver(&self, _: &Outgoing<'_>, _: Lsn) {}
    fn status(&self, _: &ReplyTo, _: &Status, _: Lsn) {}
    fn heartbeat(&self, _: &Consumer, _: &ConsumerConfig, _: &Heartbeat, _: Lsn) {}
    fn flow_control(&self, _: &Consumer, _: &ConsumerConfig, _: u64, _: Lsn) {}
    fn confirm(&self, _: &ReplyTo, _: Lsn) {}
    fn advisory(&self, _: &Consumer, _: &Advisory) {}
    fn deleted(&self, _: &Consumer, _: Lsn) {}
    fn envelope_bytes(&self, _: &Consumer, _: &Delivery, _: Nanos) -> u64 {
        0
    }
    fn has_interest(&self, _: &[u8]) -> bool {
        false
    }
}

/// A stream of the broker.
#[derive(Clone)]
pub(crate) struct StreamSource {
    stream: Arc<Stream>,
    partition: PartitionId,
}

impl StreamSource {
    pub(crate) fn new(stream: Arc<Stream>) -> Self {
        let partition = stream.partition().id();
        Self { stream, partition }
    }
}

impl Source for StreamSource {
    fn partition(&self) -> PartitionId {
        self.partition
    }

    fn name(&self) -> Arc<str> {
        self.stream.name().clone()
    }

    fn config(&self) -> Arc<StreamConfig> {
        self.stream.config()
    }

    fn state(&self) -> StreamState {
        self.stream.state()
    }

    fn last_durable(&self) -> Sequence {
        self.stream.last_durable()
    }

    fn sequence_since(&self, time: Nanos) -> Sequence {
        self.stream.sequence_since(time)
    }

    fn place(&self, subjects: &[String], from: Sequence) -> Box<dyn Place> {
        Box::new(StreamPlace(self.stream.cursor(subjects, from)))
    }

    fn read<'a>(&'a self, sequences: &'a [Sequence], bytes_max: usize) -> Reading<'a> {
        Box::pin(self.stream.read(sequences, bytes_max))
    }

    fn remove(&self, entry: Entry, sequences: &[Sequence]) -> Result<Lsn, AppendError> {
        self.stream.remove(entry, sequences)
    }

    fn watch(&self, watch: &Watch, token: u64) -> WatchGuard {
        self.stream.watch(watch, token)
    }
}

struct StreamPlace(crate::streams::Cursor);

impl Place for StreamPlace {
    fn peek(&self) -> Option<Next> {
        self.0.peek()
    }

    fn ahead(&self, count: usize) -> Vec<Sequence> {
        self.0.ahead(count)
    }

    fn position(&self) -> Sequence {
        self.0.position()
    }

    fn seek(&self, from: Sequence) {
        self.0.seek(from);
    }

    fn pending(&self) -> u64 {
        self.0.pending()
    }

    fn matches(&self, sequence: Sequence) -> Option<bool> {
        self.0.matches_sequence(sequence)
    }

    fn last(&self) -> Option<Sequence> {
        self.0.last()
    }

    fn last_per_subject(&self, up_to: Sequence) -> Vec<Sequence> {
        self.0.last_per_subject(up_to)
    }
}
