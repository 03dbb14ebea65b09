//! DescribeLogDirs: the one data directory, and how many bytes each partition takes.
//!
//! Behaviour: null topics are all partitions; each is told of once, however often it is named. A partition's size counts its records, in the WAL and in segments.
//! Versions: v2 flexible · v3 top-level error · v4 total and usable bytes (KIP-827) · v5 cordoned directories.
//! Source: KIP-113; Kafka's `ReplicaManager.describeLogDirs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use duolog_broker::{Partition, Topic};
use kafka_wire::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_wire::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use kafka_wire_core::StrBytes;

use super::answer::wait_for_room;
use crate::dispatch::{Api, Call, Handled};
use crate::message;

/// DescribeLogDirs in the table.
pub const API: Api = Api {
    key: 35,
    name: "DescribeLogDirs",
    min: 1,
    max: 5,
    advertised_min: 1,
    flexible_from: 2,
    notes: "total_bytes is unknown (-1)",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DescribeLogDirsRequest = call.decode()?;
    // No answer is larger than what there is, since each partition is told of once.
    wait_for_room(&call).await;
    let catalog = call.door.broker.catalog();
    let topics: Vec<DescribeLogDirsTopic> = match &request.topics {
        None => catalog.topics().iter().map(|topic| describe(topic, None)).collect(),
        Some(asked) => {
            let mut once: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
            for topic in asked {
                once.entry(&*topic.topic).or_default().extend(&topic.partitions);
            }
            let described = once.into_iter().filter_map(|(name, partitions)| {
                catalog.topic(name).map(|topic| describe(&topic, Some(&partitions)))
            });
            described.collect()
        }
    };
    let free = call.door.broker.stats().log.disk_free_bytes;
    let dir = message!(DescribeLogDirsResult {
        log_dir: StrBytes::from(call.door.config().data_dir.as_str()),
        topics: topics,
        usable_bytes: i64::try_from(free).unwrap_or(i64::MAX),
    });
    call.reply(&message!(DescribeLogDirsResponse { results: vec![dir] }), catalog.changed())
}

fn describe(topic: &Topic, asked: Option<&BTreeSet<i32>>) -> DescribeLogDirsTopic {
    let partitions: Vec<&Arc<Partition>> = match asked {
        None => topic.partitions().iter().collect(),
        Some(asked) => asked.iter().filter_map(|index| topic.partition(*index)).collect(),
    };
    let partitions = partitions
        .into_iter()
        .map(|partition| {
            message!(DescribeLogDirsPartition {
                partition_index: partition.index(),
                partition_size: i64::try_from(partition.size_bytes()).unwrap_or(i64::MAX),
            })
        })
        .collect();
    message!(DescribeLogDirsTopic { name: StrBytes::from(&**topic.name()), partitions: partitions })
}
