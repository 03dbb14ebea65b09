//! The producers' table: who sent what last, for every partition, as it is stored.
//!
//! No frame of its own: every batch in the WAL is one. Recovery hands in the batches that aren't checkpointed
//! yet; a snapshot says for each partition up to which offset it goes, so batches below are skipped.
//!
//! ```text
//! shard      partition id modulo 256
//! snapshot   version · partition count · partitions
//! partition  id · applied to · producer count · producers
//! producer   id · epoch · last used · batch count · batches, oldest first
//! batch      first sequence · last sequence · base offset · append time flag · max timestamp
//! ```
//!
//! When a batch arrived is not in the WAL's frame as this table sees it, so a producer met at recovery counts as
//! used now: it is remembered longer than it must, never shorter.

use std::collections::BTreeMap;
use std::sync::Arc;

use duolog_env::Clock;
use duolog_log::{ShardSnapshot, Table, TableId};
use duolog_record::BatchHeader;
use duolog_types::{Lsn, Offset, PartitionId, ProducerEpoch, ProducerId, TimestampMs};
use parking_lot::Mutex;

use super::producers::{Producer, Producers, SentBatch, WINDOW};
use crate::codec::{CodecError, Reader, Writer};
use crate::tables::PRODUCERS;

const VERSION: u8 = 1;
const SHARDS: u32 = 256;

/// What is owned by a partition's one lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) producers: Producers,
    /// The newest entry that moved the log start.
    pub(crate) last_trim: Lsn,
}

type Shard = BTreeMap<PartitionId, Arc<Mutex<State>>>;

/// The states of all partitions.
pub(crate) struct ProducersTable {
    shards: Vec<Mutex<Shard>>,
    clock: Arc<dyn Clock>,
}

impl ProducersTable {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), clock }
    }

    /// The state of a partition, which its handle shares.
    pub(crate) fn state(&self, partition: PartitionId) -> Arc<Mutex<State>> {
        self.shard(partition).lock().entry(partition).or_default().clone()
    }

    /// Lets go of a deleted partition.
    pub(crate) fn forget(&self, partition: PartitionId) {
        self.shard(partition).lock().remove(&partition);
    }

    /// Lets go of all partitions but those that `exists` knows: what recovery met and was deleted later.
    pub(crate) fn keep_only(&self, exists: impl Fn(PartitionId) -> bool) {
        for shard in &self.shards {
            shard.lock().retain(|partition, _| exists(*partition));
        }
    }

    fn shard(&self, partition: PartitionId) -> &Mutex<Shard> {
        &self.shards[shard_of(partition) as usize]
    }
}

fn shard_of(partition: PartitionId) -> u32 {
    (partition.0 % u64::from(SHARDS)) as u32
}

impl Table for ProducersTable {
    fn id(&self) -> TableId {
        PRODUCERS
    }

    fn restore(&self, shard: u32, snapshot: &[u8]) -> Result<(), String> {
        let states = decode(shard, snapshot).map_err(|error| error.to_string())?;
        *self.shards[shard as usize].lock() = states;
        Ok(())
    }

    fn apply(&self, _shard: u32, _frame: &[u8], lsn: Lsn) -> Result<(), String> {
        Err(format!("entry {lsn} holds a frame for the producers' table, which has none"))
    }

    fn apply_batch(&self, partition: PartitionId, base_offset: Offset, batch: &[u8]) {
        match BatchHeader::parse(batch) {
            Ok(header) => {
                let now = self.clock.wall().to_ms();
                self.state(partition).lock().producers.replay(&header, base_offset, now);
            }
            // The log checked it when it was appended and now again; it isn't ours to stop recovery.
            Err(error) => {
                tracing::error!(%partition, %base_offset, %error, "recovery met a batch without a header");
            }
        }
    }

    fn shard_of(&self, partition: PartitionId) -> Option<u32> {
        Some(shard_of(partition))
    }

    fn snapshot(&self, shard: u32) -> ShardSnapshot {
        // Collected first, so that no two locks are held at once.
        let states: Vec<_> =
            self.shards[shard as usize].lock().iter().map(|(id, state)| (*id, state.clone())).collect();
        let mut as_of = Lsn::ZERO;
        let mut body = Vec::new();
        for (partition, state) in states {
            let producers = state.lock().producers.clone();
            as_of = as_of.max(producers.as_of);
            if producers.len() > 0 {
                body.push((partition, producers));
            }
        }
        ShardSnapshot { as_of, bytes: encode(&body) }
    }
}

fn encode(partitions: &[(PartitionId, Producers)]) -> bytes::Bytes {
    let mut writer = Writer::new(VERSION);
    writer.varint(partitions.len() as u64);
    for (partition, producers) in partitions {
        writer.varint(partition.0).i64(producers.applied_to.0);
        let all = producers.sorted();
        writer.varint(all.len() as u64);
        for (id, producer) in all {
            writer.i64(id.0).i16(producer.epoch.0).i64(producer.last_used.0);
            writer.u8(producer.batches().len() as u8);
            for batch in producer.batches() {
                writer.i32(batch.first_sequence).i32(batch.last_sequence).i64(batch.base_offset.0);
                writer.u8(u8::from(batch.log_append_time.is_some())).i64(batch.max_timestamp.0);
            }
        }
    }
    writer.finish()
}

fn decode(shard: u32, snapshot: &[u8]) -> Result<Shard, CodecError> {
    let (mut reader, _) = Reader::new(snapshot, VERSION)?;
    if shard >= SHARDS {
        return Err(reader.invalid("shard"));
    }
    let mut states = Shard::new();
    for _ in 0..reader.varint("partition count")? {
        let partition = PartitionId(reader.varint("partition")?);
        if shard_of(partition) != shard {
            return Err(reader.invalid("partition"));
        }
        let mut producers = Producers::default();
        producers.applied_to = Offset(reader.i64("applied to")?);
        for _ in 0..reader.varint("producer count")? {
            let id = ProducerId(reader.i64("producer id")?);
            producers.insert(id, decode_producer(&mut reader)?);
        }
        let state = State { producers, last_trim: Lsn::ZERO };
        states.insert(partition, Arc::new(Mutex::new(state)));
    }
    reader.finish()?;
    Ok(states)
}

fn decode_producer(reader: &mut Reader<'_>) -> Result<Producer, CodecError> {
    let epoch = ProducerEpoch(reader.i16("producer epoch")?);
    let mut producer = Producer::new(epoch, TimestampMs(reader.i64("last used")?));
    let batches = reader.u8("batch count")?;
    if usize::from(batches) > WINDOW || batches == 0 {
        return Err(reader.invalid("batch count"));
    }
    for _ in 0..batches {
        let first_sequence = reader.i32("first sequence")?;
        let last_sequence = reader.i32("last sequence")?;
        let base_offset = Offset(reader.i64("base offset")?);
        let append_time = reader.u8("append time flag")? != 0;
        let max_timestamp = TimestampMs(reader.i64("max timestamp")?);
        producer.push(SentBatch {
            first_sequence,
            last_sequence,
            base_offset,
            log_append_time: append_time.then_some(max_timestamp),
            max_timestamp,
            lsn: Lsn::ZERO,
        });
    }
    Ok(producer)
}
