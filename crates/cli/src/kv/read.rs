//! Reading a bucket: get, keys, history, watch.

use clap::Args;
use duolog_nats_wire::jetstream::error::NO_MESSAGE_FOUND;
use serde::Serialize;
use serde_json::json;

use super::entry::{Entry, EntryFormat, EntryPrinter, Operation};
use super::{bucket_name, in_bucket, key_name, key_pattern, stream_of, subject_of};
use crate::consume::interrupted;
use crate::exit::Failure;
use crate::nats::{Nats, NatsArgs, NatsError, Replay, Start};
use crate::output::{self, OutputArgs, Row};
use crate::stream;
use crate::time::format_ms;

pub const KEYS_EXAMPLES: &str = "\
Examples:
  duolog kv keys config
  duolog kv keys config 'eu.>' -o name";
pub const GET_EXAMPLES: &str = "\
Examples:
  duolog kv get config eu.limit
  duolog kv get config eu.limit --revision 7
  duolog kv get config eu.limit -o json | jq '.[0].revision'";
pub const HISTORY_EXAMPLES: &str = "\
Examples:
  duolog kv history config eu.limit
  duolog kv history config eu.limit -o jsonl";
pub const WATCH_EXAMPLES: &str = "\
Examples:
  duolog kv watch config                           # what is there, then every change
  duolog kv watch config 'eu.>' --new -o jsonl     # changes alone
  duolog kv watch config eu.limit -n 1 -o value";

/// Arguments of `kv keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// Only keys that match, with * and >
    #[arg(default_value = ">", value_parser = key_pattern)]
    pattern: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `kv get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// The key
    #[arg(value_parser = key_name)]
    key: String,
    /// The value that it had at this revision
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// How to print the value
    #[arg(short, long, value_enum, default_value = "value", value_name = "FORMAT")]
    output: EntryFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `kv history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// The key
    #[arg(value_parser = key_name)]
    key: String,
    /// How to print values
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: EntryFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `kv watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// Only keys that match, with * and >
    #[arg(default_value = ">", value_parser = key_pattern)]
    pattern: String,
    /// Not what is there already
    #[arg(long)]
    new: bool,
    /// Stop after so many
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// How to print values
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    output: EntryFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

/// What `key` is now, a deletion too; `None` if it never was.
///
/// # Errors
/// There is no such bucket.
pub async fn latest(nats: &Nats, bucket: &str, key: &str) -> Result<Option<Entry>, Failure> {
    let body = json!({ "last_by_subj": subject_of(bucket, key) });
    match stream::message(nats, &stream_of(bucket), &format!("key {key}"), &body).await {
        Ok(message) => Ok(Entry::of(bucket, &message)),
        Err(error) if error.is(NO_MESSAGE_FOUND) => Ok(None),
        Err(error) => Err(in_bucket(bucket, error)),
    }
}

pub async fn get(args: GetArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let (bucket, key) = (&args.bucket, &args.key);
    let found = match args.revision {
        None => latest(&nats, bucket, key).await?.filter(|entry| entry.operation == Operation::Put),
        Some(revision) => {
            let body = json!({ "seq": revision });
            match stream::message(&nats, &stream_of(bucket), &format!("revision {revision}"), &body).await {
                Ok(message) => Entry::of(bucket, &message).filter(|entry| entry.key == *key),
                Err(error) if error.is(NO_MESSAGE_FOUND) => None,
                Err(error) => return Err(in_bucket(bucket, error)),
            }
        }
    };
    let Some(entry) = found else {
        let at = args.revision.map(|revision| format!(" at revision {revision}")).unwrap_or_default();
        return Err(Failure::Failed(format!(
            "bucket {bucket}: no key {key}{at}; `duolog kv keys {bucket}` shows what there is"
        )));
    };
    let mut printer = EntryPrinter::begin(args.output)?;
    printer.print(&entry)?;
    printer.end()
}

#[derive(Debug, Serialize)]
struct KeyRow {
    key: String,
    revision: u64,
    /// Milliseconds since 1970.
    timestamp: i64,
}

impl Row for KeyRow {
    fn titles(_wide: bool) -> Vec<&'static str> {
        vec!["KEY", "REVISION", "TIME"]
    }

    fn cells(&self, _wide: bool) -> Vec<String> {
        vec![self.key.clone(), self.revision.to_string(), format_ms(self.timestamp)]
    }

    fn name(&self) -> String {
        self.key.clone()
    }
}

pub async fn keys(args: KeysArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let entries = stored(&nats, &args.bucket, &args.pattern, Start::LastPerSubject, true).await?;
    let mut rows: Vec<KeyRow> = entries
        .into_iter()
        .filter(|entry| entry.operation == Operation::Put)
        .map(|entry| KeyRow { key: entry.key, revision: entry.revision, timestamp: entry.time_ms })
        .collect();
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    output::list(&rows, args.output.output)
}

pub async fn history(args: HistoryArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let entries = stored(&nats, &args.bucket, &args.key, Start::First, false).await?;
    if entries.is_empty() {
        return Err(Failure::Failed(format!("bucket {}: no key {} was ever there", args.bucket, args.key)));
    }
    let mut printer = EntryPrinter::begin(args.output)?;
    for entry in &entries {
        printer.print(entry)?;
    }
    printer.end()
}

/// What is stored of the keys that match, in order.
async fn stored(
    nats: &Nats,
    bucket: &str,
    pattern: &str,
    start: Start,
    headers_only: bool,
) -> Result<Vec<Entry>, Failure> {
    let failed = |error: NatsError| in_bucket(bucket, error);
    let subject = subject_of(bucket, pattern);
    let mut replay =
        Replay::begin(nats, &stream_of(bucket), &subject, start, headers_only).await.map_err(failed)?;
    let mut entries = Vec::new();
    while replay.pending() > 0 {
        let waited = tokio::time::timeout(nats.timeout(), replay.next()).await;
        let Ok(message) = waited else {
            return Err(NatsError::Timeout { what: format!("bucket {bucket}"), after: nats.timeout() }.into());
        };
        entries.extend(Entry::of(bucket, &message.map_err(failed)?));
    }
    replay.end().await;
    Ok(entries)
}

pub async fn watch(args: WatchArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let bucket = &args.bucket;
    let start = if args.new { Start::New } else { Start::LastPerSubject };
    let subject = subject_of(bucket, &args.pattern);
    let replay = Replay::begin(&nats, &stream_of(bucket), &subject, start, false).await;
    let mut replay = replay.map_err(|error| in_bucket(bucket, error))?;
    output::progress(&format!("watching {} of bucket {bucket}", args.pattern));
    let mut printer = EntryPrinter::begin(args.output)?;
    let mut interrupted = std::pin::pin!(interrupted());
    let outcome = loop {
        if args.count.is_some_and(|count| printer.printed() >= count) {
            break Ok(());
        }
        tokio::select! {
            message = replay.next() => match message {
                Ok(message) => {
                    if let Some(entry) = Entry::of(bucket, &message) {
                        printer.print(&entry)?;
                    }
                }
                Err(error) => break Err(in_bucket(bucket, error)),
            },
            () = &mut interrupted => break Ok(()),
        }
    };
    // An array is closed whatever happened, so that what came stays valid JSON.
    printer.end()?;
    replay.end().await;
    outcome
}
