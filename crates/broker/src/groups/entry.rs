//! From the records of a step to what the log takes: one entry, or as many as its size demands.
//!
//! One entry is atomic. Only what is larger than the log's limit for one (thousands of offsets deleted at once,
//! over tiny WAL files) is split, at boundaries where half of it is a state that could have been: between records,
//! and between the partitions of a commit or a deletion that nobody has been told of yet.

use bytes::Bytes;
use duolog_groups::Record;
use duolog_log::{AppendError, Entry, Log};
use duolog_types::Lsn;

use crate::tables::GROUPS;

/// More than a frame's and an entry's headers take.
const HEADERS_BYTES: u64 = 128;

/// Queues the records. None if there are none. After an error some of them may be queued.
pub(super) fn queue(log: &Log, shard: u32, records: Vec<Record>) -> Result<Option<Lsn>, AppendError> {
    if records.is_empty() {
        return Ok(None);
    }
    let frames: Vec<Bytes> = records.iter().map(Record::encode).collect();
    match log.submit(entry_of(shard, frames)) {
        Ok(lsn) => Ok(Some(lsn)),
        Err(AppendError::TooLarge { limit_bytes, .. }) => {
            let limit = limit_bytes.saturating_sub(HEADERS_BYTES);
            let mut newest = None;
            for frames in packed(records, limit) {
                newest = Some(log.submit(entry_of(shard, frames))?);
            }
            Ok(newest)
        }
        Err(error) => Err(error),
    }
}

fn entry_of(shard: u32, frames: Vec<Bytes>) -> Entry {
    frames.into_iter().fold(Entry::new(), |entry, frame| entry.state(GROUPS, shard, frame))
}

/// The records' frames in order, in lists that take at most `limit` bytes each.
fn packed(records: Vec<Record>, limit: u64) -> Vec<Vec<Bytes>> {
    let mut frames = Vec::new();
    records.into_iter().for_each(|record| split(record, limit, &mut frames));
    let mut entries: Vec<Vec<Bytes>> = Vec::new();
    let mut room = 0;
    for frame in frames {
        let bytes = frame.len() as u64 + HEADERS_BYTES;
        match entries.last_mut() {
            Some(entry) if bytes <= room => entry.push(frame),
            _ => {
                entries.push(vec![frame]);
                room = limit;
            }
        }
        room = room.saturating_sub(bytes);
    }
    entries
}

/// A record's frame, or those of its halves if it is too large for an entry of its own.
fn split(record: Record, limit: u64, frames: &mut Vec<Bytes>) {
    let frame = record.encode();
    if frame.len() as u64 + HEADERS_BYTES <= limit {
        frames.push(frame);
        return;
    }
    match record {
        Record::Offsets { group, mut offsets } if offsets.len() > 1 => {
            let rest = offsets.split_off(offsets.len() / 2);
            split(Record::Offsets { group: group.clone(), offsets }, limit, frames);
            split(Record::Offsets { group, offsets: rest }, limit, frames);
        }
        Record::OffsetsDeleted { group, mut partitions } if partitions.len() > 1 => {
            let rest = partitions.split_off(partitions.len() / 2);
            split(Record::OffsetsDeleted { group: group.clone(), partitions }, limit, frames);
            split(Record::OffsetsDeleted { group, partitions: rest }, limit, frames);
        }
        Record::Group(ref group) => {
            // Without it, members of this generation have to join again after a restart. Its number isn't given
            // out twice all the same: that is a record of its own (`Record::Generation`).
            tracing::warn!(
                group = %group.group,
                members = group.members.len(),
                bytes = frame.len(),
                limit,
                "the group's members and assignments are larger than an entry of the log: a restart will rebalance it"
            );
        }
        // One offset, with a group's and a topic's name: less than the smallest WAL file holds.
        record => {
            tracing::error!(group = %record.group(), bytes = frame.len(), limit, "a record that fits no entry");
            frames.push(frame);
        }
    }
}
