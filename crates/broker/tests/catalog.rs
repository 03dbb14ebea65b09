//! Topics and producer ids across restarts.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use duolog_broker::catalog::{
    AlterConfigError, AlterOp, ConfigChange, CreatePartitionsError, CreateTopicError, DeleteTopicError,
    NewPartitions, NewTopic,
};
use duolog_broker::config::{ConfigError, ConfigSource};
use duolog_broker::{Broker, BrokerConfig, LogConfig};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::Lsn;

fn new(name: &str) -> NewTopic {
    NewTopic { name: name.to_owned(), ..NewTopic::default() }
}

/// Everything that can be seen of the topics.
fn seen(broker: &Broker) -> Vec<String> {
    let describe = |topic: std::sync::Arc<duolog_broker::Topic>| {
        let ids: Vec<_> = topic.partitions().iter().map(|partition| partition.id()).collect();
        format!(
            "{} {} {ids:?} x{} {:?} {:?}",
            topic.name(),
            topic.id(),
            topic.requested_replication_factor(),
            topic.created(),
            topic.config(),
        )
    };
    broker.catalog().topics().into_iter().map(describe).collect()
}

fn set(key: &str, value: &str) -> ConfigChange {
    ConfigChange::Incremental(vec![(key.to_owned(), AlterOp::Set(Some(value.to_owned())))])
}

#[test]
fn topics_are_the_same_after_a_power_cut() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let catalog = broker.catalog();
    for name in ["orders", "users.events", "gone", "ORDERS"] {
        let three = NewTopic { partitions: Some(3), replication_factor: Some(3), ..new(name) };
        catalog.create(&three).unwrap();
    }
    settle(&broker);
    broker.checkpoint().unwrap();
    catalog.alter_config("orders", &set("retention.ms", "77"), false).unwrap();
    let more = NewPartitions { topic: "orders".to_owned(), total: 5, assignments: None };
    catalog.create_partitions(&more, false).unwrap();
    let gone = catalog.topic("gone").unwrap();
    let lsn = catalog.delete(gone.id()).unwrap();
    assert_eq!(catalog.changed(), lsn);
    settle(&broker);
    assert_eq!((catalog.topic_count(), catalog.partition_count()), (3, 11));
    let before = (seen(&broker), catalog.cluster_id().to_owned());
    assert_eq!(before.1.len(), 22);
    // Not durable at the cut: as if it had never been.
    catalog.create(&new("never")).unwrap();

    let (sim, broker) = after_power_cut(&sim.disk);
    let catalog = broker.catalog();
    assert_eq!((seen(&broker), catalog.cluster_id().to_owned()), before);
    assert_eq!((catalog.topic_count(), catalog.partition_count(), catalog.changed()), (3, 11, Lsn::ZERO));
    let orders = catalog.topic("orders").unwrap();
    assert_eq!(orders.config().retention_ms, Some(77));
    assert_eq!(catalog.topic_by_id(orders.id()).unwrap().name(), orders.name());
    assert!(catalog.topic_by_id(gone.id()).is_none());

    // Made again under the same name it is another topic, with other partitions.
    let again = catalog.create(&new("gone")).unwrap().topic.unwrap();
    assert_ne!(again.id(), gone.id());
    let old: BTreeSet<_> = gone.partitions().iter().map(|partition| partition.id()).collect();
    assert!(again.partitions().iter().all(|partition| !old.contains(&partition.id())));
    settle(&broker);
    broker.close().unwrap();
    let before = seen(&broker);
    let (_sim, broker) = after_power_cut(&sim.disk);
    assert_eq!(seen(&broker), before, "after a clean end");
}

#[test]
fn topics_are_created_by_kafkas_rules() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let catalog = broker.catalog();
    let refused = |new: NewTopic| {
        let lsn = catalog.changed();
        let validated = catalog.validate(&new).unwrap_err();
        let created = catalog.create(&new).unwrap_err();
        assert_eq!(validated.to_string(), created.to_string(), "validate_only says the same");
        assert_eq!(catalog.changed(), lsn, "nothing changed");
        created
    };
    assert!(matches!(refused(new("a b")), CreateTopicError::InvalidName(_)));
    catalog.create(&new("a.b")).unwrap();
    assert!(matches!(refused(new("a.b")), CreateTopicError::Exists { .. }));
    assert!(
        matches!(refused(new("a_b")), CreateTopicError::Collides { existing, .. } if &*existing == "a.b")
    );
    let partitions = |count| NewTopic { partitions: Some(count), ..new("t") };
    for count in [0, -2, 10_001] {
        assert!(matches!(refused(partitions(count)), CreateTopicError::InvalidPartitions { .. }), "{count}");
    }
    let factor = |factor| NewTopic { replication_factor: Some(factor), ..new("t") };
    assert!(matches!(refused(factor(0)), CreateTopicError::InvalidReplicationFactor { requested: 0 }));
    let config = |key: &str, value: &str| NewTopic {
        configs: vec![(key.to_owned(), Some(value.to_owned()))],
        ..new("t")
    };
    assert!(matches!(refused(config("retention.ms", "x")), CreateTopicError::Config(_)));
    assert!(refused(config("cleanup.policy", "compact")).to_string().contains("not supported yet"));

    let assigned = |assignments: &[(i32, &[i32])]| NewTopic {
        assignments: assignments.iter().map(|(index, brokers)| (*index, brokers.to_vec())).collect(),
        ..new("t")
    };
    for bad in [&[(1, &[1][..])][..], &[(0, &[])], &[(0, &[2])], &[(0, &[1, 1])], &[(0, &[1]), (2, &[1])]] {
        assert!(matches!(refused(assigned(bad)), CreateTopicError::InvalidAssignment { .. }), "{bad:?}");
    }
    let both = NewTopic { partitions: Some(1), ..assigned(&[(0, &[1])]) };
    assert!(matches!(refused(both), CreateTopicError::AssignmentAndCount));

    let planned = catalog.validate(&factor(3)).unwrap();
    assert!(planned.topic.is_none() && catalog.topic("t").is_none());
    let made = catalog.create(&assigned(&[(0, &[1]), (1, &[1])])).unwrap();
    assert_eq!((made.partitions, made.replication_factor), (2, 1));
    let auto = catalog.get_or_create("auto").unwrap();
    assert_eq!(auto.id(), catalog.get_or_create("auto").unwrap().id());
    assert_eq!(auto.partitions().len(), 1);
    let from: Vec<_> = catalog.topics_from("auto", 2).iter().map(|topic| topic.name().to_string()).collect();
    assert_eq!(from, ["auto", "t"]);
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let catalog = broker.catalog();
    let topic = create(&broker, "t", &[]);
    let now = broker.now().to_ms().0;
    produce(&broker, topic.partition(0).unwrap(), batch_at(&["a"], now)).unwrap();
    let to = |total| NewPartitions { topic: "t".to_owned(), total, assignments: None };
    for total in [1, 0, -1, 10_001] {
        let error = catalog.create_partitions(&to(total), false).unwrap_err();
        assert!(matches!(error, CreatePartitionsError::InvalidPartitions { current: 1, .. }), "{total}");
    }
    let wrong = NewPartitions { assignments: Some(vec![vec![9]]), ..to(2) };
    let error = catalog.create_partitions(&wrong, false).unwrap_err();
    assert!(matches!(error, CreatePartitionsError::InvalidAssignment { partition: 1, .. }), "{error}");
    let unknown = NewPartitions { topic: "u".to_owned(), ..to(2) };
    assert!(matches!(catalog.create_partitions(&unknown, false), Err(CreatePartitionsError::Unknown { .. })));

    catalog.create_partitions(&to(3), true).unwrap();
    assert_eq!(catalog.topic("t").unwrap().partitions().len(), 1, "only validated");
    catalog
        .create_partitions(&NewPartitions { assignments: Some(vec![vec![1]; 2]), ..to(3) }, false)
        .unwrap();
    settle(&broker);
    let topic = catalog.topic("t").unwrap();
    assert_eq!(topic.partitions().len(), 3);
    assert_eq!(topic.partitions().iter().map(|partition| partition.index()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(read_all(topic.partition(0).unwrap()), expected(0, &["a"]));
    assert!(topic.partition(3).is_none() && topic.partition(-1).is_none());
}

#[test]
fn configs_take_effect_at_once_and_are_described_with_their_source() {
    let sim = SimEnv::new(1);
    let broker = open(sim.env()).unwrap();
    let catalog = broker.catalog();
    let topic = create(&broker, "t", &[]);
    let partition = topic.partition(0).unwrap();
    let now = broker.now().to_ms().0;
    let batch = batch_at(&["some value"], now);
    produce(&broker, partition, batch.clone()).unwrap();

    catalog.alter_config("t", &set("max.message.bytes", "10"), true).unwrap();
    produce(&broker, partition, batch.clone()).unwrap();
    let lsn = catalog.alter_config("t", &set("max.message.bytes", "10"), false).unwrap();
    assert!(produce(&broker, partition, batch.clone()).is_err(), "who holds the partition sees it too");
    assert_eq!(catalog.topic("t").unwrap().changed(), lsn);
    let key = vec!["max.message.bytes".to_owned()];
    let described = catalog.describe_topic(&catalog.topic("t").unwrap(), Some(&key));
    assert_eq!((described[0].value.as_str(), described[0].source), ("10", ConfigSource::Topic));

    let unknown = catalog.alter_config("u", &set("retention.ms", "1"), false).unwrap_err();
    assert!(matches!(unknown, AlterConfigError::Unknown { .. }));
    let delete = ConfigChange::Incremental(vec![("max.message.bytes".to_owned(), AlterOp::Delete)]);
    catalog.alter_config("t", &delete, false).unwrap();
    produce(&broker, partition, batch).unwrap();
    assert!(matches!(catalog.delete(duolog_types::TopicId::ZERO), Err(DeleteTopicError::Unknown)));
}

#[test]
fn max_message_bytes_that_cannot_be_obeyed_is_refused() {
    let sim = SimEnv::new(5);
    let config = BrokerConfig { message_bytes_max: 5000, ..BrokerConfig::default() };
    let broker = Broker::open(sim.env(), config, common::log_config("/data")).unwrap();
    let catalog = broker.catalog();
    // The default is nobody's wish.
    catalog.create(&new("t")).unwrap();
    let limited = |value: &str| catalog.alter_config("t", &set("max.message.bytes", value), false);
    limited("5000").unwrap();
    let refused = limited("5001").unwrap_err();
    assert!(matches!(refused, AlterConfigError::Config(ConfigError::InvalidValue { .. })));
    assert!(refused.to_string().contains("5000 bytes at most"), "{refused}");
    assert_eq!(catalog.topic("t").unwrap().config().max_message_bytes, 5000);
    let configs = vec![("max.message.bytes".to_owned(), Some("5001".to_owned()))];
    let refused = catalog.create(&NewTopic { configs, ..new("u") }).unwrap_err();
    assert!(matches!(refused, CreateTopicError::Config(ConfigError::InvalidValue { .. })));

    let topic_defaults = [("max.message.bytes".to_owned(), "5001".to_owned())].into();
    let config = BrokerConfig { message_bytes_max: 5000, topic_defaults, ..BrokerConfig::default() };
    assert!(Broker::open(SimEnv::new(6).env(), config, common::log_config("/data")).is_err());
}

#[test]
fn ten_thousand_partitions_are_made_recovered_and_deleted() {
    let sim = SimEnv::new(1);
    let log = |disk: &SimEnv| {
        let log = LogConfig { wal_file_bytes: 4 << 20, checkpoint_bytes: 8 << 20, ..log_config("/data") };
        Broker::open(disk.env(), BrokerConfig::default(), log).unwrap()
    };
    let broker = log(&sim);
    let wide = NewTopic { partitions: Some(5000), ..new("wide") };
    broker.catalog().create(&wide).unwrap();
    for index in 0..1000 {
        let narrow = NewTopic { partitions: Some(5), ..new(&format!("narrow-{index}")) };
        broker.catalog().create(&narrow).unwrap();
    }
    settle(&broker);
    broker.checkpoint().unwrap();
    let sim = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 2);
    let broker = log(&sim);
    let catalog = broker.catalog();
    assert_eq!((catalog.topic_count(), catalog.partition_count()), (1001, 10_000));
    assert_eq!(catalog.topic("wide").unwrap().partitions().len(), 5000);
    for topic in catalog.topics() {
        catalog.delete(topic.id()).unwrap();
    }
    settle(&broker);
    let sim = SimEnv::with_disk(SimDisk::from_image(sim.disk.power_cut()), 3);
    assert_eq!(log(&sim).catalog().partition_count(), 0);
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut sim = SimEnv::new(1);
    let mut broker = open(sim.env()).unwrap();
    let mut given = BTreeMap::new();
    for round in 0..8 {
        // Some rounds use up more than a block; some end with a checkpoint, some with ids told to nobody.
        for _ in 0..[1, 700, 1500, 3][round % 4] {
            let new = broker.producer_ids().allocate().unwrap();
            if broker.durable_lsn() < new.lsn {
                settle(&broker);
            }
            assert_eq!(new.epoch.0, 0);
            assert_eq!(given.insert(new.id, round), None, "{:?} was given before", new.id);
        }
        if round % 3 == 0 {
            broker.checkpoint().unwrap();
        }
        broker.producer_ids().allocate().unwrap();
        (sim, broker) = after_power_cut(&sim.disk);
    }
}
