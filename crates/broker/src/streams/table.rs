//! The streams' table: every stream's index and dedup window in pieces, each a shard of its own.
//!
//! No frame of its own: batches and deletes in the WAL are the changes. At a checkpoint, the pieces of a stream that
//! changed are all taken at one moment, so that they fit together; which shard holds which piece stands in its bytes.
//!
//! ```text
//! shard      version · partition · part · body
//! part       (of a topic's partition only 16: its index follows the log)
//!            0 head · 1 columns n · 2 live n · 3 subjects n   (index)
//!            16 bucket n (dedup) · 17 last message id · 18 offsets that are gone here and not yet in the log
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use duolog_log::{ShardSnapshot, Table, TableId};
use duolog_record::{BatchHeader, DecodeBudget, records};
use duolog_types::{Lsn, Nanos, Offset, PartitionId, Sequence};
use parking_lot::Mutex;
use roaring::RoaringTreemap;

use super::StorageType;
use super::core::{State, Stored, StreamCore, nanos};
use super::headers::{self, Asked, Ttl};
use super::index::Piece;
use super::mapping::{Root, Seen};
use super::message::record_bytes;
use super::publish::{Rollup, message_time};
use super::timers::Timers;
use crate::catalog::table::CatalogTable;
use crate::codec::{CodecError, Reader, Writer};
use crate::tables::STREAMS;

const VERSION: u8 = 1;

/// How much a stored batch may decompress to.
pub(crate) const DECODE: DecodeBudget =
    DecodeBudget { max_bytes: 64 << 20, floor_bytes: 16 << 20, ratio: 200 };

/// What a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Index(Piece),
    Bucket(u64),
    LastId,
    Evicted,
}

impl Part {
    fn put(self, writer: &mut Writer) {
        match self {
            Self::Index(piece) => piece.put(writer),
            Self::Bucket(number) => _ = writer.u8(16).varint(number),
            Self::LastId => _ = writer.u8(17),
            Self::Evicted => _ = writer.u8(18),
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match reader.peek() {
            Some(16) => {
                reader.u8("part")?;
                Ok(Self::Bucket(reader.varint("bucket number")?))
            }
            Some(17) => reader.u8("part").map(|_| Self::LastId),
            Some(18) => reader.u8("part").map(|_| Self::Evicted),
            _ => Piece::take(reader).map(Self::Index),
        }
    }

    fn encode(self, state: &State, partition: PartitionId) -> Bytes {
        let mut writer = Writer::new(VERSION);
        writer.varint(partition.0);
        self.put(&mut writer);
        match self {
            Self::Index(piece) => state.index.encode(piece, &mut writer),
            Self::Bucket(number) => state.dedup.encode(number, &mut writer),
            Self::LastId => _ = writer.bytes(&state.last_msg_id),
            Self::Evicted => state.put_evicted(&mut writer),
        }
        writer.finish()
    }
}

/// See the module.
pub(crate) struct StreamsTable {
    catalog: Arc<CatalogTable>,
    timers: Arc<Timers>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// What recovery rebuilds, until its streams are opened.
    recovered: BTreeMap<PartitionId, Arc<StreamCore>>,
    /// Streams that are open. Weak: they hold the log, which holds this table.
    streams: BTreeMap<PartitionId, Weak<StreamCore>>,
    shards: HashMap<(PartitionId, Part), u32>,
    next_shard: u32,
    free: Vec<u32>,
    /// Snapshots taken for the checkpoint that runs; empty ones are of shards that are no more.
    taken: HashMap<u32, Bytes>,
    /// What they are of, until the checkpoint is made.
    unconfirmed: BTreeSet<(PartitionId, Part)>,
    /// Pieces of streams that were deleted.
    orphans: Vec<(PartitionId, Part)>,
    /// Streams whose pieces are being restored.
    restoring: BTreeSet<PartitionId>,
    /// Why restoring failed.
    failed: Option<String>,
}

impl Inner {
    fn shard_of(&mut self, key: (PartitionId, Part)) -> u32 {
        if let Some(shard) = self.shards.get(&key) {
            return *shard;
        }
        let shard = self.free.pop().unwrap_or_else(|| {
            self.next_shard += 1;
            self.next_shard - 1
        });
        self.shards.insert(key, shard);
        shard
    }

    /// Ends restoring: everything that follows from the pieces is made.
    fn end_restoring(&mut self) {
        for id in std::mem::take(&mut self.restoring) {
            if let Some(core) = self.recovered.get(&id)
                && let Err(detail) = core.lock().index.restored()
            {
                self.failed.get_or_insert(format!("stream of partition {id}: {detail}"));
            }
        }
    }
}

impl StreamsTable {
    pub(crate) fn new(catalog: Arc<CatalogTable>, timers: Arc<Timers>) -> Self {
        Self { catalog, timers, inner: Mutex::default() }
    }

    /// The stream of a partition, as recovery left it; a new one, and one in memory, knows nothing. From here on the
    /// caller keeps it alive.
    pub(crate) fn open(&self, partition: PartitionId, storage: StorageType) -> Arc<StreamCore> {
        if storage == StorageType::Memory {
            // It may have been stored by a version that kept it on disk.
            self.forget(partition);
        }
        let core = self.recovering(partition);
        let mut inner = self.inner.lock();
        inner.recovered.remove(&partition);
        inner.streams.insert(partition, Arc::downgrade(&core));
        core
    }

    fn recovering(&self, partition: PartitionId) -> Arc<StreamCore> {
        let mut inner = self.inner.lock();
        let new = || Arc::new(StreamCore::new(partition, self.timers.clone()));
        inner.recovered.entry(partition).or_insert_with(new).clone()
    }

    /// What recovery left and nobody opened yet: partitions of topics that NATS clients published to.
    pub(crate) fn unopened(&self) -> Vec<PartitionId> {
        self.inner.lock().recovered.keys().copied().collect()
    }

    /// Lets go of a deleted stream.
    pub(crate) fn forget(&self, partition: PartitionId) {
        let mut inner = self.inner.lock();
        inner.recovered.remove(&partition);
        if let Some(core) = inner.streams.remove(&partition).and_then(|core| core.upgrade()) {
            let mut state = core.lock();
            (state.log, state.config, state.dirty) = (None, None, false);
        }
        let parts: Vec<_> = inner.shards.keys().filter(|(of, _)| *of == partition).copied().collect();
        inner.orphans.extend(parts);
    }

    /// Ends recovery. `Err` says what in the snapshots contradicts.
    pub(crate) fn recovered(&self, exists: impl Fn(PartitionId) -> bool) -> Result<(), String> {
        let gone: Vec<_> = {
            let mut inner = self.inner.lock();
            inner.end_restoring();
            if let Some(detail) = inner.failed.take() {
                return Err(detail);
            }
            inner.recovered.keys().filter(|id| !exists(**id)).copied().collect()
        };
        gone.into_iter().for_each(|id| self.forget(id));
        Ok(())
    }

    fn restore_shard(&self, shard: u32, bytes: &[u8]) -> Result<(), CodecError> {
        let (mut reader, _) = Reader::new(bytes, VERSION)?;
        let id = PartitionId(reader.varint("partition")?);
        let part = Part::take(&mut reader)?;
        let core = self.recovering(id);
        {
            let mut state = core.lock();
            match part {
                Part::Index(piece) => state.index.restore(piece, &mut reader)?,
                Part::Bucket(_) | Part::LastId if duolog_env::seeded_bug("dedup_forgotten") => return Ok(()),
                Part::Bucket(number) => state.dedup.restore(number, &mut reader)?,
                Part::LastId => state.last_msg_id = reader.bytes("last message id")?.to_vec(),
                Part::Evicted => state.take_evicted(&mut reader)?,
            }
        }
        reader.finish()?;
        let mut inner = self.inner.lock();
        inner.shards.insert((id, part), shard);
        inner.next_shard = inner.next_shard.max(shard.saturating_add(1));
        inner.restoring.insert(id);
        Ok(())
    }

    /// The stream that un-checkpointed data of a partition belongs to.
    fn replaying(&self, partition: PartitionId) -> Option<Arc<StreamCore>> {
        if !self.catalog.lock().is_stream(partition) {
            return None;
        }
        let core = self.recovering(partition);
        let mut inner = self.inner.lock();
        if !inner.restoring.is_empty() {
            inner.end_restoring();
        }
        Some(core)
    }
}

impl Table for StreamsTable {
    fn id(&self) -> TableId {
        STREAMS
    }

    fn restore(&self, shard: u32, snapshot: &[u8]) -> Result<(), String> {
        self.restore_shard(shard, snapshot).map_err(|error| error.to_string())
    }

    fn apply(&self, _shard: u32, _frame: &[u8], lsn: Lsn) -> Result<(), String> {
        Err(format!("entry {lsn} holds a frame for the streams' table, which has none"))
    }

    fn apply_batch(&self, partition: PartitionId, base_offset: Offset, arrival: Nanos, batch: &[u8]) {
        let Some(core) = self.replaying(partition) else { return };
        let mut state = core.lock();
        if let Err(error) = replay(&mut state, arrival, batch) {
            // The log checked it when it was appended and now again; it isn't ours to stop recovery.
            tracing::error!(%partition, %base_offset, error, "recovery met a batch whose records can't be read");
        }
    }

    fn apply_single_records(
        &self,
        partition: PartitionId,
        base_offset: Offset,
        arrival: Nanos,
        batch: &[u8],
    ) {
        if self.catalog.lock().is_stream(partition) {
            return self.apply_batch(partition, base_offset, arrival, batch);
        }
        // A topic's partition: what NATS clients published has ids perhaps.
        let ids = super::topic::ids_of(arrival, batch);
        if !ids.is_empty() && !duolog_env::seeded_bug("dedup_forgotten") {
            self.recovering(partition).lock().recover_ids(ids);
        }
    }

    fn apply_delete(&self, partition: PartitionId, offsets: &RoaringTreemap) {
        let Some(core) = self.replaying(partition) else { return };
        let mut state = core.lock();
        for offset in offsets {
            state.forget(offset + 1);
        }
    }

    fn changed_shards(&self) -> Vec<u32> {
        let mut inner = self.inner.lock();
        let streams: Vec<_> = inner.streams.values().filter_map(Weak::upgrade).collect();
        inner.taken.clear();
        // What a checkpoint that failed had taken is taken again.
        let again = std::mem::take(&mut inner.unconfirmed);
        let mut shards = Vec::new();
        for core in streams {
            let mut again: Vec<Part> = again
                .range((core.id, Part::Index(Piece::Head))..)
                .take_while(|(id, _)| *id == core.id)
                .map(|(_, part)| *part)
                .collect();
            let mut state = core.lock();
            if state.is_in_memory() {
                // Nothing of it is stored.
                (state.dirty, _) = (false, state.take_changed());
                continue;
            }
            if !state.dirty && again.is_empty() {
                continue;
            }
            // Refused when the log is closing: what isn't told stands in the snapshot, and is told after the restart.
            if let Err(error) = state.flush(true) {
                tracing::debug!(partition = %core.id, %error, "a stream's deletes wait for the next start");
            }
            state.dirty = false;
            let (changed, gone) = state.take_changed();
            again.retain(|part| !gone.contains(part));
            for part in changed.into_iter().chain(again).collect::<BTreeSet<_>>() {
                let shard = inner.shard_of((core.id, part));
                // Of a piece that went meanwhile nothing is left.
                let bytes = if state.has(part) { part.encode(&state, core.id) } else { Bytes::new() };
                inner.taken.insert(shard, bytes);
                inner.unconfirmed.insert((core.id, part));
                shards.push(shard);
            }
            drop(state);
            inner.orphans.extend(gone.into_iter().map(|part| (core.id, part)));
        }
        for key in inner.orphans.clone() {
            if let Some(shard) = inner.shards.get(&key).copied() {
                inner.taken.insert(shard, Bytes::new());
                shards.push(shard);
            }
        }
        shards
    }

    fn checkpointed(&self) {
        let mut inner = self.inner.lock();
        inner.unconfirmed.clear();
        inner.taken.clear();
        for key in std::mem::take(&mut inner.orphans) {
            if let Some(shard) = inner.shards.remove(&key) {
                inner.free.push(shard);
            }
        }
    }

    fn snapshot(&self, shard: u32) -> ShardSnapshot {
        let bytes = self.inner.lock().taken.get(&shard).cloned();
        // Entries are told apart by offsets: nothing is applied by LSN.
        ShardSnapshot { as_of: Lsn::ZERO, bytes: bytes.expect("the checkpoint asks for what was just named") }
    }
}

impl State {
    fn take_changed(&mut self) -> (Vec<Part>, Vec<Part>) {
        let (buckets, gone_buckets) = self.dedup.take_changed();
        if self.of_topic {
            let (buckets, gone) = (buckets.into_iter(), gone_buckets.into_iter());
            return (buckets.map(Part::Bucket).collect(), gone.map(Part::Bucket).collect());
        }
        let (changed, gone) = self.index.take_changed();
        let changed = changed.into_iter().map(Part::Index).chain(buckets.into_iter().map(Part::Bucket));
        let gone = gone.into_iter().map(Part::Index).chain(gone_buckets.into_iter().map(Part::Bucket));
        (changed.chain([Part::LastId, Part::Evicted]).collect(), gone.collect())
    }

    fn has(&self, part: Part) -> bool {
        if self.of_topic {
            return matches!(part, Part::Bucket(number) if self.dedup.has(number));
        }
        match part {
            Part::Index(piece) => self.index.has(piece),
            Part::Bucket(number) => self.dedup.has(number),
            Part::LastId | Part::Evicted => true,
        }
    }
}

/// Takes over the records of a batch that the index doesn't have.
fn replay(state: &mut State, arrival: Nanos, batch: &[u8]) -> Result<(), String> {
    let header = BatchHeader::parse(batch).map_err(|error| error.to_string())?;
    replay_at(state, arrival, &Bytes::copy_from_slice(batch), &Root::Empty, header.base_offset)
}

/// The same, of a batch that stands (or will stand) at `base_offset`, whatever it says itself.
pub(crate) fn replay_at(
    state: &mut State,
    arrival: Nanos,
    batch: &Bytes,
    root: &Root,
    base_offset: Offset,
) -> Result<(), String> {
    let header = BatchHeader::parse(batch).map_err(|error| error.to_string())?;
    let last = Sequence::from(base_offset.plus(i64::from(header.last_offset_delta))).0;
    if header.is_control() {
        state.index.skip_to(last);
        return Ok(());
    }
    for record in records(batch, DECODE).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        let sequence = Sequence::from(base_offset.plus(record.offset.0 - header.base_offset.0)).0;
        if sequence <= state.index.last() {
            continue;
        }
        let time = nanos(message_time(arrival, header.base_timestamp.0, record.timestamp.0));
        replay_record(state, &record, sequence, time, root);
    }
    state.index.skip_to(last);
    Ok(())
}

fn replay_record(state: &mut State, record: &duolog_record::Record, sequence: u64, time: u64, root: &Root) {
    // It was refused if it was none of ours; what is there all the same takes its sequence and shows nothing.
    let Some(seen) = Seen::of(record, root) else {
        state.put_nothing(sequence, time, &[]);
        return;
    };
    let asked = Asked::read(seen.headers.iter().map(|(name, value)| (&name[..], value.as_deref())));
    // What is replayed is on disk.
    let bytes = record_bytes(StorageType::File, seen.subject.len(), asked.block_bytes, seen.payload.len());
    let msg_id = asked.msg_id.unwrap_or_default();
    state.put(&Stored {
        sequence,
        subject: &seen.subject,
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        time,
        msg_id: if duolog_env::seeded_bug("dedup_forgotten") { &[] } else { msg_id },
        // A topic is no stream with rules of its own: what Kafka put there stays.
        ttl: match root {
            Root::Empty => asked.ttl.and_then(headers::parse_ttl).unwrap_or(Ttl::None),
            Root::Topic(_) => Ttl::None,
        },
        is_marker: asked.is_marker,
    });
    if *root == Root::Empty
        && let Some(rollup) = Rollup::read(asked.rollup)
    {
        state.roll_up(rollup, &seen.subject, sequence);
    }
}
