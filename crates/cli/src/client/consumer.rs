//! Reading: where partitions begin and end, and what stands between.

use std::collections::BTreeMap;

use bytes::Bytes;
use duolog_record::{BatchError, DecodeBudget, TimestampType, records, split, verify_crc};
use kafka_wire::{FetchRequest, ListOffsetsRequest, fetch_request, fetch_response, list_offsets_request};

use super::admin::Topic;
use super::error::ClientError;
use super::error_code::ErrorCode;
use super::{Client, Node, Route};

/// What one fetch may bring in all, and of each partition (a larger first batch comes whole nevertheless).
const FETCH_BYTES_MAX: i32 = 16 * 1024 * 1024;
const PARTITION_BYTES_MAX: i32 = 1024 * 1024;

/// The most that one compressed batch may become.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A place in a partition that the broker finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first offset that is still there.
    Earliest,
    /// Behind the last record.
    Latest,
    /// The first record of this time (ms since 1970) or later; the end, if there is none.
    Timestamp(i64),
}

/// Who set a record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// The producer.
    Create,
    /// The broker.
    LogAppend,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct ConsumedRecord {
    /// The partition.
    pub partition: i32,
    /// Its offset in it.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Whose clock that was.
    pub timestamp_kind: TimestampKind,
    /// The key; null and empty differ.
    pub key: Option<Bytes>,
    /// The value; null is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in order, keys may repeat.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// What a fetch brought of one partition.
#[derive(Debug)]
pub struct Fetched {
    /// The partition.
    pub partition: i32,
    /// Records at or above the offset that was asked for, ascending.
    pub records: Vec<ConsumedRecord>,
    /// Where to go on.
    pub next_offset: i64,
}

impl Client {
    /// Where `position` is in `partitions` of `topic` (in all of them if the list is empty).
    ///
    /// # Errors
    /// A leader can't be reached or refuses.
    pub async fn offsets_at(
        &self,
        topic: &Topic,
        partitions: &[i32],
        position: Position,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        let timestamp = match position {
            Position::Earliest => -2,
            Position::Latest => -1,
            Position::Timestamp(ms) => ms.max(0),
        };
        let mut offsets = BTreeMap::new();
        let mut behind_all = Vec::new();
        for (leader, partitions) in by_leader(topic, partitions.iter().copied())? {
            let response = self
                .call(Route::data(Node::Id(leader)), |_| {
                    let mut asked = list_offsets_request::ListOffsetsTopic::default();
                    asked.name = topic.name.as_str().into();
                    asked.partitions = partitions
                        .iter()
                        .map(|partition| {
                            let mut at = list_offsets_request::ListOffsetsPartition::default();
                            at.partition_index = *partition;
                            at.timestamp = timestamp;
                            at
                        })
                        .collect();
                    let mut request = ListOffsetsRequest::default();
                    request.replica_id = -1;
                    request.topics = vec![asked];
                    request
                })
                .await?;
            for found in response.topics.iter().flat_map(|topic| &topic.partitions) {
                let what = || format!("offsets of {}-{}", topic.name, found.partition_index);
                ErrorCode(found.error_code).check(what, None)?;
                if found.offset < 0 {
                    behind_all.push(found.partition_index);
                } else {
                    offsets.insert(found.partition_index, found.offset);
                }
            }
        }
        // No record is that young: start with the next one.
        if !behind_all.is_empty() && position != Position::Latest {
            let end = Box::pin(self.offsets_at(topic, &behind_all, Position::Latest)).await?;
            offsets.extend(end);
        }
        Ok(offsets)
    }

    /// Reads from `positions` (partition and offset) of `topic`; waits up to `wait` for the first byte.
    ///
    /// # Errors
    /// The first partition that has one, or a batch that doesn't decode. Nothing is lost: ask again.
    pub async fn fetch(
        &self,
        topic: &Topic,
        positions: &BTreeMap<i32, i64>,
        wait: std::time::Duration,
    ) -> Result<Vec<Fetched>, ClientError> {
        let leaders = by_leader(topic, positions.keys().copied())?;
        let asked = leaders.into_iter().map(|(leader, partitions)| {
            let positions: BTreeMap<i32, i64> = partitions
                .iter()
                .filter_map(|partition| Some((*partition, *positions.get(partition)?)))
                .collect();
            self.fetch_from(leader, topic, positions, wait)
        });
        let mut fetched = Vec::new();
        for answer in futures_util::future::join_all(asked).await {
            fetched.extend(answer?);
        }
        Ok(fetched)
    }

    async fn fetch_from(
        &self,
        leader: i32,
        topic: &Topic,
        positions: BTreeMap<i32, i64>,
        wait: std::time::Duration,
    ) -> Result<Vec<Fetched>, ClientError> {
        let response = self
            .call(Route::data(Node::Id(leader)).waiting(wait), |_| {
                let mut asked = fetch_request::FetchTopic::default();
                asked.topic = topic.name.as_str().into();
                asked.partitions = positions
                    .iter()
                    .map(|(partition, offset)| {
                        let mut at = fetch_request::FetchPartition::default();
                        at.partition = *partition;
                        at.fetch_offset = *offset;
                        at.partition_max_bytes = PARTITION_BYTES_MAX;
                        at
                    })
                    .collect();
                let mut request = FetchRequest::default();
                request.max_wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
                request.min_bytes = 1;
                request.max_bytes = FETCH_BYTES_MAX;
                // No fetch session: every request names all it wants.
                request.session_epoch = -1;
                request.topics = vec![asked];
                request
            })
            .await?;
        let what = || format!("fetch from {}", topic.name);
        ErrorCode(response.error_code).check(what, None)?;
        let mut fetched = Vec::new();
        for found in response.responses.into_iter().flat_map(|topic| topic.partitions) {
            let Some(offset) = positions.get(&found.partition_index).copied() else { continue };
            let what = || format!("fetch {}-{} at offset {offset}", topic.name, found.partition_index);
            ErrorCode(found.error_code).check(what, None)?;
            fetched.push(decode(&topic.name, found, offset)?);
        }
        Ok(fetched)
    }
}

/// The records at or above `offset` in what one partition answered.
fn decode(topic: &str, found: fetch_response::PartitionData, offset: i64) -> Result<Fetched, ClientError> {
    let partition = found.partition_index;
    let bad = |error: &BatchError| ClientError::BadBatch {
        topic: topic.to_owned(),
        partition,
        offset,
        reason: error.to_string(),
    };
    let mut fetched = Fetched { partition, records: Vec::new(), next_offset: offset };
    let bytes = found.records.unwrap_or_default();
    for (index, batch) in split(&bytes).enumerate() {
        let (header, batch) = match batch {
            Ok(batch) => batch,
            // Kafka cuts the answer at its size limit, in the middle of a batch: that one comes again whole.
            Err(BatchError::Truncated { .. }) if index > 0 => break,
            Err(error) => return Err(bad(&error)),
        };
        verify_crc(&batch).map_err(|error| bad(&error))?;
        let timestamp_kind = match header.timestamp_type() {
            TimestampType::LogAppendTime => TimestampKind::LogAppend,
            TimestampType::CreateTime => TimestampKind::Create,
        };
        if !header.is_control() {
            for record in
                records(&batch, DecodeBudget::fixed(BATCH_BYTES_MAX)).map_err(|error| bad(&error))?
            {
                let record = record.map_err(|error| bad(&error))?;
                // A fetch from the middle of a batch brings the whole batch.
                if record.offset.0 >= offset {
                    fetched.records.push(ConsumedRecord {
                        partition,
                        offset: record.offset.0,
                        timestamp_ms: record.timestamp.0,
                        timestamp_kind,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                    });
                }
            }
        }
        fetched.next_offset = fetched.next_offset.max(header.next_offset().0);
    }
    Ok(fetched)
}

/// `partitions` of `topic` (all, if none are given) by the broker that leads them.
fn by_leader(
    topic: &Topic,
    partitions: impl Iterator<Item = i32>,
) -> Result<BTreeMap<i32, Vec<i32>>, ClientError> {
    let mut wanted: Vec<i32> = partitions.collect();
    if wanted.is_empty() {
        wanted = topic.partitions.iter().map(|partition| partition.partition).collect();
    }
    let mut leaders: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for partition in wanted {
        leaders.entry(leader_of(topic, partition)?).or_default().push(partition);
    }
    Ok(leaders)
}

/// The broker that leads `partition`; -1 while there is none.
pub(super) fn leader_of(topic: &Topic, partition: i32) -> Result<i32, ClientError> {
    let found = topic.partitions.iter().find(|known| known.partition == partition);
    found.map(|partition| partition.leader).ok_or_else(|| ClientError::NoSuchPartition {
        topic: topic.name.clone(),
        partition,
        count: topic.partitions.len(),
    })
}
