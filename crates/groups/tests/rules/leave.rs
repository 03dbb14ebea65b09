//! LeaveGroup, deleting a group, and the end of a coordinator.

use duolog_groups::*;

use crate::harness::*;

#[test]
fn members_leave_by_id_or_by_instance_and_each_is_told_its_outcome() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client().instance("i"), client().instance("j")]);
    let id_of = |instance: &str| {
        let prefix = format!("{instance}-");
        members.iter().find(|m| m.member_id.0.starts_with(&prefix)).unwrap().member_id.0.to_string()
    };
    let (i, j) = (id_of("i"), id_of("j"));
    let outcomes = host.leave(&[
        ("nobody", None),
        ("", None),
        ("", Some("k")),
        ("", Some("i")),
        (&i, Some("i")),
        (&j, Some("i")),
        ("wrong", Some("j")),
        (&j, Some("j")),
    ]);
    let unknown = Err(GroupError::UnknownMemberId);
    let fenced = Err(GroupError::FencedInstanceId);
    assert_eq!(outcomes, [unknown, unknown, unknown, Ok(()), unknown, unknown, fenced, Ok(())]);
    assert_eq!(host.state(), State::PreparingRebalance);
    assert_eq!(host.describe().unwrap().members.len(), 1);
}

#[test]
fn the_last_member_to_leave_empties_the_group() {
    let mut host = Host::new();
    let member = host.stable(&[client()]).remove(0);
    host.commit(member.clone(), "t", 7).unwrap();
    assert_eq!(host.leave(&[(&member.member_id.0, None)]), [Ok(())]);
    let group = host.describe().unwrap();
    assert_eq!((group.state, group.generation), (State::Empty, 2));
    assert_eq!(host.committed("t"), Some(7));
}

#[test]
fn nobody_leaves_a_group_that_does_not_exist() {
    assert_eq!(Host::new().leave(&[("x", None)]), [Err(GroupError::UnknownMemberId)]);
}

#[test]
fn a_leave_answers_what_the_member_waits_for() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    let newcomer = host.join(&client());
    let leader = host.join(&client().id(&members[0].member_id));
    // The follower leaves instead of coming back: the rebalance waits for nobody any more.
    assert_eq!(host.leave(&[(&members[1].member_id.0, None)]), [Ok(())]);
    assert_eq!(host.joined(leader).members.len(), 2);
    let newcomer = host.joined(newcomer);
    // Its SyncGroup waits for the leader when it is removed.
    let sync = host.sync(in_generation(&newcomer), &[]);
    assert_eq!(host.leave(&[(&newcomer.member_id.0, None)]), [Ok(())]);
    assert_eq!(host.synced(sync).unwrap_err(), GroupError::UnknownMemberId);
    // And its JoinGroup, when it waits in a rebalance.
    let again = host.join(&client());
    let id = host
        .describe()
        .unwrap()
        .members
        .iter()
        .map(|member| member.member_id.clone())
        .find(|id| *id != members[0].member_id)
        .unwrap();
    assert_eq!(host.leave(&[(&id.0, None)]), [Ok(())]);
    assert_eq!(host.refused(again), GroupError::UnknownMemberId);
}

#[test]
fn a_pending_member_may_leave() {
    let mut host = Host::new();
    let mut client = client();
    client.must_know_member_id = true;
    let given = host.join(&client);
    let Reply::Join(Err(JoinRefused { member_id, .. })) = host.answer(given).clone() else { panic!() };
    assert_eq!(host.leave(&[(&member_id.0, None)]), [Ok(())]);
    let back = host.join(&client.id(&member_id));
    assert_eq!(host.refused(back), GroupError::UnknownMemberId);
}

#[test]
fn only_an_empty_group_is_deleted_and_its_offsets_go_with_it() {
    let mut host = Host::new();
    assert_eq!(host.delete_group(), Err(GroupError::GroupIdNotFound));
    let member = host.stable(&[client()]).remove(0);
    host.commit(member.clone(), "t", 7).unwrap();
    assert_eq!(host.delete_group(), Err(GroupError::NonEmptyGroup));
    host.leave(&[(&member.member_id.0, None)]);
    assert_eq!(host.delete_group(), Ok(()));
    assert_eq!((host.state(), host.committed("t")), (State::Dead, None));
    host.restart();
    assert_eq!((host.state(), host.committed("t")), (State::Dead, None));
    assert_eq!(host.delete_group(), Err(GroupError::GroupIdNotFound));
}

#[test]
fn a_coordinator_that_stops_sends_all_away() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    let leader = host.join(&client().id(&members[0].member_id));
    host.step(Event::Unload);
    assert_eq!(host.refused(leader), GroupError::NotCoordinator);
    let late = host.join(&client());
    assert_eq!(host.refused(late), GroupError::NotCoordinator);
    assert_eq!(host.heartbeat(members[1].clone()), Err(GroupError::NotCoordinator));
    assert_eq!(host.commit(members[1].clone(), "t", 1), Err(GroupError::NotCoordinator));
    assert_eq!(host.delete_group(), Err(GroupError::NotCoordinator));
    let before = host.log.len();
    host.pass(secs(10_000));
    assert_eq!(host.log.len(), before, "nothing more happens to groups that are coordinated elsewhere");
}
