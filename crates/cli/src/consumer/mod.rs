//! `duolog consumer …`

mod next;
mod settings;
mod show;

use clap::{Args, Subcommand};
use duolog_nats_wire::jetstream::error::CONSUMER_NOT_FOUND;
use serde_json::{Value, json};

use crate::confirm;
use crate::exit::Failure;
use crate::nats::{ConsumerInfo, Nats, NatsArgs, NatsError};
use crate::output::{self, OutputArgs};
use crate::stream::name;

use settings::ConsumerSettings;

/// What to do with consumers.
#[derive(Debug, Subcommand)]
pub enum ConsumerCommand {
    /// List the consumers of a stream
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Create a consumer
    #[command(after_help = CREATE_EXAMPLES)]
    Create(Box<CreateArgs>),
    /// Show where a consumer is, and its settings
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(DescribeArgs),
    /// Read the next messages of a consumer
    #[command(after_help = next::EXAMPLES)]
    Next(next::NextArgs),
    /// Delete consumers
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  duolog consumer list orders
  duolog consumer list orders -o json | jq '.[] | select(.pending > 0) | .consumer'";
const CREATE_EXAMPLES: &str = "\
Examples:
  duolog consumer create orders billing
  duolog consumer create orders eu --filter 'orders.eu.>' --from new
  duolog consumer create jobs worker --ack-wait 30s --max-deliver 5 --backoff 1s,10s,1m
  duolog consumer create orders audit --from 2026-11-23T08:00:00Z
  duolog consumer create orders push --deliver-to audit.orders --ack none

It is durable: it stays until it is deleted, and goes on where it was. A consumer that exists with the same settings is
no failure.";
const DESCRIBE_EXAMPLES: &str = "\
Examples:
  duolog consumer describe orders billing
  duolog consumer describe orders billing -o json | jq '.[0].pending'";
const DELETE_EXAMPLES: &str = "\
Examples:
  duolog consumer delete orders billing            # asks for the name again
  duolog consumer list orders -o name | xargs duolog consumer delete orders --yes";

/// Arguments of `consumer list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `consumer create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    /// Name of the consumer
    #[arg(value_parser = name)]
    consumer: String,
    #[command(flatten)]
    settings: ConsumerSettings,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `consumer describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    /// Names of the consumers
    #[arg(required = true, value_name = "CONSUMER", value_parser = name)]
    consumers: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `consumer delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    /// Names of the consumers
    #[arg(required = true, value_name = "CONSUMER", value_parser = name)]
    consumers: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// A consumer that doesn't exist is no failure
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: NatsArgs,
}

pub async fn run(command: ConsumerCommand) -> Result<(), Failure> {
    match command {
        ConsumerCommand::List(args) => list(args).await,
        ConsumerCommand::Create(args) => create(*args).await,
        ConsumerCommand::Describe(args) => describe(args).await,
        ConsumerCommand::Next(args) => next::run(args).await,
        ConsumerCommand::Delete(args) => delete(args).await,
    }
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let what = format!("consumers of stream {}", args.stream);
    let subject = format!("CONSUMER.LIST.{}", args.stream);
    let mut consumers: Vec<ConsumerInfo> = nats.api_list(&what, &subject, "consumers").await?;
    consumers.sort_by(|one, other| one.name.cmp(&other.name));
    let rows: Vec<show::ConsumerRow> = consumers.iter().map(show::ConsumerRow::of).collect();
    output::list(&rows, args.output.output)
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let CreateArgs { stream, consumer, settings, connect } = args;
    let config = settings.config(&consumer);
    let nats = connect.connect().await?;
    let what = format!("create consumer {consumer} of stream {stream}");
    // The older subject: one filter in the newer one's subject may hold what a subject of a request can't.
    let subject = format!("CONSUMER.DURABLE.CREATE.{stream}.{consumer}");
    let body = json!({ "stream_name": stream, "config": config });
    let made: ConsumerInfo = nats.api(&what, &subject, &body).await?;
    let pending = output::counted(made.num_pending, "message");
    output::progress(&format!("consumer {consumer}: is there, with {pending} to deliver"));
    Ok(())
}

async fn describe(args: DescribeArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let mut descriptions = Vec::new();
    for consumer in &args.consumers {
        descriptions.push(show::ConsumerDescription::of(info(&nats, &args.stream, consumer).await?));
    }
    show::print(&descriptions, args.output.output)
}

/// The consumer `name` of `stream`.
///
/// # Errors
/// There is none.
async fn info(nats: &Nats, stream: &str, name: &str) -> Result<ConsumerInfo, NatsError> {
    let what = format!("consumer {name} of stream {stream}");
    nats.api(&what, &format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null).await
}

async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let stream = &args.stream;
    for name in &args.consumers {
        let what = format!("delete consumer {name} of stream {stream}");
        confirm::by_name(&what, name, args.yes)?;
        let deleted: Result<Value, NatsError> =
            nats.api(&what, &format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null).await;
        match deleted {
            Ok(_) => output::progress(&format!("consumer {name}: deleted")),
            Err(error) if args.if_exists && error.is(CONSUMER_NOT_FOUND) => {
                output::progress(&format!("consumer {name}: doesn't exist"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
