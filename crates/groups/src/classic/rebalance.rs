//! Rebalances: how the members are called together, and how the next generation begins.

use std::time::Duration;

use super::timers::Timer;
use super::{ClassicGroup, Context, State};
use crate::durable::Record;
use crate::effect::Reply;
use crate::error::GroupError;

/// How long a rebalance that nobody came to is waited for again at least: a rebalance timeout of 0 must not make
/// the timer fire without end.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// The wait of an empty group's first rebalance. As long as members keep coming it is extended, up to the longest
/// rebalance timeout of those who began it.
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialDelay {
    /// The wait that is running.
    delay: Duration,
    /// How much longer it may be extended for.
    remaining: Duration,
    /// Whether a member has come since the wait began.
    pub(super) member_added: bool,
}

impl ClassicGroup {
    /// Something changed: begins a rebalance, or ends the one that runs if all are there.
    pub(super) fn rebalance_or_complete(&mut self, context: &mut Context<'_>) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(context),
            State::PreparingRebalance | State::Dead => self.maybe_complete_join(context),
        }
    }

    /// Calls the members together.
    pub(super) fn prepare_rebalance(&mut self, context: &mut Context<'_>) {
        if self.state == State::CompletingRebalance {
            // There will be no assignment of this generation.
            for member in self.members.iter_mut() {
                member.assignment = bytes::Bytes::new();
            }
            self.answer_syncs(Err(GroupError::RebalanceInProgress), context);
        }
        self.pending_syncs.clear();
        self.timers.cancel(&Timer::Sync);

        let is_initial = self.state == State::Empty;
        self.transition(State::PreparingRebalance, context);
        if is_initial {
            let delay = context.config.initial_rebalance_delay;
            let remaining = self.members.rebalance_timeout().saturating_sub(delay);
            self.initial_delay = Some(InitialDelay { delay, remaining, member_added: false });
            self.timers.set(Timer::Join, context.now.monotonic.saturating_add(delay));
        } else if self.all_have_joined() {
            self.complete_join(context);
        } else {
            self.wait_for_joins(Duration::ZERO, context);
        }
    }

    /// Begins the next generation if a rebalance runs that waits for nobody any more. A first rebalance lasts for
    /// its delay in any case.
    pub(super) fn maybe_complete_join(&mut self, context: &mut Context<'_>) {
        if self.state == State::PreparingRebalance && self.initial_delay.is_none() && self.all_have_joined() {
            self.complete_join(context);
        }
    }

    /// The time to join is over.
    pub(super) fn join_time_is_up(&mut self, context: &mut Context<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match &mut self.initial_delay {
            Some(wait) if wait.member_added && !wait.remaining.is_zero() => {
                let delay = context.config.initial_rebalance_delay.min(wait.remaining);
                let remaining = wait.remaining.saturating_sub(wait.delay);
                *wait = InitialDelay { delay, remaining, member_added: false };
                self.timers.set(Timer::Join, context.now.monotonic.saturating_add(delay));
            }
            _ => self.complete_join(context),
        }
    }

    fn all_have_joined(&self) -> bool {
        self.members.joins_awaited() == self.members.len() && self.pending_joins.is_empty()
    }

    fn wait_for_joins(&mut self, at_least: Duration, context: &mut Context<'_>) {
        let wait = self.members.rebalance_timeout().max(at_least);
        let at = context.now.monotonic.saturating_add(wait);
        self.timers.set(Timer::Join, at);
    }

    /// Ends the joining: who isn't back and isn't static is out, the others are the next generation.
    fn complete_join(&mut self, context: &mut Context<'_>) {
        self.timers.cancel(&Timer::Join);
        for id in self.members.ids() {
            let is_static = self.members.get(&id).is_some_and(|member| member.instance_id.is_some());
            if !is_static && !self.members.awaits_join(&id) {
                self.remove(&id, GroupError::UnknownMemberId, context);
            }
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Static members only, and none is back: wait on, until they are or their sessions are over.
            self.wait_for_joins(RETRY_MIN, context);
            return;
        }
        self.initial_delay = None;
        self.begin_generation(context);
    }

    /// Sees to it that the leader is somebody who is back. False if nobody is.
    fn elect_leader(&mut self) -> bool {
        if self.members.leader().is_some_and(|leader| self.members.awaits_join(leader)) {
            return true;
        }
        match self.members.first_joined().cloned() {
            Some(id) => {
                self.members.set_leader(&id);
                true
            }
            None => false,
        }
    }

    fn begin_generation(&mut self, context: &mut Context<'_>) {
        // Above every generation that anyone has heard of. It takes 2^31 rebalances to begin again.
        self.generation = self.generation.max(self.generation_heard).checked_add(1).unwrap_or(1);
        self.generation_heard = self.generation;
        self.pending_syncs.clear();
        self.protocol_name = self.members.vote();
        self.learn_subscription();

        if self.members.is_empty() {
            self.transition(State::Empty, context);
            self.persist(context);
            return;
        }
        self.transition(State::CompletingRebalance, context);
        // Kafka doesn't record this, and may give the same number to two generations around a restart.
        context.effects.persist(Record::Generation { group: self.id.clone(), generation: self.generation });
        for id in self.members.ids() {
            if let Some(to) = self.members.take_join(&id) {
                let joined = self.joined(&id, self.members.is_leader(&id));
                context.effects.reply(to, Reply::Join(Ok(Box::new(joined))));
            }
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.restart_session(&id, context);
            self.pending_syncs.insert(id);
        }
        let at = context.now.monotonic.saturating_add(self.members.rebalance_timeout());
        self.timers.set(Timer::Sync, at);
    }
}
