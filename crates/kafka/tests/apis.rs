//! Every API in every version, over a pipe in memory: what it answers, and by which errors it refuses.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use bytes::Bytes;
use duolog_kafka::errors::ErrorCode;
use duolog_kafka::message;
use duolog_kafka::session::close::CloseReason;
use kafka_wire::*;
use kafka_wire_core::{StrBytes, Uuid};
use support::{TestBroker, batch, pipe};

fn name(name: &str) -> StrBytes {
    StrBytes::from(name)
}

fn produce(topic: &str, id: [u8; 16], acks: i16, records: Bytes) -> ProduceRequest {
    let partition = message!(produce_request::PartitionProduceData { records: Some(records) });
    let topic = message!(produce_request::TopicProduceData {
        name: name(topic),
        topic_id: Uuid::from_bytes(id),
        partition_data: vec![partition],
    });
    message!(ProduceRequest { acks: acks, timeout_ms: 1000, topic_data: vec![topic] })
}

#[tokio::test(flavor = "multi_thread")]
async fn produce_and_fetch_work_in_every_version() {
    let broker = TestBroker::new();
    let topic = broker.broker.catalog().get_or_create("t").unwrap();
    let id = topic.id().0;
    let mut pipe = pipe(&broker);
    for (offset, version) in (0_i64..).zip(3..=13) {
        let answer = pipe.wire.ask(&produce("t", id, -1, batch(&["v"])), version).await;
        let one = &answer.responses[0].partition_responses[0];
        assert_eq!((one.error_code, one.base_offset), (0, offset), "Produce v{version}");
    }
    for version in 4..=18 {
        let partition = message!(fetch_request::FetchPartition {
            partition_max_bytes: 1 << 20,
            current_leader_epoch: -1
        });
        let topic = message!(fetch_request::FetchTopic {
            topic: name("t"),
            topic_id: Uuid::from_bytes(id),
            partitions: vec![partition],
        });
        let fetch = message!(FetchRequest { max_bytes: 1 << 20, min_bytes: 1, topics: vec![topic] });
        let answer = pipe.wire.ask(&fetch, version).await;
        let one = &answer.responses[0].partitions[0];
        assert_eq!((one.error_code, one.high_watermark), (0, 11), "Fetch v{version}");
        let records = one.records.clone().unwrap();
        let batches = duolog_record::split(&records).count();
        assert_eq!(batches, 11, "Fetch v{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn produce_refuses_by_the_protocols_own_errors() {
    let broker = TestBroker::new();
    broker.broker.catalog().get_or_create("t").unwrap();
    let mut pipe = pipe(&broker);
    let code = |answer: &ProduceResponse| {
        let one = &answer.responses[0].partition_responses[0];
        assert_eq!(one.base_offset, -1);
        one.error_code
    };
    let damaged = || {
        let mut bytes = batch(&["v"]).to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Bytes::from(bytes)
    };
    let two = Bytes::from([batch(&["a"]), batch(&["b"])].concat());
    let mut based = batch(&["v"]).to_vec();
    based[7] = 5;
    let table = [
        (
            "an unknown topic",
            produce("unknown", [0; 16], -1, batch(&["v"])),
            ErrorCode::UnknownTopicOrPartition,
        ),
        ("acks 2", produce("t", [0; 16], 2, batch(&["v"])), ErrorCode::InvalidRequiredAcks),
        ("a damaged batch", produce("t", [0; 16], 1, damaged()), ErrorCode::CorruptMessage),
        ("two batches", produce("t", [0; 16], 1, two), ErrorCode::InvalidRecord),
        ("a base offset", produce("t", [0; 16], 1, based.into()), ErrorCode::InvalidRecord),
        ("nothing", produce("t", [0; 16], 1, Bytes::new()), ErrorCode::InvalidRecord),
        ("noise", produce("t", [0; 16], 1, Bytes::from(vec![0x55; 100])), ErrorCode::InvalidRecord),
        (
            "a large batch",
            produce("t", [0; 16], 1, batch(&[&"v".repeat(1_100_000)])),
            ErrorCode::MessageTooLarge,
        ),
    ];
    for (what, request, expected) in table {
        let answer = pipe.wire.ask(&request, 9).await;
        let seen = code(&answer);
        assert!(seen == expected.code() || (what == "noise" && seen != 0), "{what}: {seen}");
    }
    let mut transactional = produce("t", [0; 16], -1, batch(&["v"]));
    transactional.transactional_id = Some(name("txn"));
    assert_eq!(code(&pipe.wire.ask(&transactional, 9).await), ErrorCode::InvalidTxnState.code());
    let unknown_id = produce("", [9; 16], -1, batch(&["v"]));
    assert_eq!(code(&pipe.wire.ask(&unknown_id, 13).await), ErrorCode::UnknownTopicId.code());
    assert_eq!(
        broker.broker.catalog().topic("t").unwrap().partitions()[0].log_end().0,
        0,
        "nothing was appended"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_0_is_not_answered_and_its_failure_ends_the_connection() {
    let broker = TestBroker::new();
    broker.broker.catalog().get_or_create("t").unwrap();
    let mut pipe = pipe(&broker);
    pipe.wire.send(&produce("t", [0; 16], 0, batch(&["v"])), 7).await;
    // The next answer is the next request's: the first had none.
    let answer = pipe.wire.ask(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(answer.error_code, 0);
    pipe.wire.send(&produce("unknown", [0; 16], 0, batch(&["v"])), 7).await;
    assert!(pipe.wire.receive_raw().await.is_none());
    assert!(matches!(pipe.session.await.unwrap(), CloseReason::UnansweredProduce { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_and_epochs_are_found_in_every_version() {
    let broker = TestBroker::new();
    broker.broker.catalog().get_or_create("t").unwrap();
    let mut pipe = pipe(&broker);
    pipe.wire.ask(&produce("t", [0; 16], -1, batch(&["a", "b", "c"])), 9).await;
    for version in 1..=11 {
        let ask = |timestamp: i64| {
            let asked = message!(list_offsets_request::ListOffsetsPartition {
                current_leader_epoch: -1,
                timestamp: timestamp,
            });
            let topic =
                message!(list_offsets_request::ListOffsetsTopic { name: name("t"), partitions: vec![asked] });
            message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] })
        };
        for (timestamp, expected) in [(-1, 3), (-2, 0), (0, 0), (i64::MAX, -1)] {
            let answer = pipe.wire.ask(&ask(timestamp), version).await;
            let one = &answer.topics[0].partitions[0];
            assert_eq!((one.error_code, one.offset), (0, expected), "timestamp {timestamp} in v{version}");
        }
        let answer = pipe.wire.ask(&ask(-3), version).await;
        let expected = if version >= 7 { 0 } else { ErrorCode::UnsupportedVersion.code() };
        assert_eq!(answer.topics[0].partitions[0].error_code, expected);
    }
    for version in 2..=4 {
        for (epoch, expected) in [(0, (0, 3)), (5, (-1, -1))] {
            let asked = message!(offset_for_leader_epoch_request::OffsetForLeaderPartition {
                current_leader_epoch: 0,
                leader_epoch: epoch,
            });
            let topic = message!(offset_for_leader_epoch_request::OffsetForLeaderTopic {
                topic: name("t"),
                partitions: vec![asked],
            });
            let request = message!(OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] });
            let answer = pipe.wire.ask(&request, version).await;
            let one = &answer.topics[0].partitions[0];
            assert_eq!((one.error_code, (one.leader_epoch, one.end_offset)), (0, expected));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn producer_ids_are_fresh_and_transactions_refused_in_every_version() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    let mut seen = std::collections::HashSet::new();
    for version in 0..=5 {
        let mut request =
            message!(InitProducerIdRequest { transactional_id: None, producer_id: -1, producer_epoch: -1 });
        let answer = pipe.wire.ask(&request, version).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        assert!(seen.insert(answer.producer_id));
        request.transactional_id = Some(name("txn"));
        request.transaction_timeout_ms = 1000;
        let answer = pipe.wire.ask(&request, version).await;
        assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
        request.transactional_id = Some(name(""));
        let answer = pipe.wire.ask(&request, version).await;
        assert_eq!(answer.error_code, ErrorCode::InvalidRequest.code());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_grown_altered_and_deleted_in_every_version() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    for version in 2..=7 {
        let topic = |topic: String, replicas: i16| {
            message!(create_topics_request::CreatableTopic {
                name: topic.into(),
                num_partitions: 2,
                replication_factor: replicas,
                configs: vec![message!(create_topics_request::CreatableTopicConfig {
                    name: name("retention.ms"),
                    value: Some(name("1000")),
                })],
            })
        };
        let topics = vec![topic(format!("c{version}"), 3), topic("bad name".to_owned(), 1)];
        let answer = pipe.wire.ask(&message!(CreateTopicsRequest { topics: topics }), version).await;
        assert_eq!(answer.topics[0].error_code, 0);
        assert_eq!(answer.topics[1].error_code, ErrorCode::InvalidTopic.code());
        assert_eq!(answer.topics[0].topic_id.is_zero(), version < 7);
        if version >= 5 {
            let configs = answer.topics[0].configs.as_ref().unwrap();
            let retention = configs.iter().find(|config| &*config.name == "retention.ms").unwrap();
            assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1000"), 1));
        }
    }
    for version in 0..=3 {
        let grow = message!(create_partitions_request::CreatePartitionsTopic {
            name: name("c2"),
            count: 3 + i32::from(version),
            assignments: None,
        });
        let none = message!(create_partitions_request::CreatePartitionsTopic {
            name: name("none"),
            count: 3,
            assignments: None
        });
        let answer =
            pipe.wire.ask(&message!(CreatePartitionsRequest { topics: vec![grow, none] }), version).await;
        assert_eq!(answer.results[0].error_code, 0);
        assert_eq!(answer.results[1].error_code, ErrorCode::UnknownTopicOrPartition.code());
    }
    assert_eq!(broker.broker.catalog().topic("c2").unwrap().partitions().len(), 6);
    for version in 1..=6 {
        let topic = format!("c{}", version + 1);
        let id = broker.broker.catalog().topic(&topic).unwrap().id().0;
        let request = if version >= 6 {
            let by_id = message!(delete_topics_request::DeleteTopicState { topic_id: Uuid::from_bytes(id) });
            message!(DeleteTopicsRequest { topics: vec![by_id] })
        } else {
            message!(DeleteTopicsRequest { topic_names: vec![name(&topic), name("none")] })
        };
        let answer = pipe.wire.ask(&request, version).await;
        assert_eq!(answer.responses[0].error_code, 0, "v{version}");
        assert_eq!(answer.responses[0].name.as_deref(), Some(topic.as_str()));
        if version < 6 {
            assert_eq!(answer.responses[1].error_code, ErrorCode::UnknownTopicOrPartition.code());
        }
    }
    assert_eq!(broker.broker.catalog().topic_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_are_described_and_altered_in_every_version() {
    let broker = TestBroker::new();
    broker.broker.catalog().get_or_create("t").unwrap();
    let mut pipe = pipe(&broker);
    for version in 0..=1 {
        let config = message!(incremental_alter_configs_request::AlterableConfig {
            name: name("retention.ms"),
            value: Some(format!("{}", 100 + version).into()),
        });
        let topic = message!(incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: name("t"),
            configs: vec![config],
        });
        let broker = message!(incremental_alter_configs_request::AlterConfigsResource { resource_type: 4 });
        let answer = pipe
            .wire
            .ask(&message!(IncrementalAlterConfigsRequest { resources: vec![topic, broker] }), version)
            .await;
        assert_eq!(answer.responses[0].error_code, 0);
        assert_eq!(answer.responses[1].error_code, ErrorCode::InvalidRequest.code());
    }
    for version in 1..=4 {
        let topic = message!(describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: name("t"),
            configuration_keys: None,
        });
        let node = message!(describe_configs_request::DescribeConfigsResource {
            resource_type: 4,
            resource_name: name("1"),
            configuration_keys: None,
        });
        let none = message!(describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: name("none"),
            configuration_keys: None,
        });
        let request = message!(DescribeConfigsRequest {
            resources: vec![topic, node, none],
            include_synonyms: true,
            include_documentation: version >= 3,
        });
        let answer = pipe.wire.ask(&request, version).await;
        let retention = answer.results[0].configs.iter().find(|one| &*one.name == "retention.ms").unwrap();
        assert_eq!((retention.value.as_deref(), retention.config_source), (Some("101"), 1));
        assert_eq!(&*retention.synonyms[0].name, "retention.ms");
        assert!(answer.results[1].error_code == 0 && !answer.results[1].configs.is_empty());
        assert_eq!(answer.results[2].error_code, ErrorCode::UnknownTopicOrPartition.code());
    }
    for version in 0..=2 {
        let config = message!(alter_configs_request::AlterableConfig {
            name: name("segment.ms"),
            value: Some(name("x"))
        });
        let bad = message!(alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: name("t"),
            configs: vec![config],
        });
        let answer = pipe.wire.ask(&message!(AlterConfigsRequest { resources: vec![bad] }), version).await;
        assert_eq!(answer.responses[0].error_code, ErrorCode::InvalidConfig.code());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_log_dirs_producers_and_partition_pages_are_described_in_every_version() {
    let broker = TestBroker::new();
    for topic in ["a", "b", "c"] {
        let new = duolog_broker::catalog::NewTopic {
            name: topic.to_owned(),
            partitions: Some(3),
            ..duolog_broker::catalog::NewTopic::default()
        };
        broker.broker.catalog().create(&new).unwrap();
    }
    let mut pipe = pipe(&broker);
    for version in 0..=2 {
        let mut request = message!(DescribeClusterRequest { endpoint_type: 1 });
        let answer = pipe.wire.ask(&request, version).await;
        assert_eq!((answer.error_code, answer.brokers.len(), answer.cluster_id.len()), (0, 1, 22));
        if version >= 1 {
            request.endpoint_type = 2;
            let answer = pipe.wire.ask(&request, version).await;
            assert_eq!(answer.error_code, ErrorCode::MismatchedEndpointType.code());
        }
    }
    for version in 1..=5 {
        let answer = pipe.wire.ask(&message!(DescribeLogDirsRequest { topics: None }), version).await;
        let partitions: usize = answer.results[0].topics.iter().map(|topic| topic.partitions.len()).sum();
        assert_eq!(partitions, 9);
    }
    let topic =
        message!(describe_producers_request::TopicRequest { name: name("a"), partition_indexes: vec![0, 7] });
    let answer = pipe.wire.ask(&message!(DescribeProducersRequest { topics: vec![topic] }), 0).await;
    let codes: Vec<i16> = answer.topics[0].partitions.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);

    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let request =
            message!(DescribeTopicPartitionsRequest { response_partition_limit: 4, cursor: cursor });
        let answer = pipe.wire.ask(&request, 0).await;
        for topic in &answer.topics {
            for partition in &topic.partitions {
                pages.push(format!("{}{}", topic.name.as_deref().unwrap(), partition.partition_index));
            }
        }
        let Some(next) = answer.next_cursor else { break };
        cursor = Some(message!(describe_topic_partitions_request::Cursor {
            topic_name: next.topic_name,
            partition_index: next.partition_index,
        }));
    }
    assert_eq!(pages, ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]);
    for version in 0..=2 {
        let asked = message!(delete_records_request::DeleteRecordsPartition { offset: 5 });
        let topic =
            message!(delete_records_request::DeleteRecordsTopic { name: name("a"), partitions: vec![asked] });
        let answer = pipe.wire.ask(&message!(DeleteRecordsRequest { topics: vec![topic] }), version).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::OffsetOutOfRange.code());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_many_times_is_answered_once() {
    let broker = TestBroker::new();
    broker.broker.catalog().get_or_create("t").unwrap();
    let mut pipe = pipe(&broker);
    const TIMES: usize = 20_000;

    let mut asked = describe_configs_request::DescribeConfigsResource::default();
    (asked.resource_type, asked.resource_name) = (2, name("t"));
    asked.configuration_keys = None;
    let mut resources = vec![asked.clone(); TIMES];
    let configs = pipe.wire.ask(&message!(DescribeConfigsRequest { resources: resources.clone() }), 4).await;
    assert_eq!(configs.results.len(), 1);
    assert!(configs.results[0].configs.len() > 20, "all configs");
    // Keys of the same resource come together.
    for (resource, key) in resources.iter_mut().zip(["retention.ms", "segment.ms"].iter().cycle()) {
        resource.configuration_keys = Some(vec![name(key)]);
    }
    let configs = pipe.wire.ask(&message!(DescribeConfigsRequest { resources: resources }), 4).await;
    assert_eq!((configs.results.len(), configs.results[0].configs.len()), (1, 2));

    let topics = vec![message!(metadata_request::MetadataRequestTopic { name: Some(name("t")) }); TIMES];
    let metadata = pipe.wire.ask(&message!(MetadataRequest { topics: Some(topics) }), 9).await;
    assert_eq!(metadata.topics.len(), 1);

    let topic = message!(describe_log_dirs_request::DescribableLogDirTopic {
        topic: name("t"),
        partitions: vec![0; 3]
    });
    let request = message!(DescribeLogDirsRequest { topics: Some(vec![topic; TIMES]) });
    let dirs = pipe.wire.ask(&request, 4).await;
    assert_eq!((dirs.results[0].topics.len(), dirs.results[0].topics[0].partitions.len()), (1, 1));

    let topic = message!(describe_producers_request::TopicRequest {
        name: name("t"),
        partition_indexes: vec![0; TIMES]
    });
    let producers = pipe.wire.ask(&message!(DescribeProducersRequest { topics: vec![topic] }), 0).await;
    assert_eq!(producers.topics[0].partitions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_holds_so_much_and_refuses_the_rest() {
    let broker = TestBroker::new();
    let config = duolog_kafka::KafkaConfig { fetch_max_bytes: 100_000, ..Default::default() };
    let mut pipe = support::pipe_with(&broker, config);
    let topics = (0..40).map(|number| {
        message!(create_topics_request::CreatableTopic {
            name: StrBytes::from(format!("t{number:02}")),
            num_partitions: 1,
            replication_factor: 1,
        })
    });
    let created = pipe.wire.ask(&message!(CreateTopicsRequest { topics: topics.collect() }), 7).await;
    let made = created.topics.iter().filter(|topic| topic.error_code == 0).count();
    assert!(made > 0 && made < 40, "{made}");
    assert_eq!(broker.broker.catalog().topic_count(), made, "what isn't told isn't made");
    assert_eq!(created.topics[39].error_code, ErrorCode::InvalidRequest.code());

    let names = (0..made).map(|number| StrBytes::from(format!("t{number:02}")));
    let resources = names.map(|name| {
        message!(describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: name,
            configuration_keys: None,
        })
    });
    let request = message!(DescribeConfigsRequest {
        resources: resources.collect(),
        include_synonyms: true,
        include_documentation: true,
    });
    let described = pipe.wire.ask(&request, 4).await;
    let told = described.results.iter().filter(|result| result.error_code == 0).count();
    assert!(told > 0 && told < made, "{told} of {made}");
    let last = described.results.last().unwrap();
    assert_eq!((last.error_code, last.configs.len()), (ErrorCode::InvalidRequest.code(), 0));
}
