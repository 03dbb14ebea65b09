//! A broker that is dropped lets go of its data directory, whatever stood on it: the same process can open it again.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::door::{Door, request};
use common::*;
use duolog_broker::consumers::{AckPolicy, Action, ConsumerConfig};
use duolog_broker::streams::{Publish, RetentionPolicy, StorageType, StreamConfig};
use duolog_testkit::SimEnv;

#[test]
fn a_dropped_broker_lets_go_of_its_directory() {
    let sim = SimEnv::new(1);
    for (round, retention) in [RetentionPolicy::Limits, RetentionPolicy::WorkQueue, RetentionPolicy::Interest]
        .into_iter()
        .enumerate()
    {
        // Without being closed: what isn't durable is lost, and nothing else.
        let broker = open(sim.env()).unwrap();
        let door = Arc::new(Door::default());
        broker.consumers().set_sink(door);
        create(&broker, &format!("topic-{round}"), &[]);
        for storage in [StorageType::File, StorageType::Memory] {
            let name = format!("{storage:?}{round}");
            let config = StreamConfig {
                name: name.clone(),
                subjects: vec![format!("{name}.*")],
                retention,
                storage,
                max_age: Some(std::time::Duration::from_secs(60)),
                ..StreamConfig::default()
            };
            let stream = broker.streams().create(config, false).unwrap().stream;
            let of_stream = broker.consumers_of(&stream);
            let config = ConsumerConfig {
                durable_name: "durable".into(),
                ack_policy: AckPolicy::Explicit,
                ..ConsumerConfig::default()
            };
            let created = broker.consumers().create(&of_stream, config, Action::Create, false).unwrap();
            let subject = format!("{name}.a");
            let message = Publish { subject: &subject, headers: &[], payload: b"x", arrival: broker.now() };
            stream.publish(message).unwrap();
            settle(&broker);
            broker.consumers().pull(&created.consumer, request(1));
            wait(broker.consumers().settle());
        }
        settle(&broker);
        assert_eq!(broker.streams().list(None).len(), 3 * (round + 1));
        drop(broker);
    }
    open(sim.env()).unwrap();
}
