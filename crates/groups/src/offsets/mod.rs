//! How far a group has read: its committed offsets.
//!
//! Owns one group's offsets in memory and the rule of expiry (`expiry`). Who may commit is the group's to decide
//! (`classic::commit`); writing the records is the shard's. Offsets that a transaction commits will wait here for
//! their marker, keyed by producer, beside `committed`: they change nothing of it until then.

mod expiry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use duolog_types::{LeaderEpoch, Offset, TimestampMs, TopicId};

use crate::event::TopicPartition;

pub(crate) use expiry::{Expiry, Since};

/// A topic's name.
pub type TopicName = Arc<str>;

/// The longest metadata string of a commit (`offset.metadata.max.bytes`).
pub const METADATA_BYTES_MAX: usize = 4096;

/// How many offsets stand in one record of a snapshot.
const OFFSETS_PER_RECORD: usize = 1000;

/// A committed position in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic's id when it was committed; [`TopicId::ZERO`] if not known.
    pub topic_id: TopicId,
    /// The next offset to read.
    pub offset: Offset,
    /// Leader epoch of the last record that was read, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// When it was committed.
    pub committed_at: TimestampMs,
    /// When it expires, if the commit itself said (OffsetCommit versions 2 to 4).
    pub expires_at: Option<TimestampMs>,
    /// The client's note.
    pub metadata: Arc<str>,
}

/// The offsets that one group has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupOffsets {
    /// By topic and partition; no topic without a partition.
    committed: BTreeMap<TopicName, BTreeMap<i32, CommittedOffset>>,
}

impl GroupOffsets {
    /// What is committed for a partition of the topic that now has the id `topic_id`. An offset that was
    /// committed for a deleted topic of the same name is not it.
    #[must_use]
    pub fn get(&self, topic: &str, partition: i32, topic_id: TopicId) -> Option<&CommittedOffset> {
        let offset = self.committed.get(topic)?.get(&partition)?;
        let same =
            topic_id == TopicId::ZERO || offset.topic_id == TopicId::ZERO || offset.topic_id == topic_id;
        same.then_some(offset)
    }

    /// All that is committed, by topic and partition in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, i32, &CommittedOffset)> {
        self.committed.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, offset)| (topic, *partition, offset))
        })
    }

    /// Whether nothing is committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// How many partitions have a committed offset.
    #[must_use]
    pub fn len(&self) -> usize {
        self.committed.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn set(&mut self, partition: &TopicPartition, offset: CommittedOffset) {
        self.committed.entry(partition.topic.clone()).or_default().insert(partition.partition, offset);
    }

    /// Forgets a partition's offset; whether there was one.
    pub(crate) fn remove(&mut self, partition: &TopicPartition) -> bool {
        let Some(partitions) = self.committed.get_mut(&partition.topic) else { return false };
        let removed = partitions.remove(&partition.partition).is_some();
        if partitions.is_empty() {
            self.committed.remove(&partition.topic);
        }
        removed
    }

    /// The partitions whose offsets belong to the deleted topic `topic_id` of this name.
    pub(crate) fn of_deleted_topic(&self, topic: &TopicName, topic_id: TopicId) -> Vec<TopicPartition> {
        let Some(partitions) = self.committed.get(topic) else { return Vec::new() };
        partitions
            .iter()
            .filter(|(_, offset)| offset.topic_id == topic_id || offset.topic_id == TopicId::ZERO)
            .map(|(partition, _)| TopicPartition { topic: topic.clone(), partition: *partition })
            .collect()
    }

    /// The partitions whose offsets have expired at `now`, by the rule that the group's state gives.
    pub(crate) fn expired(&self, expiry: &Expiry<'_>, now: TimestampMs) -> Vec<TopicPartition> {
        self.iter()
            .filter(|(topic, _, offset)| !(expiry.in_use)(topic) && expiry.is_expired(offset, now))
            .map(|(topic, partition, _)| TopicPartition { topic: topic.clone(), partition })
            .collect()
    }

    /// All offsets in pieces of a size that fits a record.
    pub(crate) fn pieces(&self) -> Vec<Vec<(TopicPartition, CommittedOffset)>> {
        let all: Vec<_> = self
            .iter()
            .map(|(topic, partition, offset)| {
                (TopicPartition { topic: topic.clone(), partition }, offset.clone())
            })
            .collect();
        all.chunks(OFFSETS_PER_RECORD).map(<[_]>::to_vec).collect()
    }
}
