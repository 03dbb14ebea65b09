//! What of a group survives a restart: the records and their byte form.
//!
//! ```text
//! record: version u8 = 1 │ kind u8 │ fields
//!   kind 1 Group          group, generation, since, protocol type?, protocol name?, leader?, members*
//!   kind 2 GroupDeleted   group
//!   kind 3 Offsets        group, (topic, partition, topic id, offset, epoch?, committed, expires?, metadata)*
//!   kind 4 OffsetsDeleted group, (topic, partition)*
//!   kind 5 Generation     group, generation
//!   kinds 6 and 7 are kept for offsets that wait for their transaction's marker
//! ```
//!
//! Numbers are little-endian and of fixed width; strings, byte strings and lists begin with an unsigned LEB128
//! length; an optional field begins with 0 or 1. Owns the byte form only; who writes which record when is
//! decided in `classic` and `offsets`.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duolog_types::{GroupId, MemberId, TimestampMs};

use crate::event::TopicPartition;
use crate::offsets::CommittedOffset;

pub use decode::DecodeError;

/// One change of durable group state. The newest record of a thing wins.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A group as of its last completed rebalance (Kafka: GroupMetadataValue).
    Group(Arc<GroupRecord>),
    /// A group is gone, and every offset that it had committed.
    GroupDeleted(GroupId),
    /// Offsets were committed.
    Offsets {
        /// By which group.
        group: GroupId,
        /// What it committed.
        offsets: Vec<(TopicPartition, CommittedOffset)>,
    },
    /// Offsets were deleted or have expired.
    OffsetsDeleted {
        /// Whose.
        group: GroupId,
        /// Of which partitions.
        partitions: Vec<TopicPartition>,
    },
    /// Members are about to learn of this generation. The group itself is only recorded when the generation's
    /// assignment arrives; this keeps a restart in between from giving the number out a second time.
    Generation {
        /// Of which group.
        group: GroupId,
        /// The generation.
        generation: i32,
    },
}

impl Record {
    /// The group that the record is about.
    #[must_use]
    pub fn group(&self) -> &GroupId {
        match self {
            Record::Group(record) => &record.group,
            Record::GroupDeleted(group)
            | Record::Offsets { group, .. }
            | Record::OffsetsDeleted { group, .. }
            | Record::Generation { group, .. } => group,
        }
    }
}

/// What is kept of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// Its id.
    pub group: GroupId,
    /// Its generation.
    pub generation: i32,
    /// When it came into its state: Empty if there are no members, else Stable.
    pub state_since: TimestampMs,
    /// `consumer`, `connect`, …; none before the first member.
    pub protocol_type: Option<Arc<str>>,
    /// The generation's protocol.
    pub protocol_name: Option<Arc<str>>,
    /// The generation's leader.
    pub leader: Option<MemberId>,
    /// The generation's members.
    pub members: Vec<MemberRecord>,
}

/// What is kept of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its id.
    pub member_id: MemberId,
    /// Its `group.instance.id`.
    pub instance_id: Option<Arc<str>>,
    /// The client's id.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Its rebalance timeout.
    pub rebalance_timeout: Duration,
    /// Its session timeout.
    pub session_timeout: Duration,
    /// Its metadata for the generation's protocol.
    pub subscription: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}
