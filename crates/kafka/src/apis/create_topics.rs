//! CreateTopics: makes topics, or says whether it could.
//!
//! Behaviour: each topic on its own; a name that stands twice in the request fails both times, and a topic that
//! the answer has no room for isn't made. -1 partitions or
//! replicas are the broker's defaults (v4+). Any replication factor from 1 is taken and remembered, since clients'
//! tools default to 3; the effective one is 1 (design §4). The answer leaves when the topics are durable.
//! Versions: v4 defaults · v5 flexible, configs in the answer · v6 throttling · v7 topic ids.
//! Source: KIP-4, KIP-525; Kafka's `ReplicationControlManager.createTopics`.

use std::collections::{HashMap, HashSet};

use duolog_broker::catalog::{Created, NewTopic};
use duolog_types::Lsn;
use kafka_wire::create_topics_request::CreatableTopic;
use kafka_wire::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_wire::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_wire_core::StrBytes;

use super::answer::{AnswerRoom, NO_ROOM};
use super::common::{config_source, text, wire_id};
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// CreateTopics in the table.
pub const API: Api = Api {
    key: 19,
    name: "CreateTopics",
    min: 2,
    max: 7,
    advertised_min: 2,
    flexible_from: 5,
    notes: "replication factors above 1 are accepted and have no effect",
    handler: |call| Box::pin(handle(call)),
};

/// First version in which -1 stands for the broker's default (KIP-464).
const DEFAULTS_VERSION: i16 = 4;
/// First version whose answer has the topics' configs (KIP-525).
const CONFIGS_VERSION: i16 = 5;

/// What a topic takes in the answer until it is encoded: some 35 configs, where they are told.
const fn answer_bytes(version: i16) -> usize {
    if version < CONFIGS_VERSION { 256 } else { 8 << 10 }
}

async fn handle(mut call: Call<'_>) -> Handled {
    let request: CreateTopicsRequest = call.decode()?;
    let mut room = AnswerRoom::of(&call).await;
    let mut seen = HashSet::new();
    let twice: HashSet<StrBytes> =
        request.topics.iter().filter(|topic| !seen.insert(&topic.name)).map(|topic| topic.name.clone()).collect();
    // A refusal may tell of a topic that isn't durable yet.
    let mut after = call.door.broker.catalog().changed();
    let topics: Vec<CreatableTopicResult> = request
        .topics
        .iter()
        .map(|topic| {
            if twice.contains(&topic.name) {
                return failed(topic, ErrorCode::InvalidRequest, "the topic stands twice in the request");
            }
            if !room.take(answer_bytes(call.version)) {
                return failed(topic, ErrorCode::InvalidRequest, NO_ROOM);
            }
            create(call.door, topic, call.version, request.validate_only, &mut after)
        })
        .collect();
    call.count_errors(topics.iter().map(|topic| topic.error_code));
    call.reply(&message!(CreateTopicsResponse { topics: topics }), after)
}

fn create(
    door: &Door,
    asked: &CreatableTopic,
    version: i16,
    validate_only: bool,
    after: &mut Lsn,
) -> CreatableTopicResult {
    let manual = !asked.assignments.is_empty();
    if version < DEFAULTS_VERSION && !manual {
        if asked.num_partitions == -1 {
            return failed(asked, ErrorCode::InvalidPartitions, "the number of partitions is missing");
        }
        if asked.replication_factor == -1 {
            return failed(asked, ErrorCode::InvalidReplicationFactor, "the replication factor is missing");
        }
    }
    let mut assignments = std::collections::BTreeMap::new();
    for one in &asked.assignments {
        if assignments.insert(one.partition_index, one.broker_ids.clone()).is_some() {
            return failed(asked, ErrorCode::InvalidReplicaAssignment, "a partition is placed twice");
        }
    }
    let mut configs: HashMap<&str, &Option<StrBytes>> = HashMap::new();
    if asked.configs.iter().any(|config| configs.insert(&config.name, &config.value).is_some()) {
        return failed(asked, ErrorCode::InvalidRequest, "a config stands twice");
    }
    let new = NewTopic {
        name: asked.name.to_string(),
        partitions: (asked.num_partitions != -1).then_some(asked.num_partitions),
        replication_factor: (asked.replication_factor != -1).then_some(asked.replication_factor),
        assignments,
        configs: asked
            .configs
            .iter()
            .map(|config| (config.name.to_string(), config.value.as_ref().map(ToString::to_string)))
            .collect(),
    };
    let catalog = door.broker.catalog();
    match if validate_only { catalog.validate(&new) } else { catalog.create(&new) } {
        Ok(created) => {
            *after = (*after).max(created.lsn);
            made(door, asked, &created, version)
        }
        Err(error) => {
            *after = (*after).max(catalog.changed());
            failed(asked, ErrorCode::from(&error), &error.to_string())
        }
    }
}

fn made(door: &Door, asked: &CreatableTopic, created: &Created, version: i16) -> CreatableTopicResult {
    let told = version >= CONFIGS_VERSION;
    let configs = told.then(|| door.broker.catalog().describe_config(&created.config, None));
    let configs = configs
        .into_iter()
        .flatten()
        .map(|entry| {
            message!(CreatableTopicConfigs {
                name: StrBytes::from(entry.name),
                value: (!entry.sensitive).then(|| StrBytes::from(entry.value)),
                read_only: entry.read_only,
                config_source: config_source(entry.source),
                is_sensitive: entry.sensitive,
            })
        })
        .collect();
    message!(CreatableTopicResult {
        name: asked.name.clone(),
        topic_id: created.topic.as_ref().map(|topic| wire_id(topic.id())).unwrap_or_default(),
        num_partitions: i32::try_from(created.partitions).unwrap_or(i32::MAX),
        replication_factor: created.replication_factor,
        configs: Some(configs),
    })
}

fn failed(asked: &CreatableTopic, error: ErrorCode, why: &str) -> CreatableTopicResult {
    message!(CreatableTopicResult {
        name: asked.name.clone(),
        error_code: error.code(),
        error_message: text(why),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
    })
}
