//! What a producer is told when the disk fails under its batch: an error that it retries, and never an offset.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use duolog_broker::{Broker, BrokerConfig};
use duolog_kafka::door::Door;
use duolog_kafka::errors::ErrorCode;
use duolog_kafka::session::close::CloseReason;
use duolog_kafka::session::connection::Connection;
use duolog_kafka::{KafkaConfig, message};
use duolog_testkit::SimEnv;
use kafka_wire::*;
use support::Wire;
use tokio::sync::watch;

/// A log without threads, so that the test says when it commits.
fn broker(sim: &SimEnv) -> Arc<Broker> {
    let mut log = support::log_config(std::path::Path::new("/data"));
    log.wal_file_bytes = 1 << 20;
    log.threads = false;
    let broker = Broker::open(sim.env(), BrokerConfig::default(), log).unwrap();
    broker.catalog().get_or_create("t").unwrap();
    broker.commit().unwrap();
    broker
}

fn produce(sim: &SimEnv) -> ProduceRequest {
    // By the simulated clock: the broker refuses records from the future.
    let now = sim.env().clock.wall().to_ms();
    let mut builder = duolog_record::BatchBuilder::new(duolog_types::Offset(0));
    builder.push(now, None, Some(b"v")).unwrap();
    let data = message!(produce_request::PartitionProduceData { records: Some(builder.build().unwrap()) });
    let topic = message!(produce_request::TopicProduceData { name: "t".into(), partition_data: vec![data] });
    message!(ProduceRequest { transactional_id: None, acks: -1, topic_data: vec![topic] })
}

/// A session over a pipe in memory.
fn serve(broker: &Arc<Broker>) -> (Wire<tokio::io::DuplexStream>, watch::Sender<bool>) {
    let (draining, receiver) = watch::channel(false);
    let door = Door::new(Arc::clone(broker), KafkaConfig::default(), 9092, receiver);
    let (client, server) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let (reader, writer) = tokio::io::split(server);
        let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 5)), Duration::from_secs(1));
        door.converse(reader, writer, &connection).await
    });
    (Wire::new(client), draining)
}

/// Sends a request whose answer has to wait for a commit, commits, and receives the answer.
async fn ask_before_commit<R: kafka_wire::RequestResponsePair>(
    broker: &Arc<Broker>,
    request: &R,
    version: i16,
) -> R::Response {
    let (mut wire, _draining) = serve(broker);
    wire.send(request, version).await;
    let early = tokio::select! {
        biased;
        _ = wire.receive_raw() => true,
        () = async { for _ in 0..100 { tokio::task::yield_now().await } } => false,
    };
    assert!(!early, "{} was answered by what isn't durable", R::NAME);
    broker.commit().unwrap();
    wire.receive::<R>(version).await.unwrap()
}

#[tokio::test]
async fn that_a_topic_is_gone_is_told_when_it_is_durable() {
    let sim = SimEnv::new(4);
    let broker = broker(&sim);
    let gone = || {
        let topic = broker.catalog().get_or_create("t").unwrap();
        broker.commit().unwrap();
        broker.catalog().delete(topic.id()).unwrap();
    };
    let unknown = ErrorCode::UnknownTopicOrPartition.code();

    gone();
    let answer = ask_before_commit(&broker, &produce(&sim), 9).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, unknown);

    gone();
    let partition = message!(fetch_request::FetchPartition { partition_max_bytes: 100 });
    let topic = message!(fetch_request::FetchTopic { topic: "t".into(), partitions: vec![partition] });
    let fetch = message!(FetchRequest { max_bytes: 100, session_epoch: -1, topics: vec![topic] });
    let answer = ask_before_commit(&broker, &fetch, 12).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, unknown);

    gone();
    let partition = message!(list_offsets_request::ListOffsetsPartition { timestamp: -1 });
    let topic =
        message!(list_offsets_request::ListOffsetsTopic { name: "t".into(), partitions: vec![partition] });
    let answer = ask_before_commit(&broker, &message!(ListOffsetsRequest { topics: vec![topic] }), 5).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, unknown);

    gone();
    let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
    let topic = message!(offset_for_leader_epoch_request::OffsetForLeaderTopic {
        topic: "t".into(),
        partitions: vec![partition]
    });
    let request = message!(OffsetForLeaderEpochRequest { topics: vec![topic] });
    let answer = ask_before_commit(&broker, &request, 4).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, unknown);

    gone();
    let partition = message!(delete_records_request::DeleteRecordsPartition { offset: -1 });
    let topic = message!(delete_records_request::DeleteRecordsTopic {
        name: "t".into(),
        partitions: vec![partition]
    });
    let answer = ask_before_commit(&broker, &message!(DeleteRecordsRequest { topics: vec![topic] }), 2).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, unknown);

    let topic = broker.catalog().get_or_create("t").unwrap();
    broker.commit().unwrap();
    broker.catalog().delete(topic.id()).unwrap();
    let id = kafka_wire_core::Uuid::from_bytes(topic.id().0);
    let asked = message!(metadata_request::MetadataRequestTopic { topic_id: id, name: None });
    let answer =
        ask_before_commit(&broker, &message!(MetadataRequest { topics: Some(vec![asked]) }), 12).await;
    assert_eq!(answer.topics[0].error_code, ErrorCode::UnknownTopicId.code());
}

#[tokio::test]
async fn that_a_sequence_does_not_follow_is_told_when_what_it_should_follow_is_durable() {
    let sim = SimEnv::new(5);
    let broker = broker(&sim);
    let sent = |epoch: i16, sequence: i32| {
        let mut builder = duolog_record::BatchBuilder::new(duolog_types::Offset(0)).producer(
            duolog_types::ProducerId(7),
            duolog_types::ProducerEpoch(epoch),
            sequence,
        );
        builder.push(sim.env().clock.wall().to_ms(), None, Some(b"v")).unwrap();
        let records = Some(builder.build().unwrap());
        let data = message!(produce_request::PartitionProduceData { records: records });
        let topic =
            message!(produce_request::TopicProduceData { name: "t".into(), partition_data: vec![data] });
        message!(ProduceRequest { transactional_id: None, acks: -1, topic_data: vec![topic] })
    };
    for (refused, code) in
        [(sent(1, 9), ErrorCode::OutOfOrderSequenceNumber), (sent(0, 0), ErrorCode::InvalidProducerEpoch)]
    {
        let before = broker.durable_lsn();
        let (mut first, _draining) = serve(&broker);
        first.send(&sent(1, i32::from(code == ErrorCode::InvalidProducerEpoch)), 9).await;
        let topic = broker.catalog().topic("t").unwrap();
        while topic.partitions()[0].producers_as_of() <= before {
            tokio::task::yield_now().await;
        }
        let answer = ask_before_commit(&broker, &refused, 9).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, code.code());
    }
}

#[tokio::test]
async fn produce_is_answered_after_its_sync_and_with_a_storage_error_when_the_sync_fails() {
    let sim = SimEnv::new(3);
    let broker = broker(&sim);
    let (_draining, receiver) = watch::channel(false);
    let door = Door::new(Arc::clone(&broker), KafkaConfig::default(), 9092, receiver);
    let (client, server) = tokio::io::duplex(1 << 16);
    let session = tokio::spawn(async move {
        let (reader, writer) = tokio::io::split(server);
        let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 5)), Duration::from_secs(1));
        door.converse(reader, writer, &connection).await
    });
    let mut wire = Wire::new(client);
    let end = || broker.catalog().topic("t").unwrap().partitions()[0].log_end().0;

    // Both are appended, and neither is answered before the log commits.
    wire.send(&produce(&sim), 9).await;
    wire.send(&produce(&sim), 9).await;
    while end() < 2 {
        tokio::task::yield_now().await;
    }
    let early = tokio::select! {
        biased;
        _ = wire.receive_raw() => true,
        () = async { for _ in 0..100 { tokio::task::yield_now().await } } => false,
    };
    assert!(!early, "answered before the batch was durable");
    broker.commit().unwrap();
    for offset in 0..2 {
        let answer = wire.receive::<ProduceRequest>(9).await.unwrap();
        let one = &answer.responses[0].partition_responses[0];
        assert_eq!((one.error_code, one.base_offset), (0, offset));
    }

    sim.disk.fail_sync(1);
    wire.send(&produce(&sim), 9).await;
    while end() < 3 {
        tokio::task::yield_now().await;
    }
    broker.commit().unwrap_err();
    let answer = wire.receive::<ProduceRequest>(9).await.unwrap();
    let one = &answer.responses[0].partition_responses[0];
    assert_eq!((one.error_code, one.base_offset), (ErrorCode::KafkaStorageError.code(), -1));
    assert!(wire.receive_raw().await.is_none());
    assert!(matches!(session.await.unwrap(), CloseReason::LogStopped(_)));
}
