//! SyncGroup: how the leader's assignment reaches the members.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use duolog_types::MemberId;

use super::timers::Timer;
use super::{ClassicGroup, Context, State};
use crate::effect::{Reply, Synced};
use crate::error::GroupError;
use crate::event::SyncGroup;

impl ClassicGroup {
    /// Handles a SyncGroup.
    pub(crate) fn sync(&mut self, request: &SyncGroup, context: &mut Context<'_>) {
        if let Err(error) = self.validate_sync(request) {
            context.effects.reply(request.to, Reply::Sync(Err(error)));
            return;
        }
        let member_id = &request.member.member_id;
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            self.timers.cancel(&Timer::Sync);
        }
        match self.state {
            State::CompletingRebalance => {
                if let Some(earlier) = self.members.park_sync(member_id, request.to) {
                    // Given up by its client: it has asked again.
                    context.effects.reply(earlier, Reply::Sync(Err(GroupError::RebalanceInProgress)));
                }
                if self.members.is_leader(member_id) {
                    self.take_assignment(&request.assignments, context);
                }
            }
            State::Stable => {
                let synced = self.synced(member_id);
                context.effects.reply(request.to, Reply::Sync(Ok(synced)));
            }
            // `validate_sync` lets nobody through in these.
            State::Empty | State::PreparingRebalance | State::Dead => {
                context.effects.reply(request.to, Reply::Sync(Err(GroupError::RebalanceInProgress)));
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroup) -> Result<(), GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        self.members.validate(&request.member.member_id, request.member.instance_id.as_deref())?;
        if request.member.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if differs(request.protocol_type.as_ref(), self.protocol_type.as_ref())
            || differs(request.protocol_name.as_ref(), self.protocol_name.as_ref())
        {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        match self.state {
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// The leader has assigned: the generation is Stable, and all who wait are told.
    fn take_assignment(&mut self, assignments: &[(MemberId, Bytes)], context: &mut Context<'_>) {
        let mut by_member: BTreeMap<&MemberId, &Bytes> = BTreeMap::new();
        for (member_id, assignment) in assignments {
            by_member.insert(member_id, assignment);
        }
        for member in self.members.iter_mut() {
            // Bytes of its own: a slice would keep the leader's whole request.
            let assignment = by_member.get(&member.id).map(|bytes| Bytes::copy_from_slice(bytes));
            member.assignment = assignment.unwrap_or_default();
        }
        self.transition(State::Stable, context);
        self.persist(context);
        self.answer_syncs(Ok(()), context);
    }

    /// Answers all who wait for their assignment, with it or with an error.
    pub(super) fn answer_syncs(&mut self, outcome: Result<(), GroupError>, context: &mut Context<'_>) {
        for id in self.members.ids() {
            if let Some(to) = self.members.take_sync(&id) {
                let reply = outcome.map(|()| self.synced(&id));
                context.effects.reply(to, Reply::Sync(reply));
                // While it waited its session was not looked at.
                self.restart_session(&id, context);
            }
        }
    }

    fn synced(&self, member_id: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self
                .members
                .get(member_id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// The time to ask for the assignment is over: who hasn't is out, static or not.
    pub(super) fn sync_time_is_up(&mut self, context: &mut Context<'_>) {
        let in_generation = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !in_generation || self.pending_syncs.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_syncs) {
            self.remove(&id, GroupError::UnknownMemberId, context);
        }
        self.prepare_rebalance(context);
    }
}

/// Whether a member that says what it believes in believes in something else (KIP-559).
fn differs(believed: Option<&Arc<str>>, actual: Option<&Arc<str>>) -> bool {
    believed.is_some() && believed != actual
}
