//! Writing to a bucket: put, delete, purge.

use clap::Args;
use duolog_nats_wire::jetstream::error::STREAM_WRONG_LAST_SEQUENCE;
use serde::Serialize;

use super::entry::Operation;
use super::{bucket_name, in_bucket, key_name, read, subject_of};
use crate::confirm;
use crate::exit::Failure;
use crate::nats::{self, Nats, NatsArgs, NatsError};
use crate::output;
use crate::publish::{PubAck, ResultFormat, acknowledged};

pub const PUT_EXAMPLES: &str = "\
Examples:
  duolog kv put config eu.limit 100
  duolog kv put config eu.cert - < cert.pem        # the whole of stdin
  duolog kv put config eu.limit 200 --if-revision 7    # only if nobody changed it since
  duolog kv put config lock host-1 --if-absent     # only if there is no such key";
pub const DELETE_EXAMPLES: &str = "\
Examples:
  duolog kv delete config eu.limit
  duolog kv delete config eu.limit --if-revision 7";
pub const PURGE_EXAMPLES: &str = "\
Examples:
  duolog kv purge config eu.limit --yes";

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// Arguments of `kv put`.
#[derive(Debug, Args)]
pub struct PutArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// The key
    #[arg(value_parser = key_name)]
    key: String,
    /// The value; without one, or with `-`, it is read from stdin
    #[arg(allow_hyphen_values = true)]
    value: Option<String>,
    /// Only if this is still the key's revision
    #[arg(long, value_name = "NUMBER", conflicts_with = "if_absent")]
    if_revision: Option<u64>,
    /// Only if there is no such key
    #[arg(long)]
    if_absent: bool,
    /// How to print the new revision
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: ResultFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

/// Arguments of `kv delete` and `kv purge`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Name of the bucket
    #[arg(value_parser = bucket_name)]
    bucket: String,
    /// The key
    #[arg(value_parser = key_name)]
    key: String,
    /// Only if this is still the key's revision
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,
    /// Don't ask before a history is deleted
    #[arg(short, long)]
    yes: bool,
    /// How to print the new revision
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: ResultFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

/// How to remove a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// By a message behind the others.
    Delete,
    /// By a message in place of the others.
    Purge,
}

#[derive(Debug, Serialize)]
struct WriteRow<'a> {
    bucket: &'a str,
    key: &'a str,
    revision: u64,
    operation: Operation,
}

pub async fn put(args: PutArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let value = nats::body(args.value).await?;
    let (bucket, key) = (&args.bucket, &args.key);
    let expected = if args.if_absent { Some(0) } else { args.if_revision };
    let mut written = write(&nats, bucket, key, &[], expected, value.clone()).await;
    let is_conflict =
        |error: &Failure| matches!(error, Failure::Nats(error) if error.is(STREAM_WRONG_LAST_SEQUENCE));
    if args.if_absent && written.as_ref().is_err_and(is_conflict) {
        // A key that was deleted is absent, too: it goes behind that deletion, or behind nothing.
        match read::latest(&nats, bucket, key).await? {
            Some(entry) if entry.operation != Operation::Put => {
                written = write(&nats, bucket, key, &[], Some(entry.revision), value).await;
            }
            Some(entry) => {
                return Err(Failure::Failed(format!(
                    "bucket {bucket}: key {key} is there already, at revision {}",
                    entry.revision
                )));
            }
            None => {}
        }
    }
    let revision = written.map_err(|error| changed(bucket, key, error))?;
    output::progress(&format!("bucket {bucket}: {key} is at revision {revision}"));
    args.output.print(&[WriteRow { bucket, key, revision, operation: Operation::Put }])
}

pub async fn remove(args: RemoveArgs, removal: Removal) -> Result<(), Failure> {
    let (bucket, key) = (&args.bucket, &args.key);
    let (headers, operation, said): (&[(&str, &str)], _, _) = match removal {
        Removal::Delete => (&[("KV-Operation", "DEL")], Operation::Delete, "deleted"),
        Removal::Purge => {
            confirm::by_name(&format!("purge key {key} of bucket {bucket}"), key, args.yes)?;
            (
                &[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")],
                Operation::Purge,
                "deleted with its history",
            )
        }
    };
    let nats = args.connect.connect().await?;
    if read::latest(&nats, bucket, key).await?.is_none() {
        return Err(Failure::Failed(format!(
            "bucket {bucket}: no key {key}; `duolog kv keys {bucket}` shows what there is"
        )));
    }
    let written = write(&nats, bucket, key, headers, args.if_revision, bytes::Bytes::new()).await;
    let revision = written.map_err(|error| changed(bucket, key, error))?;
    output::progress(&format!("bucket {bucket}: {key} is {said}, at revision {revision}"));
    args.output.print(&[WriteRow { bucket, key, revision, operation }])
}

/// Publishes to the key's subject; its new revision.
async fn write(
    nats: &Nats,
    bucket: &str,
    key: &str,
    headers: &[(&str, &str)],
    expected: Option<u64>,
    value: bytes::Bytes,
) -> Result<u64, Failure> {
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.extend(expected.map(|revision| (EXPECTED.to_owned(), revision.to_string())));
    let headers = nats::header_map(&headers)?;
    let written: Result<PubAck, NatsError> =
        acknowledged(nats, &subject_of(bucket, key), headers, value).await;
    Ok(written.map_err(|error| in_bucket(bucket, error))?.sequence)
}

/// A wrong revision, said as such.
fn changed(bucket: &str, key: &str, error: Failure) -> Failure {
    match error {
        Failure::Nats(error) if error.is(STREAM_WRONG_LAST_SEQUENCE) => Failure::Failed(format!(
            "bucket {bucket}: {key} has another revision; `duolog kv get {bucket} {key} -o json` shows it ({error})"
        )),
        other => other,
    }
}
