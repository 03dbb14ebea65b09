//! Being there: heartbeats, leaving, and sessions that end.

use duolog_types::MemberId;

use super::{ClassicGroup, Context, State};
use crate::effect::{LeftMember, Reply};
use crate::error::GroupError;
use crate::event::{Heartbeat, LeaveGroup, LeavingMember};

impl ClassicGroup {
    /// Handles a Heartbeat.
    pub(crate) fn heartbeat(&mut self, request: &Heartbeat, context: &mut Context<'_>) {
        let outcome = self.take_heartbeat(request, context);
        context.effects.reply(request.to, Reply::Heartbeat(outcome));
    }

    fn take_heartbeat(&mut self, request: &Heartbeat, context: &Context<'_>) -> Result<(), GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        let member = &request.member;
        self.members.validate(&member.member_id, member.instance_id.as_deref())?;
        if member.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.restart_session(&member.member_id, context);
        match self.state {
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Handles a LeaveGroup.
    pub(crate) fn leave(&mut self, request: &LeaveGroup, context: &mut Context<'_>) {
        if self.state == State::Dead {
            let reply = Reply::Leave(Err(GroupError::CoordinatorNotAvailable));
            context.effects.reply(request.to, reply);
            return;
        }
        let mut left = Vec::with_capacity(request.members.len());
        for member in &request.members {
            left.push(LeftMember {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                outcome: self.leave_one(member, context),
            });
        }
        if left.iter().any(|member| member.outcome.is_ok()) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(context),
                State::PreparingRebalance => self.maybe_complete_join(context),
                State::Empty | State::Dead => {}
            }
        }
        context.effects.reply(request.to, Reply::Leave(Ok(left)));
    }

    fn leave_one(&mut self, member: &LeavingMember, context: &mut Context<'_>) -> Result<(), GroupError> {
        let id = if member.member_id.0.is_empty() {
            // An administrator removes a static member and doesn't know its id.
            let holder =
                member.instance_id.as_deref().and_then(|instance_id| self.members.holder(instance_id));
            holder.cloned().ok_or(GroupError::UnknownMemberId)?
        } else {
            if !self.pending_joins.contains(&member.member_id) {
                self.members.validate(&member.member_id, member.instance_id.as_deref())?;
            }
            member.member_id.clone()
        };
        self.remove(&id, GroupError::UnknownMemberId, context);
        Ok(())
    }

    /// A member hasn't been heard of for its session timeout.
    pub(super) fn session_is_over(&mut self, member_id: &MemberId, context: &mut Context<'_>) {
        if self.pending_joins.contains(member_id) {
            self.remove(member_id, GroupError::UnknownMemberId, context);
            self.maybe_complete_join(context);
            return;
        }
        let Some(member) = self.members.get(member_id) else { return };
        // Who waits for us is alive as far as we know; its session begins anew with the answer. A new member
        // has a limit all the same, since its connection may be gone for good.
        let waits = self.members.awaits_join(member_id) || self.members.awaits_sync(member_id);
        if waits && !member.is_new {
            return;
        }
        self.remove(member_id, GroupError::UnknownMemberId, context);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(context),
            _ => self.maybe_complete_join(context),
        }
    }
}
