//! Heartbeat: a member's sign of life; the answer tells it when to join again.
//!
//! Versions: v3 static members (KIP-345) · v4 flexible.
//! Source: Kafka's `GroupMetadataManager.classicGroupHeartbeat`.

use duolog_broker::groups::{Heartbeat, NOBODY};
use kafka_wire::{HeartbeatRequest, HeartbeatResponse};

use super::group::{group_id, member};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// Heartbeat in the table.
pub const API: Api = Api {
    key: 12,
    name: "Heartbeat",
    min: 0,
    max: 4,
    advertised_min: 0,
    flexible_from: 4,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: HeartbeatRequest = call.decode()?;
    let answer = call.door.broker.groups().heartbeat(Heartbeat {
        to: NOBODY,
        group: group_id(&request.group_id),
        member: member(&request.member_id, request.group_instance_id.as_ref(), request.generation_id),
    });
    let error = ErrorCode::of(answer.value);
    call.count_errors([error.code()]);
    call.reply(&message!(HeartbeatResponse { error_code: error.code() }), answer.lsn)
}
