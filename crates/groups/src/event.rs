//! What can happen to a shard of groups: requests of clients, and time.
//!
//! The shapes follow Kafka's requests with the wire taken off: a version becomes the one thing that it changes
//! (`must_know_member_id`, `group_id_not_found`), a sentinel becomes an option, except where Kafka's rule is
//! about the sentinel itself (an empty member id, a negative generation).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duolog_types::{GroupId, LeaderEpoch, MemberId, Offset, TimestampMs, TopicId};

use crate::offsets::TopicName;

/// Whom to answer: the host's number of a waiting request, never used for two requests of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyTo(pub u64);

/// What time it is, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For sessions and timeouts: never goes back.
    pub monotonic: Duration,
    /// For commit times and retention: survives restarts, may jump.
    pub wall: TimestampMs,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// JoinGroup.
    Join(Box<JoinGroup>),
    /// SyncGroup.
    Sync(SyncGroup),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(LeaveGroup),
    /// OffsetCommit.
    CommitOffsets(CommitOffsets),
    /// OffsetDelete.
    DeleteOffsets(DeleteOffsets),
    /// DeleteGroups, for one group.
    DeleteGroup {
        /// Whom to answer.
        to: ReplyTo,
        /// The group.
        group: GroupId,
    },
    /// A topic was deleted: what groups committed for it is of no use to a topic of the same name.
    TopicDeleted {
        /// The topic's name.
        topic: TopicName,
        /// The deleted topic's id; offsets that were committed under another id are kept.
        topic_id: TopicId,
    },
    /// Time has passed: carries out what [`crate::Shard::next_deadline`] announced, if it is due.
    Tick,
    /// This broker stops coordinating: all who wait are sent away, and every later request is refused.
    Unload,
}

/// One way of assigning partitions that a member supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The assignor's name, such as `range`.
    pub name: Arc<str>,
    /// What the member tells the leader, opaque here (but see `subscription`).
    pub metadata: Bytes,
}

/// A request to join a group.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// Whom to answer.
    pub to: ReplyTo,
    /// The group.
    pub group: GroupId,
    /// The member's id; empty if it has none yet.
    pub member_id: MemberId,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// The client's id from the request header: shown, and the stem of a new member id.
    pub client_id: Arc<str>,
    /// The client's address: shown.
    pub client_host: Arc<str>,
    /// `consumer`, `connect`, …
    pub protocol_type: Arc<str>,
    /// The protocols that the member supports, the one it likes best first.
    pub protocols: Vec<Protocol>,
    /// Session timeout in milliseconds as sent.
    pub session_timeout_ms: i32,
    /// Rebalance timeout in milliseconds as sent (version 0 has none: its session timeout).
    pub rebalance_timeout_ms: i32,
    /// Version 4 and later: a dynamic member without an id is given one and must come back with it.
    pub must_know_member_id: bool,
    /// Version 9 and later: a static leader that is replaced can be told to skip the assignment.
    pub can_skip_assignment: bool,
    /// Random bytes, for a new member id.
    pub entropy: [u8; 16],
}

/// A request to hand in (leader) or fetch (all) the assignment of a generation.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// Whom to answer.
    pub to: ReplyTo,
    /// The group.
    pub group: GroupId,
    /// Who asks, as member of which generation.
    pub member: MemberRef,
    /// The protocol type that the member believes in (version 5 and later).
    pub protocol_type: Option<Arc<str>>,
    /// The protocol name that the member believes in (version 5 and later).
    pub protocol_name: Option<Arc<str>>,
    /// The leader's assignment; empty from followers.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// Who speaks: a member, as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// The member's id; empty for clients outside the group's management.
    pub member_id: MemberId,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// The generation that it believes in; negative for clients outside the group's management.
    pub generation: i32,
}

/// A sign of life.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Whom to answer.
    pub to: ReplyTo,
    /// The group.
    pub group: GroupId,
    /// Who lives.
    pub member: MemberRef,
}

/// Members leave, or an administrator removes them.
#[derive(Clone, Debug)]
pub struct LeaveGroup {
    /// Whom to answer.
    pub to: ReplyTo,
    /// The group.
    pub group: GroupId,
    /// Who leaves (before version 3 exactly one, without an instance id).
    pub members: Vec<LeavingMember>,
}

/// One of the members that leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// The member's id; empty if an administrator removes a static member by its instance id.
    pub member_id: MemberId,
    /// `group.instance.id`, if it is a static member.
    pub instance_id: Option<Arc<str>>,
}

/// A partition by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition's number in the topic.
    pub partition: i32,
}

/// A request to commit offsets.
#[derive(Clone, Debug)]
pub struct CommitOffsets {
    /// Whom to answer.
    pub to: ReplyTo,
    /// The group.
    pub group: GroupId,
    /// Who commits.
    pub member: MemberRef,
    /// What is committed. The host has refused partitions that don't exist.
    pub partitions: Vec<CommitPartition>,
    /// Versions 2 to 4: how long the offsets are to be kept instead of the broker's retention.
    pub retention: Option<Duration>,
    /// Version 9 and later: an unknown group is `GROUP_ID_NOT_FOUND`, before it is `ILLEGAL_GENERATION`.
    pub group_id_not_found: bool,
}

/// One offset of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// The topic's id at the time of the commit; [`TopicId::ZERO`] if not known.
    pub topic_id: TopicId,
    /// The next offset to read.
    pub offset: Offset,
    /// Leader epoch of the last record that was read, if the client said.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The client's note.
    pub metadata: Arc<str>,
}

/// A request to forget offsets.
#[derive(Clone, Debug)]
pub struct DeleteOffsets {
    /// Whom to answer.
    pub to: ReplyTo,
    /// The group.
    pub group: GroupId,
    /// Of which partitions. The host has refused partitions that don't exist.
    pub partitions: Vec<TopicPartition>,
}
