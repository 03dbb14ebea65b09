//! DeleteGroups: forgets groups without members, and what they have committed.
//!
//! Versions: v2 flexible.
//! Source: KIP-229; Kafka's `GroupMetadataManager.validateDeleteGroup`.

use duolog_types::Lsn;
use kafka_wire::delete_groups_response::DeletableGroupResult;
use kafka_wire::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::group::group_id;
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// DeleteGroups in the table.
pub const API: Api = Api {
    key: 42,
    name: "DeleteGroups",
    min: 0,
    max: 2,
    advertised_min: 0,
    flexible_from: 2,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DeleteGroupsRequest = call.decode()?;
    let mut after = Lsn::ZERO;
    let results = request.groups_names.into_iter().map(|id| {
        let answer = call.door.broker.groups().delete(&group_id(&id));
        after = after.max(answer.lsn);
        if answer.value.is_ok() {
            tracing::info!(group = %&*id, "group deleted");
        }
        message!(DeletableGroupResult { group_id: id, error_code: ErrorCode::of(answer.value).code() })
    });
    let results = results.collect::<Vec<_>>();
    call.count_errors(results.iter().map(|result| result.error_code));
    call.reply(&message!(DeleteGroupsResponse { results: results }), after)
}
