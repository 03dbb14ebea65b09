//! AlterConfigs: replaces the whole set of a topic's configs. (IncrementalAlterConfigs is what newer tools send.)
//!
//! Behaviour: what isn't named goes back to its default. A resource that stands twice fails both times. Configs
//! of a broker can't be changed while it runs: INVALID_REQUEST says where they are set.
//! Versions: v2 flexible.
//! Source: KIP-133; Kafka's `ConfigAdminManager`, `ConfigurationControlManager.legacyAlterConfigs`.

use duolog_broker::catalog::ConfigChange;
use kafka_wire::alter_configs_response::AlterConfigsResourceResponse;
use kafka_wire::{AlterConfigsRequest, AlterConfigsResponse};

use super::common::{Resource, alter_resources, text};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// AlterConfigs in the table.
pub const API: Api = Api {
    key: 33,
    name: "AlterConfigs",
    min: 0,
    max: 2,
    advertised_min: 0,
    flexible_from: 2,
    notes: "resources: topic",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: AlterConfigsRequest = call.decode()?;
    let resources = request.resources.iter().map(|resource| {
        let mut keys = std::collections::HashSet::new();
        let repeated = resource.configs.iter().find(|config| !keys.insert(&config.name));
        let configs = resource
            .configs
            .iter()
            .map(|config| (config.name.to_string(), config.value.as_ref().map(ToString::to_string)))
            .collect();
        Resource {
            kind: resource.resource_type,
            name: resource.resource_name.clone(),
            change: match repeated {
                Some(config) => Err((ErrorCode::InvalidRequest, format!("config {} stands twice", config.name))),
                None => Ok(ConfigChange::Replace(configs)),
            },
        }
    });
    let (altered, after) = alter_resources(call.door, resources.collect(), request.validate_only);
    let responses: Vec<AlterConfigsResourceResponse> = altered
        .into_iter()
        .map(|one| {
            message!(AlterConfigsResourceResponse {
                error_code: one.error.code(),
                error_message: one.why.and_then(text),
                resource_type: one.kind,
                resource_name: one.name,
            })
        })
        .collect();
    call.count_errors(responses.iter().map(|one| one.error_code));
    call.reply(&message!(AlterConfigsResponse { responses: responses }), after)
}
