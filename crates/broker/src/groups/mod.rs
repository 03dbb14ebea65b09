//! Consumer groups: where the pure machine of `duolog_groups` meets the log, the clock and those who wait.
//!
//! ```text
//!  door ──► Groups ──► shard (of 64, by the group's id) ── one short lock ──┐
//!                        step(event, now) ─► persist: one WAL entry         │ in this order,
//!                                         └► replies, with the newest LSN  ─┘ under the lock
//!  run_timers ──► Tick, when a shard has something due
//! ```
//!
//! Owns the shards, the requests that wait for others (JoinGroup, SyncGroup), the timers, and the table of group
//! state in the log. Decides nothing about groups: that is the machine's; knows no error code: that is the door's.
//!
//! An [`Answer`] names the newest entry that its shard had queued; a door sends it once that is durable. So no
//! client hears of a commit, a generation or a deletion that a crash could take back. What can't be queued,
//! because the log has stopped, is told to nobody: the shard then answers `CoordinatorNotAvailable` to all.

mod entry;
mod memory;
mod shard;
pub(crate) mod table;
pub(crate) mod timers;

use std::sync::Arc;

use duolog_env::Env;
use duolog_groups::Event;
pub use duolog_groups::{
    CommitOffsets, CommitPartition, CommittedOffset, Config as GroupsConfig, DeleteOffsets, GroupDescription,
    GroupError, GroupOffsets, Heartbeat, JoinGroup, JoinRefused, Joined, JoinedMember, LeaveGroup,
    LeavingMember, LeftMember, ListedGroup, MemberDescription, MemberRef, Protocol, Reply, ReplyTo, State,
    SyncGroup, Synced, TopicName, TopicPartition,
};
use duolog_log::Log;
use duolog_types::{GroupId, Lsn, MemberId, TopicId};
use parking_lot::Mutex;

use memory::{MEMBER_BYTES, Memory};
use shard::Asked;
use table::GroupsTable;
use timers::Alarm;

use crate::retention::ClockGuard;

/// What stands in a request's `to`: the coordinator puts its own number there.
pub const NOBODY: ReplyTo = ReplyTo(0);

/// An answer, and what it waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// What to say.
    pub value: T,
    /// It may be said once this is durable; [`Lsn::ZERO`]: at once.
    pub lsn: Lsn,
}

/// The coordinator of all groups. A cheap handle.
#[derive(Clone)]
pub struct Groups(Arc<Inner>);

struct Inner {
    env: Env,
    log: Log,
    table: Arc<GroupsTable>,
    alarm: Alarm,
    memory: Memory,
    clock_guard: Arc<Mutex<ClockGuard>>,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Groups({} shards)", table::SHARDS)
    }
}

impl Groups {
    /// Takes over what recovery has put into `table`: members' sessions begin anew.
    /// At most `members_bytes_max` are kept of what members say about themselves.
    /// No offset expires while `clock_guard` doubts the clock.
    pub(crate) fn open(
        env: Env,
        log: Log,
        table: Arc<GroupsTable>,
        members_bytes_max: usize,
        clock_guard: Arc<Mutex<ClockGuard>>,
    ) -> Self {
        let (alarm, memory) = (Alarm::default(), Memory::new(members_bytes_max));
        let groups = Self(Arc::new(Inner { env, log, table, alarm, memory, clock_guard }));
        for number in table::numbers() {
            groups.in_shard(number, |shard, log, now| shard.loaded(log, now));
        }
        groups
    }

    /// Forgets what was committed for topics that are gone: a crash may have come between a topic's deletion and
    /// that of its offsets.
    pub(crate) fn forget_topics_but(&self, exists: impl Fn(&str, TopicId) -> bool) {
        let topics = self.0.table.topics();
        for (topic, id) in
            topics.into_iter().filter(|(topic, id)| *id != TopicId::ZERO && !exists(topic, *id))
        {
            self.topic_deleted(&topic, id);
        }
    }

    /// A topic was deleted: what was committed for it means nothing to a later topic of this name.
    pub(crate) fn topic_deleted(&self, topic: &TopicName, topic_id: TopicId) {
        for number in table::numbers() {
            self.tell(number, Event::TopicDeleted { topic: topic.clone(), topic_id });
        }
    }

    /// JoinGroup. Waits until the group's members are there, or the member is removed.
    /// `to` and `entropy` of the request are filled in here. Dropping the future gives the request up.
    pub async fn join(&self, mut request: JoinGroup) -> Answer<Result<Box<Joined>, JoinRefused>> {
        self.0.env.rng.fill(&mut request.entropy);
        let member_id = request.member_id.clone();
        let protocols = request.protocols.iter();
        let protocols = protocols.map(|protocol| protocol.name.len() + protocol.metadata.len());
        let bytes = MEMBER_BYTES + request.client_id.len() + protocols.sum::<usize>();
        let asked = self.ask_for(bytes, &request.group.clone(), |to| {
            request.to = to;
            Event::Join(Box::new(request))
        });
        match answered(asked).await {
            Some((Reply::Join(value), lsn)) => Answer { value, lsn },
            _ => refused(JoinRefused { error: GroupError::CoordinatorNotAvailable, member_id }),
        }
    }

    /// SyncGroup. Waits for the leader's assignment. Dropping the future gives the request up.
    pub async fn sync(&self, mut request: SyncGroup) -> Answer<Result<Synced, GroupError>> {
        let bytes = request.assignments.iter().map(|(_, assignment)| assignment.len()).sum();
        let asked = self.ask_for(bytes, &request.group.clone(), |to| {
            request.to = to;
            Event::Sync(request)
        });
        match answered(asked).await {
            Some((Reply::Sync(value), lsn)) => Answer { value, lsn },
            _ => refused(GroupError::CoordinatorNotAvailable),
        }
    }

    /// Heartbeat.
    #[must_use]
    pub fn heartbeat(&self, mut request: Heartbeat) -> Answer<Result<(), GroupError>> {
        let asked = self.ask(&request.group.clone(), |to| {
            request.to = to;
            Event::Heartbeat(request)
        });
        match asked {
            Asked::Answered(Reply::Heartbeat(value), lsn) => Answer { value, lsn },
            _ => refused(GroupError::CoordinatorNotAvailable),
        }
    }

    /// LeaveGroup: one outcome for each member of the request, in its order.
    #[must_use]
    pub fn leave(&self, mut request: LeaveGroup) -> Answer<Result<Vec<LeftMember>, GroupError>> {
        let asked = self.ask(&request.group.clone(), |to| {
            request.to = to;
            Event::Leave(request)
        });
        match asked {
            Asked::Answered(Reply::Leave(value), lsn) => Answer { value, lsn },
            _ => refused(GroupError::CoordinatorNotAvailable),
        }
    }

    /// OffsetCommit: one outcome for each partition of the request, in its order.
    #[must_use]
    pub fn commit(
        &self,
        mut request: CommitOffsets,
    ) -> Answer<Result<Vec<Result<(), GroupError>>, GroupError>> {
        let asked = self.ask(&request.group.clone(), |to| {
            request.to = to;
            Event::CommitOffsets(request)
        });
        match asked {
            Asked::Answered(Reply::CommitOffsets(value), lsn) => Answer { value, lsn },
            _ => refused(GroupError::CoordinatorNotAvailable),
        }
    }

    /// OffsetDelete: one outcome for each partition of the request, in its order.
    #[must_use]
    pub fn delete_offsets(
        &self,
        mut request: DeleteOffsets,
    ) -> Answer<Result<Vec<Result<(), GroupError>>, GroupError>> {
        let asked = self.ask(&request.group.clone(), |to| {
            request.to = to;
            Event::DeleteOffsets(request)
        });
        match asked {
            Asked::Answered(Reply::DeleteOffsets(value), lsn) => Answer { value, lsn },
            _ => refused(GroupError::CoordinatorNotAvailable),
        }
    }

    /// DeleteGroups, for one group.
    #[must_use]
    pub fn delete(&self, group: &GroupId) -> Answer<Result<(), GroupError>> {
        let asked = self.ask(group, |to| Event::DeleteGroup { to, group: group.clone() });
        match asked {
            Asked::Answered(Reply::DeleteGroup(value), lsn) => Answer { value, lsn },
            _ => refused(GroupError::CoordinatorNotAvailable),
        }
    }

    /// Reads what a group has committed (`None`: there is no such group), under the shard's lock: `read` copies
    /// what it needs and does nothing else.
    pub fn offsets<T>(
        &self,
        group: &GroupId,
        read: impl FnOnce(Option<&GroupOffsets>) -> T,
    ) -> Answer<Result<T, GroupError>> {
        self.query(table::shard_of(group), |shard| read(shard.offsets(group)))
    }

    /// A group as it is now; `None` if there is no such group.
    #[must_use]
    pub fn describe(&self, group: &GroupId) -> Answer<Result<Option<GroupDescription>, GroupError>> {
        self.query(table::shard_of(group), |shard| shard.describe(group))
    }

    /// All groups.
    #[must_use]
    pub fn list(&self) -> Answer<Result<Vec<ListedGroup>, GroupError>> {
        let (mut all, mut lsn) = (Vec::new(), Lsn::ZERO);
        for number in table::numbers() {
            let of_shard = self.query(number, |shard| shard.list().collect::<Vec<_>>());
            lsn = lsn.max(of_shard.lsn);
            match of_shard.value {
                Ok(listed) => all.extend(listed),
                Err(error) => return refused(error),
            }
        }
        Answer { value: Ok(all), lsn }
    }

    /// How many requests wait for other members, over all groups.
    #[must_use]
    pub fn parked(&self) -> usize {
        table::numbers().map(|number| self.0.table.lock(number).parked()).sum()
    }

    /// Does what is due: rebalances that have waited long enough, members that were silent for too long, offsets
    /// that nobody uses any more. For tests and for [`Groups::run_timers`].
    pub fn tick(&self) {
        let clock = &*self.0.env.clock;
        let doubted = self.0.clock_guard.lock().doubts(clock.wall(), clock.monotonic());
        let now = clock.monotonic();
        for number in table::numbers().filter(|number| self.0.alarm.is_due(*number, now)) {
            self.in_shard(number, |shard, log, now| {
                shard.hold_offsets(doubted);
                shard.tell(log, Event::Tick, now);
            });
        }
    }

    /// Calls [`Groups::tick`] whenever something is due; ends when it is dropped. One task for all shards, whose
    /// one timer stands at the earliest deadline.
    pub async fn run_timers(&self) {
        loop {
            self.0.alarm.due(&*self.0.env.clock).await;
            self.tick();
        }
    }

    fn ask(&self, group: &GroupId, event: impl FnOnce(ReplyTo) -> Event) -> Asked {
        self.ask_for(0, group, event)
    }

    /// Asks what may make the group remember so many bytes more.
    fn ask_for(&self, bytes: usize, group: &GroupId, event: impl FnOnce(ReplyTo) -> Event) -> Asked {
        if bytes > 0 && !self.0.memory.has_room(bytes) {
            tracing::warn!(%group, bytes, held = self.0.memory.held(), "no memory left for members of groups");
            return Asked::Refused;
        }
        let number = table::shard_of(group);
        let table = &self.0.table;
        self.in_shard(number, |shard, log, now| shard.ask(bytes, table, log, event, now))
    }

    fn tell(&self, number: u32, event: Event) {
        self.in_shard(number, |shard, log, now| shard.tell(log, event, now));
    }

    fn query<T>(
        &self,
        number: u32,
        read: impl FnOnce(&duolog_groups::Shard) -> T,
    ) -> Answer<Result<T, GroupError>> {
        match self.0.table.lock(number).read(read) {
            Some((value, lsn)) => Answer { value: Ok(value), lsn },
            None => refused(GroupError::CoordinatorNotAvailable),
        }
    }

    /// Works on a shard under its lock, and sets the alarm to what it then has due.
    fn in_shard<T>(
        &self,
        number: u32,
        work: impl FnOnce(&mut shard::Shard, &Log, duolog_groups::Now) -> T,
    ) -> T {
        let Inner { env, log, table, alarm, memory, .. } = &*self.0;
        let mut shard = table.lock(number);
        // Under the lock, so that a shard's time never goes back.
        let result = work(&mut shard, log, table::now(env));
        alarm.set(number, shard.next_deadline());
        memory.set(number, shard.held_bytes());
        result
    }
}

/// The answer, waited for if need be; none if the shard has given up.
async fn answered(asked: Asked) -> Option<(Reply, Lsn)> {
    match asked {
        Asked::Answered(reply, lsn) => Some((reply, lsn)),
        Asked::Parked(parked) => parked.answer().await,
        Asked::Refused => None,
    }
}

/// A refusal that reveals nothing, so that it waits for nothing.
fn refused<T, E>(error: E) -> Answer<Result<T, E>> {
    Answer { value: Err(error), lsn: Lsn::ZERO }
}

/// The member id of those that have none yet.
#[must_use]
pub fn no_member() -> MemberId {
    MemberId::from("")
}
