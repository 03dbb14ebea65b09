//! A consumer of a stream, from its creation to the last message asked for.

use std::time::Instant;

use anyhow::{bail, ensure};
use serde_json::{Value, json};

use super::connection::Connection;
use super::{Ack, ConsumeArgs, Mode};

const DELIVERIES: &str = "_INBOX.deliveries";

/// Runs it.
pub fn run(args: &ConsumeArgs) -> anyhow::Result<Value> {
    let mut connection = Connection::open(args.server)?;
    connection.subscribe(DELIVERIES);
    connection.settle()?;
    let ack_policy = match args.ack {
        Ack::None => "none",
        Ack::Explicit => "explicit",
    };
    let mut config = json!({
        "deliver_policy": "all", "replay_policy": "instant", "ack_policy": ack_policy,
        "inactive_threshold": 60_000_000_000_u64, "num_replicas": 1, "mem_storage": false,
    });
    if let Mode::Push = args.mode {
        config["deliver_subject"] = json!(DELIVERIES);
    }
    if let Ack::Explicit = args.ack {
        config["max_ack_pending"] = json!(args.max_ack_pending);
    }
    if let Some(filter) = &args.filter {
        config["filter_subject"] = json!(filter);
    }
    let stream = &args.stream;
    let began = Instant::now();
    let name = format!("bench{}", std::process::id());
    let create = json!({"stream_name": stream, "config": with_name(config, &name), "action": "create"});
    connection.api(&format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"), &create)?;
    let created = began.elapsed().as_secs_f64();
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
    let (mut received, mut asked, mut bytes) = (0, 0, 0);
    while received < args.messages {
        if let Mode::Pull = args.mode
            && asked == received
        {
            let batch = args.batch.min(args.messages - received);
            let pull = json!({"batch": batch, "expires": 30_000_000_000_u64}).to_string();
            connection.publish(next.as_bytes(), DELIVERIES.as_bytes(), pull.as_bytes());
            asked += batch;
        }
        if !connection.out.is_empty() {
            connection.flush()?;
        }
        loop {
            let message = connection.message()?;
            if message.is_status() {
                // A flow control or heartbeat frame of a push consumer isn't asked for here.
                bail!("after {received} messages: {}", String::from_utf8_lossy(message.payload));
            }
            ensure!(!message.reply.is_empty(), "a delivery without a reply subject");
            received += 1;
            bytes += message.payload.len();
            if let Ack::Explicit = args.ack {
                let reply = message.reply.to_vec();
                connection.publish(&reply, b"", b"+ACK");
            }
            if !connection.has_more() || received == args.messages || received == asked {
                break;
            }
        }
    }
    connection.settle()?;
    let seconds = began.elapsed().as_secs_f64();
    connection.api(&format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"), &json!({}))?;
    Ok(json!({
        "messages": received, "bytes": bytes, "seconds": seconds, "created_seconds": created,
        "messages_per_second": received as f64 / seconds,
    }))
}

fn with_name(mut config: Value, name: &str) -> Value {
    config["name"] = json!(name);
    config
}
