//! Consumer groups as others see them: list, describe, committed offsets. Joining one is `member`.

use std::collections::BTreeMap;

use kafka_wire::{
    ConsumerGroupDescribeRequest, DescribeGroupsRequest, FindCoordinatorRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetFetchRequest, consumer_group_describe_response,
    decode_consumer_protocol_assignment, describe_groups_response, offset_commit_request,
    offset_fetch_request,
};
use kafka_wire_core::DecodeLimits;

use super::admin::only;
use super::error::ClientError;
use super::error_code::ErrorCode;
use super::{Client, Node, Route};

/// A line of the cluster's list of groups.
#[derive(Clone, Debug)]
pub struct ListedGroup {
    /// The group's id.
    pub group: String,
    /// `Stable`, `Empty`, ...; empty if the broker is too old to say.
    pub state: String,
    /// `classic`, `consumer`, `share`; empty if the broker is too old to say.
    pub kind: String,
    /// `consumer` for consumers; other users of the group protocol have their own word.
    pub protocol_type: String,
}

/// A group's state and members.
#[derive(Clone, Debug)]
pub struct Group {
    /// The group's id.
    pub group: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, ...
    pub state: String,
    /// `classic` or `consumer` (KIP-848).
    pub kind: &'static str,
    /// The assignor in use; empty without members.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Who is in it.
    pub members: Vec<GroupMember>,
}

/// One member of a group.
#[derive(Clone, Debug)]
pub struct GroupMember {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// Its static id (KIP-345), if it has one.
    pub instance_id: Option<String>,
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The partitions that are its own, by topic.
    pub assigned: BTreeMap<String, Vec<i32>>,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// What the committer noted beside it.
    pub metadata: String,
}

impl Client {
    /// The groups of all brokers, by id.
    ///
    /// # Errors
    /// A broker can't be reached.
    pub async fn groups(&self) -> Result<Vec<ListedGroup>, ClientError> {
        let brokers: Vec<i32> =
            self.metadata(Some(&[]), false).await?.brokers.iter().map(|broker| broker.node_id).collect();
        let mut groups = Vec::new();
        for node_id in brokers {
            let response =
                self.call(Route::data(Node::Id(node_id)), |_| ListGroupsRequest::default()).await?;
            ErrorCode(response.error_code).check(|| format!("groups of broker {node_id}"), None)?;
            groups.extend(response.groups.into_iter().map(|group| ListedGroup {
                group: group.group_id.into_string(),
                state: group.group_state.into_string(),
                kind: group.group_type.into_string(),
                protocol_type: group.protocol_type.into_string(),
            }));
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(groups)
    }

    /// The broker that coordinates `group`.
    ///
    /// # Errors
    /// No coordinator within the timeout.
    pub async fn coordinator(&self, group: &str) -> Result<i32, ClientError> {
        self.retry(async || {
            let response = self
                .call(Route::data(Node::Any), |version| {
                    let mut request = FindCoordinatorRequest::default();
                    if version >= 4 {
                        request.coordinator_keys = vec![group.into()];
                    } else {
                        request.key = group.into();
                    }
                    request
                })
                .await?;
            let what = || format!("coordinator of group {group}");
            // Versions from 4 on answer in a list, those before in the answer's own fields.
            let (code, message, node_id, host, port) = match response.coordinators.into_iter().next() {
                Some(found) => (found.error_code, found.error_message, found.node_id, found.host, found.port),
                None => (
                    response.error_code,
                    response.error_message,
                    response.node_id,
                    response.host,
                    response.port,
                ),
            };
            ErrorCode(code).check(what, message.as_deref())?;
            self.remember(node_id, &host, port);
            Ok(node_id)
        })
        .await
    }

    /// State and members of `group`, classic or KIP-848.
    ///
    /// # Errors
    /// There is no such group.
    pub async fn group(&self, group: &str) -> Result<Group, ClientError> {
        let coordinator = self.coordinator(group).await?;
        let response = self
            .call(Route::data(Node::Id(coordinator)), |_| {
                let mut request = DescribeGroupsRequest::default();
                request.groups = vec![group.into()];
                request
            })
            .await?;
        let what = || format!("group {group}");
        let described = only(response.groups, what)?;
        // Up to version 5 an unknown group is one that is "Dead", from 6 on an error (KIP-1043).
        let absent = ErrorCode(described.error_code) == ErrorCode::GROUP_ID_NOT_FOUND
            || (described.error_code == 0 && &*described.group_state == "Dead");
        if !absent {
            ErrorCode(described.error_code).check(what, described.error_message.as_deref())?;
            return Ok(classic(described, coordinator));
        }
        let newer = self
            .call(Route::data(Node::Id(coordinator)), |_| {
                let mut request = ConsumerGroupDescribeRequest::default();
                request.group_ids = vec![group.into()];
                request
            })
            .await;
        match newer {
            Ok(response) => {
                let described = only(response.groups, what)?;
                ErrorCode(described.error_code).check(what, described.error_message.as_deref())?;
                Ok(consumer(described, coordinator))
            }
            // A broker without KIP-848: then the group isn't there at all.
            Err(ClientError::NotServed { .. }) => {
                Err(ClientError::Broker { what: what(), code: ErrorCode::GROUP_ID_NOT_FOUND, message: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Everything that `group` has committed, by topic and partition.
    ///
    /// # Errors
    /// The coordinator refuses.
    pub async fn committed(
        &self,
        group: &str,
    ) -> Result<BTreeMap<(String, i32), CommittedOffset>, ClientError> {
        let coordinator = self.coordinator(group).await?;
        let response = self
            .call(Route::data(Node::Id(coordinator)), |version| {
                let mut request = OffsetFetchRequest::default();
                if version >= 8 {
                    let mut asked = offset_fetch_request::OffsetFetchRequestGroup::default();
                    asked.group_id = group.into();
                    asked.topics = None;
                    request.groups = vec![asked];
                } else {
                    request.group_id = group.into();
                    request.topics = None;
                }
                request
            })
            .await?;
        let mut committed = BTreeMap::new();
        let mut take = |topic: &str, partition: i32, offset: i64, metadata: Option<&str>| {
            if offset >= 0 {
                let metadata = metadata.unwrap_or_default().to_owned();
                committed.insert((topic.to_owned(), partition), CommittedOffset { offset, metadata });
            }
        };
        let what = || format!("offsets of group {group}");
        ErrorCode(response.error_code).check(what, None)?;
        for topic in &response.topics {
            for found in &topic.partitions {
                ErrorCode(found.error_code).check(what, None)?;
                take(&topic.name, found.partition_index, found.committed_offset, found.metadata.as_deref());
            }
        }
        for answered in &response.groups {
            ErrorCode(answered.error_code).check(what, None)?;
            for topic in &answered.topics {
                for found in &topic.partitions {
                    ErrorCode(found.error_code).check(what, None)?;
                    take(
                        &topic.name,
                        found.partition_index,
                        found.committed_offset,
                        found.metadata.as_deref(),
                    );
                }
            }
        }
        Ok(committed)
    }

    /// Commits `offsets` of `topic` for `group` as `member` of `generation` (empty and -1: as nobody's member).
    ///
    /// # Errors
    /// The first partition that is refused.
    pub(super) async fn commit(
        &self,
        coordinator: i32,
        group: &str,
        member: (&str, i32),
        topic: &str,
        offsets: &BTreeMap<i32, i64>,
    ) -> Result<(), ClientError> {
        let response = self
            .call(Route::group(Node::Id(coordinator)), |_| {
                let mut committed = offset_commit_request::OffsetCommitRequestTopic::default();
                committed.name = topic.into();
                committed.partitions = offsets
                    .iter()
                    .map(|(partition, offset)| {
                        let mut at = offset_commit_request::OffsetCommitRequestPartition::default();
                        at.partition_index = *partition;
                        at.committed_offset = *offset;
                        at.committed_metadata = Some("".into());
                        at
                    })
                    .collect();
                let mut request = OffsetCommitRequest::default();
                request.group_id = group.into();
                request.member_id = member.0.into();
                request.generation_id_or_member_epoch = member.1;
                request.topics = vec![committed];
                request
            })
            .await?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                ErrorCode(partition.error_code).check(
                    || format!("commit {}-{} for group {group}", topic.name, partition.partition_index),
                    None,
                )?;
            }
        }
        Ok(())
    }
}

fn classic(described: describe_groups_response::DescribedGroup, coordinator: i32) -> Group {
    let members = described
        .members
        .into_iter()
        .map(|member| GroupMember {
            member_id: member.member_id.into_string(),
            instance_id: member.group_instance_id.map(kafka_wire_core::StrBytes::into_string),
            client_id: member.client_id.into_string(),
            host: member.client_host.into_string(),
            assigned: assignment(&member.member_assignment),
        })
        .collect();
    Group {
        group: described.group_id.into_string(),
        state: described.group_state.into_string(),
        kind: "classic",
        assignor: described.protocol_data.into_string(),
        coordinator,
        members,
    }
}

fn consumer(described: consumer_group_describe_response::DescribedGroup, coordinator: i32) -> Group {
    let members = described
        .members
        .into_iter()
        .map(|member| {
            let assigned = member.assignment.topic_partitions.into_iter();
            GroupMember {
                member_id: member.member_id.into_string(),
                instance_id: member.instance_id.map(kafka_wire_core::StrBytes::into_string),
                client_id: member.client_id.into_string(),
                host: member.client_host.into_string(),
                assigned: assigned.map(|topic| (topic.topic_name.into_string(), topic.partitions)).collect(),
            }
        })
        .collect();
    Group {
        group: described.group_id.into_string(),
        state: described.group_state.into_string(),
        kind: "consumer",
        assignor: described.assignor_name.into_string(),
        coordinator,
        members,
    }
}

/// The partitions in a member's assignment; empty where there is none yet, or where the group isn't one of
/// consumers and the bytes mean something else.
pub(super) fn assignment(bytes: &bytes::Bytes) -> BTreeMap<String, Vec<i32>> {
    let Ok((_, assignment)) = decode_consumer_protocol_assignment(bytes.clone(), DecodeLimits::default())
    else {
        return BTreeMap::new();
    };
    assignment
        .assigned_partitions
        .into_iter()
        .map(|topic| (topic.topic.into_string(), topic.partitions))
        .collect()
}
