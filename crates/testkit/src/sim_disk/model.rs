//! What a disk holds: what a running process sees, what is durable, and what lies between the two.
//!
//! ```text
//!   operation ──► cache (every reader sees it at once)
//!            └──► pending, in order ──► durable, when a sync that covers it succeeds
//! ```
//! Applying a trace's operations one after the other gives the model at every boundary; the crash images of a
//! boundary are `durable` and any subset of `pending` (module `crash` says which). Decides nothing about faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::content::Content;

/// A file, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode(pub(crate) u64);

impl fmt::Display for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A path in the simulated disk: components joined by `/`, none of them `.` or `..`.
pub(crate) type Name = Arc<str>;

/// The directory that holds `name`.
pub(crate) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// One operation that changed the disk, or that failed and changed what the disk owes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the operation's own words")]
pub enum Op {
    /// A directory was made; its name is durable.
    MakeDir { dir: Arc<str> },
    /// A file was made.
    Create { path: Arc<str>, inode: Inode },
    /// A name was given to what had another.
    Rename { from: Arc<str>, to: Arc<str> },
    /// A name was removed.
    Remove { path: Arc<str> },
    /// A directory's names were made durable.
    SyncDir { dir: Arc<str> },
    /// A directory's sync failed: what it should have made durable never will be for certain.
    SyncDirFailed { dir: Arc<str> },
    /// Bytes were written. The first half of a durable write.
    Write { inode: Inode, at: u64, bytes: Bytes },
    /// A file was cut or extended.
    SetLen { inode: Inode, len: u64 },
    /// A file was extended to at least this length, with room for all of it.
    Allocate { inode: Inode, len: u64 },
    /// Everything written to the files was made durable.
    Sync { inodes: Vec<Inode> },
    /// The second half of a durable write: what operation `write` wrote was made durable.
    SyncWrite { inode: Inode, write: usize },
    /// A sync failed: the written bytes are marked clean, dropped, and still seen by readers.
    SyncFailed { inodes: Vec<Inode> },
    /// A bit rotted.
    FlipBit { inode: Inode, at: u64, bit: u8 },
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::MakeDir { dir } => write!(f, "make directory {dir}"),
            Op::Create { path, inode } => write!(f, "create {path} as {inode}"),
            Op::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Op::Remove { path } => write!(f, "remove {path}"),
            Op::SyncDir { dir } => write!(f, "sync directory {dir:?}"),
            Op::SyncDirFailed { dir } => write!(f, "sync directory {dir:?}: failed"),
            Op::Write { inode, at, bytes } => write!(f, "write {inode} at {at}, {} bytes", bytes.len()),
            Op::SetLen { inode, len } => write!(f, "set length of {inode} to {len}"),
            Op::Allocate { inode, len } => write!(f, "allocate {len} bytes for {inode}"),
            Op::Sync { inodes } => write!(f, "sync {inodes:?}"),
            Op::SyncWrite { inode, write } => write!(f, "sync what operation {write} wrote to {inode}"),
            Op::SyncFailed { inodes } => write!(f, "sync {inodes:?}: failed"),
            Op::FlipBit { inode, at, bit } => write!(f, "flip bit {bit} of byte {at} of {inode}"),
        }
    }
}

/// One consistent view of names and bytes. Cheap to clone: all of it is shared until written to.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(super) files: Arc<BTreeMap<Inode, Content>>,
    pub(super) names: Arc<BTreeMap<Name, Inode>>,
    pub(super) dirs: Arc<BTreeSet<Name>>,
}

impl View {
    pub(super) fn content(&self, inode: Inode) -> Option<&Content> {
        self.files.get(&inode)
    }

    pub(crate) fn len(&self, inode: Inode) -> u64 {
        self.content(inode).map_or(0, Content::len)
    }

    fn content_mut(&mut self, inode: Inode) -> &mut Content {
        Arc::make_mut(&mut self.files).entry(inode).or_default()
    }

    pub(super) fn has_dir(&self, dir: &str) -> bool {
        dir.is_empty() || self.dirs.contains(dir)
    }

    pub(crate) fn write(&mut self, inode: Inode, bytes: &[u8], at: u64) {
        self.content_mut(inode).write(bytes, at);
    }

    /// Extends `inode` to `len` if it is shorter.
    pub(crate) fn extend(&mut self, inode: Inode, len: u64) {
        if self.len(inode) < len {
            self.content_mut(inode).set_len(len);
        }
    }

    fn link(&mut self, path: &Name, inode: Inode) {
        Arc::make_mut(&mut self.names).insert(Arc::clone(path), inode);
    }

    fn unlink(&mut self, path: &str) {
        if self.names.contains_key(path) {
            Arc::make_mut(&mut self.names).remove(path);
        }
    }

    /// Lets `effect` happen here as a whole.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Write { inode, at, bytes } => self.write(*inode, bytes, *at),
            Effect::Extend { inode, len } => self.extend(*inode, *len),
            Effect::SetLen { inode, len } => self.content_mut(*inode).set_len(*len),
            Effect::Allocate { inode, len } => self.content_mut(*inode).allocate(*len),
            Effect::Link { path, inode } => self.link(path, *inode),
            Effect::Unlink { path } => self.unlink(path),
            Effect::Rename { from, to, inode, .. } => {
                self.link(to, *inode);
                // A newer file may stand there by now, when the directories were synced in that order.
                if self.names.get(from) == Some(inode) {
                    self.unlink(from);
                }
            }
        }
    }

    /// The new name of a rename without the end of the old one.
    pub(crate) fn apply_keeping_old_name(&mut self, effect: &Effect) {
        match effect {
            Effect::Rename { to, inode, .. } => self.link(to, *inode),
            other => self.apply(other),
        }
    }
}

/// A change that no sync has covered yet.
#[derive(Clone, Debug)]
struct Pending {
    /// The operation that made it.
    op: usize,
    effect: Effect,
}

#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Write {
        inode: Inode,
        at: u64,
        bytes: Bytes,
    },
    /// What is left of a write whose bytes a failed sync dropped: the file's length.
    Extend {
        inode: Inode,
        len: u64,
    },
    SetLen {
        inode: Inode,
        len: u64,
    },
    Allocate {
        inode: Inode,
        len: u64,
    },
    Link {
        path: Name,
        inode: Inode,
    },
    Unlink {
        path: Name,
    },
    Rename {
        from: Name,
        to: Name,
        inode: Inode,
        /// Between two directories: the old one has been synced, the new one not yet.
        from_synced: bool,
    },
}

impl Effect {
    /// The file whose bytes or length this changes; `None` when it changes names.
    pub(crate) fn inode(&self) -> Option<Inode> {
        match self {
            Effect::Write { inode, .. }
            | Effect::Extend { inode, .. }
            | Effect::SetLen { inode, .. }
            | Effect::Allocate { inode, .. } => Some(*inode),
            Effect::Link { .. } | Effect::Unlink { .. } | Effect::Rename { .. } => None,
        }
    }

    /// The file that this gives a name to.
    fn named(&self) -> Option<Inode> {
        match self {
            Effect::Link { inode, .. } | Effect::Rename { inode, .. } => Some(*inode),
            _ => None,
        }
    }

    /// Whether the order of these two changes of one file matters.
    fn conflicts(&self, other: &Effect) -> bool {
        match (self, other) {
            (Effect::Write { at: a, bytes: x, .. }, Effect::Write { at: b, bytes: y, .. }) => {
                *a < b + y.len() as u64 && *b < a + x.len() as u64
            }
            _ => true,
        }
    }
}

/// The disk at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) cache: View,
    pub(crate) durable: View,
    /// In the order of their operations.
    pending: Vec<Pending>,
    /// Files whose cache shows bytes that a failed sync dropped.
    lying_files: BTreeSet<Inode>,
    /// Directories whose sync failed once: no later sync of theirs means anything.
    lying_dirs: BTreeSet<Name>,
    next_inode: u64,
    next_op: usize,
}

impl Model {
    /// A disk after a power cut: nothing but what was durable.
    pub(crate) fn durable_only(view: View, next_inode: u64) -> Self {
        Self { cache: view.clone(), durable: view, next_inode, ..Self::default() }
    }

    /// Starts the numbers of operations anew (a new trace begins here).
    pub(crate) fn restart_trace(&mut self) {
        self.next_op = 0;
        for pending in &mut self.pending {
            // No operation of the new trace made these.
            pending.op = usize::MAX;
        }
    }

    pub(crate) fn next_inode(&self) -> Inode {
        Inode(self.next_inode)
    }

    /// Applies the next operation of the trace.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::MakeDir { dir } => {
                Arc::make_mut(&mut self.cache.dirs).insert(Arc::clone(dir));
                Arc::make_mut(&mut self.durable.dirs).insert(Arc::clone(dir));
            }
            Op::Create { path, inode } => {
                self.next_inode = inode.0 + 1;
                self.cache.content_mut(*inode);
                self.durable.content_mut(*inode);
                self.change(Effect::Link { path: Arc::clone(path), inode: *inode });
            }
            Op::Rename { from, to } => {
                if let (Some(&inode), true) = (self.cache.names.get(from), from != to) {
                    let (from, to) = (Arc::clone(from), Arc::clone(to));
                    self.change(Effect::Rename { from, to, inode, from_synced: false });
                }
            }
            Op::Remove { path } => self.change(Effect::Unlink { path: Arc::clone(path) }),
            Op::SyncDir { dir } => self.sync_dir(dir),
            Op::SyncDirFailed { dir } => {
                self.lying_dirs.insert(Arc::clone(dir));
            }
            Op::Write { inode, at, bytes } => {
                self.change(Effect::Write { inode: *inode, at: *at, bytes: bytes.clone() });
            }
            Op::SetLen { inode, len } => self.change(Effect::SetLen { inode: *inode, len: *len }),
            Op::Allocate { inode, len } => self.change(Effect::Allocate { inode: *inode, len: *len }),
            Op::Sync { inodes } => self.sync(inodes),
            Op::SyncWrite { inode, write } => self.sync_write(*inode, *write),
            Op::SyncFailed { inodes } => self.drop_dirty(inodes),
            Op::FlipBit { inode, at, bit } => {
                self.cache.content_mut(*inode).flip(*at, *bit);
                self.durable.content_mut(*inode).flip(*at, *bit);
            }
        }
        self.next_op += 1;
    }

    fn change(&mut self, effect: Effect) {
        self.cache.apply(&effect);
        self.pending.push(Pending { op: self.next_op, effect });
    }

    fn sync(&mut self, inodes: &[Inode]) {
        let covered = |pending: &mut Pending| pending.effect.inode().is_some_and(|it| inodes.contains(&it));
        for pending in self.pending.extract_if(.., covered) {
            self.durable.apply(&pending.effect);
        }
    }

    /// A durable write answers for its own bytes only (an `O_DSYNC` write syncs no other range), and for
    /// whatever older change of the file it can't be applied without.
    fn sync_write(&mut self, inode: Inode, write: usize) {
        let Some(last) = self.pending.iter().rposition(|it| it.op == write) else { return };
        let mut covered = vec![last];
        for older in (0..last).rev() {
            let effect = &self.pending[older].effect;
            let needed = effect.inode() == Some(inode)
                && covered.iter().any(|&newer| effect.conflicts(&self.pending[newer].effect));
            if needed {
                covered.push(older);
            }
        }
        for &index in covered.iter().rev() {
            self.durable.apply(&self.pending[index].effect);
        }
        for index in covered {
            self.pending.remove(index);
        }
    }

    fn drop_dirty(&mut self, inodes: &[Inode]) {
        for pending in &mut self.pending {
            if let Effect::Write { inode, at, bytes } = &pending.effect
                && inodes.contains(inode)
            {
                self.lying_files.insert(*inode);
                pending.effect = Effect::Extend { inode: *inode, len: at + bytes.len() as u64 };
            }
        }
    }

    fn sync_dir(&mut self, dir: &Name) {
        if self.lying_dirs.contains(dir) {
            return;
        }
        let mut kept = Vec::with_capacity(self.pending.len());
        for mut pending in std::mem::take(&mut self.pending) {
            match &mut pending.effect {
                Effect::Link { path, .. } | Effect::Unlink { path } if parent(path) == &**dir => {
                    self.durable.apply(&pending.effect);
                    continue;
                }
                Effect::Rename { from, to, from_synced, .. } => {
                    *from_synced |= parent(from) == &**dir;
                    if parent(to) == &**dir && *from_synced {
                        self.durable.apply(&pending.effect);
                        continue;
                    }
                    if parent(to) == &**dir {
                        let unlink = Effect::Unlink { path: Arc::clone(from) };
                        self.durable.apply_keeping_old_name(&pending.effect);
                        pending.effect = unlink;
                    }
                }
                _ => {}
            }
            kept.push(pending);
        }
        self.pending = kept;
    }

    /// What a read past the page cache sees: for a file whose failed sync dropped bytes, not what was written.
    pub(super) fn direct_content(&self, inode: Inode) -> Option<Content> {
        if !self.lying_files.contains(&inode) {
            return self.cache.content(inode).cloned();
        }
        let mut below = View { files: Arc::clone(&self.durable.files), ..View::default() };
        for pending in self.pending.iter().filter(|it| it.effect.inode() == Some(inode)) {
            below.apply(&pending.effect);
        }
        below.content(inode).cloned()
    }

    /// Whether a process that is killed here leaves something else than a power cut that loses nothing.
    pub(crate) fn has_lied(&self) -> bool {
        !self.lying_files.is_empty()
    }

    /// The pending changes that can be seen after a crash: names, and bytes of files that some name may lead to.
    pub(crate) fn visible_pending(&self) -> Vec<Effect> {
        let effects = self.pending.iter().map(|pending| &pending.effect);
        if effects.clone().all(|effect| effect.inode().is_none()) {
            return effects.cloned().collect();
        }
        let mut reachable: BTreeSet<Inode> = self.durable.names.values().copied().collect();
        reachable.extend(effects.clone().filter_map(Effect::named));
        let seen = |effect: &&Effect| effect.inode().is_none_or(|inode| reachable.contains(&inode));
        effects.filter(seen).cloned().collect()
    }
}
