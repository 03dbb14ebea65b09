//! Reads a topic with one partition from its beginning: librdkafka, no group.

use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::ConsumeArgs;

const PATIENCE: Duration = Duration::from_secs(60);

/// From the assignment to the last record asked for.
pub fn run(args: &ConsumeArgs) -> anyhow::Result<Value> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", args.bootstrap.to_string())
        .set("group.id", "duolog-bench")
        .set("enable.auto.commit", "false")
        .set("queued.min.messages", "1000000")
        .create()?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(&args.topic, 0, Offset::Beginning)?;
    let began = Instant::now();
    consumer.assign(&all)?;
    let mut messages = 0;
    while messages < args.messages {
        consumer.poll(PATIENCE).with_context(|| format!("nothing more after {messages} records"))??;
        messages += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({ "messages": messages, "seconds": seconds, "messages_per_second": messages as f64 / seconds }))
}
