//! Consumer groups over the log: what waits for whom, what a restart and a power cut leave, what time does.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::groups::*;
use common::*;
use duolog_broker::groups::{
    DeleteOffsets, GroupError, Joined, LeaveGroup, LeavingMember, MemberRef, NOBODY, State, TopicPartition,
};
use duolog_broker::{Broker, BrokerConfig, Lsn};
use duolog_testkit::{SimDisk, SimEnv};

/// A stable group of two: the leader with "a", the other with "b".
fn group_of_two(broker: &Broker, id: &str) -> (Joined, Joined) {
    let mut first = join(broker, join_request(id, "", None));
    let mut second = join(broker, join_request(id, "", None));
    assert!(first.look().is_none() && second.look().is_none(), "both wait for the rebalance");
    broker.groups().tick();
    let (first, second) = (first.look().unwrap(), second.look().unwrap());
    let (leader, follower) = if first.leader == first.member_id { (first, second) } else { (second, first) };
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    let groups = broker.groups().clone();
    let request = sync_request(id, &follower, &[]);
    let mut waiting = Waits::on(async move { groups.sync(request).await });
    assert!(waiting.look().is_none(), "the leader hasn't assigned");
    let assigned = sync_request(id, &leader, &[(&leader.member_id, "a"), (&follower.member_id, "b")]);
    let answer = wait(broker.groups().sync(assigned));
    assert_eq!(answer.value.unwrap().assignment, "a");
    let told = waiting.look().unwrap();
    assert_eq!(told.value.unwrap().assignment, "b");
    assert_eq!(told.lsn, answer.lsn, "both reveal the same entry");
    assert!(told.lsn > broker.durable_lsn());
    settle(broker);
    assert_eq!(broker.groups().parked(), 0);
    (leader, follower)
}

#[test]
fn members_meet_get_their_assignments_and_live_by_heartbeats() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let (leader, follower) = group_of_two(&broker, "g");
    assert!(leader.member_id.0.starts_with("test-") && leader.member_id.0.len() == 5 + 36);
    assert_ne!(leader.member_id, follower.member_id);
    let described = broker.groups().describe(&group("g")).value.unwrap().unwrap();
    assert_eq!((described.state, described.members.len()), (State::Stable, 2));

    // One goes silent; the other hears of it by the timer's work.
    for _ in 0..3 {
        sim.clock.advance(Duration::from_secs(4));
        let alive = heartbeat(&broker, "g", as_member(&leader));
        assert_eq!(alive.lsn, Lsn::ZERO, "a sign of life waits for no sync");
        broker.groups().tick();
    }
    assert_eq!(
        heartbeat(&broker, "g", as_member(&leader)).value,
        Err(GroupError::RebalanceInProgress),
        "the silent one is gone"
    );
    let left = broker.groups().leave(LeaveGroup {
        to: NOBODY,
        group: group("g"),
        members: vec![LeavingMember { member_id: leader.member_id.clone(), instance_id: None }],
    });
    assert_eq!(left.value.unwrap()[0].outcome, Ok(()));
    assert!(left.lsn > Lsn::ZERO);
    let listed = broker.groups().list().value.unwrap();
    assert_eq!((listed.len(), listed[0].state), (1, State::Empty));
}

#[test]
fn a_commit_is_told_only_when_durable_and_is_kept_with_its_note() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let topic = create(&broker, "orders", &[]);
    let before = broker.durable_lsn();
    let answer = broker.groups().commit(commit_request("g", outsider(), &topic, 7, "where I was"));
    assert_eq!(answer.value.unwrap(), [Ok(())]);
    assert!(answer.lsn > before && broker.durable_lsn() == before, "queued, not durable");
    let mut durable = Waits::on(broker.durable(answer.lsn));
    assert!(durable.look().is_none(), "the answer waits");
    let (seen, lsn) = committed(&broker, "g", &topic);
    assert_eq!(seen, Some((7, "where I was".to_owned())));
    assert_eq!(lsn, answer.lsn, "whoever reads it waits for it too");

    // Not durable: a power cut takes it, and nobody was told.
    let (_, cut) = after_power_cut(&sim.disk);
    assert_eq!(committed(&cut, "g", &topic).0, None);

    settle(&broker);
    assert!(durable.look().unwrap().is_ok());
    let (_, cut) = after_power_cut(&sim.disk);
    assert_eq!(committed(&cut, "g", &topic), (Some((7, "where I was".to_owned())), lsn));
}

#[test]
fn a_restart_keeps_members_generation_and_commits() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let topic = create(&broker, "orders", &[]);
    let (leader, follower) = group_of_two(&broker, "g");
    let commit = commit_request("g", as_member(&leader), &topic, 3, "");
    assert_eq!(broker.groups().commit(commit).value.unwrap(), [Ok(())]);
    settle(&broker);
    // Once from frames, once from a snapshot.
    for round in 0..2 {
        let sim = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
        let after = open_eager(sim.env());
        let described = after.groups().describe(&group("g")).value.unwrap().unwrap();
        assert_eq!((described.state, described.generation), (State::Stable, leader.generation), "{round}");
        assert_eq!(committed(&after, "g", &topic).0, Some((3, String::new())));
        for member in [&leader, &follower] {
            assert_eq!(heartbeat(&after, "g", as_member(member)).value, Ok(()));
        }
        // Sessions began anew, and end.
        sim.clock.advance(Duration::from_secs(11));
        after.groups().tick();
        assert_eq!(heartbeat(&after, "g", as_member(&leader)).value, Err(GroupError::UnknownMemberId));
        broker.checkpoint().unwrap();
    }
}

#[test]
fn a_generation_that_was_heard_of_is_not_given_out_again_after_a_power_cut() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let mut joining = join(&broker, join_request("g", "", None));
    assert!(joining.look().is_none());
    broker.groups().tick();
    let heard = joining.look().unwrap();
    settle(&broker);
    let sim = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
    let after = open_eager(sim.env());
    let mut again = join(&after, join_request("g", "", None));
    assert!(again.look().is_none());
    after.groups().tick();
    assert!(again.look().unwrap().generation > heard.generation);
}

#[test]
fn a_static_member_takes_its_place_again_without_a_rebalance() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let mut first = join(&broker, join_request("g", "", Some("one")));
    assert!(first.look().is_none());
    broker.groups().tick();
    let first = first.look().unwrap();
    wait(broker.groups().sync(sync_request("g", &first, &[(&first.member_id, "all")]))).value.unwrap();
    settle(&broker);
    let sim = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
    let after = open_eager(sim.env());
    let again = join(&after, join_request("g", "", Some("one"))).look().expect("no rebalance");
    assert_eq!(again.generation, first.generation);
    assert_ne!(again.member_id, first.member_id);
    let fenced = MemberRef { instance_id: Some(Arc::from("one")), ..as_member(&first) };
    assert_eq!(heartbeat(&after, "g", fenced).value, Err(GroupError::FencedInstanceId));
}

#[test]
fn a_request_that_is_given_up_leaves_nothing_waiting() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let mut joining = join(&broker, join_request("g", "", None));
    assert!(joining.look().is_none());
    assert_eq!(broker.groups().parked(), 1);
    drop(joining);
    assert_eq!(broker.groups().parked(), 0);
    // The member is still awaited by the machine, which answers nobody.
    sim.clock.advance(Duration::from_secs(3));
    broker.groups().tick();
    let described = broker.groups().describe(&group("g")).value.unwrap().unwrap();
    assert_eq!(described.state, State::CompletingRebalance);
}

#[test]
fn the_timer_task_wakes_for_the_earliest_deadline_of_any_shard() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let groups = broker.groups().clone();
    let mut timers = Waits::on(async move { groups.run_timers().await });
    assert!(timers.look().is_none());
    let idle = sim.clock.until_next_sleeper().unwrap();
    assert!(idle > Duration::from_secs(60), "only the look for expired offsets is due: {idle:?}");
    let mut one = join(&broker, join_request("one", "", None));
    assert!(one.look().is_none());
    assert!(timers.look().is_none());
    assert_eq!(sim.clock.until_next_sleeper(), Some(Duration::from_secs(3)), "woken for the new deadline");
    sim.clock.advance(Duration::from_secs(3));
    assert!(timers.look().is_none());
    assert_eq!(one.look().unwrap().generation, 1);
}

#[test]
fn a_deleted_topic_takes_its_offsets_along_also_when_a_crash_comes_between() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let topic = create(&broker, "orders", &[]);
    let other = create(&broker, "other", &[]);
    for (topic, offset) in [(&topic, 5), (&other, 6)] {
        let _ = broker.groups().commit(commit_request("g", outsider(), topic, offset, ""));
    }
    settle(&broker);
    broker.catalog().delete(topic.id()).unwrap();
    assert_eq!(committed(&broker, "g", &topic).0, None);
    assert_eq!(committed(&broker, "g", &other).0, Some((6, String::new())));
    // A commit that was under way when the topic went: its offset is one of a topic that is gone.
    let _ = broker.groups().commit(commit_request("g", outsider(), &topic, 9, ""));
    settle(&broker);
    let (_, after) = after_power_cut(&sim.disk);
    assert_eq!(committed(&after, "g", &topic).0, None, "the start forgets it");
    assert_eq!(committed(&after, "g", &other).0, Some((6, String::new())));
}

#[test]
fn offsets_are_deleted_expire_and_go_with_their_group() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let topic = create(&broker, "orders", &[]);
    for id in ["a", "b", "c"] {
        let _ = broker.groups().commit(commit_request(id, outsider(), &topic, 5, ""));
    }
    let deleted = broker.groups().delete_offsets(DeleteOffsets {
        to: NOBODY,
        group: group("a"),
        partitions: vec![TopicPartition { topic: topic.name().clone(), partition: 0 }],
    });
    assert_eq!(deleted.value.unwrap(), [Ok(())]);
    assert_eq!(broker.groups().delete(&group("b")).value, Ok(()));
    assert_eq!(broker.groups().delete(&group("b")).value, Err(GroupError::GroupIdNotFound));
    assert_eq!(broker.groups().list().value.unwrap().len(), 1);
    sim.clock.advance(Duration::from_secs(7 * 24 * 3600 - 1));
    broker.groups().tick();
    assert_eq!(broker.groups().list().value.unwrap().len(), 1);
    sim.clock.advance(Duration::from_secs(601));
    broker.groups().tick();
    assert_eq!(broker.groups().list().value.unwrap().len(), 0);
    settle(&broker);
    let (_, after) = after_power_cut(&sim.disk);
    assert_eq!(after.groups().list().value.unwrap().len(), 0);
}

#[test]
fn a_clock_that_jumps_ahead_takes_no_offsets_at_once() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let topic = create(&broker, "orders", &[]);
    let _ = broker.groups().commit(commit_request("a", outsider(), &topic, 5, ""));
    let right = sim.env().clock.wall();
    sim.clock.set_wall(duolog_types::Nanos(right.0 + 30 * 86_400_000_000_000));
    let groups_after = |seconds| {
        sim.clock.advance(Duration::from_secs(seconds));
        broker.groups().tick();
        broker.groups().list().value.unwrap().len()
    };
    assert_eq!(groups_after(601), 1, "a month ahead, all would be old");
    assert_eq!(groups_after(2900), 1);
    assert_eq!(groups_after(690), 1, "the hour began when the jump was seen");
    assert_eq!(groups_after(601), 0, "nobody set it back");
}

#[test]
fn what_is_larger_than_an_entry_of_the_log_is_split_and_kept() {
    let sim = SimEnv::new(1);
    let broker = open_eager(sim.env());
    let topic = create(&broker, "orders", &[]);
    let mut request = commit_request("g", outsider(), &topic, 0, &"x".repeat(4096));
    // 160 KiB over WAL files of 64 KiB.
    let one = request.partitions[0].clone();
    request.partitions = (0..40)
        .map(|partition| {
            let mut commit = one.clone();
            commit.partition.partition = partition;
            commit
        })
        .collect();
    let answer = broker.groups().commit(request);
    assert_eq!(answer.value.unwrap(), vec![Ok(()); 40]);
    settle(&broker);
    assert!(broker.durable_lsn() >= answer.lsn);
    let (_, after) = after_power_cut(&sim.disk);
    let count = after.groups().offsets(&group("g"), |offsets| offsets.map_or(0, |offsets| offsets.len()));
    assert_eq!(count.value, Ok(40));
}

#[test]
fn when_the_log_has_stopped_nothing_unqueued_is_told() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let topic = create(&broker, "orders", &[]);
    let groups = broker.groups().clone();
    let request = join_request("g", "", None);
    let mut joining = Waits::on(async move { groups.join(request).await });
    assert!(joining.look().is_none());
    broker.close().unwrap();
    // The rebalance is over, and its generation can't be recorded.
    sim.clock.advance(Duration::from_secs(3));
    broker.groups().tick();
    let commit = broker.groups().commit(commit_request("g", outsider(), &topic, 5, ""));
    assert_eq!(commit.value, Err(GroupError::CoordinatorNotAvailable));
    let refused = joining.look().unwrap();
    assert_eq!(refused.value.unwrap_err().error, GroupError::CoordinatorNotAvailable);
    assert_eq!(refused.lsn, Lsn::ZERO);
    let read = broker.groups().offsets(&group("g"), |offsets| offsets.is_some());
    assert_eq!(read.value, Err(GroupError::CoordinatorNotAvailable), "memory is ahead of the log");
    assert_eq!(heartbeat(&broker, "g", outsider()).value, Err(GroupError::CoordinatorNotAvailable));
}

#[test]
fn members_take_no_more_memory_than_they_may_and_give_it_back() {
    let sim = SimEnv::new(1);
    let config = BrokerConfig { group_members_bytes_max: 4 << 20, ..BrokerConfig::default() };
    let broker = Broker::open(sim.env(), config, log_config("/data")).unwrap();
    let request = |group: &str| {
        let mut request = join_request(group, "", None);
        request.protocols[0].metadata = vec![7; 1 << 19].into();
        request
    };
    // Whoever has gone is remembered for a while, but only so many of them.
    let mut refused = 0;
    for number in 0..20 {
        let groups = broker.groups().clone();
        let request = request(&format!("g{number}"));
        let mut joining = Waits::on(async move { groups.join(request).await });
        if let Some(answer) = joining.look() {
            assert_eq!(answer.value.unwrap_err().error, GroupError::CoordinatorNotAvailable);
            refused += 1;
        }
    }
    assert_eq!(refused, 13, "seven members fit");
    assert_eq!(broker.groups().list().value.unwrap().len(), 7);
    // Those who only say that they live are served all the same.
    assert_eq!(heartbeat(&broker, "none", outsider()).value, Err(GroupError::UnknownMemberId));
    for _ in 0..2 {
        sim.clock.advance(Duration::from_secs(301));
        broker.groups().tick();
    }
    let mut again = join(&broker, request("later"));
    assert!(again.look().is_none(), "there is room, and it waits for the rebalance");
}
