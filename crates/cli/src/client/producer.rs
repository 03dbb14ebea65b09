//! Writing: one batch to one partition.

use bytes::Bytes;
use kafka_wire::{ProduceRequest, produce_request};

use super::admin::{Topic, only};
use super::consumer::leader_of;
use super::error::ClientError;
use super::error_code::ErrorCode;
use super::{Client, Node, Route};

/// When a batch counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// When it was sent.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    All,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducedBatch {
    /// The offset of its first record; `None` with [`Acks::None`], where nobody says.
    pub base_offset: Option<i64>,
}

impl Client {
    /// Appends `batch` (one record batch v2) to `partition` of `topic`.
    ///
    /// # Errors
    /// The broker refuses, or can't be reached. After [`ClientError::Timeout`] and
    /// [`ClientError::Disconnected`] the batch may have been appended all the same; it is never sent twice here.
    pub async fn produce(
        &self,
        topic: &Topic,
        partition: i32,
        batch: Bytes,
        acks: Acks,
    ) -> Result<ProducedBatch, ClientError> {
        let route = Route::data(Node::Id(leader_of(topic, partition)?));
        let timeout_ms = i32::try_from(self.timeout().as_millis()).unwrap_or(i32::MAX);
        let build = |_| {
            let mut data = produce_request::PartitionProduceData::default();
            data.index = partition;
            data.records = Some(batch.clone());
            let mut written = produce_request::TopicProduceData::default();
            written.name = topic.name.as_str().into();
            written.partition_data = vec![data];
            let mut request = ProduceRequest::default();
            request.transactional_id = None;
            request.acks = match acks {
                Acks::None => 0,
                Acks::Leader => 1,
                Acks::All => -1,
            };
            request.timeout_ms = timeout_ms;
            request.topic_data = vec![written];
            request
        };
        if acks == Acks::None {
            self.call_one_way(route, build).await?;
            return Ok(ProducedBatch { base_offset: None });
        }
        let response = self.call(route, build).await?;
        let what = || format!("produce to {}-{partition}", topic.name);
        let result = only(only(response.responses, what)?.partition_responses, what)?;
        let first = result.record_errors.first();
        let message = result
            .error_message
            .as_deref()
            .or_else(|| first.and_then(|error| error.batch_index_error_message.as_deref()));
        ErrorCode(result.error_code).check(what, message)?;
        Ok(ProducedBatch { base_offset: Some(result.base_offset) })
    }
}
