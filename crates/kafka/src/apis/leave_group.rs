//! LeaveGroup: members leave, or an administrator removes them.
//!
//! Behaviour: each member of the request has its own outcome. Static members go by their instance id, with or
//! without a member id.
//! Versions: v3 several members (KIP-345) · v4 flexible · v5 reason (KIP-800; logged).
//! Source: Kafka's `GroupMetadataManager.classicGroupLeave`.

use duolog_broker::groups::{LeaveGroup, LeavingMember, NOBODY};
use duolog_types::MemberId;
use kafka_wire::leave_group_request::MemberIdentity;
use kafka_wire::leave_group_response::MemberResponse;
use kafka_wire::{LeaveGroupRequest, LeaveGroupResponse};

use super::group::{group_id, kept, wire};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// LeaveGroup in the table.
pub const API: Api = Api {
    key: 13,
    name: "LeaveGroup",
    min: 0,
    max: 5,
    advertised_min: 0,
    flexible_from: 4,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// First version that names several members.
const MEMBERS_VERSION: i16 = 3;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: LeaveGroupRequest = call.decode()?;
    let leaving = if call.version >= MEMBERS_VERSION {
        request.members
    } else {
        vec![message!(MemberIdentity { member_id: request.member_id })]
    };
    let members = leaving.iter().map(|member| {
        if let Some(reason) = &member.reason {
            tracing::debug!(group = %&*request.group_id, member = %&*member.member_id, %reason, "leaves");
        }
        LeavingMember {
            member_id: MemberId::from(&*member.member_id),
            instance_id: member.group_instance_id.as_ref().map(kept),
        }
    });
    let leave = LeaveGroup { to: NOBODY, group: group_id(&request.group_id), members: members.collect() };
    let answer = call.door.broker.groups().leave(leave);
    let mut response = match answer.value {
        Ok(left) => {
            let members = left.into_iter().map(|left| {
                message!(MemberResponse {
                    member_id: wire(&left.member_id.0),
                    group_instance_id: left.instance_id.as_deref().map(wire),
                    error_code: ErrorCode::of(left.outcome).code(),
                })
            });
            message!(LeaveGroupResponse { members: members.collect() })
        }
        Err(error) => message!(LeaveGroupResponse { error_code: ErrorCode::from(error).code() }),
    };
    if call.version < MEMBERS_VERSION {
        // One member, whose outcome is the whole answer.
        let outcome = response.members.first().map_or(response.error_code, |member| member.error_code);
        response = message!(LeaveGroupResponse { error_code: outcome });
    }
    let errors = response.members.iter().map(|member| member.error_code).chain([response.error_code]);
    call.count_errors(errors);
    call.reply(&response, answer.lsn)
}
