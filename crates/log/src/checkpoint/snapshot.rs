//! Snapshot files: the shards that changed since the checkpoint before, one after the other.
//!
//! `snapshots/<generation>.snap` is written once and never changed. A shard's newest snapshot may stand in an old
//! file; when more than half of all bytes are superseded, the live ones are copied into the new file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use duolog_env::{Env, OpenMode};
use duolog_types::{Lsn, PartitionId};

use super::manifest::{SnapshotKey, SnapshotRef};
use crate::codec::{Put, crc32c};
use crate::error::OpenError;

const MAGIC: u64 = u64::from_le_bytes(*b"DUOLOGsn");
const SNAPSHOT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
/// Below this size superseded bytes aren't worth copying the live ones.
const COMPACT_FROM_BYTES: u64 = 1 << 20;

/// A new state of what `key` names.
pub(crate) struct NewShard {
    pub key: SnapshotKey,
    pub as_of: Lsn,
    /// `None`: it is gone.
    pub bytes: Option<Bytes>,
}

/// What a new snapshot file is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thrift {
    /// To have little superseded in the end, at the price of copying.
    AsBest,
    /// To take as little room as it can.
    OnlyNew,
}

/// Where every shard's newest snapshot stands.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    refs: BTreeMap<SnapshotKey, SnapshotRef>,
    /// Size of each file that is named.
    files: BTreeMap<u64, u64>,
}

impl Snapshots {
    pub(crate) fn from_refs(refs: &[SnapshotRef]) -> Self {
        let mut snapshots = Self::default();
        for found in refs {
            let end = found.position + u64::from(found.len);
            let size = snapshots.files.entry(found.file).or_default();
            *size = end.max(*size);
            snapshots.refs.insert(found.key, *found);
        }
        snapshots
    }

    pub(crate) fn refs(&self) -> impl Iterator<Item = &SnapshotRef> {
        self.refs.values()
    }

    /// Bytes of all newest snapshots.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.refs.values().map(|found| u64::from(found.len)).sum()
    }

    /// Writes `shards` into the file of `generation`, durable but not yet named by a manifest; returns what will be
    /// in force then.
    pub(crate) fn write(
        &self,
        env: &Env,
        dir: &Path,
        generation: u64,
        shards: Vec<NewShard>,
        thrift: Thrift,
        dropped: &[PartitionId],
    ) -> io::Result<Self> {
        let mut next = Self { refs: self.refs.clone(), files: self.files.clone() };
        let mut blobs: Vec<(SnapshotKey, Lsn, Bytes)> = Vec::with_capacity(shards.len());
        for NewShard { key, as_of, bytes } in shards {
            match bytes {
                Some(bytes) => blobs.push((key, as_of, bytes)),
                None => {
                    next.refs.remove(&key);
                }
            }
        }
        for partition in dropped {
            let chunks = SnapshotKey::Dead(*partition, 0)..=SnapshotKey::Dead(*partition, u64::MAX);
            next.refs.retain(|key, _| !chunks.contains(key));
        }
        let total: u64 = self.files.values().sum();
        let is_worth_it = total > COMPACT_FROM_BYTES && total > 2 * self.live_bytes();
        if is_worth_it && thrift == Thrift::AsBest {
            let fresh: std::collections::BTreeSet<_> = blobs.iter().map(|(key, ..)| *key).collect();
            for found in next.refs.values().filter(|found| !fresh.contains(&found.key)) {
                let bytes = read(env, dir, found).map_err(|error| match error {
                    OpenError::Io { source, .. } => source,
                    other => io::Error::other(other.to_string()),
                })?;
                blobs.push((found.key, found.as_of, bytes));
            }
        }
        if blobs.is_empty() {
            return Ok(next);
        }
        let mut out = Vec::new();
        out.put_u64(MAGIC);
        out.put_u32(SNAPSHOT_VERSION);
        out.put_u32(0); // flags
        debug_assert_eq!(out.len(), HEADER_BYTES);
        for (key, as_of, bytes) in &blobs {
            let found = SnapshotRef {
                key: *key,
                file: generation,
                position: out.len() as u64,
                len: u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?,
                crc: crc32c(bytes),
                as_of: *as_of,
            };
            out.put(bytes);
            next.refs.insert(*key, found);
        }
        let path = path(dir, generation);
        let file = match env.disk.open(&path, OpenMode::CreateNew) {
            // A checkpoint that didn't finish used this generation before.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = env.disk.open(&path, OpenMode::ReadWrite)?;
                file.set_len(0)?;
                file
            }
            other => other?,
        };
        file.write_at(&out, 0)?;
        file.sync_data()?;
        if !duolog_env::seeded_bug("no_directory_sync") {
            env.disk.sync_dir(&dir.join("snapshots"))?;
        }
        next.files.insert(generation, out.len() as u64);
        Ok(next)
    }

    /// Deletes the files that no shard's newest snapshot stands in.
    pub(crate) fn delete_unused(&mut self, env: &Env, dir: &Path) {
        let used: std::collections::BTreeSet<u64> = self.refs.values().map(|found| found.file).collect();
        self.files.retain(|file, _| {
            let keep = used.contains(file);
            if !keep && let Err(error) = env.disk.remove(&path(dir, *file)) {
                tracing::warn!(%error, file, "a superseded snapshot can't be removed");
            }
            keep
        });
    }
}

fn path(dir: &Path, generation: u64) -> PathBuf {
    dir.join("snapshots").join(format!("{generation:016x}.snap"))
}

/// Removes the file of a checkpoint that isn't in force, if it got so far.
pub(crate) fn give_back(env: &Env, dir: &Path, generation: u64) {
    match env.disk.remove(&path(dir, generation)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(generation, %error, "the snapshot of a checkpoint that failed can't be removed");
        }
        _ => {}
    }
}

/// Reads one shard's snapshot back.
pub(crate) fn read(env: &Env, dir: &Path, found: &SnapshotRef) -> Result<Bytes, OpenError> {
    let path = path(dir, found.file);
    let damaged = |detail: String| OpenError::Corrupt {
        path: path.clone(),
        position: found.position,
        after: found.as_of,
        detail,
        way_out: "Restore the file from a copy",
    };
    let file = match env.disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("the file that the manifest names is missing".into()));
        }
        other => other.map_err(|error| OpenError::io("reading", &path, error))?,
    };
    let len = file.len().map_err(|error| OpenError::io("reading", &path, error))?;
    if len < found.position + u64::from(found.len) {
        return Err(damaged(format!("the file ends at byte {len}")));
    }
    let mut bytes = vec![0; found.len as usize];
    file.read_at(&mut bytes, found.position).map_err(|error| OpenError::io("reading", &path, error))?;
    if crc32c(&bytes) != found.crc {
        return Err(damaged(format!("the snapshot of {:?} is damaged", found.key)));
    }
    Ok(Bytes::from(bytes))
}

/// Removes snapshot files that `refs` don't name: leftovers of a checkpoint that a crash cut short.
pub(crate) fn remove_strays(env: &Env, dir: &Path, refs: &[SnapshotRef]) -> io::Result<()> {
    let names = env.disk.list(&dir.join("snapshots"))?;
    for name in names {
        let generation = name.strip_suffix(".snap").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        if generation.is_some_and(|generation| refs.iter().all(|found| found.file != generation)) {
            env.disk.remove(&dir.join("snapshots").join(&name))?;
        }
    }
    Ok(())
}
