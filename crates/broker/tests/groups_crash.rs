//! Every legal state of the disk after a crash, at every operation of a workload of consumer groups.
//!
//! The model: what a client was told is true after recovery. An offset that was told (to who committed it, or to
//! who asked) is there or a newer one, with the note of its own commit; what was told to be deleted is gone; a
//! member that has its assignment is still a member; a generation's number is never given out again.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::groups::*;
use common::*;
use duolog_broker::catalog::NewTopic;
use duolog_broker::groups::{Joined, LeaveGroup, LeavingMember, MemberRef, NOBODY};
use duolog_broker::{Broker, Lsn, Topic};
use duolog_testkit::{Explorer, Run, SimDisk, SimEnv, SimRng, Violation};
use duolog_types::TopicId;

/// Groups whose commits come from outside, and groups with one member.
const SIMPLE: [&str; 2] = ["simple-1", "simple-2"];
const MANAGED: [&str; 2] = ["managed-1", "managed-2"];

type Group = &'static str;

/// Something that was begun, or that a client was told.
#[derive(Clone, Debug)]
enum Promise {
    Committing {
        group: Group,
        topic: TopicId,
        offset: i64,
    },
    Committed {
        group: Group,
        topic: TopicId,
        offset: i64,
    },
    /// What was committed before `offset` may go.
    Deleting {
        group: Group,
        offset: i64,
    },
    /// It is gone.
    Deleted {
        group: Group,
        offset: i64,
    },
    TopicDeleting(TopicId),
    TopicDeleted(TopicId),
    /// The member's place may change from here on, for the `nth` time.
    Moving {
        group: Group,
        nth: usize,
    },
    Generation {
        group: Group,
        generation: i32,
    },
    Synced {
        group: Group,
        nth: usize,
        member: MemberRef,
    },
}

/// The workload's state, as its clients know it.
struct Clients<'a> {
    run: &'a Run<Promise>,
    rng: SimRng,
    broker: Arc<Broker>,
    topic: Arc<Topic>,
    /// Offsets rise over all groups and topics, so that each commit is one of a kind.
    next_offset: i64,
    members: BTreeMap<Group, Joined>,
    moves: usize,
    /// What is told once its entry is durable.
    waiting: Vec<(Lsn, Promise)>,
}

impl Clients<'_> {
    fn commit(&mut self, group: Group) {
        let member = self.members.get(group).map_or_else(outsider, as_member);
        let (offset, topic) = (self.next_offset, self.topic.id());
        self.next_offset += 1;
        self.run.mark(Promise::Committing { group, topic, offset });
        let request = commit_request(group, member, &self.topic, offset, &note(offset));
        let answer = self.broker.groups().commit(request);
        // Refused while an assignment is awaited.
        if answer.value == Ok(vec![Ok(())]) {
            self.waiting.push((answer.lsn, Promise::Committed { group, topic, offset }));
        }
    }

    /// An answer reveals what it shows, whoever committed it.
    fn read(&mut self, group: Group) {
        let (found, lsn) = committed(&self.broker, group, &self.topic);
        if let Some((offset, _)) = found {
            self.waiting.push((lsn, Promise::Committed { group, topic: self.topic.id(), offset }));
        }
    }

    fn delete(&mut self, group: Group) {
        self.run.mark(Promise::Deleting { group, offset: self.next_offset });
        let answer = self.broker.groups().delete(&common::groups::group(group));
        if answer.value.is_ok() {
            self.waiting.push((answer.lsn, Promise::Deleted { group, offset: self.next_offset }));
        }
    }

    fn renew_topic(&mut self) {
        let id = self.topic.id();
        self.run.mark(Promise::TopicDeleting(id));
        let lsn = self.broker.catalog().delete(id).unwrap();
        self.waiting.push((lsn, Promise::TopicDeleted(id)));
        self.topic = make_topic(&self.broker);
    }

    /// The group's one member joins, or joins again, and takes everything.
    fn join(&mut self, group: Group) {
        self.moves += 1;
        self.run.mark(Promise::Moving { group, nth: self.moves });
        let known = self.members.get(group).map_or_else(String::new, |joined| joined.member_id.0.to_string());
        let Some(joined) = join_alone(&self.broker, group, &known) else { return };
        let lsn = self.broker.groups().describe(&common::groups::group(group)).lsn;
        self.waiting.push((lsn, Promise::Generation { group, generation: joined.generation }));
        // Now and then the assignment never comes.
        if !self.rng.one_in(4) {
            let request = sync_request(group, &joined, &[(&joined.member_id, "all")]);
            let synced = wait(self.broker.groups().sync(request));
            synced.value.unwrap();
            self.waiting
                .push((synced.lsn, Promise::Synced { group, nth: self.moves, member: as_member(&joined) }));
        }
        self.members.insert(group, joined);
    }

    fn leave(&mut self, group: Group) {
        let Some(joined) = self.members.remove(group) else { return };
        self.moves += 1;
        self.run.mark(Promise::Moving { group, nth: self.moves });
        let members = vec![LeavingMember { member_id: joined.member_id, instance_id: None }];
        let request = LeaveGroup { to: NOBODY, group: common::groups::group(group), members };
        assert_eq!(self.broker.groups().leave(request).value.unwrap()[0].outcome, Ok(()));
    }

    /// Tells the clients what may be told now.
    fn tell(&mut self) {
        let durable = self.broker.durable_lsn();
        let (told, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(lsn, _)| *lsn <= durable);
        self.waiting = waiting;
        told.into_iter().for_each(|(_, promise)| self.run.mark(promise));
    }
}

fn note(offset: i64) -> String {
    format!("{offset}{}", "x".repeat(offset as usize % 11 * 60))
}

/// Joins a group that nobody else is in.
fn join_alone(broker: &Broker, group: Group, member: &str) -> Option<Joined> {
    let mut joining = join(broker, join_request(group, member, None));
    joining.look().or_else(|| {
        broker.groups().tick();
        joining.look()
    })
}

fn make_topic(broker: &Broker) -> Arc<Topic> {
    let new = NewTopic { name: "orders".to_owned(), ..NewTopic::default() };
    broker.catalog().create(&new).unwrap().topic.unwrap()
}

fn workload(run: &Run<Promise>) {
    let rng = run.rng();
    let sim = SimEnv::with_disk(run.disk().clone(), rng.below(1 << 40));
    let broker = open_eager(sim.env());
    let mut clients = Clients {
        run,
        rng: run.rng(),
        broker: broker.clone(),
        topic: make_topic(&broker),
        next_offset: 1,
        members: BTreeMap::new(),
        moves: 0,
        waiting: Vec::new(),
    };
    for _ in 0..80 {
        sim.clock.advance(Duration::from_millis(rng.below(20)));
        let (simple, managed) = (SIMPLE[rng.index(2)], MANAGED[rng.index(2)]);
        match rng.below(20) {
            0 => broker.checkpoint().unwrap(),
            1 => clients.renew_topic(),
            2 => clients.delete(simple),
            3..6 => clients.join(managed),
            6 => clients.leave(managed),
            7..10 => clients.read(if rng.one_in(2) { simple } else { managed }),
            10..15 => clients.commit(managed),
            _ => clients.commit(simple),
        }
        clients.tell();
        if rng.one_in(3) {
            settle(&broker);
            clients.tell();
        }
    }
    if rng.one_in(3) {
        let _ = broker.close();
    }
}

/// What was promised, by what it is about.
#[derive(Default)]
struct Model {
    begun: BTreeMap<(Group, TopicId), Vec<i64>>,
    /// The newest offset that was told, and that nothing since may have taken away.
    told: BTreeMap<(Group, TopicId), i64>,
    deleting: BTreeMap<Group, i64>,
    deleting_topics: Vec<TopicId>,
    /// Only commits from here on can be there.
    deleted: BTreeMap<Group, i64>,
    deleted_topics: Vec<TopicId>,
    generations: BTreeMap<Group, i32>,
    moved: BTreeMap<Group, usize>,
    synced: BTreeMap<Group, MemberRef>,
}

impl Model {
    fn of(promises: &[Promise]) -> Self {
        let mut model = Self::default();
        for promise in promises.iter().cloned() {
            match promise {
                Promise::Committing { group, topic, offset } => {
                    model.begun.entry((group, topic)).or_default().push(offset);
                }
                // Told late, it may be about what went meanwhile.
                Promise::Committed { group, topic, offset } => {
                    let went = model.deleting.get(group).is_some_and(|from| offset < *from)
                        || model.deleting_topics.contains(&topic);
                    if !went {
                        let newest = model.told.entry((group, topic)).or_default();
                        *newest = offset.max(*newest);
                    }
                }
                Promise::Deleting { group, offset } => {
                    model.deleting.insert(group, offset);
                    model.told.retain(|(of, _), _| *of != group);
                }
                Promise::Deleted { group, offset } => _ = model.deleted.insert(group, offset),
                Promise::TopicDeleting(id) => {
                    model.deleting_topics.push(id);
                    model.told.retain(|(_, topic), _| *topic != id);
                }
                Promise::TopicDeleted(id) => model.deleted_topics.push(id),
                Promise::Moving { group, nth } => {
                    model.moved.insert(group, nth);
                    model.synced.remove(group);
                }
                Promise::Generation { group, generation } => {
                    let newest = model.generations.entry(group).or_default();
                    *newest = generation.max(*newest);
                }
                Promise::Synced { group, nth, member } if model.moved.get(group) == Some(&nth) => {
                    model.synced.insert(group, member);
                }
                Promise::Synced { .. } => {}
            }
        }
        model
    }

    fn check(&self, sim: &SimEnv, broker: &Broker) -> Result<(), Violation> {
        for group in SIMPLE.into_iter().chain(MANAGED) {
            self.check_offsets(broker, group)?;
        }
        for (group, member) in &self.synced {
            if let Err(error) = heartbeat(broker, group, member.clone()).value {
                return Err(Violation::new("member-forgotten", format!("{group} {member:?}: {error}")));
            }
        }
        // The members of old are gone; whoever comes next gets a number that nobody has heard of.
        sim.clock.advance(Duration::from_secs(61));
        broker.groups().tick();
        sim.clock.advance(Duration::from_secs(61));
        broker.groups().tick();
        for (group, heard) in &self.generations {
            let Some(joined) = join_alone(broker, group, "") else {
                return Err(Violation::new("join-hangs", (*group).to_owned()));
            };
            if joined.generation <= *heard {
                let detail = format!("{group}: {} was heard of, and {} given out", heard, joined.generation);
                return Err(Violation::new("generation-reused", detail));
            }
        }
        Ok(())
    }

    fn check_offsets(&self, broker: &Broker, group: Group) -> Result<(), Violation> {
        let found = broker.groups().offsets(&common::groups::group(group), |offsets| {
            let all = offsets.into_iter().flat_map(|offsets| offsets.iter());
            all.map(|(_, _, offset)| (offset.topic_id, (offset.offset.0, offset.metadata.to_string())))
                .collect::<BTreeMap<_, _>>()
        });
        let found = found.value.unwrap();
        for (topic, (offset, text)) in &found {
            let begun = self.begun.get(&(group, *topic)).is_some_and(|begun| begun.contains(offset));
            if !begun || *text != note(*offset) {
                return Err(Violation::new("offset-invented", format!("{group}: {offset} {text}")));
            }
            if self.deleted_topics.contains(topic)
                || self.deleted.get(group).is_some_and(|from| offset < from)
            {
                return Err(Violation::new("undead-offset", format!("{group}: {offset} of {topic}")));
            }
        }
        for ((_, topic), told) in self.told.iter().filter(|((of, _), _)| *of == group) {
            match found.get(topic) {
                Some((offset, _)) if offset >= told => {}
                other => {
                    let detail = format!("{group}: {told} was told, {other:?} is there");
                    return Err(Violation::new("offset-lost", detail));
                }
            }
        }
        Ok(())
    }
}

/// Everything that can be seen.
fn contents(broker: &Broker) -> String {
    let groups = broker.groups();
    let mut all = String::new();
    for listed in groups.list().value.unwrap() {
        let offsets = groups.offsets(&listed.group, |offsets| format!("{offsets:?}"));
        all += &format!("{:?} {}\n", groups.describe(&listed.group).value.unwrap(), offsets.value.unwrap());
    }
    all
}

fn check(run: &Run<Promise>, promises: &[Promise]) -> Result<(), Violation> {
    let sim = SimEnv::with_disk(run.disk().clone(), 99);
    let broker = open_eager(sim.env());
    let before = contents(&broker);
    // Nothing is committed here, so the disk keeps what recovery left.
    let again = SimEnv::with_disk(SimDisk::from_image(run.disk().power_cut()), 100);
    let after = contents(&open_eager(again.env()));
    if before != after {
        let detail = format!("{before:.600}\n{after:.600}");
        return Err(Violation::new("recovery-not-idempotent", detail));
    }
    Model::of(promises).check(&sim, &broker)
}

#[test]
fn no_crash_breaks_what_a_group_was_told() {
    let mut explorer =
        Explorer::new(1, "cargo test -p duolog-broker --test groups_crash").with_replay_from_env().unwrap();
    explorer.images = 8_000;
    explorer.time = Some(Duration::from_secs(30));
    let report = explorer.run(workload, check);
    println!("{report:?}");
    report.assert_clean();
}
