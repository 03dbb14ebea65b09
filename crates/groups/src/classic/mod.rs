//! One classic consumer group: who belongs to it, and the turn of its generations.
//!
//! ```text
//!           first Join             all joined, or time is up           leader's Sync
//!  Empty ───────────────► Preparing ──────────────────► Completing ───────────────► Stable
//!    ▲                    Rebalance ◄────────────────── Rebalance                     │
//!    │ nobody joined       │  ▲  Join with other metadata, Leave, expiry, no Sync      │
//!    └─────────────────────┘  └────────────── Join of the leader, likewise ───────────┘
//!  Dead: unloaded or deleted, from any state
//! ```
//!
//! Owns the group's state, its members and its timers; the offsets are its neighbour's (`offsets`), the table of
//! groups the shard's. One file for each part: `join`, `rebalance` (the way to a generation and out of one), `sync`
//! (its assignment), `presence` (heartbeat, leave, expiry of sessions), `commit` (who may commit and delete
//! offsets), `restore` (to and from records). Source of the rules: Kafka's `ClassicGroup` and
//! `GroupMetadataManager`; where this differs, the comment says so.

mod commit;
mod describe;
mod join;
mod members;
mod presence;
mod rebalance;
mod restore;
mod sync;
mod timers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use duolog_types::{GroupId, MemberId, TimestampMs};

use crate::config::Config;
use crate::durable::{GroupRecord, Record};
use crate::effect::{Effects, Reply};
use crate::error::GroupError;
use crate::event::Now;
use crate::subscription::subscribed_topics;

use members::{Members, Orphans};
use rebalance::InitialDelay;
use timers::{Timer, Timers};

pub use describe::{GroupDescription, MemberDescription};

/// The protocol type whose metadata tells the subscribed topics.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No members; there may be committed offsets.
    Empty,
    /// Members are joining the next generation.
    PreparingRebalance,
    /// All know the new generation and wait for the leader's assignment.
    CompletingRebalance,
    /// All may fetch their assignment.
    Stable,
    /// Not coordinated here any more.
    Dead,
}

impl State {
    /// Kafka's name of the state, as in DescribeGroups and ListGroups.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

/// What a step works with.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) now: Now,
    pub(crate) effects: &'a mut Effects,
}

/// The state machine of one group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: GroupId,
    state: State,
    /// When it came into `state`. None for a group that only keeps offsets.
    state_since: TimestampMs,
    protocol_type: Option<Arc<str>>,
    /// The generation's protocol.
    protocol_name: Option<Arc<str>>,
    generation: i32,
    /// The highest generation that any member may have heard of, also before a restart.
    generation_heard: i32,
    members: Members,
    /// Ids that were given out with MEMBER_ID_REQUIRED and haven't come back yet.
    pending_joins: BTreeSet<MemberId>,
    /// Members of the generation that haven't asked for their assignment yet.
    pending_syncs: BTreeSet<MemberId>,
    /// The topics that members subscribe to, where that is known.
    subscribed: Option<BTreeSet<Arc<str>>>,
    /// Set while the first rebalance of an empty group is being waited for.
    initial_delay: Option<InitialDelay>,
    timers: Timers,
    /// What the newest record says of this group; none if there was never a member.
    durable: Option<Arc<GroupRecord>>,
}

impl ClassicGroup {
    /// A group without members.
    pub(crate) fn new(id: GroupId, now: TimestampMs) -> Self {
        Self {
            id,
            state: State::Empty,
            state_since: now,
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            generation_heard: 0,
            members: Members::default(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            subscribed: None,
            initial_delay: None,
            timers: Timers::default(),
            durable: None,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// When [`ClassicGroup::tick`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Whether nobody is a member or about to become one.
    pub(crate) fn is_deserted(&self) -> bool {
        self.state == State::Empty && self.pending_joins.is_empty()
    }

    /// Whether the group exists for its offsets alone: there was never a record of it.
    pub(crate) fn is_simple(&self) -> bool {
        self.durable.is_none()
    }

    /// Carries out the timers that are due.
    pub(crate) fn tick(&mut self, context: &mut Context<'_>) {
        // One at a time: what one timer does may put off or cancel another that was due as well.
        while let Some(timer) = self.timers.pop_due(context.now.monotonic) {
            match timer {
                Timer::Join => self.join_time_is_up(context),
                Timer::Sync => self.sync_time_is_up(context),
                Timer::Session(member_id) => self.session_is_over(&member_id, context),
            }
        }
    }

    /// This broker stops coordinating the group: sends away all who wait.
    pub(crate) fn unload(&mut self, context: &mut Context<'_>) {
        for id in self.members.ids() {
            let orphans = Orphans { join: self.members.take_join(&id), sync: self.members.take_sync(&id) };
            answer_orphans(orphans, GroupError::NotCoordinator, &id, context);
        }
        self.timers.cancel_all();
        self.transition(State::Dead, context);
    }

    fn transition(&mut self, state: State, context: &Context<'_>) {
        self.state = state;
        self.state_since = context.now.wall;
    }

    /// Records the group as it stands.
    fn persist(&mut self, context: &mut Context<'_>) {
        let record = Arc::new(self.to_record());
        self.durable = Some(Arc::clone(&record));
        context.effects.persist(Record::Group(record));
    }

    /// Records a group that has just come to be.
    pub(crate) fn persist_new(&mut self, context: &mut Context<'_>) {
        let record = Arc::new(GroupRecord {
            group: self.id.clone(),
            generation: 0,
            state_since: context.now.wall,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: Vec::new(),
        });
        self.durable = Some(Arc::clone(&record));
        context.effects.persist(Record::Group(record));
    }

    /// Counts the member's session anew.
    fn restart_session(&mut self, member_id: &MemberId, context: &Context<'_>) {
        if let Some(member) = self.members.get(member_id) {
            let at = context.now.monotonic.saturating_add(member.timeouts.session);
            self.timers.set(Timer::Session(member_id.clone()), at);
        }
    }

    /// Removes a member or one that was about to join, answers what it waits for, and stops its session.
    fn remove(&mut self, member_id: &MemberId, error: GroupError, context: &mut Context<'_>) {
        let orphans = self.members.remove(member_id);
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        self.timers.cancel(&Timer::Session(member_id.clone()));
        // Kafka leaves a removed member's SyncGroup without an answer; here nobody waits for ever.
        answer_orphans(orphans, error, &MemberId::from(""), context);
    }

    fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether a member subscribes to the topic. A consumer group whose subscription isn't known counts as
    /// subscribed to everything, so that nothing of it is lost by mistake.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Reads anew what the members subscribe to.
    fn learn_subscription(&mut self) {
        self.subscribed = self.compute_subscription();
    }

    fn compute_subscription(&self) -> Option<BTreeSet<Arc<str>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol_name = self.protocol_name.as_deref()?;
        let mut all = BTreeSet::new();
        for member in self.members.iter() {
            all.extend(subscribed_topics(&member.metadata(Some(protocol_name))).ok()?);
        }
        Some(all)
    }
}

/// Answers the requests that a member leaves behind.
fn answer_orphans(orphans: Orphans, error: GroupError, member_id: &MemberId, context: &mut Context<'_>) {
    if let Some(to) = orphans.join {
        context.effects.refuse_join(to, error, member_id.clone());
    }
    if let Some(to) = orphans.sync {
        context.effects.reply(to, Reply::Sync(Err(error)));
    }
}
