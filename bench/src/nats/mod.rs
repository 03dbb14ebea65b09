//! The NATS side: publishers into streams, consumers of them, and core NATS. Works with any NATS server.

mod connection;
mod consume;
mod core;
mod info;
mod publish;

use std::net::SocketAddr;

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

/// What to do with the server.
#[derive(Debug, Subcommand)]
pub enum Nats {
    /// Publishes into streams, one publisher each
    Publish(PublishArgs),
    /// Reads a stream with a consumer of its own
    Consume(ConsumeArgs),
    /// Core NATS, without JetStream
    Core(CoreArgs),
    /// Asks about a stream until the server answers
    Info(InfoArgs),
}

/// Arguments of `publish`.
#[derive(Clone, Debug, clap::Args)]
pub struct PublishArgs {
    /// The server
    #[arg(long)]
    server: SocketAddr,
    /// Streams are called PREFIX-0, PREFIX-1 and so on
    #[arg(long, default_value = "bench")]
    prefix: String,
    /// Don't create them
    #[arg(long)]
    existing: bool,
    /// Streams, each with a publisher
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// Where they keep their messages
    #[arg(long, default_value = "file")]
    storage: String,
    /// Messages of each publisher
    #[arg(long)]
    messages: u64,
    /// Bytes of each
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages on their way; 1: each waits for its acknowledgement
    #[arg(long, default_value_t = 1)]
    window: u64,
    /// Subjects that take turns
    #[arg(long, default_value_t = 1)]
    subjects: u64,
    /// The stream's max_msgs_per_subject
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    per_subject: i64,
    /// Give each message an id
    #[arg(long)]
    ids: bool,
}

/// How messages come.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// As fast as the server can
    Push,
    /// By batches asked for one after the other
    Pull,
}

/// Whether they are acknowledged.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Ack {
    /// Not at all
    None,
    /// Each
    Explicit,
}

/// Arguments of `consume`.
#[derive(Clone, Debug, clap::Args)]
pub struct ConsumeArgs {
    /// The server
    #[arg(long)]
    server: SocketAddr,
    /// The stream
    #[arg(long)]
    stream: String,
    /// Messages to read
    #[arg(long)]
    messages: u64,
    /// How they come
    #[arg(long)]
    mode: Mode,
    /// Whether they are acknowledged
    #[arg(long)]
    ack: Ack,
    /// Messages of a pull
    #[arg(long, default_value_t = 500)]
    batch: u64,
    /// The consumer's max_ack_pending
    #[arg(long, default_value_t = 1000)]
    max_ack_pending: i64,
    /// The consumer's filter
    #[arg(long)]
    filter: Option<String>,
}

/// What core NATS is asked to do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Scene {
    /// Publish to a subject without subscribers
    Nobody,
    /// Publish to one subscriber
    Subscriber,
    /// Requests, and another connection that answers
    Request,
}

/// Arguments of `core`.
#[derive(Clone, Debug, clap::Args)]
pub struct CoreArgs {
    /// The server
    #[arg(long)]
    server: SocketAddr,
    /// What to do
    #[arg(long)]
    scene: Scene,
    /// Messages or requests
    #[arg(long)]
    messages: u64,
    /// Bytes of each
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Requests on their way
    #[arg(long, default_value_t = 1)]
    window: u64,
}

/// Arguments of `info`.
#[derive(Clone, Debug, clap::Args)]
pub struct InfoArgs {
    /// The server
    #[arg(long)]
    server: SocketAddr,
    /// The stream
    #[arg(long)]
    stream: String,
}

/// Runs one of them.
pub fn run(command: &Nats) -> anyhow::Result<Value> {
    match command {
        Nats::Publish(args) => publish::run(args),
        Nats::Consume(args) => consume::run(args),
        Nats::Core(args) => core::run(args),
        Nats::Info(args) => info::run(args),
    }
}
