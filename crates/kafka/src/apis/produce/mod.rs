//! Produce: appends one record batch to each partition named.
//!
//! Behaviour: each partition's batch is judged and appended on its own; the answer leaves when the newest of
//! them is durable. acks=1 and acks=-1 mean the same: on stable storage. acks=0 gets no answer, so a failure
//! closes the connection, upon which clients refresh their metadata. If the log stops before the answer may
//! leave, the partitions that were appended are answered with KAFKA_STORAGE_ERROR, which clients retry.
//! Versions: v3 record batches, transactional id · v5 log start offset · v7 zstd · v8 record errors (KIP-467) ·
//! v9 flexible · v10 leader hint (KIP-951) · v12 transactions v2 (KIP-890) · v13 topic ids (KIP-516).
//! Not done: v0-2 (message sets before record batches) are advertised and refused, as Kafka does: librdkafka
//! up to 2.x takes a minimum of 3 to mean that the broker knows no gzip, snappy and lz4 (KAFKA-18659).
//! Transactions: a request with a transactional id fails with INVALID_TXN_STATE, since none can be ongoing.
//! Source: Kafka's `KafkaApis.handleProduceRequest`, `ReplicaManager.appendRecords`.

mod request;

use std::sync::Arc;

use bytes::Bytes;
use duolog_broker::Topic;
use duolog_broker::partition::{ProduceContext, ProduceError, Produced};
use duolog_types::Lsn;
use kafka_wire::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_wire::ProduceResponse;

use request::TopicData;

use super::common::{partition, text};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;
use crate::session::close::CloseReason;
use crate::session::reply::{Outcome, Reply};

/// Produce in the table.
pub const API: Api = Api {
    key: 0,
    name: "Produce",
    min: 3,
    max: 13,
    advertised_min: 0,
    flexible_from: 9,
    notes: "v0-2 are advertised and refused, as Kafka does (KAFKA-18659); no transactions yet; records are not decoded at append unless the topic's configs need it (compression.type, message.timestamp.before.max.ms): header and checksum are checked, and that the bytes can hold the record count, which for compressed ones is the most that may come of them",
    handler: |call| Box::pin(handle(call)),
};

/// First version that may carry zstd (KIP-110).
const ZSTD_VERSION: i16 = 7;

async fn handle(mut call: Call<'_>) -> Handled {
    let arrival = call.door.broker.now();
    let request = call.decode_with(request::decode)?;
    let context = ProduceContext { arrival, allow_zstd: call.version >= ZSTD_VERSION, commit_follows: true };
    let refusal = refusal(&request);
    let mut after = Lsn::ZERO;
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        responses.push(produce_topic(&call, topic, context, refusal, &mut after));
    }
    if codes(&responses).any(|code| code != 0) {
        // An error tells which topics there are, or aren't.
        after = after.max(call.door.broker.catalog().changed());
    }
    call.count_errors(codes(&responses));
    if request.acks == 0 {
        return match responses.iter().flat_map(|topic| &topic.partition_responses).find(|one| one.error_code != 0) {
            None => Ok(Outcome::Silent),
            Some(failed) => Err(CloseReason::UnansweredProduce {
                detail: format!(
                    "partition {}: error {} {}",
                    failed.index,
                    failed.error_code,
                    failed.error_message.as_deref().unwrap_or_default()
                ),
            }),
        };
    }
    let response = message!(ProduceResponse { responses: responses });
    let frame = call.encode(&response)?;
    let (framing, version) = (call.frame, call.version);
    let instead = move || framing.encode(&stopped(response), version).unwrap_or_default();
    Ok(Outcome::Reply(Reply::new(frame).after(after).or_if_stopped(instead)))
}

fn codes(responses: &[TopicProduceResponse]) -> impl Iterator<Item = i16> {
    responses.iter().flat_map(|topic| topic.partition_responses.iter().map(|one| one.error_code))
}

/// Why nothing of the request is appended, if so.
fn refusal(request: &request::Request) -> Option<(ErrorCode, &'static str)> {
    if !matches!(request.acks, -1..=1) {
        return Some((ErrorCode::InvalidRequiredAcks, "acks is none of -1, 0 and 1"));
    }
    if request.transactional_id.is_some() {
        return Some((ErrorCode::InvalidTxnState, "this broker has no transactions yet"));
    }
    None
}

fn produce_topic(
    call: &Call<'_>,
    data: TopicData,
    context: ProduceContext,
    refusal: Option<(ErrorCode, &'static str)>,
    after: &mut Lsn,
) -> TopicProduceResponse {
    let topic = match refusal {
        Some((code, why)) => Err((code, why)),
        None if call.version >= 13 => call.door.topic_by_id(data.id).map_err(|code| (code, "no topic has this id")),
        None => call.door.topic(&data.name).map_err(|code| (code, "no topic has this name")),
    };
    let partition_responses = data
        .partitions
        .into_iter()
        .map(|(index, records)| match &topic {
            Ok(topic) => produce_partition(topic, index, records.unwrap_or_default(), context, after),
            Err((code, why)) => failed(index, *code, why),
        })
        .collect();
    message!(TopicProduceResponse {
        name: data.name,
        topic_id: data.id,
        partition_responses: partition_responses,
    })
}

fn produce_partition(
    topic: &Arc<Topic>,
    index: i32,
    records: Bytes,
    context: ProduceContext,
    after: &mut Lsn,
) -> PartitionProduceResponse {
    let partition = match partition(topic, index) {
        Ok(partition) => partition,
        Err(code) => return failed(index, code, "the topic has no such partition"),
    };
    match partition.produce(records, context) {
        Ok(produced) => {
            *after = (*after).max(produced.lsn);
            appended(index, &produced)
        }
        Err(error) => {
            if matches!(error, ProduceError::OutOfOrder { .. } | ProduceError::Fenced { .. }) {
                // It tells of batches before it.
                *after = (*after).max(partition.producers_as_of());
            }
            refused(index, &error)
        }
    }
}

fn appended(index: i32, produced: &Produced) -> PartitionProduceResponse {
    message!(PartitionProduceResponse {
        index: index,
        base_offset: produced.base_offset.0,
        log_append_time_ms: produced.log_append_time.map_or(-1, |time| time.0),
        log_start_offset: produced.log_start.0,
    })
}

fn failed(index: i32, code: ErrorCode, why: &str) -> PartitionProduceResponse {
    message!(PartitionProduceResponse {
        index: index,
        error_code: code.code(),
        base_offset: -1,
        error_message: text(why),
    })
}

fn refused(index: i32, error: &ProduceError) -> PartitionProduceResponse {
    let mut response = failed(index, ErrorCode::from(error), &error.to_string());
    if let ProduceError::Timestamps { errors } = error {
        response.record_errors = errors
            .iter()
            .map(|record| {
                message!(BatchIndexAndErrorMessage {
                    batch_index: record.batch_index,
                    batch_index_error_message: text(record.problem),
                })
            })
            .collect();
    }
    response
}

/// What is said if the log stops while the appended batches wait for their sync: their fate is unknown, and so is
/// what refusals went by.
fn stopped(mut response: ProduceResponse) -> ProduceResponse {
    for topic in &mut response.responses {
        for one in &mut topic.partition_responses {
            *one = failed(one.index, ErrorCode::KafkaStorageError, "the log stopped before the batch was durable");
        }
    }
    response
}
