//! OffsetCommit: a group keeps how far it has read, with a note and a leader epoch.
//!
//! Behaviour: partitions that don't exist fail one by one; who may commit the others is the group's decision, and
//! one for all of them. The answer leaves when the commit is durable. Counts as a sign of life.
//! Versions: v2-4 retention of its own · v6 leader epoch · v7 static members · v8 flexible · v9 an unknown group is
//! GROUP_ID_NOT_FOUND (KIP-848) · v10 topic ids (KIP-848).
//! Not done: member epochs of KIP-848 groups, which aren't served yet.
//! Source: Kafka's `KafkaApis.handleOffsetCommitRequest`, `OffsetMetadataManager.commitOffset`.

use std::sync::Arc;
use std::time::Duration;

use duolog_broker::Topic;
use duolog_broker::groups::{CommitOffsets, CommitPartition, NOBODY, TopicPartition};
use duolog_types::{LeaderEpoch, Lsn, Offset};
use kafka_wire::offset_commit_request::OffsetCommitRequestPartition;
use kafka_wire::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_wire::{OffsetCommitRequest, OffsetCommitResponse};

use super::common::partition;
use super::group::{group_id, kept, member};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// OffsetCommit in the table.
pub const API: Api = Api {
    key: 8,
    name: "OffsetCommit",
    min: 2,
    max: 10,
    advertised_min: 2,
    flexible_from: 8,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// Last version in which a commit says how long it is kept.
const RETENTION_LAST_VERSION: i16 = 4;
/// First version in which an unknown group has an error of its own.
const GROUP_ID_NOT_FOUND_VERSION: i16 = 9;
/// First version with topic ids instead of names.
const TOPIC_ID_VERSION: i16 = 10;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: OffsetCommitRequest = call.decode()?;
    let (mut after, mut commits, mut topics) = (Lsn::ZERO, Vec::new(), Vec::new());
    for asked in request.topics {
        let topic = if call.version >= TOPIC_ID_VERSION {
            call.door.topic_by_id(asked.topic_id)
        } else {
            call.door.topic(&asked.name)
        };
        let name = topic.as_ref().ok().map(|topic| topic.name().clone());
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for one in asked.partitions {
            let error = match existing(&topic, one.partition_index) {
                Ok(topic) => {
                    let name = name.clone().unwrap_or_else(|| topic.name().clone());
                    commits.push(commit(topic, name, &one));
                    ErrorCode::None
                }
                Err(error) => {
                    after = call.door.broker.catalog().changed();
                    error
                }
            };
            partitions.push(message!(OffsetCommitResponsePartition {
                partition_index: one.partition_index,
                error_code: error.code(),
            }));
        }
        topics.push(message!(OffsetCommitResponseTopic {
            name: asked.name,
            topic_id: asked.topic_id,
            partitions: partitions,
        }));
    }
    if !commits.is_empty() {
        let retention = (call.version <= RETENTION_LAST_VERSION)
            .then(|| u64::try_from(request.retention_time_ms).ok().map(Duration::from_millis))
            .flatten();
        let generation = request.generation_id_or_member_epoch;
        let answer = call.door.broker.groups().commit(CommitOffsets {
            to: NOBODY,
            group: group_id(&request.group_id),
            member: member(&request.member_id, request.group_instance_id.as_ref(), generation),
            partitions: commits,
            retention,
            group_id_not_found: call.version >= GROUP_ID_NOT_FOUND_VERSION,
        });
        after = after.max(answer.lsn);
        let mut outcomes = answer.value.map(Vec::into_iter);
        let judged = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for one in judged.filter(|one| one.error_code == ErrorCode::None.code()) {
            let outcome = match &mut outcomes {
                Ok(outcomes) => outcomes.next().map_or(ErrorCode::UnknownServerError, ErrorCode::of),
                Err(error) => ErrorCode::from(*error),
            };
            one.error_code = outcome.code();
        }
    }
    call.count_errors(topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code)));
    call.reply(&message!(OffsetCommitResponse { topics: topics }), after)
}

/// The topic, if it has the partition.
fn existing(topic: &Result<Arc<Topic>, ErrorCode>, index: i32) -> Result<&Arc<Topic>, ErrorCode> {
    let topic = topic.as_ref().map_err(|error| *error)?;
    partition(topic, index)?;
    Ok(topic)
}

fn commit(topic: &Topic, name: Arc<str>, asked: &OffsetCommitRequestPartition) -> CommitPartition {
    CommitPartition {
        partition: TopicPartition { topic: name, partition: asked.partition_index },
        topic_id: topic.id(),
        offset: Offset(asked.committed_offset),
        leader_epoch: (asked.committed_leader_epoch >= 0).then_some(LeaderEpoch(asked.committed_leader_epoch)),
        metadata: asked.committed_metadata.as_ref().map_or_else(|| Arc::from(""), kept),
    }
}
