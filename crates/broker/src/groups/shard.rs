//! One shard: the machine, what it has queued in the log, and the requests it hasn't answered yet.
//!
//! Everything here runs under the shard's lock: a step, the entry with its records, then its replies. A reply is
//! handed over together with the newest LSN that the shard has queued, so it can't overtake what it reveals.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use duolog_groups::{Config, Effect, Event, Now, Record, Reply, ReplyTo};
use duolog_log::Log;
use duolog_types::Lsn;
use tokio::sync::oneshot;

use super::entry;
use super::memory::{MEMBER_BYTES, RECOUNT_BYTES};
use super::table::GroupsTable;

/// The answer to a request and what it waits for.
type Told = (Reply, Lsn);

/// A shard of the groups.
#[derive(Debug)]
pub(crate) struct Shard {
    number: u32,
    machine: duolog_groups::Shard,
    /// The newest entry that holds records of this shard.
    queued: Lsn,
    next_request: u64,
    waiting: HashMap<ReplyTo, oneshot::Sender<Told>>,
    /// What the members held when that was last counted, and what was said since.
    counted: usize,
    said: usize,
    /// The log took no more: what the machine did since is in memory only, and told to nobody.
    gave_up: bool,
}

/// What came of a request.
pub(crate) enum Asked {
    /// Its answer.
    Answered(Reply, Lsn),
    /// It waits for others.
    Parked(Parked),
    /// The shard has given up.
    Refused,
}

impl Shard {
    pub(crate) fn new(number: u32, config: Config) -> Self {
        Self {
            number,
            machine: duolog_groups::Shard::new(config),
            queued: Lsn::ZERO,
            next_request: 1,
            waiting: HashMap::new(),
            counted: 0,
            said: 0,
            gave_up: false,
        }
    }

    /// A record of a snapshot.
    pub(crate) fn restore(&mut self, record: Record, now: Now) {
        self.machine.restore(record, now);
    }

    /// A record of a frame behind the snapshot.
    pub(crate) fn apply(&mut self, record: Record, lsn: Lsn, now: Now) {
        self.machine.restore(record, now);
        self.queued = lsn;
    }

    pub(crate) fn snapshot(&self) -> (Lsn, Vec<Record>) {
        (self.queued, self.machine.snapshot())
    }

    /// All records are back.
    pub(crate) fn loaded(&mut self, log: &Log, now: Now) {
        let effects = self.machine.loaded(now);
        self.carry_out(log, effects, None);
        self.count();
    }

    /// Whether offsets that seem expired stay for now.
    pub(crate) fn hold_offsets(&mut self, hold: bool) {
        self.machine.hold_offsets(hold);
    }

    /// Something happened that nobody waits for.
    pub(crate) fn tell(&mut self, log: &Log, event: Event, now: Now) {
        if !self.gave_up {
            let effects = self.machine.step(event, now);
            self.carry_out(log, effects, None);
            self.count_if_more_than(self.held_bytes());
        }
    }

    /// What the members hold, at most.
    pub(crate) fn held_bytes(&self) -> usize {
        self.counted + self.said
    }

    fn count(&mut self) {
        self.counted = self.machine.member_bytes(MEMBER_BYTES);
        self.said = 0;
    }

    fn count_if_more_than(&mut self, bytes: usize) {
        if bytes > RECOUNT_BYTES {
            self.count();
        }
    }

    /// A request came, which may make the shard remember `bytes` more. If it must wait, it does so by a handle on
    /// this shard of `table`.
    pub(crate) fn ask(
        &mut self,
        bytes: usize,
        table: &Arc<GroupsTable>,
        log: &Log,
        event: impl FnOnce(ReplyTo) -> Event,
        now: Now,
    ) -> Asked {
        // A step can't be taken back, so it isn't begun when the log may refuse its records.
        if self.gave_up || !log.admits_control() {
            return Asked::Refused;
        }
        let to = ReplyTo(self.next_request);
        self.next_request += 1;
        let event = event(to);
        let may_free = matches!(event, Event::Leave(_));
        let effects = self.machine.step(event, now);
        self.said += bytes;
        self.count_if_more_than(if may_free { self.held_bytes() } else { self.said });
        let own = self.carry_out(log, effects, Some(to));
        match own {
            Some((reply, lsn)) => Asked::Answered(reply, lsn),
            None if self.gave_up => Asked::Refused,
            None => {
                let (sender, answer) = oneshot::channel();
                self.waiting.insert(to, sender);
                Asked::Parked(Parked { table: table.clone(), shard: self.number, to, answer })
            }
        }
    }

    /// Reads the machine; what was read is told once the LSN is durable. None if the shard has given up.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&duolog_groups::Shard) -> T) -> Option<(T, Lsn)> {
        (!self.gave_up).then(|| (read(&self.machine), self.queued))
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        if self.gave_up { None } else { self.machine.next_deadline() }
    }

    pub(crate) fn parked(&self) -> usize {
        self.waiting.len()
    }

    /// Queues a step's records as one entry, then gives its replies to those who wait. Returns the reply to `own`.
    fn carry_out(&mut self, log: &Log, effects: Vec<Effect>, own: Option<ReplyTo>) -> Option<Told> {
        let (mut records, mut replies) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Persist(record) => records.push(record),
                Effect::Reply { to, reply } => replies.push((to, reply)),
            }
        }
        match entry::queue(log, self.number, records) {
            Ok(lsn) => self.queued = lsn.unwrap_or(self.queued),
            Err(error) => {
                tracing::error!(shard = self.number, %error, "group state can't be kept; its groups are not coordinated until a restart");
                self.gave_up = true;
                // Their waits end, and say that the coordinator isn't available.
                self.waiting.clear();
                return None;
            }
        }
        let mut own_reply = None;
        for (to, reply) in replies {
            let is_early =
                matches!(reply, Reply::CommitOffsets(_)) && duolog_env::seeded_bug("commit_before_durable");
            let lsn = if reply.reveals_state() && !is_early { self.queued } else { Lsn::ZERO };
            if Some(to) == own {
                own_reply = Some((reply, lsn));
            } else if let Some(waiting) = self.waiting.remove(&to) {
                // An error: the client has just gone.
                let _ = waiting.send((reply, lsn));
            }
        }
        own_reply
    }
}

/// A request that waits for others. Given up when dropped.
pub(crate) struct Parked {
    table: Arc<GroupsTable>,
    shard: u32,
    to: ReplyTo,
    answer: oneshot::Receiver<Told>,
}

impl Parked {
    /// The answer; none if the shard has given up.
    pub(super) async fn answer(mut self) -> Option<Told> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Parked {
    /// The machine may still answer; nobody listens then.
    fn drop(&mut self) {
        self.table.lock(self.shard).waiting.remove(&self.to);
    }
}
