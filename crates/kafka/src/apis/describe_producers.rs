//! DescribeProducers: the idempotent producers that partitions remember.
//!
//! Behaviour: a partition that is named twice is told of once. What one answer has no room for is INVALID_REQUEST.
//! Source: KIP-664; Kafka's `KafkaApis.handleDescribeProducersRequest`.

use std::collections::HashSet;

use duolog_types::Lsn;
use kafka_wire::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_wire::{DescribeProducersRequest, DescribeProducersResponse};

use super::answer::{AnswerRoom, NO_ROOM};
use super::common::{partition, text};
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// DescribeProducers in the table.
pub const API: Api = Api {
    key: 61,
    name: "DescribeProducers",
    min: 0,
    max: 0,
    advertised_min: 0,
    flexible_from: 0,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DescribeProducersRequest = call.decode()?;
    let mut room = AnswerRoom::of(&call).await;
    let mut seen = HashSet::new();
    // Which topics there are is told of, too.
    let mut after = call.door.broker.catalog().changed();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in topic.partition_indexes.iter().filter(|index| seen.insert((&topic.name, **index))) {
            let mut response = message!(PartitionResponse { partition_index: *index });
            match describe(call.door, &topic.name, *index, &mut after) {
                Ok(producers) if room.take(producers.len() * size_of::<ProducerState>()) => {
                    response.active_producers = producers;
                }
                Ok(_) => {
                    response.error_code = ErrorCode::InvalidRequest.code();
                    response.error_message = text(NO_ROOM);
                }
                Err(error) => {
                    response.error_code = error.code();
                    response.error_message = text(error.name());
                }
            }
            partitions.push(response);
        }
        topics.push(message!(TopicResponse { name: topic.name.clone(), partitions: partitions }));
    }
    call.count_errors(topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code)));
    call.reply(&message!(DescribeProducersResponse { topics: topics }), after)
}

fn describe(door: &Door, topic: &str, index: i32, after: &mut Lsn) -> Result<Vec<ProducerState>, ErrorCode> {
    let topic = door.topic(topic)?;
    let (producers, lsn) = partition(&topic, index)?.describe_producers();
    *after = (*after).max(lsn);
    let state = |producer: &duolog_broker::partition::ProducerView| {
        message!(ProducerState {
            producer_id: producer.id.0,
            producer_epoch: i32::from(producer.epoch.0),
            last_sequence: producer.last_sequence,
            last_timestamp: producer.last_timestamp.0,
            coordinator_epoch: -1,
            current_txn_start_offset: -1,
        })
    };
    Ok(producers.iter().map(state).collect())
}
