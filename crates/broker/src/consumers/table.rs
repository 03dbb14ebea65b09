//! The table of consumers in the log: 64 shards, each consumer behind its own lock.
//!
//! ```text
//! shard      the consumer's number, modulo 64
//! frame      see `frame`
//! snapshot   version u8 = 1 · (as of u64, length u32, Created frame)*          little-endian
//! ```
//!
//! A shard's snapshot names the newest entry that all its consumers include; each consumer names its own beside it,
//! so that what came between is not applied twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use duolog_delivery::Consumer as Machine;
use duolog_env::Env;
use duolog_log::{ShardSnapshot, Table, TableId};
use duolog_types::Lsn;
use parking_lot::Mutex;

use super::Consumer;
use super::config::ConsumerConfig;
use super::frame::{Created, Frame};
use crate::tables::CONSUMERS;

/// How many shards there are: part of the disk format.
pub(super) const SHARDS: u32 = 64;

const VERSION: u8 = 1;

/// The largest message that there can be, for a rate limit's burst. The door refuses larger ones by default.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Where a consumer belongs. Part of the disk format.
pub(super) fn shard_of(number: u64) -> u32 {
    (number % u64::from(SHARDS)) as u32
}

#[derive(Default)]
struct Shard {
    consumers: Mutex<BTreeMap<u64, Arc<Consumer>>>,
    /// The newest entry with a frame of this shard. Raised under the lock of the consumer that queued it.
    newest: AtomicU64,
}

/// Every durable consumer.
pub(crate) struct ConsumersTable {
    env: Env,
    shards: Vec<Shard>,
    next_number: AtomicU64,
}

impl std::fmt::Debug for ConsumersTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConsumersTable({} shards)", self.shards.len())
    }
}

impl ConsumersTable {
    pub(crate) fn new(env: Env) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { env, shards, next_number: AtomicU64::new(1) }
    }

    /// A number that no consumer has.
    pub(super) fn allocate(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// An entry with a frame of the consumer was queued. Call it under the consumer's lock.
    pub(super) fn queued(&self, number: u64, lsn: Lsn) {
        self.shard(number).newest.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// All consumers that came back.
    pub(super) fn all(&self) -> Vec<Arc<Consumer>> {
        let shards = self.shards.iter();
        shards.flat_map(|shard| shard.consumers.lock().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// Adds a consumer in one step with the entry that makes it durable.
    pub(super) fn insert<E>(
        &self,
        number: u64,
        queue: impl FnOnce() -> Result<(Arc<Consumer>, Lsn), E>,
    ) -> Result<(Arc<Consumer>, Lsn), E> {
        let mut consumers = self.shard(number).consumers.lock();
        let (consumer, lsn) = queue()?;
        self.queued(number, lsn);
        consumers.insert(number, consumer.clone());
        Ok((consumer, lsn))
    }

    /// Takes a consumer away in one step with the entry that deletes it: a snapshot that names a later entry must not
    /// hold it any more. The consumer's lock is not held.
    pub(super) fn remove<E>(&self, number: u64, queue: impl FnOnce() -> Result<Lsn, E>) -> Result<Lsn, E> {
        let mut consumers = self.shard(number).consumers.lock();
        let lsn = queue()?;
        self.queued(number, lsn);
        consumers.remove(&number);
        Ok(lsn)
    }

    /// What the delivery machine is told.
    pub(super) fn machine_config(&self, config: &ConsumerConfig) -> duolog_delivery::Config {
        let mut random = [0; 2];
        self.env.rng.fill(&mut random);
        // Between 100 ms and 1 s, so that many consumers whose clients left together don't go at once.
        let jitter = Duration::from_millis(100 + u64::from(u16::from_le_bytes(random)) % 900);
        config.machine(jitter, MESSAGE_BYTES_MAX)
    }

    fn shard(&self, number: u64) -> &Shard {
        &self.shards[shard_of(number) as usize]
    }

    fn take(&self, shard: u32, frame: Frame, lsn: Lsn) -> Result<(), String> {
        let number = match &frame {
            Frame::Created(whole) => whole.number,
            Frame::Configured(number, _) | Frame::Delivery(number, _) | Frame::Deleted(number) => *number,
        };
        if shard_of(number) != shard {
            return Err(format!("consumer {number} belongs to shard {}, not {shard}", shard_of(number)));
        }
        self.next_number.fetch_max(number.saturating_add(1), Ordering::Relaxed);
        self.queued(number, lsn);
        let mut consumers = self.shard(number).consumers.lock();
        // A consumer that isn't there was deleted before the snapshot was made, after this frame.
        let known = consumers.get(&number).cloned();
        if known.as_ref().is_some_and(|known| lsn <= known.lock().queued) {
            return Ok(());
        }
        match frame {
            Frame::Created(whole) => {
                consumers.insert(number, Arc::new(self.restored(&whole, lsn)));
            }
            Frame::Configured(_, config) => {
                if let Some(known) = known {
                    let whole = Created { config: *config, ..known.lock().whole(&known) };
                    consumers.insert(number, Arc::new(self.restored(&whole, lsn)));
                }
            }
            Frame::Delivery(_, record) => {
                if let Some(known) = known {
                    let mut hosted = known.lock();
                    hosted.machine.restore(&record);
                    hosted.queued = lsn;
                }
            }
            Frame::Deleted(_) => {
                consumers.remove(&number);
            }
        }
        Ok(())
    }

    fn restored(&self, whole: &Created, lsn: Lsn) -> Consumer {
        let mut machine = Machine::to_restore(self.machine_config(&whole.config));
        machine.restore(&whole.record);
        Consumer::new(whole, machine, lsn)
    }
}

impl Table for ConsumersTable {
    fn id(&self) -> TableId {
        CONSUMERS
    }

    fn restore(&self, shard: u32, snapshot: &[u8]) -> Result<(), String> {
        let (version, mut rest) = snapshot.split_first().ok_or("an empty snapshot")?;
        if *version > VERSION {
            return Err(format!("version {version} is newer than {VERSION}, the newest that is known here"));
        }
        while !rest.is_empty() {
            let (as_of, behind) = rest.split_first_chunk::<8>().ok_or("it ends inside an entry's number")?;
            let (length, behind) = behind.split_first_chunk::<4>().ok_or("it ends inside a length")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (frame, behind) = behind.split_at_checked(length).ok_or("it ends inside a consumer")?;
            self.take(shard, Frame::decode(frame)?, Lsn(u64::from_le_bytes(*as_of)))?;
            rest = behind;
        }
        Ok(())
    }

    fn apply(&self, shard: u32, frame: &[u8], lsn: Lsn) -> Result<(), String> {
        self.take(shard, Frame::decode(frame)?, lsn)
    }

    fn snapshot(&self, shard: u32) -> ShardSnapshot {
        let of = &self.shards[shard as usize];
        // Read before any consumer is: whoever queued an entry up to here still holds its lock or has let go of it.
        let as_of = Lsn(of.newest.load(Ordering::Acquire));
        let consumers: Vec<Arc<Consumer>> = of.consumers.lock().values().cloned().collect();
        let mut bytes = BytesMut::new();
        bytes.put_u8(VERSION);
        for consumer in consumers {
            let hosted = consumer.lock();
            let frame = Frame::Created(Box::new(hosted.whole(&consumer))).encode();
            bytes.put_u64_le(hosted.queued.0);
            // What is in flight is bounded by max_ack_pending, and the rest by the names' bounds.
            bytes.put_u32_le(frame.len() as u32);
            bytes.put_slice(&frame);
        }
        ShardSnapshot { as_of, bytes: bytes.freeze() }
    }
}
