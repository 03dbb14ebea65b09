//! Segment files on disk: names, open files, indexes and blocks, each with its cache.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use duolog_env::{Disk, Env, File, OpenMode};
use duolog_types::{Offset, PartitionId};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::layout::{
    BLOCK_HEADER_BYTES, BlockHeader, BlockRef, FILE_HEADER_BYTES, INDEX_RECORD_BYTES, TABLE_ENTRY_BYTES,
    TableEntry,
};
use super::{SegmentMeta, SegmentName};
use crate::codec::crc32c;
use crate::error::ReadError;

/// Subdirectories that the segments are spread over, by the low byte of the partition's number.
pub(crate) const SHARD_DIRS: u64 = 256;

/// A block as read and verified: every batch's CRC was checked.
#[derive(Debug)]
pub(crate) struct Block {
    pub base: Offset,
    pub entries: Vec<TableEntry>,
    pub data: Bytes,
}

#[derive(Clone)]
struct BlockWeight;

impl Weighter<(SegmentName, u64), Arc<Block>> for BlockWeight {
    fn weight(&self, _: &(SegmentName, u64), block: &Arc<Block>) -> u64 {
        (block.data.len() + block.entries.len() * size_of::<TableEntry>() + 64) as u64
    }
}

#[derive(Clone)]
struct IndexWeight;

impl Weighter<SegmentName, Arc<Vec<BlockRef>>> for IndexWeight {
    fn weight(&self, _: &SegmentName, index: &Arc<Vec<BlockRef>>) -> u64 {
        (index.len() * size_of::<BlockRef>() + 64) as u64
    }
}

/// Whether a read may touch the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    /// Only what is in memory.
    Memory,
    /// May block.
    Disk,
}

/// All segments of a data directory.
pub(crate) struct SegmentStore {
    env: Env,
    dir: PathBuf,
    files: Cache<SegmentName, Arc<dyn File>>,
    indexes: Cache<SegmentName, Arc<Vec<BlockRef>>, IndexWeight>,
    blocks: Cache<(SegmentName, u64), Arc<Block>, BlockWeight>,
}

impl SegmentStore {
    pub(crate) fn new(env: &Env, dir: PathBuf, cache_bytes: u64, max_open_files: usize) -> Self {
        let index_bytes = cache_bytes / 8;
        Self {
            env: env.clone(),
            dir,
            files: Cache::new(max_open_files.max(1)),
            indexes: Cache::with_weighter(1024, index_bytes, IndexWeight),
            blocks: Cache::with_weighter(1024, cache_bytes - index_bytes, BlockWeight),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.env.disk
    }

    /// The block of `segment` at place `number` of its index.
    pub(crate) fn block(
        &self,
        partition: PartitionId,
        segment: &SegmentMeta,
        at: &BlockRef,
        io: Io,
    ) -> Result<Option<Arc<Block>>, ReadError> {
        let key = (segment.name(partition), at.position);
        if let Some(block) = self.blocks.get(&key) {
            return Ok(Some(block));
        }
        if io == Io::Memory {
            return Ok(None);
        }
        let block = Arc::new(self.read_block(partition, segment, at)?);
        self.blocks.insert(key, block.clone());
        Ok(Some(block))
    }

    /// Reads a block past the cache.
    pub(crate) fn read_block(
        &self,
        partition: PartitionId,
        segment: &SegmentMeta,
        at: &BlockRef,
    ) -> Result<Block, ReadError> {
        let name = segment.name(partition);
        let path = segment_path(&self.dir, name);
        let file = self.file(name, &path)?;
        let mut bytes = vec![0; at.block_bytes as usize];
        let got = file
            .read_at(&mut bytes, at.position)
            .map_err(|source| ReadError::Io { path: path.clone(), source })?;
        bytes.truncate(got);
        verify_block(Bytes::from(bytes), partition, at).map_err(|detail| ReadError::Corrupt {
            path,
            position: at.position,
            detail,
        })
    }

    /// The index of `segment`, at least as long as its block count says.
    pub(crate) fn index(
        &self,
        partition: PartitionId,
        segment: &SegmentMeta,
        io: Io,
    ) -> Result<Option<Arc<Vec<BlockRef>>>, ReadError> {
        let key = segment.name(partition);
        if let Some(index) = self.indexes.get(&key)
            && index.len() >= segment.blocks as usize
        {
            return Ok(Some(index));
        }
        if io == Io::Memory {
            return Ok(None);
        }
        let index = match self.read_index(partition, segment) {
            Some(index) => index,
            None => self.rebuild_index(partition, segment)?,
        };
        let index = Arc::new(index);
        self.indexes.insert(key, index.clone());
        Ok(Some(index))
    }

    fn read_index(&self, partition: PartitionId, segment: &SegmentMeta) -> Option<Vec<BlockRef>> {
        let path = index_path(&self.dir, segment.name(partition));
        let file = self.env.disk.open(&path, OpenMode::Read).ok()?;
        let mut bytes = vec![0; segment.blocks as usize * INDEX_RECORD_BYTES];
        let got = file.read_at(&mut bytes, FILE_HEADER_BYTES as u64).ok()?;
        let index: Option<Vec<BlockRef>> =
            bytes[..got].chunks_exact(INDEX_RECORD_BYTES).map(BlockRef::get).collect();
        let index = index.filter(|index| index.len() == segment.blocks as usize && is_chain(index, segment));
        if index.is_none() {
            tracing::warn!(path = %path.display(), "an index is damaged or missing; it is rebuilt from its segment");
        }
        index
    }

    /// Walks the block headers: the index holds nothing that they don't.
    fn rebuild_index(
        &self,
        partition: PartitionId,
        segment: &SegmentMeta,
    ) -> Result<Vec<BlockRef>, ReadError> {
        let path = segment_path(&self.dir, segment.name(partition));
        let file = self.file(segment.name(partition), &path)?;
        let mut index = Vec::new();
        let mut position = FILE_HEADER_BYTES as u64;
        while position < segment.file_bytes {
            let mut bytes = [0; BLOCK_HEADER_BYTES];
            file.read_at(&mut bytes, position)
                .map_err(|source| ReadError::Io { path: path.clone(), source })?;
            let header = BlockHeader::decode(&bytes, partition).map_err(|detail| ReadError::Corrupt {
                path: path.clone(),
                position,
                detail,
            })?;
            let block_bytes = header.block_bytes();
            index.push(BlockRef {
                base: header.base,
                end: header.end,
                position,
                max_timestamp: header.max_timestamp,
                block_bytes: u32::try_from(block_bytes).unwrap_or(u32::MAX),
            });
            position += block_bytes;
        }
        Ok(index)
    }

    fn file(&self, key: SegmentName, path: &Path) -> Result<Arc<dyn File>, ReadError> {
        self.files
            .get_or_insert_with(&key, || self.env.disk.open(path, OpenMode::Read))
            .map_err(|source| ReadError::Io { path: path.to_path_buf(), source })
    }

    /// Deletes a segment's files. What isn't there any more is no error: a crash may have come in between.
    pub(crate) fn delete(&self, name: SegmentName) -> io::Result<()> {
        self.files.remove(&name);
        self.indexes.remove(&name);
        for path in [segment_path(&self.dir, name), index_path(&self.dir, name)] {
            match self.env.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for SegmentStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentStore({})", self.dir.display())
    }
}

/// The directory of a partition's segments.
pub(crate) fn shard_dir(dir: &Path, partition: PartitionId) -> PathBuf {
    dir.join(format!("{:02x}", partition.0 % SHARD_DIRS))
}

pub(crate) fn segment_path(dir: &Path, name: SegmentName) -> PathBuf {
    path(dir, name, "seg")
}

pub(crate) fn index_path(dir: &Path, name: SegmentName) -> PathBuf {
    path(dir, name, "idx")
}

fn path(dir: &Path, name: SegmentName, kind: &str) -> PathBuf {
    let SegmentName { partition, base, revision } = name;
    let file = match revision {
        0 => format!("{}-{:020}.{kind}", partition.0, base.0),
        _ => format!("{}-{:020}.r{revision}.{kind}", partition.0, base.0),
    };
    shard_dir(dir, partition).join(file)
}

/// Whether the records follow each other from the segment's begin to its end.
fn is_chain(index: &[BlockRef], segment: &SegmentMeta) -> bool {
    let mut position = FILE_HEADER_BYTES as u64;
    index.iter().all(|block| {
        let follows = block.position == position;
        position += u64::from(block.block_bytes);
        follows
    }) && position == segment.file_bytes
}

fn verify_block(bytes: Bytes, partition: PartitionId, at: &BlockRef) -> Result<Block, String> {
    let header = BlockHeader::decode(&bytes, partition)?;
    if header.block_bytes() != bytes.len() as u64 || header.base != at.base || header.end != at.end {
        return Err(format!(
            "the block of offsets {}..{} isn't the one the index names",
            header.base, header.end
        ));
    }
    let table = &bytes[BLOCK_HEADER_BYTES..BLOCK_HEADER_BYTES + header.table_bytes()];
    if crc32c(table) != header.table_crc {
        return Err("the block's table is damaged".into());
    }
    let entries: Option<Vec<TableEntry>> =
        table.chunks_exact(TABLE_ENTRY_BYTES).map(TableEntry::get).collect();
    let entries = entries.ok_or("the block's table is cut short")?;
    let data = bytes.slice(BLOCK_HEADER_BYTES + header.table_bytes()..);
    let mut from = 0;
    for entry in entries.iter().filter(|entry| entry.len > 0) {
        let base = header.base.plus(i64::from(entry.base_delta));
        let batch = data.get(from..from + entry.len as usize).ok_or("the block's table and data disagree")?;
        verify_batch(batch, base)?;
        from += entry.len as usize;
    }
    if from != data.len() {
        return Err("the block's table and data disagree".into());
    }
    Ok(Block { base: header.base, entries, data })
}

/// Checks that `batch` is the one that begins at `base`, whole and undamaged.
pub(crate) fn verify_batch(batch: &[u8], base: Offset) -> Result<(), String> {
    let header = duolog_record::BatchHeader::parse(batch).map_err(|error| error.to_string())?;
    if header.base_offset != base || header.size_bytes() != batch.len() {
        return Err(format!(
            "a batch of {} bytes at offset {base} says it has {} bytes and offset {}",
            batch.len(),
            header.size_bytes(),
            header.base_offset
        ));
    }
    duolog_record::verify_crc(batch).map_err(|error| error.to_string())
}
