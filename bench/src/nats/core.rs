//! Core NATS: publishing to nobody, to one subscriber, and requests.

use std::sync::mpsc::sync_channel;
use std::time::Instant;

use serde_json::{Value, json};

use super::connection::Connection;
use super::{CoreArgs, Scene};
use crate::sample::Samples;

const SUBJECT: &[u8] = b"bench.core";
const BURST: u64 = 512;

/// Runs the scene.
pub fn run(args: &CoreArgs) -> anyhow::Result<Value> {
    match args.scene {
        Scene::Nobody => publish(args, false),
        Scene::Subscriber => publish(args, true),
        Scene::Request => request(args),
    }
}

fn publish(args: &CoreArgs, heard: bool) -> anyhow::Result<Value> {
    let messages = args.messages;
    let subscriber = if heard {
        let mut connection = Connection::open(args.server)?;
        connection.subscribe("bench.core");
        connection.settle()?;
        Some(std::thread::spawn(move || -> anyhow::Result<()> {
            for _ in 0..messages {
                connection.message()?;
            }
            Ok(())
        }))
    } else {
        None
    };
    let body = vec![0x5a; args.bytes];
    let mut connection = Connection::open(args.server)?;
    let began = Instant::now();
    let mut sent = 0;
    while sent < messages {
        for _ in 0..BURST.min(messages - sent) {
            connection.publish(SUBJECT, b"", &body);
            sent += 1;
        }
        connection.flush()?;
    }
    connection.settle()?;
    if let Some(subscriber) = subscriber {
        subscriber.join().map_err(|_| anyhow::anyhow!("the subscriber panicked"))??;
    }
    Ok(rate(messages, began, &Samples::new()))
}

fn request(args: &CoreArgs) -> anyhow::Result<Value> {
    let mut responder = Connection::open(args.server)?;
    responder.subscribe("bench.core");
    responder.settle()?;
    let (messages, window) = (args.messages, args.window);
    let body = vec![0x5a; args.bytes];
    let answer = body.clone();
    let (done, ended) = sync_channel::<()>(0);
    let answering = std::thread::spawn(move || -> anyhow::Result<()> {
        let mut answered = 0;
        while answered < messages {
            let reply = responder.message()?.reply.to_vec();
            responder.publish(&reply, b"", &answer);
            answered += 1;
            if !responder.has_more() || answered == messages {
                responder.flush()?;
            }
        }
        // The connection stays until the last answer was heard.
        let _ = ended.recv();
        Ok(())
    });
    let mut connection = Connection::open(args.server)?;
    connection.subscribe("_INBOX.answers");
    connection.settle()?;
    let began = Instant::now();
    let mut samples = Samples::new();
    let (mut sent, mut heard) = (0, 0);
    while heard < messages {
        let asked = Instant::now();
        while sent < messages && sent - heard < window {
            connection.publish(SUBJECT, b"_INBOX.answers", &body);
            sent += 1;
        }
        connection.flush()?;
        connection.message()?;
        heard += 1;
        while heard < sent && connection.has_more() {
            connection.message()?;
            heard += 1;
        }
        if window == 1 {
            samples.add(asked.elapsed());
        }
    }
    let got = rate(messages, began, &samples);
    drop(done);
    answering.join().map_err(|_| anyhow::anyhow!("the responder panicked"))??;
    Ok(got)
}

fn rate(messages: u64, began: Instant, samples: &Samples) -> Value {
    let seconds = began.elapsed().as_secs_f64();
    json!({
        "messages": messages, "seconds": seconds, "messages_per_second": messages as f64 / seconds,
        "latency": samples.report(),
    })
}
