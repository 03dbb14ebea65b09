//! Any bytes over a write-ahead log: recovery reads it back or says why not, and never panics.
//!
//! The input is a list of patches to a valid log's file. Left as they are, they are damage: what recovery still gives
//! must be a beginning of what was written. With the first byte odd, every checksum and chain value is made right
//! again behind the patches, so that recovery gets to what a frame says; then only a panic is a mistake.
#![no_main]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use duolog_env::OpenMode;
use duolog_log::{Entry, Log, LogConfig, NewBatch, NewRecord, Read, ReadSpec, ShardSnapshot, Table, TableId};
use duolog_record::BatchBuilder;
use duolog_testkit::{Image, SimDisk, SimEnv};
use duolog_types::{Lsn, Nanos, Offset, PartitionId, TimestampMs};
use libfuzzer_sys::fuzz_target;

const STATE: TableId = TableId(9);
const WAL_FILE_BYTES: u64 = 64 << 10;
const FILE_HEADER: usize = 56;
const SECTOR: usize = 4096;
const GROUP_HEADER: usize = 64;

/// Takes whatever it is given.
struct Anything;

impl Table for Anything {
    fn id(&self) -> TableId {
        STATE
    }
    fn restore(&self, _: u32, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn apply(&self, _: u32, _: &[u8], _: Lsn) -> Result<(), String> {
        Ok(())
    }
    fn snapshot(&self, _: u32) -> ShardSnapshot {
        ShardSnapshot { as_of: Lsn::ZERO, bytes: bytes::Bytes::new() }
    }
}

/// A valid log, with something of every kind in it.
struct Valid {
    image: Image,
    file: std::path::PathBuf,
    bytes: Vec<u8>,
    groups: Vec<usize>,
    partition: PartitionId,
    stored: Vec<u8>,
}

fn config() -> LogConfig {
    LogConfig { threads: false, wal_file_bytes: WAL_FILE_BYTES, ..LogConfig::new("/data") }
}

fn open(disk: SimDisk) -> Result<Log, duolog_log::OpenError> {
    Log::open(&SimEnv::with_disk(disk, 3).env(), config(), vec![Arc::new(Anything)])
}

fn stored(log: &Log, partition: PartitionId) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(partition) = log.partition(partition) else { return bytes };
    let mut from = partition.start();
    // A forged end may be any number, and a gap up to it is served as empty batches for as long as one asks.
    while from < partition.high_watermark() && bytes.len() < WAL_FILE_BYTES as usize {
        let spec = ReadSpec { from, up_to: Offset(i64::MAX), max_bytes: 1 << 20, at_least_one: true };
        let chunk = match partition.read(spec) {
            Ok(Read::Ready(chunk)) => chunk,
            Ok(Read::NeedsDisk(cold)) => match cold.run() {
                Ok(chunk) => chunk,
                Err(_) => break,
            },
            Err(_) => break,
        };
        chunk.runs.iter().for_each(|run| bytes.extend_from_slice(run));
        if chunk.next_offset <= from {
            break;
        }
        from = chunk.next_offset;
    }
    bytes
}

fn valid() -> &'static Valid {
    static VALID: OnceLock<Valid> = OnceLock::new();
    VALID.get_or_init(|| {
        let disk = SimDisk::new();
        let log = open(disk.clone()).expect("an empty disk");
        let first = log.allocate_partitions(2);
        let second = PartitionId(first.0 + 1);
        let commit = || while log.commit().expect("the disk is well") {};
        log.submit(Entry::new().create_partition(first).create_partition(second)).expect("open");
        commit();
        let (kept, other) = (log.partition(first).expect("made"), log.partition(second).expect("made"));
        for number in 0..3 {
            for partition in [&kept, &other] {
                let mut builder = BatchBuilder::new(Offset(0));
                let value = bytes::Bytes::from(format!("value {number}"));
                builder.push(TimestampMs(number), None, Some(&value)).expect("fits");
                let bytes = builder.build().expect("fits");
                let batch = NewBatch {
                    bytes,
                    offset_count: 1,
                    max_timestamp: TimestampMs(number),
                    arrival: Nanos(7),
                };
                partition.append(batch).expect("open");
            }
            log.submit(Entry::new().state(STATE, 0, &b"change"[..])).expect("open");
            commit();
        }
        let record = NewRecord { key: Some(b"k"), value: Some(b"v"), headers: &[], arrival: Nanos(8) };
        other.append_record(record).expect("open");
        other.skip_to(Offset(20)).expect("open");
        commit();
        other.trim(Offset(1)).expect("open");
        other.delete(&[2].into_iter().collect()).expect("open");
        commit();
        log.submit(Entry::new().drop_partition(second)).expect("open");
        commit();
        let stored = stored(&log, first);
        let image = disk.killed();
        let env = SimEnv::with_disk(SimDisk::from_image(image.clone()), 3).env();
        let wal = Path::new("/data/wal");
        let (file, bytes) = env
            .disk
            .list(wal)
            .expect("there")
            .into_iter()
            .map(|name| {
                let path = wal.join(name);
                let file = env.disk.open(&path, OpenMode::Read).expect("there");
                let mut bytes = vec![0; WAL_FILE_BYTES as usize];
                file.read_at(&mut bytes, 0).expect("well");
                (path, bytes)
            })
            .find(|(_, bytes)| bytes[SECTOR..SECTOR + 4] == *b"DLgr")
            .expect("one is in use");
        let mut groups = Vec::new();
        let mut at = SECTOR;
        while bytes[at..at + 4] == *b"DLgr" {
            groups.push(at);
            at += (GROUP_HEADER + field(&bytes, at + 36) as usize).next_multiple_of(SECTOR);
        }
        assert!(groups.len() >= 6 && !stored.is_empty(), "{} groups", groups.len());
        Valid { image, file, bytes, groups, partition: first, stored }
    })
}

fn field(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Makes checksums and chain right again.
fn seal(bytes: &mut [u8], groups: &[usize]) {
    let header = crc(&bytes[..FILE_HEADER - 4]);
    bytes[FILE_HEADER - 4..FILE_HEADER].copy_from_slice(&header.to_le_bytes());
    let mut chain = crc(&bytes[..FILE_HEADER]);
    for &at in groups {
        let end = (at + GROUP_HEADER + field(bytes, at + 36) as usize).min(bytes.len());
        bytes[at + 40..at + 44].copy_from_slice(&chain.to_le_bytes());
        let payload = crc(&bytes[at + GROUP_HEADER..end]);
        bytes[at + 44..at + 48].copy_from_slice(&payload.to_le_bytes());
        chain = crc(&bytes[at..at + GROUP_HEADER - 4]);
        bytes[at + GROUP_HEADER - 4..at + GROUP_HEADER].copy_from_slice(&chain.to_le_bytes());
    }
}

fuzz_target!(|input: &[u8]| {
    let valid = valid();
    let [mode, patches @ ..] = input else { return };
    let mut patches = patches;
    let mut bytes = valid.bytes.clone();
    // A patch: which group (the last number: the file's header), where in it, how long, then the bytes.
    while let [group, low, high, length, rest @ ..] = patches {
        let base = match usize::from(*group) % (valid.groups.len() + 1) {
            index if index < valid.groups.len() => valid.groups[index],
            _ => 0,
        };
        let at = base + usize::from(u16::from_le_bytes([*low, *high])) % SECTOR;
        let (patch, behind) = rest.split_at(usize::from(*length).min(rest.len()));
        let end = (at + patch.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&patch[..end - at]);
        patches = behind;
    }
    let sealed = mode & 1 == 1;
    if sealed {
        seal(&mut bytes, &valid.groups);
    }
    let disk = SimDisk::from_image(valid.image.clone());
    let env = SimEnv::with_disk(disk.clone(), 3).env();
    let file = env.disk.open(&valid.file, OpenMode::ReadWrite).expect("there");
    file.write_durable(&bytes, 0).expect("the disk is well");
    drop(file);
    if let Ok(log) = open(disk) {
        let found = stored(&log, valid.partition);
        assert!(sealed || valid.stored.starts_with(&found), "recovery gave what was never written");
    }
});
