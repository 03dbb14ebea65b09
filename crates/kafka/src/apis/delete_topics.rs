//! DeleteTopics: deletes topics and their data.
//!
//! Behaviour: by name (until v5), by name or id (v6). A topic that is named twice fails both times. The answer
//! leaves when the deletion is durable.
//! Versions: v4 flexible · v5 error messages · v6 topic ids (KIP-516).
//! Source: Kafka's `ControllerApis.deleteTopics`.

use std::collections::HashMap;
use std::sync::Arc;

use duolog_broker::Topic;
use duolog_types::Lsn;
use kafka_wire::delete_topics_request::DeleteTopicState;
use kafka_wire::delete_topics_response::DeletableTopicResult;
use kafka_wire::{DeleteTopicsRequest, DeleteTopicsResponse};
use kafka_wire_core::StrBytes;

use super::common::{text, wire_id};
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// DeleteTopics in the table.
pub const API: Api = Api {
    key: 20,
    name: "DeleteTopics",
    min: 1,
    max: 6,
    advertised_min: 1,
    flexible_from: 4,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// First version that names topics one by one, by name or id.
const STATES_VERSION: i16 = 6;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DeleteTopicsRequest = call.decode()?;
    let asked: Vec<DeleteTopicState> = if call.version >= STATES_VERSION {
        request.topics
    } else {
        request.topic_names.into_iter().map(|name| message!(DeleteTopicState { name: Some(name) })).collect()
    };
    let mut after = call.door.broker.catalog().changed();
    let found: Vec<Result<Arc<Topic>, ErrorCode>> = asked.iter().map(|one| find(call.door, one)).collect();
    let mut times: HashMap<_, usize> = HashMap::new();
    for topic in found.iter().flatten() {
        *times.entry(topic.id()).or_default() += 1;
    }
    let responses: Vec<DeletableTopicResult> = asked
        .iter()
        .zip(&found)
        .map(|(asked, found)| match found {
            Err(error) => failed(asked.name.clone(), asked, *error, "there is no such topic"),
            Ok(topic) if times[&topic.id()] > 1 => {
                failed(asked.name.clone(), asked, ErrorCode::InvalidRequest, "the topic stands twice in the request")
            }
            Ok(topic) => delete(call.door, asked, topic, &mut after),
        })
        .collect();
    call.count_errors(responses.iter().map(|one| one.error_code));
    call.reply(&message!(DeleteTopicsResponse { responses: responses }), after)
}

fn find(door: &Door, asked: &DeleteTopicState) -> Result<Arc<Topic>, ErrorCode> {
    match (&asked.name, asked.topic_id.is_zero()) {
        (Some(name), true) => door.topic(name),
        (None, false) => door.topic_by_id(asked.topic_id),
        // Neither, or both.
        _ => Err(ErrorCode::InvalidRequest),
    }
}

fn delete(door: &Door, asked: &DeleteTopicState, topic: &Topic, after: &mut Lsn) -> DeletableTopicResult {
    let name = Some(StrBytes::from(&**topic.name()));
    match door.broker.catalog().delete(topic.id()) {
        Ok(lsn) => {
            *after = (*after).max(lsn);
            tracing::info!(topic = %topic.name(), id = %topic.id(), "deleted");
            message!(DeletableTopicResult { name: name, topic_id: wire_id(topic.id()) })
        }
        Err(error) => {
            let code = match &error {
                duolog_broker::catalog::DeleteTopicError::Unknown if asked.name.is_none() => ErrorCode::UnknownTopicId,
                error => ErrorCode::from(error),
            };
            failed(name, asked, code, &error.to_string())
        }
    }
}

fn failed(name: Option<StrBytes>, asked: &DeleteTopicState, error: ErrorCode, why: &str) -> DeletableTopicResult {
    message!(DeletableTopicResult {
        name: name,
        topic_id: asked.topic_id,
        error_code: error.code(),
        error_message: text(why),
    })
}
