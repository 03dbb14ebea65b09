//! `duolog topic …`

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::client::{Client, ConfigOperation, NewTopic, Position, Topic};
use crate::exit::Failure;
use crate::output::{self, Format, OutputArgs, Row};
use crate::{ConnectArgs, base64, confirm};

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create topics
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List topics
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show partitions, offsets and settings of topics
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(DescribeArgs),
    /// Change settings, or add partitions
    #[command(after_help = ALTER_EXAMPLES)]
    Alter(AlterArgs),
    /// Delete topics and everything in them
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

const CREATE_EXAMPLES: &str = "\
Examples:
  duolog topic create orders
  duolog topic create orders --partitions 12
  duolog topic create orders -c retention.ms=604800000 -c max.message.bytes=2097164
  duolog topic create orders --if-not-exists       # for scripts that may run twice";
const LIST_EXAMPLES: &str = "\
Examples:
  duolog topic list
  duolog topic list -o name | grep '^orders'
  duolog topic list -o json | jq '.[] | select(.partitions > 1) | .topic'";
const DESCRIBE_EXAMPLES: &str = "\
Examples:
  duolog topic describe orders
  duolog topic describe orders -o wide             # settings at their default, too
  duolog topic describe orders -o json | jq '.[0].partitions[].latest_offset'";
const ALTER_EXAMPLES: &str = "\
Examples:
  duolog topic alter orders --set retention.ms=3600000
  duolog topic alter orders --unset retention.ms   # back to the default
  duolog topic alter orders --partitions 24        # keys go to other partitions from then on
  duolog topic alter orders --set retention.ms=1 --dry-run";
const DELETE_EXAMPLES: &str = "\
Examples:
  duolog topic delete orders                       # asks for the name again
  duolog topic delete orders --yes                 # for scripts
  duolog topic list -o name | grep '^test-' | xargs duolog topic delete --yes";

/// Arguments of `topic create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Number of partitions [default: the broker's]
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each partition [default: the broker's]
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A topic setting, by Kafka's name; may be repeated
    #[arg(short, long = "config", visible_alias = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    configs: Vec<(String, String)>,
    /// A topic that exists already is no failure
    #[arg(long)]
    if_not_exists: bool,
    /// Have the broker check everything, and create nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of `topic list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The broker's own topics, too
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of `topic describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of `topic alter`.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["set", "unset", "partitions"])]
pub struct AlterArgs {
    /// Name of the topic
    topic: String,
    /// Give a setting a value; may be repeated
    #[arg(short = 'c', long, visible_alias = "config", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Put a setting back to its default; may be repeated
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Grow the topic to this many partitions in all
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Have the broker check everything, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of `topic delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// A topic that doesn't exist is no failure
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Serialize)]
struct TopicRow {
    topic: String,
    topic_id: Option<String>,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

impl Row for TopicRow {
    fn titles(wide: bool) -> Vec<&'static str> {
        let mut titles = vec!["TOPIC", "PARTITIONS", "REPLICAS"];
        if wide {
            titles.extend(["ID", "INTERNAL"]);
        }
        titles
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let mut cells =
            vec![self.topic.clone(), self.partitions.to_string(), self.replication_factor.to_string()];
        if wide {
            cells.extend([self.topic_id.clone().unwrap_or_default(), self.internal.to_string()]);
        }
        cells
    }

    fn name(&self) -> String {
        self.topic.clone()
    }
}

#[derive(Debug, Serialize)]
struct TopicDescription {
    #[serde(flatten)]
    topic: TopicHead,
    partitions: Vec<PartitionRow>,
    configs: Vec<ConfigRow>,
}

#[derive(Debug, Serialize)]
struct TopicHead {
    topic: String,
    topic_id: Option<String>,
    internal: bool,
}

#[derive(Debug, Serialize)]
struct PartitionRow {
    partition: i32,
    leader: i32,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    earliest_offset: i64,
    latest_offset: i64,
}

#[derive(Debug, Serialize)]
struct ConfigRow {
    name: String,
    value: Option<String>,
    source: &'static str,
    read_only: bool,
}

pub async fn run(command: TopicCommand) -> Result<(), Failure> {
    match command {
        TopicCommand::Create(args) => create(args).await,
        TopicCommand::List(args) => list(args).await,
        TopicCommand::Describe(args) => describe(args).await,
        TopicCommand::Alter(args) => alter(args).await,
        TopicCommand::Delete(args) => delete(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let client = args.connect.client();
    for name in args.topics {
        let new = NewTopic {
            name,
            partitions: args.partitions,
            replication_factor: args.replication_factor,
            configs: args.configs.clone(),
            validate_only: args.dry_run,
        };
        match client.create_topic(&new).await {
            Ok(()) if args.dry_run => output::progress(&format!("topic {}: would be created", new.name)),
            Ok(()) => output::progress(&format!("topic {}: created", new.name)),
            Err(error) if args.if_not_exists && error.code().is_some_and(|code| code.0 == 36) => {
                output::progress(&format!("topic {}: exists already", new.name));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let topics = args.connect.client().topics(None).await?;
    let rows: Vec<TopicRow> =
        topics.iter().filter(|topic| args.internal || !topic.internal).map(row).collect();
    output::list(&rows, args.output.output)
}

fn row(topic: &Topic) -> TopicRow {
    TopicRow {
        topic: topic.name.clone(),
        topic_id: topic.id.map(|id| base64::encode_url(&id)),
        partitions: topic.partitions.len(),
        replication_factor: topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
        internal: topic.internal,
    }
}

async fn describe(args: DescribeArgs) -> Result<(), Failure> {
    let client = args.connect.client();
    let mut descriptions = Vec::new();
    for topic in client.topics(Some(&args.topics)).await? {
        descriptions.push(description(&client, &topic).await?);
    }
    match args.output.output {
        Format::Json => output::print(&format!("{}\n", output::json_pretty(&descriptions))),
        Format::Jsonl => {
            let lines: String = descriptions.iter().map(|found| output::json_line(found) + "\n").collect();
            output::print(&lines)
        }
        Format::Name => {
            let names: String = descriptions.iter().map(|found| format!("{}\n", found.topic.topic)).collect();
            output::print(&names)
        }
        table @ (Format::Table | Format::Wide) => {
            let texts: Vec<String> =
                descriptions.iter().map(|found| found.text(table == Format::Wide)).collect();
            output::print(&texts.join("\n"))
        }
    }
}

async fn description(client: &Client, topic: &Topic) -> Result<TopicDescription, Failure> {
    let earliest = client.offsets_at(topic, &[], Position::Earliest).await?;
    let latest = client.offsets_at(topic, &[], Position::Latest).await?;
    let configs = client.topic_configs(&topic.name).await?;
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| PartitionRow {
            partition: partition.partition,
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            earliest_offset: earliest.get(&partition.partition).copied().unwrap_or(-1),
            latest_offset: latest.get(&partition.partition).copied().unwrap_or(-1),
        })
        .collect();
    Ok(TopicDescription {
        topic: TopicHead {
            topic: topic.name.clone(),
            topic_id: topic.id.map(|id| base64::encode_url(&id)),
            internal: topic.internal,
        },
        partitions,
        configs: configs
            .into_iter()
            .map(|config| ConfigRow {
                name: config.name,
                value: config.value,
                source: config.source,
                read_only: config.read_only,
            })
            .collect(),
    })
}

impl TopicDescription {
    fn text(&self, wide: bool) -> String {
        let mut text = format!("Topic:  {}\n", self.topic.topic);
        if let Some(id) = &self.topic.topic_id {
            text.push_str(&format!("Id:     {id}\n"));
        }
        let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let rows = self
            .partitions
            .iter()
            .map(|partition| {
                vec![
                    partition.partition.to_string(),
                    partition.leader.to_string(),
                    ids(&partition.replicas),
                    ids(&partition.isr),
                    partition.earliest_offset.to_string(),
                    partition.latest_offset.to_string(),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&output::table(
            &["PARTITION", "LEADER", "REPLICAS", "ISR", "EARLIEST", "LATEST"],
            rows,
        ));
        let settings: Vec<Vec<String>> = self
            .configs
            .iter()
            .filter(|config| wide || config.source == "topic")
            .map(|config| {
                let value = config.value.clone().unwrap_or_else(|| "(hidden)".to_owned());
                vec![config.name.clone(), value, config.source.to_owned()]
            })
            .collect();
        if !settings.is_empty() {
            text.push('\n');
            text.push_str(&output::table(&["SETTING", "VALUE", "FROM"], settings));
        }
        text
    }
}

async fn alter(args: AlterArgs) -> Result<(), Failure> {
    let client = args.connect.client();
    let done = if args.dry_run { "would be" } else { "is" };
    let set = args.set.into_iter().map(|(name, value)| ConfigOperation::Set(name, value));
    let operations: Vec<ConfigOperation> =
        set.chain(args.unset.into_iter().map(ConfigOperation::Unset)).collect();
    if !operations.is_empty() {
        client.alter_topic_configs(&args.topic, &operations, args.dry_run).await?;
        for operation in &operations {
            output::progress(&match operation {
                ConfigOperation::Set(name, value) => format!("topic {}: {name} {done} {value}", args.topic),
                ConfigOperation::Unset(name) => {
                    format!("topic {}: {name} {done} back at its default", args.topic)
                }
            });
        }
    }
    if let Some(count) = args.partitions {
        client.grow_topic(&args.topic, count, args.dry_run).await?;
        let done = if args.dry_run { "would have" } else { "has" };
        output::progress(&format!("topic {}: {done} {count} partitions", args.topic));
    }
    Ok(())
}

async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    let client = args.connect.client();
    for name in &args.topics {
        confirm::by_name(&format!("delete topic {name}"), name, args.yes)?;
        match client.delete_topic(name).await {
            Ok(()) => output::progress(&format!("topic {name}: deleted")),
            Err(error) if args.if_exists && error.code().is_some_and(|code| code.0 == 3) => {
                output::progress(&format!("topic {name}: doesn't exist"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// `NAME=VALUE`; the value may be empty and may hold more equals signs.
pub fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_and_alter_know_a_setting_by_the_same_flags() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(subcommand)]
            command: TopicCommand,
        }
        for flag in ["-c", "--config", "--set"] {
            for command in ["create", "alter"] {
                let line = ["topic", command, "orders", flag, "a=b", flag, "c=d"];
                let given = match <Line as clap::Parser>::try_parse_from(line) {
                    Ok(Line { command: TopicCommand::Create(args) }) => args.configs,
                    Ok(Line { command: TopicCommand::Alter(args) }) => args.set,
                    other => panic!("{line:?}: {other:?}"),
                };
                let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                assert_eq!(given, [pair("a", "b"), pair("c", "d")], "{line:?}");
            }
        }
    }

    #[test]
    fn an_assignment_splits_at_the_first_equals_sign() {
        assert_eq!(assignment("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(assignment("a="), Ok(("a".to_owned(), String::new())));
        assert!(assignment("a").is_err());
        assert!(assignment("=b").is_err());
    }

    #[test]
    fn the_json_of_topics_is_what_the_manual_says() {
        let listed = TopicRow {
            topic: "t".to_owned(),
            topic_id: None,
            partitions: 2,
            replication_factor: 1,
            internal: false,
        };
        assert_eq!(
            output::json_line(&listed),
            r#"{"topic":"t","topic_id":null,"partitions":2,"replication_factor":1,"internal":false}"#
        );
        let described = TopicDescription {
            topic: TopicHead { topic: "t".to_owned(), topic_id: Some("AA".to_owned()), internal: false },
            partitions: vec![PartitionRow {
                partition: 0,
                leader: 1,
                leader_epoch: 0,
                replicas: vec![1],
                isr: vec![1],
                earliest_offset: 3,
                latest_offset: 9,
            }],
            configs: vec![ConfigRow {
                name: "retention.ms".to_owned(),
                value: Some("1".to_owned()),
                source: "topic",
                read_only: false,
            }],
        };
        assert_eq!(
            output::json_line(&described),
            concat!(
                r#"{"topic":"t","topic_id":"AA","internal":false,"partitions":[{"partition":0,"leader":1,"#,
                r#""leader_epoch":0,"replicas":[1],"isr":[1],"earliest_offset":3,"latest_offset":9}],"#,
                r#""configs":[{"name":"retention.ms","value":"1","source":"topic","read_only":false}]}"#
            )
        );
        assert_eq!(
            described.text(false),
            concat!(
                "Topic:  t\nId:     AA\n\n",
                "PARTITION  LEADER  REPLICAS  ISR  EARLIEST  LATEST\n",
                "0          1       1         1    3         9\n\n",
                "SETTING       VALUE  FROM\nretention.ms  1      topic\n"
            )
        );
    }
}
