//! The consumer groups of the crash exploration: who commits, and what must be true of it after a crash.
//!
//! The model: for each group and partition there is a list of states, in the order in which they were asked for.
//! A crash leaves one of them, whole: never one older than any that a client was told of, be it by the answer to
//! its commit or by a fetch. A generation that was told is never given again, and an assignment that was told
//! still stands if nothing newer was begun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use duolog_broker::groups::{
    CommitOffsets, CommitPartition, CommittedOffset, DeleteOffsets, Heartbeat, JoinGroup, MemberRef, NOBODY,
    Protocol, SyncGroup, TopicPartition,
};
use duolog_broker::{Broker, Lsn, Topic};
use duolog_testkit::{SimRng, Violation};
use duolog_types::{GroupId, LeaderEpoch, MemberId, Offset, TopicId};

use super::common::wait;

/// The groups of simple consumers; the one behind them has a member.
const SIMPLE: usize = 3;

/// What is committed for a partition: one state of many, told apart by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    key: Key,
    number: u64,
    /// The offset is deleted, not committed.
    deleted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: usize,
    topic: TopicId,
    name: Arc<str>,
    partition: i32,
}

impl State {
    fn commit(&self) -> CommitPartition {
        let number = self.number as i64;
        CommitPartition {
            partition: self.key.place(),
            topic_id: self.key.topic,
            // Goes back at times, as after a reset by an administrator.
            offset: Offset(number * 37 % 1000),
            leader_epoch: (number % 3 != 0).then_some(LeaderEpoch((number % 3) as i32)),
            metadata: format!("{number} {}", "m".repeat(number as usize % 5 * 150)).into(),
        }
    }

    /// Whether `found` is this state, to the last byte of the metadata.
    fn is(&self, found: Option<&CommittedOffset>) -> bool {
        let Some(found) = found else { return self.deleted };
        let commit = self.commit();
        !self.deleted
            && (found.topic_id, found.offset, found.leader_epoch, &found.metadata)
                == (commit.topic_id, commit.offset, commit.leader_epoch, &commit.metadata)
    }
}

impl Key {
    fn place(&self) -> TopicPartition {
        TopicPartition { topic: self.name.clone(), partition: self.partition }
    }

    fn found(&self, broker: &Broker) -> (Option<CommittedOffset>, Lsn) {
        let answer = broker.groups().offsets(&group(self.group), |offsets| {
            offsets.and_then(|offsets| offsets.get(&self.name, self.partition, self.topic).cloned())
        });
        (answer.value.unwrap(), answer.lsn)
    }
}

fn group(number: usize) -> GroupId {
    GroupId(format!("group-{number}").into())
}

/// Something that was begun, or that a client was told.
#[derive(Clone, Debug)]
pub enum GroupPromise {
    Submitted(State),
    /// By the answer to a commit or a deletion, or by a fetch.
    Told(State),
    Joining {
        generation: i32,
    },
    Joined {
        generation: i32,
    },
    Assigned {
        generation: i32,
        member: MemberId,
    },
}

/// A promise that holds once its entry is durable.
type Waiting = (Lsn, GroupPromise);

/// The groups' clients.
#[derive(Default)]
pub struct GroupClients {
    states: u64,
    /// The newest state of each partition that a group has one for.
    newest: BTreeMap<Key, State>,
    /// The one member, and its generation.
    member: Option<(MemberId, i32)>,
}

impl GroupClients {
    /// Does something; `begun` is told of it first. Returns what may be told later.
    pub fn act(
        &mut self,
        rng: &SimRng,
        broker: &Broker,
        topic: &Topic,
        begun: impl Fn(GroupPromise),
    ) -> Vec<Waiting> {
        let partition = rng.index(topic.partitions().len()) as i32;
        let key =
            Key { group: rng.index(SIMPLE + 1), topic: topic.id(), name: topic.name().clone(), partition };
        match rng.below(8) {
            0 => return self.fetch(broker, &key),
            1 if key.group < SIMPLE => {
                return self.change(broker, key, true, begun);
            }
            2 => return self.join(broker, begun),
            _ if key.group == SIMPLE && self.member.is_none() => return self.join(broker, begun),
            _ => {}
        }
        self.change(broker, key, false, begun)
    }

    /// Commits an offset, or deletes it.
    fn change(
        &mut self,
        broker: &Broker,
        key: Key,
        deleted: bool,
        begun: impl Fn(GroupPromise),
    ) -> Vec<Waiting> {
        if deleted && !self.newest.contains_key(&key) {
            return Vec::new();
        }
        self.states += 1;
        let state = State { key: key.clone(), number: self.states, deleted };
        begun(GroupPromise::Submitted(state.clone()));
        let group = group(key.group);
        let answer = if deleted {
            let request = DeleteOffsets { to: NOBODY, group, partitions: vec![key.place()] };
            broker.groups().delete_offsets(request)
        } else {
            broker.groups().commit(CommitOffsets {
                to: NOBODY,
                group,
                member: self.speaker(key.group),
                partitions: vec![state.commit()],
                retention: None,
                group_id_not_found: true,
            })
        };
        let outcome = answer.value.clone();
        // A group without any offset left is no more, and says so.
        let gone = deleted && outcome.is_err() && key.found(broker).0.is_none();
        assert!(gone || outcome == Ok(vec![Ok(())]), "{state:?}: {outcome:?}");
        self.newest.insert(key, state.clone());
        vec![(answer.lsn, GroupPromise::Told(state))]
    }

    fn fetch(&self, broker: &Broker, key: &Key) -> Vec<Waiting> {
        let (found, lsn) = key.found(broker);
        let Some(newest) = self.newest.get(key) else {
            assert_eq!(found, None, "{key:?} was never committed");
            return Vec::new();
        };
        assert!(newest.is(found.as_ref()), "{newest:?}, and found is {found:?}");
        vec![(lsn, GroupPromise::Told(newest.clone()))]
    }

    fn speaker(&self, group: usize) -> MemberRef {
        let member = self.member.clone().filter(|_| group == SIMPLE);
        let (member_id, generation) = member.unwrap_or((MemberId("".into()), -1));
        MemberRef { member_id, instance_id: None, generation }
    }

    /// Joins, or joins again, and assigns.
    fn join(&mut self, broker: &Broker, begun: impl Fn(GroupPromise)) -> Vec<Waiting> {
        let (member_id, before) = self.member.clone().unwrap_or((MemberId("".into()), 0));
        begun(GroupPromise::Joining { generation: before + 1 });
        let protocol = Protocol { name: "range".into(), metadata: Bytes::from_static(b"what it reads") };
        let joined = now(
            broker,
            broker.groups().join(JoinGroup {
                to: NOBODY,
                group: group(SIMPLE),
                member_id,
                instance_id: None,
                client_id: "client".into(),
                client_host: "/127.0.0.1".into(),
                protocol_type: "consumer".into(),
                protocols: vec![protocol],
                session_timeout_ms: 1_800_000,
                rebalance_timeout_ms: 1_800_000,
                must_know_member_id: false,
                can_skip_assignment: false,
                entropy: [0; 16],
            }),
        );
        let told = joined.value.unwrap();
        let (generation, member) = (told.generation, told.member_id);
        assert_eq!(generation, before + 1);
        self.member = Some((member.clone(), generation));
        let synced = now(
            broker,
            broker.groups().sync(SyncGroup {
                to: NOBODY,
                group: group(SIMPLE),
                member: self.speaker(SIMPLE),
                protocol_type: None,
                protocol_name: None,
                assignments: vec![(member.clone(), assignment(generation))],
            }),
        );
        assert_eq!(synced.value.unwrap().assignment, assignment(generation));
        vec![
            (joined.lsn, GroupPromise::Joined { generation }),
            (synced.lsn, GroupPromise::Assigned { generation, member }),
        ]
    }
}

/// The answer to a request that needs no other member; what is due now is done first.
fn now<T>(broker: &Broker, request: impl Future<Output = T>) -> T {
    let mut request = std::pin::pin!(request);
    let answer = wait(std::future::poll_fn(|context| {
        let first = request.as_mut().poll(context);
        if first.is_ready() {
            return first.map(Some);
        }
        broker.groups().tick();
        match request.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        }
    }));
    answer.expect("the only member waits for nobody")
}

fn assignment(generation: i32) -> Bytes {
    format!("assignment of generation {generation}").into()
}

/// What was promised about groups.
#[derive(Default)]
pub struct GroupModel {
    /// Oldest first, and the place of the newest that was told.
    states: BTreeMap<Key, (Vec<State>, Option<usize>)>,
    joining: i32,
    joined: i32,
    assigned: Option<(MemberId, i32)>,
}

impl GroupModel {
    pub fn note(&mut self, promise: GroupPromise) {
        match promise {
            GroupPromise::Submitted(state) => {
                self.states.entry(state.key.clone()).or_default().0.push(state);
            }
            GroupPromise::Told(state) => {
                let (states, told) = self.states.get_mut(&state.key).unwrap();
                *told = states.iter().position(|known| *known == state).max(*told);
            }
            GroupPromise::Joining { generation } => self.joining = generation.max(self.joining),
            GroupPromise::Joined { generation } => self.joined = generation.max(self.joined),
            GroupPromise::Assigned { generation, member } => self.assigned = Some((member, generation)),
        }
    }

    pub fn check(
        &self,
        broker: &Broker,
        deleting: &BTreeSet<TopicId>,
        deleted: &BTreeSet<TopicId>,
    ) -> Result<(), Violation> {
        for (key, (states, told)) in &self.states {
            let (found, lsn) = key.found(broker);
            if lsn > broker.durable_lsn() && !deleting.contains(&key.topic) {
                return Err(Violation::new("undurable-offset", format!("{key:?} waits for {lsn}")));
            }
            if found.is_none() && deleting.contains(&key.topic) {
                continue;
            }
            if deleted.contains(&key.topic) {
                return Err(Violation::new("undead-offset", format!("{key:?}: {found:?}")));
            }
            let is_state = |state: &State| state.is(found.as_ref());
            let is_unborn = found.is_none() && told.is_none();
            if !is_unborn && !states[told.unwrap_or(0)..].iter().any(is_state) {
                let is_old = found.is_none() || states.iter().any(is_state);
                let name = if is_old { "lost-commit" } else { "invented-commit" };
                let told = told.map(|told| &states[told]);
                return Err(Violation::new(
                    name,
                    format!("{key:?}: told was {told:?}, found is {found:.200?}"),
                ));
            }
        }
        self.check_member(broker)
    }

    fn check_member(&self, broker: &Broker) -> Result<(), Violation> {
        let described = broker.groups().describe(&group(SIMPLE)).value.unwrap();
        let generation = described.as_ref().map_or(0, |group| group.generation);
        // Members that didn't survive are gone by a generation of the recovery's own.
        if generation < self.joined || generation > self.joining + 1 {
            let detail = format!("{generation}, told was {}, begun {}", self.joined, self.joining);
            return Err(Violation::new("generation", detail));
        }
        let Some((member_id, assigned)) = self.assigned.clone().filter(|(_, at)| *at == self.joining) else {
            return Ok(());
        };
        let members = described.map(|group| group.members).unwrap_or_default();
        let member = members.iter().find(|member| member.member_id == member_id);
        if member.is_none_or(|member| member.assignment != assignment(assigned)) {
            let detail = format!("{member_id:?} of generation {assigned}: {members:?}");
            return Err(Violation::new("lost-assignment", detail));
        }
        let member = MemberRef { member_id, instance_id: None, generation: assigned };
        let beat = broker.groups().heartbeat(Heartbeat { to: NOBODY, group: group(SIMPLE), member }).value;
        match beat {
            Ok(()) => Ok(()),
            Err(error) => Err(Violation::new("lost-member", format!("its heartbeat: {error:?}"))),
        }
    }
}

/// Everything about groups that can be seen.
pub fn contents(broker: &Broker) -> String {
    (0..=SIMPLE)
        .map(|number| {
            let offsets = broker.groups().offsets(&group(number), |offsets| offsets.cloned()).value;
            format!("{offsets:?} {:?}\n", broker.groups().describe(&group(number)).value)
        })
        .collect()
}
