//! OffsetDelete: an administrator makes a group forget how far it has read some partitions.
//!
//! Behaviour: a topic that a member is subscribed to is GROUP_SUBSCRIBED_TO_TOPIC.
//! Versions: v0 only, never flexible.
//! Source: KIP-496; Kafka's `KafkaApis.handleOffsetDeleteRequest`.

use duolog_broker::groups::{DeleteOffsets, NOBODY, TopicPartition};
use duolog_types::Lsn;
use kafka_wire::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_wire::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::common::partition;
use super::group::group_id;
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// OffsetDelete in the table.
pub const API: Api = Api {
    key: 47,
    name: "OffsetDelete",
    min: 0,
    max: 0,
    advertised_min: 0,
    flexible_from: i16::MAX,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: OffsetDeleteRequest = call.decode()?;
    let (mut after, mut deletes, mut topics) = (Lsn::ZERO, Vec::new(), Vec::new());
    for asked in request.topics {
        let topic = call.door.topic(&asked.name);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for one in asked.partitions {
            let index = one.partition_index;
            let exists = topic.as_ref().map_err(|error| *error).and_then(|topic| {
                partition(topic, index)?;
                Ok(topic.name().clone())
            });
            let error = match exists {
                Ok(topic) => {
                    deletes.push(TopicPartition { topic, partition: index });
                    ErrorCode::None
                }
                Err(error) => {
                    after = call.door.broker.catalog().changed();
                    error
                }
            };
            partitions.push(message!(OffsetDeleteResponsePartition {
                partition_index: index,
                error_code: error.code(),
            }));
        }
        topics.push(message!(OffsetDeleteResponseTopic { name: asked.name, partitions: partitions }));
    }
    let mut response = message!(OffsetDeleteResponse { topics: topics });
    if !deletes.is_empty() {
        let group = group_id(&request.group_id);
        let delete = DeleteOffsets { to: NOBODY, group, partitions: deletes };
        let answer = call.door.broker.groups().delete_offsets(delete);
        after = after.max(answer.lsn);
        match answer.value {
            Ok(outcomes) => {
                let judged = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                let judged = judged.filter(|one| one.error_code == ErrorCode::None.code());
                for (one, outcome) in judged.zip(outcomes) {
                    one.error_code = ErrorCode::of(outcome).code();
                }
            }
            // About the whole group: no topic is spoken of.
            Err(error) => response = message!(OffsetDeleteResponse { error_code: ErrorCode::from(error).code() }),
        }
    }
    let errors = response.topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code));
    call.count_errors(errors.chain([response.error_code]));
    call.reply(&response, after)
}
