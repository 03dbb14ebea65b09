//! What can be asked of a shard without changing it. An answer made of it reveals the shard's newest state, so it
//! leaves when what the shard has queued is durable, like a reply.

use std::sync::Arc;

use duolog_types::GroupId;

use super::Shard;
use crate::classic::{GroupDescription, State};
use crate::offsets::GroupOffsets;

/// A group in a list (ListGroups).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group: GroupId,
    /// Its state.
    pub state: State,
    /// `consumer`, `connect`, …; none before the first member.
    pub protocol_type: Option<Arc<str>>,
}

impl Shard {
    /// What a group has committed; none if there is no such group.
    #[must_use]
    pub fn offsets(&self, group: &GroupId) -> Option<&GroupOffsets> {
        self.groups.get(group).map(|group| &group.offsets)
    }

    /// A group as it is now; none if there is no such group.
    #[must_use]
    pub fn describe(&self, group: &GroupId) -> Option<GroupDescription> {
        self.groups.get(group).map(|group| group.classic.describe())
    }

    /// All groups, by id in order.
    pub fn list(&self) -> impl Iterator<Item = ListedGroup> {
        self.groups.iter().map(|(id, group)| ListedGroup {
            group: id.clone(),
            state: group.classic.state(),
            protocol_type: group.classic.protocol_type().cloned(),
        })
    }
}
