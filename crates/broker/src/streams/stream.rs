//! The handle on one stream.

use std::fmt;
use std::sync::{Arc, Weak};

use duolog_log::{AppendError, Entry, Watch, WatchGuard};
use duolog_types::{Lsn, Nanos, Offset, Sequence};
use parking_lot::MutexGuard;
use roaring::RoaringTreemap;

use super::core::{State, StreamCore, nanos};
use super::index::Filter;
use super::mapping::Root;
use super::publish::Target;
use super::{
    Cursor, DeleteMessageError, Message, PubAck, Publish, PublishError, PurgeError, StorageType, StreamConfig,
};
use crate::Partition;
use crate::catalog::TopicRecord;
use crate::partition::PartitionContext;

/// Which door a stream was made through: its rules govern it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// NATS.
    Nats,
    /// Kafka: the stream is one partition of a topic.
    Kafka,
}

/// A stream: one partition, seen as JetStream sees it.
pub struct Stream {
    name: Arc<str>,
    created: Nanos,
    origin: Origin,
    root: Root,
    partition: Arc<Partition>,
    core: Arc<StreamCore>,
    clock: Arc<dyn duolog_env::Clock>,
}

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
    /// The message with which so many bytes are reached (subject, header block and payload) is the last.
    pub bytes_max: usize,
}

/// The last message of each of many subjects (JetStream: `multi_last`).
#[derive(Clone, Copy, Debug)]
pub struct MultiQuery<'a> {
    /// The subjects, wildcards allowed.
    pub subjects: &'a [&'a str],
    /// Those below are passed over: they were on another page.
    pub from: Sequence,
    /// As of which sequence; `None`: now.
    pub up_to: Option<Sequence>,
    /// As of which time; `None`: now. What came at that very time is younger.
    pub up_to_time: Option<Nanos>,
    /// How many messages at most.
    pub messages_max: usize,
    /// The message with which so many bytes are reached (subject, header block and payload) is the last.
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

impl Stream {
    /// The stream that a partition is: everything that recovery left of it is there, and its limits are kept from here
    /// on.
    pub(crate) fn open(
        record: &TopicRecord,
        config: &Arc<StreamConfig>,
        partition: &Arc<Partition>,
        origin: Origin,
        context: &PartitionContext,
    ) -> Arc<Self> {
        let core = context.streams.open(partition.id(), config.storage);
        if origin == Origin::Nats && config.storage == StorageType::Memory {
            partition.log().hold_in_memory();
        }
        let root = match origin {
            Origin::Nats => Root::Empty,
            Origin::Kafka => Root::Topic(record.name.clone()),
        };
        let name = Arc::from(config.name.as_str());
        let stream = Self {
            name,
            created: record.created,
            origin,
            root,
            partition: partition.clone(),
            core,
            clock: context.clock.clone(),
        };
        stream.attach(config);
        partition.set_stream(stream.core.clone());
        Arc::new(stream)
    }

    fn attach(&self, config: &Arc<StreamConfig>) {
        let log = self.partition.log().clone();
        let now = nanos(self.clock.wall());
        let mut state = self.core.lock();
        state.log = Some(log.clone());
        state.config = Some(config.clone());
        state.index.starts_at(config.first_seq.max(1));
        if self.origin == Origin::Kafka {
            // Its index is built of the log when somebody asks.
            state.of_topic = true;
            return;
        }
        // A crash can have come between the stream's entry and this.
        let first = Sequence(config.first_seq.max(1)).offset();
        if log.end() < first
            && let Err(error) = log.skip_to(first)
        {
            tracing::warn!(stream = %self.name, %error, "the stream's first sequence could not be set");
        }
        state.catch_up_with_start(log.start());
        state.index.skip_to(Sequence::from(log.end()).0 - 1);
        state.settle(now);
        if let Err(error) = state.flush(true) {
            tracing::warn!(stream = %self.name, %error, "what is beyond the limits could not be deleted yet");
        }
        self.core.arm(&mut state);
    }

    /// Takes a new configuration over, whose entry is `lsn`: lower limits take effect at once.
    pub(crate) fn reconfigure(&self, config: Arc<StreamConfig>, lsn: Lsn) {
        let mut state = self.core.lock();
        state.config = Some(config);
        state.as_of = state.as_of.max(lsn);
        state.settle(nanos(self.clock.wall()));
        if let Err(error) = state.flush(true) {
            tracing::warn!(stream = %self.name, %error, "what is beyond the new limits could not be deleted yet");
        }
        self.core.arm(&mut state);
    }

    /// The state, under its lock; of a topic's partition with what became readable since it was last asked.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.core.lock();
        if self.origin == Origin::Kafka {
            super::topic::catch_up_now(&mut state, &self.root, &self.name);
        }
        state
    }

    pub(super) fn core(&self) -> &Arc<StreamCore> {
        &self.core
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its configuration, with defaults written in. Of a topic's partition: the defaults, without subjects.
    #[must_use]
    pub fn config(&self) -> Arc<StreamConfig> {
        self.core.lock().config.clone().unwrap_or_default()
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Nanos {
        self.created
    }

    /// Which door it was made through.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The partition that it is.
    #[must_use]
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// The newest entry that its state includes: a reply that reveals anything of it waits for this.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        self.core.lock().as_of
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> StreamState {
        self.lock().view()
    }

    /// Subjects that `filter` lets through and their counts: `limit` of them from the `offset`th on, by name.
    #[must_use]
    pub fn subjects(&self, filter: &str, offset: usize, limit: usize) -> SubjectCounts {
        let mut state = self.lock();
        let mut ids = state.index.subjects.matching(filter);
        ids.retain(|id| state.index.count_of(*id) > 0);
        let page = ids.iter().skip(offset).take(limit);
        let page = page.map(|id| (state.index.subjects.text(*id).to_owned(), state.index.count_of(*id)));
        SubjectCounts { page: page.collect(), total: ids.len(), lsn: state.as_of }
    }

    /// The sequences between the first and the last message that have none: the first `limit`.
    #[must_use]
    pub fn deleted(&self, limit: usize) -> Vec<Sequence> {
        self.lock().index.deleted(limit).into_iter().map(Sequence).collect()
    }

    /// Stores a message. The hot path: no await, no disk. The caller has more to store, or has it written behind the
    /// last one: [`Broker::commit_queued`](crate::Broker::commit_queued) or
    /// [`commit_soon`](crate::Broker::commit_soon).
    ///
    /// # Errors
    /// See [`PublishError`]; the reply waits for [`Stream::changed`].
    pub fn publish(&self, message: Publish<'_>) -> Result<PubAck, PublishError> {
        let target = Target { name: &self.name, origin: self.origin, root: &self.root, core: &self.core };
        target.publish(&message)
    }

    /// Deletes many messages. Cursors know at once; what consumers have pending below
    /// [`StreamState::first_sequence`] or missing is theirs to let go of.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub fn purge(&self, purge: &Purge) -> Result<Purged, PurgeError> {
        if purge.below > Sequence::ZERO && purge.keep > 0 {
            return Err(PurgeError::SequenceAndKeep);
        }
        if purge.below.0 > Offset::END_MAX.0 as u64 {
            return Err(PurgeError::SequenceTooLarge { sequence: purge.below });
        }
        let mut state = self.lock();
        let config = state.config.clone().unwrap_or_default();
        if config.sealed {
            return Err(PurgeError::Sealed);
        }
        if config.deny_purge {
            return Err(PurgeError::NotPermitted);
        }
        let patterns: Vec<String> = purge.subject.iter().filter(|subject| *subject != ">").cloned().collect();
        let filter = Filter::new(&patterns, &mut state.index);
        let mut below = if purge.below > Sequence::ZERO { purge.below.0 } else { u64::MAX };
        if purge.keep > 0 {
            let matching = state.index.count_matches(&filter, 0);
            let mut kept = u64::MAX;
            for _ in 0..purge.keep.min(matching) {
                kept = state.index.previous_match(&filter, kept.saturating_sub(1)).unwrap_or(kept);
            }
            below = if matching <= purge.keep { 0 } else { kept };
        }
        if below == u64::MAX && filter.is_everything() {
            state.has_begun = true;
        }
        let mut gone = Vec::new();
        let mut next = state.index.next_match(&filter, 0, below.saturating_sub(1));
        while let Some(sequence) = next {
            gone.push(sequence);
            next = state.index.next_match(&filter, sequence + 1, below.saturating_sub(1));
        }
        // A sequence beyond the last one: the stream goes on there.
        let beyond = below != u64::MAX && filter.is_everything() && below > state.index.last() + 1;
        let skipped =
            if beyond { Some(self.partition.log().skip_to(Sequence(below).offset())?) } else { None };
        for sequence in &gone {
            state.evict(*sequence);
        }
        if let Some(lsn) = skipped {
            state.index.skip_to(below - 1);
            state.as_of = state.as_of.max(lsn);
            state.dirty = true;
        }
        state.flush(true)?;
        self.core.arm(&mut state);
        Ok(Purged { messages: gone.len() as u64, lsn: state.as_of })
    }

    /// Deletes one message.
    ///
    /// # Errors
    /// See [`DeleteMessageError`].
    pub fn delete_message(&self, sequence: Sequence) -> Result<Lsn, DeleteMessageError> {
        let mut state = self.lock();
        let config = state.config.clone().unwrap_or_default();
        if config.sealed {
            return Err(DeleteMessageError::Sealed);
        }
        if config.deny_delete {
            return Err(DeleteMessageError::NotPermitted);
        }
        if state.evict(sequence.0).is_none() {
            return Err(DeleteMessageError::NotFound { sequence });
        }
        state.flush(true)?;
        Ok(state.as_of)
    }

    /// A place for a filter (no subjects: everything) from a sequence on.
    #[must_use]
    pub fn cursor(self: &Arc<Self>, subjects: &[String], from: Sequence) -> Cursor {
        Cursor::new(self, subjects, from)
    }

    /// The sequence of the first message that arrived at `time` or later; behind the last one if there is none.
    #[must_use]
    pub fn sequence_since(&self, time: Nanos) -> Sequence {
        let state = self.lock();
        Sequence(state.index.since(nanos(time)).unwrap_or(state.index.last() + 1))
    }

    /// The last sequence that readers may see.
    #[must_use]
    pub fn last_durable(&self) -> Sequence {
        Sequence(self.core.lock().last_durable())
    }

    /// Takes messages away together with what `entry` says (an ack's frames), in one entry: both or neither survives a
    /// crash. Sequences that aren't there are no error. Work-queue and interest streams.
    ///
    /// # Errors
    /// Nothing happened, then.
    pub fn remove(&self, entry: Entry, sequences: &[Sequence]) -> Result<Lsn, AppendError> {
        let mut state = self.lock();
        let there: Vec<u64> =
            sequences.iter().map(|sequence| sequence.0).filter(|s| state.index.get(*s).is_some()).collect();
        let offsets: RoaringTreemap = there.iter().map(|sequence| sequence - 1).collect();
        let entry = match offsets.is_empty() {
            true => entry,
            false => entry.delete(self.partition.id(), offsets),
        };
        let lsn = self.partition.log().submit(entry)?;
        for sequence in there {
            state.forget(sequence);
        }
        state.as_of = state.as_of.max(lsn);
        Ok(lsn)
    }

    /// Who is asked whether a message is wanted. Nobody, or gone: none is.
    pub fn set_interest(&self, interest: Option<Weak<dyn Interest>>) {
        self.core.lock().interest = interest;
    }

    /// Registers `watch` for news: more to read, or the stream's end.
    #[must_use]
    pub fn watch(&self, watch: &Watch, token: u64) -> WatchGuard {
        self.partition.watch(watch, token)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({}, {})", self.name, self.partition.id())
    }
}
