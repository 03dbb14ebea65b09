//! When a rebalance begins, how long it waits, and for whom.

use duolog_groups::*;

use crate::harness::*;

#[test]
fn a_first_rebalance_waits_for_its_delay_and_longer_while_members_come() {
    let mut host = Host::new();
    let first = host.join(&client());
    host.pass(secs(2));
    let second = host.join(&client());
    host.pass(secs(1));
    assert!(host.waits(first), "a member came, so the delay runs again");
    host.pass(secs(3));
    assert_eq!(host.joined(first).generation, 1);
    assert_eq!(host.joined(second).generation, 1);
}

#[test]
fn a_first_rebalance_is_not_extended_beyond_the_rebalance_timeout() {
    let mut host = Host::new();
    let mut brief = client();
    brief.rebalance = secs(7);
    let first = host.join(&brief);
    // 3 s, then 3 s more, then 1 s more: members come all the time.
    for _ in 0..6 {
        host.pass(secs(1));
        assert!(host.waits(first));
        host.join(&brief);
    }
    host.pass(secs(1));
    assert_eq!(host.joined(first).generation, 1);
}

#[test]
fn a_first_rebalance_without_delay_ends_at_once() {
    let mut host = Host::with(Config { initial_rebalance_delay: secs(0), ..Config::default() });
    let first = host.join(&client());
    host.pass(secs(0));
    assert_eq!(host.joined(first).generation, 1);
}

#[test]
fn a_join_in_stable_begins_a_rebalance_only_if_something_may_have_changed() {
    // (who joins again, with what) -> (answered at once, state afterwards)
    let cases = [
        ("leader, same", 0, client(), false, State::PreparingRebalance),
        ("follower, same", 1, client(), true, State::Stable),
        ("follower, other topics", 1, client().topics(&["u"]), false, State::PreparingRebalance),
    ];
    for (name, who, client_again, at_once, state) in cases {
        let mut host = Host::new();
        let members = host.stable(&[client(), client()]);
        let to = host.join(&client_again.id(&members[who].member_id));
        assert_eq!(!host.waits(to), at_once, "{name}");
        assert_eq!(host.state(), state, "{name}");
        if at_once {
            let joined = host.joined(to);
            assert_eq!((joined.generation, joined.members.len()), (1, 0), "{name}");
            assert_eq!(joined.leader, members[0].member_id, "{name}");
        }
    }
}

#[test]
fn a_join_before_the_assignment_with_nothing_new_is_told_the_generation_again() {
    let mut host = Host::new();
    let mut joined = host.form(&[client(), client()]);
    joined.sort_by_key(|member| member.member_id != member.leader);
    for member in &joined {
        let to = host.join(&client().id(&member.member_id));
        assert_eq!(host.joined(to), *member);
    }
    let waiting = host.sync(in_generation(&joined[1]), &[]);
    let changed = host.join(&client().topics(&["u"]).id(&joined[0].member_id));
    assert!(host.waits(changed));
    assert_eq!(host.synced(waiting).unwrap_err(), GroupError::RebalanceInProgress);
    assert_eq!(host.state(), State::PreparingRebalance);
}

#[test]
fn a_rebalance_ends_when_all_are_back() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    let newcomer = host.join(&client());
    let follower = host.join(&client().id(&members[1].member_id));
    assert!(host.waits(newcomer) && host.waits(follower));
    for member in &members {
        assert_eq!(host.heartbeat(member.clone()).unwrap_err(), GroupError::RebalanceInProgress);
    }
    let leader = host.join(&client().id(&members[0].member_id));
    for to in [newcomer, follower, leader] {
        assert_eq!(host.joined(to).generation, 2);
        assert_eq!(host.joined(to).leader, members[0].member_id, "the leader stays");
    }
    assert_eq!(host.joined(leader).members.len(), 3);
}

#[test]
fn who_is_not_back_in_time_is_out_and_another_leads() {
    let mut host = Host::new();
    let mut clients = [client(), client()];
    clients[0].rebalance = secs(20);
    clients[1].rebalance = secs(40);
    // Sessions that outlast the rebalance, so that it is the rebalance that ends.
    clients.iter_mut().for_each(|client| client.session = secs(600));
    let members = host.stable(&clients);
    let follower = host.join(&client().topics(&["u"]).id(&members[1].member_id));
    host.pass(secs(39));
    // The follower's own rebalance timeout is 60 s now, the leader's one of the two others.
    assert!(host.waits(follower));
    host.pass(secs(21));
    let joined = host.joined(follower);
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
    assert_eq!(joined.leader, members[1].member_id);
    assert_eq!(host.heartbeat(members[0].clone()).unwrap_err(), GroupError::UnknownMemberId);
}

#[test]
fn a_member_that_is_not_heard_of_for_its_session_is_out() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    host.pass(secs(6));
    host.heartbeat(members[0].clone()).unwrap();
    host.pass(secs(4));
    assert_eq!(host.state(), State::PreparingRebalance, "the follower's session is over");
    assert_eq!(host.heartbeat(members[0].clone()).unwrap_err(), GroupError::RebalanceInProgress);
    assert_eq!(host.heartbeat(members[1].clone()).unwrap_err(), GroupError::UnknownMemberId);
    let leader = host.join(&client().id(&members[0].member_id));
    assert_eq!(host.joined(leader).members.len(), 1);
}

#[test]
fn a_group_whose_members_are_all_gone_is_empty_with_a_new_generation() {
    let mut host = Host::new();
    host.stable(&[client(), client()]);
    host.pass(secs(200));
    let group = host.describe().unwrap();
    assert_eq!((group.state, group.members.len()), (State::Empty, 0));
    assert!(group.generation > 1);
    assert_eq!(group.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn a_new_member_waits_five_minutes_at_most() {
    let mut host = Host::new();
    let mut slow = client();
    slow.rebalance = secs(3600);
    slow.session = secs(1800);
    let members = host.stable(&[slow.clone()]);
    let newcomer = host.join(&slow);
    host.pass(secs(299));
    assert!(host.waits(newcomer));
    host.pass(secs(1));
    assert_eq!(host.refused(newcomer), GroupError::UnknownMemberId);
    let leader = host.join(&slow.id(&members[0].member_id));
    assert_eq!(host.joined(leader).members.len(), 1);
}

#[test]
fn a_heartbeat_must_name_member_and_generation() {
    let mut host = Host::new();
    assert_eq!(host.heartbeat(outsider()).unwrap_err(), GroupError::UnknownMemberId);
    let member = host.stable(&[client()]).remove(0);
    host.heartbeat(member.clone()).unwrap();
    for generation in [-1, 0, 2] {
        let stale = MemberRef { generation, ..member.clone() };
        assert_eq!(host.heartbeat(stale).unwrap_err(), GroupError::IllegalGeneration);
    }
    let nobody = MemberRef { member_id: "x".into(), ..member.clone() };
    assert_eq!(host.heartbeat(nobody).unwrap_err(), GroupError::UnknownMemberId);
    let instance = MemberRef { instance_id: Some("i".into()), ..member };
    assert_eq!(host.heartbeat(instance).unwrap_err(), GroupError::UnknownMemberId);
}

/// The cooperative protocol's two steps (KIP-429) as the coordinator sees them: after the first assignment those
/// who gave something up join again with the metadata of what they own, and the leader may do so on its own.
#[test]
fn a_second_rebalance_right_after_the_first_assignment_gives_all_a_new_generation() {
    let mut host = Host::new();
    let members = host.stable(&[client().protocols(&["cooperative-sticky"])]);
    let joining = client().protocols(&["cooperative-sticky"]);
    let newcomer = host.join(&joining);
    let leader = host.join(&joining.clone().id(&members[0].member_id));
    let (leader, newcomer) = (host.joined(leader), host.joined(newcomer));
    let follows = host.sync(in_generation(&newcomer), &[]);
    let leads = host.sync(in_generation(&leader), &[(&leader.member_id, "less"), (&newcomer.member_id, "")]);
    assert_eq!(host.synced(leads).unwrap().assignment, "less");
    assert_eq!(host.synced(follows).unwrap().assignment, "");
    let owns = client().topics(&["t", "owned"]);
    let mut owns = owns.id(&leader.member_id);
    owns.protocols[0].0 = "cooperative-sticky";
    let again = host.join(&owns);
    assert_eq!(host.heartbeat(in_generation(&newcomer)).unwrap_err(), GroupError::RebalanceInProgress);
    let newcomer = host.join(&joining.id(&newcomer.member_id));
    assert_eq!((host.joined(again).generation, host.joined(newcomer).generation), (3, 3));
}

#[test]
fn a_rebalance_timeout_of_nothing_ends_the_rebalance_and_no_more() {
    let mut host = Host::new();
    let mut hasty = client().instance("i");
    hasty.rebalance = secs(0);
    hasty.session = secs(60);
    let other = Client { instance_id: None, ..hasty.clone() };
    let to = [host.join(&hasty), host.join(&other)];
    host.pass(secs(3));
    assert_eq!(host.joined(to[0]).generation, 1);
    // No time to sync either: all are out at once.
    host.pass(secs(0));
    assert_eq!(host.state(), State::Empty);
    assert!(host.now.monotonic < secs(1004));
}
