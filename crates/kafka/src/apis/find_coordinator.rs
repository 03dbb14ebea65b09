//! FindCoordinator: which broker coordinates a group or a transactional id. It is always this one.
//!
//! Behaviour: groups (key type 0) and transactional ids (1) are coordinated here. There are no transactions yet,
//! but InitProducerId says so at once, in words that end a producer; an error here would be retried by clients
//! for ever (librdkafka) or be taken for a missing permission. Share groups (2) are INVALID_REQUEST, as in a Kafka
//! whose share coordinator is off.
//! Versions: v1 key type · v3 flexible · v4 several keys (KIP-699) · v6 share groups (KIP-932).
//! Source: Kafka's `KafkaApis.handleFindCoordinatorRequest`.

use duolog_types::Lsn;
use kafka_wire::find_coordinator_response::Coordinator;
use kafka_wire::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_wire_core::StrBytes;

use super::common::text;
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// FindCoordinator in the table.
pub const API: Api = Api {
    key: 10,
    name: "FindCoordinator",
    min: 0,
    max: 6,
    advertised_min: 0,
    flexible_from: 3,
    notes: "no share groups: INVALID_REQUEST",
    handler: |call| Box::pin(handle(call)),
};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// First version that asks for several keys.
const BATCH_VERSION: i16 = 4;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: FindCoordinatorRequest = call.decode()?;
    let refusal = match request.key_type {
        GROUP | TRANSACTION => None,
        other => Some(format!("nothing coordinates keys of type {other} here")),
    };
    let response = if call.version >= BATCH_VERSION {
        let keys = request.coordinator_keys.into_iter();
        let coordinators = keys.map(|key| coordinator(&call, key, refusal.as_deref())).collect::<Vec<_>>();
        call.count_errors(coordinators.iter().map(|one| one.error_code));
        message!(FindCoordinatorResponse { coordinators: coordinators })
    } else {
        let one = coordinator(&call, request.key, refusal.as_deref());
        call.count_errors([one.error_code]);
        message!(FindCoordinatorResponse {
            error_code: one.error_code,
            error_message: one.error_message,
            node_id: one.node_id,
            host: one.host,
            port: one.port,
        })
    };
    call.reply(&response, Lsn::ZERO)
}

fn coordinator(call: &Call<'_>, key: StrBytes, refusal: Option<&str>) -> Coordinator {
    match refusal {
        None => message!(Coordinator {
            key: key,
            node_id: call.door.node_id(),
            host: call.door.host(),
            port: call.door.port(),
        }),
        Some(why) => message!(Coordinator {
            key: key,
            node_id: -1,
            port: -1,
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: text(why),
        }),
    }
}
