//! Reading: from the tail in memory, from the WAL what fell out of it, from segments what was checkpointed.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use duolog_env::File;
use duolog_record::{BatchError, DecodeBudget, rebuild};
use duolog_types::{Nanos, Offset};

use super::core::{Core, State, TailEntry};
use super::handle::Partition;
use super::memory::Part;
use crate::dead::set::Dead;
use crate::error::ReadError;
use crate::log::Shared;
use crate::segment::SegmentMeta;
use crate::segment::store::{Io, segment_path, verify_batch};

/// Batches below this size are copied out of the big group or block they stand in, so that a slow reader pins what
/// it reads and not megabytes around it; above it, the stored bytes themselves are handed out.
const COPY_BELOW_BYTES: usize = 16 << 10;
/// How often a read begins again because the checkpoint or a trim moved what it was about to read.
const ATTEMPTS: usize = 8;

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSpec {
    /// The first offset wanted.
    pub from: Offset,
    /// Only batches that begin below this offset: the high watermark or the last stable offset. What isn't durable
    /// is never read, whatever stands here.
    pub up_to: Offset,
    /// Stop before this many bytes.
    pub max_bytes: usize,
    /// Return the first batch even if it alone is larger than `max_bytes` (KIP-74).
    pub at_least_one: bool,
}

/// Whole batches as stored, in order. The first may begin below the offset asked for (it contains it) or above it
/// (what lies between is gone).
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// Runs of whole, concatenated batches.
    pub runs: Vec<Bytes>,
    /// When each batch arrived, in order.
    pub arrivals: Vec<Nanos>,
    /// Bytes of all runs.
    pub bytes: usize,
    /// Where to go on reading: one behind the last offset returned or found to be gone.
    pub next_offset: Offset,
}

/// The answer from memory, or the work that has to touch the disk.
#[derive(Debug)]
pub enum Read {
    /// From memory.
    Ready(Chunk),
    /// Has to touch the disk: run it where blocking is allowed.
    NeedsDisk(ColdRead),
}

/// A read that touches the disk.
#[derive(Debug)]
pub struct ColdRead {
    partition: Partition,
    spec: ReadSpec,
}

impl ColdRead {
    /// Reads. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub fn run(self) -> Result<Chunk, ReadError> {
        let chunk = read_with(&self.partition, &self.spec, Io::Disk)?;
        Ok(chunk.unwrap_or_else(|| Chunk { next_offset: self.spec.from, ..Chunk::default() }))
    }
}

impl Partition {
    /// Reads batches from memory, or says that the disk is needed.
    ///
    /// # Errors
    /// The offset isn't in the log; the stored bytes are damaged; the partition is gone.
    pub fn read(&self, spec: ReadSpec) -> Result<Read, ReadError> {
        Ok(match read_with(self, &spec, Io::Memory)? {
            Some(chunk) => Read::Ready(chunk),
            None => Read::NeedsDisk(ColdRead { partition: self.clone(), spec }),
        })
    }
}

/// Where the wanted records stand.
enum Plan {
    /// Nothing to read; go on at the offset.
    Nothing(Offset),
    /// A gap up to the offset that nothing follows yet.
    Gap(Offset),
    /// Each comes with what is dead in its range.
    Tail(Vec<TailEntry>, Dead),
    Memory(Vec<Part>),
    Segment(SegmentMeta, Dead),
}

fn read_with(partition: &Partition, spec: &ReadSpec, io: Io) -> Result<Option<Chunk>, ReadError> {
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        let plan = plan(&partition.core, &partition.core.lock(), spec)?;
        let read = match plan {
            Plan::Nothing(next_offset) => return Ok(Some(Chunk { next_offset, ..Chunk::default() })),
            Plan::Gap(end) => return Ok(Some(gap(spec.from, end))),
            Plan::Memory(parts) => return read_memory(&partition.core, parts).map(Some),
            Plan::Tail(entries, dead) => read_tail(&partition.log, &entries, dead, io),
            Plan::Segment(segment, dead) => {
                read_segment(&partition.log, &partition.core, &segment, dead, spec, io)
            }
        };
        match read {
            // The checkpoint recycled the WAL file, or retention deleted the segment, after the plan was made.
            Err(ReadError::Io { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                failed = Some(ReadError::Io { path, source });
            }
            other => return other,
        }
    }
    Err(failed.unwrap_or(ReadError::Dropped(partition.core.id)))
}

fn plan(core: &Core, state: &State, spec: &ReadSpec) -> Result<Plan, ReadError> {
    if state.dropped {
        return Err(ReadError::Dropped(core.id));
    }
    if spec.from < state.start || spec.from > state.high_watermark {
        return Err(ReadError::OutOfRange { from: spec.from, start: state.start, end: state.high_watermark });
    }
    let up_to = spec.up_to.min(state.high_watermark);
    if spec.from >= up_to {
        return Ok(Plan::Nothing(spec.from));
    }
    if let Some(memory) = &state.memory {
        return Ok(match memory.plan(spec, up_to) {
            None => Plan::Gap(up_to),
            Some(parts) if parts.is_empty() => Plan::Nothing(spec.from),
            Some(parts) => Plan::Memory(parts),
        });
    }
    if spec.from < state.checkpointed {
        let at = state.segments.partition_point(|segment| segment.end <= spec.from);
        match state.segments.get(at) {
            Some(segment) if segment.base < up_to => {
                let dead = state.dead.view(segment.base, segment.end);
                return Ok(Plan::Segment(*segment, dead));
            }
            // All between is dead.
            Some(_) => return Ok(Plan::Gap(up_to)),
            None => {}
        }
    }
    let first = state.tail.partition_point(|entry| entry.end <= spec.from);
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut gap_end = None;
    for entry in state.tail.range(first..).take_while(|entry| entry.base < up_to) {
        if entry.is_gap() {
            gap_end = Some(entry.end);
            continue;
        }
        let fits = bytes + entry.len as usize <= spec.max_bytes;
        let must = entries.is_empty() && spec.at_least_one;
        if !(fits || must) {
            gap_end = None;
            break;
        }
        bytes += entry.len as usize;
        entries.push(*entry);
        gap_end = None;
    }
    let hole_end = state.tail.front().map_or(state.checkpointed, |first| first.base).min(up_to);
    Ok(match (entries.first(), entries.last(), gap_end) {
        (Some(first), Some(last), _) => {
            let dead = state.dead.view(first.base, last.end);
            Plan::Tail(entries, dead)
        }
        (_, _, Some(end)) => Plan::Gap(end),
        // What stood here is dead and was dropped, or is a gap that was too long for a segment's table.
        _ if spec.from < hole_end => Plan::Gap(hole_end),
        _ => Plan::Nothing(spec.from),
    })
}

/// A dead range that ends at the high watermark is served as one empty batch: a reader that got nothing would ask
/// for the same offset for ever.
fn gap(from: Offset, end: Offset) -> Chunk {
    // An offset delta has 31 bits; a longer gap takes several steps.
    let end = end.min(from.plus(i64::from(i32::MAX)));
    match duolog_record::empty_range(from, end.plus(-1), duolog_types::TimestampMs(-1)) {
        Ok(empty) => {
            let bytes = empty.len();
            Chunk { runs: vec![empty], arrivals: vec![Nanos(0)], bytes, next_offset: end }
        }
        Err(_) => Chunk { next_offset: end, ..Chunk::default() },
    }
}

/// `batch`, which holds `base..end`, without its dead records; an empty one if all are.
pub(crate) fn without_dead(
    batch: &Bytes,
    dead: &Dead,
    base: Offset,
    end: Offset,
) -> Result<Bytes, BatchError> {
    if !dead.touches(base, end) {
        return Ok(batch.clone());
    }
    rebuild(batch, DecodeBudget::default(), |record| !dead.contains(record.offset))
}

/// Collects batches: small ones are copied together, large ones are handed out as they are, and those with dead
/// records are made anew.
#[derive(Default)]
struct Collector {
    chunk: Chunk,
    copied: BytesMut,
    dead: Dead,
}

impl Collector {
    fn new(dead: Dead) -> Self {
        Self { dead, ..Self::default() }
    }

    /// Adds the batch with the offsets `base..end`. One that can't be taken apart is reported as damaged, by whoever knows where it
    /// stands: its dead records must not be shown.
    fn push(&mut self, batch: Bytes, arrival: Nanos, base: Offset, end: Offset) -> Result<(), BatchError> {
        self.chunk.next_offset = end;
        if self.dead.covers(base, end) {
            return Ok(());
        }
        let batch = without_dead(&batch, &self.dead, base, end)?;
        self.chunk.bytes += batch.len();
        self.chunk.arrivals.push(arrival);
        if batch.len() < COPY_BELOW_BYTES {
            self.copied.extend_from_slice(&batch);
        } else {
            self.flush();
            self.chunk.runs.push(batch);
        }
        Ok(())
    }

    fn flush(&mut self) {
        if !self.copied.is_empty() {
            self.chunk.runs.push(self.copied.split().freeze());
        }
    }

    fn finish(mut self) -> Chunk {
        self.flush();
        self.chunk
    }
}

fn read_memory(core: &Core, parts: Vec<Part>) -> Result<Chunk, ReadError> {
    let mut collector = Collector::default();
    for part in parts {
        let (base, end, arrival) = (part.base, part.end, part.arrival);
        let undecodable = |error: BatchError| ReadError::Undecodable {
            partition: core.id,
            base,
            detail: error.to_string(),
        };
        collector.push(part.batch().map_err(undecodable)?, arrival, base, end).map_err(undecodable)?;
    }
    Ok(collector.finish())
}

fn read_tail(log: &Shared, entries: &[TailEntry], dead: Dead, io: Io) -> Result<Option<Chunk>, ReadError> {
    let mut collector = Collector::new(dead);
    let mut group: Option<(u64, u64, Bytes)> = None;
    if io == Io::Disk {
        read_ahead(log, entries.iter());
    }
    for entry in entries {
        let in_group = |(seq, start, bytes): &(u64, u64, Bytes)| {
            *seq == entry.file_seq && entry.position >= *start && entry.position < start + bytes.len() as u64
        };
        if !group.as_ref().is_some_and(in_group) {
            group = log
                .tail
                .group_at(entry.file_seq, entry.position)
                .map(|(start, bytes)| (entry.file_seq, start, bytes));
        }
        let batch = match &group {
            Some((_, start, bytes)) => {
                let at = (entry.position - start) as usize;
                bytes.slice(at..at + entry.len as usize)
            }
            None if io == Io::Memory => return Ok(None),
            None => read_from_wal(log, entry)?,
        };
        collector.push(batch, entry.arrival, entry.base, entry.end).map_err(|error| ReadError::Corrupt {
            path: log.wal_files.dir().to_path_buf(),
            position: entry.position,
            detail: error.to_string(),
        })?;
    }
    Ok(Some(collector.finish()))
}

/// Has the system fetch batches that fell out of the tail, all at once: the batches of a partition stand scattered over
/// the WAL, and one read at a time would wait for the disk each time.
pub(crate) fn read_ahead<'a>(log: &Shared, entries: impl Iterator<Item = &'a TailEntry>) {
    let mut open: Option<(u64, Arc<dyn File>)> = None;
    for entry in entries.filter(|entry| !entry.is_gap()) {
        if log.tail.group_at(entry.file_seq, entry.position).is_some() {
            continue;
        }
        if open.as_ref().is_none_or(|(seq, _)| *seq != entry.file_seq) {
            let file = log.wal_files.get(entry.file_seq).and_then(|file| file.cached(&*log.env.disk));
            open = file.map(|file| (entry.file_seq, file));
        }
        if let Some((_, file)) = &open {
            file.will_read(entry.position, u64::from(entry.len));
        }
    }
}

/// Reads a batch that fell out of the tail back from its WAL file.
pub(crate) fn read_from_wal(log: &Shared, entry: &TailEntry) -> Result<Bytes, ReadError> {
    let Some(file) = log.wal_files.get(entry.file_seq) else {
        return Err(ReadError::Io {
            path: log.wal_files.dir().to_path_buf(),
            source: io::ErrorKind::NotFound.into(),
        });
    };
    if let Some(cached) = file.cached(&*log.env.disk) {
        let mut bytes = vec![0; entry.len as usize];
        if cached.read_at(&mut bytes, entry.position).is_ok_and(|got| got == bytes.len())
            && verify_batch(&bytes, entry.base).is_ok()
        {
            return Ok(Bytes::from(bytes));
        }
    }
    let bytes = file
        .read_range(entry.position, entry.len as usize)
        .map_err(|source| ReadError::Io { path: file.path.clone(), source })?;
    verify_batch(&bytes, entry.base).map_err(|detail| ReadError::Corrupt {
        path: file.path.clone(),
        position: entry.position,
        detail,
    })?;
    Ok(Bytes::from(bytes))
}

fn read_segment(
    log: &Shared,
    core: &Arc<Core>,
    segment: &SegmentMeta,
    dead: Dead,
    spec: &ReadSpec,
    io: Io,
) -> Result<Option<Chunk>, ReadError> {
    let Some(index) = log.segments.index(core.id, segment, io)? else { return Ok(None) };
    let index = &index[..index.len().min(segment.blocks as usize)];
    let mut collector = Collector::new(dead);
    let mut next_offset = spec.from;
    let first = index.partition_point(|block| block.end <= spec.from);
    let mut read_all = true;
    'blocks: for at in &index[first..] {
        if at.base >= spec.up_to {
            // What lies between is dead.
            next_offset = next_offset.max(spec.up_to);
            read_all = false;
            break;
        }
        if collector.dead.covers(at.base, at.end) {
            next_offset = next_offset.max(at.end);
            continue;
        }
        let room = spec.max_bytes.saturating_sub(collector.chunk.bytes);
        if room == 0 && collector.chunk.bytes > 0 {
            read_all = false;
            break;
        }
        let Some(block) = log.segments.block(core.id, segment, at, io)? else {
            // What is in memory already goes out; the rest is read by the next request.
            if collector.chunk.bytes > 0 {
                read_all = false;
                break;
            }
            return Ok(None);
        };
        let mut position = 0;
        for entry in &block.entries {
            let base = block.base.plus(i64::from(entry.base_delta));
            let end = base.plus(i64::from(entry.offset_count));
            let bytes = position..position + entry.len as usize;
            position = bytes.end;
            if end <= spec.from || entry.len == 0 || collector.dead.covers(base, end) {
                next_offset = next_offset.max(end);
                continue;
            }
            let first = collector.chunk.bytes == 0 && spec.at_least_one;
            let fits = collector.chunk.bytes + bytes.len() <= spec.max_bytes;
            if base >= spec.up_to || !(fits || first) {
                read_all = false;
                break 'blocks;
            }
            let batch = block.data.slice(bytes);
            collector.push(batch, entry.arrival, base, end).map_err(|error| ReadError::Corrupt {
                path: segment_path(log.segments.dir(), segment.name(core.id)),
                position: at.position,
                detail: error.to_string(),
            })?;
            next_offset = end;
        }
    }
    if read_all {
        // What the segment's end says beyond its last batch is dead.
        next_offset = next_offset.max(segment.end.min(spec.up_to));
    }
    let mut chunk = collector.finish();
    if chunk.bytes == 0 && next_offset > spec.from {
        return Ok(Some(gap(spec.from, next_offset)));
    }
    chunk.next_offset = chunk.next_offset.max(next_offset);
    Ok(Some(chunk))
}
