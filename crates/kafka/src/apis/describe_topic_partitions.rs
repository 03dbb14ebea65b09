//! DescribeTopicPartitions: topics and partitions page by page, for admin clients with very many of them.
//!
//! Behaviour: topics in order of their names, from the cursor's topic and partition on; no topics named are all
//! topics. At most 2,000 partitions in one answer, or fewer if the client asks for fewer; the cursor says where to
//! go on. Unknown names are answered with UNKNOWN_TOPIC_OR_PARTITION and count for nothing.
//! Source: KIP-966; Kafka's `DescribeTopicPartitionsRequestHandler`.

use std::collections::BTreeSet;

use duolog_broker::partition::LEADER_EPOCH;
use kafka_wire::describe_topic_partitions_request::Cursor as From;
use kafka_wire::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_wire::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use kafka_wire_core::StrBytes;

use super::answer::wait_for_room;
use super::common::{TOPIC_OPERATIONS, wire_id};
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// DescribeTopicPartitions in the table.
pub const API: Api = Api {
    key: 75,
    name: "DescribeTopicPartitions",
    min: 0,
    max: 0,
    advertised_min: 0,
    flexible_from: 0,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// Most partitions in one answer (Kafka: `max.request.partition.size.limit`).
const MAX_PARTITIONS: usize = 2000;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DescribeTopicPartitionsRequest = call.decode()?;
    let door = call.door;
    wait_for_room(&call).await;
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, MAX_PARTITIONS);
    let from = request.cursor.as_ref();
    let first = from.map_or("", |cursor| &cursor.topic_name);
    let names: BTreeSet<String> = if request.topics.is_empty() {
        // One partition each at least, so that more topics than the limit can't be of use.
        let topics = door.broker.catalog().topics_from(first, limit + 1);
        topics.iter().map(|topic| topic.name().to_string()).collect()
    } else {
        let names = request.topics.iter().map(|topic| topic.name.to_string());
        names.filter(|name| name.as_str() >= first).collect()
    };
    let response = describe(door, &names, from, limit);
    call.count_errors(response.topics.iter().map(|topic| topic.error_code));
    call.reply(&response, door.broker.catalog().changed())
}

fn describe(
    door: &Door,
    names: &BTreeSet<String>,
    from: Option<&From>,
    limit: usize,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut room = limit;
    for name in names {
        let wire_name = StrBytes::from(name.as_str());
        let Ok(topic) = door.topic(name) else {
            let unknown = if duolog_broker::catalog::check_name(name).is_ok() {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopic
            };
            response.topics.push(message!(DescribeTopicPartitionsResponseTopic {
                error_code: unknown.code(),
                name: Some(wire_name),
            }));
            continue;
        };
        let start = match from {
            Some(cursor) if cursor.topic_name.as_str() == name => usize::try_from(cursor.partition_index).unwrap_or(0),
            _ => 0,
        };
        let count = topic.partitions().len();
        if room == 0 {
            response.next_cursor = Some(message!(Cursor { topic_name: wire_name }));
            break;
        }
        let end = count.min(start.saturating_add(room));
        room -= end.saturating_sub(start);
        response.topics.push(message!(DescribeTopicPartitionsResponseTopic {
            name: Some(wire_name.clone()),
            topic_id: wire_id(topic.id()),
            partitions: (start..end).map(|index| partition(door.node_id(), index)).collect(),
            topic_authorized_operations: TOPIC_OPERATIONS,
        }));
        if end < count {
            let partition_index = i32::try_from(end).unwrap_or(i32::MAX);
            response.next_cursor =
                Some(message!(Cursor { topic_name: wire_name, partition_index: partition_index }));
            break;
        }
    }
    response
}

fn partition(node: i32, index: usize) -> DescribeTopicPartitionsResponsePartition {
    message!(DescribeTopicPartitionsResponsePartition {
        partition_index: i32::try_from(index).unwrap_or(i32::MAX),
        leader_id: node,
        leader_epoch: LEADER_EPOCH.0,
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
    })
}
