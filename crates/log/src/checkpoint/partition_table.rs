//! The log's own state table: every partition's start, border and segments, by shard.

use bytes::Bytes;
use duolog_types::{Offset, PartitionId};
use std::sync::Arc;

use crate::codec::{Get, Put};
use crate::partition::core::{Core, State};
use crate::partitions::Partitions;
use crate::segment::SegmentMeta;
use crate::table::TableId;

/// Set aside for the log; tables of the crates above begin at 1.
pub(crate) const PARTITIONS: TableId = TableId(0);
/// 2: segments have a revision and a count of what was reclaimed, where 1 had room for a bitmap.
const VERSION: u16 = 2;

/// The shard's partitions as the checkpoint leaves them. Shows nothing that isn't durable: what comes later stands in
/// the WAL behind the point where recovery begins.
pub(crate) fn snapshot(partitions: &Partitions, shard: u32) -> Bytes {
    let mut out = Vec::new();
    out.put_u16(VERSION);
    for core in partitions.of_shard(shard) {
        let state = core.lock();
        if state.dropped || !state.created {
            continue;
        }
        out.put_u64(core.id.0);
        out.put_i64(state.start.0);
        out.put_i64(state.checkpointed.0);
        out.put_u32(state.segments.len() as u32);
        for segment in &state.segments {
            out.put_i64(segment.base.0);
            out.put_i64(segment.end.0);
            out.put_u64(segment.file_bytes);
            out.put_u64(segment.data_bytes);
            out.put_u32(segment.blocks);
            out.put_i64(segment.max_timestamp.0);
            out.put_i64(segment.first_arrival.0);
            out.put_u32(segment.revision);
            out.put_u64(segment.reclaimed);
        }
    }
    Bytes::from(out)
}

/// Takes the shard's partitions over.
pub(crate) fn restore(partitions: &Partitions, snapshot: &[u8]) -> Result<(), String> {
    let mut get = Get::new(snapshot);
    let version = get.u16().ok_or("no version")?;
    if !(1..=VERSION).contains(&version) {
        return Err(format!("version {version}, known are 1 to {VERSION}"));
    }
    while !get.is_empty() {
        partitions.insert(restore_one(&mut get, version).ok_or("cut short")?);
    }
    Ok(())
}

fn restore_one(get: &mut Get<'_>, version: u16) -> Option<Arc<Core>> {
    let id = PartitionId(get.u64()?);
    let start = get.offset()?;
    let checkpointed = get.offset()?;
    let mut segments = Vec::new();
    for _ in 0..get.u32()? {
        let mut segment = SegmentMeta {
            revision: 0,
            reclaimed: 0,
            base: get.offset()?,
            end: get.offset()?,
            file_bytes: get.u64()?,
            data_bytes: get.u64()?,
            blocks: get.u32()?,
            max_timestamp: get.timestamp()?,
            first_arrival: get.nanos()?,
        };
        if version == 1 {
            // Always empty there.
            let bitmap_bytes = get.u32()? as usize;
            let _bitmap = get.take(bitmap_bytes)?;
        } else {
            segment.revision = get.u32()?;
            segment.reclaimed = get.u64()?;
        }
        segments.push(segment);
    }
    let border: Offset = checkpointed;
    let state = State {
        created: true,
        next: border,
        high_watermark: border,
        start,
        start_queued: start,
        checkpointed,
        segments,
        ..State::default()
    };
    Some(Core::with_state(id, state))
}
