//! CreatePartitions: gives topics more partitions, or says whether it could.
//!
//! Behaviour: each topic on its own; the count is the new total. A topic that stands twice fails both times.
//! Versions: v2 flexible · v3 throttling.
//! Source: KIP-195; Kafka's `ReplicationControlManager.createPartitions`.

use std::collections::HashSet;

use duolog_broker::catalog::NewPartitions;
use kafka_wire::create_partitions_response::CreatePartitionsTopicResult;
use kafka_wire::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_wire_core::StrBytes;

use super::common::text;
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// CreatePartitions in the table.
pub const API: Api = Api {
    key: 37,
    name: "CreatePartitions",
    min: 0,
    max: 3,
    advertised_min: 0,
    flexible_from: 2,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: CreatePartitionsRequest = call.decode()?;
    let catalog = call.door.broker.catalog();
    let mut seen = HashSet::new();
    let twice: HashSet<&StrBytes> =
        request.topics.iter().map(|topic| &topic.name).filter(|name| !seen.insert(*name)).collect();
    let mut after = catalog.changed();
    let results: Vec<CreatePartitionsTopicResult> = request
        .topics
        .iter()
        .map(|topic| {
            let mut result = message!(CreatePartitionsTopicResult { name: topic.name.clone() });
            if twice.contains(&topic.name) {
                result.error_code = ErrorCode::InvalidRequest.code();
                result.error_message = text("the topic stands twice in the request");
                return result;
            }
            let assignments = topic.assignments.as_ref();
            let new = NewPartitions {
                topic: topic.name.to_string(),
                total: topic.count,
                assignments: assignments.map(|all| all.iter().map(|one| one.broker_ids.clone()).collect()),
            };
            match catalog.create_partitions(&new, request.validate_only) {
                Ok(lsn) => after = after.max(lsn),
                Err(error) => {
                    result.error_code = ErrorCode::from(&error).code();
                    result.error_message = text(&error);
                }
            }
            result
        })
        .collect();
    call.count_errors(results.iter().map(|one| one.error_code));
    call.reply(&message!(CreatePartitionsResponse { results: results }), after)
}
