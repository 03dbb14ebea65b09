//! OffsetForLeaderEpoch: where a leader epoch ended, by which a consumer sees whether its log was cut.
//!
//! Behaviour: the largest epoch that isn't newer than the one asked for, and one behind its last offset; epoch
//! and offset -1 where nothing is known of such an epoch.
//! Versions: v2 current leader epoch · v3 replica id · v4 flexible.
//! Source: KIP-101, KIP-320; Kafka's `LeaderEpochFileCache.endOffsetFor`.

use duolog_types::LeaderEpoch;
use kafka_wire::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_wire::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_wire::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::common::partition;
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// OffsetForLeaderEpoch in the table.
pub const API: Api = Api {
    key: 23,
    name: "OffsetForLeaderEpoch",
    min: 2,
    max: 4,
    advertised_min: 2,
    flexible_from: 4,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: OffsetForLeaderEpochRequest = call.decode()?;
    let door = call.door;
    let topics: Vec<OffsetForLeaderTopicResult> = request
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic
                .partitions
                .iter()
                .map(|asked| {
                    find(door, &topic.topic, asked).unwrap_or_else(|error| {
                        message!(EpochEndOffset {
                            error_code: error.code(),
                            partition: asked.partition,
                            leader_epoch: -1,
                            end_offset: -1,
                        })
                    })
                })
                .collect();
            message!(OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions: partitions })
        })
        .collect();
    call.count_errors(topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code)));
    // Offsets are durable, being up to the high watermark; which topics there are may be news.
    call.reply(&message!(OffsetForLeaderEpochResponse { topics: topics }), door.broker.catalog().changed())
}

fn find(door: &Door, topic: &str, asked: &OffsetForLeaderPartition) -> Result<EpochEndOffset, ErrorCode> {
    let topic = door.topic(topic)?;
    let partition = partition(&topic, asked.partition)?;
    let epoch = (asked.current_leader_epoch >= 0).then_some(LeaderEpoch(asked.current_leader_epoch));
    partition.check_leader_epoch(epoch)?;
    let (epoch, end) = match partition.end_of_epoch(LeaderEpoch(asked.leader_epoch)) {
        Some((epoch, end)) => (epoch.0, end.0),
        None => (-1, -1),
    };
    Ok(message!(EpochEndOffset { partition: asked.partition, leader_epoch: epoch, end_offset: end }))
}
