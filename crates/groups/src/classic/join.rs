//! JoinGroup: how a member comes into the group, comes back to it, or takes another's place.

use std::time::Duration;

use bytes::Bytes;
use duolog_types::{MemberId, TopicId};

use super::members::{Member, Timeouts, own_protocols};
use super::timers::Timer;
use super::{ClassicGroup, Context, State, answer_orphans};
use crate::effect::{Joined, Reply};
use crate::error::GroupError;
use crate::event::{JoinGroup, ReplyTo};

/// How much of a client's id goes into a member id made of it, in bytes: the result must fit a string of the wire.
const MEMBER_ID_STEM_BYTES_MAX: usize = 1024;

impl ClassicGroup {
    /// Handles a JoinGroup whose group id and session timeout are within bounds.
    pub(crate) fn join(&mut self, request: &JoinGroup, context: &mut Context<'_>) {
        let is_unknown = request.member_id.0.is_empty();
        let refused = if self.state == State::Dead {
            Some(GroupError::CoordinatorNotAvailable)
        } else if !self.accepts(request, context) {
            // The last to come back to a group that has become too large is the one that goes.
            self.remove(&request.member_id, GroupError::GroupMaxSizeReached, context);
            self.maybe_complete_join(context);
            Some(GroupError::GroupMaxSizeReached)
        } else if !self.supports(request) {
            Some(GroupError::InconsistentGroupProtocol)
        } else {
            None
        };
        match refused {
            Some(error) => {
                let nobody = error == GroupError::GroupMaxSizeReached || is_unknown;
                let member_id = if nobody { MemberId::from("") } else { request.member_id.clone() };
                context.effects.refuse_join(request.to, error, member_id);
            }
            None if is_unknown => self.join_without_id(request, context),
            None => self.join_with_id(request, context),
        }
    }

    /// Whether there is room for the member.
    fn accepts(&self, request: &JoinGroup, context: &Context<'_>) -> bool {
        let member_id = &request.member_id;
        let limit = context.config.group_size_max;
        // Kafka refuses a static member that restarts while its group is full; but it takes its own place.
        let holder = request.instance_id.as_deref().and_then(|instance_id| self.members.holder(instance_id));
        if member_id.0.is_empty() && holder.is_some() {
            return true;
        }
        match self.state {
            State::Empty | State::Dead => true,
            // Those who are back count, not those who belong: so that a group that is too large shrinks.
            State::PreparingRebalance => {
                self.members.awaits_join(member_id) || self.members.joins_awaited() < limit
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains(member_id) || self.members.len() < limit
            }
        }
    }

    fn supports(&self, request: &JoinGroup) -> bool {
        if self.state == State::Empty {
            return !request.protocol_type.is_empty() && !request.protocols.is_empty();
        }
        // A group that is about to become Empty (its last member has left during a rebalance) takes any type.
        let same_type =
            self.members.is_empty() || self.protocol_type.as_deref() == Some(&*request.protocol_type);
        same_type
            && !request.protocol_type.is_empty()
            && !request.protocols.is_empty()
            && self.members.all_support_one_of(&request.protocols)
    }

    fn join_without_id(&mut self, request: &JoinGroup, context: &mut Context<'_>) {
        let stem = request.instance_id.as_deref().unwrap_or(&request.client_id);
        let new_id = new_member_id(stem, request.entropy);
        match &request.instance_id {
            Some(instance_id) => match self.members.holder(instance_id).cloned() {
                Some(old_id) => self.replace_static_member(request, &old_id, new_id, context),
                None => self.add_member(request, new_id, context),
            },
            None if request.must_know_member_id => {
                // The id must come back before its session is over; until then a rebalance waits for it.
                self.pending_joins.insert(new_id.clone());
                let at = context.now.monotonic.saturating_add(millis(request.session_timeout_ms));
                self.timers.set(Timer::Session(new_id.clone()), at);
                context.effects.refuse_join(request.to, GroupError::MemberIdRequired, new_id);
            }
            None => self.add_member(request, new_id, context),
        }
    }

    fn join_with_id(&mut self, request: &JoinGroup, context: &mut Context<'_>) {
        let member_id = &request.member_id;
        if self.pending_joins.contains(member_id) {
            if request.instance_id.is_some() {
                // Ids are pending for dynamic members only; Kafka breaks off here with an internal error.
                let error = GroupError::UnknownMemberId;
                context.effects.refuse_join(request.to, error, member_id.clone());
            } else {
                self.add_member(request, member_id.clone(), context);
            }
            return;
        }
        if let Err(error) = self.members.validate(member_id, request.instance_id.as_deref()) {
            context.effects.refuse_join(request.to, error, member_id.clone());
            return;
        }
        let unchanged = self
            .members
            .get(member_id)
            .is_some_and(|member| member.protocols == own_protocols(&request.protocols));
        match self.state {
            State::PreparingRebalance => self.rejoin(request, context),
            // The first answer may have been lost, so tell it again.
            State::CompletingRebalance if unchanged => {
                let joined = self.joined(member_id, self.members.is_leader(member_id));
                context.effects.reply(request.to, Reply::Join(Ok(Box::new(joined))));
            }
            // A follower with nothing new may go on to SyncGroup. A leader that joins again wants a rebalance:
            // something may have changed that its metadata doesn't show, such as a topic's partitions.
            State::Stable if unchanged && !self.members.is_leader(member_id) => {
                let joined = self.joined(member_id, false);
                context.effects.reply(request.to, Reply::Join(Ok(Box::new(joined))));
            }
            State::CompletingRebalance | State::Stable => self.rejoin(request, context),
            // An Empty or Dead group has no members, so `validate` has refused; answered all the same.
            State::Empty | State::Dead => {
                let error = GroupError::UnknownMemberId;
                context.effects.refuse_join(request.to, error, member_id.clone());
            }
        }
    }

    /// A member joins again with what may be other protocols and timeouts.
    fn rejoin(&mut self, request: &JoinGroup, context: &mut Context<'_>) {
        let member_id = &request.member_id;
        self.members.update(member_id, own_protocols(&request.protocols), timeouts(request));
        self.park_join(member_id, request.to, context);
        self.rebalance_or_complete(context);
    }

    fn add_member(&mut self, request: &JoinGroup, member_id: MemberId, context: &mut Context<'_>) {
        if self.state == State::PreparingRebalance
            && let Some(delay) = &mut self.initial_delay
        {
            delay.member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.pending_joins.remove(&member_id);
        self.members.add(Member {
            id: member_id.clone(),
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            protocols: own_protocols(&request.protocols),
            timeouts: timeouts(request),
            assignment: Bytes::new(),
            is_new: true,
        });
        self.park_join(&member_id, request.to, context);
        // It can't send heartbeats before it is answered, and a lost connection isn't noticed while the request is
        // parked. So it may wait for a fixed time; a client that is still there asks again.
        let at = context.now.monotonic.saturating_add(context.config.new_member_join_timeout);
        self.timers.set(Timer::Session(member_id), at);
        self.rebalance_or_complete(context);
    }

    /// A static member is back under its instance id: it takes the place of its former self, which is fenced.
    fn replace_static_member(
        &mut self,
        request: &JoinGroup,
        old_id: &MemberId,
        new_id: MemberId,
        context: &mut Context<'_>,
    ) {
        let leader_before = self.members.leader().cloned();
        let orphans = self.members.replace(old_id, &new_id);
        answer_orphans(orphans, GroupError::FencedInstanceId, old_id, context);
        self.timers.cancel(&Timer::Session(old_id.clone()));
        if self.pending_syncs.remove(old_id) {
            self.pending_syncs.insert(new_id.clone());
        }
        self.members.update(&new_id, own_protocols(&request.protocols), timeouts(request));
        self.restart_session(&new_id, context);

        match self.state {
            State::Stable if self.protocol_name == self.members.vote() => {
                // Its assignment stands, so nobody else need notice.
                self.persist(context);
                let leads = self.members.is_leader(&new_id);
                let mut joined = self.joined(&new_id, leads && request.can_skip_assignment);
                if request.can_skip_assignment {
                    joined.skip_assignment = leads;
                } else if let Some(leader_before) = leader_before {
                    // A client that can't be told to skip must not take itself for the leader, or it would assign.
                    joined.leader = leader_before;
                }
                context.effects.reply(request.to, Reply::Join(Ok(Box::new(joined))));
            }
            // In CompletingRebalance the leader may already assign to the old id, so all must come again.
            State::Stable | State::CompletingRebalance => {
                self.park_join(&new_id, request.to, context);
                self.prepare_rebalance(context);
            }
            State::PreparingRebalance | State::Empty | State::Dead => {
                self.park_join(&new_id, request.to, context);
                self.maybe_complete_join(context);
            }
        }
    }

    /// Parks a member's JoinGroup. One that is parked already was given up by its client.
    fn park_join(&mut self, member_id: &MemberId, to: ReplyTo, context: &mut Context<'_>) {
        if let Some(earlier) = self.members.park_join(member_id, to) {
            context.effects.refuse_join(earlier, GroupError::RebalanceInProgress, member_id.clone());
        }
    }

    /// What a member is told of the current generation.
    pub(super) fn joined(&self, member_id: &MemberId, with_members: bool) -> Joined {
        let protocol_name = self.protocol_name.clone();
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            leader: self.members.leader().cloned().unwrap_or_else(|| MemberId::from("")),
            member_id: member_id.clone(),
            skip_assignment: false,
            members: if with_members { self.members.as_joined(protocol_name.as_deref()) } else { Vec::new() },
            protocol_name,
        }
    }
}

fn timeouts(request: &JoinGroup) -> Timeouts {
    Timeouts { session: millis(request.session_timeout_ms), rebalance: millis(request.rebalance_timeout_ms) }
}

/// Milliseconds off the wire; a negative span is none at all.
fn millis(span: i32) -> Duration {
    Duration::from_millis(u64::try_from(span).unwrap_or(0))
}

/// A new member's id: a stem that tells people whose it is, and a random UUID.
fn new_member_id(stem: &str, entropy: [u8; 16]) -> MemberId {
    let stem = &stem[..stem.floor_char_boundary(MEMBER_ID_STEM_BYTES_MAX)];
    // A topic's id is a UUID too, and knows how to be shown.
    MemberId::from(format!("{stem}-{}", TopicId::from_random(entropy)).as_str())
}
