//! Damaged requests of every API in every version: cut off anywhere, with any byte changed, with counts and
//! lengths that lie. Each is answered or ends its connection; nothing panics, and others don't notice.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use duolog_kafka::KafkaConfig;
use duolog_kafka::dispatch::APIS;
use duolog_kafka::door::Door;
use duolog_kafka::session::close::CloseReason;
use duolog_kafka::session::connection::Connection;
use duolog_testkit::SimRng;
use kafka_wire::*;
use kafka_wire_core::{StrBytes, Uuid};
use support::{TestBroker, batch};
use tokio::sync::watch;

/// APIs about groups, whose requests are made by the tests beside them.
const GROUP_KEYS: [i16; 11] = [8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47];

/// Well-formed requests that reach deep: every array has an element.
fn requests() -> Vec<(i16, i16, BytesMut)> {
    let mut frames = Vec::new();
    macro_rules! request {
        ($request:expr) => {{
            let request = $request;
            let key = api_key(&request);
            let api = APIS.iter().find(|api| api.key == key).unwrap();
            for version in api.min..=api.max {
                if let Some(frame) = support::try_encode(&request, version, 7) {
                    frames.push((key, version, frame));
                }
            }
        }};
    }
    let name = || StrBytes::from("t");
    let id = || Uuid::from_bytes([3; 16]);
    macro_rules! m { ($($message:tt)*) => { duolog_kafka::message!($($message)*) } }
    let records = Some(batch(&["value"]));
    request!(m!(ProduceRequest {
        acks: -1,
        topic_data: vec![m!(produce_request::TopicProduceData {
            name: name(),
            topic_id: id(),
            partition_data: vec![m!(produce_request::PartitionProduceData { records: records })],
        })]
    }));
    request!(m!(FetchRequest {
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![m!(fetch_request::FetchTopic {
            topic: name(),
            topic_id: id(),
            partitions: vec![m!(fetch_request::FetchPartition { partition_max_bytes: 1 << 20 })],
        })]
    }));
    request!(m!(FetchRequest {
        session_id: 5,
        session_epoch: 0,
        topics: vec![m!(fetch_request::FetchTopic {
            topic: name(),
            topic_id: id(),
            partitions: vec![m!(fetch_request::FetchPartition { last_fetched_epoch: -1 })],
        })],
        forgotten_topics_data: vec![m!(fetch_request::ForgottenTopic {
            topic: name(),
            topic_id: id(),
            partitions: vec![1]
        })]
    }));
    request!(m!(ListOffsetsRequest {
        replica_id: -1,
        topics: vec![m!(list_offsets_request::ListOffsetsTopic {
            name: name(),
            partitions: vec![m!(list_offsets_request::ListOffsetsPartition { timestamp: 1 })],
        })]
    }));
    request!(m!(MetadataRequest {
        topics: Some(vec![m!(metadata_request::MetadataRequestTopic { name: Some(name()) })])
    }));
    request!(m!(ApiVersionsRequest { client_software_name: name(), client_software_version: name() }));
    request!(m!(CreateTopicsRequest {
        validate_only: true,
        topics: vec![m!(create_topics_request::CreatableTopic {
            name: name(),
            assignments: vec![m!(create_topics_request::CreatableReplicaAssignment { broker_ids: vec![1] })],
            configs: vec![m!(create_topics_request::CreatableTopicConfig {
                name: name(),
                value: Some(name())
            })],
        })]
    }));
    request!(m!(DeleteTopicsRequest { topic_names: vec![StrBytes::from("none")] }));
    request!(m!(DeleteTopicsRequest {
        topics: vec![m!(delete_topics_request::DeleteTopicState { topic_id: id() })]
    }));
    request!(m!(DeleteRecordsRequest {
        topics: vec![m!(delete_records_request::DeleteRecordsTopic {
            name: name(),
            partitions: vec![m!(delete_records_request::DeleteRecordsPartition { offset: 1 })],
        })]
    }));
    request!(m!(InitProducerIdRequest {
        producer_id: -1,
        producer_epoch: -1,
        transactional_id: Some(name())
    }));
    request!(m!(OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![m!(offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: name(),
            partitions: vec![m!(offset_for_leader_epoch_request::OffsetForLeaderPartition {
                leader_epoch: 0
            })],
        })]
    }));
    request!(m!(DescribeConfigsRequest {
        resources: vec![m!(describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: name(),
            configuration_keys: Some(vec![name()]),
        })]
    }));
    request!(m!(AlterConfigsRequest {
        resources: vec![m!(alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: name(),
            configs: vec![m!(alter_configs_request::AlterableConfig { name: name(), value: Some(name()) })],
        })]
    }));
    request!(m!(IncrementalAlterConfigsRequest {
        resources: vec![m!(incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: name(),
            configs: vec![m!(incremental_alter_configs_request::AlterableConfig {
                name: name(),
                value: Some(name())
            })],
        })]
    }));
    request!(m!(DescribeLogDirsRequest {
        topics: Some(vec![m!(describe_log_dirs_request::DescribableLogDirTopic {
            topic: name(),
            partitions: vec![0],
        })])
    }));
    request!(m!(CreatePartitionsRequest {
        validate_only: true,
        topics: vec![m!(create_partitions_request::CreatePartitionsTopic {
            name: name(),
            count: 2,
            assignments: Some(vec![m!(create_partitions_request::CreatePartitionsAssignment {
                broker_ids: vec![1]
            })]),
        })]
    }));
    request!(m!(DescribeClusterRequest { endpoint_type: 1 }));
    request!(m!(DescribeTopicPartitionsRequest {
        topics: vec![m!(describe_topic_partitions_request::TopicRequest { name: name() })],
        response_partition_limit: 1,
        cursor: Some(m!(describe_topic_partitions_request::Cursor { topic_name: name() })),
    }));
    request!(m!(DescribeProducersRequest {
        topics: vec![m!(describe_producers_request::TopicRequest {
            name: name(),
            partition_indexes: vec![0],
        })]
    }));
    frames
}

fn api_key<R: KafkaRequest>(_: &R) -> i16 {
    R::API_KEY.value()
}

/// Sends frames one after the other over one connection, which ends with the last at the latest.
async fn converse(door: &Door, frames: &[Bytes]) -> CloseReason {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend_from_slice(&i32::try_from(frame.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(frame);
    }
    let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 5)), Duration::from_secs(1));
    door.converse(&bytes[..], tokio::io::sink(), &connection).await
}

fn door(broker: &TestBroker) -> (Door, watch::Sender<bool>) {
    let (draining, receiver) = watch::channel(false);
    (Door::new(broker.broker.clone(), KafkaConfig::default(), 9092, receiver), draining)
}

fn fixture() -> TestBroker {
    let broker = TestBroker::with(duolog_broker::BrokerConfig {
        auto_create_topics: false,
        ..duolog_broker::BrokerConfig::default()
    });
    broker.broker.catalog().get_or_create("t").unwrap();
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn well_formed_requests_of_every_api_and_version_are_answered() {
    let broker = fixture();
    let (door, _draining) = door(&broker);
    let frames = requests();
    for api in APIS.iter().filter(|api| !GROUP_KEYS.contains(&api.key)) {
        for version in api.min..=api.max {
            assert!(
                frames.iter().any(|(key, of, _)| (*key, *of) == (api.key, version)),
                "{} v{version}",
                api.name
            );
        }
    }
    for (key, version, frame) in frames {
        let reason = converse(&door, &[frame.freeze()]).await;
        assert!(matches!(reason, CloseReason::PeerClosed), "key {key} v{version}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_cut_off_anywhere_or_changed_anywhere_never_panic() {
    let broker = fixture();
    let (door, _draining) = door(&broker);
    let rng = SimRng::new(20_261_123);
    let mut refused = 0;
    for (_, _, frame) in requests() {
        for length in 8..frame.len() {
            let reason = converse(&door, &[frame.clone().freeze().slice(..length)]).await;
            refused += usize::from(reason.is_bad_input());
            assert!(!matches!(reason, CloseReason::Internal(_)), "{reason}");
        }
        for _ in 0..60 {
            let mut changed = frame.clone();
            // Not the API and the version: other frames have those.
            for _ in 0..=rng.below(2) {
                let place = 8 + rng.index(changed.len() - 8);
                changed[place] = [0, 1, 0x7f, 0x80, 0xff, rng.below(256) as u8][rng.index(6)];
            }
            let reason = converse(&door, &[changed.freeze()]).await;
            refused += usize::from(reason.is_bad_input());
            assert!(!matches!(reason, CloseReason::Internal(_)), "{reason}");
        }
    }
    assert!(refused > 1000, "{refused} of the damaged requests were refused");
    // Somebody else is served as before.
    let mut pipe = support::pipe(&broker);
    assert_eq!(pipe.wire.ask(&ApiVersionsRequest::default(), 0).await.error_code, 0);
}
