//! The table of group state in the log: 64 shards, each behind its own lock.
//!
//! ```text
//! shard      FNV-1a (64 bits) of the group's id, modulo 64
//! frame      one record, in the encoding of `duolog_groups` (it begins with a version of its own)
//! snapshot   version u8 = 1 · (length u32, record)*          little-endian
//! ```

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::{BufMut, BytesMut};
use duolog_env::Env;
use duolog_groups::{Config, Now, Record, TopicName};
use duolog_log::{ShardSnapshot, Table, TableId};
use duolog_types::{GroupId, Lsn, TopicId};
use parking_lot::{Mutex, MutexGuard};

use super::shard::Shard;
use crate::tables::GROUPS;

/// How many shards there are: part of the disk format.
pub(crate) const SHARDS: u32 = 64;

const VERSION: u8 = 1;

/// Every group.
pub(crate) struct GroupsTable {
    env: Env,
    shards: Vec<Mutex<Shard>>,
}

impl std::fmt::Debug for GroupsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GroupsTable({} shards)", self.shards.len())
    }
}

/// The shards' numbers.
pub(super) fn numbers() -> Range<u32> {
    0..SHARDS
}

/// Where a group belongs. Part of the disk format.
pub(super) fn shard_of(group: &GroupId) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in group.0.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash % u64::from(SHARDS)) as u32
}

/// What time it is, as the machine wants to know it.
pub(super) fn now(env: &Env) -> Now {
    Now { monotonic: env.clock.monotonic(), wall: env.clock.wall().to_ms() }
}

impl GroupsTable {
    pub(crate) fn new(env: Env, config: &Config) -> Self {
        let shards = numbers().map(|number| Mutex::new(Shard::new(number, config.clone()))).collect();
        Self { env, shards }
    }

    /// Locks a shard. `number` comes from [`numbers`], [`shard_of`] or [`GroupsTable::known`].
    pub(super) fn lock(&self, number: u32) -> MutexGuard<'_, Shard> {
        self.shards[number as usize].lock()
    }

    /// The topics for which something is committed.
    pub(super) fn topics(&self) -> BTreeSet<(TopicName, TopicId)> {
        let mut topics = BTreeSet::new();
        for number in numbers() {
            self.lock(number).read(|shard| {
                for listed in shard.list() {
                    let offsets = shard.offsets(&listed.group).into_iter().flat_map(|offsets| offsets.iter());
                    topics.extend(offsets.map(|(topic, _, offset)| (topic.clone(), offset.topic_id)));
                }
            });
        }
        topics
    }

    /// The record, if it may stand in this shard.
    fn decode(shard: u32, bytes: &[u8]) -> Result<Record, String> {
        if shard >= SHARDS {
            return Err(format!("there are {SHARDS} shards, and this is number {shard}"));
        }
        let record = Record::decode(bytes).map_err(|error| error.to_string())?;
        match shard_of(record.group()) {
            owner if owner == shard => Ok(record),
            owner => Err(format!("group {} belongs to shard {owner}", record.group())),
        }
    }
}

impl Table for GroupsTable {
    fn id(&self) -> TableId {
        GROUPS
    }

    fn restore(&self, shard: u32, snapshot: &[u8]) -> Result<(), String> {
        let now = now(&self.env);
        let (version, mut rest) = snapshot.split_first().ok_or("an empty snapshot")?;
        if *version > VERSION {
            return Err(format!("version {version} is newer than {VERSION}, the newest that is known here"));
        }
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk::<4>().ok_or("it ends inside a length")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (record, behind) = behind.split_at_checked(length).ok_or("it ends inside a record")?;
            let record = Self::decode(shard, record)?;
            self.lock(shard).restore(record, now);
            rest = behind;
        }
        Ok(())
    }

    fn apply(&self, shard: u32, frame: &[u8], lsn: Lsn) -> Result<(), String> {
        let record = Self::decode(shard, frame)?;
        self.lock(shard).apply(record, lsn, now(&self.env));
        Ok(())
    }

    fn snapshot(&self, shard: u32) -> ShardSnapshot {
        let (as_of, records) = self.lock(shard).snapshot();
        let mut bytes = BytesMut::new();
        bytes.put_u8(VERSION);
        for record in records {
            let record = record.encode();
            // A record is made of requests, whose lengths fit 31 bits.
            bytes.put_u32_le(record.len() as u32);
            bytes.put_slice(&record);
        }
        ShardSnapshot { as_of, bytes: bytes.freeze() }
    }
}
