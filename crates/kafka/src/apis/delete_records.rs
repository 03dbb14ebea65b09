//! DeleteRecords: moves the log start of partitions up to an offset.
//!
//! Behaviour: -1 is the high watermark; an offset beyond it is OFFSET_OUT_OF_RANGE, one below the log start changes
//! nothing. The answer carries the log start (low watermark) and leaves when it is durable.
//! Versions: v2 flexible.
//! Source: KIP-107; Kafka's `ReplicaManager.deleteRecords`.

use duolog_types::{Lsn, Offset};
use kafka_wire::delete_records_request::DeleteRecordsPartition;
use kafka_wire::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_wire::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::common::partition;
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// DeleteRecords in the table.
pub const API: Api = Api {
    key: 21,
    name: "DeleteRecords",
    min: 0,
    max: 2,
    advertised_min: 0,
    flexible_from: 2,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// "Up to the high watermark".
const HIGH_WATERMARK: i64 = -1;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DeleteRecordsRequest = call.decode()?;
    // Which topics there are is told of, too.
    let mut after = call.door.broker.catalog().changed();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let (low_watermark, error) = match delete(call.door, &topic.name, asked, &mut after) {
                Ok(log_start) => (log_start.0, ErrorCode::None),
                Err(error) => (-1, error),
            };
            partitions.push(message!(DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: low_watermark,
                error_code: error.code(),
            }));
        }
        topics.push(message!(DeleteRecordsTopicResult { name: topic.name.clone(), partitions: partitions }));
    }
    call.count_errors(topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code)));
    call.reply(&message!(DeleteRecordsResponse { topics: topics }), after)
}

fn delete(
    door: &Door,
    topic: &str,
    asked: &DeleteRecordsPartition,
    after: &mut Lsn,
) -> Result<Offset, ErrorCode> {
    let topic = door.topic(topic)?;
    let partition = partition(&topic, asked.partition_index)?;
    let to = (asked.offset != HIGH_WATERMARK).then_some(Offset(asked.offset));
    let deleted = partition.delete_records(to).map_err(|error| ErrorCode::from(&error))?;
    *after = (*after).max(deleted.lsn);
    Ok(deleted.log_start)
}
