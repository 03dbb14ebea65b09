//! What a group is after a restart, from records and from a snapshot.

use duolog_groups::*;

use crate::harness::*;

#[test]
fn members_are_back_with_a_whole_session() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    let before = host.describe();
    host.pass(SESSION - secs(1));
    host.restart();
    assert_eq!(host.describe(), before);
    host.pass(SESSION - secs(1));
    for member in &members {
        host.heartbeat(member.clone()).unwrap();
    }
    let to = host.sync(members[0].clone(), &[]);
    assert!(!host.synced(to).unwrap().assignment.is_empty());
    host.pass(SESSION);
    assert_eq!(host.state(), State::Empty);
}

#[test]
fn a_rebalance_that_was_not_finished_begins_again_under_a_new_generation() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    let follower = host.join(&client().topics(&["u"]).id(&members[1].member_id));
    let leader = host.join(&client().id(&members[0].member_id));
    assert_eq!(host.joined(follower).generation, 2);
    host.restart();
    assert_eq!((host.state(), host.generation()), (State::PreparingRebalance, 1));
    let lost = in_generation(&host.joined(leader));
    assert_eq!(host.heartbeat(lost), Err(GroupError::IllegalGeneration));
    assert_eq!(host.heartbeat(members[0].clone()), Err(GroupError::RebalanceInProgress));
    let leader = host.join(&client().id(&members[0].member_id));
    let follower = host.join(&client().id(&members[1].member_id));
    assert_eq!(host.joined(leader).generation, 3);
    assert_eq!(host.joined(follower).generation, 3);
}

#[test]
fn a_snapshot_holds_what_the_records_hold() {
    let mut host = Host::new();
    let members = host.stable(&[client().instance("i"), client().topics(&["t", "u"])]);
    for topic in 0..1500 {
        host.commit(members[0].clone(), &format!("t{topic}"), topic).unwrap();
    }
    host.join(&client().topics(&["v"]).id(&members[1].member_id));
    host.join(&client().id(&members[0].member_id));
    let snapshot = host.shard.snapshot();
    let mut from_log = host;
    from_log.restart();
    let mut from_snapshot = Shard::new(Config::default());
    for record in snapshot.clone() {
        from_snapshot.restore(Record::decode(&record.encode()).unwrap(), from_log.now);
    }
    assert!(from_snapshot.loaded(from_log.now).is_empty());
    assert_eq!(from_log.shard.snapshot(), snapshot);
    assert_eq!(from_snapshot.snapshot(), snapshot);
    let id = "g".into();
    assert_eq!(from_snapshot.describe(&id), from_log.shard.describe(&id));
    assert_eq!(from_snapshot.offsets(&id), from_log.shard.offsets(&id));
    assert_eq!(from_snapshot.next_deadline(), from_log.shard.next_deadline());
}

#[test]
fn a_group_with_nothing_but_a_pending_member_is_recorded() {
    let mut host = Host::new();
    let mut client = client();
    client.must_know_member_id = true;
    host.join(&client);
    host.restart();
    assert_eq!(host.state(), State::Empty);
    host.pass(secs(601));
    assert_eq!(host.state(), State::Dead, "an Empty group without offsets goes at the next check");
}

#[test]
fn a_group_over_a_lowered_limit_shrinks() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    host.config.group_size_max = 1;
    host.restart();
    assert_eq!(host.state(), State::PreparingRebalance);
    let first = host.join(&client().id(&members[1].member_id));
    let second = host.join(&client().id(&members[0].member_id));
    assert_eq!(host.refused(second), GroupError::GroupMaxSizeReached);
    assert_eq!(host.joined(first).members.len(), 1);
}

#[test]
fn all_groups_are_listed() {
    let mut host = Host::new();
    assert_eq!(host.shard.list().count(), 0);
    host.stable(&[client()]);
    let listed: Vec<ListedGroup> = host.shard.list().collect();
    assert_eq!(
        listed,
        [ListedGroup { group: "g".into(), state: State::Stable, protocol_type: Some("consumer".into()) }]
    );
    assert_eq!(State::Stable.name(), "Stable");
}
