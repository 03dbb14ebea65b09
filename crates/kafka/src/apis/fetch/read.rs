//! One round of looks at a fetch's partitions: what each of them has to say now.
//!
//! Decides how the bytes allowed are shared out, and which partitions an answer names; reads through the broker.

use std::collections::HashMap;
use std::sync::Arc;

use duolog_broker::partition::{FetchError, FetchSpec, LEADER_EPOCH};
use duolog_broker::{Partition, Watch};
use duolog_types::{LeaderEpoch, Offset};
use kafka_wire_core::Uuid;

use super::response::{FetchAnswer, PartitionAnswer, TopicAnswer};
use super::session::{Told, TopicRef, Visit, Wanted};
use super::{Partitions, Source};
use crate::apis::common;
use crate::door::Door;
use crate::errors::ErrorCode;
use crate::session::queue::ReplyBytes;

/// Which partitions an answer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All that were asked for.
    Full,
    /// Those with something new.
    Incremental,
}

/// Even when replies use up their memory, a fetch may take so much: somebody has to make progress.
const LEAST_BYTES: usize = 64 << 10;

/// What a round found.
#[derive(Debug, Default)]
pub(crate) struct Round {
    looks: Vec<Look>,
    bytes: usize,
    urgent: bool,
}

#[derive(Debug)]
struct Look {
    place: u32,
    visit: Visit,
    /// What the answer says of the partition, if it names it.
    answer: Option<PartitionAnswer>,
}

/// Looks at the queued partitions, front to back. Partitions of a kept session that are found only now are
/// registered with `watch` before they are read.
pub(crate) async fn collect(
    door: &Door,
    partitions: &mut Partitions,
    watch: &Watch,
    max_bytes: usize,
    mode: Mode,
) -> Round {
    let reserved = Reserved::take(&door.shared.reply_bytes, door.config().reply_bytes, max_bytes);
    let mut round = Round::default();
    for place in partitions.queued() {
        let room = reserved.bytes.saturating_sub(round.bytes);
        if room == 0 && mode == Mode::Incremental {
            // Those behind keep their places, ahead of those that were served.
            round.urgent = true;
            break;
        }
        let Some(slot) = partitions.slot_mut(place) else { continue };
        let found = match slot.handle.partition.clone() {
            // A partition at its end doesn't say that it was deleted.
            Some(partition) if !is_there(door, &partition) => Err(slot.handle.lost(&slot.wanted.topic)),
            Some(partition) => Ok(partition),
            None => slot.handle.find(door, &slot.wanted.topic, slot.wanted.partition),
        };
        let partition = match found {
            Ok(partition) => partition,
            Err(error) => {
                round.failed_with(place, Failed::new(error).answer(slot.wanted.partition));
                continue;
            }
        };
        if mode == Mode::Incremental && slot.handle.guard.is_none() {
            slot.handle.register(watch, u64::from(place));
        }
        match look(door, &partition, &slot.wanted, room, round.bytes == 0).await {
            Ok((visit, answer)) => {
                let told = told(&answer);
                let bytes: usize = answer.runs.iter().map(bytes::Bytes::len).sum();
                let news = bytes > 0 || told != slot.told || answer.diverging_epoch.is_some();
                round.bytes += bytes;
                // What waits has records that don't fit any more: there is enough.
                round.urgent |= answer.diverging_epoch.is_some() || visit == Visit::Waiting;
                let answer = (news || mode == Mode::Full).then_some(answer);
                round.looks.push(Look { place, visit, answer });
            }
            Err(mut failed) => {
                if failed.error == ErrorCode::UnknownTopicOrPartition {
                    failed.error = slot.handle.lost(&slot.wanted.topic);
                }
                round.failed_with(place, failed.answer(slot.wanted.partition));
            }
        }
    }
    round
}

/// A look that failed, and what the client should know with it.
#[derive(Debug)]
struct Failed {
    error: ErrorCode,
    current_leader: Option<(i32, i32)>,
    offsets: Option<(i64, i64)>,
}

impl Failed {
    fn new(error: ErrorCode) -> Self {
        Self { error, current_leader: None, offsets: None }
    }

    fn answer(&self, partition: i32) -> PartitionAnswer {
        let (high_watermark, log_start_offset) = self.offsets.unwrap_or((-1, -1));
        PartitionAnswer {
            partition,
            error_code: self.error.code(),
            high_watermark,
            last_stable_offset: -1,
            log_start_offset,
            current_leader: self.current_leader,
            ..PartitionAnswer::default()
        }
    }
}

async fn look(
    door: &Door,
    partition: &Partition,
    wanted: &Wanted,
    room: usize,
    first: bool,
) -> Result<(Visit, PartitionAnswer), Failed> {
    let current = (wanted.current_leader_epoch >= 0).then_some(LeaderEpoch(wanted.current_leader_epoch));
    partition.check_leader_epoch(current).map_err(|error| Failed {
        current_leader: Some((door.node_id(), LEADER_EPOCH.0)),
        ..Failed::new(error.into())
    })?;
    if wanted.last_fetched_epoch >= 0
        && let Some(diverging) = diverging(partition, wanted)?
    {
        let answer = PartitionAnswer { diverging_epoch: Some(diverging), ..standing(partition, wanted.partition) };
        return Ok((Visit::Served, answer));
    }
    if room == 0 {
        return Ok((Visit::Waiting, standing(partition, wanted.partition)));
    }
    let max_bytes = usize::try_from(wanted.max_bytes).unwrap_or(0).min(room);
    let spec = FetchSpec { from: Offset(wanted.fetch_offset), max_bytes, at_least_one: first };
    match partition.fetch(spec).await {
        Ok(fetched) => {
            let visit = match fetched.bytes {
                0 if fetched.next_offset >= fetched.high_watermark => Visit::Quiet,
                0 => Visit::Waiting,
                _ => Visit::Served,
            };
            let answer = PartitionAnswer {
                partition: wanted.partition,
                high_watermark: fetched.high_watermark.0,
                last_stable_offset: fetched.last_stable_offset.0,
                log_start_offset: fetched.log_start.0,
                runs: fetched.runs,
                ..PartitionAnswer::default()
            };
            Ok((visit, answer))
        }
        Err(error) => {
            if let FetchError::Storage(error) = &error {
                tracing::error!(%error, partition = wanted.partition, offset = wanted.fetch_offset, "fetch failed");
            }
            let offsets = match error {
                FetchError::OutOfRange { log_start, high_watermark, .. } => Some((high_watermark.0, log_start.0)),
                _ => None,
            };
            Err(Failed { offsets, ..Failed::new(ErrorCode::from(&error)) })
        }
    }
}

/// Where a partition stands, without records.
fn standing(partition: &Partition, index: i32) -> PartitionAnswer {
    PartitionAnswer {
        partition: index,
        high_watermark: partition.high_watermark().0,
        last_stable_offset: partition.last_stable_offset().0,
        log_start_offset: partition.log_start().0,
        ..PartitionAnswer::default()
    }
}

/// Where the client's log parts from ours (KIP-595): our epoch that isn't newer than its last one, and that
/// epoch's end, if the client's position isn't within. Of an epoch that nothing is known of, Kafka says that the
/// offset is out of range.
fn diverging(partition: &Partition, wanted: &Wanted) -> Result<Option<(i32, i64)>, Failed> {
    let last = LeaderEpoch(wanted.last_fetched_epoch);
    let (epoch, end) =
        partition.end_of_epoch(last).ok_or_else(|| Failed::new(ErrorCode::OffsetOutOfRange))?;
    Ok((epoch < last || end.0 < wanted.fetch_offset).then_some((epoch.0, end.0)))
}

fn told(answer: &PartitionAnswer) -> Told {
    Told { high_watermark: answer.high_watermark, log_start: answer.log_start_offset }
}

impl Round {
    /// Bytes of records.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the client must know at once, however few bytes there are.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    fn failed_with(&mut self, place: u32, answer: PartitionAnswer) {
        self.urgent = true;
        // It stays queued: it is told again until it is well.
        self.looks.push(Look { place, visit: Visit::Served, answer: Some(answer) });
    }

    /// Notes in the session what the client is told, and orders its queue.
    pub(crate) fn settle(&self, partitions: &mut Partitions) {
        for look in &self.looks {
            if let (Some(answer), Some(slot)) = (&look.answer, partitions.slot_mut(look.place)) {
                slot.told = match answer.error_code {
                    0 => told(answer),
                    // So that it is news when it is well again.
                    _ => Told { high_watermark: -1, log_start: -1 },
                };
            }
        }
        let visits: Vec<(u32, Visit)> = self.looks.iter().map(|look| (look.place, look.visit)).collect();
        partitions.settle(&visits);
    }

    /// The answer: the partitions by topic, in the order of the looks.
    pub(crate) fn into_answer(self, partitions: &Partitions, door: &Door) -> FetchAnswer {
        let mut topics: Vec<TopicAnswer> = Vec::new();
        let mut places: HashMap<TopicRef, usize> = HashMap::new();
        let mut endpoints = Vec::new();
        for look in self.looks {
            let (Some(answer), Some(slot)) = (look.answer, partitions.slot(look.place)) else { continue };
            if answer.current_leader.is_some() && endpoints.is_empty() {
                endpoints.push((door.node_id(), door.advertised.0.clone(), door.advertised.1));
            }
            let place = *places.entry(slot.wanted.topic.clone()).or_insert_with(|| {
                let (name, id) = match &slot.wanted.topic {
                    TopicRef::Name(name) => (Arc::clone(name), [0; 16]),
                    TopicRef::Id(id) => (Arc::from(""), *id),
                };
                topics.push(TopicAnswer { name, id, partitions: Vec::new() });
                topics.len() - 1
            });
            topics[place].partitions.push(answer);
        }
        FetchAnswer { topics, endpoints, ..FetchAnswer::default() }
    }
}

impl Source {
    /// Finds the partition.
    pub(crate) fn find(
        &mut self,
        door: &Door,
        topic: &TopicRef,
        partition: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let topic = match topic {
            TopicRef::Name(name) => door.topic(name)?,
            TopicRef::Id(id) => door.topic_by_id(Uuid::from_bytes(*id))?,
        };
        let partition = Arc::clone(common::partition(&topic, partition)?);
        self.partition = Some(Arc::clone(&partition));
        Ok(partition)
    }

    /// Has the partition report its news under `token`. Without a partition there is nothing to register; the
    /// next look finds out why.
    pub(crate) fn register(&mut self, watch: &Watch, token: u64) {
        self.guard = self.partition.as_ref().map(|partition| partition.watch(watch, token));
    }

    /// The partition was deleted: lets go of it, since a topic of the same name may be there next time, and says
    /// what the client is told.
    fn lost(&mut self, topic: &TopicRef) -> ErrorCode {
        *self = Self::default();
        match topic {
            TopicRef::Id(_) => ErrorCode::UnknownTopicId,
            TopicRef::Name(_) => ErrorCode::UnknownTopicOrPartition,
        }
    }

    /// Whether what is wanted isn't there any more, so that waiting for bytes is in vain.
    pub(crate) fn ended(&self, door: &Door, wanted: &Wanted) -> bool {
        self.partition.as_ref().is_some_and(|partition| {
            partition.log_start().0 > wanted.fetch_offset || !is_there(door, partition)
        })
    }
}

fn is_there(door: &Door, partition: &Partition) -> bool {
    door.broker.catalog().topic_by_id(partition.topic_id()).is_some()
}

/// Room for the bytes that a round may read, counted with the replies that wait, so that many readers at once
/// see each other.
struct Reserved<'a> {
    bytes: usize,
    all: &'a ReplyBytes,
}

impl<'a> Reserved<'a> {
    fn take(all: &'a ReplyBytes, limit: usize, wanted: usize) -> Self {
        let free = limit.saturating_sub(all.get());
        let bytes = wanted.min((free / 4).max(LEAST_BYTES));
        all.add(bytes);
        Self { bytes, all }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.all.sub(self.bytes);
    }
}
