//! Commits, deletes and expiry of offsets: who may is asked of the group, what changes is recorded.

use std::time::Duration;

use duolog_types::{GroupId, TimestampMs, TopicId};

use super::Shard;
use crate::durable::Record;
use crate::effect::{Effects, Reply};
use crate::error::GroupError;
use crate::event::{CommitOffsets, DeleteOffsets, Now};
use crate::offsets::{CommittedOffset, Expiry, METADATA_BYTES_MAX, TopicName};

impl Shard {
    pub(super) fn commit_offsets(&mut self, request: CommitOffsets, now: Now, effects: &mut Effects) {
        let to = request.to;
        let outcomes = match self.may_commit(&request, now, effects) {
            Ok(()) => Ok(self.commit(request, now, effects)),
            Err(error) => Err(error),
        };
        effects.reply(to, Reply::CommitOffsets(outcomes));
    }

    fn may_commit(
        &mut self,
        request: &CommitOffsets,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), GroupError> {
        if self.unloaded {
            return Err(GroupError::NotCoordinator);
        }
        let of_group = self.with_group(&request.group, now, effects, |group, context| {
            group.classic.validate_commit(&request.member, context)
        });
        match of_group {
            Some(outcome) => outcome,
            // A simple consumer or an administrator: the group comes to be with its offsets.
            None if request.member.generation < 0 => Ok(()),
            None if request.group_id_not_found => Err(GroupError::GroupIdNotFound),
            None => Err(GroupError::IllegalGeneration),
        }
    }

    fn commit(
        &mut self,
        request: CommitOffsets,
        now: Now,
        effects: &mut Effects,
    ) -> Vec<Result<(), GroupError>> {
        let expires_at = request.retention.map(|retention| after(now.wall, retention));
        let mut outcomes = Vec::with_capacity(request.partitions.len());
        let mut offsets = Vec::with_capacity(request.partitions.len());
        for commit in request.partitions {
            if commit.metadata.len() > METADATA_BYTES_MAX {
                outcomes.push(Err(GroupError::OffsetMetadataTooLarge));
                continue;
            }
            outcomes.push(Ok(()));
            let offset = CommittedOffset {
                topic_id: commit.topic_id,
                offset: commit.offset,
                leader_epoch: commit.leader_epoch,
                committed_at: now.wall,
                expires_at,
                metadata: commit.metadata,
            };
            offsets.push((commit.partition, offset));
        }
        if !offsets.is_empty() {
            let group = self.group_or_new(&request.group, now);
            for (partition, offset) in &offsets {
                group.offsets.set(partition, offset.clone());
            }
            effects.persist(Record::Offsets { group: request.group, offsets });
        }
        outcomes
    }

    pub(super) fn delete_offsets(&mut self, request: &DeleteOffsets, effects: &mut Effects) {
        let outcomes = self.try_delete_offsets(request, effects);
        effects.reply(request.to, Reply::DeleteOffsets(outcomes));
    }

    fn try_delete_offsets(
        &mut self,
        request: &DeleteOffsets,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if self.unloaded {
            return Err(GroupError::NotCoordinator);
        }
        let group = self.groups.get_mut(&request.group).ok_or(GroupError::GroupIdNotFound)?;
        group.classic.validate_delete_offsets()?;
        let mut outcomes = Vec::with_capacity(request.partitions.len());
        let mut deleted = Vec::new();
        for partition in &request.partitions {
            if group.classic.is_subscribed_to(&partition.topic) {
                outcomes.push(Err(GroupError::GroupSubscribedToTopic));
                continue;
            }
            outcomes.push(Ok(()));
            if group.offsets.remove(partition) {
                deleted.push(partition.clone());
            }
        }
        if !deleted.is_empty() {
            effects.persist(Record::OffsetsDeleted { group: request.group.clone(), partitions: deleted });
            self.drop_if_nothing_is_left(&request.group, effects);
        }
        Ok(outcomes)
    }

    pub(super) fn topic_deleted(&mut self, topic: &TopicName, topic_id: TopicId, effects: &mut Effects) {
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            let partitions = group.offsets.of_deleted_topic(topic, topic_id);
            if partitions.is_empty() {
                continue;
            }
            for partition in &partitions {
                group.offsets.remove(partition);
            }
            effects.persist(Record::OffsetsDeleted { group: id.clone(), partitions });
            self.drop_if_nothing_is_left(&id, effects);
        }
    }

    /// Forgets what has expired, and the groups that nothing is left of.
    pub(super) fn expire_offsets(&mut self, now: Now, effects: &mut Effects) {
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if let Some(since) = group.classic.offsets_expire_since() {
                let in_use = |topic: &str| group.classic.is_subscribed_to(topic);
                let expiry = Expiry { since, retention: self.config.offsets_retention, in_use: &in_use };
                let expired = group.offsets.expired(&expiry, now.wall);
                if !expired.is_empty() {
                    for partition in &expired {
                        group.offsets.remove(partition);
                    }
                    effects.persist(Record::OffsetsDeleted { group: id.clone(), partitions: expired });
                }
            }
            if group.offsets.is_empty() && group.classic.is_deserted() {
                self.drop_group(&id);
                effects.persist(Record::GroupDeleted(id));
            }
        }
    }

    /// A group that was there for its offsets alone goes with the last of them. One that had members stays until
    /// the next check.
    fn drop_if_nothing_is_left(&mut self, id: &GroupId, effects: &mut Effects) {
        let nothing = self.groups.get(id).is_some_and(|group| {
            group.offsets.is_empty() && group.classic.is_simple() && group.classic.is_deserted()
        });
        if nothing {
            self.drop_group(id);
            effects.persist(Record::GroupDeleted(id.clone()));
        }
    }
}

fn after(start: TimestampMs, span: Duration) -> TimestampMs {
    TimestampMs(start.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}
