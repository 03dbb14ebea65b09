//! SyncGroup: how assignments reach members, and what it is refused for.

use bytes::Bytes;
use duolog_groups::*;
use duolog_types::GroupId;

use crate::harness::*;

fn formed() -> (Host, Vec<Joined>) {
    let mut host = Host::new();
    let mut joined = host.form(&[client(), client(), client()]);
    joined.sort_by_key(|member| member.member_id != member.leader);
    (host, joined)
}

#[test]
fn followers_wait_for_the_leaders_assignment_and_get_theirs() {
    let (mut host, joined) = formed();
    let early = host.sync(in_generation(&joined[1]), &[]);
    assert!(host.waits(early));
    // Who the leader leaves out gets nothing, and what it assigns to nobody is dropped.
    let stranger = "nobody".into();
    let assignments = [(&joined[0].member_id, "zero"), (&joined[1].member_id, "one"), (&stranger, "lost")];
    let leader = host.sync(in_generation(&joined[0]), &assignments);
    assert_eq!(host.state(), State::Stable);
    let late = host.sync(in_generation(&joined[2]), &[]);
    for (to, assignment) in [(leader, "zero"), (early, "one"), (late, "")] {
        let synced = host.synced(to).unwrap();
        assert_eq!(synced.assignment, assignment);
        assert_eq!(synced.protocol_name.as_deref(), Some("range"));
        assert_eq!(synced.protocol_type.as_deref(), Some("consumer"));
    }
    let description = host.describe().unwrap();
    assert_eq!(description.protocol_name.as_deref(), Some("range"));
    assert!(description.members.iter().any(|member| member.assignment == "one"));
    assert!(description.members.iter().all(|member| member.metadata == subscription(&["t"])));
}

#[test]
fn the_assignment_is_recorded_before_anyone_is_told() {
    let (mut host, joined) = formed();
    let to = ReplyTo(1_000_000);
    let effects = host.shard.step(
        Event::Sync(SyncGroup {
            to,
            group: GroupId::from(GROUP),
            member: in_generation(&joined[0]),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: vec![(joined[0].member_id.clone(), Bytes::from_static(b"all"))],
        }),
        host.now,
    );
    let [Effect::Persist(Record::Group(record)), Effect::Reply { reply, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert!(reply.reveals_state());
    assert_eq!(record.generation, 1);
    assert_eq!(record.members.len(), 3);
    assert_eq!(record.leader.as_ref(), Some(&joined[0].member_id));
}

#[test]
fn a_sync_is_refused() {
    type Change = fn(&mut SyncGroup);
    let cases: &[(&str, Change, GroupError)] = &[
        ("stranger", |r| r.member.member_id = "x".into(), GroupError::UnknownMemberId),
        ("earlier generation", |r| r.member.generation = 0, GroupError::IllegalGeneration),
        ("later generation", |r| r.member.generation = 2, GroupError::IllegalGeneration),
        ("instance of nobody", |r| r.member.instance_id = Some("i".into()), GroupError::UnknownMemberId),
        ("other type", |r| r.protocol_type = Some("connect".into()), GroupError::InconsistentGroupProtocol),
        ("other name", |r| r.protocol_name = Some("sticky".into()), GroupError::InconsistentGroupProtocol),
        ("other group", |r| r.group = GroupId::from("other"), GroupError::UnknownMemberId),
    ];
    for (name, change, error) in cases {
        let (mut host, joined) = formed();
        let to = host.token();
        let mut request = SyncGroup {
            to,
            group: GroupId::from(GROUP),
            member: in_generation(&joined[0]),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: Vec::new(),
        };
        change(&mut request);
        host.step(Event::Sync(request));
        assert_eq!(host.synced(to).unwrap_err(), *error, "{name}");
        assert_eq!(host.state(), State::CompletingRebalance, "{name}");
    }
}

#[test]
fn a_sync_during_a_rebalance_is_sent_to_join() {
    let mut host = Host::new();
    let members = host.stable(&[client(), client()]);
    host.join(&client());
    let to = host.sync(members[0].clone(), &[]);
    assert_eq!(host.synced(to).unwrap_err(), GroupError::RebalanceInProgress);
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut host = Host::new();
    let mut patient = client();
    patient.session = secs(600);
    let mut joined = host.form(&[patient.clone(), patient.clone()]);
    joined.sort_by_key(|member| member.member_id != member.leader);
    let follower = host.sync(in_generation(&joined[1]), &[]);
    host.pass(REBALANCE);
    assert_eq!(host.synced(follower).unwrap_err(), GroupError::RebalanceInProgress);
    assert_eq!(host.heartbeat(in_generation(&joined[0])).unwrap_err(), GroupError::UnknownMemberId);
    let again = host.join(&patient.id(&joined[1].member_id));
    assert_eq!(host.joined(again).leader, joined[1].member_id);
}

#[test]
fn a_follower_that_never_syncs_in_stable_is_out_too() {
    let mut host = Host::new();
    let mut patient = client();
    patient.session = secs(600);
    let mut joined = host.form(&[patient.clone(), patient]);
    joined.sort_by_key(|member| member.member_id != member.leader);
    let leader = host.sync(in_generation(&joined[0]), &[]);
    host.synced(leader).unwrap();
    host.pass(REBALANCE);
    assert_eq!(host.state(), State::PreparingRebalance);
    assert_eq!(host.heartbeat(in_generation(&joined[1])).unwrap_err(), GroupError::UnknownMemberId);
}

#[test]
fn a_session_does_not_end_while_its_sync_waits() {
    let (mut host, joined) = formed();
    let waiting = host.sync(in_generation(&joined[1]), &[]);
    host.pass(SESSION + secs(1));
    // The leader's session is over, so the waiting one is called to join again, not removed.
    assert_eq!(host.synced(waiting).unwrap_err(), GroupError::RebalanceInProgress);
    assert!(host.describe().unwrap().members.iter().any(|member| member.member_id == joined[1].member_id));
}

#[test]
fn a_repeated_sync_takes_the_place_of_the_one_that_waits() {
    let (mut host, joined) = formed();
    let first = host.sync(in_generation(&joined[1]), &[]);
    let second = host.sync(in_generation(&joined[1]), &[]);
    assert_eq!(host.synced(first).unwrap_err(), GroupError::RebalanceInProgress);
    host.sync(in_generation(&joined[0]), &[(&joined[1].member_id, "one")]);
    assert_eq!(host.synced(second).unwrap().assignment, "one");
}
