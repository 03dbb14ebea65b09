//! JoinGroup: a member comes into its group, or comes back for a new generation.
//!
//! Behaviour: waits until the members of the group are together, or the rebalance timeout is over; the leader of
//! the generation is told who they are. While it waits, the connection's end is noticed and only this connection
//! is held up. A stopping broker answers COORDINATOR_NOT_AVAILABLE. The rules are `duolog_groups`'.
//! Versions: v1 rebalance timeout · v4 MEMBER_ID_REQUIRED (KIP-394) · v5 static members (KIP-345) · v6 flexible ·
//! v7 protocol type in the answer (KIP-559) · v8 reason (KIP-800; logged) · v9 skip assignment (KIP-814).
//! Source: Kafka's `GroupMetadataManager.classicGroupJoin`.

use std::sync::Arc;

use duolog_broker::groups::{GroupError, JoinGroup, JoinRefused, Joined, NOBODY, Protocol};
use duolog_types::{Lsn, MemberId};
use kafka_wire::join_group_response::JoinGroupResponseMember;
use kafka_wire::{JoinGroupRequest, JoinGroupResponse};

use super::group::{group_id, kept, unless_draining, wire};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// JoinGroup in the table.
pub const API: Api = Api {
    key: 11,
    name: "JoinGroup",
    min: 0,
    max: 9,
    advertised_min: 0,
    flexible_from: 6,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// First version with a rebalance timeout of its own.
const REBALANCE_TIMEOUT_VERSION: i16 = 1;
/// First version in which a member must come back with the id that it was given.
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;
/// First version in which an answer may have no protocol.
const NULLABLE_PROTOCOL_VERSION: i16 = 7;
/// First version in which a leader can be told to skip the assignment.
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: JoinGroupRequest = call.decode()?;
    if let Some(reason) = &request.reason {
        tracing::debug!(group = %&*request.group_id, member = %&*request.member_id, %reason, "joins");
    }
    let join = event(&call, &request);
    drop(request);
    call.begin_to_wait();
    let member_id = join.member_id.clone();
    let groups = call.door.broker.groups().clone();
    let (joined, after) = match unless_draining(&call, groups.join(join)).await {
        Some(answer) => (answer.value, answer.lsn),
        None => (Err(JoinRefused { error: GroupError::CoordinatorNotAvailable, member_id }), Lsn::ZERO),
    };
    let response = match joined {
        Ok(joined) => accepted(*joined),
        Err(refused) => {
            let error = ErrorCode::from(refused.error);
            call.count_errors([error.code()]);
            let nameless = call.version < NULLABLE_PROTOCOL_VERSION;
            message!(JoinGroupResponse {
                error_code: error.code(),
                generation_id: -1,
                protocol_name: nameless.then(|| wire("")),
                member_id: wire(&refused.member_id.0),
            })
        }
    };
    call.reply(&response, after)
}

fn event(call: &Call<'_>, request: &JoinGroupRequest) -> JoinGroup {
    let protocols = request.protocols.iter().map(|protocol| Protocol {
        name: kept(&protocol.name),
        // A copy, for it outlives the request's buffer by far.
        metadata: bytes::Bytes::copy_from_slice(&protocol.metadata),
    });
    let rebalance_timeout_ms = if call.version >= REBALANCE_TIMEOUT_VERSION {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    JoinGroup {
        to: NOBODY,
        group: group_id(&request.group_id),
        member_id: MemberId::from(&*request.member_id),
        instance_id: request.group_instance_id.as_ref().map(kept),
        client_id: call.client_id.as_ref().map_or_else(|| Arc::from(""), kept),
        client_host: Arc::from(format!("/{}", call.client.peer.ip().to_canonical())),
        protocol_type: kept(&request.protocol_type),
        protocols: protocols.collect(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        must_know_member_id: call.version >= MEMBER_ID_REQUIRED_VERSION,
        can_skip_assignment: call.version >= SKIP_ASSIGNMENT_VERSION,
        entropy: [0; 16],
    }
}

fn accepted(joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        message!(JoinGroupResponseMember {
            member_id: wire(&member.member_id.0),
            group_instance_id: member.instance_id.as_deref().map(wire),
            metadata: member.metadata,
        })
    });
    message!(JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_deref().map(wire),
        protocol_name: Some(wire(joined.protocol_name.as_deref().unwrap_or_default())),
        leader: wire(&joined.leader.0),
        skip_assignment: joined.skip_assignment,
        member_id: wire(&joined.member_id.0),
        members: members.collect(),
    })
}
