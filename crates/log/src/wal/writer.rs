//! The one who writes the WAL: drains the queue into a group, writes it, publishes what it made durable.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use duolog_env::AlignedBuf;
use duolog_types::Lsn;

use super::file::WalFile;
use super::frame::{ENTRY_HEADER_BYTES, put_entry_header};
use super::layout::{FILE_HEADER_BYTES, GROUP_HEADER_BYTES, GroupHeader, padded};
use crate::codec::crc32c;
use crate::config::Durability;
use crate::error::Poisoned;
use crate::log::Shared;
use crate::partition::core::TailEntry;
use crate::queue::{Waiting, WaitingEntry};

/// Payload of a group, unless one entry alone is larger. Bounds the latency that a full queue adds to a group.
pub(crate) const GROUP_LIMIT_BYTES: u64 = 4 << 20;

/// A point of the WAL behind a whole, durable group: where recovery can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurablePoint {
    /// The newest entry before the point.
    pub lsn: Lsn,
    pub file_seq: u64,
    /// Where the next group begins.
    pub position: u64,
    /// The chain value that it must name.
    pub chain: u32,
}

/// Owns the WAL's end. Exactly one exists; the thread that holds it writes.
#[derive(Debug)]
pub(crate) struct Writer {
    file: Arc<WalFile>,
    position: u64,
    chain: u32,
    next_lsn: Lsn,
    /// The newest entries' durability is written nowhere yet.
    unsealed: bool,
    entries: Vec<WaitingEntry>,
}

impl Writer {
    /// Goes on at `point`, which lies in `file`.
    pub(crate) fn resume(file: Arc<WalFile>, point: DurablePoint) -> Self {
        let next_lsn = Lsn(point.lsn.0 + 1);
        let DurablePoint { position, chain, .. } = point;
        Self { file, position, chain, next_lsn, unsealed: false, entries: Vec::new() }
    }

    pub(crate) fn point(&self) -> DurablePoint {
        DurablePoint {
            lsn: Lsn(self.next_lsn.0 - 1),
            file_seq: self.file.header.seq,
            position: self.position,
            chain: self.chain,
        }
    }

    /// Whether the last group waits for one that records its durability.
    pub(crate) fn is_unsealed(&self) -> bool {
        self.unsealed
    }

    /// Writes one group of what waits. Returns whether anything did.
    pub(crate) fn commit(&mut self, log: &Shared) -> Result<bool, Poisoned> {
        log.durability.poisoned().map_or(Ok(()), Err)?;
        let mut entries = std::mem::take(&mut self.entries);
        log.queue.take(GROUP_LIMIT_BYTES, &mut entries);
        let wrote =
            if entries.is_empty() { Ok(false) } else { self.write_group(log, &entries).map(|()| true) };
        entries.clear();
        self.entries = entries;
        wrote.map_err(|error| log.poison("write to the WAL", &error))
    }

    /// Records that everything written so far is durable, in a group without entries.
    pub(crate) fn seal(&mut self, log: &Shared) -> Result<(), Poisoned> {
        // What stands behind the last whole group of a log that stopped is for recovery to judge.
        log.durability.poisoned().map_or(Ok(()), Err)?;
        if !self.unsealed {
            return Ok(());
        }
        self.write_group(log, &[]).map_err(|error| log.poison("write to the WAL", &error))
    }

    fn write_group(&mut self, log: &Shared, entries: &[WaitingEntry]) -> io::Result<()> {
        let payload_bytes: usize =
            entries.iter().map(|entry| ENTRY_HEADER_BYTES + entry.frames_bytes()).sum();
        let size = padded((GROUP_HEADER_BYTES + payload_bytes) as u64);
        if self.position + size > log.wal_files.size() {
            self.rotate(log)?;
        }
        let (group, header) = self.encode(entries, payload_bytes, size as usize, log.durability.lsn());
        self.file.claim(self.position + size);
        let began = log.env.clock.monotonic();
        match log.config.durability {
            Durability::Sync if duolog_env::seeded_bug("ack_before_sync") => {
                self.file.file.sync_data()?;
                self.file.file.write_at(&group, self.position)?;
            }
            Durability::Sync => self.file.file.write_durable(&group, self.position)?,
            Durability::Os => self.file.file.write_at(&group, self.position)?,
        }
        log.stats.wrote_group(size, entries.len(), log.env.clock.monotonic().saturating_sub(began));

        let at = self.position;
        let first_lsn = self.next_lsn;
        self.chain = u32::from_le_bytes([group[60], group[61], group[62], group[63]]);
        self.position += size;
        self.next_lsn = Lsn(header.last_lsn().0 + 1);
        self.unsealed = !entries.is_empty();
        if entries.is_empty() {
            *log.point.lock() = self.point();
            return Ok(());
        }
        log.tail.push(self.file.header.seq, at, Bytes::from_owner(group));
        publish(log, self.file.header.seq, at, entries, first_lsn);
        *log.point.lock() = self.point();
        log.durability.advance(header.last_lsn());
        Ok(())
    }

    /// Lays the group out. This is the one copy that a batch makes on its way from the socket to the disk and to
    /// the readers of the tail.
    fn encode(
        &self,
        entries: &[WaitingEntry],
        payload_bytes: usize,
        size: usize,
        durable_lsn: Lsn,
    ) -> (AlignedBuf, GroupHeader) {
        let mut group = AlignedBuf::with_capacity(size);
        group.pad_to(GROUP_HEADER_BYTES);
        for entry in entries {
            put_entry_header(entry.frames_bytes() as u32, entry.frames().len() as u32, &mut group);
            for frame in entry.frames() {
                let payload = frame.payload();
                frame.header().put(payload.len() as u32, &mut group);
                if let Waiting::Batch(placed) = frame {
                    // Base offset and leader epoch (0: one machine) lie outside of the batch's CRC.
                    group.extend_from_slice(&placed.base_offset.0.to_be_bytes());
                    group.extend_from_slice(&payload[8..12]);
                    group.extend_from_slice(&0i32.to_be_bytes());
                    group.extend_from_slice(&payload[16..]);
                } else {
                    group.extend_from_slice(payload);
                }
            }
        }
        let header = GroupHeader {
            epoch: self.file.header.epoch,
            first_lsn: self.next_lsn,
            entry_count: entries.len() as u32,
            payload_bytes: payload_bytes as u32,
            prev_chain: self.chain,
            durable_lsn,
            payload_crc: crc32c(&group[GROUP_HEADER_BYTES..]),
        };
        group.pad_to(size);
        group[..GROUP_HEADER_BYTES].copy_from_slice(&header.encode());
        (group, header)
    }

    fn rotate(&mut self, log: &Shared) -> io::Result<()> {
        if log.config.durability == Durability::Os {
            self.file.file.sync_data()?;
        }
        let file = log.wal_files.begin(self.file.header.seq + 1, self.next_lsn, self.position, self.chain)?;
        self.chain = file.header.chain();
        self.position = FILE_HEADER_BYTES;
        self.file = file;
        log.wake_filler();
        Ok(())
    }
}

/// Makes what the group holds readable, in order.
fn publish(log: &Shared, file_seq: u64, group_at: u64, entries: &[WaitingEntry], first_lsn: Lsn) {
    let mut position = group_at + GROUP_HEADER_BYTES as u64;
    let mut lsn = first_lsn;
    for entry in entries {
        position += ENTRY_HEADER_BYTES as u64;
        for frame in entry.frames() {
            let payload_at = position + frame.header().encoded_bytes() as u64;
            position = payload_at + frame.payload().len() as u64;
            publish_frame(log, frame, lsn, file_seq, payload_at);
        }
        lsn = Lsn(lsn.0 + 1);
    }
}

fn publish_frame(log: &Shared, frame: &Waiting, lsn: Lsn, file_seq: u64, position: u64) {
    match frame {
        Waiting::Batch(placed) => {
            let entry = TailEntry {
                base: placed.base_offset,
                end: placed.base_offset.plus(i64::from(placed.batch.offset_count)),
                lsn,
                file_seq,
                position,
                len: placed.batch.bytes.len() as u32,
                arrival: placed.batch.arrival,
                max_timestamp: placed.batch.max_timestamp,
            };
            if placed.core.publish(entry) {
                log.partitions.list_dirty(&placed.core);
            }
        }
        Waiting::Skip { core, from, to } => {
            if core.publish(TailEntry::gap(*from, *to, lsn)) {
                log.partitions.list_dirty(core);
            }
        }
        Waiting::Trim { core, to } => {
            if core.publish_trim(*to) {
                log.partitions.list_dirty(core);
            }
        }
        Waiting::Drop(core) => {
            core.publish_drop();
            log.partitions.remove(core);
        }
        Waiting::Create(core) => {
            if core.lock().mark_dirty() {
                log.partitions.list_dirty(core);
            }
        }
        // A joined batch became an ordinary one when it was taken from the queue.
        Waiting::State { .. } | Waiting::Joined { .. } => {}
    }
}
