//! Reading the WAL back, and telling a torn tail from damage.
//!
//! A group that doesn't hold ends the log only if nothing says that it was durable: no successor file names a
//! later end, no whole group stands behind it (groups are written one after the other, each synced first), and no
//! group names a durable LSN at or above it. Anything else is damage below the acknowledged end: the log refuses to
//! open rather than lose what it promised, unless it was told to give the damaged range up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use duolog_env::{Env, File, OpenMode};
use duolog_types::Lsn;

use super::file::{Spare, WalFiles};
use super::frame::{self, Found};
use super::layout::{
    FILE_HEADER_BYTES, FileHeader, GROUP_HEADER_BYTES, GroupHeader, NotAHeader, WAL_VERSION,
};
use super::reader::Window;
use super::writer::DurablePoint;
use crate::config::DamagePolicy;
use crate::error::OpenError;

const WAY_OUT: &str = "Restore the file from a copy, or start once with `--give-up-damaged` to lose that range and \
                       keep the rest";

/// What recovery found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovered {
    /// The end of the log: behind the last whole group.
    pub end: DurablePoint,
    pub entries: u64,
    pub bytes: u64,
    /// Bytes of a group that was never acknowledged.
    pub torn_bytes: u64,
    /// Damaged ranges that were given up because the operator said so.
    pub given_up: u64,
}

/// Where a frame was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub file_seq: u64,
    /// Where the frame's payload begins in the file.
    pub position: u64,
}

struct Candidate {
    header: FileHeader,
    path: PathBuf,
    file: Arc<dyn File>,
}

/// Files that no longer, or don't yet, belong to the log.
#[derive(Default)]
struct Scan {
    live: BTreeMap<u64, Candidate>,
    free: Vec<(PathBuf, Arc<dyn File>, Option<NotAHeader>)>,
}

/// Replays everything behind `from`; hands each frame to `visit` in order.
pub(crate) fn recover(
    env: &Env,
    files: &WalFiles,
    from: DurablePoint,
    damage: DamagePolicy,
    mut visit: impl FnMut(Found<'_>, Place) -> Result<(), OpenError>,
) -> Result<Recovered, OpenError> {
    let mut scan = scan(env, files, from.file_seq)?;
    let mut walk = Walk {
        at: from,
        durable: from.lsn,
        damage,
        found: Recovered { end: from, entries: 0, bytes: 0, torn_bytes: 0, given_up: 0 },
    };
    let Some(first) = scan.live.get(&from.file_seq) else {
        return Err(OpenError::Corrupt {
            path: files.dir().to_path_buf(),
            position: 0,
            after: from.lsn,
            detail: format!(
                "the WAL file with sequence number {} is missing or its header is damaged",
                from.file_seq
            ),
            way_out: "Restore the file from a copy",
        });
    };
    let mut current = first;
    loop {
        let next = scan.live.get(&(walk.at.file_seq + 1));
        walk.file(current, next, &mut visit)?;
        let Some(next) = next else { break };
        walk.at.file_seq += 1;
        walk.at.position = FILE_HEADER_BYTES;
        walk.at.chain = next.header.chain();
        current = next;
    }
    if let Some(stray) = scan.live.range(walk.at.file_seq + 1..).next() {
        return Err(corrupt(
            &stray.1.path,
            0,
            walk.at.lsn,
            format!("the WAL file with sequence number {} before it is missing", walk.at.file_seq + 1),
        ));
    }
    // What was read may so far stand in the disk's cache only; it is about to be served. The names too: a process
    // that was killed may have made a file and not synced its directory, and the file is about to be used.
    env.disk.sync_dir(files.dir()).map_err(|error| OpenError::io("syncing", files.dir(), error))?;
    current.file.sync_data().map_err(|error| OpenError::io("syncing", &current.path, error))?;
    walk.found.end = walk.at;

    for (path, file, problem) in scan.free.drain(..) {
        adopt_free(env, files, &walk, path, file, problem)?;
    }
    for candidate in scan.live.into_values() {
        files.adopt_live(candidate.header, candidate.path, candidate.file);
    }
    Ok(walk.found)
}

/// Opens every file of the directory and reads its header.
fn scan(env: &Env, files: &WalFiles, first_seq: u64) -> Result<Scan, OpenError> {
    let mut scan = Scan::default();
    let names = env.disk.list(files.dir()).map_err(|error| OpenError::io("listing", files.dir(), error))?;
    for name in names.iter().filter(|name| name.ends_with(".wal")) {
        files.saw_name(name);
        let path = files.dir().join(name);
        let open = || {
            let file = env.disk.open(&path, files.mode())?;
            let sector = Window::new(file.clone())?.get(0, FILE_HEADER_BYTES as usize)?.to_vec();
            Ok((file, sector))
        };
        let (file, sector) = open().map_err(|error| OpenError::io("reading", &path, error))?;
        match FileHeader::decode(&sector) {
            Ok(header) if header.seq >= first_seq => {
                scan.live.insert(header.seq, Candidate { header, path, file });
            }
            Ok(_) => scan.free.push((path, file, None)),
            Err(NotAHeader::TooNew(found)) => {
                return Err(OpenError::TooNew { path, found, known: WAL_VERSION });
            }
            Err(problem) => scan.free.push((path, file, Some(problem))),
        }
    }
    Ok(scan)
}

/// Where the walk stands.
struct Walk {
    at: DurablePoint,
    /// The newest LSN that anything says was durable.
    durable: Lsn,
    damage: DamagePolicy,
    found: Recovered,
}

impl Walk {
    /// Walks the groups of one file to its end.
    fn file(
        &mut self,
        current: &Candidate,
        next: Option<&Candidate>,
        visit: &mut impl FnMut(Found<'_>, Place) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let io = |error| OpenError::io("reading", &current.path, error);
        let mut window = Window::new(current.file.clone()).map_err(io)?;
        loop {
            let group = window.group(self.at.position, current.header.epoch).map_err(io)?;
            match group {
                Some((header, payload)) if self.follows(&header) => {
                    self.group(current, &header, payload, visit)?
                }
                _ => {
                    if next.is_some_and(|next| self.is_end_before(&next.header)) {
                        return Ok(());
                    }
                    match self.bad_group(current, next, &mut window)? {
                        Some(resume) => self.at = resume,
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    fn follows(&self, header: &GroupHeader) -> bool {
        header.prev_chain == self.at.chain && header.first_lsn.0 == self.at.lsn.0 + 1
    }

    fn is_end_before(&self, next: &FileHeader) -> bool {
        next.prev_end == self.at.position
            && next.prev_chain == self.at.chain
            && next.first_lsn.0 == self.at.lsn.0 + 1
    }

    fn group(
        &mut self,
        current: &Candidate,
        header: &GroupHeader,
        payload: &[u8],
        visit: &mut impl FnMut(Found<'_>, Place) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let payload_at = self.at.position + GROUP_HEADER_BYTES as u64;
        let mut failed = None;
        let walked = frame::walk(payload, header.first_lsn, header.entry_count, |found| {
            let place = Place { file_seq: self.at.file_seq, position: payload_at + found.payload_at as u64 };
            visit(found, place).map_err(|error| {
                failed = Some(error);
                String::new()
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        walked.map_err(|detail| corrupt(&current.path, self.at.position, self.at.lsn, detail))?;
        self.durable = self.durable.max(header.durable_lsn);
        self.found.entries += u64::from(header.entry_count);
        self.found.bytes += header.padded_bytes();
        self.at.lsn = header.last_lsn();
        self.at.position += header.padded_bytes();
        self.at.chain = GroupHeader::chain(&header.encode());
        Ok(())
    }

    /// Decides what a group that doesn't hold means: the end (`None`), or damage; in the latter case where to go on,
    /// if the operator gave the range up.
    fn bad_group(
        &mut self,
        current: &Candidate,
        next: Option<&Candidate>,
        window: &mut Window,
    ) -> Result<Option<DurablePoint>, OpenError> {
        let io = |error| OpenError::io("reading", &current.path, error);
        let (epoch, lsn) = (current.header.epoch, self.at.lsn);
        let behind = window
            .find_header(self.at.position, |header| header.epoch == epoch && header.first_lsn > lsn)
            .map_err(io)?;
        let detail = match (&behind, next) {
            (Some((at, header)), _) => {
                format!(
                    "the commit group here is damaged, and a later one (LSN {}) stands at byte {at}",
                    header.first_lsn
                )
            }
            (None, Some(next)) => format!(
                "the commit group here is damaged: the next file, {}, says that this one ends at byte {}",
                next.path.display(),
                next.header.prev_end
            ),
            (None, None) if self.durable > self.at.lsn => {
                format!(
                    "the commit group here is damaged, and entries up to LSN {} were acknowledged",
                    self.durable
                )
            }
            (None, None) => {
                self.found.torn_bytes = window.torn_bytes(self.at.position).map_err(io)?;
                return Ok(None);
            }
        };
        if self.damage == DamagePolicy::Refuse {
            return Err(corrupt(&current.path, self.at.position, self.at.lsn, detail));
        }
        tracing::error!(path = %current.path.display(), position = self.at.position, after = self.at.lsn.0, %detail, "damaged range given up");
        self.found.given_up += 1;
        let resume = match (behind, next) {
            (Some((position, header)), _) => DurablePoint {
                lsn: Lsn(header.first_lsn.0 - 1),
                file_seq: self.at.file_seq,
                position,
                chain: header.prev_chain,
            },
            (None, Some(next)) => DurablePoint {
                lsn: Lsn(next.header.first_lsn.0 - 1),
                file_seq: self.at.file_seq,
                position: next.header.prev_end,
                chain: next.header.prev_chain,
            },
            (None, None) => {
                // LSNs that were given to clients are never given again.
                self.at.lsn = self.durable;
                return Ok(None);
            }
        };
        Ok(Some(resume))
    }
}

/// A file that the log doesn't need becomes a spare, unless it turns out to hold newer groups under a damaged header.
fn adopt_free(
    env: &Env,
    files: &WalFiles,
    walk: &Walk,
    path: PathBuf,
    file: Arc<dyn File>,
    problem: Option<NotAHeader>,
) -> Result<(), OpenError> {
    let io = |error| OpenError::io("reading", &path, error);
    let mut window = Window::new(file.clone()).map_err(io)?;
    if problem.is_some() {
        let sector = window.get(FILE_HEADER_BYTES, FILE_HEADER_BYTES as usize).map_err(io)?;
        let newer = GroupHeader::decode_any(sector).filter(|header| header.first_lsn > walk.at.lsn);
        if let Some(header) = newer
            && walk.damage == DamagePolicy::Refuse
        {
            let detail =
                format!("the file's header is damaged, and its groups begin with LSN {}", header.first_lsn);
            return Err(corrupt(&path, 0, walk.at.lsn, detail));
        }
    }
    if window.size() == files.size() {
        let filled = if problem.is_none() { files.size() } else { 0 };
        files.adopt_spare(Spare { path, file, filled });
        return Ok(());
    }
    env.disk.remove(&path).map_err(|error| OpenError::io("removing", &path, error))
}

fn corrupt(path: &std::path::Path, position: u64, after: Lsn, detail: String) -> OpenError {
    OpenError::Corrupt { path: path.to_path_buf(), position, after, detail, way_out: WAY_OUT }
}

/// How WAL files are opened under a durability setting.
pub(crate) fn open_mode(durability: crate::config::Durability) -> OpenMode {
    match durability {
        crate::config::Durability::Sync => OpenMode::Direct,
        crate::config::Durability::Os => OpenMode::ReadWrite,
    }
}
