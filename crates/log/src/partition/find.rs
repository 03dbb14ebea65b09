//! Finding a batch by time.

use bytes::Bytes;
use duolog_types::{Offset, TimestampMs};

use super::core::{State, TailEntry};
use super::handle::Partition;
use super::read::{ColdRead, Read, ReadSpec};
use crate::error::ReadError;
use crate::segment::SegmentMeta;
use crate::segment::store::Io;

impl Partition {
    /// The first batch, in offset order, that still has readable records and whose largest timestamp is `at` or
    /// later: the whole batch as stored. Timestamps needn't rise, so the caller looks for the record inside it. Blocks
    /// on the disk.
    ///
    /// # Errors
    /// Stored bytes are damaged; the partition is gone.
    pub fn find_by_timestamp(&self, at: TimestampMs) -> Result<Option<Bytes>, ReadError> {
        let (segments, tail) = self.candidates(|max_timestamp| max_timestamp >= at)?;
        for segment in segments {
            if let Some(base) = self.find_in_segment(&segment, |max_timestamp| max_timestamp >= at)? {
                return self.batch_at(base);
            }
        }
        tail.map_or(Ok(None), |entry| self.batch_at(entry.base))
    }

    /// The first batch that holds the largest timestamp of the partition. Blocks on the disk.
    ///
    /// # Errors
    /// As [`find_by_timestamp`](Self::find_by_timestamp).
    pub fn find_max_timestamp(&self) -> Result<Option<Bytes>, ReadError> {
        let largest = self.core.lock().extents().iter().map(|extent| extent.max_timestamp).max();
        largest.map_or(Ok(None), |largest| self.find_by_timestamp(largest))
    }

    /// Segments, and the first batch of the tail, that `wanted` says may hold what is sought.
    fn candidates(
        &self,
        wanted: impl Fn(TimestampMs) -> bool,
    ) -> Result<(Vec<SegmentMeta>, Option<TailEntry>), ReadError> {
        let state = self.core.lock();
        if state.dropped {
            return Err(ReadError::Dropped(self.core.id));
        }
        let State { segments, tail, start, .. } = &*state;
        let segments = segments
            .iter()
            .filter(|segment| segment.end > *start && wanted(segment.max_timestamp))
            .copied()
            .collect();
        let entry =
            tail.iter().find(|entry| !entry.is_gap() && entry.end > *start && wanted(entry.max_timestamp));
        Ok((segments, entry.copied()))
    }

    /// The base offset of the first readable batch in `segment` that `wanted` accepts.
    fn find_in_segment(
        &self,
        segment: &SegmentMeta,
        wanted: impl Fn(TimestampMs) -> bool,
    ) -> Result<Option<Offset>, ReadError> {
        let start = self.start();
        let Some(index) = self.log.segments.index(self.core.id, segment, Io::Disk)? else { return Ok(None) };
        for at in index.iter().take(segment.blocks as usize) {
            if at.end <= start || !wanted(at.max_timestamp) {
                continue;
            }
            let Some(block) = self.log.segments.block(self.core.id, segment, at, Io::Disk)? else { continue };
            let found = block.entries.iter().find(|entry| {
                let end = block.base.plus(i64::from(entry.base_delta) + i64::from(entry.offset_count));
                entry.len > 0 && end > start && wanted(entry.max_timestamp)
            });
            if let Some(entry) = found {
                return Ok(Some(block.base.plus(i64::from(entry.base_delta))));
            }
        }
        Ok(None)
    }

    /// The one batch that begins at `base`, or contains the log start if that has moved into it.
    fn batch_at(&self, base: Offset) -> Result<Option<Bytes>, ReadError> {
        let from = base.max(self.start());
        let spec = ReadSpec { from, up_to: Offset(i64::MAX), max_bytes: 0, at_least_one: true };
        let chunk = match self.read(spec)? {
            Read::Ready(chunk) => chunk,
            Read::NeedsDisk(cold) => ColdRead::run(cold)?,
        };
        Ok(chunk.runs.into_iter().next())
    }
}
