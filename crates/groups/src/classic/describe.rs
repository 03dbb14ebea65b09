//! A group as administrators see it.

use std::sync::Arc;

use bytes::Bytes;
use duolog_types::{GroupId, MemberId};

use super::{ClassicGroup, State};

/// A group at one moment (DescribeGroups).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: GroupId,
    /// Its state.
    pub state: State,
    /// Its generation.
    pub generation: i32,
    /// `consumer`, `connect`, …; none before the first member.
    pub protocol_type: Option<Arc<str>>,
    /// The generation's protocol; only in Stable.
    pub protocol_name: Option<Arc<str>>,
    /// Its members, by id in order.
    pub members: Vec<MemberDescription>,
}

/// A member at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: MemberId,
    /// Its `group.instance.id`.
    pub instance_id: Option<Arc<str>>,
    /// The client's id.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Its metadata for the generation's protocol; only in Stable.
    pub metadata: Bytes,
    /// Its assignment; empty while there is none.
    pub assignment: Bytes,
}

impl ClassicGroup {
    /// The group as it is now. Like Kafka, tells protocol and metadata only of a group that is Stable.
    pub(crate) fn describe(&self) -> GroupDescription {
        let protocol_name = if self.state == State::Stable { self.protocol_name.clone() } else { None };
        let members = self
            .members
            .iter()
            .map(|member| MemberDescription {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                metadata: member.metadata(protocol_name.as_deref()),
                assignment: member.assignment.clone(),
            })
            .collect();
        GroupDescription {
            group: self.id.clone(),
            state: self.state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name,
            members,
        }
    }

    pub(crate) fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }
}
