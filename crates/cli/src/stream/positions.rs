//! `duolog stream positions`: asks both doors, each for the readers that it knows, and draws them on one bar.

use std::collections::BTreeSet;

use clap::Args;
use duolog_nats_wire::jetstream::error::STREAM_NOT_FOUND;
use serde::Serialize;

use super::readers::{self, Commits, Log, Reader};
use super::{bar, info, name};
use crate::ConnectArgs;
use crate::client::{Client, Position, Topic};
use crate::exit::Failure;
use crate::nats::setting::span_text;
use crate::nats::{ConsumerInfo, Nats, NatsError, ServerArgs, StreamInfo, millis};
use crate::output::{self, Format, OutputArgs};
use crate::time::{format_ms, now_ms};

/// More deleted sequences than this aren't asked for: the lag of a group is an upper bound then.
const DELETED_MAX: u64 = 100_000;

pub const EXAMPLES: &str = "\
Examples:
  duolog stream positions orders
  duolog stream positions orders -o json | jq '.[].readers[] | select(.oldest_unprocessed_age_ms > 60000) | .reader'
  duolog stream positions orders=2                 # one partition of a topic of several
  duolog stream positions orders --server nats://10.1.2.3:4222 --bootstrap 10.1.2.3:9092

A position of N: sequences up to N (offsets below N) are processed. For a Kafka group that is the committed offset, for
a JetStream consumer the ack floor; without acknowledgements what was delivered. Lag is in records that are there and
that the reader takes; a reader's age is that of its oldest record of those. Of a consumer that takes only the last
message of each subject the age may be that of an older one.

Groups are known to the Kafka side, consumers to the NATS side, so both are asked; if only one answers, its readers are
shown.";

/// Arguments of `stream positions`.
#[derive(Debug, Args)]
pub struct PositionsArgs {
    /// Name of the stream or topic
    #[arg(value_parser = topic_or_stream)]
    stream: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    kafka: ConnectArgs,
}

fn topic_or_stream(text: &str) -> Result<String, String> {
    name(&stream_name(text))?;
    Ok(text.to_owned())
}

/// A topic's name as a stream's.
fn stream_name(topic: &str) -> String {
    topic.replace('.', "_")
}

/// A partition's log and its readers.
#[derive(Debug, Serialize)]
struct PartitionPositions {
    stream: String,
    topic: Option<String>,
    partition: i32,
    /// Which sides know it: `nats`, `kafka`.
    known_to: Vec<&'static str>,
    log_start: u64,
    log_end: u64,
    /// Records in the log; null where only the Kafka side was asked.
    records: Option<u64>,
    readers: Vec<Reader>,
}

/// What the Kafka side knows.
struct KafkaSide {
    client: Client,
    topic: Topic,
    commits: Commits,
}

pub async fn run(args: PositionsArgs) -> Result<(), Failure> {
    let (wanted, number) = split(&args.stream);
    let nats = Nats::connect(&args.server, args.kafka.timeout).await;
    let kafka = kafka_side(args.kafka.client(), wanted).await;
    let kafka_answers = kafka.is_ok();
    let (nats, kafka) = match (nats, kafka) {
        (Err(nats), Err(kafka)) => {
            return Err(Failure::Failed(format!("neither side answers: {nats}; {kafka}")));
        }
        (nats, kafka) => (noted(nats, "JetStream consumers"), noted(kafka, "Kafka groups").flatten()),
    };
    let base = kafka.as_ref().map_or_else(|| stream_name(wanted), |kafka| stream_name(&kafka.topic.name));
    let mut found = Vec::new();
    for partition in 0.. {
        if number.is_some_and(|number| number != partition) {
            if number < Some(partition) {
                break;
            }
            continue;
        }
        let stream = if partition == 0 { base.clone() } else { format!("{base}={partition}") };
        let of_kafka = kafka
            .as_ref()
            .filter(|kafka| kafka.topic.partitions.iter().any(|known| known.partition == partition));
        let Some(positions) = gather(nats.as_ref(), of_kafka, &stream, partition).await? else { break };
        found.push(positions);
    }
    if found.is_empty() {
        let what = format!("stream {}", args.stream);
        return Err(match (nats, kafka) {
            (Some(nats), _) => match info(&nats, &stream_name(&args.stream), false).await {
                Err(error) => error.into(),
                Ok(_) => Failure::Failed(format!("{what}: it came just now; ask again")),
            },
            (None, Some(kafka)) => {
                let count = output::counted(kafka.topic.partitions.len() as u64, "partition");
                Failure::Failed(format!("{what}: topic {} has {count}", kafka.topic.name))
            }
            (None, None) => {
                Failure::Failed(format!("{what}: the Kafka side has no such topic; `duolog topic list`"))
            }
        });
    }
    if kafka_answers && kafka.is_none() {
        output::progress(&format!(
            "{}: no such topic on the Kafka side, so no groups are shown",
            args.stream
        ));
    }
    show(&found, args.output.output)
}

/// A side's answer; what it doesn't answer is said on stderr.
fn noted<T, E: std::fmt::Display>(side: Result<T, E>, whom: &str) -> Option<T> {
    side.map_err(|error| output::progress(&format!("without {whom}: {error}"))).ok()
}

/// `orders=2` is partition 2 of `orders`.
fn split(text: &str) -> (&str, Option<i32>) {
    match text.rsplit_once('=') {
        Some((base, number)) if !base.is_empty() => match number.parse() {
            Ok(number) if number > 0 => (base, Some(number)),
            _ => (text, None),
        },
        _ => (text, None),
    }
}

/// The topic of this name, or whose stream has this name, and its groups; `None` if there is none.
async fn kafka_side(client: Client, wanted: &str) -> Result<Option<KafkaSide>, Failure> {
    let topics = client.topics(None).await?;
    let exact = topics.iter().find(|topic| topic.name == wanted);
    let found = exact.or_else(|| topics.iter().find(|topic| stream_name(&topic.name) == wanted));
    let Some(topic) = found.cloned() else { return Ok(None) };
    let commits = readers::commits(&client, &topic.name).await?;
    Ok(Some(KafkaSide { client, topic, commits }))
}

/// A partition as both sides know it; `None` if neither does.
async fn gather(
    nats: Option<&Nats>,
    kafka: Option<&KafkaSide>,
    stream: &str,
    partition: i32,
) -> Result<Option<PartitionPositions>, Failure> {
    let mut known_to = Vec::new();
    let mut state: Option<StreamInfo> = None;
    let mut consumers: Vec<ConsumerInfo> = Vec::new();
    if let Some(nats) = nats {
        // Without JetStream there are no streams: the Kafka side may know more.
        let list =
            nats.api_list(&format!("stream {stream}"), &format!("CONSUMER.LIST.{stream}"), "consumers").await;
        match list {
            Ok(list) => consumers = list,
            Err(error) if error.is(STREAM_NOT_FOUND) || matches!(error, NatsError::NoJetStream { .. }) => {
                if kafka.is_some() {
                    output::progress(&format!("without JetStream consumers: {error}"));
                }
            }
            Err(error) => return Err(error.into()),
        }
        match info(nats, stream, false).await {
            Ok(found) => state = Some(found),
            Err(error) if error.is(STREAM_NOT_FOUND) => {}
            Err(error @ NatsError::NoJetStream { .. }) if kafka.is_none() => return Err(error.into()),
            Err(NatsError::NoJetStream { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if state.is_none() && kafka.is_none() {
        return Ok(None);
    }
    let groups = kafka.and_then(|kafka| kafka.commits.get(&partition));
    let (mut start, mut end, mut deleted) = (None, 0, None);
    if let (Some(nats), Some(found)) = (nats, &state) {
        known_to.push("nats");
        let state = &found.state;
        // Before the first message the first sequence is 0, and after a purge one above the last.
        start = Some(state.first_seq.saturating_sub(1).min(state.last_seq));
        end = state.last_seq;
        deleted = match state.num_deleted {
            0 => Some(BTreeSet::new()),
            1..=DELETED_MAX if groups.is_some() => {
                info(nats, stream, true).await?.state.deleted.map(|list| list.into_iter().collect())
            }
            _ => None,
        };
    }
    if let Some(kafka) = kafka {
        known_to.push("kafka");
        let at = async |position| -> Result<u64, Failure> {
            let offsets = kafka.client.offsets_at(&kafka.topic, &[partition], position).await?;
            Ok(offsets.get(&partition).and_then(|offset| u64::try_from(*offset).ok()).unwrap_or(0))
        };
        let (earliest, latest) = (at(Position::Earliest).await?, at(Position::Latest).await?);
        if start.is_some() && latest < end {
            output::progress(&format!(
                "{stream}: the Kafka side's log ends at {latest}, the NATS side's at {end}: are they one broker?"
            ));
        }
        start = start.or(Some(earliest));
        end = end.max(latest);
    }
    let now_ms = state.as_ref().and_then(|found| millis(found.ts.as_deref()?)).unwrap_or_else(now_ms);
    let log = Log {
        start: start.unwrap_or(0),
        end,
        deleted,
        now_ms,
        stream: nats.filter(|_| state.is_some()).map(|nats| (nats, stream)),
        partition: kafka.map(|kafka| (&kafka.client, &kafka.topic, partition)),
    };
    let mut readers = Vec::new();
    for (group, committed) in groups.into_iter().flatten() {
        readers.push(log.group(group, *committed).await?);
    }
    for consumer in &consumers {
        readers.push(log.consumer(consumer).await?);
    }
    Ok(Some(PartitionPositions {
        stream: stream.to_owned(),
        topic: kafka.map(|kafka| kafka.topic.name.clone()),
        partition,
        known_to,
        log_start: log.start,
        log_end: log.end,
        records: state.map(|found| found.state.messages),
        readers,
    }))
}

fn show(found: &[PartitionPositions], format: Format) -> Result<(), Failure> {
    let texts = |wide| found.iter().map(|positions| positions.text(wide)).collect::<Vec<_>>().join("\n");
    output::print(&match format {
        Format::Json => format!("{}\n", output::json_pretty(&found)),
        Format::Jsonl => found.iter().map(|positions| output::json_line(positions) + "\n").collect(),
        Format::Name => {
            let names: BTreeSet<&str> = found
                .iter()
                .flat_map(|positions| &positions.readers)
                .map(|reader| reader.reader.as_str())
                .collect();
            names.into_iter().map(|name| format!("{name}\n")).collect()
        }
        Format::Table => texts(false),
        Format::Wide => texts(true),
    })
}

impl PartitionPositions {
    fn text(&self, wide: bool) -> String {
        let topic =
            self.topic.as_ref().map(|topic| format!("  (topic {topic}, partition {})", self.partition));
        let mut text = format!("Stream:   {}{}\n", self.stream, topic.unwrap_or_default());
        let records = self.records.map(|records| format!(", {}", output::counted(records, "record")));
        text.push_str(&format!(
            "Log:      start {}, end {}{}\n\n",
            self.log_start,
            self.log_end,
            records.unwrap_or_default()
        ));
        let places: Vec<(char, u64)> = self
            .readers
            .iter()
            .enumerate()
            .filter_map(|(index, reader)| Some((bar::letter(index), reader.place(self.log_end)?)))
            .collect();
        text.push_str(&bar::draw(self.log_start, self.log_end, &places));
        if self.readers.is_empty() {
            text.push_str("\nNobody reads it.\n");
            return text;
        }
        let mut titles = vec!["", "READER", "KIND", "POSITION", "LAG", "AGE"];
        if wide {
            titles.extend(["IN FLIGHT", "OLDEST UNPROCESSED"]);
        }
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let rows = self.readers.iter().enumerate().map(|(index, reader)| {
            let most = if reader.lag_is_exact || self.records.is_none() { "" } else { "<=" };
            let mut cells = vec![
                bar::letter(index).to_string(),
                reader.reader.clone(),
                reader.kind.to_owned(),
                dash(reader.position.map(|position| position.to_string())),
                dash(reader.lag.map(|lag| format!("{most}{lag}"))),
                dash(reader.oldest_unprocessed_age_ms.map(|ms| span_text(ms.saturating_mul(1_000_000)))),
            ];
            if wide {
                cells.push(dash(reader.in_flight.map(|count| count.to_string())));
                cells.push(dash(
                    reader
                        .oldest_unprocessed
                        .zip(reader.oldest_unprocessed_time)
                        .map(|(sequence, time_ms)| format!("sequence {sequence}, {}", format_ms(time_ms))),
                ));
            }
            cells
        });
        text.push('\n');
        text.push_str(&output::table(&titles, rows.collect()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_as_its_stream_is() {
        assert_eq!(split("orders"), ("orders", None));
        assert_eq!(split("orders=2"), ("orders", Some(2)));
        for whole in ["orders=", "orders=0", "=2", "orders=x"] {
            assert_eq!(split(whole), (whole, None));
        }
        assert_eq!(stream_name("a.b.c"), "a_b_c");
    }

    #[test]
    fn the_picture_and_the_json_of_positions_are_what_the_manual_says() {
        let positions = PartitionPositions {
            stream: "orders".to_owned(),
            topic: Some("orders".to_owned()),
            partition: 0,
            known_to: vec!["nats", "kafka"],
            log_start: 0,
            log_end: 4,
            records: Some(4),
            readers: vec![Reader {
                reader: "billing".to_owned(),
                kind: "group",
                position: Some(2),
                lag: Some(2),
                lag_is_exact: true,
                in_flight: None,
                oldest_unprocessed: Some(3),
                oldest_unprocessed_time: Some(0),
                oldest_unprocessed_age_ms: Some(61_000),
            }],
        };
        let text = positions.text(false);
        assert!(text.starts_with("Stream:   orders  (topic orders, partition 0)\n"), "{text}");
        assert!(text.contains("Log:      start 0, end 4, 4 records\n\n0 |"), "{text}");
        assert!(
            text.contains("   READER   KIND   POSITION  LAG  AGE\nA  billing  group  2         2    1m1s\n"),
            "{text}"
        );
        assert!(output::json_line(&positions).starts_with(concat!(
            r#"{"stream":"orders","topic":"orders","partition":0,"known_to":["nats","kafka"],"log_start":0,"#,
            r#""log_end":4,"records":4,"readers":[{"reader":"billing","#
        )));
    }
}
