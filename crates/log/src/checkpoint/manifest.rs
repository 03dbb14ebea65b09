//! The manifest: from where the WAL counts, and where each shard's snapshot stands.
//!
//! Two slots, `MANIFEST-a` and `MANIFEST-b`, written in turn; each carries a generation and a CRC. The older one
//! stays valid while the newer one is written.

use std::io;
use std::path::{Path, PathBuf};

use duolog_env::{Env, OpenMode};
use duolog_types::{Lsn, PartitionId};

use crate::codec::{Get, Put, crc32c};
use crate::error::OpenError;
use crate::segment::SegmentName;
use crate::table::TableId;
use crate::wal::reader::Window;
use crate::wal::writer::DurablePoint;

/// The newest format of manifests that this binary writes and reads.
pub(crate) const MANIFEST_VERSION: u32 = 2;
const MAGIC: u64 = u64::from_le_bytes(*b"DUOLOGmf");
const HEADER_BYTES: usize = 24;
const REF_BYTES: usize = 42;
/// Far more than the shards of all tables need; keeps a damaged length from being believed.
const BODY_LIMIT_BYTES: usize = 256 << 20;
const SLOTS: [&str; 2] = ["MANIFEST-a", "MANIFEST-b"];

/// What a snapshot is of. In this order they are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SnapshotKey {
    /// A shard of a state table.
    Shard(TableId, u32),
    /// A chunk of a partition's dead offsets.
    Dead(PartitionId, u64),
}

/// Where a snapshot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRef {
    pub key: SnapshotKey,
    /// The snapshot file's generation.
    pub file: u64,
    pub position: u64,
    pub len: u32,
    pub crc: u32,
    /// The newest entry that it includes.
    pub as_of: Lsn,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The format that it was read in.
    pub version: u32,
    pub generation: u64,
    /// Recovery replays what stands behind this point.
    pub point: DurablePoint,
    /// The next partition number to give.
    pub next_partition: u64,
    pub snapshots: Vec<SnapshotRef>,
    /// Segments that nothing names any more: deleted after this manifest became durable, and again at the next start.
    pub garbage: Vec<SegmentName>,
}

impl Default for Manifest {
    fn default() -> Self {
        let point = DurablePoint { lsn: Lsn::ZERO, file_seq: 0, position: 0, chain: 0 };
        let (snapshots, garbage) = (Vec::new(), Vec::new());
        Self { version: MANIFEST_VERSION, generation: 0, point, next_partition: 1, snapshots, garbage }
    }
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.snapshots.len() * REF_BYTES);
        body.put_u64(self.generation);
        body.put_u64(self.point.lsn.0);
        body.put_u64(self.point.file_seq);
        body.put_u64(self.point.position);
        body.put_u32(self.point.chain);
        body.put_u64(self.next_partition);
        let shards = self.snapshots.iter().filter(|found| matches!(found.key, SnapshotKey::Shard(..)));
        body.put_u32(shards.clone().count() as u32);
        for snapshot in shards {
            let SnapshotKey::Shard(table, shard) = snapshot.key else { continue };
            body.put_u16(table.0);
            body.put_u32(shard);
            body.put_u64(snapshot.file);
            body.put_u64(snapshot.position);
            body.put_u32(snapshot.len);
            body.put_u32(snapshot.crc);
            body.put_u64(snapshot.as_of.0);
            body.put_u32(0); // flags
        }
        body.put_u32(self.garbage.len() as u32);
        for name in &self.garbage {
            body.put_u64(name.partition.0);
            body.put_i64(name.base.0);
            body.put_u32(name.revision);
        }
        let chunks = self.snapshots.iter().filter(|found| matches!(found.key, SnapshotKey::Dead(..)));
        body.put_u32(chunks.clone().count() as u32);
        for snapshot in chunks {
            let SnapshotKey::Dead(partition, chunk) = snapshot.key else { continue };
            body.put_u64(partition.0);
            body.put_u64(chunk);
            body.put_u64(snapshot.file);
            body.put_u64(snapshot.position);
            body.put_u32(snapshot.len);
            body.put_u32(snapshot.crc);
        }
        let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
        out.put_u64(MAGIC);
        out.put_u32(MANIFEST_VERSION);
        out.put_u32(body.len() as u32);
        out.put_u32(crc32c(&body));
        let crc = crc32c(&out);
        out.put_u32(crc);
        out.put(&body);
        out
    }

    fn decode_body(body: &[u8], version: u32) -> Option<Self> {
        let mut get = Get::new(body);
        let generation = get.u64()?;
        let point = DurablePoint {
            lsn: Lsn(get.u64()?),
            file_seq: get.u64()?,
            position: get.u64()?,
            chain: get.u32()?,
        };
        let next_partition = get.u64()?;
        let count = get.u32()? as usize;
        let mut snapshots = Vec::with_capacity(count.min(body.len() / REF_BYTES + 1));
        for _ in 0..count {
            snapshots.push(SnapshotRef {
                key: SnapshotKey::Shard(TableId(get.u16()?), get.u32()?),
                file: get.u64()?,
                position: get.u64()?,
                len: get.u32()?,
                crc: get.u32()?,
                as_of: Lsn(get.u64()?),
            });
            let _flags = get.u32()?;
        }
        let mut garbage = Vec::new();
        for _ in 0..get.u32()? {
            let (partition, base) = (PartitionId(get.u64()?), get.offset()?);
            let revision = if version < 2 { 0 } else { get.u32()? };
            garbage.push(SegmentName { partition, base, revision });
        }
        let chunks = if version < 2 { 0 } else { get.u32()? };
        for _ in 0..chunks {
            snapshots.push(SnapshotRef {
                key: SnapshotKey::Dead(PartitionId(get.u64()?), get.u64()?),
                file: get.u64()?,
                position: get.u64()?,
                len: get.u32()?,
                crc: get.u32()?,
                as_of: Lsn::ZERO,
            });
        }
        get.is_empty().then_some(Self { version, generation, point, next_partition, snapshots, garbage })
    }
}

/// What a slot holds.
enum Slot {
    Missing,
    Damaged,
    Whole(Manifest),
}

fn read_slot(env: &Env, path: &Path) -> Result<Slot, OpenError> {
    let io = |error| OpenError::io("reading", path, error);
    // Past the page cache: after a failed sync the kernel may hold, as clean, what the disk never got. Files that
    // such a manifest doesn't name any more are used again, and the next power cut would bring its predecessor back.
    let file = match env.disk.open(path, OpenMode::Direct) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Slot::Missing),
        other => other.map_err(io)?,
    };
    let mut window = Window::new(file).map_err(io)?;
    let Ok(header) = <[u8; HEADER_BYTES]>::try_from(window.get(0, HEADER_BYTES).map_err(io)?) else {
        return Ok(Slot::Damaged);
    };
    let mut get = Get::new(&header);
    let (magic, version) = (get.u64(), get.u32().unwrap_or(0));
    let (len, body_crc, crc) = (get.u32().unwrap_or(0) as usize, get.u32(), get.u32());
    if magic != Some(MAGIC) || crc != Some(crc32c(&header[..HEADER_BYTES - 4])) || len > BODY_LIMIT_BYTES {
        return Ok(Slot::Damaged);
    }
    if version > MANIFEST_VERSION {
        return Err(OpenError::TooNew { path: path.to_path_buf(), found: version, known: MANIFEST_VERSION });
    }
    if window.size() < (HEADER_BYTES + len) as u64 {
        return Ok(Slot::Damaged);
    }
    let whole = window.get(0, HEADER_BYTES + len).map_err(io)?;
    let Some(body) = whole.get(HEADER_BYTES..HEADER_BYTES + len) else { return Ok(Slot::Damaged) };
    if body_crc != Some(crc32c(body)) {
        return Ok(Slot::Damaged);
    }
    Ok(Manifest::decode_body(body, version).map_or(Slot::Damaged, Slot::Whole))
}

/// The newest whole manifest; `None` in a directory that never had one.
pub(crate) fn read(env: &Env, dir: &Path) -> Result<Option<Manifest>, OpenError> {
    let mut newest: Option<Manifest> = None;
    let mut damaged = None;
    for path in SLOTS.map(|name| dir.join(name)) {
        match read_slot(env, &path)? {
            Slot::Missing => {}
            Slot::Damaged => damaged = Some(path),
            Slot::Whole(manifest) => {
                if newest.as_ref().is_none_or(|newest| newest.generation < manifest.generation) {
                    newest = Some(manifest);
                }
            }
        }
    }
    if newest.is_none()
        && let Some(path) = damaged
        && has_wal_groups(env, dir)
    {
        return Err(missing(path));
    }
    if let Some(newest) = &newest {
        // A process that was killed may have written it and not synced it; from here on it is relied upon.
        sync(env, dir, newest).map_err(|error| OpenError::io("syncing the manifest of", dir, error))?;
    }
    Ok(newest)
}

fn sync(env: &Env, dir: &Path, manifest: &Manifest) -> io::Result<()> {
    env.disk.open(&slot(dir, manifest.generation), OpenMode::ReadWrite)?.sync_data()?;
    env.disk.sync_dir(dir)
}

/// The slot that a generation stands in.
fn slot(dir: &Path, generation: u64) -> PathBuf {
    dir.join(SLOTS[(generation % 2) as usize])
}

/// The error for a directory whose manifests are gone although it holds data.
pub(crate) fn missing(path: PathBuf) -> OpenError {
    OpenError::Corrupt {
        path,
        position: 0,
        after: Lsn::ZERO,
        detail: "there is no whole manifest, but the directory holds data".into(),
        way_out: "Restore MANIFEST-a or MANIFEST-b from a copy",
    }
}

/// Whether any WAL file holds a group: then there must have been a manifest.
pub(crate) fn has_wal_groups(env: &Env, dir: &Path) -> bool {
    use crate::wal::layout::{FILE_HEADER_BYTES, GroupHeader};
    let wal = dir.join("wal");
    let names = env.disk.list(&wal).unwrap_or_default();
    names.iter().filter(|name| name.ends_with(".wal")).any(|name| {
        let mut sector = vec![0; FILE_HEADER_BYTES as usize];
        let file = env.disk.open(&wal.join(name), OpenMode::Read);
        file.is_ok_and(|file| file.read_at(&mut sector, FILE_HEADER_BYTES).is_ok())
            && GroupHeader::decode_any(&sector).is_some()
    })
}

/// Writes `manifest` into the slot that its predecessor isn't in, and makes it durable.
pub(crate) fn write(env: &Env, dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let path = slot(dir, manifest.generation);
    let encoded = manifest.encode();
    let file = match env.disk.open(&path, OpenMode::ReadWrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => env.disk.open(&path, OpenMode::CreateNew)?,
        other => other?,
    };
    file.write_at(&encoded, 0)?;
    file.set_len(encoded.len() as u64)?;
    file.sync_data()?;
    // Also when the name was there: a process that was killed may have made it and not synced it.
    env.disk.sync_dir(dir)
}
