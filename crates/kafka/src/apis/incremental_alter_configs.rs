//! IncrementalAlterConfigs: changes single configs of topics.
//!
//! Behaviour: 0 set, 1 delete (back to the default), 2 append to and 3 subtract from a list. All changes of a
//! resource or none. A resource that stands twice fails both times. Configs of a broker can't be changed while it
//! runs: INVALID_REQUEST says where they are set.
//! Versions: v1 flexible.
//! Source: KIP-339; Kafka's `ConfigAdminManager`, `ConfigurationControlManager.incrementalAlterConfigs`.

use duolog_broker::catalog::{AlterOp, ConfigChange};
use kafka_wire::incremental_alter_configs_request::AlterableConfig;
use kafka_wire::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_wire::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::common::{Resource, alter_resources, text};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// IncrementalAlterConfigs in the table.
pub const API: Api = Api {
    key: 44,
    name: "IncrementalAlterConfigs",
    min: 0,
    max: 1,
    advertised_min: 0,
    flexible_from: 1,
    notes: "resources: topic",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: IncrementalAlterConfigsRequest = call.decode()?;
    let resources = request.resources.iter().map(|resource| Resource {
        kind: resource.resource_type,
        name: resource.resource_name.clone(),
        change: resource.configs.iter().map(operation).collect::<Result<_, _>>().map(ConfigChange::Incremental),
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
    call.reply(&message!(IncrementalAlterConfigsResponse { responses: responses }), after)
}

fn operation(config: &AlterableConfig) -> Result<(String, AlterOp), (ErrorCode, String)> {
    let value = config.value.as_ref().map(ToString::to_string);
    let operation = match config.config_operation {
        0 => AlterOp::Set(value),
        1 => AlterOp::Delete,
        2 => AlterOp::Append(value),
        3 => AlterOp::Subtract(value),
        other => {
            let why = format!("config {}: there is no operation {other}", config.name);
            return Err((ErrorCode::InvalidRequest, why));
        }
    };
    Ok((config.name.to_string(), operation))
}
