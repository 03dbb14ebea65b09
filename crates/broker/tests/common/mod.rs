//! What the broker's tests share: a small broker that its test drives, batches, reading everything back.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "each test binary uses its part")]

pub mod door;
pub mod groups;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use duolog_broker::catalog::NewTopic;
use duolog_broker::partition::{FetchError, FetchSpec, ProduceContext, ProduceError, Produced};
use duolog_broker::{Broker, BrokerConfig, Durability, LogConfig, OpenError, Partition, Topic};
use duolog_env::Env;
use duolog_record::{BatchBuilder, DecodeBudget, records, split};
use duolog_testkit::{SimDisk, SimEnv};
use duolog_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

/// A small log without threads: its test commits.
pub fn log_config(dir: impl AsRef<Path>) -> LogConfig {
    LogConfig {
        wal_file_bytes: 64 << 10,
        checkpoint_bytes: 128 << 10,
        tail_bytes: 16 << 10,
        block_cache_bytes: 1 << 20,
        max_open_files: 4,
        background_bytes_per_second: 0,
        segment_bytes: 16 << 10,
        durability: Durability::Sync,
        threads: false,
        ..LogConfig::new(dir.as_ref())
    }
}

pub fn open(env: Env) -> Result<Arc<Broker>, OpenError> {
    Broker::open(env, BrokerConfig::default(), log_config("/data"))
}

/// The broker after a power cut: on what the disk is sure to have.
pub fn after_power_cut(disk: &SimDisk) -> (SimEnv, Arc<Broker>) {
    let sim = SimEnv::with_disk(SimDisk::from_image(disk.power_cut()), 2);
    let broker = open(sim.env()).unwrap();
    (sim, broker)
}

/// Commits everything that waits.
pub fn settle(broker: &Broker) {
    while broker.commit().unwrap() {}
}

pub fn create(broker: &Broker, name: &str, configs: &[(&str, &str)]) -> Arc<Topic> {
    let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
    let new = NewTopic { name: name.to_owned(), configs: configs.collect(), ..NewTopic::default() };
    let created = broker.catalog().create(&new).unwrap();
    settle(broker);
    created.topic.unwrap()
}

pub fn context(broker: &Broker) -> ProduceContext {
    ProduceContext { arrival: broker.now(), allow_zstd: true, commit_follows: false }
}

/// A batch of one record a value, at `timestamp`.
pub fn batch_at(values: &[&str], timestamp: i64) -> Bytes {
    build(BatchBuilder::new(Offset::ZERO), values, timestamp)
}

/// The same of an idempotent producer.
pub fn idempotent(id: ProducerId, epoch: i16, sequence: i32, values: &[&str], timestamp: i64) -> Bytes {
    let builder = BatchBuilder::new(Offset::ZERO).producer(id, ProducerEpoch(epoch), sequence);
    build(builder, values, timestamp)
}

fn build(mut builder: BatchBuilder, values: &[&str], timestamp: i64) -> Bytes {
    for value in values {
        builder.push(TimestampMs(timestamp), None, Some(value.as_bytes())).unwrap();
    }
    builder.build().unwrap()
}

pub fn produce(broker: &Broker, partition: &Partition, batch: Bytes) -> Result<Produced, ProduceError> {
    partition.produce(batch, context(broker))
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().unwrap();
}

/// Runs a future that needs no other task.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// All records from `from` up to the high watermark: offset and value.
pub fn read_from(partition: &Partition, from: Offset) -> Result<Vec<(i64, String)>, FetchError> {
    let mut found = Vec::new();
    let mut from = from;
    loop {
        let fetched = wait(partition.fetch(FetchSpec { from, max_bytes: 4096, at_least_one: true }))?;
        for run in &fetched.runs {
            for part in split(run) {
                let (_, batch) = part.unwrap();
                for record in records(&batch, DecodeBudget::default()).unwrap() {
                    let record = record.unwrap();
                    if record.offset >= from {
                        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                        found.push((record.offset.0, value));
                    }
                }
            }
        }
        if fetched.next_offset >= fetched.high_watermark || fetched.next_offset == from {
            return Ok(found);
        }
        from = fetched.next_offset;
    }
}

pub fn read_all(partition: &Partition) -> Vec<(i64, String)> {
    read_from(partition, partition.log_start()).unwrap()
}

/// What `read_all` finds if `values` stand from offset `base` on.
pub fn expected(base: i64, values: &[&str]) -> Vec<(i64, String)> {
    (base..).zip(values.iter().map(|value| (*value).to_owned())).collect()
}
