//! Publishers into streams: each has a connection, a stream of its own, and so many messages on their way.

use std::sync::{Arc, Barrier};
use std::time::Instant;

use anyhow::ensure;
use serde_json::{Value, json};

use super::PublishArgs;
use super::connection::Connection;
use crate::sample::Samples;

/// What is put into one write, so that a window of thousands doesn't go out as one burst.
const BURST: u64 = 256;

/// Creates the streams (unless told that they are there) and runs all publishers to their end.
pub fn run(args: &PublishArgs) -> anyhow::Result<Value> {
    if !args.existing {
        let mut admin = Connection::open(args.server)?;
        for number in 0..args.streams {
            let name = stream_name(args, number);
            let config = json!({
                "name": name, "subjects": [format!("{name}.>")], "retention": "limits", "storage": args.storage,
                "max_msgs_per_subject": args.per_subject, "discard": "old", "num_replicas": 1,
                "max_msgs": -1, "max_bytes": -1, "max_consumers": -1,
            });
            admin.api(&format!("$JS.API.STREAM.CREATE.{name}"), &config)?;
        }
    }
    let start = Arc::new(Barrier::new(args.streams as usize + 1));
    let publishers: Vec<_> = (0..args.streams)
        .map(|number| {
            let (args, start) = (args.clone(), Arc::clone(&start));
            std::thread::spawn(move || {
                let connection = Connection::open(args.server);
                start.wait();
                publisher(connection?, &stream_name(&args, number), &args)
            })
        })
        .collect();
    start.wait();
    let began = Instant::now();
    let mut samples = Samples::new();
    for publisher in publishers {
        samples.join(publisher.join().map_err(|_| anyhow::anyhow!("a publisher panicked"))??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let messages = u64::from(args.streams) * args.messages;
    Ok(json!({
        "messages": messages, "seconds": seconds, "messages_per_second": messages as f64 / seconds,
        "latency": samples.report(),
    }))
}

fn stream_name(args: &PublishArgs, number: u32) -> String {
    format!("{}-{number}", args.prefix)
}

/// Subject number `index` of a stream: two tokens of a thousand values each behind the name.
pub fn subject(stream: &str, index: u64) -> String {
    format!("{stream}.{}.{}", index / 1000, index % 1000)
}

fn publisher(mut connection: Connection, stream: &str, args: &PublishArgs) -> anyhow::Result<Samples> {
    let body = vec![0x5a; args.bytes];
    let acks = format!("_INBOX.acks.{stream}");
    connection.subscribe(&acks);
    connection.settle()?;
    let mut samples = Samples::new();
    let one = subject(stream, 0);
    let (mut sent, mut acked) = (0, 0);
    while acked < args.messages {
        let began = Instant::now();
        let upto = args.messages.min(acked + args.window).min(sent + BURST);
        while sent < upto {
            let named = (args.subjects > 1).then(|| subject(stream, sent % args.subjects));
            let to = named.as_ref().unwrap_or(&one).as_bytes();
            if args.ids {
                let headers = format!("NATS/1.0\r\nNats-Msg-Id: {sent}\r\n\r\n");
                connection.publish_with_headers(to, acks.as_bytes(), headers.as_bytes(), &body);
            } else {
                connection.publish(to, acks.as_bytes(), &body);
            }
            sent += 1;
        }
        connection.flush()?;
        // Whoever may send more doesn't wait for more than what has come.
        while acked < sent && (sent == args.messages || sent - acked >= args.window || connection.has_more())
        {
            let ack = connection.message()?;
            let refused = ack.is_status() || memchr::memmem::find(ack.payload, b"\"error\"").is_some();
            ensure!(!refused, "a message was refused: {}", String::from_utf8_lossy(ack.payload));
            acked += 1;
        }
        if args.window == 1 {
            samples.add(began.elapsed());
        }
    }
    Ok(samples)
}
