//! Finding a batch by time.

use bytes::Bytes;
use duolog_record::{BatchHeader, DecodeBudget, records};
use duolog_types::{Offset, TimestampMs};

use super::core::{State, TailEntry};
use super::handle::Partition;
use super::read::{ColdRead, Read, ReadSpec};
use crate::dead::set::Dead;
use crate::error::ReadError;
use crate::segment::SegmentMeta;
use crate::segment::store::Io;

/// Where the largest timestamp so far stands.
enum Place {
    Segment(SegmentMeta),
    /// In the batch that begins here.
    Batch(Offset),
}

/// The largest timestamp so far.
#[derive(Default)]
struct Best(Option<(TimestampMs, Place)>);

impl Best {
    fn offer(&mut self, timestamp: TimestampMs, place: Place) {
        if self.0.as_ref().is_none_or(|(largest, _)| timestamp > *largest) {
            self.0 = Some((timestamp, place));
        }
    }

    /// As [`offer`](Self::offer), of a batch that may stand in front of the best one so far.
    fn offer_earlier(&mut self, timestamp: TimestampMs, base: Offset) {
        let better = match &self.0 {
            None => true,
            Some((largest, Place::Batch(at))) => {
                timestamp > *largest || (timestamp == *largest && base < *at)
            }
            Some((largest, Place::Segment(_))) => timestamp > *largest,
        };
        if better {
            self.0 = Some((timestamp, Place::Batch(base)));
        }
    }
}

impl Partition {
    /// The first batch, in offset order, that still has readable records and whose largest timestamp is `at` or
    /// later: the whole batch as stored. Timestamps needn't rise, so the caller looks for the record inside it. Blocks
    /// on the disk.
    ///
    /// # Errors
    /// Stored bytes are damaged; the partition is gone.
    pub fn find_by_timestamp(&self, at: TimestampMs) -> Result<Option<Bytes>, ReadError> {
        let mut from = self.start();
        loop {
            let Some(base) = self.find_from(from, at)? else { return Ok(None) };
            let Some(batch) = self.batch_at(base)? else { return Ok(None) };
            let Ok(header) = BatchHeader::parse(&batch) else { return Ok(Some(batch)) };
            // What made it a candidate may be dead, or all of it, and then this is what came next.
            if self.dead_count(base, header.next_offset()) == 0
                || (header.record_count > 0 && header.max_timestamp >= at)
            {
                return Ok(Some(batch));
            }
            from = header.next_offset();
        }
    }

    /// The base offset of the first batch that reaches behind `from` and whose largest timestamp, dead records
    /// included, is `at` or later.
    fn find_from(&self, from: Offset, at: TimestampMs) -> Result<Option<Offset>, ReadError> {
        let wanted = |max_timestamp| max_timestamp >= at;
        let (segments, tail) = self.candidates(from, wanted)?;
        for segment in segments {
            if let Some(base) = self.find_in_segment(&segment, from, wanted)? {
                return Ok(Some(base));
            }
        }
        Ok(tail.map(|entry| entry.base))
    }

    /// The first batch that holds the largest timestamp of all readable records: what the log start cut off doesn't
    /// count. Blocks on the disk.
    ///
    /// # Errors
    /// As [`find_by_timestamp`](Self::find_by_timestamp).
    pub fn find_max_timestamp(&self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let start = self.start();
            let found = self.find_max_from(start)?;
            // Where the start moved on meanwhile, what was found may be gone, or may not be the largest any more.
            if self.start() == start {
                return Ok(found);
            }
        }
    }

    fn find_max_from(&self, start: Offset) -> Result<Option<Bytes>, ReadError> {
        // One moment of the partition: a checkpoint moves batches from the tail to a segment.
        let (segments, cut, in_tail, dead) = {
            let state = self.core.lock();
            if state.dropped {
                return Err(ReadError::Dropped(self.core.id));
            }
            let segments: Vec<_> =
                state.segments.iter().filter(|segment| segment.end > start).copied().collect();
            let dead = state.dead.view(start, state.high_watermark);
            // Each with whether something in it is dead.
            let entries: Box<dyn Iterator<Item = (TailEntry, bool)> + '_> = match &state.memory {
                Some(memory) => Box::new(memory.entries()),
                None => {
                    Box::new(state.tail.iter().map(|entry| (*entry, dead.touches(entry.base, entry.end))))
                }
            };
            let (mut in_tail, mut cut) = (Best::default(), Vec::new());
            for (entry, has_dead) in entries.filter(|(entry, _)| !entry.is_gap() && entry.end > start) {
                if entry.base < start || has_dead {
                    cut.push(entry);
                } else {
                    in_tail.offer(entry.max_timestamp, Place::Batch(entry.base));
                }
            }
            (segments, cut, in_tail, dead)
        };
        // In offset order, and only a larger one takes the place of an earlier one.
        let mut best = Best::default();
        for segment in &segments {
            if segment.base >= start && !dead.touches(segment.base, segment.end) {
                best.offer(segment.max_timestamp, Place::Segment(*segment));
            } else {
                self.offer_cut_segment(segment, start, &dead, &mut best)?;
            }
        }
        let mut tail = in_tail;
        for cut in cut {
            if let Some(largest) = self.max_from(cut.base, start, cut.max_timestamp)? {
                tail.offer_earlier(largest, cut.base);
            }
        }
        if let Some((timestamp, place)) = tail.0 {
            best.offer(timestamp, place);
        }
        let base = match best.0 {
            None => return Ok(None),
            Some((_, Place::Batch(base))) => Some(base),
            Some((largest, Place::Segment(segment))) => {
                self.find_in_segment(&segment, start, |max_timestamp| max_timestamp >= largest)?
            }
        };
        base.map_or(Ok(None), |base| self.batch_at(base))
    }

    /// Offers what is still readable of a segment that `start` cuts into, or in which offsets are dead.
    fn offer_cut_segment(
        &self,
        segment: &SegmentMeta,
        start: Offset,
        dead: &Dead,
        best: &mut Best,
    ) -> Result<(), ReadError> {
        let Some(index) = self.log.segments.index(self.core.id, segment, Io::Disk)? else { return Ok(()) };
        for at in index.iter().take(segment.blocks as usize).filter(|at| at.end > start) {
            // Where a whole block can't win, it needn't be read.
            if best.0.as_ref().is_some_and(|(largest, _)| at.max_timestamp <= *largest) {
                continue;
            }
            let Some(block) = self.log.segments.block(self.core.id, segment, at, Io::Disk)? else { continue };
            for entry in block.entries.iter().filter(|entry| entry.len > 0) {
                let base = block.base.plus(i64::from(entry.base_delta));
                let end = base.plus(i64::from(entry.offset_count));
                if base >= start && !dead.touches(base, end) {
                    best.offer(entry.max_timestamp, Place::Batch(base));
                } else if end > start
                    && !dead.covers(base.max(start), end)
                    && let Some(largest) = self.max_from(base, start, entry.max_timestamp)?
                {
                    best.offer(largest, Place::Batch(base));
                }
            }
        }
        Ok(())
    }

    /// The largest timestamp from `start` on in the batch at `base`, if it has records there; `whole`, the batch's own, if its
    /// records can't be decoded: its reader will see that too.
    fn max_from(
        &self,
        base: Offset,
        start: Offset,
        whole: TimestampMs,
    ) -> Result<Option<TimestampMs>, ReadError> {
        let Some(batch) = self.batch_at(base)? else { return Ok(None) };
        let Ok(records) = records(&batch, DecodeBudget::default()) else { return Ok(Some(whole)) };
        let mut largest = None;
        for record in records {
            let Ok(record) = record else { return Ok(Some(whole)) };
            if record.offset >= start {
                largest = largest.max(Some(record.timestamp));
            }
        }
        Ok(largest)
    }

    /// Segments, and the first batch of the tail, that `wanted` says may hold what is sought.
    fn candidates(
        &self,
        from: Offset,
        wanted: impl Fn(TimestampMs) -> bool,
    ) -> Result<(Vec<SegmentMeta>, Option<TailEntry>), ReadError> {
        let state = self.core.lock();
        if state.dropped {
            return Err(ReadError::Dropped(self.core.id));
        }
        let State { segments, tail, start, memory, .. } = &*state;
        let start = &from.max(*start);
        let segments = segments
            .iter()
            .filter(|segment| segment.end > *start && wanted(segment.max_timestamp))
            .copied()
            .collect();
        let is_it = |entry: &TailEntry| !entry.is_gap() && entry.end > *start && wanted(entry.max_timestamp);
        let entry = match memory {
            Some(memory) => memory.entries().map(|(entry, _)| entry).find(is_it),
            None => tail.iter().copied().find(is_it),
        };
        Ok((segments, entry))
    }

    /// The base offset of the first readable batch in `segment` that reaches behind `from` and that `wanted` accepts.
    fn find_in_segment(
        &self,
        segment: &SegmentMeta,
        from: Offset,
        wanted: impl Fn(TimestampMs) -> bool,
    ) -> Result<Option<Offset>, ReadError> {
        let start = self.start().max(from);
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
