//! Metadata: brokers, topics, and who leads their partitions.
//!
//! Behaviour: null topics are all topics (version 0: an empty list), an empty list is none. An unknown name makes
//! the topic if the client allows it (always before v4) and the broker does; it is answered at once and complete,
//! which Kafka allows and does a moment later. A topic that is asked for twice is answered once. The answer leaves when the catalog it shows is durable.
//! Versions: v1 controller, null = all · v2 cluster id · v4 allow_auto_topic_creation · v7 leader epoch · v8
//! authorized operations · v9 flexible · v10 topic ids in the answer · v12 topic ids in the request · v13 error.
//! Source: KIP-4, KIP-516; Kafka's `KafkaApis.handleTopicMetadataRequest`.

use std::collections::HashSet;

use duolog_broker::Topic;
use duolog_broker::catalog::CreateTopicError;
use duolog_broker::partition::LEADER_EPOCH;
use duolog_types::Lsn;
use kafka_wire::metadata_request::MetadataRequestTopic;
use kafka_wire::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_wire::{MetadataRequest, MetadataResponse};
use kafka_wire_core::StrBytes;

use super::answer::wait_for_room;
use super::common::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS, operations, wire_id};
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// Metadata in the table.
pub const API: Api = Api {
    key: 3,
    name: "Metadata",
    min: 0,
    max: 13,
    advertised_min: 0,
    flexible_from: 9,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: MetadataRequest = call.decode()?;
    let door = call.door;
    // No answer is larger than the catalog and the request together, since each topic is told of once.
    wait_for_room(&call).await;
    // The cluster's id is as young as the data directory.
    let mut after = Lsn::ZERO;
    let topics = match &request.topics {
        // Version 0 can't say null.
        Some(asked) if call.version == 0 && asked.is_empty() => all_topics(door, &request, &mut after),
        None => all_topics(door, &request, &mut after),
        // Ids came with v10 in the schema and with v12 in the rules.
        Some(asked) if call.version < 12 && asked.iter().any(names_nothing) => asked
            .iter()
            .map(|topic| failed(topic, ErrorCode::InvalidRequest, Some(topic.name.clone().unwrap_or_default())))
            .collect(),
        Some(asked) => {
            let create = request.allow_auto_topic_creation && door.broker.config().auto_create_topics;
            let mut seen = HashSet::new();
            let once = asked.iter().filter(|topic| seen.insert((&topic.name, topic.topic_id)));
            once.map(|topic| find(door, &request, topic, create, &mut after)).collect()
        }
    };
    call.count_errors(topics.iter().map(|topic: &MetadataResponseTopic| topic.error_code));
    let broker = message!(MetadataResponseBroker { node_id: door.node_id(), host: door.host(), port: door.port() });
    let response = message!(MetadataResponse {
        brokers: vec![broker],
        cluster_id: Some(StrBytes::from(door.broker.catalog().cluster_id())),
        controller_id: door.node_id(),
        topics: topics,
        cluster_authorized_operations: operations(
            request.include_cluster_authorized_operations && (8..=10).contains(&call.version),
            CLUSTER_OPERATIONS,
        ),
    });
    call.reply(&response, after)
}

/// Whether a topic of the request has no name, or an id.
fn names_nothing(topic: &MetadataRequestTopic) -> bool {
    topic.name.is_none() || !topic.topic_id.is_zero()
}

fn all_topics(door: &Door, request: &MetadataRequest, after: &mut Lsn) -> Vec<MetadataResponseTopic> {
    *after = (*after).max(door.broker.catalog().changed());
    door.broker.catalog().topics().iter().map(|topic| describe(door, request, topic)).collect()
}

/// One topic that was asked for, made if it may be.
fn find(
    door: &Door,
    request: &MetadataRequest,
    asked: &MetadataRequestTopic,
    create: bool,
    after: &mut Lsn,
) -> MetadataResponseTopic {
    let found = match &asked.name {
        Some(name) if asked.topic_id.is_zero() => door.topic(name),
        _ => door.topic_by_id(asked.topic_id),
    };
    match (found, &asked.name) {
        (Ok(topic), _) => {
            *after = (*after).max(topic.changed());
            describe(door, request, &topic)
        }
        // That it isn't there may be news, too: its deletion must not be undone by a crash.
        (Err(ErrorCode::UnknownTopicOrPartition), Some(name)) => {
            *after = (*after).max(door.broker.catalog().changed());
            match auto_create(door, name, create) {
                Ok(topic) => {
                    *after = (*after).max(topic.changed());
                    describe(door, request, &topic)
                }
                Err(error) => failed(asked, error, Some(name.clone())),
            }
        }
        (Err(error), _) => {
            *after = (*after).max(door.broker.catalog().changed());
            failed(asked, error, None)
        }
    }
}

fn auto_create(door: &Door, name: &StrBytes, create: bool) -> Result<std::sync::Arc<Topic>, ErrorCode> {
    if let Err(problem) = duolog_broker::catalog::check_name(name) {
        return Err(ErrorCode::from(&CreateTopicError::InvalidName(problem)));
    }
    if !create {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let topic = door.broker.catalog().get_or_create(name).map_err(|error| {
        tracing::warn!(topic = %name, %error, "a client's metadata request could not create the topic");
        ErrorCode::from(&error)
    })?;
    tracing::info!(topic = %name, partitions = topic.partitions().len(), "created by a client's metadata request");
    Ok(topic)
}

fn failed(asked: &MetadataRequestTopic, error: ErrorCode, name: Option<StrBytes>) -> MetadataResponseTopic {
    message!(MetadataResponseTopic { error_code: error.code(), name: name, topic_id: asked.topic_id })
}

fn describe(door: &Door, request: &MetadataRequest, topic: &Topic) -> MetadataResponseTopic {
    let node = door.node_id();
    let partitions = (0_i32..)
        .zip(topic.partitions())
        .map(|(index, _)| {
            message!(MetadataResponsePartition {
                partition_index: index,
                leader_id: node,
                leader_epoch: LEADER_EPOCH.0,
                replica_nodes: vec![node],
                isr_nodes: vec![node],
            })
        })
        .collect();
    message!(MetadataResponseTopic {
        name: Some(StrBytes::from(&**topic.name())),
        topic_id: wire_id(topic.id()),
        partitions: partitions,
        topic_authorized_operations: operations(request.include_topic_authorized_operations, TOPIC_OPERATIONS),
    })
}
