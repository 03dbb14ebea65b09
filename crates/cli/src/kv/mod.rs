//! `duolog kv …`: buckets of keys, by the conventions of NATS clients (ADR-8): a bucket is the stream `KV_<bucket>`,
//! a key the subject `$KV.<bucket>.<key>`, a deleted key a message that says so in a header.

mod entry;
mod read;
mod write;

use clap::{Args, Subcommand};
use duolog_nats_wire::jetstream::error::STREAM_NOT_FOUND;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::confirm;
use crate::exit::Failure;
use crate::nats::setting::{self, field, size, span, span_text};
use crate::nats::{NatsArgs, NatsError, StreamInfo, text};
use crate::output::{self, OutputArgs, Row};

/// What to do with buckets and keys.
#[derive(Debug, Subcommand)]
pub enum KvCommand {
    /// List buckets
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Create a bucket
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List the keys of a bucket
    #[command(after_help = read::KEYS_EXAMPLES)]
    Keys(read::KeysArgs),
    /// Read the value of a key
    #[command(after_help = read::GET_EXAMPLES)]
    Get(read::GetArgs),
    /// Give a key a value
    #[command(after_help = write::PUT_EXAMPLES)]
    Put(write::PutArgs),
    /// Delete a key; what it was stays in its history
    #[command(after_help = write::DELETE_EXAMPLES)]
    Delete(write::RemoveArgs),
    /// Delete a key with its history
    #[command(after_help = write::PURGE_EXAMPLES)]
    Purge(write::RemoveArgs),
    /// Show what a key was
    #[command(after_help = read::HISTORY_EXAMPLES)]
    History(read::HistoryArgs),
    /// Print values, and changes as they come
    #[command(after_help = read::WATCH_EXAMPLES)]
    Watch(read::WatchArgs),
    /// Delete a bucket and everything in it
    #[command(after_help = DROP_EXAMPLES)]
    Drop(DropArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  duolog kv list
  duolog kv list -o name";
const CREATE_EXAMPLES: &str = "\
Examples:
  duolog kv create config
  duolog kv create config --history 10             # remember ten values of each key
  duolog kv create sessions --ttl 30m              # forget what wasn't written for so long";
const DROP_EXAMPLES: &str = "\
Examples:
  duolog kv drop config                            # asks for the name again
  duolog kv drop config --yes                      # for scripts";

/// What the names of the streams of buckets begin with.
const STREAM_PREFIX: &str = "KV_";

/// Arguments of `kv list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `kv create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// Values to remember of each key, 1 to 64
    #[arg(long, default_value = "1", value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    history: u8,
    /// Forget values of this age (30m), or none
    #[arg(long, value_name = "SPAN", value_parser = span)]
    ttl: Option<i64>,
    /// Most bytes in all (64MiB), or none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_bytes: Option<i64>,
    /// Most bytes of one value, or none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_value_bytes: Option<i64>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Any setting of its stream by JetStream's own name, its value as JSON; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = field)]
    set: Vec<(String, Value)>,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `kv drop`.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    connect: NatsArgs,
}

pub async fn run(command: KvCommand) -> Result<(), Failure> {
    match command {
        KvCommand::List(args) => list(args).await,
        KvCommand::Create(args) => create(args).await,
        KvCommand::Keys(args) => read::keys(args).await,
        KvCommand::Get(args) => read::get(args).await,
        KvCommand::Put(args) => write::put(args).await,
        KvCommand::Delete(args) => write::remove(args, write::Removal::Delete).await,
        KvCommand::Purge(args) => write::remove(args, write::Removal::Purge).await,
        KvCommand::History(args) => read::history(args).await,
        KvCommand::Watch(args) => read::watch(args).await,
        KvCommand::Drop(args) => drop_bucket(args).await,
    }
}

/// A bucket's name: what every client takes.
fn bucket_name(text: &str) -> Result<String, String> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if text.is_empty() || !text.chars().all(good) {
        return Err(format!("`{text}` is no bucket's name: letters, digits, - and _"));
    }
    Ok(text.to_owned())
}

/// A key: what every client takes.
fn key_name(text: &str) -> Result<String, String> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_=./".contains(letter);
    if text.is_empty() || !text.chars().all(good) || text.split('.').any(str::is_empty) {
        return Err(format!("`{text}` is no key: letters, digits, - _ = / and . between other letters"));
    }
    Ok(text.to_owned())
}

/// A key, or a pattern with * and >.
fn key_pattern(text: &str) -> Result<String, String> {
    let token = |token: &str| matches!(token, "*" | ">") || key_name(token).is_ok();
    if text.split('.').all(token) {
        return crate::nats::pattern_subject(text);
    }
    Err(format!("`{text}` is no key, nor a pattern of keys such as `eu.*` or `eu.>`"))
}

fn stream_of(bucket: &str) -> String {
    format!("{STREAM_PREFIX}{bucket}")
}

fn subject_of(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// A missing stream, said as a missing bucket.
fn in_bucket(bucket: &str, error: NatsError) -> Failure {
    let missing = error.is(STREAM_NOT_FOUND) || matches!(error, NatsError::NoStream { .. });
    if missing {
        return Failure::Failed(format!(
            "bucket {bucket}: there is none; `duolog kv list` shows what there is, `duolog kv create {bucket}` makes it"
        ));
    }
    error.into()
}

#[derive(Debug, Serialize)]
struct BucketRow {
    bucket: String,
    history: i64,
    /// Nanoseconds; 0 is for ever.
    ttl: i64,
    storage: String,
    values: u64,
    bytes: u64,
    last_time: Option<String>,
}

impl Row for BucketRow {
    fn titles(wide: bool) -> Vec<&'static str> {
        let mut titles = vec!["BUCKET", "HISTORY", "TTL", "VALUES", "BYTES"];
        if wide {
            titles.extend(["STORAGE", "LAST TIME"]);
        }
        titles
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let mut cells = vec![
            self.bucket.clone(),
            self.history.to_string(),
            if self.ttl == 0 { "-".to_owned() } else { span_text(self.ttl) },
            self.values.to_string(),
            self.bytes.to_string(),
        ];
        if wide {
            cells.push(self.storage.clone());
            cells.push(self.last_time.clone().unwrap_or_else(|| "-".to_owned()));
        }
        cells
    }

    fn name(&self) -> String {
        self.bucket.clone()
    }
}

fn row(info: &StreamInfo) -> Option<BucketRow> {
    let number = |field: &str| info.config.get(field).and_then(Value::as_i64).unwrap_or(0);
    Some(BucketRow {
        bucket: info.name().strip_prefix(STREAM_PREFIX)?.to_owned(),
        history: number("max_msgs_per_subject"),
        ttl: number("max_age"),
        storage: text(&info.config, "storage").to_owned(),
        values: info.state.messages,
        bytes: info.state.bytes,
        last_time: crate::stream::time(&info.state.last_ts),
    })
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let streams: Vec<StreamInfo> = nats.api_list("list buckets", "STREAM.LIST", "streams").await?;
    let mut rows: Vec<BucketRow> = streams.iter().filter_map(row).collect();
    rows.sort_by(|one, other| one.bucket.cmp(&other.bucket));
    output::list(&rows, args.output.output)
}

/// The dedup window that clients give a bucket.
const DEDUP_WINDOW: i64 = 120_000_000_000;

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let bucket = args.bucket;
    let stream = stream_of(&bucket);
    let ttl = args.ttl.unwrap_or(0);
    // What every NATS client makes of a bucket, so that any of them takes it for one.
    let mut config = Map::new();
    let fields = [
        ("name", Value::from(stream.as_str())),
        ("subjects", Value::from(vec![subject_of(&bucket, ">")])),
        ("max_msgs_per_subject", args.history.into()),
        ("max_age", ttl.into()),
        ("max_bytes", args.max_bytes.unwrap_or(-1).into()),
        ("max_msg_size", args.max_value_bytes.unwrap_or(-1).into()),
        ("max_consumers", Value::from(-1)),
        ("max_msgs", Value::from(-1)),
        ("duplicate_window", if ttl > 0 { ttl.min(DEDUP_WINDOW) } else { DEDUP_WINDOW }.into()),
        ("retention", "limits".into()),
        ("storage", "file".into()),
        ("discard", "new".into()),
        ("num_replicas", Value::from(1)),
        ("allow_rollup_hdrs", true.into()),
        ("deny_delete", true.into()),
        ("allow_direct", true.into()),
    ];
    config.extend(fields.map(|(field, value)| (field.to_owned(), value)));
    config.extend(args.description.map(|text| ("description".to_owned(), text.into())));
    setting::apply(&mut config, args.set);
    let nats = args.connect.connect().await?;
    let what = format!("create bucket {bucket}");
    let _: StreamInfo = nats.api(&what, &format!("STREAM.CREATE.{stream}"), &Value::Object(config)).await?;
    output::progress(&format!("bucket {bucket}: is there"));
    Ok(())
}

async fn drop_bucket(args: DropArgs) -> Result<(), Failure> {
    let bucket = &args.bucket;
    let what = format!("delete bucket {bucket}");
    confirm::by_name(&what, bucket, args.yes)?;
    let nats = args.connect.connect().await?;
    let subject = format!("STREAM.DELETE.{}", stream_of(bucket));
    let deleted: Result<Value, NatsError> = nats.api(&what, &subject, &Value::Null).await;
    deleted.map_err(|error| in_bucket(bucket, error))?;
    output::progress(&format!("bucket {bucket}: deleted"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_keys_are_what_every_client_takes() {
        assert!(bucket_name("config-1_a").is_ok());
        for bad in ["", "a.b", "a b", "ä", "*"] {
            assert!(bucket_name(bad).is_err(), "{bad}");
        }
        assert!(key_name("a/b=c.d-e_f").is_ok());
        for bad in ["", ".a", "a.", "a..b", "a b", "a.*", ">", "ä"] {
            assert!(key_name(bad).is_err(), "{bad}");
        }
        for good in ["a", "a.*", ">", "a.>"] {
            assert!(key_pattern(good).is_ok(), "{good}");
        }
        for bad in ["", "a.>.b", "a*.b", "a b"] {
            assert!(key_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_json_of_buckets_is_what_the_manual_says() {
        let info: StreamInfo = serde_json::from_str(
            r#"{"config":{"name":"KV_b","max_msgs_per_subject":5,"max_age":60000000000,"storage":"file"},
                "created":"","state":{"messages":2,"bytes":9,"first_seq":1,"last_seq":2}}"#,
        )
        .unwrap();
        assert_eq!(
            output::json_line(&row(&info).unwrap()),
            concat!(
                r#"{"bucket":"b","history":5,"ttl":60000000000,"storage":"file","values":2,"bytes":9,"#,
                r#""last_time":null}"#
            )
        );
    }
}
