//! ListOffsets: the offset of a point in time, or of a named place (earliest, latest, …).
//!
//! Behaviour: latest is the high watermark, or under read_committed the last stable offset; a time finds the
//! first record that is at least as young, by a scan over segments' largest timestamps since records needn't be
//! in order of time; where there is none the answer is offset -1 and timestamp -1 without an error.
//! Versions: v2 isolation level · v4 leader epochs · v6 flexible · v7 -3 largest timestamp · v8 -4 earliest local ·
//! v9 -5 latest tiered · v10 timeout · v11 -6 earliest pending upload (KIP-1023).
//! Source: Kafka's `ListOffsetsRequest`, `ReplicaManager.fetchOffset`, `Partition.fetchOffsetForTimestamp`.

use std::collections::HashSet;

use duolog_broker::partition::OffsetQuery;
use duolog_types::{LeaderEpoch, TimestampMs};
use kafka_wire::list_offsets_request::ListOffsetsPartition;
use kafka_wire::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_wire::{ListOffsetsRequest, ListOffsetsResponse};
use kafka_wire_core::StrBytes;

use super::common::partition;
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// ListOffsets in the table.
pub const API: Api = Api {
    key: 2,
    name: "ListOffsets",
    min: 1,
    max: 11,
    advertised_min: 1,
    flexible_from: 6,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

const READ_COMMITTED: i8 = 1;

/// First version with leader epochs in the answer.
const LEADER_EPOCH_VERSION: i16 = 4;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: ListOffsetsRequest = call.decode()?;
    let read_committed = request.isolation_level == READ_COMMITTED;
    let twice = named_twice(&request);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let found = if twice.contains(&(topic.name.clone(), asked.partition_index)) {
                Err(ErrorCode::InvalidRequest)
            } else {
                find(call.door, &topic.name, asked, call.version, read_committed).await
            };
            let response = found.unwrap_or_else(|error| {
                message!(ListOffsetsPartitionResponse {
                    partition_index: asked.partition_index,
                    error_code: error.code(),
                    timestamp: -1,
                    offset: -1,
                })
            });
            partitions.push(response);
        }
        topics.push(message!(ListOffsetsTopicResponse { name: topic.name.clone(), partitions: partitions }));
    }
    call.count_errors(topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code)));
    // Offsets are durable, being up to the high watermark; which topics there are may be news.
    call.reply(&message!(ListOffsetsResponse { topics: topics }), call.door.broker.catalog().changed())
}

fn named_twice(request: &ListOffsetsRequest) -> HashSet<(StrBytes, i32)> {
    let mut seen = HashSet::new();
    let all = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (topic.name.clone(), partition.partition_index))
    });
    all.filter(|key| !seen.insert(key.clone())).collect()
}

async fn find(
    door: &Door,
    topic: &StrBytes,
    asked: &ListOffsetsPartition,
    version: i16,
    read_committed: bool,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let topic = door.topic(topic)?;
    let partition = partition(&topic, asked.partition_index)?;
    let epoch = (asked.current_leader_epoch >= 0).then_some(LeaderEpoch(asked.current_leader_epoch));
    partition.check_leader_epoch(epoch)?;
    let query = query(asked.timestamp, version, read_committed)?;
    let found = partition.find_offset(query).await.map_err(|error| {
        tracing::warn!(%error, topic = %topic.name(), partition = asked.partition_index, "looking for an offset failed");
        ErrorCode::from(&error)
    })?;
    let mut response = message!(ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        timestamp: -1,
        offset: -1,
    });
    if let Some(found) = found {
        response.offset = found.offset.0;
        response.timestamp = found.timestamp.map_or(-1, |timestamp| timestamp.0);
        if version >= LEADER_EPOCH_VERSION {
            response.leader_epoch = found.leader_epoch.0;
        }
    }
    Ok(response)
}

/// What a timestamp field asks for. The negative ones came one by one.
fn query(timestamp: i64, version: i16, read_committed: bool) -> Result<OffsetQuery, ErrorCode> {
    let (query, since) = match timestamp {
        0.. => (OffsetQuery::Timestamp(TimestampMs(timestamp)), 1),
        -1 if read_committed => (OffsetQuery::LatestStable, 1),
        -1 => (OffsetQuery::Latest, 1),
        -2 => (OffsetQuery::Earliest, 1),
        -3 => (OffsetQuery::MaxTimestamp, 7),
        -4 => (OffsetQuery::EarliestLocal, 8),
        -5 => (OffsetQuery::LatestTiered, 9),
        -6 => (OffsetQuery::EarliestPendingUpload, 11),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version >= since { Ok(query) } else { Err(ErrorCode::UnsupportedVersion) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_timestamps_are_taken_from_the_version_that_brought_them() {
        for (timestamp, since) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 12), (i64::MIN, 12)] {
            for version in 1..=11 {
                assert_eq!(query(timestamp, version, false).is_ok(), version >= since, "{timestamp} in v{version}");
            }
        }
        assert_eq!(query(-1, 2, true), Ok(OffsetQuery::LatestStable));
        assert_eq!(query(-1, 2, false), Ok(OffsetQuery::Latest));
        assert_eq!(query(5, 1, false), Ok(OffsetQuery::Timestamp(TimestampMs(5))));
    }
}
