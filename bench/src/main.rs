//! `duolog-bench`: makes the load and takes the times that `bench/run` prints.
//!
//! Each subcommand drives a broker that runs already and prints one JSON object. Starting brokers, comparing
//! them and the table are `bench/run`'s business. Nothing here knows which broker it drives.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures the real clock and the real disk; there is nothing to simulate"
)]

mod bare;
mod client;
mod consume;
mod fill;
mod latency;
mod load;
mod nats;
mod sample;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Drives a broker and prints what it measured as one JSON object
#[derive(Debug, Parser)]
#[command(name = "duolog-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One client, one request at a time: the bare disk, the raw socket and librdkafka, in turns
    Latency(LatencyArgs),
    /// Many closed-loop producers on raw sockets
    Load(LoadArgs),
    /// Writes much data over many partitions, as fast as the broker takes it
    Fill(FillArgs),
    /// Reads a topic from its beginning with librdkafka
    Consume(ConsumeArgs),
    /// NATS clients
    #[command(subcommand)]
    Nats(nats::Nats),
}

/// Arguments of `latency`.
#[derive(Clone, Debug, clap::Args)]
struct LatencyArgs {
    /// The broker
    #[arg(long)]
    bootstrap: SocketAddr,
    /// An existing topic with one partition
    #[arg(long)]
    topic: String,
    /// A directory on the disk that the broker's data is on
    #[arg(long)]
    dir: PathBuf,
    /// Bytes of each record's value
    #[arg(long, default_value_t = 4096)]
    value_bytes: usize,
    /// Turns that each of the measured things gets
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Samples in each turn
    #[arg(long, default_value_t = 100)]
    samples: usize,
}

/// Arguments of `load`.
#[derive(Clone, Debug, clap::Args)]
struct LoadArgs {
    /// The broker
    #[arg(long)]
    bootstrap: SocketAddr,
    /// An existing topic
    #[arg(long)]
    topic: String,
    /// Its partitions: each request goes to the next of its connection's
    #[arg(long)]
    partitions: u32,
    /// Producers, each with a connection of its own
    #[arg(long, default_value_t = 256)]
    producers: u32,
    /// Requests of each producer, sent one after the other
    #[arg(long, default_value_t = 100)]
    requests: u32,
    /// Records in each request's one batch
    #[arg(long, default_value_t = 1)]
    batch_records: u32,
    /// Bytes of each record's value
    #[arg(long, default_value_t = 1024)]
    value_bytes: usize,
    /// Each record's key; none without it
    #[arg(long)]
    key: Option<String>,
}

/// Arguments of `consume`.
#[derive(Clone, Debug, clap::Args)]
struct ConsumeArgs {
    /// The broker
    #[arg(long)]
    bootstrap: SocketAddr,
    /// A topic with one partition
    #[arg(long)]
    topic: String,
    /// Records to read from its beginning
    #[arg(long)]
    messages: u64,
}

/// Arguments of `fill`.
#[derive(Clone, Debug, clap::Args)]
struct FillArgs {
    /// The broker
    #[arg(long)]
    bootstrap: SocketAddr,
    /// An existing topic
    #[arg(long)]
    topic: String,
    /// Its partitions, which are filled evenly
    #[arg(long)]
    partitions: u32,
    /// Bytes of batches to write
    #[arg(long)]
    bytes: u64,
    /// Bytes of each record's value; a batch has one record
    #[arg(long, default_value_t = 16 << 10)]
    value_bytes: usize,
}

fn main() -> anyhow::Result<()> {
    let report = match Cli::parse().command {
        Command::Latency(args) => latency::run(&args)?,
        Command::Load(args) => load::run(args)?,
        Command::Fill(args) => fill::run(&args)?,
        Command::Consume(args) => consume::run(&args)?,
        Command::Nats(command) => nats::run(&command)?,
    };
    println!("{report}");
    Ok(())
}
