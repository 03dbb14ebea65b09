//! ListGroups: the groups of this broker, all or those in some states.
//!
//! Behaviour: filters compare without regard to case; a type that isn't served matches nothing.
//! Versions: v3 flexible · v4 states (KIP-518) · v5 types (KIP-848).
//! Source: Kafka's `GroupMetadataManager.listGroups`.

use std::collections::HashSet;

use kafka_wire::list_groups_response::ListedGroup;
use kafka_wire::{ListGroupsRequest, ListGroupsResponse};
use kafka_wire_core::StrBytes;

use super::group::{GROUP_TYPE, wire};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// ListGroups in the table.
pub const API: Api = Api {
    key: 16,
    name: "ListGroups",
    min: 0,
    max: 5,
    advertised_min: 0,
    flexible_from: 3,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: ListGroupsRequest = call.decode()?;
    let (states, types) = (filter(&request.states_filter), filter(&request.types_filter));
    let wanted = |filter: &HashSet<String>, name: &str| {
        filter.is_empty() || filter.contains(&name.to_ascii_lowercase())
    };
    let listed = call.door.broker.groups().list();
    let response = match listed.value {
        Ok(groups) => {
            let groups = groups.into_iter().filter(|group| {
                wanted(&states, group.state.name()) && wanted(&types, GROUP_TYPE)
            });
            let groups = groups.map(|group| {
                message!(ListedGroup {
                    group_id: wire(&group.group.0),
                    protocol_type: wire(group.protocol_type.as_deref().unwrap_or_default()),
                    group_state: wire(group.state.name()),
                    group_type: wire(GROUP_TYPE),
                })
            });
            message!(ListGroupsResponse { groups: groups.collect() })
        }
        Err(error) => message!(ListGroupsResponse { error_code: ErrorCode::from(error).code() }),
    };
    call.count_errors([response.error_code]);
    call.reply(&response, listed.lsn)
}

fn filter(names: &[StrBytes]) -> HashSet<String> {
    names.iter().map(|name| name.trim().to_ascii_lowercase()).collect()
}
