//! A topic's partition as a stream: what of it is known when, and which ids its window holds.
//!
//! Nothing is indexed as it is produced: the index follows the log when somebody asks, up to what readers may see. Who
//! publishes under a condition on a subject must know what isn't durable yet as well: from the first such message on, what
//! comes through either door is noted (`tail`) until the index has it or the log can be read that far.
//!
//! The dedup window holds the ids of what NATS clients published. It is stored as any stream's; what isn't checkpointed is
//! found again in batches that the log says are of single records: Kafka's are none.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use duolog_log::{Chunk, ColdRead, Read, ReadSpec};
use duolog_record::{BatchHeader, records, split};
use duolog_types::{Lsn, Nanos, Offset, Sequence};

use super::core::{State, Stored, StreamCore, nanos};
use super::headers::{self, Ttl};
use super::mapping::Root;
use super::publish::message_time;
use super::table::{DECODE, replay_at};
use super::{Origin, Stream, StreamState};

/// How much is read from the log at a time.
const READ_BYTES: usize = 1 << 20;

/// What was appended since somebody began to ask for it.
pub(crate) struct Tail {
    /// Where the log ended then: what stands before it is to be read from there.
    from: Offset,
    items: VecDeque<Item>,
}

/// A batch that the log has taken.
struct Item {
    base_offset: Offset,
    end: Offset,
    lsn: Lsn,
    arrival: Nanos,
    what: What,
}

enum What {
    /// As a Kafka client sent it: its own base offset is 0.
    Batch(Bytes),
    Message(Box<Message>),
}

struct Message {
    subject: String,
    bytes: u32,
    time: u64,
    msg_id: Vec<u8>,
}

impl State {
    /// One behind the last sequence that was given, durable or not; of a topic it is the log that knows.
    pub(crate) fn newest_sequence(&self) -> u64 {
        match &self.log {
            Some(log) if self.of_topic => u64::try_from(log.end().0).unwrap_or(0),
            _ => self.index.last(),
        }
    }

    /// A topic's partition has taken a batch from a Kafka client.
    pub(crate) fn note_batch(&mut self, bytes: Bytes, base_offset: Offset, count: u32, lsn: Lsn, at: Nanos) {
        let end = base_offset.plus(i64::from(count));
        self.note(|| Item { base_offset, end, lsn, arrival: at, what: What::Batch(bytes) });
    }

    /// A topic's partition has taken a message from a NATS client.
    pub(crate) fn note_message(&mut self, message: &Stored<'_>, lsn: Lsn) {
        if !message.msg_id.is_empty() {
            self.remember_id(message.msg_id, message.sequence, message.time);
        }
        let base_offset = Sequence(message.sequence).offset();
        self.note(|| {
            let kept = Message {
                subject: message.subject.to_owned(),
                bytes: message.bytes,
                time: message.time,
                msg_id: message.msg_id.to_vec(),
            };
            let what = What::Message(Box::new(kept));
            Item { base_offset, end: base_offset.plus(1), lsn, arrival: Nanos(0), what }
        });
    }

    fn note(&mut self, item: impl FnOnce() -> Item) {
        let durable = self.log.as_ref().map_or(Offset::ZERO, duolog_log::Partition::high_watermark);
        let Some(tail) = &mut self.tail else { return };
        while tail.items.front().is_some_and(|item| item.end <= durable) {
            tail.items.pop_front();
        }
        tail.items.push_back(item());
    }

    /// Brings the index up to the log's end, durable or not. False: it can't be now, since what lies between has to be
    /// read from the disk first, or isn't durable and was never noted.
    fn know_all(&mut self, root: &Root, name: &str) -> Result<(), Option<ColdRead>> {
        let Some(log) = self.log.clone() else { return Err(None) };
        if self.tail.is_none() {
            self.tail = Some(Tail { from: log.end(), items: VecDeque::new() });
        }
        if let Some(cold) = catch_up(self, root, name) {
            return Err(Some(cold));
        }
        let next = |state: &Self| Sequence(state.index.last()).next().offset();
        let mut items = match &mut self.tail {
            Some(tail) => std::mem::take(&mut tail.items),
            None => VecDeque::new(),
        };
        while let Some(item) = items.pop_front() {
            if item.end <= next(self) {
                continue;
            }
            if item.base_offset > next(self) && self.tail.as_ref().is_some_and(|tail| next(self) < tail.from)
            {
                items.push_front(item);
                break;
            }
            self.take_item(item, root, name);
        }
        if let Some(tail) = &mut self.tail {
            tail.items = items;
        }
        if next(self) < log.end() { Err(None) } else { Ok(()) }
    }

    fn take_item(&mut self, item: Item, root: &Root, name: &str) {
        match item.what {
            What::Batch(bytes) => {
                if let Err(error) = replay_at(self, item.arrival, &bytes, root, item.base_offset) {
                    tracing::warn!(stream = name, error, "a topic's records can't be read");
                }
            }
            What::Message(message) => self.put(&Stored {
                sequence: Sequence::from(item.base_offset).0,
                subject: &message.subject,
                bytes: message.bytes,
                time: message.time,
                msg_id: &message.msg_id,
                ttl: Ttl::None,
                is_marker: false,
            }),
        }
        self.index.skip_to(Sequence::from(item.end).0 - 1);
        self.as_of = self.as_of.max(item.lsn);
    }

    /// Takes the ids over that a batch holds which isn't checkpointed, if a NATS client published it.
    pub(crate) fn recover_ids(&mut self, ids: Vec<(Vec<u8>, u64, u64)>) {
        let known = self.dedup.newest();
        for (id, sequence, time) in ids {
            if sequence > known {
                self.remember_id(&id, sequence, time);
            }
        }
    }
}

/// The ids, sequences and times of the messages in a batch of single records.
pub(crate) fn ids_of(arrival: Nanos, batch: &[u8]) -> Vec<(Vec<u8>, u64, u64)> {
    let Ok(header) = BatchHeader::parse(batch) else { return Vec::new() };
    let Ok(found) = records(&Bytes::copy_from_slice(batch), DECODE) else { return Vec::new() };
    let mut ids = Vec::new();
    for record in found.map_while(Result::ok) {
        let id = record.headers.iter().find(|(name, _)| name == headers::MSG_ID);
        if let Some(id) = id.and_then(|(_, value)| value.as_deref()).filter(|id| !id.is_empty()) {
            let time = message_time(arrival, header.base_timestamp.0, record.timestamp.0);
            ids.push((id.to_vec(), Sequence::from(record.offset).0, nanos(time)));
        }
    }
    ids
}

/// Brings a topic's index up to the log's end for a publish that asks for it. False: not now; what has to be read for it
/// is being read, off this thread.
pub(super) fn know_all(core: &Arc<StreamCore>, state: &mut State, root: &Root, name: &str) -> bool {
    let cold = match state.know_all(root, name) {
        Ok(()) => return true,
        Err(cold) => cold,
    };
    if let (Some(_), Ok(runtime)) = (cold, tokio::runtime::Handle::try_current()) {
        let (core, root, name) = (core.clone(), root.clone(), name.to_owned());
        runtime.spawn(async move { follow(&core, &root, &name).await });
    }
    false
}

/// Reads what a topic's index lacks, step by step, so that nobody waits long for the stream's lock.
async fn follow(core: &Arc<StreamCore>, root: &Root, name: &str) {
    loop {
        let cold = catch_up(&mut core.lock(), root, name);
        let Some(cold) = cold else { return };
        match crate::partition::blocking(move || cold.run()).await {
            Ok(chunk) => {
                let mut state = core.lock();
                let before = state.index.last();
                take_chunk(&mut state, &chunk, root, name);
                if state.index.last() == before {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(stream = name, %error, "a topic's subjects can't be read");
                return;
            }
        }
    }
}

impl Stream {
    /// Whether what readers may see is indexed, or can be without touching the disk.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.origin() == Origin::Nats || catch_up(&mut self.core().lock(), self.root(), self.name()).is_none()
    }

    /// Its state; of a topic's partition that isn't indexed as far as the log tells it: without times and subjects, and
    /// its bytes as they are stored.
    #[must_use]
    pub fn outline(&self) -> StreamState {
        if self.is_ready() {
            return self.state();
        }
        let log = self.partition().log();
        let (start, end) = (log.start(), log.high_watermark());
        let dead = log.dead_count(start, end);
        let offsets = u64::try_from(end.0 - start.0).unwrap_or(0);
        StreamState {
            messages: offsets.saturating_sub(dead),
            bytes: log.size_bytes(),
            first_sequence: Sequence::from(start),
            last_sequence: Sequence(u64::try_from(end.0).unwrap_or(0)),
            num_deleted: dead,
            ..StreamState::default()
        }
    }

    /// Ends when what readers may see of a topic's partition is indexed. Whoever is about to ask for a stream's state
    /// awaits it first; otherwise the asking itself reads, and blocks.
    pub async fn ready(&self) {
        if self.origin() == Origin::Kafka {
            follow(self.core(), self.root(), self.name()).await;
        }
    }
}

/// Takes over what became readable of a topic's partition since the last time, and reads from the disk for it.
pub(super) fn catch_up_now(state: &mut State, root: &Root, name: &str) {
    while let Some(cold) = catch_up(state, root, name) {
        match cold.run() {
            Ok(chunk) => {
                let before = state.index.last();
                take_chunk(state, &chunk, root, name);
                if state.index.last() == before {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(stream = name, %error, "a topic's subjects can't be read");
                return;
            }
        }
    }
}

/// Takes over what became readable and is in memory still. Returns the read that has to touch the disk to go on.
fn catch_up(state: &mut State, root: &Root, name: &str) -> Option<ColdRead> {
    let log = state.log.clone()?;
    state.catch_up_with_start(log.start());
    let end = log.high_watermark();
    loop {
        let from = Sequence(state.index.last()).next().offset();
        if from >= end {
            return None;
        }
        let spec = ReadSpec { from, up_to: end, max_bytes: READ_BYTES, at_least_one: true };
        match log.read(spec) {
            Ok(Read::Ready(chunk)) => {
                let before = state.index.last();
                take_chunk(state, &chunk, root, name);
                if state.index.last() == before {
                    return None;
                }
            }
            Ok(Read::NeedsDisk(cold)) => return Some(cold),
            Err(error) => {
                tracing::warn!(stream = name, %error, "a topic's subjects can't be read");
                return None;
            }
        }
    }
}

/// Takes over what of a chunk the index doesn't have.
fn take_chunk(state: &mut State, chunk: &Chunk, root: &Root, name: &str) {
    let mut arrivals = chunk.arrivals.iter();
    for run in &chunk.runs {
        for batch in split(run) {
            let Ok((header, batch)) = batch else { continue };
            let arrival = *arrivals.next().unwrap_or(&Nanos(0));
            if let Err(error) = replay_at(state, arrival, &batch, root, header.base_offset) {
                tracing::warn!(stream = name, error, "a topic's records can't be read");
            }
        }
    }
    state.index.skip_to(Sequence::from(chunk.next_offset).0 - 1);
}
