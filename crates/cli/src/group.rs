//! `duolog group …`

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::ConnectArgs;
use crate::client::{Client, CommittedOffset, Group, Position};
use crate::exit::Failure;
use crate::output::{self, Format, OutputArgs, Row};

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List consumer groups
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Show members, what each reads, and the lag of every partition
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(DescribeArgs),
}

const LIST_EXAMPLES: &str = "\
Examples:
  duolog group list
  duolog group list -o json | jq '.[] | select(.state == \"Stable\") | .group'";
const DESCRIBE_EXAMPLES: &str = "\
Examples:
  duolog group describe billing
  duolog group describe billing -o json | jq '.[0].total_lag'
  duolog group list -o name | xargs duolog group describe

A partition's lag is its end (LATEST) less the group's committed offset; `-` where nothing is committed.";

/// Arguments of `group list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Arguments of `group describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Ids of the groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Debug, Serialize)]
struct GroupRow {
    group: String,
    state: String,
    #[serde(rename = "type")]
    kind: String,
    protocol_type: String,
}

impl Row for GroupRow {
    fn titles(wide: bool) -> Vec<&'static str> {
        let mut titles = vec!["GROUP", "STATE", "TYPE"];
        if wide {
            titles.push("PROTOCOL");
        }
        titles
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let mut cells = vec![self.group.clone(), self.state.clone(), self.kind.clone()];
        if wide {
            cells.push(self.protocol_type.clone());
        }
        cells
    }

    fn name(&self) -> String {
        self.group.clone()
    }
}

#[derive(Debug, Serialize)]
struct GroupDescription {
    group: String,
    state: String,
    #[serde(rename = "type")]
    kind: &'static str,
    assignor: String,
    coordinator: i32,
    /// Over the partitions with a committed offset.
    total_lag: i64,
    members: Vec<MemberRow>,
    partitions: Vec<LagRow>,
}

#[derive(Debug, Serialize)]
struct MemberRow {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    assigned: BTreeMap<String, Vec<i32>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct LagRow {
    topic: String,
    partition: i32,
    committed_offset: Option<i64>,
    committed_metadata: Option<String>,
    /// `None` for a topic that was deleted.
    latest_offset: Option<i64>,
    lag: Option<i64>,
    member_id: Option<String>,
}

pub async fn run(command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::List(args) => list(args).await,
        GroupCommand::Describe(args) => describe(args).await,
    }
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let groups = args.connect.client().groups().await?;
    let rows: Vec<GroupRow> = groups
        .into_iter()
        .map(|group| GroupRow {
            group: group.group,
            state: group.state,
            kind: group.kind,
            protocol_type: group.protocol_type,
        })
        .collect();
    output::list(&rows, args.output.output)
}

async fn describe(args: DescribeArgs) -> Result<(), Failure> {
    let client = args.connect.client();
    let mut descriptions = Vec::new();
    for group in &args.groups {
        descriptions.push(description(&client, group).await?);
    }
    let text = match args.output.output {
        Format::Json => format!("{}\n", output::json_pretty(&descriptions)),
        Format::Jsonl => descriptions.iter().map(|found| output::json_line(found) + "\n").collect(),
        Format::Name => descriptions.iter().map(|found| format!("{}\n", found.group)).collect(),
        Format::Table => texts(&descriptions, false),
        Format::Wide => texts(&descriptions, true),
    };
    output::print(&text)
}

fn texts(descriptions: &[GroupDescription], wide: bool) -> String {
    descriptions.iter().map(|found| found.text(wide)).collect::<Vec<_>>().join("\n")
}

async fn description(client: &Client, group: &str) -> Result<GroupDescription, Failure> {
    let found = client.group(group).await?;
    let committed = client.committed(group).await?;
    let topics: BTreeSet<&str> = committed
        .keys()
        .map(|(topic, _)| topic.as_str())
        .chain(found.members.iter().flat_map(|member| member.assigned.keys().map(String::as_str)))
        .collect();
    let mut latest = BTreeMap::new();
    for name in topics {
        // A group outlives its topics; what it committed for a deleted one is shown without an end.
        match client.topic(name, false).await {
            Ok(topic) => {
                let ends = client.offsets_at(&topic, &[], Position::Latest).await?;
                latest.extend(ends.into_iter().map(|(partition, end)| ((name.to_owned(), partition), end)));
            }
            Err(error) if error.code().is_some_and(|code| code.0 == 3) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let partitions = lags(&found, committed, &latest);
    Ok(GroupDescription {
        group: found.group,
        state: found.state,
        kind: found.kind,
        assignor: found.assignor,
        coordinator: found.coordinator,
        total_lag: partitions.iter().filter_map(|row| row.lag).sum(),
        members: found
            .members
            .into_iter()
            .map(|member| MemberRow {
                member_id: member.member_id,
                instance_id: member.instance_id,
                client_id: member.client_id,
                host: member.host,
                assigned: member.assigned,
            })
            .collect(),
        partitions,
    })
}

/// Every partition that is committed for or assigned, by topic and number.
fn lags(
    group: &Group,
    mut committed: BTreeMap<(String, i32), CommittedOffset>,
    latest: &BTreeMap<(String, i32), i64>,
) -> Vec<LagRow> {
    let mut owners: BTreeMap<(String, i32), Option<String>> =
        committed.keys().map(|partition| (partition.clone(), None)).collect();
    for member in &group.members {
        for (topic, partitions) in &member.assigned {
            for partition in partitions {
                owners.insert((topic.clone(), *partition), Some(member.member_id.clone()));
            }
        }
    }
    owners
        .into_iter()
        .map(|(partition, member_id)| {
            let committed = committed.remove(&partition);
            let latest_offset = latest.get(&partition).copied();
            let committed_offset = committed.as_ref().map(|committed| committed.offset);
            LagRow {
                committed_metadata: committed.map(|committed| committed.metadata),
                committed_offset,
                latest_offset,
                // The end was read after the commits: it can be behind them only where records were deleted.
                lag: latest_offset
                    .zip(committed_offset)
                    .map(|(end, offset)| end.saturating_sub(offset).max(0)),
                member_id,
                topic: partition.0,
                partition: partition.1,
            }
        })
        .collect()
}

impl GroupDescription {
    fn text(&self, wide: bool) -> String {
        let mut text = format!("Group:        {}\nState:        {}\n", self.group, self.state);
        text.push_str(&format!("Type:         {}\n", self.kind));
        if !self.assignor.is_empty() {
            text.push_str(&format!("Assignor:     {}\n", self.assignor));
        }
        text.push_str(&format!("Coordinator:  {}\nLag:          {}\n", self.coordinator, self.total_lag));
        if !self.members.is_empty() {
            let rows = self.members.iter().map(|member| {
                let assigned = member.assigned.iter();
                vec![
                    member.member_id.clone(),
                    member.client_id.clone(),
                    member.host.clone(),
                    assigned
                        .map(|(topic, partitions)| format!("{topic}: {}", output::ranges(partitions)))
                        .collect::<Vec<_>>()
                        .join("; "),
                ]
            });
            text.push('\n');
            text.push_str(&output::table(&["MEMBER", "CLIENT", "HOST", "ASSIGNED"], rows.collect()));
        }
        if !self.partitions.is_empty() {
            text.push('\n');
            text.push_str(&self.lag_table(wide));
        }
        text
    }

    fn lag_table(&self, wide: bool) -> String {
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let mut titles = vec!["TOPIC", "PARTITION", "COMMITTED", "LATEST", "LAG", "MEMBER"];
        if wide {
            titles.push("METADATA");
        }
        let rows = self.partitions.iter().map(|row| {
            let mut cells = vec![
                row.topic.clone(),
                row.partition.to_string(),
                number(row.committed_offset),
                number(row.latest_offset),
                number(row.lag),
                row.member_id.clone().unwrap_or_else(|| "-".to_owned()),
            ];
            if wide {
                cells.push(row.committed_metadata.clone().unwrap_or_default());
            }
            cells
        });
        output::table(&titles, rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::GroupMember;

    #[test]
    fn lag_is_the_end_less_the_commit_and_unknown_without_either() {
        let group = Group {
            group: "g".to_owned(),
            state: "Stable".to_owned(),
            kind: "classic",
            assignor: "range".to_owned(),
            coordinator: 1,
            members: vec![GroupMember {
                member_id: "m".to_owned(),
                instance_id: None,
                client_id: "c".to_owned(),
                host: "/127.0.0.1".to_owned(),
                assigned: BTreeMap::from([("t".to_owned(), vec![0, 1])]),
            }],
        };
        let at = |offset| CommittedOffset { offset, metadata: String::new() };
        let committed = BTreeMap::from([
            (("t".to_owned(), 0), at(7)),
            (("t".to_owned(), 2), at(4)),
            (("gone".to_owned(), 0), at(9)),
        ]);
        let latest =
            BTreeMap::from([(("t".to_owned(), 0), 10), (("t".to_owned(), 1), 5), (("t".to_owned(), 2), 4)]);
        let rows: Vec<_> = lags(&group, committed, &latest)
            .into_iter()
            .map(|row| (row.topic, row.partition, row.lag, row.member_id.is_some()))
            .collect();
        assert_eq!(
            rows,
            [
                ("gone".to_owned(), 0, None, false),
                ("t".to_owned(), 0, Some(3), true),
                ("t".to_owned(), 1, None, true),
                ("t".to_owned(), 2, Some(0), false),
            ]
        );
    }

    #[test]
    fn the_json_of_groups_is_what_the_manual_says() {
        let described = GroupDescription {
            group: "g".to_owned(),
            state: "Stable".to_owned(),
            kind: "classic",
            assignor: "range".to_owned(),
            coordinator: 1,
            total_lag: 3,
            members: vec![MemberRow {
                member_id: "m".to_owned(),
                instance_id: None,
                client_id: "c".to_owned(),
                host: "/127.0.0.1".to_owned(),
                assigned: BTreeMap::from([("t".to_owned(), vec![0])]),
            }],
            partitions: vec![LagRow {
                topic: "t".to_owned(),
                partition: 0,
                committed_offset: Some(7),
                committed_metadata: Some(String::new()),
                latest_offset: Some(10),
                lag: Some(3),
                member_id: Some("m".to_owned()),
            }],
        };
        assert_eq!(
            output::json_line(&described),
            concat!(
                r#"{"group":"g","state":"Stable","type":"classic","assignor":"range","coordinator":1,"#,
                r#""total_lag":3,"members":[{"member_id":"m","instance_id":null,"client_id":"c","#,
                r#""host":"/127.0.0.1","assigned":{"t":[0]}}],"partitions":[{"topic":"t","partition":0,"#,
                r#""committed_offset":7,"committed_metadata":"","latest_offset":10,"lag":3,"member_id":"m"}]}"#
            )
        );
        assert!(described.text(false).ends_with(
            "TOPIC  PARTITION  COMMITTED  LATEST  LAG  MEMBER\nt      0          7          10      3    m\n"
        ));
    }
}
