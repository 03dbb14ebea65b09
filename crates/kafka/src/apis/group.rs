//! What the group APIs say alike: ids off the wire, and who speaks.

use std::future::Future;
use std::sync::Arc;

use duolog_broker::groups::MemberRef;
use duolog_types::{GroupId, MemberId};
use kafka_wire_core::StrBytes;

use crate::dispatch::Call;

/// Every operation there is on a group, as bits (Kafka's `AclOperation`): read, delete, describe, describe
/// configs, alter configs.
pub(crate) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// The one type of group that is served so far.
pub(crate) const GROUP_TYPE: &str = "classic";

/// A group's id.
pub(crate) fn group_id(id: &StrBytes) -> GroupId {
    GroupId::from(&**id)
}

/// A text that is kept longer than the request: a copy, since the request's bytes are one large buffer.
pub(crate) fn kept(text: &StrBytes) -> Arc<str> {
    Arc::from(&**text)
}

/// The member that speaks.
pub(crate) fn member(id: &StrBytes, instance_id: Option<&StrBytes>, generation: i32) -> MemberRef {
    MemberRef { member_id: MemberId::from(&**id), instance_id: instance_id.map(kept), generation }
}

/// A text as the wire has it.
pub(crate) fn wire(text: &str) -> StrBytes {
    StrBytes::from(text)
}

/// What other members have to bring about; none if the broker stops before they do.
pub(crate) async fn unless_draining<T>(call: &Call<'_>, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = call.door.draining() => None,
    }
}
