//! A shard: the table of the groups that one owner coordinates.
//!
//! Owns which groups exist and when each has a timer due; checks what concerns no group in particular (group ids,
//! session bounds); writes the records of offsets. The turn of a group is `classic`'s, a group's offsets are
//! `offsets`'. A group exists from its first member, pending or not, or its first committed offset; it goes when
//! it is deleted, or when it is Empty and has no offsets left at a check.

mod offsets;
mod query;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use duolog_types::GroupId;

use crate::classic::{ClassicGroup, Context};
use crate::config::Config;
use crate::durable::Record;
use crate::effect::{Effect, Effects, LeftMember, Reply};
use crate::error::GroupError;
use crate::event::{Event, Heartbeat, JoinGroup, LeaveGroup, Now, ReplyTo, SyncGroup};
use crate::offsets::GroupOffsets;

pub use query::ListedGroup;

/// One group with its offsets.
#[derive(Debug)]
struct Group {
    classic: ClassicGroup,
    offsets: GroupOffsets,
}

/// The groups of one owner.
#[derive(Debug)]
pub struct Shard {
    config: Config,
    groups: BTreeMap<GroupId, Group>,
    /// The groups that have a timer set, by when the first one is due. Exactly one entry for each of them.
    deadlines: BTreeSet<(Duration, GroupId)>,
    /// When to look for expired offsets next; none before the first event.
    next_offsets_check: Option<Duration>,
    /// Offsets that seem expired stay: the wall clock is doubted.
    holds_offsets: bool,
    unloaded: bool,
}

impl Shard {
    /// A shard without groups.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_offsets_check: None,
            holds_offsets: false,
            unloaded: false,
        }
    }

    /// What happens, and what is to be done about it. Every request is answered in this step or a later one.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Effects::default();
        let next_check = now.monotonic.saturating_add(self.config.offsets_check_interval);
        self.next_offsets_check.get_or_insert(next_check);
        match event {
            Event::Join(request) => self.join(&request, now, &mut effects),
            Event::Sync(request) => self.sync(&request, now, &mut effects),
            Event::Heartbeat(request) => self.heartbeat(&request, now, &mut effects),
            Event::Leave(request) => self.leave(&request, now, &mut effects),
            Event::CommitOffsets(request) => self.commit_offsets(request, now, &mut effects),
            Event::DeleteOffsets(request) => self.delete_offsets(&request, &mut effects),
            Event::DeleteGroup { to, group } => self.delete_group(to, &group, &mut effects),
            Event::TopicDeleted { topic, topic_id } => self.topic_deleted(&topic, topic_id, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
            Event::Unload => self.unload(now, &mut effects),
        }
        effects.into_vec()
    }

    /// When [`Event::Tick`] has something to do. None before the first event.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let group = self.deadlines.first().map(|(at, _)| *at);
        group.into_iter().chain(self.next_offsets_check).min()
    }

    /// Says whether offsets that seem expired stay until the next check: the host doubts its wall clock.
    pub fn hold_offsets(&mut self, hold: bool) {
        self.holds_offsets = hold;
    }

    /// Takes back a record, in the order in which they were made: first a snapshot's, then what came after it.
    pub fn restore(&mut self, record: Record, now: Now) {
        match record {
            Record::Group(record) => self.group_or_new(&record.group, now).classic.restore(&record),
            Record::GroupDeleted(group) => {
                self.groups.remove(&group);
            }
            Record::Offsets { group, offsets } => {
                let group = self.group_or_new(&group, now);
                for (partition, offset) in offsets {
                    group.offsets.set(&partition, offset);
                }
            }
            Record::OffsetsDeleted { group, partitions } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    for partition in &partitions {
                        group.offsets.remove(partition);
                    }
                }
            }
            Record::Generation { group, generation } => {
                self.group_or_new(&group, now).classic.restore_generation(generation);
            }
        }
    }

    /// All records are back: members' sessions begin anew. Returns what is to be done, as a step does.
    #[must_use]
    pub fn loaded(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Effects::default();
        self.next_offsets_check = Some(now.monotonic.saturating_add(self.config.offsets_check_interval));
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.with_group(&id, now, &mut effects, |group, context| group.classic.loaded(context));
        }
        effects.into_vec()
    }

    /// The records from which [`Shard::restore`] makes this shard's durable state again.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (id, group) in &self.groups {
            records.extend(group.classic.snapshot());
            let pieces = group.offsets.pieces().into_iter();
            records.extend(pieces.map(|offsets| Record::Offsets { group: id.clone(), offsets }));
        }
        records
    }

    fn group_or_new(&mut self, id: &GroupId, now: Now) -> &mut Group {
        self.groups.entry(id.clone()).or_insert_with(|| Group {
            classic: ClassicGroup::new(id.clone(), now.wall),
            offsets: GroupOffsets::default(),
        })
    }

    /// Works on a group and keeps the table of deadlines right. None if there is no such group.
    fn with_group<R>(
        &mut self,
        id: &GroupId,
        now: Now,
        effects: &mut Effects,
        work: impl FnOnce(&mut Group, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(id)?;
        let before = group.classic.next_deadline();
        let result = work(group, &mut Context { config: &self.config, now, effects });
        let after = group.classic.next_deadline();
        if before != after {
            if let Some(at) = before {
                self.deadlines.remove(&(at, id.clone()));
            }
            if let Some(at) = after {
                self.deadlines.insert((at, id.clone()));
            }
        }
        Some(result)
    }

    /// Forgets a group and its timers.
    fn drop_group(&mut self, id: &GroupId) {
        if let Some(group) = self.groups.remove(id)
            && let Some(at) = group.classic.next_deadline()
        {
            self.deadlines.remove(&(at, id.clone()));
        }
    }

    fn join(&mut self, request: &JoinGroup, now: Now, effects: &mut Effects) {
        let session = i128::from(request.session_timeout_ms);
        let bounds = self.config.session_timeout_min.as_millis().cast_signed()
            ..=self.config.session_timeout_max.as_millis().cast_signed();
        let is_new = !self.groups.contains_key(&request.group);
        let refused = if self.unloaded {
            Some(GroupError::NotCoordinator)
        } else if request.group.0.is_empty() {
            Some(GroupError::InvalidGroupId)
        } else if !bounds.contains(&session) {
            Some(GroupError::InvalidSessionTimeout)
        } else if is_new && !request.member_id.0.is_empty() {
            Some(GroupError::UnknownMemberId)
        } else {
            None
        };
        if let Some(error) = refused {
            effects.refuse_join(request.to, error, request.member_id.clone());
            return;
        }
        if is_new {
            self.group_or_new(&request.group, now);
        }
        let has_offsets_only = self.with_group(&request.group, now, effects, |group, context| {
            group.classic.join(request, context);
            group.classic.is_simple()
        });
        if has_offsets_only == Some(true) {
            self.keep_if_joined(&request.group, now, effects);
        }
    }

    /// A group that had no members before is recorded with its first, so that a group that was listed once is not
    /// gone after a restart. If the join was refused there is nothing to keep (Kafka keeps an empty group).
    fn keep_if_joined(&mut self, id: &GroupId, now: Now, effects: &mut Effects) {
        let keep = self.with_group(id, now, effects, |group, context| {
            if !group.classic.is_deserted() {
                group.classic.persist_new(context);
            }
            !group.classic.is_simple() || !group.offsets.is_empty()
        });
        if keep == Some(false) {
            self.drop_group(id);
        }
    }

    /// The refusal that every request about membership gets if it concerns no group that could answer it.
    fn refuse_member(&self, group: &GroupId) -> Option<GroupError> {
        if self.unloaded {
            Some(GroupError::NotCoordinator)
        } else if group.0.is_empty() {
            Some(GroupError::InvalidGroupId)
        } else if !self.groups.contains_key(group) {
            Some(GroupError::UnknownMemberId)
        } else {
            None
        }
    }

    fn sync(&mut self, request: &SyncGroup, now: Now, effects: &mut Effects) {
        match self.refuse_member(&request.group) {
            Some(error) => effects.reply(request.to, Reply::Sync(Err(error))),
            None => {
                self.with_group(&request.group, now, effects, |group, context| {
                    group.classic.sync(request, context);
                });
            }
        }
    }

    fn heartbeat(&mut self, request: &Heartbeat, now: Now, effects: &mut Effects) {
        match self.refuse_member(&request.group) {
            Some(error) => effects.reply(request.to, Reply::Heartbeat(Err(error))),
            None => {
                self.with_group(&request.group, now, effects, |group, context| {
                    group.classic.heartbeat(request, context);
                });
            }
        }
    }

    fn leave(&mut self, request: &LeaveGroup, now: Now, effects: &mut Effects) {
        match self.refuse_member(&request.group) {
            Some(error @ GroupError::UnknownMemberId) => {
                // As Kafka: no such group is no such member, of each one.
                let left = request.members.iter().map(|member| LeftMember {
                    member_id: member.member_id.clone(),
                    instance_id: member.instance_id.clone(),
                    outcome: Err(error),
                });
                effects.reply(request.to, Reply::Leave(Ok(left.collect())));
            }
            Some(error) => effects.reply(request.to, Reply::Leave(Err(error))),
            None => {
                self.with_group(&request.group, now, effects, |group, context| {
                    group.classic.leave(request, context);
                });
            }
        }
    }

    fn delete_group(&mut self, to: ReplyTo, id: &GroupId, effects: &mut Effects) {
        let outcome = match self.groups.get(id) {
            _ if self.unloaded => Err(GroupError::NotCoordinator),
            None => Err(GroupError::GroupIdNotFound),
            Some(group) => group.classic.validate_delete(),
        };
        if outcome.is_ok() {
            self.drop_group(id);
            effects.persist(Record::GroupDeleted(id.clone()));
        }
        effects.reply(to, Reply::DeleteGroup(outcome));
    }

    fn tick(&mut self, now: Now, effects: &mut Effects) {
        let due = self.deadlines.iter().take_while(|(at, _)| *at <= now.monotonic);
        for id in due.map(|(_, id)| id.clone()).collect::<Vec<_>>() {
            self.with_group(&id, now, effects, |group, context| group.classic.tick(context));
        }
        if self.next_offsets_check.is_some_and(|at| at <= now.monotonic) {
            self.next_offsets_check = Some(now.monotonic.saturating_add(self.config.offsets_check_interval));
            if !self.holds_offsets {
                self.expire_offsets(now, effects);
            }
        }
    }

    fn unload(&mut self, now: Now, effects: &mut Effects) {
        self.unloaded = true;
        for id in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.with_group(&id, now, effects, |group, context| group.classic.unload(context));
        }
    }
}
