//! Producer ids: an id is never given twice, also not after a crash.
//!
//! Ids are reserved in blocks, each one frame that says where the block ends. After a restart the next id is the
//! first one that no frame covers, so what was left of a block is skipped. An id may be told to a client only
//! once its block's frame is durable, or a crash would give the block out again.

use std::sync::Arc;

use bytes::Bytes;
use duolog_log::{AppendError, Entry, Log, ShardSnapshot, Table, TableId};
use duolog_types::{Lsn, ProducerEpoch, ProducerId};
use parking_lot::Mutex;

use crate::codec::{CodecError, Reader, Writer};
use crate::tables::PRODUCER_IDS;

/// How many ids one frame reserves.
const BLOCK: i64 = 1000;
const VERSION: u8 = 1;

/// A producer id that nobody else has. The reply waits for `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewProducerId {
    /// The id.
    pub id: ProducerId,
    /// Its first epoch: 0.
    pub epoch: ProducerEpoch,
    /// The reply waits for this.
    pub lsn: Lsn,
}

/// Gives out producer ids.
#[derive(Clone)]
pub struct ProducerIds {
    log: Log,
    table: Arc<ProducerIdTable>,
}

impl std::fmt::Debug for ProducerIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProducerIds({:?})", self.table.state.lock())
    }
}

impl ProducerIds {
    pub(crate) fn new(log: Log, table: Arc<ProducerIdTable>) -> Self {
        Self { log, table }
    }

    /// A fresh producer id at epoch 0 (Kafka: InitProducerId without a transactional id).
    ///
    /// # Errors
    /// The log takes nothing: `KAFKA_STORAGE_ERROR`, or `COORDINATOR_LOAD_IN_PROGRESS` for a retriable one.
    pub fn allocate(&self) -> Result<NewProducerId, AppendError> {
        let mut state = self.table.state.lock();
        if state.next == state.reserved_end {
            let end = state.reserved_end + BLOCK;
            state.as_of = self.log.submit(Entry::new().state(PRODUCER_IDS, 0, encode(end)))?;
            state.reserved_end = end;
        }
        let id = ProducerId(state.next);
        state.next += 1;
        Ok(NewProducerId { id, epoch: ProducerEpoch(0), lsn: state.as_of })
    }
}

/// The table behind [`ProducerIds`].
#[derive(Debug, Default)]
pub(crate) struct ProducerIdTable {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The next id to give out.
    next: i64,
    /// One behind the last reserved id.
    reserved_end: i64,
    /// The entry that reserved the current block.
    as_of: Lsn,
}

impl ProducerIdTable {
    fn load(&self, bytes: &[u8], as_of: Lsn) -> Result<(), String> {
        let end = decode(bytes).map_err(|error| error.to_string())?;
        let mut state = self.state.lock();
        *state = State { next: end, reserved_end: end, as_of };
        Ok(())
    }
}

impl Table for ProducerIdTable {
    fn id(&self) -> TableId {
        PRODUCER_IDS
    }

    fn restore(&self, _shard: u32, snapshot: &[u8]) -> Result<(), String> {
        self.load(snapshot, Lsn::ZERO)
    }

    fn apply(&self, _shard: u32, frame: &[u8], lsn: Lsn) -> Result<(), String> {
        self.load(frame, lsn)
    }

    fn snapshot(&self, _shard: u32) -> ShardSnapshot {
        let state = self.state.lock();
        ShardSnapshot { as_of: state.as_of, bytes: encode(state.reserved_end) }
    }
}

/// Frame and snapshot alike: the version, and where the reserved ids end.
fn encode(reserved_end: i64) -> Bytes {
    let mut writer = Writer::new(VERSION);
    writer.i64(reserved_end);
    writer.finish()
}

fn decode(bytes: &[u8]) -> Result<i64, CodecError> {
    let (mut reader, _) = Reader::new(bytes, VERSION)?;
    let end = reader.i64("reserved end")?;
    if end < 0 {
        return Err(reader.invalid("reserved end"));
    }
    reader.finish()?;
    Ok(end)
}
