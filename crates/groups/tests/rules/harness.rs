//! A host in miniature: carries out effects, owns the clock, counts the answers to each request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duolog_groups::*;
use duolog_types::{GroupId, LeaderEpoch, MemberId, Offset, TimestampMs, TopicId};

pub const GROUP: &str = "g";
pub const SESSION: Duration = Duration::from_secs(10);
pub const REBALANCE: Duration = Duration::from_secs(60);

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a client says when it joins.
#[derive(Clone)]
pub struct Client {
    pub member_id: MemberId,
    pub instance_id: Option<Arc<str>>,
    pub protocol_type: &'static str,
    pub protocols: Vec<(&'static str, Bytes)>,
    pub must_know_member_id: bool,
    pub can_skip_assignment: bool,
    pub session: Duration,
    pub rebalance: Duration,
}

pub fn client() -> Client {
    Client {
        member_id: MemberId::from(""),
        instance_id: None,
        protocol_type: "consumer",
        protocols: vec![("range", subscription(&["t"]))],
        must_know_member_id: false,
        can_skip_assignment: true,
        session: SESSION,
        rebalance: REBALANCE,
    }
}

impl Client {
    pub fn id(mut self, id: &MemberId) -> Self {
        self.member_id = id.clone();
        self
    }

    pub fn instance(mut self, id: &str) -> Self {
        self.instance_id = Some(Arc::from(id));
        self
    }

    pub fn protocols(mut self, names: &[&'static str]) -> Self {
        self.protocols = names.iter().map(|name| (*name, subscription(&["t"]))).collect();
        self
    }

    pub fn topics(mut self, topics: &[&str]) -> Self {
        self.protocols = vec![("range", subscription(topics))];
        self
    }
}

/// ConsumerProtocolSubscription version 0.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    Bytes::from(bytes)
}

pub struct Host {
    pub shard: Shard,
    pub now: Now,
    pub config: Config,
    /// What was persisted, in its byte form.
    pub log: Vec<Bytes>,
    answers: BTreeMap<ReplyTo, Reply>,
    asked: u64,
}

impl Host {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self {
            shard: Shard::new(config.clone()),
            now: Now { monotonic: secs(1000), wall: TimestampMs(1_000_000) },
            config,
            log: Vec::new(),
            answers: BTreeMap::new(),
            asked: 0,
        }
    }

    pub fn token(&mut self) -> ReplyTo {
        self.asked += 1;
        ReplyTo(self.asked)
    }

    pub fn step(&mut self, event: Event) {
        let effects = self.shard.step(event, self.now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.log.push(record.encode()),
                Effect::Reply { to, reply } => {
                    assert!(to.0 <= self.asked, "nobody asked {to:?}");
                    let earlier = self.answers.insert(to, reply);
                    assert!(earlier.is_none(), "{to:?} was answered twice");
                }
            }
        }
    }

    /// Lets time pass, from one deadline to the next.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now.monotonic + span;
        while let Some(at) = self.shard.next_deadline().filter(|at| *at <= end) {
            self.set_monotonic(at.max(self.now.monotonic));
            self.step(Event::Tick);
        }
        self.set_monotonic(end);
    }

    fn set_monotonic(&mut self, at: Duration) {
        self.now.wall.0 += (at - self.now.monotonic).as_millis() as i64;
        self.now.monotonic = at;
    }

    /// Stops without a word and starts again from what was persisted.
    pub fn restart(&mut self) {
        let mut shard = Shard::new(self.config.clone());
        for record in &self.log {
            shard.restore(Record::decode(record).unwrap(), self.now);
        }
        self.shard = shard;
        let effects = self.shard.loaded(self.now);
        self.carry_out(effects);
    }

    pub fn waits(&self, to: ReplyTo) -> bool {
        !self.answers.contains_key(&to)
    }

    pub fn answer(&self, to: ReplyTo) -> &Reply {
        self.answers.get(&to).unwrap_or_else(|| panic!("{to:?} still waits"))
    }

    pub fn join(&mut self, client: &Client) -> ReplyTo {
        let to = self.token();
        let mut entropy = [0; 16];
        entropy[..8].copy_from_slice(&to.0.to_le_bytes());
        let protocols = client
            .protocols
            .iter()
            .map(|(name, metadata)| Protocol { name: Arc::from(*name), metadata: metadata.clone() })
            .collect();
        self.step(Event::Join(Box::new(JoinGroup {
            to,
            group: GroupId::from(GROUP),
            member_id: client.member_id.clone(),
            instance_id: client.instance_id.clone(),
            client_id: Arc::from("client"),
            client_host: Arc::from("/127.0.0.1"),
            protocol_type: Arc::from(client.protocol_type),
            protocols,
            session_timeout_ms: client.session.as_millis() as i32,
            rebalance_timeout_ms: client.rebalance.as_millis() as i32,
            must_know_member_id: client.must_know_member_id,
            can_skip_assignment: client.can_skip_assignment,
            entropy,
        })));
        to
    }

    pub fn joined(&self, to: ReplyTo) -> Joined {
        match self.answer(to) {
            Reply::Join(Ok(joined)) => (**joined).clone(),
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn refused(&self, to: ReplyTo) -> GroupError {
        match self.answer(to) {
            Reply::Join(Err(refused)) => refused.error,
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn sync(&mut self, member: MemberRef, assignments: &[(&MemberId, &'static str)]) -> ReplyTo {
        let to = self.token();
        self.step(Event::Sync(SyncGroup {
            to,
            group: GroupId::from(GROUP),
            member,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments
                .iter()
                .map(|(id, assignment)| ((*id).clone(), Bytes::from_static(assignment.as_bytes())))
                .collect(),
        }));
        to
    }

    pub fn synced(&self, to: ReplyTo) -> Result<Synced, GroupError> {
        match self.answer(to) {
            Reply::Sync(outcome) => outcome.clone(),
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn heartbeat(&mut self, member: MemberRef) -> Result<(), GroupError> {
        let to = self.token();
        self.step(Event::Heartbeat(Heartbeat { to, group: GroupId::from(GROUP), member }));
        match self.answer(to) {
            Reply::Heartbeat(outcome) => *outcome,
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<Result<(), GroupError>> {
        let to = self.token();
        let members = members
            .iter()
            .map(|(id, instance)| LeavingMember {
                member_id: MemberId::from(*id),
                instance_id: instance.map(Arc::from),
            })
            .collect();
        self.step(Event::Leave(LeaveGroup { to, group: GroupId::from(GROUP), members }));
        match self.answer(to) {
            Reply::Leave(Ok(left)) => left.iter().map(|member| member.outcome).collect(),
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn commit(&mut self, member: MemberRef, topic: &str, offset: i64) -> Result<(), GroupError> {
        self.commit_with(member, topic, offset, |_| {})
    }

    pub fn commit_with(
        &mut self,
        member: MemberRef,
        topic: &str,
        offset: i64,
        change: impl FnOnce(&mut CommitOffsets),
    ) -> Result<(), GroupError> {
        let to = self.token();
        let mut request = CommitOffsets {
            to,
            group: GroupId::from(GROUP),
            member,
            partitions: vec![CommitPartition {
                partition: partition(topic),
                topic_id: TopicId::ZERO,
                offset: Offset(offset),
                leader_epoch: Some(LeaderEpoch(0)),
                metadata: Arc::from("note"),
            }],
            retention: None,
            group_id_not_found: true,
        };
        change(&mut request);
        self.step(Event::CommitOffsets(request));
        match self.answer(to) {
            Reply::CommitOffsets(outcome) => outcome.clone().and_then(|each| each[0]),
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn delete_offsets(&mut self, topics: &[&str]) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let to = self.token();
        let partitions = topics.iter().map(|topic| partition(topic)).collect();
        self.step(Event::DeleteOffsets(DeleteOffsets { to, group: GroupId::from(GROUP), partitions }));
        match self.answer(to) {
            Reply::DeleteOffsets(outcome) => outcome.clone(),
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn delete_group(&mut self) -> Result<(), GroupError> {
        let to = self.token();
        self.step(Event::DeleteGroup { to, group: GroupId::from(GROUP) });
        match self.answer(to) {
            Reply::DeleteGroup(outcome) => *outcome,
            other => panic!("{to:?}: {other:?}"),
        }
    }

    pub fn committed(&self, topic: &str) -> Option<i64> {
        let offsets = self.shard.offsets(&GroupId::from(GROUP))?;
        offsets.get(topic, 0, TopicId::ZERO).map(|offset| offset.offset.0)
    }

    pub fn describe(&self) -> Option<GroupDescription> {
        self.shard.describe(&GroupId::from(GROUP))
    }

    pub fn state(&self) -> State {
        self.describe().map_or(State::Dead, |group| group.state)
    }

    pub fn generation(&self) -> i32 {
        self.describe().unwrap().generation
    }

    /// Joins all clients to an empty group and lets the first rebalance end.
    pub fn form(&mut self, clients: &[Client]) -> Vec<Joined> {
        let tokens: Vec<ReplyTo> = clients.iter().map(|client| self.join(client)).collect();
        for _ in 0..90 {
            if tokens.iter().any(|to| self.waits(*to)) {
                self.pass(secs(1));
            }
        }
        tokens.into_iter().map(|to| self.joined(to)).collect()
    }

    /// Forms a group and assigns `a0`, `a1`, … in the order of the clients. The leader comes first.
    pub fn stable(&mut self, clients: &[Client]) -> Vec<MemberRef> {
        let mut joined = self.form(clients);
        const NAMES: [&str; 4] = ["a0", "a1", "a2", "a3"];
        let assignments: Vec<(MemberId, &str)> =
            joined.iter().zip(NAMES).map(|(member, name)| (member.member_id.clone(), name)).collect();
        let assignments: Vec<(&MemberId, &'static str)> =
            assignments.iter().map(|(id, name)| (id, *name)).collect();
        joined.sort_by_key(|member| member.member_id != member.leader);
        let tokens: Vec<ReplyTo> =
            joined.iter().map(|member| self.sync(in_generation(member), &assignments)).collect();
        for to in tokens {
            self.synced(to).unwrap();
        }
        assert_eq!(self.state(), State::Stable);
        joined.iter().map(in_generation).collect()
    }
}

pub fn partition(topic: &str) -> TopicPartition {
    TopicPartition { topic: Arc::from(topic), partition: 0 }
}

/// The member in the generation that it joined.
pub fn in_generation(joined: &Joined) -> MemberRef {
    MemberRef { member_id: joined.member_id.clone(), instance_id: None, generation: joined.generation }
}

/// Somebody who claims no membership.
pub fn outsider() -> MemberRef {
    MemberRef { member_id: MemberId::from(""), instance_id: None, generation: -1 }
}
