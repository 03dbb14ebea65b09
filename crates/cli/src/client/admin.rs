//! Topics: create, list, describe, alter, delete. Every call names one topic, so that one error has one subject.

use kafka_wire::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, MetadataResponse, create_partitions_request, create_topics_request,
    delete_topics_request, describe_configs_request, incremental_alter_configs_request, metadata_response,
};

use super::error::ClientError;
use super::error_code::ErrorCode;
use super::{Client, Node, Route};

/// Kafka's resource type "topic" in the config APIs.
const RESOURCE_TOPIC: i8 = 2;

/// A topic as the cluster's metadata shows it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, if the broker gives topics ids (Kafka 2.8 and later).
    pub id: Option<[u8; 16]>,
    /// Whether it belongs to the broker (`__consumer_offsets`).
    pub internal: bool,
    /// Ascending by number.
    pub partitions: Vec<Partition>,
}

/// Who leads and who copies a partition.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Its number.
    pub partition: i32,
    /// The leading broker's id; -1 while there is none.
    pub leader: i32,
    /// The leader's epoch; -1 where the broker doesn't say.
    pub leader_epoch: i32,
    /// The brokers that copy it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
}

/// What a new topic is to be.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; the broker's default if `None`.
    pub partitions: Option<i32>,
    /// How many replicas; the broker's default if `None`.
    pub replication_factor: Option<i16>,
    /// Settings that differ from the broker's defaults.
    pub configs: Vec<(String, String)>,
    /// Check only.
    pub validate_only: bool,
}

/// One setting of a topic.
#[derive(Clone, Debug)]
pub struct ConfigEntry {
    /// Kafka's name of it.
    pub name: String,
    /// Its value; `None` if the broker hides it.
    pub value: Option<String>,
    /// Where the value comes from: `topic`, `broker`, `default`, ...
    pub source: &'static str,
    /// Whether it can't be changed.
    pub read_only: bool,
}

/// A change of one setting.
#[derive(Clone, Debug)]
pub enum ConfigOperation {
    /// Give it this value.
    Set(String, String),
    /// Go back to the default.
    Unset(String),
}

impl Client {
    /// Topics that `names` lists, in that order, or all, by name.
    ///
    /// # Errors
    /// The first of `names` that there is no topic for.
    pub async fn topics(&self, names: Option<&[String]>) -> Result<Vec<Topic>, ClientError> {
        let response = self.metadata(names, false).await?;
        let mut topics = Vec::new();
        for found in &response.topics {
            let name = topic_name(found);
            ErrorCode(found.error_code).check(|| format!("topic {name}"), None)?;
            topics.push(topic(found));
        }
        match names {
            Some(names) => topics
                .sort_by_key(|topic| names.iter().position(|name| *name == topic.name).unwrap_or(usize::MAX)),
            None => topics.sort_by(|a, b| a.name.cmp(&b.name)),
        }
        Ok(topics)
    }

    /// One topic, waiting while the broker is still electing leaders; created by the broker's own rules if
    /// `create` and the broker allows it.
    ///
    /// # Errors
    /// There is no such topic, or no leader within the timeout.
    pub async fn topic(&self, name: &str, create: bool) -> Result<Topic, ClientError> {
        let names = [name.to_owned()];
        self.retry(async || {
            let response: MetadataResponse = self.metadata(Some(&names), create).await?;
            let found = response.topics.first().ok_or_else(|| ClientError::Broker {
                what: format!("topic {name}"),
                code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                message: None,
            })?;
            let code = ErrorCode(found.error_code);
            // Without auto-creation "unknown topic" is the answer, not a state on the way to another.
            if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION && !create {
                return Ok(Err(code));
            }
            code.check(|| format!("topic {name}"), None)?;
            let topic = topic(found);
            match topic.partitions.iter().find(|partition| partition.leader < 0) {
                Some(partition) => Err(ClientError::Broker {
                    what: format!("topic {name}, partition {}", partition.partition),
                    code: ErrorCode(5),
                    message: None,
                }),
                None => Ok(Ok(topic)),
            }
        })
        .await?
        .map_err(|code| ClientError::Broker { what: format!("topic {name}"), code, message: None })
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// The broker refuses (the name is taken or invalid, a setting is wrong ...).
    pub async fn create_topic(&self, new: &NewTopic) -> Result<(), ClientError> {
        let timeout_ms = self.timeout_ms();
        let response = self
            .call(self.controller().await?, |_| {
                let mut topic = create_topics_request::CreatableTopic::default();
                topic.name = new.name.as_str().into();
                topic.num_partitions = new.partitions.unwrap_or(-1);
                topic.replication_factor = new.replication_factor.unwrap_or(-1);
                topic.configs = new
                    .configs
                    .iter()
                    .map(|(name, value)| {
                        let mut config = create_topics_request::CreatableTopicConfig::default();
                        config.name = name.as_str().into();
                        config.value = Some(value.as_str().into());
                        config
                    })
                    .collect();
                let mut request = CreateTopicsRequest::default();
                request.topics = vec![topic];
                request.timeout_ms = timeout_ms;
                request.validate_only = new.validate_only;
                request
            })
            .await?;
        let what = || format!("create topic {}", new.name);
        let result = only(response.topics, what)?;
        ErrorCode(result.error_code).check(what, result.error_message.as_deref())
    }

    /// Deletes a topic and everything in it.
    ///
    /// # Errors
    /// There is no such topic, or the broker refuses.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let timeout_ms = self.timeout_ms();
        let response = self
            .call(self.controller().await?, |version| {
                let mut request = DeleteTopicsRequest::default();
                request.timeout_ms = timeout_ms;
                if version >= 6 {
                    let mut topic = delete_topics_request::DeleteTopicState::default();
                    topic.name = Some(name.into());
                    request.topics = vec![topic];
                } else {
                    request.topic_names = vec![name.into()];
                }
                request
            })
            .await?;
        let what = || format!("delete topic {name}");
        let result = only(response.responses, what)?;
        ErrorCode(result.error_code).check(what, result.error_message.as_deref())
    }

    /// Gives a topic more partitions: `count` in all.
    ///
    /// # Errors
    /// `count` isn't above what the topic has, or the broker refuses.
    pub async fn grow_topic(&self, name: &str, count: i32, validate_only: bool) -> Result<(), ClientError> {
        let timeout_ms = self.timeout_ms();
        let response = self
            .call(self.controller().await?, |_| {
                let mut topic = create_partitions_request::CreatePartitionsTopic::default();
                topic.name = name.into();
                topic.count = count;
                topic.assignments = None;
                let mut request = CreatePartitionsRequest::default();
                request.topics = vec![topic];
                request.timeout_ms = timeout_ms;
                request.validate_only = validate_only;
                request
            })
            .await?;
        let what = || format!("grow topic {name} to {count} partitions");
        let result = only(response.results, what)?;
        ErrorCode(result.error_code).check(what, result.error_message.as_deref())
    }

    /// The settings of a topic, by name.
    ///
    /// # Errors
    /// There is no such topic.
    pub async fn topic_configs(&self, name: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        let response = self
            .call(Route::data(Node::Any), |_| {
                let mut resource = describe_configs_request::DescribeConfigsResource::default();
                resource.resource_type = RESOURCE_TOPIC;
                resource.resource_name = name.into();
                resource.configuration_keys = None;
                let mut request = DescribeConfigsRequest::default();
                request.resources = vec![resource];
                request
            })
            .await?;
        let what = || format!("settings of topic {name}");
        let result = only(response.results, what)?;
        ErrorCode(result.error_code).check(what, result.error_message.as_deref())?;
        let mut entries: Vec<ConfigEntry> = result
            .configs
            .into_iter()
            .map(|config| ConfigEntry {
                name: config.name.into_string(),
                value: config.value.map(kafka_wire_core::StrBytes::into_string),
                source: config_source(config.config_source),
                read_only: config.read_only,
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Changes settings of a topic, all or none.
    ///
    /// # Errors
    /// A setting is unknown, or its value isn't one; nothing is changed then.
    pub async fn alter_topic_configs(
        &self,
        name: &str,
        operations: &[ConfigOperation],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let response = self
            .call(self.controller().await?, |_| {
                let mut resource = incremental_alter_configs_request::AlterConfigsResource::default();
                resource.resource_type = RESOURCE_TOPIC;
                resource.resource_name = name.into();
                resource.configs = operations.iter().map(alterable).collect();
                let mut request = IncrementalAlterConfigsRequest::default();
                request.resources = vec![resource];
                request.validate_only = validate_only;
                request
            })
            .await?;
        let what = || format!("alter topic {name}");
        let result = only(response.responses, what)?;
        ErrorCode(result.error_code).check(what, result.error_message.as_deref())
    }

    /// The broker that changes the cluster: the controller, as far as the metadata names one.
    async fn controller(&self) -> Result<Route, ClientError> {
        let metadata = self.metadata(Some(&[]), false).await?;
        let known = metadata.brokers.iter().any(|broker| broker.node_id == metadata.controller_id);
        Ok(Route::data(if known { Node::Id(metadata.controller_id) } else { Node::Any })
            .waiting(self.timeout()))
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout().as_millis()).unwrap_or(i32::MAX)
    }
}

fn alterable(operation: &ConfigOperation) -> incremental_alter_configs_request::AlterableConfig {
    let mut config = incremental_alter_configs_request::AlterableConfig::default();
    match operation {
        ConfigOperation::Set(name, value) => {
            config.name = name.as_str().into();
            config.config_operation = 0;
            config.value = Some(value.as_str().into());
        }
        ConfigOperation::Unset(name) => {
            config.name = name.as_str().into();
            config.config_operation = 1;
            config.value = None;
        }
    }
    config
}

/// Kafka's DescribeConfigsResponse.ConfigSource.
const fn config_source(source: i8) -> &'static str {
    match source {
        1 => "topic",
        2 => "broker",
        3 => "brokers",
        4 => "broker file",
        5 => "default",
        6 => "broker logger",
        _ => "unknown",
    }
}

fn topic_name(topic: &metadata_response::MetadataResponseTopic) -> String {
    topic.name.as_deref().unwrap_or_default().to_owned()
}

fn topic(found: &metadata_response::MetadataResponseTopic) -> Topic {
    let mut partitions: Vec<Partition> = found
        .partitions
        .iter()
        .map(|partition| Partition {
            partition: partition.partition_index,
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.clone(),
            isr: partition.isr_nodes.clone(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    let id = (!found.topic_id.is_zero()).then(|| found.topic_id.to_bytes());
    Topic { name: topic_name(found), id, internal: found.is_internal, partitions }
}

/// The one answer to a request that asked for one thing.
pub(super) fn only<T>(answers: Vec<T>, what: impl FnOnce() -> String) -> Result<T, ClientError> {
    answers.into_iter().next().ok_or_else(|| ClientError::Broker {
        what: what(),
        code: ErrorCode(-1),
        message: Some("the answer is empty".to_owned()),
    })
}
