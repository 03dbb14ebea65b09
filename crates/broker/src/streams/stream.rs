//! The handle on one stream.

use std::sync::Arc;

use duolog_log::{AppendError, Entry, ReadError, Watch, WatchGuard};
use duolog_types::{Lsn, Nanos, Sequence};

use super::{DeleteMessageError, GetError, Message, PubAck, Publish, PublishError, PurgeError, StreamConfig};
use crate::Partition;

/// Which door a stream was made through: its rules govern it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// NATS.
    Nats,
    /// Kafka: the stream is one partition of a topic.
    Kafka,
}

/// A stream: one partition, seen as JetStream sees it.
pub struct Stream {}

/// A stream's state at one moment (JetStream: `state`). The reply waits for `lsn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// How many messages there are.
    pub messages: u64,
    /// Their bytes, by JetStream's record size.
    pub bytes: u64,
    /// The first message's sequence; of an empty stream the next one that will be given, or 0 if there never was any.
    pub first_sequence: Sequence,
    /// The first message's time.
    pub first_time: Option<Nanos>,
    /// The last sequence that was given.
    pub last_sequence: Sequence,
    /// When.
    pub last_time: Option<Nanos>,
    /// How many subjects have messages.
    pub num_subjects: u64,
    /// How many sequences between the first and the last message have none.
    pub num_deleted: u64,
    /// The reply waits for this.
    pub lsn: Lsn,
}

/// Subjects and how many messages each has, by name. The reply waits for `lsn`.
#[derive(Clone, Debug, Default)]
pub struct SubjectCounts {
    /// Those of the page asked for.
    pub page: Vec<(String, u64)>,
    /// How many subjects match in all.
    pub total: usize,
    /// The reply waits for this.
    pub lsn: Lsn,
}

/// Which message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetQuery<'a> {
    /// The one of a sequence.
    Sequence(Sequence),
    /// The last of a subject (may have wildcards).
    LastBySubject(&'a str),
    /// The first of a subject (may have wildcards) from a sequence on.
    NextBySubject {
        /// The subject.
        subject: &'a str,
        /// From where on; 0 and 1 are the beginning.
        from: Sequence,
    },
    /// The first of a subject (none: any) that arrived at a time or later.
    SinceTime {
        /// The time.
        time: Nanos,
        /// The subject, wildcards allowed.
        subject: Option<&'a str>,
    },
}

/// A batch of messages in order (JetStream: batched direct get).
#[derive(Clone, Copy, Debug)]
pub struct BatchQuery<'a> {
    /// From where on. With `time` set it is ignored.
    pub from: Sequence,
    /// From which time on.
    pub time: Option<Nanos>,
    /// Of which subject; none: any.
    pub subject: Option<&'a str>,
    /// How many at most.
    pub messages_max: usize,
    /// How many bytes at most (at least one message comes).
    pub bytes_max: usize,
}

/// The last message of each of many subjects (JetStream: `multi_last`).
#[derive(Clone, Copy, Debug)]
pub struct MultiQuery<'a> {
    /// The subjects, wildcards allowed.
    pub subjects: &'a [&'a str],
    /// As of which sequence; `None`: now.
    pub up_to: Option<Sequence>,
    /// As of which time; `None`: now.
    pub up_to_time: Option<Nanos>,
    /// How many messages at most.
    pub messages_max: usize,
    /// How many bytes at most (at least one message comes).
    pub bytes_max: usize,
    /// How many subjects at most; more are [`GetError::TooMany`].
    pub subjects_max: usize,
}

/// Messages that were found together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The messages, each with the number of messages that match behind it (JetStream: `Nats-Num-Pending`).
    pub messages: Vec<(Message, u64)>,
    /// How many match behind the last one.
    pub pending: u64,
    /// The last sequence of the stream, or as of which it was asked (JetStream: `Nats-UpTo-Sequence`).
    pub up_to: Sequence,
    /// The reply waits for this.
    pub lsn: Lsn,
}

/// What to purge: everything, unless one of these says less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Only this subject's (wildcards allowed).
    pub subject: Option<String>,
    /// Only below this sequence. 0 is "not given".
    pub below: Sequence,
    /// But so many of the newest stay. 0 is "not given".
    pub keep: u64,
}

/// What was purged. The reply waits for `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// How many messages.
    pub messages: u64,
    /// The reply waits for this.
    pub lsn: Lsn,
}

/// Whether anybody wants a message: asked at each publish to a stream with [`RetentionPolicy::Interest`].
/// Called under the stream's lock: it must not call the stream.
///
/// [`RetentionPolicy::Interest`]: super::RetentionPolicy::Interest
pub trait Interest: Send + Sync {
    /// Whether a consumer's filter matches the subject.
    fn wants(&self, subject: &str) -> bool;
}

/// The next message that a filter lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its sequence.
    pub sequence: Sequence,
    /// When it arrived.
    pub time: Nanos,
    /// Its size by JetStream's record size.
    pub bytes: u32,
    /// How many messages match behind it.
    pub pending: u64,
}

/// A place in a stream, for a filter: what comes next, and how many are left. Exact at any moment: the stream counts for
/// each of its cursors what comes and goes. Dropping it ends the counting.
pub struct Cursor {}

#[expect(unused_variables, clippy::unimplemented, reason = "signatures first")]
impl Cursor {
    /// Takes the next message that is durable, if there is one, and moves behind it.
    pub fn take_next(&self) -> Option<Delivery> {
        unimplemented!()
    }

    /// The next message that would be taken.
    #[must_use]
    pub fn peek(&self) -> Option<Delivery> {
        unimplemented!()
    }

    /// How many messages match from the cursor's place on (JetStream: `num_pending`).
    #[must_use]
    pub fn pending(&self) -> u64 {
        unimplemented!()
    }

    /// From which sequence on the next message is looked for.
    #[must_use]
    pub fn position(&self) -> Sequence {
        unimplemented!()
    }

    /// Goes on at `from`, which may be anywhere.
    pub fn seek(&self, from: Sequence) {
        unimplemented!()
    }

    /// Whether the filter lets a subject through.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        unimplemented!()
    }

    /// Whether the filter lets through the message of a sequence, if it is (still) there.
    #[must_use]
    pub fn matches_sequence(&self, sequence: Sequence) -> Option<bool> {
        unimplemented!()
    }

    /// The last message of each subject that the filter lets through, in the order of sequences, up to `up_to`
    /// (JetStream: deliver policy last per subject).
    #[must_use]
    pub fn last_per_subject(&self, up_to: Sequence) -> Vec<Sequence> {
        unimplemented!()
    }

    /// The last message that the filter lets through.
    #[must_use]
    pub fn last(&self) -> Option<Sequence> {
        unimplemented!()
    }
}

#[expect(unused_variables, clippy::unimplemented, reason = "signatures first")]
impl Stream {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        unimplemented!()
    }

    /// Its configuration, with defaults written in. Of a topic's partition: what its configs mean.
    #[must_use]
    pub fn config(&self) -> Arc<StreamConfig> {
        unimplemented!()
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Nanos {
        unimplemented!()
    }

    /// Which door it was made through.
    #[must_use]
    pub fn origin(&self) -> Origin {
        unimplemented!()
    }

    /// The partition that it is.
    #[must_use]
    pub fn partition(&self) -> &Arc<Partition> {
        unimplemented!()
    }

    /// The newest entry that its state includes: a reply that reveals anything of it waits for this.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        unimplemented!()
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> StreamState {
        unimplemented!()
    }

    /// Subjects that `filter` lets through and their counts: `limit` of them from the `offset`th on, by name.
    #[must_use]
    pub fn subjects(&self, filter: &str, offset: usize, limit: usize) -> SubjectCounts {
        unimplemented!()
    }

    /// The sequences between the first and the last message that have none: the first `limit`.
    #[must_use]
    pub fn deleted(&self, limit: usize) -> Vec<Sequence> {
        unimplemented!()
    }

    /// Stores a message. The hot path: no await, no disk.
    ///
    /// # Errors
    /// See [`PublishError`]; the reply waits for [`Stream::changed`].
    pub fn publish(&self, message: Publish<'_>) -> Result<PubAck, PublishError> {
        unimplemented!()
    }

    /// One message, and what the reply waits for (which has happened, unless it says [`GetError::NotFound`]: then
    /// for [`Stream::changed`]).
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get(&self, query: GetQuery<'_>) -> Result<Message, GetError> {
        unimplemented!()
    }

    /// Messages in order.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get_batch(&self, query: BatchQuery<'_>) -> Result<Batch, GetError> {
        unimplemented!()
    }

    /// The last message of each subject, in the order of sequences.
    ///
    /// # Errors
    /// See [`GetError`].
    pub async fn get_last_of_each(&self, query: MultiQuery<'_>) -> Result<Batch, GetError> {
        unimplemented!()
    }

    /// Reads messages by their sequences (rising). Those that are gone meanwhile are left out. Stops before
    /// `bytes_max`, but gives at least one.
    ///
    /// # Errors
    /// What the log said.
    pub async fn read(&self, sequences: &[Sequence], bytes_max: usize) -> Result<Vec<Message>, GetError> {
        unimplemented!()
    }

    /// Deletes many messages. Consumers must be told by the caller: what was deleted is below
    /// [`StreamState::first_sequence`] or missing.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub fn purge(&self, purge: &Purge) -> Result<Purged, PurgeError> {
        unimplemented!()
    }

    /// Deletes one message.
    ///
    /// # Errors
    /// See [`DeleteMessageError`].
    pub fn delete_message(&self, sequence: Sequence) -> Result<Lsn, DeleteMessageError> {
        unimplemented!()
    }

    /// A place for a filter (no subjects: everything) from a sequence on.
    #[must_use]
    pub fn cursor(self: &Arc<Self>, subjects: &[String], from: Sequence) -> Cursor {
        unimplemented!()
    }

    /// The sequence of the first message that arrived at `time` or later; behind the last one if there is none.
    #[must_use]
    pub fn sequence_since(&self, time: Nanos) -> Sequence {
        unimplemented!()
    }

    /// The last sequence that readers may see.
    #[must_use]
    pub fn last_durable(&self) -> Sequence {
        unimplemented!()
    }

    /// Takes messages away together with what `entry` says (an ack's frames), in one entry: both or neither survives a
    /// crash. Sequences that aren't there are no error. Work-queue and interest streams.
    ///
    /// # Errors
    /// Nothing happened, then.
    pub fn remove(&self, entry: Entry, sequences: &[Sequence]) -> Result<Lsn, AppendError> {
        unimplemented!()
    }

    /// Who is asked whether a message is wanted. Nobody: none is.
    pub fn set_interest(&self, interest: Option<Arc<dyn Interest>>) {
        unimplemented!()
    }

    /// Registers `watch` for news: more to read, or the stream's end.
    #[must_use]
    pub fn watch(&self, watch: &Watch, token: u64) -> WatchGuard {
        unimplemented!()
    }
}

const _: fn(ReadError) -> GetError = GetError::Storage;
