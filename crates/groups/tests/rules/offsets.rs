//! Committed offsets: who may commit, what is kept, when it goes.

use std::sync::Arc;
use std::time::Duration;

use duolog_groups::*;
use duolog_types::{GroupId, LeaderEpoch, MemberId, TopicId};

use crate::harness::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_commit_keeps_offset_epoch_and_note() {
    let mut host = Host::new();
    host.commit_with(outsider(), "t", 42, |request| {
        request.partitions[0].leader_epoch = Some(LeaderEpoch(3));
        request.partitions[0].metadata = Arc::from("ünïcode");
    })
    .unwrap();
    for _ in 0..2 {
        let offsets = host.shard.offsets(&GroupId::from(GROUP)).unwrap();
        let offset = offsets.get("t", 0, TopicId::ZERO).unwrap();
        assert_eq!((offset.offset.0, offset.leader_epoch), (42, Some(LeaderEpoch(3))));
        assert_eq!(&*offset.metadata, "ünïcode");
        assert_eq!(offsets.get("t", 1, TopicId::ZERO), None);
        host.restart();
    }
}

#[test]
fn a_note_has_a_limit() {
    let mut host = Host::new();
    let with = |host: &mut Host, bytes: usize| {
        host.commit_with(outsider(), "t", 1, |request| {
            request.partitions[0].metadata = Arc::from("x".repeat(bytes).as_str());
        })
    };
    assert_eq!(with(&mut host, METADATA_BYTES_MAX + 1), Err(GroupError::OffsetMetadataTooLarge));
    assert_eq!(host.state(), State::Dead, "nothing was committed, so there is no group");
    assert_eq!(with(&mut host, METADATA_BYTES_MAX), Ok(()));
}

#[test]
fn who_may_commit_depends_on_the_group() {
    #[derive(Clone, Copy, Debug)]
    enum In {
        None,
        Empty,
        Preparing,
        Completing,
        Stable,
    }
    let member =
        |id: &str, generation| MemberRef { member_id: MemberId::from(id), instance_id: None, generation };
    let simple = outsider();
    let old = member("", 1); // a generation, but nobody
    use GroupError as E;
    type Who = Option<MemberRef>; // none: the group's own leader in its generation
    let cases: Vec<(In, Who, Result<(), E>)> = vec![
        (In::None, Some(simple.clone()), Ok(())),
        (In::None, Some(member("x", 1)), Err(E::GroupIdNotFound)),
        (In::None, Some(member("x", -1)), Ok(())),
        (In::Empty, Some(simple.clone()), Ok(())),
        (In::Empty, Some(member("x", 1)), Err(E::UnknownMemberId)),
        (In::Empty, Some(old.clone()), Err(E::UnknownMemberId)),
        (In::Preparing, Some(simple.clone()), Err(E::UnknownMemberId)),
        (In::Preparing, Some(member("x", 1)), Err(E::UnknownMemberId)),
        (In::Preparing, None, Ok(())),
        (In::Completing, Some(simple.clone()), Err(E::UnknownMemberId)),
        (In::Completing, None, Err(E::RebalanceInProgress)),
        (In::Stable, Some(simple), Err(E::UnknownMemberId)),
        (In::Stable, Some(old), Err(E::UnknownMemberId)),
        (In::Stable, Some(member("x", 1)), Err(E::UnknownMemberId)),
        (In::Stable, None, Ok(())),
    ];
    for (state, who, outcome) in cases {
        let mut host = Host::new();
        let mut own = outsider();
        match state {
            In::None => {}
            In::Completing => own = in_generation(&host.form(&[client()])[0]),
            In::Empty | In::Preparing | In::Stable => own = host.stable(&[client()]).remove(0),
        }
        match state {
            In::Empty => assert_eq!(host.leave(&[(&own.member_id.0, None)]), [Ok(())]),
            In::Preparing => drop(host.join(&client())),
            _ => {}
        }
        let who = who.unwrap_or(own);
        assert_eq!(host.commit(who.clone(), "t", 5), outcome, "{state:?} {who:?}");
        assert_eq!(host.committed("t"), outcome.is_ok().then_some(5), "{state:?} {who:?}");
    }
}

#[test]
fn a_commit_in_another_generation_is_refused() {
    let mut host = Host::new();
    let member = host.stable(&[client()]).remove(0);
    for generation in [-1, 0, 2] {
        let stale = MemberRef { generation, ..member.clone() };
        assert_eq!(host.commit(stale, "t", 1), Err(GroupError::IllegalGeneration));
    }
    let mut nobody = Host::new();
    let outcome = nobody.commit_with(member, "t", 1, |request| request.group_id_not_found = false);
    assert_eq!(outcome, Err(GroupError::IllegalGeneration), "before version 9, of an unknown group");
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut host = Host::new();
    let member = host.stable(&[client()]).remove(0);
    for offset in 0..5 {
        host.pass(SESSION - secs(1));
        host.commit(member.clone(), "t", offset).unwrap();
    }
    assert_eq!(host.state(), State::Stable);
}

#[test]
fn offsets_of_topics_in_use_are_not_deleted() {
    let mut host = Host::new();
    assert_eq!(host.delete_offsets(&["t"]), Err(GroupError::GroupIdNotFound));
    let member = host.stable(&[client().topics(&["t", "u"])]).remove(0);
    for topic in ["t", "v"] {
        host.commit(member.clone(), topic, 1).unwrap();
    }
    let in_use = Err(GroupError::GroupSubscribedToTopic);
    assert_eq!(host.delete_offsets(&["t", "u", "v", "w"]), Ok(vec![in_use, in_use, Ok(()), Ok(())]));
    assert_eq!((host.committed("t"), host.committed("v")), (Some(1), None));
    host.leave(&[(&member.member_id.0, None)]);
    assert_eq!(host.delete_offsets(&["t"]), Ok(vec![Ok(())]));
    host.restart();
    assert_eq!((host.committed("t"), host.committed("v")), (None, None));
}

#[test]
fn offsets_of_a_group_with_another_protocol_type_are_deleted_when_it_is_empty() {
    let mut host = Host::new();
    let mut worker = client();
    worker.protocol_type = "connect";
    let member = host.stable(&[worker]).remove(0);
    host.commit(member.clone(), "t", 1).unwrap();
    assert_eq!(host.delete_offsets(&["t"]), Err(GroupError::NonEmptyGroup));
    host.leave(&[(&member.member_id.0, None)]);
    assert_eq!(host.delete_offsets(&["t"]), Ok(vec![Ok(())]));
}

#[test]
fn a_subscription_that_cannot_be_read_counts_as_everything() {
    let mut host = Host::new();
    let mut odd = calm();
    odd.protocols = vec![("range", bytes::Bytes::from_static(&[0]))];
    let member = host.stable(&[odd]).remove(0);
    host.commit(member.clone(), "t", 1).unwrap();
    assert_eq!(host.delete_offsets(&["t"]), Ok(vec![Err(GroupError::GroupSubscribedToTopic)]));
    beat_for(&mut host, &member, DAY * 8);
    assert_eq!(host.committed("t"), Some(1));
}

#[test]
fn a_simple_groups_offsets_expire_after_their_commit_and_the_group_with_them() {
    let mut host = Host::new();
    host.commit(outsider(), "t", 1).unwrap();
    host.pass(DAY * 4);
    host.commit(outsider(), "u", 1).unwrap();
    host.pass(DAY * 3 + secs(600));
    assert_eq!((host.committed("t"), host.committed("u")), (None, Some(1)));
    host.pass(DAY * 4);
    assert_eq!(host.state(), State::Dead);
    host.restart();
    assert_eq!(host.state(), State::Dead);
}

#[test]
fn an_empty_groups_offsets_expire_after_it_became_empty() {
    let mut host = Host::new();
    let member = host.stable(&[calm()]).remove(0);
    host.commit(member.clone(), "t", 1).unwrap();
    beat_for(&mut host, &member, DAY * 6);
    host.leave(&[(&member.member_id.0, None)]);
    host.pass(DAY * 6);
    assert_eq!(host.committed("t"), Some(1), "twelve days after the commit, six after it became Empty");
    host.restart();
    host.pass(DAY + secs(600));
    assert_eq!(host.committed("t"), None);
    assert_eq!(host.state(), State::Dead);
}

#[test]
fn a_stable_groups_offsets_expire_only_for_topics_that_nobody_reads_any_more() {
    let mut host = Host::new();
    let member = host.stable(&[calm().topics(&["t"])]).remove(0);
    host.commit(member.clone(), "t", 1).unwrap();
    host.commit(member.clone(), "old", 1).unwrap();
    beat_for(&mut host, &member, DAY * 7 + secs(600));
    assert_eq!((host.committed("t"), host.committed("old")), (Some(1), None));
}

#[test]
fn another_protocol_types_offsets_do_not_expire_while_it_has_members() {
    let mut host = Host::new();
    let mut worker = calm();
    worker.protocol_type = "connect";
    let member = host.stable(&[worker]).remove(0);
    host.commit(member.clone(), "t", 1).unwrap();
    beat_for(&mut host, &member, DAY * 8);
    assert_eq!(host.committed("t"), Some(1));
}

#[test]
fn a_commit_may_name_its_own_retention() {
    let mut host = Host::new();
    host.commit_with(outsider(), "t", 1, |request| request.retention = Some(secs(3600))).unwrap();
    host.commit_with(outsider(), "u", 1, |request| request.retention = Some(DAY * 30)).unwrap();
    host.pass(secs(3000));
    assert_eq!(host.committed("t"), Some(1));
    host.pass(secs(1200));
    assert_eq!(host.committed("t"), None);
    host.restart();
    host.pass(DAY * 29);
    assert_eq!(host.committed("u"), Some(1));
    host.pass(DAY);
    assert_eq!(host.committed("u"), None);
}

#[test]
fn a_topic_of_the_same_name_inherits_no_offset() {
    let (first, second) = (TopicId([1; 16]), TopicId([2; 16]));
    let mut host = Host::new();
    let commit = |host: &mut Host, topic_id| {
        host.commit_with(outsider(), "t", 9, |request| request.partitions[0].topic_id = topic_id).unwrap();
    };
    let id = GroupId::from(GROUP);
    commit(&mut host, first);
    assert!(host.shard.offsets(&id).unwrap().get("t", 0, first).is_some());
    assert!(host.shard.offsets(&id).unwrap().get("t", 0, second).is_none());
    commit(&mut host, second);
    host.step(Event::TopicDeleted { topic: Arc::from("t"), topic_id: first });
    assert_eq!(host.committed("t"), Some(9), "that topic's offset was overwritten before");
    host.step(Event::TopicDeleted { topic: Arc::from("t"), topic_id: second });
    assert_eq!(host.state(), State::Dead, "the group was there for its offsets alone");
    host.restart();
    assert_eq!(host.state(), State::Dead);
}

/// A client whose session is long, so that days pass in few steps.
fn calm() -> Client {
    Client { session: secs(1800), ..client() }
}

/// Keeps the group's only member, a calm one, alive for a while.
fn beat_for(host: &mut Host, member: &MemberRef, span: Duration) {
    let mut left = span;
    while !left.is_zero() {
        let step = left.min(secs(1700));
        host.pass(step);
        left -= step;
        host.heartbeat(member.clone()).unwrap();
    }
}
