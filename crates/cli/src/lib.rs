//! The subcommands of `duolog` that talk to a running broker: topics, groups, produce and consume over the Kafka
//! protocol, streams, consumers, key-value buckets, pub, sub and request over the NATS protocol.
//!
//! Owns arguments, output, a small Kafka client ([`client`]) and what JetStream asks of a NATS client (`nats`); knows
//! nothing of the broker's insides, so that what works here works against any Kafka broker and any NATS server, and
//! what fails here fails for every client.
//!
//! Output: data on stdout, everything else on stderr. Exit codes: 0 done, 1 failed, 64 wrong usage.
#![expect(
    clippy::disallowed_methods,
    reason = "a tool of its own process: real clock, real files, real terminal"
)]

pub mod client;

mod base64;
mod confirm;
mod connect;
mod consume;
mod consumer;
mod exit;
mod group;
mod kv;
mod nats;
mod output;
mod produce;
mod publish;
mod record_json;
mod request;
mod stream;
mod subscribe;
mod time;
mod topic;

use clap::Subcommand;

pub use connect::ConnectArgs;
pub use exit::{Failure, USAGE_EXIT_CODE, exit_for_clap};

/// What `duolog` does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// List consumer groups, and show who reads what and how far behind
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Write records to a topic
    Produce(produce::ProduceArgs),
    /// Read records from a topic
    Consume(consume::ConsumeArgs),
    /// Create, list, describe, edit, purge and delete streams, read a message, see every reader
    #[command(subcommand)]
    Stream(stream::StreamCommand),
    /// Create, list, describe and delete consumers of a stream, and read with them
    #[command(subcommand)]
    Consumer(consumer::ConsumerCommand),
    /// Keep values under keys: buckets, get, put, delete, history, watch
    #[command(subcommand)]
    Kv(kv::KvCommand),
    /// Publish a message to a NATS subject
    Pub(publish::PubArgs),
    /// Listen on a NATS subject
    Sub(subscribe::SubArgs),
    /// Ask on a NATS subject, and print what is replied
    Request(request::RequestArgs),
}

/// Runs `command`.
///
/// # Errors
/// What failed, and the exit code that goes with it; nothing of it has been printed yet.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Topic(command) => topic::run(command).await,
        Command::Group(command) => group::run(command).await,
        Command::Produce(args) => produce::run(args).await,
        Command::Consume(args) => consume::run(args).await,
        Command::Stream(command) => stream::run(command).await,
        Command::Consumer(command) => consumer::run(command).await,
        Command::Kv(command) => kv::run(command).await,
        Command::Pub(args) => publish::run(args).await,
        Command::Sub(args) => subscribe::run(args).await,
        Command::Request(args) => request::run(args).await,
    }
}
