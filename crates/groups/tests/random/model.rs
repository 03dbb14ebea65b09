//! What the clients know, what the coordinator has told them, and what must hold between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duolog_groups::*;
use duolog_types::{GroupId, MemberId, Offset, TimestampMs, TopicId};

/// Clients 0 and 1 are static, and 2 to 4 dynamic; 2 joins as before version 4.
pub const CLIENTS: usize = 5;

#[derive(Clone, Debug)]
pub enum Action {
    Join {
        client: usize,
        topics: u8,
        v9: bool,
    },
    /// The client's process restarts: it forgets its id and joins.
    Bounce {
        client: usize,
        v9: bool,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
        lag: i32,
    },
    Leave {
        client: usize,
    },
    LeaveInstance {
        client: usize,
    },
    Commit {
        client: usize,
        lag: i32,
        topic: u8,
    },
    CommitSimple {
        topic: u8,
    },
    DeleteOffset {
        topic: u8,
    },
    DeleteGroup,
    Pass {
        ms: u64,
    },
    Restart {
        from_snapshot: bool,
    },
}

#[derive(Clone, Default)]
struct Client {
    member_id: String,
    generation: i32,
    /// Whom it knows, if it leads.
    members: Vec<MemberId>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Join {
        client: usize,
    },
    /// As member of which generation.
    Sync {
        generation: i32,
    },
    Other,
}

/// What has happened at least once.
#[derive(Default)]
pub struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Seen) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub fn all(&self) -> impl Iterator<Item = (&'static str, usize)> {
        const ALL: [&str; 16] = [
            "Empty",
            "PreparingRebalance",
            "CompletingRebalance",
            "Stable",
            "joined",
            "skip assignment",
            "MemberIdRequired",
            "GroupMaxSizeReached",
            "UnknownMemberId",
            "FencedInstanceId",
            "RebalanceInProgress",
            "IllegalGeneration",
            "assignment",
            "commit",
            "group deleted",
            "restart in a rebalance",
        ];
        ALL.into_iter().map(|what| (what, self.0.get(what).copied().unwrap_or(0)))
    }
}

pub struct Model {
    shard: Shard,
    config: Config,
    now: Now,
    log: Vec<Record>,
    clients: Vec<Client>,
    asked: BTreeMap<ReplyTo, Asked>,
    next: u64,
    offsets: BTreeMap<String, i64>,
    /// Generations that were told of and the leader's id in each, of the group as it is now.
    leaders: BTreeMap<i32, MemberId>,
    newest_generation: i32,
    pub seen: Seen,
}

impl Model {
    pub fn new(delay_ms: u64, group_size_max: usize) -> Self {
        let config = Config {
            initial_rebalance_delay: Duration::from_millis(delay_ms),
            group_size_max,
            // Expiry has its own tables.
            offsets_check_interval: Duration::from_secs(1 << 40),
            ..Config::default()
        };
        Self {
            shard: Shard::new(config.clone()),
            config,
            now: Now { monotonic: Duration::from_secs(5), wall: TimestampMs(1_000_000) },
            log: Vec::new(),
            clients: vec![Client { generation: -1, ..Client::default() }; CLIENTS],
            asked: BTreeMap::new(),
            next: 0,
            offsets: BTreeMap::new(),
            leaders: BTreeMap::new(),
            newest_generation: 0,
            seen: Seen::default(),
        }
    }

    pub fn act(&mut self, action: &Action) {
        match *action {
            Action::Join { client, topics, v9 } => self.join(client, topics, v9),
            Action::Bounce { client, v9 } => {
                self.clients[client] = Client { generation: -1, ..Client::default() };
                self.join(client, 0, v9);
            }
            Action::Sync { client } => self.sync(client),
            Action::Heartbeat { client, lag } => {
                let member = self.member(client, lag);
                let to = self.ask(Asked::Other);
                self.step(Event::Heartbeat(Heartbeat { to, group: group(), member }));
            }
            Action::Leave { client } => {
                let member = self.member(client, 0);
                self.leave(LeavingMember { member_id: member.member_id, instance_id: member.instance_id });
            }
            Action::LeaveInstance { client } => {
                self.leave(LeavingMember { member_id: MemberId::from(""), instance_id: instance_id(client) })
            }
            Action::Commit { client, lag, topic } => self.commit(Some((client, lag)), topic),
            Action::CommitSimple { topic } => self.commit(None, topic),
            Action::DeleteOffset { topic } => self.delete_offset(topic),
            Action::DeleteGroup => self.delete_group(),
            Action::Pass { ms } => self.pass(Duration::from_millis(ms)),
            Action::Restart { from_snapshot } => self.restart(from_snapshot),
        }
        self.check();
    }

    /// Whoever still waits is answered within the longest timeout there is.
    pub fn finish(&mut self) {
        self.pass(Duration::from_secs(3600));
        self.check();
        assert!(self.asked.is_empty(), "never answered: {:?}", self.asked);
    }

    fn ask(&mut self, what: Asked) -> ReplyTo {
        self.next += 1;
        self.asked.insert(ReplyTo(self.next), what);
        ReplyTo(self.next)
    }

    fn member(&self, client: usize, lag: i32) -> MemberRef {
        MemberRef {
            member_id: MemberId::from(&*self.clients[client].member_id),
            instance_id: instance_id(client),
            generation: self.clients[client].generation - lag,
        }
    }

    fn join(&mut self, client: usize, topics: u8, v9: bool) {
        let to = self.ask(Asked::Join { client });
        let mut metadata = vec![0, 0, 0, 0, 0, 1, 0, 1, b'0' + topics];
        metadata.extend((-1_i32).to_be_bytes());
        let mut entropy = [0; 16];
        entropy[..8].copy_from_slice(&self.next.to_le_bytes());
        self.step(Event::Join(Box::new(JoinGroup {
            to,
            group: group(),
            member_id: MemberId::from(&*self.clients[client].member_id),
            instance_id: instance_id(client),
            client_id: Arc::from("c"),
            client_host: Arc::from("h"),
            protocol_type: Arc::from("consumer"),
            protocols: vec![Protocol { name: Arc::from("range"), metadata: Bytes::from(metadata) }],
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            must_know_member_id: client != 2,
            can_skip_assignment: v9,
            entropy,
        })));
    }

    fn sync(&mut self, client: usize) {
        let member = self.member(client, 0);
        let to = self.ask(Asked::Sync { generation: member.generation });
        let assignments = self.clients[client]
            .members
            .iter()
            .map(|id| (id.clone(), Bytes::from(format!("{}@{}", id.0, member.generation))))
            .collect();
        self.step(Event::Sync(SyncGroup {
            to,
            group: group(),
            member,
            protocol_type: None,
            protocol_name: Some(Arc::from("range")),
            assignments,
        }));
    }

    fn leave(&mut self, member: LeavingMember) {
        let to = self.ask(Asked::Other);
        self.step(Event::Leave(LeaveGroup { to, group: group(), members: vec![member] }));
    }

    /// GROUPS-4: a commit is taken exactly if the group as described allows it.
    fn commit(&mut self, who: Option<(usize, i32)>, topic: u8) {
        let member = match who {
            Some((client, lag)) => self.member(client, lag),
            None => MemberRef { member_id: MemberId::from(""), instance_id: None, generation: -1 },
        };
        let description = self.shard.describe(&group());
        let legal = match &description {
            None => member.generation < 0,
            Some(group) if group.state == State::Empty => member.generation < 0,
            Some(group) => {
                let is_member = group.members.iter().any(|described| {
                    described.member_id == member.member_id
                        && (member.instance_id.is_none() || described.instance_id == member.instance_id)
                });
                let state = matches!(group.state, State::PreparingRebalance | State::Stable);
                is_member && state && member.generation == group.generation
            }
        };
        let to = self.ask(Asked::Other);
        let offset = i64::try_from(self.next).unwrap();
        let topic = topic.to_string();
        let effects = self.step(Event::CommitOffsets(CommitOffsets {
            to,
            group: group(),
            member: member.clone(),
            partitions: vec![CommitPartition {
                partition: TopicPartition { topic: Arc::from(&*topic), partition: 0 },
                topic_id: TopicId::ZERO,
                offset: Offset(offset),
                leader_epoch: None,
                metadata: Arc::from(""),
            }],
            retention: None,
            group_id_not_found: true,
        }));
        let Some(Effect::Reply { reply: Reply::CommitOffsets(outcome), .. }) = effects.last() else {
            panic!("{effects:?}");
        };
        assert_eq!(outcome.is_ok(), legal, "{member:?} {description:?} {outcome:?}");
        if legal {
            self.seen.note("commit");
            self.offsets.insert(topic, offset);
        }
    }

    fn delete_offset(&mut self, topic: u8) {
        let to = self.ask(Asked::Other);
        let topic = topic.to_string();
        let partitions = vec![TopicPartition { topic: Arc::from(&*topic), partition: 0 }];
        let effects = self.step(Event::DeleteOffsets(DeleteOffsets { to, group: group(), partitions }));
        let Some(Effect::Reply { reply: Reply::DeleteOffsets(outcome), .. }) = effects.last() else {
            panic!("{effects:?}");
        };
        if outcome.as_ref().is_ok_and(|each| each[0].is_ok()) {
            self.offsets.remove(&topic);
        }
    }

    fn delete_group(&mut self) {
        let to = self.ask(Asked::Other);
        let effects = self.step(Event::DeleteGroup { to, group: group() });
        if matches!(effects.last(), Some(Effect::Reply { reply: Reply::DeleteGroup(Ok(())), .. })) {
            self.seen.note("group deleted");
            self.offsets.clear();
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now.monotonic + span;
        let mut ticks = 0;
        while let Some(at) = self.shard.next_deadline().filter(|at| *at <= end) {
            self.now.monotonic = at.max(self.now.monotonic);
            self.step(Event::Tick);
            ticks += 1;
            assert!(ticks < 10_000, "the timers never rest");
        }
        self.now.monotonic = end;
    }

    fn restart(&mut self, from_snapshot: bool) {
        if self.shard.describe(&group()).is_some_and(|group| {
            matches!(group.state, State::PreparingRebalance | State::CompletingRebalance)
        }) {
            self.seen.note("restart in a rebalance");
        }
        let snapshot = self.shard.snapshot();
        if from_snapshot {
            self.log.clone_from(&snapshot);
        }
        // Whoever waited has lost its connection.
        self.asked.clear();
        self.shard = Shard::new(self.config.clone());
        for record in &self.log {
            self.shard.restore(Record::decode(&record.encode()).unwrap(), self.now);
        }
        assert_eq!(self.shard.snapshot(), snapshot, "GROUPS-5: the snapshot is what the records say");
        let effects = self.shard.loaded(self.now);
        self.carry_out(&effects);
        // The leader of an undone generation may be another's leader's id again; the numbers still only rise.
        self.leaders.clear();
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.shard.step(event, self.now);
        self.carry_out(&effects);
        if let Some(description) = self.shard.describe(&group()) {
            self.seen.note(description.state.name());
        } else {
            // A group of the same name begins anew.
            self.leaders.clear();
            self.newest_generation = 0;
        }
        effects
    }

    fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.log.push(record.clone()),
                Effect::Reply { to, reply } => {
                    let asked = self.asked.remove(to);
                    let asked = asked.unwrap_or_else(|| panic!("GROUPS-1: nobody waits as {to:?}"));
                    self.hear(asked, reply);
                }
            }
        }
    }

    fn hear(&mut self, asked: Asked, reply: &Reply) {
        match (asked, reply) {
            (Asked::Join { client }, Reply::Join(Ok(joined))) => self.hear_joined(client, joined),
            (Asked::Join { client }, Reply::Join(Err(refused))) => {
                self.note_error(refused.error);
                match refused.error {
                    GroupError::MemberIdRequired => {
                        self.clients[client].member_id = refused.member_id.0.to_string();
                    }
                    GroupError::UnknownMemberId | GroupError::FencedInstanceId => {
                        self.clients[client].member_id.clear();
                    }
                    _ => {}
                }
            }
            (Asked::Sync { generation }, Reply::Sync(Ok(synced))) => {
                self.seen.note("assignment");
                // What it gets was made for its generation. A static member keeps what its former self had.
                let text = String::from_utf8(synced.assignment.to_vec()).unwrap();
                assert!(
                    text.is_empty() || text.ends_with(&format!("@{generation}")),
                    "{text} in {generation}"
                );
            }
            (Asked::Sync { .. }, Reply::Sync(Err(error))) | (Asked::Other, Reply::Heartbeat(Err(error))) => {
                self.note_error(*error);
            }
            (Asked::Other, Reply::Join(_) | Reply::Sync(_))
            | (Asked::Join { .. } | Asked::Sync { .. }, _) => {
                panic!("{asked:?} is answered with {reply:?}");
            }
            (Asked::Other, _) => {}
        }
    }

    fn hear_joined(&mut self, client: usize, joined: &Joined) {
        self.seen.note("joined");
        if joined.skip_assignment {
            self.seen.note("skip assignment");
        }
        let group = self.shard.describe(&group()).unwrap();
        assert!(
            group.members.iter().any(|member| member.member_id == joined.member_id),
            "{joined:?} is told to one who is no member"
        );
        assert_eq!(joined.generation, group.generation);
        // GROUPS-2
        assert!(joined.generation >= self.newest_generation, "{joined:?} after {}", self.newest_generation);
        if joined.generation > self.newest_generation {
            self.newest_generation = joined.generation;
        }
        // GROUPS-3: only a static leader's place is handed on within a generation.
        if joined.leader == joined.member_id && !joined.skip_assignment {
            let leader = self.leaders.entry(joined.generation).or_insert_with(|| joined.leader.clone());
            assert!(
                *leader == joined.leader || replaces(leader, &joined.leader),
                "{leader} and {} lead {}",
                joined.leader,
                joined.generation
            );
        }
        let ids: BTreeSet<&MemberId> = joined.members.iter().map(|member| &member.member_id).collect();
        assert_eq!(ids.len(), joined.members.len());
        self.clients[client] = Client {
            member_id: joined.member_id.0.to_string(),
            generation: joined.generation,
            members: joined.members.iter().map(|member| member.member_id.clone()).collect(),
        };
    }

    fn note_error(&mut self, error: GroupError) {
        self.seen.note(match error {
            GroupError::MemberIdRequired => "MemberIdRequired",
            GroupError::GroupMaxSizeReached => "GroupMaxSizeReached",
            GroupError::UnknownMemberId => "UnknownMemberId",
            GroupError::FencedInstanceId => "FencedInstanceId",
            GroupError::RebalanceInProgress => "RebalanceInProgress",
            GroupError::IllegalGeneration => "IllegalGeneration",
            _ => "other error",
        });
    }

    fn check(&self) {
        let offsets: BTreeMap<String, i64> = self
            .shard
            .offsets(&group())
            .into_iter()
            .flat_map(GroupOffsets::iter)
            .map(|(topic, _, offset)| (topic.to_string(), offset.offset.0))
            .collect();
        assert_eq!(offsets, self.offsets, "GROUPS-4");
        let Some(group) = self.shard.describe(&group()) else { return };
        assert_eq!(
            group.state == State::Empty,
            group.members.is_empty() && group.state != State::PreparingRebalance
        );
        assert!(group.members.len() <= CLIENTS + self.config.group_size_max + 100);
        let instances: Vec<_> =
            group.members.iter().filter_map(|member| member.instance_id.clone()).collect();
        let distinct: BTreeSet<_> = instances.iter().collect();
        assert_eq!(distinct.len(), instances.len(), "an instance id is held twice");
        if matches!(group.state, State::Empty | State::Stable | State::CompletingRebalance) {
            let waiting = |asked: &Asked| matches!(asked, Asked::Join { .. });
            assert!(!self.asked.values().any(waiting), "a join waits in {:?}", group.state);
        }
    }
}

fn group() -> GroupId {
    GroupId::from("g")
}

fn instance_id(client: usize) -> Option<Arc<str>> {
    (client < 2).then(|| Arc::from(format!("i{client}").as_str()))
}

/// Whether both are lives of one static member.
fn replaces(old: &MemberId, new: &MemberId) -> bool {
    old.0.starts_with('i') && old.0[..3] == new.0[..3]
}
