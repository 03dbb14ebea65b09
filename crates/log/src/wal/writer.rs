//! The one who writes the WAL: drains the queue into a group, writes it, publishes what it made durable.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duolog_env::AlignedBuf;
use duolog_types::Lsn;

use super::file::WalFile;
use super::frame::{ENTRY_HEADER_BYTES, put_entry_header};
use super::layout::{FILE_HEADER_BYTES, GROUP_HEADER_BYTES, GroupHeader, padded};
use crate::codec::crc32c;
use crate::config::Durability;
use crate::dead::ranges;
use crate::error::Poisoned;
use crate::log::Shared;
use crate::partition::core::TailEntry;
use crate::queue::{Waiting, WaitingEntry};
use crate::space::{is_no_room, may_pass, never_passes};
use crate::threads::stop_at_panic;

/// Payload of a group, unless one entry alone is larger. Bounds the latency that a full queue adds to a group.
pub(crate) const GROUP_LIMIT_BYTES: u64 = 4 << 20;

/// So long the WAL is quiet before the last group's durability is recorded.
pub(crate) const SEAL_AFTER: Duration = Duration::from_millis(5);

/// A group that takes longer is written by the log's own thread: others than its client would wait for it.
const QUICK_WRITE: Duration = Duration::from_micros(500);

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
    /// When the last group was written (monotonic), how long that took, and how many entries it had.
    last_at: Duration,
    last_took: Duration,
    last_entries: usize,
    /// What the next file is needed for and couldn't be had yet; else empty, and kept for its memory.
    entries: Vec<WaitingEntry>,
}

/// Why a group wasn't written.
enum NotWritten {
    /// Nothing was begun: there is no room for the next file, or no handle. It may be tried again.
    NoRoom(io::Error),
    /// It may have been, in part or whole.
    Failed(io::Error),
}

impl From<io::Error> for NotWritten {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Writer {
    /// Goes on at `point`, which lies in `file`.
    pub(crate) fn resume(file: Arc<WalFile>, point: DurablePoint) -> Self {
        let next_lsn = Lsn(point.lsn.0 + 1);
        let DurablePoint { position, chain, .. } = point;
        Self {
            file,
            position,
            chain,
            next_lsn,
            unsealed: false,
            last_at: Duration::ZERO,
            last_took: Duration::ZERO,
            last_entries: 0,
            entries: Vec::new(),
        }
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

    /// How long from `now` on until the last group is to be sealed; `None` if it is.
    pub(crate) fn seal_due_in(&self, now: Duration) -> Option<Duration> {
        self.unsealed.then(|| (self.last_at + SEAL_AFTER).saturating_sub(now))
    }

    /// Whether clients come one by one and the disk answers quickly: then a thread that appends may write as well.
    pub(crate) fn is_quiet(&self) -> bool {
        self.last_entries <= 1 && self.last_took < QUICK_WRITE && !self.is_stuck()
    }

    /// Whether entries wait for room.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Writes one group of what waits. Returns whether it did: not if nothing waits, nor if there is no room, and then
    /// it [is stuck](Self::is_stuck) until a later try finds some. What it took stays taken, in its order.
    ///
    /// A panic stops the log while the writer is still held: whoever wrote next would give lost entries' LSNs to others.
    pub(crate) fn commit(&mut self, log: &Shared) -> Result<bool, Poisoned> {
        self.commit_and(log, || ())
    }

    /// As [`commit`](Self::commit), with `begun` between the taking of a group and its writing.
    pub(crate) fn commit_and(&mut self, log: &Shared, begun: impl FnOnce()) -> Result<bool, Poisoned> {
        stop_at_panic(log, || self.commit_group(log, begun))
    }

    fn commit_group(&mut self, log: &Shared, begun: impl FnOnce()) -> Result<bool, Poisoned> {
        log.durability.poisoned().map_or(Ok(()), Err)?;
        let was_stuck = self.is_stuck();
        let mut entries = std::mem::take(&mut self.entries);
        if !was_stuck {
            let fits_a_file = log.wal_files.size() - 2 * FILE_HEADER_BYTES;
            log.queue.take(GROUP_LIMIT_BYTES.min(fits_a_file), &mut entries);
        }
        if entries.is_empty() {
            self.entries = entries;
            return Ok(false);
        }
        begun();
        match self.write_group(log, &entries) {
            Ok(()) => {
                entries.clear();
                self.entries = entries;
                if was_stuck {
                    log.queue.set_stuck(false);
                    log.space.set_wal_waits(false);
                    tracing::info!(lsn = log.durability.lsn().0, "the WAL has room again and goes on");
                }
                Ok(true)
            }
            Err(NotWritten::NoRoom(error)) => {
                self.entries = entries;
                log.space.set_wal_waits(is_no_room(&error));
                if !was_stuck {
                    log.queue.set_stuck(true);
                    // A checkpoint that waits for these entries would wait for itself.
                    log.durability.nudge();
                    tracing::error!(%error, "no room for the next WAL file: nothing is acknowledged until there is; free some room");
                }
                Ok(false)
            }
            Err(NotWritten::Failed(error)) => Err(log.poison("write to the WAL", &error)),
        }
    }

    /// What a log that closes without room says of what it can't write.
    pub(crate) fn unwritten(&self, log: &Shared) -> Poisoned {
        let (first, last) = (self.next_lsn, log.queue.last_lsn());
        let detail = format!(
            "the disk has no room for {} entries (LSN {first} to {last}), none of them acknowledged; all before \
             them are kept. Free some room",
            (last.0 + 1).saturating_sub(first.0)
        );
        Poisoned { action: "write to the WAL", detail }
    }

    /// Records that everything written so far is durable, in a group without entries.
    pub(crate) fn seal(&mut self, log: &Shared) -> Result<(), Poisoned> {
        // What stands behind the last whole group of a log that stopped is for recovery to judge.
        log.durability.poisoned().map_or(Ok(()), Err)?;
        if !self.unsealed || self.is_stuck() {
            return Ok(());
        }
        match self.write_group(log, &[]) {
            Ok(()) => Ok(()),
            Err(NotWritten::NoRoom(error)) => {
                // The next group says it, or the next file's header.
                tracing::debug!(%error, "no room to seal the WAL");
                self.unsealed = false;
                Ok(())
            }
            Err(NotWritten::Failed(error)) => Err(log.poison("write to the WAL", &error)),
        }
    }

    fn write_group(&mut self, log: &Shared, entries: &[WaitingEntry]) -> Result<(), NotWritten> {
        let payload_bytes: usize =
            entries.iter().map(|entry| ENTRY_HEADER_BYTES + entry.frames_bytes()).sum();
        let size = padded((GROUP_HEADER_BYTES + payload_bytes) as u64);
        if self.position + size > self.file.size {
            self.rotate(log, size).map_err(|error| match may_pass(&error) {
                true => NotWritten::NoRoom(error),
                false => NotWritten::Failed(error),
            })?;
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
        self.last_at = log.env.clock.monotonic();
        self.last_took = self.last_at.saturating_sub(began);
        self.last_entries = entries.len();
        log.stats.wrote_group(size, entries.len(), self.last_took);

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

    /// Goes on in the next file, which has room for a group of `size` bytes.
    fn rotate(&mut self, log: &Shared, size: u64) -> io::Result<()> {
        if log.config.durability == Durability::Os {
            self.file.file.sync_data().map_err(never_passes)?;
        }
        let (seq, needed) = (self.file.header.seq + 1, FILE_HEADER_BYTES + size);
        let file = log.wal_files.begin(seq, self.next_lsn, self.position, self.chain, needed)?;
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
        Waiting::Delete { core, ranges } => {
            // Encoded by this process.
            let ranges: Vec<_> = ranges::decode(ranges).filter_map(Result::ok).collect();
            if core.publish_delete(&ranges) {
                log.partitions.list_dirty(core);
            }
        }
        Waiting::Drop(core) => {
            core.publish_drop();
            log.partitions.remove(core);
        }
        Waiting::Create(core) => {
            let mut state = core.lock();
            state.created = true;
            if state.mark_dirty() {
                log.partitions.list_dirty(core);
            }
        }
        // A joined batch became an ordinary one when it was taken from the queue.
        Waiting::State { .. } | Waiting::Joined { .. } => {}
    }
}
