//! The group APIs on the wire: every version, the errors they name, and requests that wait.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use duolog_broker::catalog::NewTopic;
use duolog_broker::{BrokerConfig, GroupsConfig};
use duolog_kafka::{KafkaConfig, message};
use kafka_wire::join_group_request::JoinGroupRequestProtocol;
use kafka_wire::leave_group_request::MemberIdentity;
use kafka_wire::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_wire::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_wire::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_wire::sync_group_request::SyncGroupRequestAssignment;
use kafka_wire::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest,
};
use kafka_wire_core::{StrBytes, Uuid};
use support::{TestBroker, TestServer, Wire};
use tokio::net::TcpStream;

type Client = Wire<TcpStream>;

fn name(name: &str) -> StrBytes {
    StrBytes::from(name)
}

fn broker(initial_rebalance_delay: Duration) -> TestBroker {
    let groups = GroupsConfig { initial_rebalance_delay, ..GroupsConfig::default() };
    TestBroker::with(BrokerConfig { groups, ..BrokerConfig::default() })
}

async fn start() -> TestServer {
    let server = TestServer::over(broker(Duration::ZERO), KafkaConfig::default()).await;
    let new = NewTopic { name: "orders".to_owned(), partitions: Some(2), ..NewTopic::default() };
    server.broker.broker.catalog().create(&new).unwrap();
    server
}

fn id_of(server: &TestServer, topic: &str) -> Uuid {
    Uuid::from_bytes(server.broker.broker.catalog().topic(topic).unwrap().id().0)
}

fn join(group: &str, member: &StrBytes) -> JoinGroupRequest {
    message!(JoinGroupRequest {
        group_id: name(group),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.clone(),
        protocol_type: name("consumer"),
        protocols: vec![message!(JoinGroupRequestProtocol {
            name: name("range"),
            metadata: Bytes::from_static(b"m"),
        })],
    })
}

/// Joins, with a second request where the version asks for it.
async fn joined(client: &mut Client, group: &str, version: i16) -> JoinGroupResponse {
    let first = client.ask(&join(group, &name("")), version).await;
    if version < 4 {
        return first;
    }
    assert_eq!(first.error_code, 79, "MEMBER_ID_REQUIRED");
    assert_eq!((first.generation_id, first.leader.as_str()), (-1, ""));
    client.ask(&join(group, &first.member_id), version).await
}

fn sync(group: &str, joined: &JoinGroupResponse) -> SyncGroupRequest {
    message!(SyncGroupRequest {
        group_id: name(group),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some(name("consumer")),
        protocol_name: Some(name("range")),
        assignments: vec![message!(SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"all"),
        })],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_lives_through_every_version_of_its_apis() {
    let server = start().await;
    let mut client = server.connect().await;
    for version in 0..=9 {
        let group = format!("g{version}");
        let joined = joined(&mut client, &group, version).await;
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "v{version}");
        assert_eq!(joined.leader, joined.member_id);
        assert!(joined.member_id.starts_with("test-"), "{}", &*joined.member_id);
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(joined.protocol_type.as_deref(), (version >= 7).then_some("consumer"));
        assert_eq!((joined.members.len(), &joined.members[0].metadata[..]), (1, &b"m"[..]));

        let version = version.min(5);
        let synced = client.ask(&sync(&group, &joined), version).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]));

        let version = version.min(4);
        let heartbeat = |generation| {
            message!(HeartbeatRequest {
                group_id: name(&group),
                generation_id: generation,
                member_id: joined.member_id.clone(),
            })
        };
        assert_eq!(client.ask(&heartbeat(1), version).await.error_code, 0);
        assert_eq!(client.ask(&heartbeat(7), version).await.error_code, 22, "ILLEGAL_GENERATION");

        let identity = message!(MemberIdentity { member_id: joined.member_id.clone() });
        let leave = |version| {
            let mut leave = message!(LeaveGroupRequest { group_id: name(&group) });
            if version < 3 {
                leave.member_id = joined.member_id.clone();
            } else {
                leave.members = vec![identity.clone()];
            }
            leave
        };
        let version = version.min(5);
        let left = client.ask(&leave(version), version).await;
        assert_eq!(left.error_code, 0);
        assert!(left.members.iter().all(|member| member.error_code == 0));
        let again = client.ask(&leave(version), version).await;
        let outcome = if version < 3 { again.error_code } else { again.members[0].error_code };
        assert_eq!(outcome, 25, "UNKNOWN_MEMBER_ID");
    }
    // From version 5 on the protocol must be named.
    let joined = joined(&mut client, "named", 9).await;
    let mut unnamed = sync("named", &joined);
    unnamed.protocol_name = None;
    assert_eq!(client.ask(&unnamed, 5).await.error_code, 23, "INCONSISTENT_GROUP_PROTOCOL");
    let mut short = join("short", &name(""));
    short.session_timeout_ms = 5;
    for version in [0, 6, 7, 9] {
        assert_eq!(client.ask(&short, version).await.error_code, 26, "INVALID_SESSION_TIMEOUT");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_is_this_broker_in_every_version() {
    let server = start().await;
    let mut client = server.connect().await;
    for version in 0..=6 {
        for (kind, error) in [(0, 0), (1, 0), (2, 42), (9, 42)] {
            if version == 0 && kind != 0 {
                continue;
            }
            let mut request = message!(FindCoordinatorRequest { key_type: kind });
            if version < 4 {
                request.key = name("g");
            } else {
                request.coordinator_keys = vec![name("g"), name("h")];
            }
            let answer = client.ask(&request, version).await;
            let found = if version < 4 {
                vec![(answer.error_code, answer.port)]
            } else {
                assert_eq!(&*answer.coordinators[1].key, "h");
                answer.coordinators.iter().map(|one| (one.error_code, one.port)).collect()
            };
            let port = if error == 0 { i32::from(server.address.port()) } else { -1 };
            assert!(found.iter().all(|one| *one == (error, port)), "v{version} type {kind}: {found:?}");
        }
    }
    server.stop().await;
}

/// Commits partitions 0 and 7, of which only the first exists.
fn commit(server: &TestServer, version: i16, offset: i64) -> OffsetCommitRequest {
    let partition = |index| {
        message!(OffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: offset,
            committed_leader_epoch: if version >= 6 { 0 } else { -1 },
            committed_metadata: Some(name("note")),
        })
    };
    let mut topic = message!(OffsetCommitRequestTopic { partitions: vec![partition(0), partition(7)] });
    let mut unknown = message!(OffsetCommitRequestTopic { partitions: vec![partition(0)] });
    if version >= 10 {
        topic.topic_id = id_of(server, "orders");
        unknown.topic_id = Uuid::from_bytes([7; 16]);
    } else {
        topic.name = name("orders");
        unknown.name = name("unknown");
    }
    message!(OffsetCommitRequest {
        group_id: name("g"),
        generation_id_or_member_epoch: -1,
        topics: vec![topic, unknown],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let server = start().await;
    let mut client = server.connect().await;
    for version in 2..=10 {
        let answer = client.ask(&commit(&server, version, i64::from(version)), version).await;
        let codes: Vec<_> = answer
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|one| one.error_code))
            .collect();
        assert_eq!(codes, [0, 3, if version >= 10 { 100 } else { 3 }], "v{version}");
        if version >= 10 {
            assert_eq!(answer.topics[0].topic_id, id_of(&server, "orders"));
        } else {
            assert_eq!(&*answer.topics[0].name, "orders");
        }
        let fetched = fetch(&server, &mut client, version, false).await;
        let epoch = if version >= 6 { 0 } else { -1 };
        assert_eq!(fetched, [(0, version.into(), epoch, "note".to_owned()), (1, -1, -1, String::new())]);
        let every = fetch(&server, &mut client, version, true).await;
        assert_eq!(every, [(0, version.into(), epoch, "note".to_owned())]);
    }
    let mut as_member = commit(&server, 9, 1);
    as_member.group_id = name("nobody");
    as_member.generation_id_or_member_epoch = 3;
    let code = |answer: kafka_wire::OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    assert_eq!(code(client.ask(&as_member, 8).await), 22, "ILLEGAL_GENERATION");
    assert_eq!(code(client.ask(&as_member, 9).await), 69, "GROUP_ID_NOT_FOUND");
    let mut noted = commit(&server, 9, 1);
    noted.topics[0].partitions[0].committed_metadata = Some(StrBytes::from("x".repeat(4097).as_str()));
    assert_eq!(code(client.ask(&noted, 9).await), 12, "OFFSET_METADATA_TOO_LARGE");
    server.stop().await;
}

/// Partition, offset, leader epoch and note of what the group "g" has committed for partitions 0 and 1, or at all.
async fn fetch(
    server: &TestServer,
    client: &mut Client,
    version: i16,
    every: bool,
) -> Vec<(i32, i64, i32, String)> {
    if version < 8 {
        let topic = message!(OffsetFetchRequestTopic { name: name("orders"), partition_indexes: vec![0, 1] });
        let request =
            message!(OffsetFetchRequest { group_id: name("g"), topics: (!every).then(|| vec![topic]) });
        let answer = client.ask(&request, version).await;
        assert_eq!((answer.error_code, answer.topics.len()), (0, 1));
        let partitions = answer.topics[0].partitions.iter();
        return partitions
            .map(|one| {
                assert_eq!(one.error_code, 0);
                let note = one.metadata.as_deref().unwrap().to_owned();
                (
                    one.partition_index,
                    one.committed_offset,
                    if version < 5 && one.committed_offset >= 0 { -1 } else { one.committed_leader_epoch },
                    note,
                )
            })
            .collect();
    }
    let mut topic = message!(OffsetFetchRequestTopics { partition_indexes: vec![0, 1] });
    let mut unknown = message!(OffsetFetchRequestTopics { partition_indexes: vec![0] });
    if version >= 10 {
        topic.topic_id = id_of(server, "orders");
        unknown.topic_id = Uuid::from_bytes([7; 16]);
    } else {
        topic.name = name("orders");
        unknown.name = name("unknown");
    }
    let group = |id: &str| {
        message!(OffsetFetchRequestGroup {
            group_id: name(id),
            topics: (!every).then(|| vec![topic.clone(), unknown.clone()]),
        })
    };
    let request = message!(OffsetFetchRequest { groups: vec![group("g"), group("nobody")] });
    let answer = client.ask(&request, version).await;
    assert!(answer.groups.iter().all(|group| group.error_code == 0));
    let nobody = &answer.groups[1];
    assert!(nobody.topics.iter().flat_map(|topic| &topic.partitions).all(|one| one.committed_offset == -1));
    if !every {
        let unknown = &answer.groups[0].topics[1].partitions[0];
        let expected = if version >= 10 { 100 } else { 0 };
        assert_eq!((unknown.committed_offset, unknown.error_code), (-1, expected));
    }
    let partitions = answer.groups[0].topics[0].partitions.iter();
    partitions
        .map(|one| {
            let note = one.metadata.as_deref().unwrap().to_owned();
            (one.partition_index, one.committed_offset, one.committed_leader_epoch, note)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_administered_in_every_version() {
    let server = start().await;
    let mut client = server.connect().await;
    let joined = joined(&mut client, "members", 9).await;
    assert_eq!(client.ask(&sync("members", &joined), 5).await.error_code, 0);
    let mut offsets = commit(&server, 9, 5);
    offsets.topics.truncate(1);
    client.ask(&offsets, 9).await;
    for version in 0..=5 {
        let mut request = ListGroupsRequest::default();
        let listed = client.ask(&request, version).await;
        let mut names: Vec<_> = listed.groups.iter().map(|group| group.group_id.as_str()).collect();
        names.sort_unstable();
        assert_eq!((listed.error_code, names), (0, vec!["g", "members"]));
        if version >= 4 {
            request.states_filter = vec![name("sTable")];
            let listed = client.ask(&request, version).await;
            assert_eq!((listed.groups.len(), listed.groups[0].group_state.as_str()), (1, "Stable"));
        }
        if version >= 5 {
            request.types_filter = vec![name("share")];
            assert_eq!(client.ask(&request, version).await.groups, []);
            request.types_filter = vec![name("Classic")];
            assert_eq!(&*client.ask(&request, version).await.groups[0].group_type, "classic");
        }
    }
    for version in 0..=6 {
        let request = message!(DescribeGroupsRequest {
            groups: vec![name("members"), name("nobody")],
            include_authorized_operations: version >= 3,
        });
        let described = client.ask(&request, version).await;
        let [members, nobody] = &described.groups[..] else { panic!("{described:?}") };
        assert_eq!((members.group_state.as_str(), members.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!(members.authorized_operations >= 0, version >= 3);
        let member = &members.members[0];
        assert_eq!(
            (member.member_id.clone(), &member.member_assignment[..]),
            (joined.member_id.clone(), &b"all"[..])
        );
        assert_eq!(&*member.client_host, "/127.0.0.1");
        assert_eq!(&*nobody.group_state, "Dead");
        assert_eq!(nobody.error_code, if version >= 6 { 69 } else { 0 });
        assert_eq!(nobody.error_message.is_some(), version >= 6);
    }
    let delete = |partitions: &[i32]| {
        let partitions =
            partitions.iter().map(|index| message!(OffsetDeleteRequestPartition { partition_index: *index }));
        let partitions = partitions.collect();
        let topic = message!(OffsetDeleteRequestTopic { name: name("orders"), partitions: partitions });
        message!(OffsetDeleteRequest { group_id: name("g"), topics: vec![topic] })
    };
    let deleted = client.ask(&delete(&[9, 0]), 0).await;
    let codes: Vec<_> = deleted.topics[0].partitions.iter().map(|one| one.error_code).collect();
    assert_eq!((deleted.error_code, codes), (0, vec![3, 0]));
    assert_eq!(client.ask(&delete(&[0]), 0).await.error_code, 69, "it went with its last offset");
    for version in 0..=2 {
        client.ask(&offsets, 9).await;
        let request =
            message!(DeleteGroupsRequest { groups_names: vec![name("g"), name("members"), name("nobody")] });
        let deleted = client.ask(&request, version).await;
        let codes: Vec<_> = deleted.results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, 68, 69], "NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_connection_and_holds_nobody_else_up() {
    let day = Duration::from_secs(86_400);
    let server = TestServer::over(broker(day), KafkaConfig::default()).await;
    let groups = server.broker.broker.groups().clone();
    let mut waiting = server.connect().await;
    waiting.send(&join("g", &name("")), 3).await;
    let mut other = server.connect().await;
    while groups.parked() == 0 {
        // Another connection is served all the while.
        assert_eq!(other.ask(&ListGroupsRequest::default(), 5).await.error_code, 0);
    }
    drop(waiting);
    while groups.parked() > 0 {
        assert_eq!(other.ask(&ListGroupsRequest::default(), 5).await.error_code, 0);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_broker_sends_those_who_wait_away() {
    let day = Duration::from_secs(86_400);
    let server = TestServer::over(broker(day), KafkaConfig::default()).await;
    let groups = server.broker.broker.groups().clone();
    let mut waiting = server.connect().await;
    waiting.send(&join("g", &name("")), 3).await;
    while groups.parked() == 0 {
        tokio::task::yield_now().await;
    }
    let stopped = tokio::spawn(server.stop());
    let answer = waiting.receive::<JoinGroupRequest>(3).await.unwrap();
    assert_eq!(answer.error_code, 15, "COORDINATOR_NOT_AVAILABLE");
    stopped.await.unwrap();
}
