//! SyncGroup: the leader hands in the assignment of a generation, every member gets its own part of it.
//!
//! Behaviour: waits for the leader. A stopping broker answers COORDINATOR_NOT_AVAILABLE. The answer to all leaves
//! when the assignment is durable, so that a restart finds the generation as its members know it.
//! Versions: v3 static members (KIP-345) · v4 flexible · v5 protocol type and name, which must be there (KIP-559).
//! Source: Kafka's `GroupMetadataManager.classicGroupSync`.

use duolog_broker::groups::{GroupError, NOBODY, SyncGroup};
use duolog_types::{Lsn, MemberId};
use kafka_wire::{SyncGroupRequest, SyncGroupResponse};

use super::group::{group_id, kept, member, unless_draining, wire};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// SyncGroup in the table.
pub const API: Api = Api {
    key: 14,
    name: "SyncGroup",
    min: 0,
    max: 5,
    advertised_min: 0,
    flexible_from: 4,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// First version that must name the protocol.
const PROTOCOL_VERSION: i16 = 5;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: SyncGroupRequest = call.decode()?;
    let named = request.protocol_type.is_some() && request.protocol_name.is_some();
    let (synced, after) = if call.version >= PROTOCOL_VERSION && !named {
        (Err(GroupError::InconsistentGroupProtocol), Lsn::ZERO)
    } else {
        let sync = event(&request);
        drop(request);
        call.begin_to_wait();
        let groups = call.door.broker.groups().clone();
        match unless_draining(&call, groups.sync(sync)).await {
            Some(answer) => (answer.value, answer.lsn),
            None => (Err(GroupError::CoordinatorNotAvailable), Lsn::ZERO),
        }
    };
    let response = match synced {
        Ok(synced) => message!(SyncGroupResponse {
            protocol_type: synced.protocol_type.as_deref().map(wire),
            protocol_name: synced.protocol_name.as_deref().map(wire),
            assignment: synced.assignment,
        }),
        Err(error) => {
            let error = ErrorCode::from(error);
            call.count_errors([error.code()]);
            message!(SyncGroupResponse { error_code: error.code() })
        }
    };
    call.reply(&response, after)
}

fn event(request: &SyncGroupRequest) -> SyncGroup {
    let assignments = request.assignments.iter().map(|assigned| {
        (MemberId::from(&*assigned.member_id), bytes::Bytes::copy_from_slice(&assigned.assignment))
    });
    SyncGroup {
        to: NOBODY,
        group: group_id(&request.group_id),
        member: member(&request.member_id, request.group_instance_id.as_ref(), request.generation_id),
        protocol_type: request.protocol_type.as_ref().map(kept),
        protocol_name: request.protocol_name.as_ref().map(kept),
        assignments: assignments.collect(),
    }
}
