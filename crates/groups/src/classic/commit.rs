//! Who may commit a group's offsets, who may delete them, and by which rule they expire.

use super::{ClassicGroup, Context, State};
use crate::error::GroupError;
use crate::event::MemberRef;
use crate::offsets::Since;

impl ClassicGroup {
    /// Whether the speaker may commit offsets (not within a transaction). A commit is a sign of life.
    ///
    /// A group without members takes commits from anyone who claims no generation: administrators and simple
    /// consumers. Otherwise only a member of the current generation commits, and not between the generation's
    /// beginning and its assignment, for it can't know yet what it still owns.
    pub(crate) fn validate_commit(
        &mut self,
        speaker: &MemberRef,
        context: &Context<'_>,
    ) -> Result<(), GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        if speaker.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let claims_membership =
            speaker.generation >= 0 || !speaker.member_id.0.is_empty() || speaker.instance_id.is_some();
        if !claims_membership {
            return Err(GroupError::UnknownMemberId);
        }
        self.members.validate(&speaker.member_id, speaker.instance_id.as_deref())?;
        if speaker.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            State::CompletingRebalance => Err(GroupError::RebalanceInProgress),
            _ => {
                self.restart_session(&speaker.member_id, context);
                Ok(())
            }
        }
    }

    /// Whether offsets may be deleted at all; of which topics, `is_subscribed_to` says.
    pub(crate) fn validate_delete_offsets(&self) -> Result<(), GroupError> {
        match self.state {
            State::Dead => Err(GroupError::GroupIdNotFound),
            State::Empty => Ok(()),
            // What other protocols use can't be known, so all of it may be in use.
            _ if !self.uses_consumer_protocol() => Err(GroupError::NonEmptyGroup),
            _ => Ok(()),
        }
    }

    /// Whether the group may be deleted.
    pub(crate) fn validate_delete(&self) -> Result<(), GroupError> {
        match self.state {
            State::Dead => Err(GroupError::GroupIdNotFound),
            State::Empty => Ok(()),
            _ => Err(GroupError::NonEmptyGroup),
        }
    }

    /// From when the age of the group's offsets counts; none if they don't expire as things are.
    pub(crate) fn offsets_expire_since(&self) -> Option<Since> {
        if self.protocol_type.is_none() {
            return Some(Since::Commit);
        }
        match self.state {
            State::Empty => Some(Since::Empty(self.state_since)),
            State::Stable if self.uses_consumer_protocol() && self.subscribed.is_some() => {
                Some(Since::Commit)
            }
            _ => None,
        }
    }
}
