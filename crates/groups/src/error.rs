//! What a group refuses, in Kafka's words. The door maps each to its code in its one table.

/// Why a request to a group was refused. Each variant is the Kafka error of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum GroupError {
    /// The group is being unloaded: ask again.
    #[error("the group's coordinator is not available")]
    CoordinatorNotAvailable,
    /// This broker stops, or has stopped, coordinating the group: find the coordinator again.
    #[error("this is not the coordinator of the group")]
    NotCoordinator,
    /// The request names a generation that is not the group's current one.
    #[error("the generation is not the group's current one")]
    IllegalGeneration,
    /// The member's protocol type or protocols fit none that all members support, or a SyncGroup names others
    /// than the generation's.
    #[error("the protocols do not fit those of the group's members")]
    InconsistentGroupProtocol,
    /// The group id is empty where members can't do without one.
    #[error("the group id is not valid")]
    InvalidGroupId,
    /// The group doesn't know the member (any more): join again without an id.
    #[error("the group does not know the member")]
    UnknownMemberId,
    /// The session timeout lies outside the broker's bounds.
    #[error("the session timeout is outside the configured bounds")]
    InvalidSessionTimeout,
    /// The group is rebalancing: join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The group has as many members as it may have.
    #[error("the group has reached its maximum size")]
    GroupMaxSizeReached,
    /// The member must join again with the id that comes with this answer.
    #[error("the member must join again with the id it was given")]
    MemberIdRequired,
    /// Another member has taken over the group instance id.
    #[error("another member has taken over the group instance id")]
    FencedInstanceId,
    /// The metadata string of a commit is too long.
    #[error("the metadata of the offset is larger than {} bytes", crate::METADATA_BYTES_MAX)]
    OffsetMetadataTooLarge,
    /// The group still has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// There is no such group.
    #[error("the group does not exist")]
    GroupIdNotFound,
    /// A member of the group is subscribed to the topic.
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
}
