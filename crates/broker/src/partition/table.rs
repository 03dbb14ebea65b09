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

type Shard = BTreeMap<PartitionId, Arc<Mutex<Producers>>>;

/// The states of all partitions.
pub(crate) struct ProducersTable {
    shards: Vec<Mutex<Shard>>,
    clock: Arc<dyn Clock>,
}

impl ProducersTable {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), clock }
    }

    /// The producers of a partition, which its handle shares.
    pub(crate) fn of(&self, partition: PartitionId) -> Arc<Mutex<Producers>> {
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
        if duolog_env::seeded_bug("producers_forgotten") {
            return Ok(());
        }
        *self.shards[shard as usize].lock() = states;
        Ok(())
    }

    fn apply(&self, _shard: u32, _frame: &[u8], lsn: Lsn) -> Result<(), String> {
        Err(format!("entry {lsn} holds a frame for the producers' table, which has none"))
    }

    fn apply_batch(&self, partition: PartitionId, base_offset: Offset, batch: &[u8]) {
        if duolog_env::seeded_bug("producers_forgotten") {
            return;
        }
        match BatchHeader::parse(batch) {
            Ok(header) => {
                let now = self.clock.wall().to_ms();
                self.of(partition).lock().replay(&header, base_offset, now);
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
            let producers = state.lock().clone();
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
        states.insert(partition, Arc::new(Mutex::new(producers)));
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

#[cfg(test)]
mod tests {
    use duolog_record::BatchBuilder;
    use duolog_types::Nanos;

    use super::*;

    /// A clock that stands still.
    struct At(i64);

    impl Clock for At {
        fn wall(&self) -> Nanos {
            Nanos(self.0 * 1_000_000)
        }

        fn monotonic(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }

        fn sleep(&self, _span: std::time::Duration) -> duolog_env::Sleep {
            Box::pin(std::future::pending())
        }
    }

    fn table() -> ProducersTable {
        ProducersTable::new(Arc::new(At(77)))
    }

    fn batch(id: i64, sequence: i32) -> bytes::Bytes {
        let mut builder =
            BatchBuilder::new(Offset::ZERO).producer(ProducerId(id), ProducerEpoch(0), sequence);
        builder.push(TimestampMs(5), None, None).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn snapshot_and_replay_rebuild_the_producers() {
        let (near, far) = (PartitionId(3), PartitionId(3 + 256));
        let live = table();
        for offset in 0..8 {
            let header = BatchHeader::parse(&batch(9, offset as i32)).unwrap();
            live.of(near).lock().record(&header, Offset(offset), Lsn(10), TimestampMs(77));
        }
        let header = BatchHeader::parse(&batch(4, 0)).unwrap();
        live.of(far).lock().record(&header, Offset(100), Lsn(12), TimestampMs(77));

        let snapshot = live.snapshot(3);
        assert_eq!(snapshot.as_of, Lsn(12), "the newest entry of any partition of the shard");
        let restored = table();
        restored.restore(3, &snapshot.bytes).unwrap();
        // What lies in the WAL is handed in again, also what the snapshot has, and then what it hasn't.
        for offset in 5..9 {
            restored.apply_batch(near, Offset(offset), &batch(9, offset as i32));
        }
        let producers = restored.of(near);
        let producers = producers.lock();
        assert_eq!(producers.applied_to, Offset(9));
        let (_, producer) = producers.sorted()[0];
        let sequences: Vec<_> = producer.batches().iter().map(|batch| batch.first_sequence).collect();
        assert_eq!(sequences, [4, 5, 6, 7, 8]);
        assert!(producer.batches().iter().all(|batch| batch.lsn == Lsn::ZERO), "all durable after a restart");
        assert_eq!(restored.of(far).lock().applied_to, Offset(101));
    }

    #[test]
    fn deleted_partitions_are_let_go() {
        let table = table();
        for partition in [1, 2, 257] {
            table.apply_batch(PartitionId(partition), Offset(0), &batch(1, 0));
        }
        table.keep_only(|partition| partition != PartitionId(2));
        table.forget(PartitionId(257));
        assert_eq!(table.of(PartitionId(2)).lock().len(), 0);
        assert_eq!(table.of(PartitionId(257)).lock().len(), 0);
        assert_eq!(table.of(PartitionId(1)).lock().len(), 1);
    }

    #[test]
    fn damaged_snapshots_are_refused() {
        let live = table();
        live.apply_batch(PartitionId(3), Offset(0), &batch(9, 0));
        let bytes = live.snapshot(3).bytes;
        for cut in 0..bytes.len() {
            assert!(table().restore(3, &bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(table().restore(4, &bytes).unwrap_err().contains("partition"), "another shard's");
        assert!(table().apply(3, &[1], Lsn(1)).is_err(), "the table has no frames");
    }
}
