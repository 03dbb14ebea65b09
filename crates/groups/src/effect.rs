//! What a shard asks its host to do: keep a record, answer a request.

use std::sync::Arc;

use bytes::Bytes;
use duolog_types::MemberId;

use crate::durable::Record;
use crate::error::GroupError;
use crate::event::ReplyTo;

/// One thing for the host to do. Effects of a step are carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the log. All of one step are one atomic entry.
    Persist(Record),
    /// Answer a request, subject to [`Reply::reveals_state`].
    Reply {
        /// The request.
        to: ReplyTo,
        /// The answer.
        reply: Reply,
    },
}

/// An answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To JoinGroup.
    Join(Result<Box<Joined>, JoinRefused>),
    /// To SyncGroup.
    Sync(Result<Synced, GroupError>),
    /// To Heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// To LeaveGroup: one outcome for each member of the request, in its order.
    Leave(Result<Vec<LeftMember>, GroupError>),
    /// To OffsetCommit: one outcome for each partition of the request, in its order.
    CommitOffsets(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To OffsetDelete: one outcome for each partition of the request, in its order.
    DeleteOffsets(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To DeleteGroups.
    DeleteGroup(Result<(), GroupError>),
}

impl Reply {
    /// Whether the answer tells of state that must not be lost afterwards, so that it has to wait until all
    /// that the shard has queued is durable. Signs of life and requests to come back tell nothing that lasts.
    #[must_use]
    pub fn reveals_state(&self) -> bool {
        !matches!(
            self,
            Reply::Heartbeat(Ok(()) | Err(GroupError::RebalanceInProgress))
                | Reply::Join(Err(JoinRefused { error: GroupError::MemberIdRequired, .. }))
        )
    }
}

/// A member's place in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol that won the vote.
    pub protocol_name: Option<Arc<str>>,
    /// Who leads the generation.
    pub leader: MemberId,
    /// The member's own id.
    pub member_id: MemberId,
    /// The leader need not assign: its assignment from before it was replaced stands (KIP-814).
    pub skip_assignment: bool,
    /// All members, for the leader; nobody, for the others.
    pub members: Vec<JoinedMember>,
}

/// What the leader is told of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member's id.
    pub member_id: MemberId,
    /// Its `group.instance.id`.
    pub instance_id: Option<Arc<str>>,
    /// Its metadata for the protocol that won.
    pub metadata: Bytes,
}

/// Why a member may not join (yet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    /// The reason.
    pub error: GroupError,
    /// The id that goes with the answer: the new one for `MEMBER_ID_REQUIRED`, else the member's own or none.
    pub member_id: MemberId,
}

/// A member's assignment in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The generation's protocol.
    pub protocol_name: Option<Arc<str>>,
    /// What the leader assigned; empty if nothing.
    pub assignment: Bytes,
}

/// What became of one member of a LeaveGroup request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMember {
    /// The member's id as the request named it.
    pub member_id: MemberId,
    /// The instance id as the request named it.
    pub instance_id: Option<Arc<str>>,
    /// Whether it has left.
    pub outcome: Result<(), GroupError>,
}

/// Collects the effects of one step.
#[derive(Debug, Default)]
pub(crate) struct Effects(Vec<Effect>);

impl Effects {
    pub(crate) fn persist(&mut self, record: Record) {
        self.0.push(Effect::Persist(record));
    }

    pub(crate) fn reply(&mut self, to: ReplyTo, reply: Reply) {
        self.0.push(Effect::Reply { to, reply });
    }

    pub(crate) fn refuse_join(&mut self, to: ReplyTo, error: GroupError, member_id: MemberId) {
        self.reply(to, Reply::Join(Err(JoinRefused { error, member_id })));
    }

    pub(crate) fn into_vec(self) -> Vec<Effect> {
        self.0
    }
}
