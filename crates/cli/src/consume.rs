//! `duolog consume`

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::ConnectArgs;
use crate::client::{Client, ClientError, ConsumedRecord, ErrorCode, Membership, Position, Topic};
use crate::exit::Failure;
use crate::output::{self, cell};
use crate::record_json::RecordJson;
use crate::time::{format_ms, now_ms, parse_rfc3339, parse_span};

/// How long the broker keeps a fetch that finds nothing.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// How often a group member commits what was printed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  duolog consume orders                        # from the first record on, and wait for more
  duolog consume orders --from latest          # only what comes from now on
  duolog consume orders --from -5 --until-end  # the last five of each partition
  duolog consume orders --from 15m -o table    # the last quarter of an hour
  duolog consume orders --from 2026-11-23T08:00:00Z -n 10
  duolog consume orders --partition 3 --from 1200 -n 1 -o json
  duolog consume orders --group billing        # share the partitions with the group's other members
  duolog consume orders -o jsonl --until-end | jq -r .key | sort | uniq -c

With --group, what was printed is committed every few seconds and at the end; the group goes on from there, and
--from only says where it begins in partitions that it has committed nothing for.";

/// Arguments of `consume`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConsumeArgs {
    /// Topic to read
    topic: String,
    /// Where to begin: earliest, latest, an offset, -N (N before the end), a time (RFC 3339, or @ms since 1970),
    /// or a span before now (15m, 6h, 7d)
    #[arg(long, default_value = "earliest", value_name = "WHERE", value_parser = start, allow_hyphen_values = true)]
    from: Start,
    /// Only this partition; may be repeated
    #[arg(short, long = "partition", value_name = "NUMBER", conflicts_with = "group")]
    partitions: Vec<i32>,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// Stop at what is the end when the command starts
    #[arg(short = 'e', long)]
    until_end: bool,
    /// Read as a member of this consumer group
    #[arg(short, long)]
    group: Option<String>,
    /// How to print records
    #[arg(short, long, value_enum, default_value = "value", value_name = "FORMAT")]
    output: RecordFormat,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RecordFormat {
    /// The value and a newline
    Value,
    /// The value as it is, and nothing else
    Raw,
    /// Partition, offset, time, key and value, with tabs between them
    Table,
    /// As table, and headers
    Wide,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    At(Position),
    Offset(i64),
    BeforeEnd(i64),
    Ago(Duration),
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" | "beginning" | "start" => return Ok(Start::At(Position::Earliest)),
        "latest" | "end" => return Ok(Start::At(Position::Latest)),
        _ => {}
    }
    if let Some(ms) = text.strip_prefix('@').and_then(|ms| ms.parse().ok()) {
        return Ok(Start::At(Position::Timestamp(ms)));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if number < 0 {
            Start::BeforeEnd(number.saturating_neg())
        } else {
            Start::Offset(number)
        });
    }
    if let Some(span) = parse_span(text) {
        return Ok(Start::Ago(span));
    }
    if let Some(ms) = parse_rfc3339(text) {
        return Ok(Start::At(Position::Timestamp(ms)));
    }
    Err("not earliest, latest, an offset, -N, a time like 2026-11-23T08:00:00Z, or a span like 15m"
        .to_owned())
}

pub async fn run(args: ConsumeArgs) -> Result<(), Failure> {
    let client = Arc::new(args.connect.client());
    let topic = client.topic(&args.topic, false).await?;
    let mut printer =
        Printer { format: args.output, topic: topic.name.clone(), printed: 0, limit: args.count };
    printer.begin()?;
    let mut reader = Reader { client, topic, from: args.from, positions: BTreeMap::new(), ends: None };
    let read = async {
        match &args.group {
            Some(group) => read_as_member(&mut reader, &mut printer, group, args.until_end).await,
            None => read_alone(&mut reader, &mut printer, &args.partitions, args.until_end).await,
        }
    };
    let outcome = read.await;
    // An array is closed whatever happened, so that what was read stays valid JSON.
    printer.end()?;
    outcome?;
    let records = output::counted(printer.printed, "record");
    output::progress(&format!("{records} read from {}", printer.topic));
    Ok(())
}

/// Resolves when the user wants to stop.
pub async fn interrupted() {
    // Without a handler Ctrl-C ends the process the hard way, which loses nothing that is durable.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn read_alone(
    reader: &mut Reader,
    printer: &mut Printer,
    partitions: &[i32],
    until_end: bool,
) -> Result<(), Failure> {
    let wanted: Vec<i32> = if partitions.is_empty() {
        reader.topic.partitions.iter().map(|partition| partition.partition).collect()
    } else {
        partitions.to_vec()
    };
    reader.begin(&wanted, &BTreeMap::new(), until_end).await?;
    let mut interrupted = std::pin::pin!(interrupted());
    while !reader.is_done() && !printer.is_full() {
        tokio::select! {
            // A fetch that is dropped takes nothing with it: positions move only when its records are printed.
            round = reader.round() => reader.print(round?, printer)?,
            () = &mut interrupted => break,
        }
    }
    Ok(())
}

async fn read_as_member(
    reader: &mut Reader,
    printer: &mut Printer,
    group: &str,
    until_end: bool,
) -> Result<(), Failure> {
    let mut member = Membership::new(Arc::clone(&reader.client), group, &reader.topic.name).await?;
    let mut interrupted = std::pin::pin!(interrupted());
    let outcome = 'joined: loop {
        let assigned = tokio::select! {
            assigned = member.join() => assigned?,
            () = &mut interrupted => break Ok(()),
        };
        output::progress(&format!("group {group}: partitions [{}]", output::ranges(&assigned)));
        reader.topic = reader.client.topic(&reader.topic.name, false).await?;
        let committed = reader.client.committed(group).await?;
        let committed: BTreeMap<i32, i64> = committed
            .into_iter()
            .filter(|((topic, _), _)| *topic == reader.topic.name)
            .map(|((_, partition), committed)| (partition, committed.offset))
            .collect();
        reader.begin(&assigned, &committed, until_end).await?;
        let mut to_commit = BTreeMap::new();
        let mut next_commit = tokio::time::Instant::now() + COMMIT_INTERVAL;
        loop {
            if reader.is_done() || printer.is_full() {
                break 'joined commit(&member, &mut to_commit).await;
            }
            tokio::select! {
                round = reader.round() => {
                    let result = round.and_then(|round| reader.print(round, printer));
                    to_commit.clone_from(&reader.positions);
                    if let Err(failure) = result {
                        // What was printed before is committed all the same; the failure is what is reported.
                        let _ = commit(&member, &mut to_commit).await;
                        break 'joined Err(failure);
                    }
                }
                () = member.rebalance() => {
                    // Too late for the coordinator is no failure: the next owner reads these records once more.
                    let _ = commit(&member, &mut to_commit).await;
                    break;
                }
                () = &mut interrupted => break 'joined commit(&member, &mut to_commit).await,
            }
            if tokio::time::Instant::now() >= next_commit {
                next_commit = tokio::time::Instant::now() + COMMIT_INTERVAL;
                match commit(&member, &mut to_commit).await {
                    Err(Failure::Client(error)) if moved_on(&error) => break,
                    other => other?,
                }
            }
        }
    };
    let left = member.leave().await;
    outcome?;
    Ok(left?)
}

fn moved_on(error: &ClientError) -> bool {
    let codes =
        [ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID];
    error.code().is_some_and(|code| codes.contains(&code))
}

async fn commit(member: &Membership, offsets: &mut BTreeMap<i32, i64>) -> Result<(), Failure> {
    member.commit(offsets).await?;
    offsets.clear();
    Ok(())
}

/// Where this command is in each partition that it reads.
struct Reader {
    client: Arc<Client>,
    topic: Topic,
    from: Start,
    positions: BTreeMap<i32, i64>,
    /// With --until-end: where to stop. Partitions leave when they get there.
    ends: Option<BTreeMap<i32, i64>>,
}

impl Reader {
    /// Starts reading `partitions`, from `committed` where there is such an offset.
    async fn begin(
        &mut self,
        partitions: &[i32],
        committed: &BTreeMap<i32, i64>,
        until_end: bool,
    ) -> Result<(), Failure> {
        self.positions.clear();
        self.ends = until_end.then(BTreeMap::new);
        if partitions.is_empty() {
            return Ok(());
        }
        let (client, topic) = (&self.client, &self.topic);
        self.positions = match self.from {
            Start::At(position) => client.offsets_at(topic, partitions, position).await?,
            Start::Ago(span) => {
                let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                let position = Position::Timestamp(now_ms().saturating_sub(ms));
                client.offsets_at(topic, partitions, position).await?
            }
            Start::Offset(offset) => {
                let earliest = client.offsets_at(topic, partitions, Position::Earliest).await?;
                let mut positions = client.offsets_at(topic, partitions, Position::Latest).await?;
                for (partition, end) in &mut positions {
                    let first = earliest.get(partition).copied().unwrap_or(0);
                    *end = within(&topic.name, *partition, offset, first, *end);
                }
                positions
            }
            Start::BeforeEnd(count) => {
                let earliest = client.offsets_at(topic, partitions, Position::Earliest).await?;
                let mut positions = client.offsets_at(topic, partitions, Position::Latest).await?;
                for (partition, end) in &mut positions {
                    let first = earliest.get(partition).copied().unwrap_or(0);
                    *end = end.saturating_sub(count).max(first);
                }
                positions
            }
        };
        for (partition, offset) in committed {
            if let Some(position) = self.positions.get_mut(partition) {
                *position = *offset;
            }
        }
        if let Some(ends) = &mut self.ends {
            *ends = client.offsets_at(topic, partitions, Position::Latest).await?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.unread().is_empty() && self.ends.is_some()
    }

    /// The partitions that aren't at the end yet.
    fn unread(&self) -> BTreeMap<i32, i64> {
        let mut unread = self.positions.clone();
        if let Some(ends) = &self.ends {
            unread.retain(|partition, position| ends.get(partition).is_none_or(|end| *position < *end));
        }
        unread
    }

    async fn round(&self) -> Result<Round, Failure> {
        let positions = self.unread();
        if positions.is_empty() {
            // A member without partitions waits for the next rebalance.
            return std::future::pending().await;
        }
        match self.client.fetch(&self.topic, &positions, FETCH_WAIT).await {
            Ok(fetched) => Ok(Round { fetched, topic: None }),
            // The leader moved, or there is none for a moment.
            Err(error) if error.is_retriable() => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let topic = self.client.topic(&self.topic.name, false).await?;
                Ok(Round { fetched: Vec::new(), topic: Some(topic) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prints what a round brought; positions move record by record, so that they say what was printed.
    fn print(&mut self, round: Round, printer: &mut Printer) -> Result<(), Failure> {
        if let Some(topic) = round.topic {
            self.topic = topic;
        }
        for fetched in round.fetched {
            let end = self.ends.as_ref().and_then(|ends| ends.get(&fetched.partition)).copied();
            for record in fetched.records {
                if printer.is_full() {
                    return printer.flush();
                }
                if end.is_some_and(|end| record.offset >= end) {
                    break;
                }
                printer.print(&record)?;
                self.positions.insert(fetched.partition, record.offset + 1);
            }
            self.positions.insert(
                fetched.partition,
                end.map_or(fetched.next_offset, |end| end.min(fetched.next_offset)),
            );
        }
        printer.flush()
    }
}

/// `offset`, or what is nearest to it in the partition: with several partitions one offset seldom fits all.
fn within(topic: &str, partition: i32, offset: i64, first: i64, end: i64) -> i64 {
    let nearest = offset.clamp(first, end.max(first));
    if nearest != offset {
        output::progress(&format!(
            "{topic}-{partition} has offsets {first} to {end}: starting at {nearest}, not at {offset}"
        ));
    }
    nearest
}

/// What a fetch brought, or a newer view of the topic.
struct Round {
    fetched: Vec<crate::client::Fetched>,
    topic: Option<Topic>,
}

/// Writes records to stdout.
struct Printer {
    format: RecordFormat,
    topic: String,
    printed: u64,
    limit: Option<u64>,
}

impl Printer {
    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.printed >= limit)
    }

    fn begin(&self) -> Result<(), Failure> {
        match self.format {
            RecordFormat::Table => output::print("PARTITION\tOFFSET\tTIME\tKEY\tVALUE\n"),
            RecordFormat::Wide => output::print("PARTITION\tOFFSET\tTIME\tKEY\tVALUE\tHEADERS\n"),
            RecordFormat::Json => output::print("["),
            _ => Ok(()),
        }
    }

    fn end(&self) -> Result<(), Failure> {
        if self.format == RecordFormat::Json {
            return output::print(if self.printed > 0 { "\n]\n" } else { "]\n" });
        }
        Ok(())
    }

    fn print(&mut self, record: &ConsumedRecord) -> Result<(), Failure> {
        let bytes = line(&self.topic, record, self.format, self.printed == 0);
        std::io::stdout().lock().write_all(&bytes).map_err(Failure::output)?;
        self.printed += 1;
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "goes with print, which has the state")]
    fn flush(&self) -> Result<(), Failure> {
        std::io::stdout().lock().flush().map_err(Failure::output)
    }
}

fn line(topic: &str, record: &ConsumedRecord, format: RecordFormat, first: bool) -> Vec<u8> {
    let value = record.value.as_deref().unwrap_or_default();
    match format {
        RecordFormat::Value => [value, b"\n"].concat(),
        RecordFormat::Raw => value.to_vec(),
        RecordFormat::Jsonl => (output::json_line(&RecordJson::of(topic, record)) + "\n").into_bytes(),
        RecordFormat::Json => {
            let comma = if first { "\n  " } else { ",\n  " };
            (comma.to_owned() + &output::json_line(&RecordJson::of(topic, record))).into_bytes()
        }
        RecordFormat::Table | RecordFormat::Wide => {
            let mut cells = vec![
                record.partition.to_string(),
                record.offset.to_string(),
                format_ms(record.timestamp_ms),
                cell(record.key.as_deref()),
                cell(record.value.as_deref()),
            ];
            if format == RecordFormat::Wide {
                let headers = record.headers.iter();
                let headers =
                    headers.map(|(key, value)| format!("{}={}", cell(Some(key)), cell(value.as_deref())));
                cells.push(headers.collect::<Vec<_>>().join(","));
            }
            (cells.join("\t") + "\n").into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::TimestampKind;
    use bytes::Bytes;

    #[test]
    fn from_understands_every_way_to_name_a_place() {
        for (text, expected) in [
            ("earliest", Start::At(Position::Earliest)),
            ("latest", Start::At(Position::Latest)),
            ("0", Start::Offset(0)),
            ("1200", Start::Offset(1200)),
            ("-5", Start::BeforeEnd(5)),
            ("15m", Start::Ago(Duration::from_secs(900))),
            ("@1700000000000", Start::At(Position::Timestamp(1_700_000_000_000))),
            ("1970-01-01T00:00:01Z", Start::At(Position::Timestamp(1000))),
        ] {
            assert_eq!(start(text), Ok(expected), "{text}");
        }
        for bad in ["", "soon", "1.5", "@", "2026-02-30"] {
            assert!(start(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_is_one_line_whatever_it_holds() {
        let record = ConsumedRecord {
            partition: 0,
            offset: 7,
            timestamp_ms: 0,
            timestamp_kind: TimestampKind::Create,
            key: None,
            value: Some(Bytes::from_static(b"a\tb\n\x1b[2J")),
            headers: vec![(Bytes::from_static(b"h"), Some(Bytes::from_static(b"1")))],
        };
        let text = |format, first| String::from_utf8(line("t", &record, format, first)).unwrap();
        assert_eq!(
            text(RecordFormat::Wide, true),
            "0\t7\t1970-01-01T00:00:00.000Z\tnull\ta\\tb\\n\\u{1b}[2J\th=1\n"
        );
        assert_eq!(text(RecordFormat::Raw, true), "a\tb\n\x1b[2J");
        assert!(text(RecordFormat::Json, false).starts_with(",\n  {\"topic\":\"t\""));
    }
}
