//! Giving back the room of what was deleted: segments of which nothing is left are dropped, those that are half dead
//! rewritten without it.
//!
//! Part of a checkpoint, so that the same manifest that names the new files stops naming the old ones. A checkpoint
//! rewrites one segment's worth of bytes at most (the rest waits for the next), at the background's rate.

use std::sync::Arc;

use bytes::Bytes;
use duolog_env::File;
use duolog_record::BatchHeader;
use duolog_types::{Offset, TimestampMs};

use super::run::{CheckpointError, failed};
use crate::dead::set::Dead;
use crate::error::ReadError;
use crate::log::Shared;
use crate::partition::core::{Core, TailEntry};
use crate::partition::read::without_dead;
use crate::segment::store::{Block, Io};
use crate::segment::writer::{SegmentWriter, Undo};
use crate::segment::{SegmentMeta, SegmentName};

/// One checkpoint's share of the work.
pub(super) struct Reclaim<'a> {
    log: &'a Shared,
    /// What may still be read for rewriting.
    budget_bytes: u64,
    /// Whether there is room for new files beside the old ones.
    may_rewrite: bool,
}

/// What is to be done with a segment.
enum Judgement {
    Keep,
    Drop,
    Rewrite,
}

impl<'a> Reclaim<'a> {
    pub(super) fn new(log: &'a Shared, has_room: bool) -> Self {
        let may_rewrite = has_room && !log.space.is_full();
        Self { log, budget_bytes: log.config.segment_bytes.max(1), may_rewrite }
    }

    /// Looks through `segments` of a partition in which offsets died; what isn't needed any more goes to `garbage`. Returns
    /// whether files were made.
    pub(super) fn run(
        &mut self,
        core: &Arc<Core>,
        segments: &mut Vec<SegmentMeta>,
        garbage: &mut Vec<SegmentName>,
        touched: &mut Vec<Arc<dyn File>>,
        undo: &mut Vec<Undo>,
    ) -> Result<bool, CheckpointError> {
        let (Some(from), Some(to)) = (segments.first().map(|it| it.base), segments.last().map(|it| it.end))
        else {
            return Ok(false);
        };
        let (dead, seal_bytes) = {
            let mut state = core.lock();
            if !std::mem::take(&mut state.dead.reclaim_due) {
                return Ok(false);
            }
            (state.dead.view(from, to), state.segment_bytes)
        };
        let seal_bytes = if seal_bytes == 0 { self.log.config.segment_bytes } else { seal_bytes };
        let mut made_files = false;
        let mut kept = Vec::with_capacity(segments.len());
        for segment in segments.drain(..) {
            match self.judge(&segment, &dead, seal_bytes) {
                Judgement::Keep => kept.push(segment),
                Judgement::Drop => garbage.push(segment.name(core.id)),
                Judgement::Rewrite if !self.may_rewrite => {
                    core.lock().dead.reclaim_due = true;
                    kept.push(segment);
                }
                Judgement::Rewrite if self.budget_bytes == 0 => {
                    core.lock().dead.reclaim_due = true;
                    if core.lock().mark_dirty() {
                        self.log.partitions.list_dirty(core);
                    }
                    kept.push(segment);
                }
                Judgement::Rewrite => {
                    self.budget_bytes = self.budget_bytes.saturating_sub(segment.data_bytes);
                    match self.rewrite(core, &segment, &dead, touched, undo)? {
                        Some(rewritten) => {
                            made_files |= rewritten.blocks > 0;
                            garbage.push(segment.name(core.id));
                            kept.extend(Some(rewritten).filter(|it| it.blocks > 0));
                        }
                        None => kept.push(segment),
                    }
                }
            }
        }
        *segments = kept;
        Ok(made_files)
    }

    fn judge(&self, segment: &SegmentMeta, dead: &Dead, seal_bytes: u64) -> Judgement {
        if dead.covers(segment.base, segment.end) {
            return Judgement::Drop;
        }
        let dead_and_held = dead.count_in(segment.base, segment.end).saturating_sub(segment.reclaimed);
        // One that still grows is worth it once it doesn't.
        if segment.file_bytes >= seal_bytes && dead_and_held > 0 && 2 * dead_and_held >= segment.held() {
            Judgement::Rewrite
        } else {
            Judgement::Keep
        }
    }

    /// Writes what is alive into a new file. `None` where the old one can't be read: what is damaged is left to its
    /// readers' errors.
    fn rewrite(
        &self,
        core: &Arc<Core>,
        segment: &SegmentMeta,
        dead: &Dead,
        touched: &mut Vec<Arc<dyn File>>,
        undo: &mut Vec<Undo>,
    ) -> Result<Option<SegmentMeta>, CheckpointError> {
        let log = self.log;
        let readable = |error: ReadError| match error {
            ReadError::Io { source, .. } => Err(failed("reading a segment")(source)),
            other => {
                tracing::warn!(?segment, error = %other, "a damaged segment isn't rewritten");
                Ok(())
            }
        };
        let index = match log.segments.index(core.id, segment, Io::Disk) {
            Ok(Some(index)) => index,
            Ok(None) => return Ok(None),
            Err(error) => return readable(error).map(|()| None),
        };
        let mut writer = SegmentWriter::rewrite(&log.segments, core.id, segment, touched, undo);
        for at in index.iter().take(segment.blocks as usize) {
            if dead.covers(at.base, at.end) {
                continue;
            }
            let block = match log.segments.read_block(core.id, segment, at) {
                Ok(block) => block,
                Err(error) => return readable(error).map(|()| None),
            };
            for (entry, bytes) in alive(&block, dead) {
                writer.add(entry, &bytes).map_err(failed("rewriting a segment"))?;
            }
            log.throttle(u64::from(at.block_bytes));
        }
        let mut rewritten = writer.finish().map_err(failed("rewriting a segment"))?;
        let Some(mut rewritten) = rewritten.pop() else { return Ok(None) };
        rewritten.end = segment.end;
        rewritten.reclaimed = dead.count_in(segment.base, segment.end);
        Ok(Some(rewritten))
    }
}

/// The batches and gaps of `block` that hold anything but dead records, without those.
fn alive(block: &Block, dead: &Dead) -> Vec<(TailEntry, Bytes)> {
    let mut found = Vec::new();
    let mut position = 0;
    for entry in &block.entries {
        let base: Offset = block.base.plus(i64::from(entry.base_delta));
        let end = base.plus(i64::from(entry.offset_count));
        let bytes = block.data.slice(position..position + entry.len as usize);
        position += entry.len as usize;
        if dead.covers(base, end) {
            continue;
        }
        // A batch that can't be taken apart stays whole; its reader hears of that.
        let bytes = without_dead(&bytes, dead, base, end).unwrap_or(bytes);
        let max_timestamp = match BatchHeader::parse(&bytes) {
            Ok(header) if dead.touches(base, end) => header.max_timestamp,
            _ => entry.max_timestamp,
        };
        let (len, max_timestamp) = (bytes.len() as u32, TimestampMs::max(max_timestamp, TimestampMs(-1)));
        let arrival = entry.arrival;
        let entry =
            TailEntry { len, arrival, max_timestamp, ..TailEntry::gap(base, end, duolog_types::Lsn::ZERO) };
        found.push((entry, bytes));
    }
    found
}
