//! Who is told when interest in a subject comes or goes: push consumers, mostly, about their delivery subjects.
//!
//! A change of a literal subscription is one look-up; a change of one with wildcards asks every watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use duolog_nats_wire::subject::{has_wildcard, matches};
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::handler::Watcher;

type BySubject = HashMap<Arc<[u8]>, Vec<(u64, Arc<dyn Watcher>)>>;
/// A watched subject and who watches it.
type Watched = (Arc<[u8]>, Arc<dyn Watcher>);

/// All watches.
#[derive(Default)]
pub(super) struct Watches {
    watches: Mutex<BySubject>,
    /// So that nobody takes the lock while there are none.
    count: AtomicUsize,
    next_id: AtomicU64,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watches({})", self.count.load(Ordering::Relaxed))
    }
}

impl Watches {
    pub(super) fn add(&self, subject: &[u8], watcher: Arc<dyn Watcher>) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.watches.lock().entry(Arc::from(subject)).or_default().push((id, watcher));
        self.count.fetch_add(1, Ordering::SeqCst);
        id
    }

    pub(super) fn remove(&self, subject: &[u8], id: u64) {
        let mut watches = self.watches.lock();
        if let Some(list) = watches.get_mut(subject) {
            list.retain(|(own, _)| *own != id);
            if list.is_empty() {
                watches.remove(subject);
            }
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The watchers of all subjects that a subscription to `changed` matches.
    pub(super) fn of(&self, changed: &[u8]) -> Vec<Watched> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let watches = self.watches.lock();
        let mut found = Vec::new();
        let mut add = |subject: &Arc<[u8]>, list: &Vec<(u64, Arc<dyn Watcher>)>| {
            found.extend(list.iter().map(|(_, watcher)| (Arc::clone(subject), Arc::clone(watcher))));
        };
        if has_wildcard(changed) {
            let matching = watches.iter().filter(|(subject, _)| matches(subject, changed));
            matching.for_each(|(subject, list)| add(subject, list));
        } else if let Some((subject, list)) = watches.get_key_value(changed) {
            add(subject, list);
        }
        found
    }
}
