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
use kafka_wire::{ProduceRequest, produce_request};
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
