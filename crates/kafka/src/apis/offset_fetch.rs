//! OffsetFetch: how far groups have read.
//!
//! Behaviour: a partition without a commit, and all of a group that doesn't exist, have offset -1 and no error.
//! What was committed for a deleted topic isn't told of a new one of its name. The answer leaves when the newest
//! commit that it shows is durable. Every offset is stable, since there are no transactions yet.
//! Versions: v2 null topics = all, error · v5 leader epoch · v6 flexible · v7 require stable (KIP-447) · v8 several
//! groups (KIP-709) · v9 member epoch (KIP-848) · v10 topic ids (KIP-848).
//! Not done: member epochs of KIP-848 groups, which aren't served yet.
//! Source: Kafka's `KafkaApis.handleOffsetFetchRequest`, `OffsetMetadataManager.fetchOffsets`.

use duolog_broker::groups::{CommittedOffset, GroupOffsets};
use duolog_types::{Lsn, TopicId};
use kafka_wire::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_wire::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_wire::{OffsetFetchRequest, OffsetFetchResponse};

use super::answer::AnswerRoom;
use super::common::wire_id;
use super::group::{group_id, wire};
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// OffsetFetch in the table.
pub const API: Api = Api {
    key: 9,
    name: "OffsetFetch",
    min: 1,
    max: 10,
    advertised_min: 1,
    flexible_from: 6,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// First version that asks for several groups.
const GROUPS_VERSION: i16 = 8;
/// First version with topic ids instead of names.
const TOPIC_ID_VERSION: i16 = 10;

/// What a partition takes in an answer, beside its note.
const PARTITION_BYTES: usize = 64;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: OffsetFetchRequest = call.decode()?;
    let mut room = AnswerRoom::of(&call).await;
    let mut after = Lsn::ZERO;
    if call.version >= GROUPS_VERSION {
        let groups = request.groups.into_iter().map(|group| fetch(&call, group, &mut room, &mut after));
        let groups = groups.collect::<Vec<_>>();
        call.count_errors(groups.iter().map(|group| group.error_code));
        return call.reply(&message!(OffsetFetchResponse { groups: groups }), after);
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| {
            message!(OffsetFetchRequestTopics { name: topic.name, partition_indexes: topic.partition_indexes })
        });
        topics.collect()
    });
    let group = message!(OffsetFetchRequestGroup { group_id: request.group_id, topics: topics });
    let fetched = fetch(&call, group, &mut room, &mut after);
    call.count_errors([fetched.error_code]);
    let response = message!(OffsetFetchResponse {
        topics: fetched.topics.into_iter().map(before_groups).collect(),
        error_code: fetched.error_code,
    });
    call.reply(&response, after)
}

fn fetch(
    call: &Call<'_>,
    asked: OffsetFetchRequestGroup,
    room: &mut AnswerRoom,
    after: &mut Lsn,
) -> OffsetFetchResponseGroup {
    let by_id = call.version >= TOPIC_ID_VERSION;
    let group = group_id(&asked.group_id);
    // Topics are looked up before the group is locked, or after.
    let every_topic = asked.topics.is_none();
    let topics = asked.topics.map(|topics| {
        let resolved = topics.into_iter().map(|topic| Resolved::new(call.door, topic, by_id));
        resolved.collect::<Vec<_>>()
    });
    let answer = call.door.broker.groups().offsets(&group, |offsets| match topics {
        Some(topics) => topics.into_iter().map(|topic| topic.offsets(offsets, room)).collect(),
        None => offsets.map_or_else(|| Some(Vec::new()), |offsets| all(offsets, room)),
    });
    *after = (*after).max(answer.lsn);
    if by_id || every_topic {
        // It tells which topics there are.
        *after = (*after).max(call.door.broker.catalog().changed());
    }
    match answer.value {
        Ok(Some(mut topics)) => {
            if every_topic {
                topics.retain(|topic| is_of_living_topic(call.door, topic, by_id));
            }
            message!(OffsetFetchResponseGroup { group_id: asked.group_id, topics: topics })
        }
        // More than one answer may hold.
        Ok(None) => failed(asked.group_id, ErrorCode::InvalidRequest),
        Err(error) => failed(asked.group_id, ErrorCode::from(error)),
    }
}

fn failed(group_id: kafka_wire_core::StrBytes, error: ErrorCode) -> OffsetFetchResponseGroup {
    message!(OffsetFetchResponseGroup { group_id: group_id, error_code: error.code() })
}

/// A topic that was asked for, with both of its names.
struct Resolved {
    asked: OffsetFetchRequestTopics,
    name: Result<kafka_wire_core::StrBytes, ErrorCode>,
    id: TopicId,
}

impl Resolved {
    fn new(door: &Door, asked: OffsetFetchRequestTopics, by_id: bool) -> Self {
        if by_id {
            let topic = door.topic_by_id(asked.topic_id);
            let name = topic.as_ref().map(|topic| wire(topic.name())).map_err(|error| *error);
            return Self { id: TopicId(asked.topic_id.to_bytes()), asked, name };
        }
        // A topic that is gone, or was never there, may have commits all the same.
        let id = door.topic(&asked.name).map_or(TopicId::ZERO, |topic| topic.id());
        Self { name: Ok(asked.name.clone()), asked, id }
    }

    /// The offsets asked for; none if the answer has no room for them.
    fn offsets(
        self,
        offsets: Option<&GroupOffsets>,
        room: &mut AnswerRoom,
    ) -> Option<OffsetFetchResponseTopics> {
        let mut partitions = Vec::with_capacity(self.asked.partition_indexes.len());
        for index in self.asked.partition_indexes {
            let partition = match &self.name {
                Ok(name) => found(index, offsets.and_then(|offsets| offsets.get(name, index, self.id))),
                Err(error) => {
                    let mut partition = found(index, None);
                    partition.error_code = error.code();
                    partition
                }
            };
            if !room.take(PARTITION_BYTES + partition.metadata.as_ref().map_or(0, |note| note.len())) {
                return None;
            }
            partitions.push(partition);
        }
        Some(message!(OffsetFetchResponseTopics {
            name: self.asked.name,
            topic_id: self.asked.topic_id,
            partitions: partitions,
        }))
    }
}

/// Every offset of a group, with the topic ids of their commits; none if the answer has no room for them.
fn all(offsets: &GroupOffsets, room: &mut AnswerRoom) -> Option<Vec<OffsetFetchResponseTopics>> {
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    for (name, index, offset) in offsets.iter() {
        if !room.take(PARTITION_BYTES + offset.metadata.len()) {
            return None;
        }
        let topic_id = wire_id(offset.topic_id);
        let partition = found(index, Some(offset));
        match topics.last_mut() {
            Some(topic) if *topic.name == **name && topic.topic_id == topic_id => topic.partitions.push(partition),
            _ => topics.push(message!(OffsetFetchResponseTopics {
                name: wire(name),
                topic_id: topic_id,
                partitions: vec![partition],
            })),
        }
    }
    Some(topics)
}

/// Whether what was committed is about the topic that has the name now. By name, a topic that isn't there is
/// told of too, as in Kafka; by id it can't be.
fn is_of_living_topic(door: &Door, topic: &OffsetFetchResponseTopics, by_id: bool) -> bool {
    match door.topic(&topic.name) {
        Ok(living) => topic.topic_id.is_zero() || topic.topic_id == wire_id(living.id()),
        Err(_) => !by_id,
    }
}

fn found(index: i32, offset: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    match offset {
        Some(offset) => message!(OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: offset.offset.0,
            committed_leader_epoch: offset.leader_epoch.map_or(-1, |epoch| epoch.0),
            metadata: Some(wire(&offset.metadata)),
        }),
        None => message!(OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(wire("")),
        }),
    }
}

/// The same topic as versions before several groups have it.
fn before_groups(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|one| {
        message!(OffsetFetchResponsePartition {
            partition_index: one.partition_index,
            committed_offset: one.committed_offset,
            committed_leader_epoch: one.committed_leader_epoch,
            metadata: one.metadata,
            error_code: one.error_code,
        })
    });
    message!(OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() })
}
