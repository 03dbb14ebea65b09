//! What the log's tests share: batches, a table, reading everything back.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses its part, and may fail")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use duolog_env::Env;
use duolog_log::{
    AppendError, ColdRead, Durability, Entry, Log, LogConfig, NewBatch, OpenError, Partition, Read,
    ReadError, ReadSpec, ShardSnapshot, Table, TableId,
};
use duolog_record::{BatchBuilder, DecodeBudget, records, split};
use duolog_types::{Lsn, Nanos, Offset, PartitionId, TimestampMs};
use parking_lot::Mutex;

/// A small log that its test drives.
pub fn config(dir: impl AsRef<Path>) -> LogConfig {
    LogConfig {
        wal_file_bytes: 64 << 10,
        checkpoint_bytes: 128 << 10,
        tail_bytes: 16 << 10,
        block_cache_bytes: 1 << 20,
        max_open_files: 4,
        background_bytes_per_second: 0,
        segment_bytes: 16 << 10,
        durability: Durability::Sync,
        threads: false,
        ..LogConfig::new(dir.as_ref())
    }
}

/// A batch of one record a value; timestamps are those given.
pub fn batch_at(values: &[(&str, i64)]) -> NewBatch {
    let mut builder = BatchBuilder::new(Offset(0));
    for (value, timestamp) in values {
        let value = Bytes::copy_from_slice(value.as_bytes());
        builder.push(TimestampMs(*timestamp), None, Some(&value)).expect("fits");
    }
    NewBatch {
        bytes: builder.build().expect("fits"),
        offset_count: values.len() as u32,
        max_timestamp: TimestampMs(values.iter().map(|(_, timestamp)| *timestamp).max().unwrap_or(-1)),
        arrival: Nanos(7),
    }
}

pub fn batch(values: &[&str]) -> NewBatch {
    batch_at(&values.iter().map(|value| (*value, 1000)).collect::<Vec<_>>())
}

/// Commits everything that waits.
pub fn settle(log: &Log) {
    while log.commit().expect("not poisoned") {}
}

pub fn create(log: &Log) -> Partition {
    let id = log.allocate_partitions(1);
    log.submit(Entry::new().create_partition(id)).expect("open");
    log.partition(id).expect("just created")
}

/// A partition of thirty batches of 2 KB, all of them in segments.
pub fn create_with_segments(log: &Log) -> Partition {
    let partition = create(log);
    for _ in 0..30 {
        partition.append(batch(&["x".repeat(2000).as_str()])).expect("open");
        settle(log);
    }
    log.checkpoint().expect("not poisoned");
    partition
}

/// Reads one chunk, from wherever it stands.
pub fn read(partition: &Partition, spec: ReadSpec) -> Result<duolog_log::Chunk, ReadError> {
    match partition.read(spec)? {
        Read::Ready(chunk) => Ok(chunk),
        Read::NeedsDisk(cold) => ColdRead::run(cold),
    }
}

pub fn spec(from: Offset) -> ReadSpec {
    ReadSpec { from, up_to: Offset(i64::MAX), max_bytes: 1 << 20, at_least_one: true }
}

/// Every readable record: offset and value.
pub fn read_all(partition: &Partition) -> Result<Vec<(i64, String)>, ReadError> {
    let mut found = BTreeMap::new();
    read_from(partition, partition.start(), &mut found).map_err(|(_, error)| error)?;
    Ok(found.into_iter().collect())
}

/// The readable records from `from` on, up to the first error, which comes with the offset of the read.
pub fn read_from(
    partition: &Partition,
    mut from: Offset,
    found: &mut BTreeMap<i64, String>,
) -> Result<(), (Offset, ReadError)> {
    while from < partition.high_watermark() {
        let chunk =
            read(partition, ReadSpec { max_bytes: 600, ..spec(from) }).map_err(|error| (from, error))?;
        assert!(chunk.next_offset > from, "a read at {from} of {partition:?} goes nowhere");
        for run in &chunk.runs {
            for batch in split(run) {
                let (_, batch) = batch.expect("whole batches");
                duolog_record::verify_crc(&batch).expect("undamaged");
                for record in records(&batch, DecodeBudget::default()).expect("decodes") {
                    let record = record.expect("decodes");
                    if record.offset >= from {
                        let value = String::from_utf8_lossy(&record.value.unwrap()).into_owned();
                        let before = found.insert(record.offset.0, value);
                        assert_eq!(before, None, "offset {} is read twice", record.offset);
                    }
                }
            }
        }
        from = chunk.next_offset;
    }
    Ok(())
}

/// A table of one counter a key: `key=value` frames, four shards.
#[derive(Debug)]
pub struct KeyTable {
    pub state: Mutex<[(Lsn, BTreeMap<String, String>); 4]>,
}

pub const KEYS: TableId = TableId(9);

impl KeyTable {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default() })
    }

    pub fn set(&self, log: &Log, key: &str, value: &str) -> Lsn {
        self.try_set(log, key, value).expect("open")
    }

    pub fn try_set(&self, log: &Log, key: &str, value: &str) -> Result<Lsn, AppendError> {
        self.try_set_with(log, key, value, |entry| entry)
    }

    /// Sets a key in an entry that holds more.
    pub fn try_set_with(
        &self,
        log: &Log,
        key: &str,
        value: &str,
        more: impl FnOnce(Entry) -> Entry,
    ) -> Result<Lsn, AppendError> {
        let shard = key.len() as u32 % 4;
        let mut state = self.state.lock();
        let lsn = log.submit(more(Entry::new().state(KEYS, shard, format!("{key}={value}"))))?;
        let shard = &mut state[shard as usize];
        shard.0 = lsn;
        shard.1.insert(key.into(), value.into());
        Ok(lsn)
    }

    pub fn all(&self) -> BTreeMap<String, String> {
        self.state.lock().iter().flat_map(|(_, keys)| keys.clone()).collect()
    }
}

impl Table for KeyTable {
    fn id(&self) -> TableId {
        KEYS
    }

    fn restore(&self, shard: u32, snapshot: &[u8]) -> Result<(), String> {
        for line in String::from_utf8_lossy(snapshot).lines() {
            self.apply(shard, line.as_bytes(), Lsn(0))?;
        }
        Ok(())
    }

    fn apply(&self, shard: u32, frame: &[u8], lsn: Lsn) -> Result<(), String> {
        let text = String::from_utf8_lossy(frame);
        let (key, value) = text.split_once('=').ok_or("no =")?;
        let mut state = self.state.lock();
        let shard = &mut state[shard as usize];
        assert!(lsn == Lsn(0) || lsn > shard.0, "frames come in order and none twice");
        shard.0 = shard.0.max(lsn);
        shard.1.insert(key.into(), value.into());
        Ok(())
    }

    fn snapshot(&self, shard: u32) -> ShardSnapshot {
        let state = self.state.lock();
        let (as_of, keys) = &state[shard as usize];
        let text: String = keys.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        ShardSnapshot { as_of: *as_of, bytes: Bytes::from(text) }
    }
}

pub fn open(env: &Env, config: LogConfig) -> Result<(Log, Arc<KeyTable>), OpenError> {
    let table = KeyTable::new();
    let log = Log::open(env, config, vec![table.clone()])?;
    Ok((log, table))
}

pub fn partition(log: &Log, id: PartitionId) -> Partition {
    log.partition(id).expect("the partition exists")
}
