//! `duolog stream …`

mod bar;
mod positions;
mod readers;
mod settings;
mod show;

use clap::{ArgGroup, Args, Subcommand};
use duolog_nats_wire::jetstream::error::STREAM_NOT_FOUND;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::confirm;
use crate::exit::Failure;
use crate::nats::setting::{self, value_text};
use crate::nats::{
    MessageFormat, Nats, NatsArgs, NatsError, NatsMessage, Printer, StoredReply, StreamInfo, pattern_subject,
};
use crate::output::{self, OutputArgs};

use settings::StreamSettings;
pub use show::time;

/// What to do with streams.
#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// List streams
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Create a stream
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// Show what is in a stream, and its settings
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(DescribeArgs),
    /// Show the log's start and end, and where every reader is: Kafka groups and JetStream consumers
    #[command(after_help = positions::EXAMPLES)]
    Positions(positions::PositionsArgs),
    /// Read one message
    #[command(after_help = GET_EXAMPLES)]
    Get(GetArgs),
    /// Change settings
    #[command(after_help = EDIT_EXAMPLES)]
    Edit(EditArgs),
    /// Delete messages
    #[command(after_help = PURGE_EXAMPLES)]
    Purge(PurgeArgs),
    /// Delete streams and everything in them
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  duolog stream list
  duolog stream list -o name | grep '^orders'
  duolog stream list -o json | jq '.[] | select(.messages > 1000) | .stream'";
const CREATE_EXAMPLES: &str = "\
Examples:
  duolog stream create orders --subject 'orders.>'
  duolog stream create orders --subject 'orders.>' --max-age 7d --max-bytes 10GiB
  duolog stream create jobs --subject 'jobs.*' --retention workqueue
  duolog stream create latest --subject 'prices.>' --max-per-subject 1
  duolog stream create orders --set allow_direct=true --set 'metadata={\"team\":\"web\"}'

Without --subject the stream takes the subject of its own name. A stream that exists with the same settings is no
failure, one with others is.";
const DESCRIBE_EXAMPLES: &str = "\
Examples:
  duolog stream describe orders
  duolog stream describe orders -o wide            # settings that say nothing, too
  duolog stream describe orders -o json | jq '.[0].state.last_seq'";
const GET_EXAMPLES: &str = "\
Examples:
  duolog stream get orders 17                      # the message of this sequence
  duolog stream get orders --last orders.eu        # the newest of this subject
  duolog stream get orders --next 'orders.*' --from 17
  duolog stream get orders 17 -o json | jq -r '.[0].payload'";
const EDIT_EXAMPLES: &str = "\
Examples:
  duolog stream edit orders --max-age 30d
  duolog stream edit orders --max-bytes none
  duolog stream edit orders --subject 'orders.>' --subject 'returns.>'   # all that it is to have
  duolog stream edit orders --set deny_delete=true

What isn't named stays as it is.";
const PURGE_EXAMPLES: &str = "\
Examples:
  duolog stream purge orders                       # everything; asks for the name again
  duolog stream purge orders --subject 'orders.test.>' --yes
  duolog stream purge orders --keep 1000 --yes     # all but the newest thousand
  duolog stream purge orders --before 5000 --yes   # what stands before sequence 5000";
const DELETE_EXAMPLES: &str = "\
Examples:
  duolog stream delete orders                      # asks for the name again
  duolog stream delete orders --yes                # for scripts";

/// Arguments of `stream list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `stream create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    #[command(flatten)]
    settings: StreamSettings,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `stream describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Names of the streams
    #[arg(required = true, value_name = "STREAM", value_parser = name)]
    streams: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `stream get`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub struct GetArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    /// Sequence of the message
    #[arg(group = "which")]
    sequence: Option<u64>,
    /// The newest message of this subject
    #[arg(long, value_name = "SUBJECT", group = "which", value_parser = pattern_subject)]
    last: Option<String>,
    /// The first message of this subject, from --from on
    #[arg(long, value_name = "SUBJECT", group = "which", value_parser = pattern_subject)]
    next: Option<String>,
    /// Where --next begins to look
    #[arg(long, value_name = "SEQUENCE", requires = "next")]
    from: Option<u64>,
    /// How to print the message
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: MessageFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `stream edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    #[command(flatten)]
    settings: StreamSettings,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `stream purge`.
#[derive(Debug, Args)]
pub struct PurgeArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    /// Only messages of this subject
    #[arg(long, value_name = "SUBJECT", value_parser = pattern_subject)]
    subject: Option<String>,
    /// Keep so many of the newest
    #[arg(long, value_name = "COUNT", conflicts_with = "before")]
    keep: Option<u64>,
    /// Only messages before this sequence
    #[arg(long, value_name = "SEQUENCE")]
    before: Option<u64>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `stream delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Names of the streams
    #[arg(required = true, value_name = "STREAM", value_parser = name)]
    streams: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// A stream that doesn't exist is no failure
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: NatsArgs,
}

pub async fn run(command: StreamCommand) -> Result<(), Failure> {
    match command {
        StreamCommand::List(args) => list(args).await,
        StreamCommand::Create(args) => create(args).await,
        StreamCommand::Describe(args) => describe(args).await,
        StreamCommand::Positions(args) => positions::run(args).await,
        StreamCommand::Get(args) => get(args).await,
        StreamCommand::Edit(args) => edit(args).await,
        StreamCommand::Purge(args) => purge(args).await,
        StreamCommand::Delete(args) => delete(args).await,
    }
}

/// A name that can stand in the subject of a request: anything else would ask for something else.
pub fn name(text: &str) -> Result<String, String> {
    let bad = |letter: char| matches!(letter, '.' | '*' | '>' | '/' | '\\') || letter.is_whitespace();
    if text.is_empty() || text.contains(bad) || text.contains(char::is_control) {
        return Err(format!("`{text}` is no name: not empty, no spaces, none of . * > / \\"));
    }
    Ok(text.to_owned())
}

/// The stream `name`, with the sequences of what was deleted if `deleted`.
///
/// # Errors
/// There is none.
pub async fn info(nats: &Nats, name: &str, deleted: bool) -> Result<StreamInfo, NatsError> {
    let body = if deleted { json!({ "deleted_details": true }) } else { Value::Null };
    nats.api(&format!("stream {name}"), &format!("STREAM.INFO.{name}"), &body).await
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let mut streams: Vec<StreamInfo> = nats.api_list("list streams", "STREAM.LIST", "streams").await?;
    streams.sort_by(|one, other| one.name().cmp(other.name()));
    let rows: Vec<show::StreamRow> = streams.iter().map(show::StreamRow::of).collect();
    output::list(&rows, args.output.output)
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let name = args.stream;
    let mut config = Map::new();
    config.insert("name".to_owned(), Value::from(name.as_str()));
    setting::apply(&mut config, args.settings.changes());
    let nats = args.connect.connect().await?;
    let what = format!("create stream {name}");
    let made: StreamInfo = nats.api(&what, &format!("STREAM.CREATE.{name}"), &Value::Object(config)).await?;
    output::progress(&format!("stream {name}: is there, for {}", made.subjects().join(", ")));
    Ok(())
}

async fn describe(args: DescribeArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let mut descriptions = Vec::new();
    for name in &args.streams {
        descriptions.push(show::StreamDescription::of(info(&nats, name, false).await?));
    }
    show::print(&descriptions, args.output.output)
}

async fn get(args: GetArgs) -> Result<(), Failure> {
    let (what, body) = match (args.sequence, args.last, args.next) {
        (Some(sequence), _, _) => (format!("sequence {sequence}"), json!({ "seq": sequence })),
        (_, Some(subject), _) => (format!("last of {subject}"), json!({ "last_by_subj": subject })),
        (_, _, Some(subject)) => {
            let from = args.from.unwrap_or(1);
            (format!("next of {subject} from {from}"), json!({ "seq": from, "next_by_subj": subject }))
        }
        (None, None, None) => return Err(Failure::Usage("which message?".to_owned())),
    };
    let nats = args.connect.connect().await?;
    let message = message(&nats, &args.stream, &what, &body).await?;
    let mut printer = Printer::begin(args.output)?;
    printer.print(&message)?;
    printer.end()
}

/// The message of `stream` that `body` asks for.
///
/// # Errors
/// There is none, or it can't be read.
pub async fn message(nats: &Nats, stream: &str, what: &str, body: &Value) -> Result<NatsMessage, NatsError> {
    let what = format!("stream {stream}, {what}");
    let reply: StoredReply = nats.api(&what, &format!("STREAM.MSG.GET.{stream}"), body).await?;
    NatsMessage::of_stored(stream, &reply.message).map_err(|reason| NatsError::Unreadable {
        address: nats.address().to_owned(),
        what,
        reason,
    })
}

async fn edit(args: EditArgs) -> Result<(), Failure> {
    let name = args.stream;
    let changes = args.settings.changes();
    if changes.is_empty() {
        return Err(Failure::Usage(format!("stream {name}: nothing to change; see --help for the settings")));
    }
    let nats = args.connect.connect().await?;
    let mut config = info(&nats, &name, false).await?.config;
    setting::without_server_metadata(&mut config);
    let fields: Vec<String> = changes.iter().map(|(field, _)| field.clone()).collect();
    setting::apply(&mut config, changes);
    let what = format!("edit stream {name}");
    let edited: StreamInfo =
        nats.api(&what, &format!("STREAM.UPDATE.{name}"), &Value::Object(config)).await?;
    for field in fields {
        let value = edited.config.get(&field);
        let value = value.map_or_else(|| "at its default".to_owned(), |value| value_text(&field, value));
        output::progress(&format!("stream {name}: {field} is {value}"));
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Purged {
    #[serde(default)]
    purged: u64,
}

async fn purge(args: PurgeArgs) -> Result<(), Failure> {
    let name = &args.stream;
    confirm::by_name(&format!("purge stream {name}"), name, args.yes)?;
    let nats = args.connect.connect().await?;
    let mut body = Map::new();
    let fields = [
        ("filter", args.subject.map(Value::from)),
        ("keep", args.keep.map(Value::from)),
        ("seq", args.before.map(Value::from)),
    ];
    body.extend(fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
    let what = format!("purge stream {name}");
    let purged: Purged = nats.api(&what, &format!("STREAM.PURGE.{name}"), &Value::Object(body)).await?;
    output::progress(&format!("stream {name}: {} deleted", output::counted(purged.purged, "message")));
    Ok(())
}

async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    for name in &args.streams {
        confirm::by_name(&format!("delete stream {name}"), name, args.yes)?;
        let deleted: Result<Value, NatsError> =
            nats.api(&format!("delete stream {name}"), &format!("STREAM.DELETE.{name}"), &Value::Null).await;
        match deleted {
            Ok(_) => output::progress(&format!("stream {name}: deleted")),
            Err(error) if args.if_exists && error.is(STREAM_NOT_FOUND) => {
                output::progress(&format!("stream {name}: doesn't exist"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_ask_for_something_else() {
        for good in ["orders", "KV_config", "orders=1", "ä"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "*", ">", "a/b", "a\\b", "a\nb"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
