//! What the tests of groups share: requests, and futures that a test looks at when it wants to.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use duolog_broker::groups::{
    CommitOffsets, CommitPartition, GroupError, Heartbeat, JoinGroup, Joined, MemberRef, NOBODY, Protocol,
    SyncGroup, TopicPartition,
};
use duolog_broker::{Answer, Broker, BrokerConfig, GroupsConfig, Lsn, Topic};
use duolog_env::Env;
use duolog_types::{GroupId, LeaderEpoch, MemberId, Offset};

use super::log_config;

pub fn group(id: &str) -> GroupId {
    GroupId::from(id)
}

/// A broker whose groups don't wait for more members.
pub fn open_eager(env: Env) -> Arc<Broker> {
    let groups = GroupsConfig { initial_rebalance_delay: Duration::ZERO, ..GroupsConfig::default() };
    Broker::open(env, BrokerConfig { groups, ..BrokerConfig::default() }, log_config("/data")).unwrap()
}

pub fn join_request(id: &str, member: &str, instance: Option<&str>) -> JoinGroup {
    JoinGroup {
        to: NOBODY,
        group: group(id),
        member_id: MemberId::from(member),
        instance_id: instance.map(Arc::from),
        client_id: Arc::from("test"),
        client_host: Arc::from("/127.0.0.1"),
        protocol_type: Arc::from("consumer"),
        protocols: vec![Protocol { name: Arc::from("range"), metadata: Bytes::from_static(b"m") }],
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        must_know_member_id: false,
        can_skip_assignment: true,
        entropy: [0; 16],
    }
}

pub fn sync_request(id: &str, joined: &Joined, assignments: &[(&MemberId, &'static str)]) -> SyncGroup {
    let assignments =
        assignments.iter().map(|(member, part)| ((*member).clone(), Bytes::from_static(part.as_bytes())));
    SyncGroup {
        to: NOBODY,
        group: group(id),
        member: as_member(joined),
        protocol_type: None,
        protocol_name: None,
        assignments: assignments.collect(),
    }
}

pub fn as_member(joined: &Joined) -> MemberRef {
    MemberRef { member_id: joined.member_id.clone(), instance_id: None, generation: joined.generation }
}

pub fn outsider() -> MemberRef {
    MemberRef { member_id: MemberId::from(""), instance_id: None, generation: -1 }
}

pub fn commit_request(id: &str, member: MemberRef, topic: &Topic, offset: i64, note: &str) -> CommitOffsets {
    let commit = CommitPartition {
        partition: TopicPartition { topic: topic.name().clone(), partition: 0 },
        topic_id: topic.id(),
        offset: Offset(offset),
        leader_epoch: Some(LeaderEpoch(0)),
        metadata: Arc::from(note),
    };
    CommitOffsets {
        to: NOBODY,
        group: group(id),
        member,
        partitions: vec![commit],
        retention: None,
        group_id_not_found: true,
    }
}

pub fn heartbeat(broker: &Broker, id: &str, member: MemberRef) -> Answer<Result<(), GroupError>> {
    broker.groups().heartbeat(Heartbeat { to: NOBODY, group: group(id), member })
}

/// Offset and note of partition 0, and what an answer with them waits for.
pub fn committed(broker: &Broker, id: &str, topic: &Topic) -> (Option<(i64, String)>, Lsn) {
    let answer = broker.groups().offsets(&group(id), |offsets| {
        let offset = offsets.and_then(|offsets| offsets.get(topic.name(), 0, topic.id()));
        offset.map(|offset| (offset.offset.0, offset.metadata.to_string()))
    });
    (answer.value.unwrap(), answer.lsn)
}

/// A future that its test looks at when it wants to.
pub struct Waits<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Waits<T> {
    pub fn on(future: impl Future<Output = T> + 'static) -> Self {
        Self(Box::pin(future))
    }

    pub fn look(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

pub fn join(broker: &Broker, request: JoinGroup) -> Waits<Joined> {
    let groups = broker.groups().clone();
    Waits::on(async move { *groups.join(request).await.value.unwrap() })
}
