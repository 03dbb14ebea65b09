//! JoinGroup: who is let in, with which id, under which protocol.

use duolog_groups::*;
use duolog_types::MemberId;

use crate::harness::*;

#[test]
fn a_join_is_refused_by_what_it_asks_for() {
    type Change = fn(&mut Client);
    let cases: &[(&str, Change, GroupError)] = &[
        ("short session", |c| c.session = secs(1), GroupError::InvalidSessionTimeout),
        ("long session", |c| c.session = secs(1801), GroupError::InvalidSessionTimeout),
        ("no protocol", |c| c.protocols.clear(), GroupError::InconsistentGroupProtocol),
        ("no protocol type", |c| c.protocol_type = "", GroupError::InconsistentGroupProtocol),
        ("id of nobody", |c| c.member_id = MemberId::from("x"), GroupError::UnknownMemberId),
    ];
    for (name, change, error) in cases {
        let mut host = Host::new();
        let mut client = client();
        change(&mut client);
        let to = host.join(&client);
        assert_eq!(host.refused(to), *error, "{name}");
        assert_eq!(host.state(), State::Dead, "{name}: a refused join leaves no group behind");
        assert!(host.log.is_empty(), "{name}");
    }
}

#[test]
fn a_join_to_a_group_is_refused_if_it_does_not_fit_the_members() {
    type Change = fn(&mut Client);
    let cases: &[(&str, Change, GroupError)] = &[
        ("other type", |c| c.protocol_type = "connect", GroupError::InconsistentGroupProtocol),
        ("other protocol", |c| *c = client().protocols(&["sticky"]), GroupError::InconsistentGroupProtocol),
        ("id of nobody", |c| c.member_id = MemberId::from("x"), GroupError::UnknownMemberId),
        (
            "id of nobody, instance of nobody",
            |c| *c = client().instance("i").id(&MemberId::from("x")),
            GroupError::UnknownMemberId,
        ),
    ];
    for (name, change, error) in cases {
        let mut host = Host::new();
        host.stable(&[client()]);
        let mut client = client();
        change(&mut client);
        let to = host.join(&client);
        assert_eq!(host.refused(to), *error, "{name}");
        assert_eq!(host.state(), State::Stable, "{name}");
    }
}

#[test]
fn a_dynamic_member_of_version_4_must_come_back_with_the_id_it_is_given() {
    let mut host = Host::new();
    let mut client = client();
    client.must_know_member_id = true;
    let first = host.join(&client);
    let Reply::Join(Err(JoinRefused { error: GroupError::MemberIdRequired, member_id })) = host.answer(first)
    else {
        panic!("{:?}", host.answer(first));
    };
    let member_id = member_id.clone();
    assert!(member_id.0.starts_with("client-") && member_id.0.len() == "client-".len() + 36, "{member_id}");
    assert!(!host.answer(first).reveals_state());
    assert_eq!(host.state(), State::Empty);
    let second = host.join(&client.id(&member_id));
    host.pass(secs(3));
    let joined = host.joined(second);
    assert_eq!((joined.generation, &joined.member_id, &joined.leader), (1, &member_id, &member_id));
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn an_id_that_does_not_come_back_within_its_session_is_forgotten() {
    let mut host = Host::new();
    let mut client = client();
    client.must_know_member_id = true;
    let first = host.join(&client);
    let Reply::Join(Err(JoinRefused { member_id, .. })) = host.answer(first) else { panic!() };
    let client = client.id(&member_id.clone());
    host.pass(SESSION);
    let late = host.join(&client);
    assert_eq!(host.refused(late), GroupError::UnknownMemberId);
}

#[test]
fn a_rebalance_waits_for_ids_that_were_given_out() {
    let mut host = Host::new();
    let members = host.stable(&[client()]);
    let mut newcomer = client();
    newcomer.must_know_member_id = true;
    let given = host.join(&newcomer);
    let Reply::Join(Err(JoinRefused { member_id, .. })) = host.answer(given).clone() else { panic!() };
    let leader = host.join(&client().id(&members[0].member_id));
    assert!(host.waits(leader), "the pending member may still come");
    let back = host.join(&newcomer.id(&member_id));
    assert_eq!(host.joined(leader).generation, 2);
    assert_eq!(host.joined(back).generation, 2);
}

#[test]
fn the_protocol_with_most_votes_among_those_that_all_support_wins() {
    let cases: &[(&[&[&'static str]], &str)] = &[
        (&[&["range"]], "range"),
        (&[&["range", "sticky"], &["sticky"]], "sticky"),
        (&[&["a", "b"], &["b", "a"], &["b", "a"]], "b"),
        (&[&["c", "a", "b"], &["a", "b"], &["b", "a"], &["b", "a"]], "a"),
        (&[&["a", "a", "b"], &["b", "a"]], "a"),
    ];
    for (members, winner) in cases {
        let mut host = Host::new();
        let clients: Vec<Client> = members.iter().map(|names| client().protocols(names)).collect();
        let joined = host.form(&clients);
        for member in &joined {
            assert_eq!(member.protocol_name.as_deref(), Some(*winner), "{members:?}");
            assert_eq!(member.protocol_type.as_deref(), Some("consumer"));
        }
    }
}

#[test]
fn only_the_leader_is_told_the_members() {
    let mut host = Host::new();
    let joined = host.form(&[client(), client(), client()]);
    let leaders: Vec<_> = joined.iter().filter(|member| !member.members.is_empty()).collect();
    assert_eq!(leaders.len(), 1);
    assert_eq!(leaders[0].member_id, leaders[0].leader);
    assert_eq!(leaders[0].members.len(), 3);
    assert!(leaders[0].members.iter().all(|member| member.metadata == subscription(&["t"])));
    assert!(joined.iter().all(|member| member.leader == leaders[0].leader));
}

#[test]
fn a_group_takes_no_more_members_than_its_limit() {
    let mut host = Host::with(Config { group_size_max: 2, ..Config::default() });
    let tokens: Vec<_> = (0..3).map(|_| host.join(&client())).collect();
    assert_eq!(host.refused(tokens[2]), GroupError::GroupMaxSizeReached);
    host.pass(secs(6));
    let joined = host.joined(tokens[0]);
    let late = host.join(&client());
    assert_eq!(host.refused(late), GroupError::GroupMaxSizeReached);
    assert_eq!(host.describe().unwrap().members.len(), 2);
    let again = host.join(&client().id(&joined.member_id));
    assert_eq!(host.joined(again).generation, 1, "who belongs may come again");
}

#[test]
fn a_repeated_join_takes_the_place_of_the_one_that_waits() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    let leader = client().id(&members[0].member_id);
    let first = host.join(&leader);
    let second = host.join(&leader);
    assert_eq!(host.refused(first), GroupError::RebalanceInProgress);
    assert!(host.waits(second));
    let follower = host.join(&client().id(&members[1].member_id));
    assert_eq!(host.joined(second).generation, 2);
    assert_eq!(host.joined(follower).generation, 2);
}

#[test]
fn a_long_client_id_is_cut_in_the_member_id_between_characters() {
    let mut host = Host::new();
    let client = client().instance(&"ü".repeat(10_000));
    let joined = host.form(&[client]);
    assert_eq!(joined[0].member_id.0.len(), 1024 + 37);
}

#[test]
fn an_empty_group_id_is_invalid() {
    let mut shard = Shard::new(Config::default());
    let now = Host::new().now;
    let member = outsider();
    let group = duolog_types::GroupId::from("");
    let effects =
        shard.step(Event::Heartbeat(Heartbeat { to: ReplyTo(1), group: group.clone(), member }), now);
    let reply = Reply::Heartbeat(Err(GroupError::InvalidGroupId));
    assert_eq!(effects, [Effect::Reply { to: ReplyTo(1), reply }]);
}
