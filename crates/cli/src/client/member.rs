//! Being a member of a classic consumer group (KIP-62 protocol): join, take an assignment, heartbeat, commit,
//! leave.
//!
//! Subscribes to one topic with the `range` assignor, which every Kafka client knows; as the group's leader it
//! assigns for members that subscribe to other topics, too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_wire::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, consumer_protocol_assignment,
    decode_consumer_protocol_subscription, encode_consumer_protocol_assignment,
    encode_consumer_protocol_subscription, join_group_request, leave_group_request, sync_group_request,
};
use kafka_wire_core::{ApiVersion, DecodeLimits};
use tokio::sync::watch;

use super::error::ClientError;
use super::error_code::ErrorCode;
use super::groups::assignment;
use super::{Client, Node, Route};

/// After how long without a heartbeat the coordinator gives the partitions to others.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// How long the coordinator waits for all members to join again.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);

const ASSIGNOR: &str = "range";

/// Subscription and assignment are written in version 1: no field beyond it is used here.
const CONSUMER_PROTOCOL_VERSION: ApiVersion = ApiVersion::new(1);

/// Partitions of the subscribed topic that belong to this member until the next rebalance.
pub type Assigned = Vec<i32>;

/// A place in a group. Heartbeats go on in the background until it is dropped; [`Membership::leave`] says
/// goodbye, so that the others needn't wait for the session to run out.
#[derive(Debug)]
pub struct Membership {
    client: Arc<Client>,
    group: String,
    topic: String,
    coordinator: i32,
    member_id: String,
    generation: i32,
    heartbeat: Option<Heartbeat>,
}

#[derive(Debug)]
struct Heartbeat {
    task: tokio::task::JoinHandle<()>,
    /// Set once when the group moved on, with the code that said so.
    ended: watch::Receiver<Option<ErrorCode>>,
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Membership {
    /// A place in `group`, for reading `topic`; not joined yet.
    ///
    /// # Errors
    /// The group has no coordinator.
    pub async fn new(client: Arc<Client>, group: &str, topic: &str) -> Result<Self, ClientError> {
        let coordinator = client.coordinator(group).await?;
        Ok(Self {
            client,
            group: group.to_owned(),
            topic: topic.to_owned(),
            coordinator,
            member_id: String::new(),
            generation: -1,
            heartbeat: None,
        })
    }

    /// Joins (or joins again) and waits for the assignment.
    ///
    /// # Errors
    /// The coordinator refuses for good. Rebalances that begin meanwhile are gone through.
    pub async fn join(&mut self) -> Result<Assigned, ClientError> {
        self.heartbeat = None;
        loop {
            match self.join_once().await {
                Ok(assigned) => {
                    self.start_heartbeat();
                    return Ok(assigned);
                }
                Err(error) => match error.code() {
                    Some(ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::MEMBER_ID_REQUIRED) => {}
                    Some(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION) => {
                        self.member_id.clear();
                    }
                    Some(code) if code.is_retriable() => {
                        tokio::time::sleep(super::RETRY_PAUSE).await;
                        self.coordinator = self.client.coordinator(&self.group).await?;
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    async fn join_once(&mut self) -> Result<Assigned, ClientError> {
        let mut subscription = ConsumerProtocolSubscription::default();
        subscription.topics = vec![self.topic.as_str().into()];
        let mut metadata = BytesMut::new();
        encode_consumer_protocol_subscription(&mut metadata, &subscription, CONSUMER_PROTOCOL_VERSION)
            .map_err(|source| ClientError::Encode { api: "subscription", version: 1, source })?;
        let route = Route::group(Node::Id(self.coordinator)).waiting(REBALANCE_TIMEOUT);
        let joined = self
            .client
            .call(route, |_| {
                let mut protocol = join_group_request::JoinGroupRequestProtocol::default();
                protocol.name = ASSIGNOR.into();
                protocol.metadata = metadata.freeze();
                let mut request = JoinGroupRequest::default();
                request.group_id = self.group.as_str().into();
                request.session_timeout_ms = millis(SESSION_TIMEOUT);
                request.rebalance_timeout_ms = millis(REBALANCE_TIMEOUT);
                request.member_id = self.member_id.as_str().into();
                request.protocol_type = "consumer".into();
                request.protocols = vec![protocol];
                request
            })
            .await?;
        // Given with the error MEMBER_ID_REQUIRED as well.
        if !joined.member_id.is_empty() {
            self.member_id = joined.member_id.to_string();
        }
        ErrorCode(joined.error_code).check(|| format!("join group {}", self.group), None)?;
        self.generation = joined.generation_id;
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let assignments = if leads { self.assign(&joined).await? } else { BTreeMap::new() };
        self.sync(&joined, &assignments).await
    }

    async fn sync(
        &self,
        joined: &JoinGroupResponse,
        assignments: &BTreeMap<String, BTreeMap<String, Vec<i32>>>,
    ) -> Result<Assigned, ClientError> {
        let mut encoded = Vec::new();
        for (member, topics) in assignments {
            let mut assigned = sync_group_request::SyncGroupRequestAssignment::default();
            assigned.member_id = member.as_str().into();
            assigned.assignment = encode_assignment(topics)?;
            encoded.push(assigned);
        }
        let route = Route::group(Node::Id(self.coordinator)).waiting(REBALANCE_TIMEOUT);
        let synced = self
            .client
            .call(route, |version| {
                let mut request = SyncGroupRequest::default();
                request.group_id = self.group.as_str().into();
                request.generation_id = self.generation;
                request.member_id = self.member_id.as_str().into();
                if version >= 5 {
                    request.protocol_type = Some("consumer".into());
                    request.protocol_name = joined.protocol_name.clone();
                }
                request.assignments = encoded;
                request
            })
            .await?;
        ErrorCode(synced.error_code).check(|| format!("sync group {}", self.group), None)?;
        Ok(assignment(&synced.assignment).remove(&self.topic).unwrap_or_default())
    }

    /// As the group's leader: who gets what.
    async fn assign(
        &self,
        joined: &JoinGroupResponse,
    ) -> Result<BTreeMap<String, BTreeMap<String, Vec<i32>>>, ClientError> {
        let mut subscribers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for member in &joined.members {
            let decoded =
                decode_consumer_protocol_subscription(member.metadata.clone(), DecodeLimits::default());
            let (_, subscription) = decoded.map_err(|source| ClientError::Decode {
                api: "subscription",
                version: 1,
                address: member.member_id.to_string(),
                source,
            })?;
            for topic in subscription.topics {
                subscribers.entry(topic.into_string()).or_default().insert(member.member_id.to_string());
            }
        }
        let names: Vec<String> = subscribers.keys().cloned().collect();
        let metadata = self.client.metadata(Some(&names), false).await?;
        let counts: BTreeMap<&str, i32> = metadata
            .topics
            .iter()
            .filter_map(|topic| Some((topic.name.as_deref()?, i32::try_from(topic.partitions.len()).ok()?)))
            .collect();
        Ok(range_assignment(&subscribers, &counts))
    }

    fn start_heartbeat(&mut self) {
        let (ended_sender, ended) = watch::channel(None);
        let client = Arc::clone(&self.client);
        let (group, member_id) = (self.group.clone(), self.member_id.clone());
        let (generation, coordinator) = (self.generation, self.coordinator);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT_INTERVAL).await;
                let beat = client
                    .call(Route::group(Node::Id(coordinator)), |_| {
                        let mut request = HeartbeatRequest::default();
                        request.group_id = group.as_str().into();
                        request.generation_id = generation;
                        request.member_id = member_id.as_str().into();
                        request
                    })
                    .await;
                let code = match beat {
                    Ok(response) => ErrorCode(response.error_code),
                    // The connection broke: joining again finds out whether the broker did, too.
                    Err(_) => ErrorCode::REBALANCE_IN_PROGRESS,
                };
                if code != ErrorCode::NONE {
                    // Nobody listens any more when the membership is gone.
                    let _ = ended_sender.send(Some(code));
                    return;
                }
            }
        });
        self.heartbeat = Some(Heartbeat { task, ended });
    }

    /// Ends when the group has moved on and [`Membership::join`] is due. Cancel-safe.
    pub async fn rebalance(&self) {
        let Some(heartbeat) = &self.heartbeat else { return };
        let mut ended = heartbeat.ended.clone();
        // An error is the end of the heartbeat task, which likewise means: join again.
        let _ = ended.wait_for(Option::is_some).await;
    }

    /// Commits the next offsets to read.
    ///
    /// # Errors
    /// The group has moved on (join again), or the coordinator refuses.
    pub async fn commit(&self, offsets: &BTreeMap<i32, i64>) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let member = (self.member_id.as_str(), self.generation);
        self.client.commit(self.coordinator, &self.group, member, &self.topic, offsets).await
    }

    /// Gives the place up.
    ///
    /// # Errors
    /// The coordinator can't be told; the session runs out by itself then.
    pub async fn leave(mut self) -> Result<(), ClientError> {
        self.heartbeat = None;
        let response = self
            .client
            .call(Route::group(Node::Id(self.coordinator)), |version| {
                let mut request = LeaveGroupRequest::default();
                request.group_id = self.group.as_str().into();
                if version >= 3 {
                    let mut member = leave_group_request::MemberIdentity::default();
                    member.member_id = self.member_id.as_str().into();
                    request.members = vec![member];
                } else {
                    request.member_id = self.member_id.as_str().into();
                }
                request
            })
            .await?;
        ErrorCode(response.error_code).check(|| format!("leave group {}", self.group), None)
    }
}

fn encode_assignment(topics: &BTreeMap<String, Vec<i32>>) -> Result<Bytes, ClientError> {
    let mut assignment = ConsumerProtocolAssignment::default();
    for (topic, partitions) in topics {
        let mut assigned = consumer_protocol_assignment::TopicPartition::default();
        assigned.topic = topic.as_str().into();
        assigned.partitions.clone_from(partitions);
        assignment.assigned_partitions.push(assigned);
    }
    let mut bytes = BytesMut::new();
    encode_consumer_protocol_assignment(&mut bytes, &assignment, CONSUMER_PROTOCOL_VERSION)
        .map_err(|source| ClientError::Encode { api: "assignment", version: 1, source })?;
    Ok(bytes.freeze())
}

/// Kafka's RangeAssignor without racks: of each topic, every subscriber (in the order of the member ids) gets a
/// run of partitions, the first ones one more where it doesn't divide.
fn range_assignment(
    subscribers: &BTreeMap<String, BTreeSet<String>>,
    counts: &BTreeMap<&str, i32>,
) -> BTreeMap<String, BTreeMap<String, Vec<i32>>> {
    let mut assignments: BTreeMap<String, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
    for (topic, members) in subscribers {
        let count = counts.get(topic.as_str()).copied().unwrap_or(0);
        let shares = i32::try_from(members.len()).unwrap_or(i32::MAX);
        let mut next = 0;
        for (index, member) in (0..).zip(members) {
            let share = count / shares + i32::from(index < count % shares);
            let own = assignments.entry(member.clone()).or_default();
            if share > 0 {
                own.insert(topic.clone(), (next..next + share).collect());
            }
            next += share;
        }
    }
    assignments
}

fn millis(span: Duration) -> i32 {
    i32::try_from(span.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_gives_each_partition_to_exactly_one_subscriber() {
        let subscribers = BTreeMap::from([
            ("a".to_owned(), BTreeSet::from(["m1".to_owned(), "m2".to_owned(), "m3".to_owned()])),
            ("b".to_owned(), BTreeSet::from(["m2".to_owned()])),
        ]);
        let assigned = range_assignment(&subscribers, &BTreeMap::from([("a", 5), ("b", 1)]));
        assert_eq!(assigned["m1"], BTreeMap::from([("a".to_owned(), vec![0, 1])]));
        assert_eq!(assigned["m2"], BTreeMap::from([("a".to_owned(), vec![2, 3]), ("b".to_owned(), vec![0])]));
        assert_eq!(assigned["m3"], BTreeMap::from([("a".to_owned(), vec![4])]));
    }

    #[test]
    fn range_leaves_members_without_partitions_where_there_are_too_few() {
        let subscribers =
            BTreeMap::from([("a".to_owned(), BTreeSet::from(["m1".to_owned(), "m2".to_owned()]))]);
        let assigned = range_assignment(&subscribers, &BTreeMap::from([("a", 1)]));
        assert_eq!(assigned["m1"]["a"], [0]);
        assert!(assigned["m2"].is_empty(), "a member without partitions still gets an (empty) assignment");
    }
}
