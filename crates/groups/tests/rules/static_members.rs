//! Static members (KIP-345, KIP-814): a restart under the same instance id disturbs nobody.

use duolog_groups::*;
use duolog_types::MemberId;

use crate::harness::*;

#[test]
fn a_static_member_that_is_back_in_stable_takes_its_place_without_a_rebalance() {
    // (leads, may be told to skip) -> (leader it is told, skip, members it is told)
    for (leads, can_skip) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut host = Host::new();
        let members = host.stable(&[client().instance("i"), client().instance("j")]);
        let description = host.describe().unwrap();
        let old = members[usize::from(!leads)].clone();
        let before = description.members.iter().find(|member| member.member_id == old.member_id).unwrap();
        let mut back = client().instance(before.instance_id.as_deref().unwrap());
        back.can_skip_assignment = can_skip;
        let to = host.join(&back);
        let joined = host.joined(to);
        assert_eq!(host.state(), State::Stable);
        assert_ne!(joined.member_id, old.member_id);
        assert_eq!(joined.generation, 1);
        assert_eq!(joined.skip_assignment, leads && can_skip);
        assert_eq!(joined.members.len(), if leads && can_skip { 2 } else { 0 });
        let told_leader = if leads && can_skip { &joined.member_id } else { &members[0].member_id };
        assert_eq!(&joined.leader, told_leader, "leads {leads}, can skip {can_skip}");

        // The former self is fenced, the new one has its assignment.
        let instance_id = before.instance_id.clone();
        let fenced = MemberRef { instance_id: instance_id.clone(), ..old };
        assert_eq!(host.heartbeat(fenced.clone()).unwrap_err(), GroupError::FencedInstanceId);
        assert_eq!(host.commit(fenced, "t", 1).unwrap_err(), GroupError::FencedInstanceId);
        let new = MemberRef { member_id: joined.member_id, instance_id, generation: 1 };
        let to = host.sync(new.clone(), &[]);
        assert_eq!(host.synced(to).unwrap().assignment, before.assignment);
        host.heartbeat(new).unwrap();
    }
}

#[test]
fn a_replaced_static_member_is_kept_over_a_restart() {
    let mut host = Host::new();
    host.stable(&[client().instance("i")]);
    let back = host.join(&client().instance("i"));
    let joined = host.joined(back);
    host.restart();
    assert_eq!(host.describe().unwrap().members[0].member_id, joined.member_id);
    assert_eq!(host.state(), State::Stable);
}

#[test]
fn a_static_member_that_is_back_with_another_protocol_begins_a_rebalance() {
    let mut host = Host::new();
    let both = client().protocols(&["range", "sticky"]);
    host.stable(&[both.clone().instance("i"), both.instance("j")]);
    let back = host.join(&client().protocols(&["sticky"]).instance("i"));
    assert!(host.waits(back));
    assert_eq!(host.state(), State::PreparingRebalance);
}

#[test]
fn a_static_member_that_is_back_before_the_assignment_begins_a_rebalance() {
    let mut host = Host::new();
    let joined = host.form(&[client().instance("i"), client().instance("j")]);
    let follower = joined.iter().find(|member| member.member_id != member.leader).unwrap();
    let waiting = host.sync(in_generation(follower), &[]);
    let which = if follower.member_id.0.starts_with('i') { "i" } else { "j" };
    let back = host.join(&client().instance(which));
    assert_eq!(host.synced(waiting).unwrap_err(), GroupError::FencedInstanceId);
    assert!(host.waits(back));
    assert_eq!(host.state(), State::PreparingRebalance);
}

#[test]
fn a_static_member_that_is_back_while_its_join_waits_fences_it() {
    let mut host = Host::new();
    let first = host.join(&client().instance("i"));
    let second = host.join(&client().instance("i"));
    assert_eq!(host.refused(first), GroupError::FencedInstanceId);
    host.pass(secs(6));
    assert_eq!(host.joined(second).members.len(), 1);
}

#[test]
fn a_static_member_needs_no_id_in_advance() {
    let mut host = Host::new();
    let mut client = client().instance("i");
    client.must_know_member_id = true;
    assert!(host.form(&[client])[0].member_id.0.starts_with("i-"));
}

#[test]
fn a_wrong_pair_of_ids_is_fenced_or_unknown() {
    let mut host = Host::new();
    let members = host.stable(&[client().instance("i"), client().instance("j")]);
    let cases = [
        ("i", MemberId::from("x"), GroupError::FencedInstanceId),
        ("k", members[0].member_id.clone(), GroupError::UnknownMemberId),
    ];
    for (instance, member_id, error) in cases {
        let to = host.join(&client().instance(instance).id(&member_id));
        assert_eq!(host.refused(to), error);
        let member = MemberRef { member_id, instance_id: Some(instance.into()), generation: 1 };
        assert_eq!(host.heartbeat(member.clone()).unwrap_err(), error);
        let to = host.sync(member.clone(), &[]);
        assert_eq!(host.synced(to).unwrap_err(), error);
        assert_eq!(host.commit(member, "t", 1).unwrap_err(), error);
    }
}

#[test]
fn a_static_member_that_is_late_stays_until_its_session_ends() {
    let mut host = Host::new();
    let mut fixed = client().instance("i");
    fixed.session = secs(600);
    let mut dynamic = client();
    dynamic.session = secs(600);
    let members = host.stable(&[fixed, dynamic.clone()]);
    let dynamic_id = members
        .iter()
        .find(|member| !member.member_id.0.starts_with("i-"))
        .map(|member| member.member_id.clone())
        .unwrap();
    let rejoin = host.join(&dynamic.topics(&["u"]).id(&dynamic_id));
    host.pass(REBALANCE);
    let joined = host.joined(rejoin);
    assert_eq!(joined.leader, dynamic_id, "a leader must be back");
    assert_eq!(joined.members.len(), 2, "the static member still belongs");
}

#[test]
fn a_rebalance_of_static_members_of_which_none_is_back_waits_on() {
    let mut host = Host::new();
    let mut fixed = client().instance("i");
    fixed.session = secs(600);
    let mut other = client().instance("j");
    other.session = secs(600);
    let members = host.stable(&[fixed.clone(), other]);
    // One leaves, the other doesn't come back in time.
    assert_eq!(host.leave(&[("", Some("j"))]), [Ok(())]);
    host.pass(REBALANCE);
    assert_eq!(host.state(), State::PreparingRebalance);
    assert_eq!(host.generation(), 1);
    let id = members.iter().find(|member| member.member_id.0.starts_with("i-")).unwrap().member_id.clone();
    let back = host.join(&fixed.id(&id));
    assert_eq!(host.joined(back).generation, 2);
}

#[test]
fn a_static_member_takes_its_own_place_in_a_full_group() {
    let mut host = Host::with(Config { group_size_max: 2, ..Config::default() });
    host.stable(&[client().instance("i"), client().instance("j")]);
    let back = host.join(&client().instance("i"));
    assert_eq!(host.joined(back).generation, 1);
    let stranger = host.join(&client().instance("k"));
    assert_eq!(host.refused(stranger), GroupError::GroupMaxSizeReached);
}

/// Found by the random histories: the group went back to the generation before the one that it had told members of.
#[test]
fn a_static_member_that_is_back_after_a_restart_in_a_rebalance_is_told_no_earlier_generation() {
    let mut host = Host::new();
    host.stable(&[client().instance("i")]);
    let id = host.describe().unwrap().members[0].member_id.clone();
    let leader = host.join(&client().instance("i").id(&id));
    assert_eq!(host.joined(leader).generation, 2);
    host.restart();
    let back = host.join(&client().instance("i"));
    assert_eq!(host.joined(back).generation, 3);
}
