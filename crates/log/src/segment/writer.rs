//! Laying a partition's batches out as blocks and appending them to its segments.

use std::io;
use std::sync::Arc;

use duolog_env::{Disk, File, OpenMode};
use duolog_types::{Nanos, Offset, PartitionId, TimestampMs};

use super::layout::{
    BLOCK_TARGET_BYTES, BlockHeader, BlockRef, FILE_HEADER_BYTES, INDEX_RECORD_BYTES, TableEntry,
    index_header, segment_header,
};
use super::store::{SegmentStore, index_path, segment_path};
use super::{SegmentMeta, SegmentName};
use crate::codec::{Put, crc32c};
use crate::partition::core::TailEntry;

/// Appends to one partition's segments during one checkpoint.
pub(crate) struct SegmentWriter<'a> {
    store: &'a SegmentStore,
    disk: &'a dyn Disk,
    partition: PartitionId,
    seal_bytes: u64,
    segments: Vec<SegmentMeta>,
    open: Option<OpenSegment>,
    block: BlockBuilder,
    /// Dead offsets since the last entry.
    left_out: u64,
    /// Files to be synced before the manifest may name what was written.
    touched: &'a mut Vec<Arc<dyn File>>,
    /// What was begun, before it was.
    undo: &'a mut Vec<Undo>,
}

/// What a checkpoint is about to write to a segment, for when it finds no room.
#[derive(Debug)]
pub(crate) struct Undo {
    name: SegmentName,
    /// Bytes of the file and blocks that the catalogue names; `None` for a new segment.
    kept: Option<(u64, u32)>,
}

impl Undo {
    /// Gives back what was written, so that a checkpoint that found no room takes none.
    pub(crate) fn give_back(&self, store: &SegmentStore) -> io::Result<()> {
        let Some((file_bytes, blocks)) = self.kept else { return store.delete(self.name) };
        let cuts = [
            (segment_path(store.dir(), self.name), file_bytes),
            (index_path(store.dir(), self.name), index_position(blocks)),
        ];
        for (path, len) in cuts {
            let file = match store.disk().open(&path, OpenMode::ReadWrite) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if file.len()? > len {
                file.set_len(len)?;
            }
        }
        Ok(())
    }
}

struct OpenSegment {
    file: Arc<dyn File>,
    index: Arc<dyn File>,
}

#[derive(Default)]
struct BlockBuilder {
    entries: Vec<(TailEntry, TableEntry)>,
    data: Vec<u8>,
    /// Dead offsets that were left out: in front of the first entry, and behind it.
    dead_before: u64,
    dead_within: u64,
}

impl<'a> SegmentWriter<'a> {
    /// Goes on behind `segments`.
    pub(crate) fn new(
        store: &'a SegmentStore,
        partition: PartitionId,
        segments: Vec<SegmentMeta>,
        seal_bytes: u64,
        touched: &'a mut Vec<Arc<dyn File>>,
        undo: &'a mut Vec<Undo>,
    ) -> Self {
        let disk = store.disk();
        Self {
            store,
            disk,
            partition,
            seal_bytes,
            segments,
            open: None,
            block: BlockBuilder::default(),
            left_out: 0,
            touched,
            undo,
        }
    }

    /// Goes on in a new file that takes the place of `segment`, without sealing it.
    pub(crate) fn rewrite(
        store: &'a SegmentStore,
        partition: PartitionId,
        segment: &SegmentMeta,
        touched: &'a mut Vec<Arc<dyn File>>,
        undo: &'a mut Vec<Undo>,
    ) -> Self {
        let next = SegmentMeta {
            first_arrival: segment.first_arrival,
            ..empty_segment(segment.base, segment.revision + 1)
        };
        Self::new(store, partition, vec![next], u64::MAX, touched, undo)
    }

    /// Leaves `count` dead offsets out.
    pub(crate) fn leave_out(&mut self, count: u64) {
        self.left_out += count;
    }

    /// Adds a batch (or a gap, with empty `bytes`).
    pub(crate) fn add(&mut self, entry: TailEntry, bytes: &[u8]) -> io::Result<()> {
        let base = self.block.entries.first().map_or(entry.base, |(first, _)| first.base);
        if !self.block.entries.is_empty()
            && (self.block.data.len() + bytes.len() > self.block_bytes() || delta(base, entry.end).is_none())
        {
            self.flush_block()?;
        }
        let base = self.block.entries.first().map_or(entry.base, |(first, _)| first.base);
        let (Some(base_delta), Some(offset_count)) = (delta(base, entry.base), delta(entry.base, entry.end))
        else {
            // A gap of more than 2^32 offsets: nothing needs to say so, the next batch's offset does.
            return Ok(());
        };
        let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let table = TableEntry {
            base_delta,
            offset_count,
            len,
            arrival: entry.arrival,
            max_timestamp: entry.max_timestamp,
        };
        match self.block.entries.is_empty() {
            true => self.block.dead_before += self.left_out,
            false => self.block.dead_within += self.left_out,
        }
        self.left_out = 0;
        self.block.entries.push((entry, table));
        self.block.data.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what is left and returns the new list of segments.
    pub(crate) fn finish(mut self) -> io::Result<Vec<SegmentMeta>> {
        self.flush_block()?;
        Ok(self.segments)
    }

    /// Small segments get small blocks, so that they are sealed where they should be.
    fn block_bytes(&self) -> usize {
        usize::try_from(self.seal_bytes).map_or(BLOCK_TARGET_BYTES, |seal| seal.min(BLOCK_TARGET_BYTES))
    }

    fn flush_block(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        let (Some((first, _)), Some((last, _))) = (block.entries.first(), block.entries.last()) else {
            return Ok(());
        };
        let mut table = Vec::with_capacity(block.entries.len() * super::layout::TABLE_ENTRY_BYTES);
        block.entries.iter().for_each(|(_, entry)| entry.put(&mut table));
        let max_timestamp =
            block.entries.iter().map(|(entry, _)| entry.max_timestamp).max().unwrap_or(TimestampMs(-1));
        let header = BlockHeader {
            partition: self.partition,
            base: first.base,
            end: last.end,
            max_timestamp,
            entry_count: block.entries.len() as u32,
            data_bytes: block.data.len() as u32,
            table_crc: crc32c(&table),
        };
        let mut out = header.encode();
        out.put(&table);
        out.put(&block.data);

        let (segment, open) = self.segment_for(first)?;
        let position = segment.file_bytes;
        open.file.write_at(&out, position)?;
        let mut record = Vec::with_capacity(INDEX_RECORD_BYTES);
        let block_ref = BlockRef {
            base: header.base,
            end: header.end,
            position,
            max_timestamp,
            block_bytes: out.len() as u32,
        };
        block_ref.put(&mut record);
        open.index.write_at(&record, index_position(segment.blocks))?;
        // In front of a segment's first block lies what isn't in its range.
        segment.reclaimed += block.dead_within + if segment.blocks > 0 { block.dead_before } else { 0 };
        segment.end = header.end;
        segment.file_bytes += out.len() as u64;
        segment.data_bytes += block.data.len() as u64;
        segment.blocks += 1;
        segment.max_timestamp = segment.max_timestamp.max(max_timestamp);
        Ok(())
    }

    /// The segment that the next block goes to: the last one, or a new one if that is full.
    fn segment_for(&mut self, first: &TailEntry) -> io::Result<(&mut SegmentMeta, &OpenSegment)> {
        let full = self.segments.last().is_none_or(|last| last.file_bytes >= self.seal_bytes);
        if full {
            self.open = None;
            self.segments.push(SegmentMeta { first_arrival: first.arrival, ..empty_segment(first.base, 0) });
        }
        let Some(segment) = self.segments.last_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let name = segment.name(self.partition);
                let seg = segment_path(self.store.dir(), name);
                let idx = index_path(self.store.dir(), name);
                let new = segment.blocks == 0;
                self.undo.push(Undo { name, kept: (!new).then_some((segment.file_bytes, segment.blocks)) });
                let opened = if new {
                    OpenSegment {
                        file: create_or_reset(
                            self.disk,
                            &seg,
                            &segment_header(self.partition, segment.base),
                        )?,
                        index: create_or_reset(self.disk, &idx, &index_header(self.partition, segment.base))?,
                    }
                } else {
                    // An index that was lost is begun anew: what is missing in front makes readers rebuild it.
                    let index = match self.disk.open(&idx, OpenMode::ReadWrite) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {
                            create_or_reset(self.disk, &idx, &index_header(self.partition, segment.base))?
                        }
                        other => other?,
                    };
                    OpenSegment { file: self.disk.open(&seg, OpenMode::ReadWrite)?, index }
                };
                self.touched.extend([opened.file.clone(), opened.index.clone()]);
                opened
            }
        };
        Ok((segment, self.open.insert(open)))
    }
}

/// A segment that has no file yet.
fn empty_segment(base: Offset, revision: u32) -> SegmentMeta {
    SegmentMeta {
        base,
        revision,
        end: base,
        file_bytes: FILE_HEADER_BYTES as u64,
        data_bytes: 0,
        blocks: 0,
        max_timestamp: TimestampMs(-1),
        first_arrival: Nanos(0),
        reclaimed: 0,
    }
}

fn index_position(block: u32) -> u64 {
    (FILE_HEADER_BYTES + block as usize * INDEX_RECORD_BYTES) as u64
}

fn delta(from: Offset, to: Offset) -> Option<u32> {
    u32::try_from(to.0.checked_sub(from.0)?).ok()
}

/// A new file with `header`; what a checkpoint that didn't finish left under the name is cut off.
fn create_or_reset(disk: &dyn Disk, path: &std::path::Path, header: &[u8]) -> io::Result<Arc<dyn File>> {
    let file = match disk.open(path, OpenMode::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = disk.open(path, OpenMode::ReadWrite)?;
            file.set_len(0)?;
            file
        }
        other => other?,
    };
    file.write_at(header, 0)?;
    Ok(file)
}
