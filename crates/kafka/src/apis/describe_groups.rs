//! DescribeGroups: groups with their members and what each was assigned.
//!
//! Behaviour: an unknown group is GROUP_ID_NOT_FOUND from v6 on, and before it a group in state Dead.
//! Versions: v3 authorized operations (KIP-430) · v4 static members · v5 flexible · v6 GROUP_ID_NOT_FOUND
//! (KIP-1043).
//! Source: Kafka's `GroupMetadataManager.describeGroups`.

use duolog_broker::groups::GroupDescription;
use duolog_types::Lsn;
use kafka_wire::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_wire::{DescribeGroupsRequest, DescribeGroupsResponse};
use kafka_wire_core::StrBytes;

use super::answer::{AnswerRoom, NO_ROOM};
use super::common::{operations, text};
use super::group::{GROUP_OPERATIONS, group_id, wire};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// DescribeGroups in the table.
pub const API: Api = Api {
    key: 15,
    name: "DescribeGroups",
    min: 0,
    max: 6,
    advertised_min: 0,
    flexible_from: 5,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// First version in which an unknown group is an error.
const NOT_FOUND_VERSION: i16 = 6;

const DEAD: &str = "Dead";

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DescribeGroupsRequest = call.decode()?;
    let mut room = AnswerRoom::of(&call).await;
    let mut after = Lsn::ZERO;
    let groups = request.groups.into_iter().map(|id| {
        let answer = call.door.broker.groups().describe(&group_id(&id));
        after = after.max(answer.lsn);
        let mut group = match answer.value {
            Ok(Some(group)) if room.take(bytes_of(&group)) => described(group),
            Ok(Some(_)) => failed(id, ErrorCode::InvalidRequest, NO_ROOM),
            Ok(None) if call.version >= NOT_FOUND_VERSION => {
                failed(id, ErrorCode::GroupIdNotFound, "there is no such group")
            }
            Ok(None) => failed(id, ErrorCode::None, ""),
            Err(error) => failed(id, ErrorCode::from(error), &error.to_string()),
        };
        group.authorized_operations = operations(request.include_authorized_operations, GROUP_OPERATIONS);
        group
    });
    let groups = groups.collect::<Vec<_>>();
    call.count_errors(groups.iter().map(|group| group.error_code));
    call.reply(&message!(DescribeGroupsResponse { groups: groups }), after)
}

fn bytes_of(group: &GroupDescription) -> usize {
    let members = group.members.iter();
    members.map(|member| 256 + member.metadata.len() + member.assignment.len()).sum()
}

fn described(group: GroupDescription) -> DescribedGroup {
    let members = group.members.into_iter().map(|member| {
        message!(DescribedGroupMember {
            member_id: wire(&member.member_id.0),
            group_instance_id: member.instance_id.as_deref().map(wire),
            client_id: wire(&member.client_id),
            client_host: wire(&member.client_host),
            member_metadata: member.metadata,
            member_assignment: member.assignment,
        })
    });
    message!(DescribedGroup {
        group_id: wire(&group.group.0),
        group_state: wire(group.state.name()),
        protocol_type: wire(group.protocol_type.as_deref().unwrap_or_default()),
        protocol_data: wire(group.protocol_name.as_deref().unwrap_or_default()),
        members: members.collect(),
    })
}

fn failed(id: StrBytes, error: ErrorCode, why: &str) -> DescribedGroup {
    let dead = matches!(error, ErrorCode::None | ErrorCode::GroupIdNotFound);
    message!(DescribedGroup {
        error_code: error.code(),
        error_message: if error.is_error() { text(why) } else { None },
        group_id: id,
        group_state: wire(if dead { DEAD } else { "" }),
    })
}
