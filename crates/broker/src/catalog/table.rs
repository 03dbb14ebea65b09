//! The catalog's table: what is stored of topics, its encoding and its shards.
//!
//! ```text
//! shard 0..64   topics, by the first byte of their id (random) modulo 64
//! shard 64      the cluster's id
//!
//! frame      version · kind · body      kind 1: topic made or changed, body = the whole topic
//!                                       kind 2: topic deleted, body = its id
//!                                       kind 3: cluster id, body = 16 bytes
//! snapshot   version · count · topics   (shard 64: version · 16 bytes)
//! topic      id · name · ranges of partition ids (first, count) · replication factor · created · overrides
//!            · since version 2: flag and configuration of the stream that it is (`streams::stored_config`)
//! ```
//!
//! Partition ids of one topic are reserved in runs, so ten thousand partitions take a few bytes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use duolog_log::{ShardSnapshot, Table, TableId};
use duolog_types::{Lsn, Nanos, PartitionId, TopicId};
use parking_lot::{Mutex, MutexGuard};

use super::topic::TopicRecord;
use crate::codec::{CodecError, Reader, Writer};
use crate::streams::stored_config;
pub(crate) use crate::tables::CATALOG as CATALOG_TABLE;
use crate::tables::CATALOG;

const VERSION: u8 = 2;
const TOPIC_SHARDS: u32 = 64;
pub(crate) const CLUSTER_SHARD: u32 = TOPIC_SHARDS;

const KIND_TOPIC: u8 = 1;
const KIND_DELETED: u8 = 2;
const KIND_CLUSTER: u8 = 3;

/// The most partitions that a stored topic may have: far above what is ever created, so that a damaged range
/// can't make recovery allocate without bound.
const STORED_PARTITIONS_MAX: usize = 1 << 24;

/// What is stored of all topics.
#[derive(Debug)]
pub(crate) struct CatalogTable {
    state: Mutex<State>,
}

/// The table's state. Whoever holds its lock is the catalog's only writer.
#[derive(Debug)]
pub(crate) struct State {
    shards: Vec<Shard>,
    pub(crate) cluster_id: Option<[u8; 16]>,
    /// Partitions of topics that are streams.
    streams: HashSet<PartitionId>,
}

#[derive(Debug, Default)]
struct Shard {
    topics: BTreeMap<TopicId, Arc<TopicRecord>>,
    /// The newest entry with a frame for this shard.
    as_of: Lsn,
}

/// The shard that holds a topic.
pub(crate) fn shard_of(id: TopicId) -> u32 {
    u32::from(id.0[0]) % TOPIC_SHARDS
}

impl Default for CatalogTable {
    fn default() -> Self {
        let shards = (0..=TOPIC_SHARDS).map(|_| Shard::default()).collect();
        Self { state: Mutex::new(State { shards, cluster_id: None, streams: HashSet::new() }) }
    }
}

impl CatalogTable {
    /// Becomes the only writer. Held over [`duolog_log::Log::submit`] and the change in memory, so that frames
    /// stand in the order of changes and a snapshot names exactly what it holds.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Takes over a topic that `lsn` made or changed.
    pub(crate) fn put(&mut self, record: Arc<TopicRecord>, lsn: Lsn) {
        self.note_stream(&record);
        let shard = self.shard_mut(shard_of(record.id));
        shard.topics.insert(record.id, record);
        shard.as_of = lsn;
    }

    /// Takes away a topic that `lsn` deleted.
    pub(crate) fn remove(&mut self, id: TopicId, lsn: Lsn) {
        let shard = self.shard_mut(shard_of(id));
        let gone = shard.topics.remove(&id);
        shard.as_of = lsn;
        for partition in gone.iter().flat_map(|record| &record.partitions) {
            self.streams.remove(partition);
        }
    }

    fn note_stream(&mut self, record: &TopicRecord) {
        if record.stream.is_some() {
            self.streams.extend(&record.partitions);
        }
    }

    /// Whether a partition is a stream made through NATS.
    pub(crate) fn is_stream(&self, partition: PartitionId) -> bool {
        self.streams.contains(&partition)
    }

    /// Takes over the cluster's id.
    pub(crate) fn set_cluster_id(&mut self, id: [u8; 16], lsn: Lsn) {
        self.cluster_id = Some(id);
        self.shard_mut(CLUSTER_SHARD).as_of = lsn;
    }

    /// All topics.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<TopicRecord>> {
        self.shards.iter().flat_map(|shard| shard.topics.values())
    }

    fn shard_mut(&mut self, shard: u32) -> &mut Shard {
        &mut self.shards[shard as usize]
    }
}

/// The frame of a topic that was made or changed.
pub(crate) fn topic_frame(record: &TopicRecord) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer.u8(KIND_TOPIC);
    put_topic(&mut writer, record);
    writer.finish()
}

/// The frame of a topic that was deleted.
pub(crate) fn deleted_frame(id: TopicId) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer.u8(KIND_DELETED).topic_id(id);
    writer.finish()
}

/// The frame of the cluster's id.
pub(crate) fn cluster_frame(id: [u8; 16]) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer.u8(KIND_CLUSTER).topic_id(TopicId(id));
    writer.finish()
}

impl Table for CatalogTable {
    fn id(&self) -> TableId {
        CATALOG
    }

    fn restore(&self, shard: u32, snapshot: &[u8]) -> Result<(), String> {
        self.lock().restore(shard, snapshot).map_err(|error| error.to_string())
    }

    fn apply(&self, shard: u32, frame: &[u8], lsn: Lsn) -> Result<(), String> {
        self.lock().apply(shard, frame, lsn).map_err(|error| error.to_string())
    }

    fn snapshot(&self, shard: u32) -> ShardSnapshot {
        self.lock().snapshot(shard)
    }
}

impl State {
    fn restore(&mut self, shard: u32, snapshot: &[u8]) -> Result<(), CodecError> {
        let (mut reader, version) = Reader::new(snapshot, VERSION)?;
        if shard == CLUSTER_SHARD {
            self.cluster_id = Some(reader.topic_id("cluster id")?.0);
            return reader.finish();
        }
        if shard > TOPIC_SHARDS {
            return Err(reader.invalid("shard"));
        }
        let mut topics = BTreeMap::new();
        for _ in 0..reader.varint("topic count")? {
            let topic = take_topic(&mut reader, version)?;
            if shard_of(topic.id) != shard {
                return Err(reader.invalid("topic id"));
            }
            self.note_stream(&topic);
            topics.insert(topic.id, Arc::new(topic));
        }
        reader.finish()?;
        self.shard_mut(shard).topics = topics;
        Ok(())
    }

    fn apply(&mut self, shard: u32, frame: &[u8], lsn: Lsn) -> Result<(), CodecError> {
        let (mut reader, version) = Reader::new(frame, VERSION)?;
        match reader.u8("kind")? {
            KIND_TOPIC if shard < TOPIC_SHARDS => {
                let topic = take_topic(&mut reader, version)?;
                if shard_of(topic.id) != shard {
                    return Err(reader.invalid("topic id"));
                }
                self.put(Arc::new(topic), lsn);
            }
            KIND_DELETED if shard < TOPIC_SHARDS => {
                let id = reader.topic_id("topic id")?;
                if shard_of(id) != shard {
                    return Err(reader.invalid("topic id"));
                }
                self.remove(id, lsn);
            }
            KIND_CLUSTER if shard == CLUSTER_SHARD => {
                let id = reader.topic_id("cluster id")?;
                self.set_cluster_id(id.0, lsn);
            }
            _ => return Err(reader.invalid("kind")),
        }
        reader.finish()
    }

    fn snapshot(&self, shard: u32) -> ShardSnapshot {
        let mut writer = Writer::new(VERSION);
        let state = &self.shards[shard as usize];
        if shard == CLUSTER_SHARD {
            writer.topic_id(TopicId(self.cluster_id.unwrap_or_default()));
        } else {
            writer.varint(state.topics.len() as u64);
            for topic in state.topics.values() {
                put_topic(&mut writer, topic);
            }
        }
        ShardSnapshot { as_of: state.as_of, bytes: writer.finish() }
    }
}

fn put_topic(writer: &mut Writer, topic: &TopicRecord) {
    writer.topic_id(topic.id).str(&topic.name);
    let runs = runs(&topic.partitions);
    writer.varint(runs.len() as u64);
    for (first, count) in runs {
        writer.varint(first).varint(count);
    }
    writer.i16(topic.replication_factor).i64(topic.created.0);
    writer.varint(topic.overrides.len() as u64);
    for (key, value) in &topic.overrides {
        writer.str(key).str(value);
    }
    writer.u8(u8::from(topic.stream.is_some()));
    if let Some(stream) = &topic.stream {
        stored_config::put(writer, stream);
    }
}

fn take_topic(reader: &mut Reader<'_>, version: u8) -> Result<TopicRecord, CodecError> {
    let id = reader.topic_id("topic id")?;
    let name = Arc::from(reader.str("topic name")?);
    let mut partitions = Vec::new();
    for _ in 0..reader.varint("partition runs")? {
        let first = reader.varint("first partition")?;
        let count = reader.varint("partition count")?;
        let end = first.checked_add(count).ok_or_else(|| reader.invalid("partition count"))?;
        if count > (STORED_PARTITIONS_MAX - partitions.len().min(STORED_PARTITIONS_MAX)) as u64 {
            return Err(reader.invalid("partition count"));
        }
        partitions.extend((first..end).map(PartitionId));
    }
    let replication_factor = reader.i16("replication factor")?;
    let created = Nanos(reader.i64("created")?);
    let mut overrides = Vec::new();
    for _ in 0..reader.varint("config count")? {
        let key = Arc::from(reader.str("config name")?);
        overrides.push((key, Arc::from(reader.str("config value")?)));
    }
    let stream = match version {
        1 => None,
        _ if reader.u8("stream flag")? == 0 => None,
        _ => Some(Arc::new(stored_config::take(reader)?)),
    };
    if stream.is_some() && partitions.len() != 1 {
        return Err(reader.invalid("partition count"));
    }
    Ok(TopicRecord { id, name, partitions, replication_factor, created, overrides, stream })
}

/// Runs of consecutive ids: first and count.
fn runs(partitions: &[PartitionId]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for partition in partitions {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == partition.0 => *count += 1,
            _ => runs.push((partition.0, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic() -> impl Strategy<Value = TopicRecord> {
        let partitions = prop::collection::vec((0..1u64 << 40, 1..5u64), 1..4);
        let overrides = prop::collection::vec(("[a-z.]{1,20}", ".{0,20}"), 0..4);
        (any::<[u8; 16]>(), "[a-z]{1,9}", partitions, 1..4i16, any::<i64>(), overrides).prop_map(
            |(id, name, partitions, replication_factor, created, overrides)| TopicRecord {
                id: TopicId(id),
                name: Arc::from(name),
                partitions: partitions
                    .into_iter()
                    .flat_map(|(first, count)| (first..first + count).map(PartitionId))
                    .collect(),
                replication_factor,
                created: Nanos(created),
                overrides: overrides
                    .into_iter()
                    .map(|(key, value)| (Arc::from(key), Arc::from(value)))
                    .collect(),
                stream: None,
            },
        )
    }

    proptest! {
        #[test]
        fn frames_and_snapshots_rebuild_the_same_topics(topics in prop::collection::vec(topic(), 1..8)) {
            let live = CatalogTable::default();
            let replayed = CatalogTable::default();
            for (index, topic) in topics.iter().enumerate() {
                let lsn = Lsn(index as u64 + 1);
                live.lock().put(Arc::new(topic.clone()), lsn);
                replayed.apply(shard_of(topic.id), &topic_frame(topic), lsn).unwrap();
            }
            let gone = topics[0].id;
            live.lock().remove(gone, Lsn(99));
            replayed.apply(shard_of(gone), &deleted_frame(gone), Lsn(99)).unwrap();

            let restored = CatalogTable::default();
            for shard in 0..TOPIC_SHARDS {
                let snapshot = live.snapshot(shard);
                prop_assert_eq!(snapshot.as_of, replayed.snapshot(shard).as_of);
                restored.restore(shard, &snapshot.bytes).unwrap();
            }
            let all = |table: &CatalogTable| table.lock().topics().cloned().collect::<Vec<_>>();
            prop_assert_eq!(all(&live), all(&replayed));
            prop_assert_eq!(all(&live), all(&restored));
        }

        #[test]
        fn damaged_bytes_are_an_error_and_never_a_panic(
            topic in topic(), cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(),
        ) {
            let frame = topic_frame(&topic);
            let shard = shard_of(topic.id);
            let cut = cut.index(frame.len());
            prop_assert!(CatalogTable::default().apply(shard, &frame[..cut], Lsn(1)).is_err());
            let mut flipped = frame.to_vec();
            flipped[flip.index(frame.len())] ^= 0x40;
            let _ = CatalogTable::default().apply(shard, &flipped, Lsn(1));
        }
    }

    #[test]
    fn cluster_id_survives_frame_and_snapshot() {
        let table = CatalogTable::default();
        table.apply(CLUSTER_SHARD, &cluster_frame([7; 16]), Lsn(3)).unwrap();
        let snapshot = table.snapshot(CLUSTER_SHARD);
        assert_eq!(snapshot.as_of, Lsn(3));
        let restored = CatalogTable::default();
        restored.restore(CLUSTER_SHARD, &snapshot.bytes).unwrap();
        assert_eq!(restored.lock().cluster_id, Some([7; 16]));
    }

    #[test]
    fn a_huge_range_is_refused_before_it_is_allocated() {
        let mut writer = Writer::new(VERSION);
        writer.u8(KIND_TOPIC).topic_id(TopicId([0; 16])).str("t").varint(1).varint(0).varint(1 << 40);
        let error = CatalogTable::default().apply(0, &writer.finish(), Lsn(1)).unwrap_err();
        assert!(error.contains("partition count"), "{error}");
    }
}
