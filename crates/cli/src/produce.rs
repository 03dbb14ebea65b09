//! `duolog produce`

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use duolog_record::{BatchBuilder, BatchError, Compression, partition_for_key};
use duolog_types::{Offset, TimestampMs};
use tokio::sync::mpsc;

use crate::ConnectArgs;
use crate::client::{Acks, Client, ClientError, Topic};
use crate::exit::Failure;
use crate::output;
use crate::record_json::{Header, RecordJson};
use crate::time::now_ms;
use crate::topic::assignment;

/// A batch is sent when it has grown to this. Below Kafka's default limit of 1 MiB even if nothing compresses.
const BATCH_BYTES: usize = 512 * 1024;

/// Records that may wait between the input and the broker.
const QUEUE_RECORDS: usize = 1024;

const EXAMPLES: &str = "\
Examples:
  duolog produce orders 'first' 'second'           # two records from the command line
  echo hello | duolog produce orders               # a record for each line of stdin
  duolog produce orders -k alice -H source=web 'an order'
  duolog produce orders --key-separator : < pairs.txt        # lines of KEY:VALUE
  duolog produce orders --file a.json --file b.json --whole  # a record for each file
  duolog produce orders --compression zstd --file app.log
  duolog consume orders -o jsonl --until-end | duolog produce copy --input json

A key decides the partition by murmur2, as Kafka's Java client does; records without a key go to one partition
after the other, a batch at a time.";

/// Arguments of `produce`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ProduceArgs {
    /// Topic to write to (created if the broker is set to do so)
    topic: String,
    /// Values, a record each; without any (and without --file) they are read from stdin
    values: Vec<String>,
    /// Read records from this file, `-` is stdin; may be repeated
    #[arg(short, long, value_name = "PATH", conflicts_with = "values")]
    file: Vec<PathBuf>,
    /// A file is one record, not one for each line
    #[arg(long, requires = "file", conflicts_with = "key_separator")]
    whole: bool,
    /// What a line holds
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT", conflicts_with = "whole")]
    input: Input,
    /// Key of every record
    #[arg(short, long)]
    key: Option<String>,
    /// Split each value at the first of these into key and value
    #[arg(long, value_name = "TEXT", conflicts_with = "key", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    /// A header of every record; may be repeated
    #[arg(short = 'H', long = "header", value_name = "KEY=VALUE", value_parser = assignment)]
    headers: Vec<(String, String)>,
    /// An empty value is null: a tombstone, which deletes the key from a compacted topic
    #[arg(long)]
    tombstone: bool,
    /// Write to this partition whatever the key
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Codec
    #[arg(short = 'z', long, value_enum, default_value = "none", value_name = "CODEC")]
    compression: Codec,
    /// When a record counts as written: all (durable on every replica in sync), 1 (the leader has it), 0 (sent)
    #[arg(short, long, value_enum, default_value = "all")]
    acks: AcksArg,
    /// Print partition and offset of each batch to stderr
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Input {
    /// The value
    Text,
    /// A JSON object with key, value, headers, partition, timestamp: what `consume -o jsonl` prints
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcksArg {
    All,
    #[value(name = "1")]
    One,
    #[value(name = "0")]
    Zero,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

impl From<AcksArg> for Acks {
    fn from(acks: AcksArg) -> Self {
        match acks {
            AcksArg::All => Self::All,
            AcksArg::One => Self::Leader,
            AcksArg::Zero => Self::None,
        }
    }
}

/// A record that is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
struct NewRecord {
    partition: Option<i32>,
    timestamp_ms: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

/// What the command line says about every record.
#[derive(Debug)]
struct Template {
    input: Input,
    whole: bool,
    key: Option<String>,
    key_separator: Option<String>,
    headers: Vec<Header>,
    tombstone: bool,
    partition: Option<i32>,
}

pub async fn run(args: ProduceArgs) -> Result<(), Failure> {
    let headers =
        args.headers.iter().map(|(key, value)| (key.as_bytes().to_vec(), Some(value.as_bytes().to_vec())));
    let template = Template {
        input: args.input,
        whole: args.whole,
        key: args.key,
        key_separator: args.key_separator,
        headers: headers.collect(),
        tombstone: args.tombstone,
        partition: args.partition,
    };
    let client = args.connect.client();
    // Known before the first record is read: a wrong name must not swallow half of stdin first.
    let topic = client.topic(&args.topic, true).await?;
    let mut sender = Sender {
        client,
        topic,
        compression: args.compression.into(),
        acks: args.acks.into(),
        verbose: args.verbose,
        open: BTreeMap::new(),
        next_keyless: 0,
        sent: 0,
    };
    let stdin_is_typed = args.values.is_empty() && args.file.is_empty() && std::io::stdin().is_terminal();
    if stdin_is_typed {
        output::progress("a record for each line; end with Ctrl-D");
    }
    let (queue, mut records) = mpsc::channel(QUEUE_RECORDS);
    // A plain thread: reading a terminal or pipe can't be cancelled, and must not keep the process alive.
    std::thread::spawn(move || read_input(&template, args.values, args.file, &queue));
    while let Some(record) = records.recv().await {
        sender.add(record?).await?;
        // Whatever is there already goes into the same batches; when the input pauses, they leave.
        while let Ok(record) = records.try_recv() {
            sender.add(record?).await?;
        }
        sender.flush().await?;
    }
    let records = output::counted(sender.sent as u64, "record");
    output::progress(&format!("{records} written to {}", sender.topic.name));
    Ok(())
}

type Queue = mpsc::Sender<Result<NewRecord, Failure>>;

fn read_input(template: &Template, values: Vec<String>, files: Vec<PathBuf>, queue: &Queue) {
    // A closed queue means that sending failed, which is reported over there.
    if let Err(failure) = read_all(template, values, files, queue) {
        let _ = queue.blocking_send(Err(failure));
    }
}

fn read_all(
    template: &Template,
    values: Vec<String>,
    files: Vec<PathBuf>,
    queue: &Queue,
) -> Result<(), Failure> {
    let from_stdin = values.is_empty() && files.is_empty();
    for (index, value) in values.into_iter().enumerate() {
        let record = template.record(value.into_bytes());
        let record = record.map_err(|reason| Failure::Usage(format!("value {}: {reason}", index + 1)))?;
        let _ = queue.blocking_send(Ok(record));
    }
    if from_stdin {
        return read_lines(template, "stdin", &mut std::io::stdin().lock(), queue);
    }
    for path in files {
        let name = path.display().to_string();
        if name == "-" {
            read_lines(template, "stdin", &mut std::io::stdin().lock(), queue)?;
            continue;
        }
        let file = std::fs::File::open(&path).map_err(|source| Failure::Io { what: name.clone(), source })?;
        read_lines(template, &name, &mut BufReader::new(file), queue)?;
    }
    Ok(())
}

fn read_lines(
    template: &Template,
    name: &str,
    input: &mut dyn BufRead,
    queue: &Queue,
) -> Result<(), Failure> {
    let io = |source| Failure::Io { what: name.to_owned(), source };
    if template.whole {
        let mut value = Vec::new();
        input.read_to_end(&mut value).map_err(io)?;
        let record = template.record(value).map_err(|reason| Failure::Failed(format!("{name}: {reason}")))?;
        let _ = queue.blocking_send(Ok(record));
        return Ok(());
    }
    for number in 1_u64.. {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).map_err(io)? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let failed = |reason| Failure::Failed(format!("{name}, line {number}: {reason}"));
        let record = template.record(line).map_err(failed)?;
        if queue.blocking_send(Ok(record)).is_err() {
            break;
        }
    }
    Ok(())
}

impl Template {
    fn record(&self, input: Vec<u8>) -> Result<NewRecord, String> {
        let mut record = match self.input {
            Input::Json => {
                let json: RecordJson = serde_json::from_slice(&input).map_err(|error| error.to_string())?;
                NewRecord {
                    partition: json.partition,
                    timestamp_ms: json.timestamp,
                    key: json.key()?,
                    value: json.value()?,
                    headers: json.headers()?,
                }
            }
            Input::Text => match self.key_separator.as_deref().map(str::as_bytes) {
                Some(separator) => {
                    let at = input.windows(separator.len()).position(|window| window == separator);
                    let at = at.ok_or("the key separator is not in it")?;
                    NewRecord {
                        key: Some(input[..at].to_vec()),
                        value: Some(input[at + separator.len()..].to_vec()),
                        ..NewRecord::default()
                    }
                }
                None => NewRecord { value: Some(input), ..NewRecord::default() },
            },
        };
        if let Some(key) = &self.key {
            record.key = Some(key.as_bytes().to_vec());
        }
        if self.tombstone && record.value.as_ref().is_some_and(Vec::is_empty) {
            record.value = None;
        }
        if self.partition.is_some() {
            record.partition = self.partition;
        }
        record.headers.extend(self.headers.iter().cloned());
        Ok(record)
    }
}

/// Batches in the making, by partition.
struct Sender {
    client: Client,
    topic: Topic,
    compression: Compression,
    acks: Acks,
    verbose: bool,
    open: BTreeMap<i32, BatchBuilder>,
    /// Counts batches of keyless records, so that they go round.
    next_keyless: usize,
    sent: usize,
}

impl Sender {
    async fn add(&mut self, record: NewRecord) -> Result<(), Failure> {
        let partition = self.partition_of(&record)?;
        let batch = self.open.entry(partition);
        let batch = batch.or_insert_with(|| BatchBuilder::new(Offset::ZERO).compression(self.compression));
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        let timestamp = TimestampMs(record.timestamp_ms.unwrap_or_else(now_ms));
        batch
            .push_with_headers(timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
            .map_err(|error| unbuildable(&error))?;
        if batch.size_bytes() >= BATCH_BYTES {
            self.send(partition).await?;
        }
        Ok(())
    }

    fn partition_of(&self, record: &NewRecord) -> Result<i32, Failure> {
        let count = self.topic.partitions.len();
        if let Some(partition) = record.partition {
            if self.topic.partitions.iter().any(|known| known.partition == partition) {
                return Ok(partition);
            }
            let topic = self.topic.name.clone();
            return Err(ClientError::NoSuchPartition { topic, partition, count }.into());
        }
        let partitions = u32::try_from(count).ok().and_then(NonZeroU32::new);
        let partitions = partitions
            .ok_or_else(|| Failure::Failed(format!("topic {} has no partitions", self.topic.name)))?;
        let partition = match &record.key {
            Some(key) => partition_for_key(key, partitions) as usize,
            None => self.next_keyless % count,
        };
        Ok(i32::try_from(partition).unwrap_or(i32::MAX))
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        while let Some(partition) = self.open.keys().next().copied() {
            self.send(partition).await?;
        }
        Ok(())
    }

    async fn send(&mut self, partition: i32) -> Result<(), Failure> {
        let Some(batch) = self.open.remove(&partition) else { return Ok(()) };
        self.next_keyless += 1;
        let count = batch.record_count();
        let bytes = batch.build().map_err(|error| unbuildable(&error))?;
        let mut produced = self.client.produce(&self.topic, partition, bytes.clone(), self.acks).await;
        // Refused, not lost: look where the leader is now and try again until the timeout.
        let give_up = tokio::time::Instant::now() + self.client.timeout();
        while let Err(error) = &produced {
            if !error.is_retriable() || tokio::time::Instant::now() >= give_up {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            self.topic = self.client.topic(&self.topic.name, false).await?;
            produced = self.client.produce(&self.topic, partition, bytes.clone(), self.acks).await;
        }
        let produced = produced?;
        self.sent += count;
        if self.verbose {
            let topic = &self.topic.name;
            output::progress(&match produced.base_offset {
                Some(offset) => format!("{topic}-{partition}: {count} records from offset {offset}"),
                None => format!("{topic}-{partition}: {count} records sent"),
            });
        }
        Ok(())
    }
}

fn unbuildable(error: &BatchError) -> Failure {
    ClientError::Unbuildable { reason: error.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        Template {
            input: Input::Text,
            whole: false,
            key: None,
            key_separator: None,
            headers: Vec::new(),
            tombstone: false,
            partition: None,
        }
    }

    #[test]
    fn a_line_becomes_key_value_or_tombstone() {
        let keyed = Template { key_separator: Some("::".to_owned()), tombstone: true, ..template() };
        let record = keyed.record(b"k::v::w".to_vec()).unwrap();
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"k"[..]), Some(&b"v::w"[..])));
        let record = keyed.record(b"k::".to_vec()).unwrap();
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"k"[..]), None));
        assert_eq!(keyed.record(b"no separator".to_vec()), Err("the key separator is not in it".to_owned()));
        let empty = template().record(Vec::new()).unwrap();
        assert_eq!(empty.value.as_deref(), Some(&b""[..]), "an empty line is an empty value");
    }

    #[test]
    fn what_the_command_line_says_goes_over_what_json_says() {
        let json = Template {
            input: Input::Json,
            key: Some("K".to_owned()),
            headers: vec![(b"h".to_vec(), None)],
            partition: Some(4),
            ..template()
        };
        let record = json
            .record(br#"{"key":"k","value":"v","partition":1,"headers":[{"key":"a","value":"b"}]}"#.to_vec())
            .unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"K"[..]));
        assert_eq!(record.partition, Some(4));
        assert_eq!(record.headers.len(), 2);
    }
}
