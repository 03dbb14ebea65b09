//! DescribeConfigs: every config of topics and of this broker, with where its value comes from.
//!
//! Behaviour: null (or, before v4's flexible form, absent) keys are all configs; unknown keys are left out. A
//! resource that stands twice is described once, with the keys of both. What one answer has no room for is
//! INVALID_REQUEST.
//! Resources: 2 topic, 4 broker ("" or this broker's id). Others are INVALID_REQUEST, since nothing of them is
//! stored here: broker loggers (8), client metrics (16), groups (32).
//! Versions: v1 synonyms · v3 types and documentation · v4 flexible.
//! Source: KIP-133, KIP-226, KIP-569; Kafka's `ConfigHelper`.

use std::collections::{HashMap, HashSet};

use duolog_broker::config::{ConfigEntry, ConfigType};
use duolog_types::Lsn;
use kafka_wire::describe_configs_request::DescribeConfigsResource;
use kafka_wire::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_wire::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_wire_core::StrBytes;

use super::answer::{AnswerRoom, NO_ROOM};
use super::common::{RESOURCE_BROKER, RESOURCE_TOPIC, config_source, text};
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::message;

/// DescribeConfigs in the table.
pub const API: Api = Api {
    key: 32,
    name: "DescribeConfigs",
    min: 1,
    max: 4,
    advertised_min: 1,
    flexible_from: 4,
    notes: "resources: topic, broker",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DescribeConfigsRequest = call.decode()?;
    let mut room = AnswerRoom::of(&call).await;
    let mut after = Lsn::ZERO;
    let resources = each_once(&request.resources);
    let mut results = Vec::with_capacity(resources.len());
    for (resource, keys) in resources {
        let mut result = message!(DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
        let found = entries(call.door, resource, keys, &mut after).and_then(|entries| {
            if room.take(entries.iter().map(|entry| bytes_of(entry, &request)).sum()) {
                Ok(entries)
            } else {
                Err((ErrorCode::InvalidRequest, NO_ROOM.to_owned()))
            }
        });
        match found {
            Ok(entries) => result.configs = entries.into_iter().map(|one| describe(one, &request)).collect(),
            Err((error, why)) => {
                result.error_code = error.code();
                result.error_message = text(why);
            }
        }
        results.push(result);
    }
    call.count_errors(results.iter().map(|one: &DescribeConfigsResult| one.error_code));
    call.reply(&message!(DescribeConfigsResponse { results: results }), after)
}

/// The keys asked for; none is all of them.
type Keys<'a> = Option<HashSet<&'a str>>;

/// Each resource once, with all keys that were asked for, in the order of the request.
fn each_once(resources: &[DescribeConfigsResource]) -> Vec<(&DescribeConfigsResource, Keys<'_>)> {
    let mut places = HashMap::new();
    let mut once: Vec<(&DescribeConfigsResource, Keys<'_>)> = Vec::new();
    for resource in resources {
        let keys = resource.configuration_keys.as_ref();
        let keys: Keys<'_> = keys.map(|keys| keys.iter().map(|key| &**key).collect());
        let place = *places.entry((resource.resource_type, &*resource.resource_name)).or_insert(once.len());
        match once.get_mut(place) {
            Some((_, Some(known))) if keys.is_some() => known.extend(keys.into_iter().flatten()),
            Some((_, known)) => *known = None,
            None => once.push((resource, keys)),
        }
    }
    once
}

/// What an entry takes in memory until the answer is encoded, about.
fn bytes_of(entry: &ConfigEntry, request: &DescribeConfigsRequest) -> usize {
    let synonyms = if request.include_synonyms { entry.synonyms.iter() } else { [].iter() };
    let documentation = if request.include_documentation { entry.documentation.len() } else { 0 };
    let synonyms = synonyms.map(|synonym| 128 + synonym.name.len() + synonym.value.len()).sum::<usize>();
    256 + entry.name.len() + entry.value.len() + synonyms + documentation
}

fn entries(
    door: &Door,
    resource: &DescribeConfigsResource,
    keys: Keys<'_>,
    after: &mut Lsn,
) -> Result<Vec<ConfigEntry>, (ErrorCode, String)> {
    let catalog = door.broker.catalog();
    let keys: Option<Vec<String>> = keys.map(|keys| keys.into_iter().map(str::to_owned).collect());
    match resource.resource_type {
        RESOURCE_TOPIC => {
            duolog_broker::catalog::check_name(&resource.resource_name)
                .map_err(|problem| (ErrorCode::InvalidTopic, problem.to_string()))?;
            *after = (*after).max(catalog.changed());
            let topic = door.topic(&resource.resource_name).map_err(|error| (error, "there is no such topic".to_owned()))?;
            Ok(catalog.describe_topic(&topic, keys.as_deref()))
        }
        RESOURCE_BROKER => {
            let name = resource.resource_name.as_str();
            if !name.is_empty() && name.parse() != Ok(door.node_id()) {
                let why = format!("this is broker {}, and configs of broker {name:?} were asked for", door.node_id());
                return Err((ErrorCode::InvalidRequest, why));
            }
            Ok(catalog.describe_broker(keys.as_deref()))
        }
        other => Err((ErrorCode::InvalidRequest, format!("configs of resource type {other} are not kept here"))),
    }
}

fn describe(entry: ConfigEntry, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let shown = |value: String| (!entry.sensitive).then(|| StrBytes::from(value));
    let synonyms = if request.include_synonyms { entry.synonyms } else { Vec::new() };
    message!(DescribeConfigsResourceResult {
        name: StrBytes::from(entry.name),
        value: shown(entry.value),
        read_only: entry.read_only,
        config_source: config_source(entry.source),
        is_sensitive: entry.sensitive,
        synonyms: synonyms
            .into_iter()
            .map(|synonym| {
                message!(DescribeConfigsSynonym {
                    name: StrBytes::from(synonym.name),
                    value: shown(synonym.value),
                    source: config_source(synonym.source),
                })
            })
            .collect(),
        config_type: config_type(entry.kind),
        documentation: request.include_documentation.then(|| StrBytes::from(entry.documentation)),
    })
}

/// Kafka's `DescribeConfigsResponse.ConfigType`.
fn config_type(kind: ConfigType) -> i8 {
    match kind {
        ConfigType::Boolean => 1,
        ConfigType::String => 2,
        ConfigType::Int => 3,
        ConfigType::Long => 5,
        ConfigType::Double => 6,
        ConfigType::List => 7,
    }
}
