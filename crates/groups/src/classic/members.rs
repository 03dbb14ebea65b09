//! A group's members, and what follows from the set of them: who holds which instance id, which protocols all
//! support, who leads, who waits for an answer.
//!
//! Keeps these consistent under every change; decides nothing about rebalances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duolog_types::MemberId;

use crate::effect::JoinedMember;
use crate::error::GroupError;
use crate::event::{Protocol, ReplyTo};

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) protocols: Vec<Protocol>,
    pub(super) timeouts: Timeouts,
    pub(super) assignment: Bytes,
    /// Has never been answered, so it doesn't know its id and can't send heartbeats.
    pub(super) is_new: bool,
}

/// How long a member may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub(super) session: Duration,
    pub(super) rebalance: Duration,
}

impl Member {
    /// The member's metadata for a protocol; empty if it doesn't support it.
    pub(super) fn metadata(&self, protocol_name: Option<&str>) -> Bytes {
        self.protocols
            .iter()
            .find(|protocol| Some(&*protocol.name) == protocol_name)
            .map(|protocol| protocol.metadata.clone())
            .unwrap_or_default()
    }
}

/// The requests of a removed member that still wait. Must be answered.
#[must_use]
#[derive(Debug, Default)]
pub(super) struct Orphans {
    pub(super) join: Option<ReplyTo>,
    pub(super) sync: Option<ReplyTo>,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    by_id: BTreeMap<MemberId, Member>,
    by_instance: BTreeMap<Arc<str>, MemberId>,
    /// How many members support each protocol; no zeros.
    support: BTreeMap<Arc<str>, usize>,
    leader: Option<MemberId>,
    /// JoinGroup requests that wait for the rebalance; only of members.
    parked_joins: BTreeMap<MemberId, ReplyTo>,
    /// SyncGroup requests that wait for the assignment; only of members.
    parked_syncs: BTreeMap<MemberId, ReplyTo>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn get(&self, id: &MemberId) -> Option<&Member> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &MemberId) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    pub(super) fn contains(&self, id: &MemberId) -> bool {
        self.by_id.contains_key(id)
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_id.values_mut()
    }

    pub(super) fn ids(&self) -> Vec<MemberId> {
        self.by_id.keys().cloned().collect()
    }

    pub(super) fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    pub(super) fn is_leader(&self, id: &MemberId) -> bool {
        self.leader.as_ref() == Some(id)
    }

    /// The member that holds an instance id.
    pub(super) fn holder(&self, instance_id: &str) -> Option<&MemberId> {
        self.by_instance.get(instance_id)
    }

    /// That the speaker is a member, and the one that holds its instance id if it has one.
    pub(super) fn validate(&self, id: &MemberId, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.holder(instance_id) {
                None => return Err(GroupError::UnknownMemberId),
                Some(holder) if holder != id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.contains(id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    /// Adds a member that isn't one yet and whose instance id nobody holds. The first member leads.
    pub(super) fn add(&mut self, member: Member) {
        debug_assert!(!self.contains(&member.id), "{} is a member already", member.id);
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.insert(instance_id.clone(), member.id.clone());
        }
        self.count_support(&member.protocols);
        self.leader.get_or_insert_with(|| member.id.clone());
        self.by_id.insert(member.id.clone(), member);
    }

    /// Removes a member if it is one. If it led, another one does.
    pub(super) fn remove(&mut self, id: &MemberId) -> Orphans {
        let orphans = Orphans { join: self.parked_joins.remove(id), sync: self.parked_syncs.remove(id) };
        if let Some(member) = self.by_id.remove(id) {
            self.discount_support(&member.protocols);
            if let Some(instance_id) = &member.instance_id
                && self.holder(instance_id) == Some(id)
            {
                self.by_instance.remove(instance_id);
            }
        }
        if self.is_leader(id) {
            self.leader = self.by_id.keys().next().cloned();
        }
        orphans
    }

    /// Gives a static member's place to a new id; everything else of it stays.
    pub(super) fn replace(&mut self, old: &MemberId, new: &MemberId) -> Orphans {
        let orphans = Orphans { join: self.parked_joins.remove(old), sync: self.parked_syncs.remove(old) };
        if let Some(mut member) = self.by_id.remove(old) {
            member.id = new.clone();
            member.is_new = false;
            if let Some(instance_id) = &member.instance_id {
                self.by_instance.insert(instance_id.clone(), new.clone());
            }
            self.by_id.insert(new.clone(), member);
            if self.is_leader(old) {
                self.leader = Some(new.clone());
            }
        }
        orphans
    }

    /// Takes over what a member says of itself when it joins again.
    pub(super) fn update(&mut self, id: &MemberId, protocols: Vec<Protocol>, timeouts: Timeouts) {
        let Some(member) = self.by_id.get_mut(id) else { return };
        member.timeouts = timeouts;
        let before = std::mem::replace(&mut member.protocols, protocols.clone());
        self.discount_support(&before);
        self.count_support(&protocols);
    }

    /// Makes `id` the leader if it is a member (a restored group's leader).
    pub(super) fn set_leader(&mut self, id: &MemberId) {
        if self.contains(id) {
            self.leader = Some(id.clone());
        }
    }

    /// The longest that any member may take to join again.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.iter().map(|member| member.timeouts.rebalance).max().unwrap_or_default()
    }

    /// Whether all members support one of the protocols (true of any, if there are no members).
    pub(super) fn all_support_one_of(&self, protocols: &[Protocol]) -> bool {
        protocols.iter().any(|protocol| self.all_support(&protocol.name))
    }

    fn all_support(&self, protocol_name: &str) -> bool {
        self.support.get(protocol_name).copied().unwrap_or(0) == self.len()
    }

    /// The protocol that wins: each member votes for the first of its protocols that all support. A draw goes to
    /// the name that comes first.
    pub(super) fn vote(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.iter() {
            if let Some(choice) = member.protocols.iter().find(|protocol| self.all_support(&protocol.name)) {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        // max_by_key keeps the last of equals, so walk backwards.
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone())
    }

    /// Parks a JoinGroup. Returns the member's earlier one, which this takes the place of.
    #[must_use]
    pub(super) fn park_join(&mut self, id: &MemberId, to: ReplyTo) -> Option<ReplyTo> {
        self.parked_joins.insert(id.clone(), to)
    }

    /// Parks a SyncGroup. Returns the member's earlier one, which this takes the place of.
    #[must_use]
    pub(super) fn park_sync(&mut self, id: &MemberId, to: ReplyTo) -> Option<ReplyTo> {
        self.parked_syncs.insert(id.clone(), to)
    }

    pub(super) fn take_join(&mut self, id: &MemberId) -> Option<ReplyTo> {
        self.parked_joins.remove(id)
    }

    pub(super) fn take_sync(&mut self, id: &MemberId) -> Option<ReplyTo> {
        self.parked_syncs.remove(id)
    }

    pub(super) fn awaits_join(&self, id: &MemberId) -> bool {
        self.parked_joins.contains_key(id)
    }

    pub(super) fn awaits_sync(&self, id: &MemberId) -> bool {
        self.parked_syncs.contains_key(id)
    }

    pub(super) fn joins_awaited(&self) -> usize {
        self.parked_joins.len()
    }

    /// The first member, by id, that waits in the rebalance.
    pub(super) fn first_joined(&self) -> Option<&MemberId> {
        self.parked_joins.keys().next()
    }

    /// All members as the leader is told of them.
    pub(super) fn as_joined(&self, protocol_name: Option<&str>) -> Vec<JoinedMember> {
        self.iter()
            .map(|member| JoinedMember {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol_name),
            })
            .collect()
    }

    fn count_support(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            *self.support.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    fn discount_support(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            if let Some(count) = self.support.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.support.remove(&protocol.name);
                }
            }
        }
    }
}

/// What a member may hand in as its protocols: one of each name (the first counts), in bytes of their own so that
/// a member doesn't keep the buffer of its whole request.
pub(super) fn own_protocols(protocols: &[Protocol]) -> Vec<Protocol> {
    let mut names = BTreeSet::new();
    protocols
        .iter()
        .filter(|protocol| names.insert(&protocol.name))
        .map(|protocol| Protocol {
            name: protocol.name.clone(),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        })
        .collect()
}
