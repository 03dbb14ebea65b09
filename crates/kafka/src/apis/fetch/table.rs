//! The fetch sessions of a broker: their ids, their epochs, and who goes when there are too many.
//!
//! Rules: KIP-227 and Kafka's `FetchSession.scala` (`FetchManager.newContext`, `FetchSessionCache.tryEvict`).
//! Pure: the caller brings the time and random ids.

use std::collections::HashMap;
use std::time::Duration;

use crate::errors::ErrorCode;

/// A full fetch that makes a session.
pub const INITIAL_EPOCH: i32 = 0;
/// A full fetch without one; closes the one it names.
pub const FINAL_EPOCH: i32 = -1;

/// Limits of the table.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions kept.
    pub slots: usize,
    /// Partitions of all sessions together.
    pub partitions: usize,
    /// After so long without use a session gives way to another one.
    pub evict_after: Duration,
}

/// What a session is made of, as far as the table minds.
pub trait Contents {
    /// How many partitions it has.
    fn partitions(&self) -> usize;
}

/// The table.
#[derive(Debug)]
pub struct SessionTable<S> {
    sessions: HashMap<i32, Entry<S>>,
    limits: Limits,
    partitions: usize,
}

#[derive(Debug)]
struct Entry<S> {
    /// Absent while a request is being handled with it.
    session: Option<S>,
    /// The epoch that the next request must name.
    epoch: i32,
    by_id: bool,
    size: usize,
    created: Duration,
    used: Duration,
}

/// How a request is to be handled.
#[derive(Debug)]
pub enum Begun<S> {
    /// All partitions are in the request; the answer opens no session.
    Sessionless,
    /// All partitions are in the request; the answer may open a session.
    Full,
    /// The request says what changed in this session. It must be given back by [`SessionTable::end`].
    Incremental(S),
}

impl<S: Contents> SessionTable<S> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { sessions: HashMap::new(), limits, partitions: 0 }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Begins a request that names session `id` at `epoch`, with topics named by id or not.
    ///
    /// # Errors
    /// What the whole request is answered with.
    pub fn begin(&mut self, id: i32, epoch: i32, by_id: bool, now: Duration) -> Result<Begun<S>, ErrorCode> {
        match epoch {
            FINAL_EPOCH => {
                self.remove(id);
                Ok(Begun::Sessionless)
            }
            INITIAL_EPOCH => {
                self.remove(id);
                Ok(Begun::Full)
            }
            epoch => {
                let entry = self.sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
                if entry.epoch != epoch {
                    return Err(ErrorCode::InvalidFetchSessionEpoch);
                }
                if entry.by_id != by_id {
                    return Err(ErrorCode::FetchSessionTopicIdError);
                }
                // Another request is being handled with it: the client sent two at once.
                let session = entry.session.take().ok_or(ErrorCode::InvalidFetchSessionEpoch)?;
                entry.epoch = next_epoch(epoch);
                entry.used = now;
                Ok(Begun::Incremental(session))
            }
        }
    }

    /// Gives a session back after its request. An empty one ends; false if it did, or was closed meanwhile.
    pub fn end(&mut self, id: i32, session: S, now: Duration) -> bool {
        if session.partitions() == 0 {
            self.remove(id);
            return false;
        }
        let grown = session.partitions();
        let Some(entry) = self.sessions.get_mut(&id) else { return false };
        self.partitions = self.partitions - entry.size + grown;
        entry.size = grown;
        entry.used = now;
        entry.session = Some(session);
        if self.partitions > self.limits.partitions {
            self.remove(id);
            return false;
        }
        true
    }

    /// Keeps a new session under an id of its own, or doesn't: then the client goes on with full fetches.
    pub fn keep(
        &mut self,
        session: S,
        by_id: bool,
        now: Duration,
        mut random: impl FnMut() -> i32,
    ) -> Option<i32> {
        let size = session.partitions();
        if size == 0 || self.partitions + size > self.limits.partitions {
            return None;
        }
        if self.sessions.len() >= self.limits.slots && !self.evict(size, now) {
            return None;
        }
        let id = loop {
            // Positive, as Kafka's are; a table that is full of ids can't be: it is bounded far below 2^31.
            let id = random() & i32::MAX;
            if id != 0 && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        self.partitions += size;
        let entry = Entry { session: Some(session), epoch: 1, by_id, size, created: now, used: now };
        self.sessions.insert(id, entry);
        Some(id)
    }

    /// Ends a session.
    pub fn remove(&mut self, id: i32) {
        if let Some(entry) = self.sessions.remove(&id) {
            self.partitions -= entry.size;
        }
    }

    /// Makes room for a session of `size` partitions: the one that was unused longest goes if it was unused for
    /// long; else the smallest of those that have lived for long, if it is smaller than the new one.
    fn evict(&mut self, size: usize, now: Duration) -> bool {
        let limit = self.limits.evict_after;
        let idle = self.sessions.iter().filter(|(_, entry)| entry.session.is_some());
        let stale = idle.clone().min_by_key(|(id, entry)| (entry.used, **id));
        let victim = match stale {
            Some((id, entry)) if now.saturating_sub(entry.used) > limit => Some(*id),
            _ => idle
                .filter(|(_, entry)| now.saturating_sub(entry.created) > limit && entry.size < size)
                .min_by_key(|(id, entry)| (entry.size, **id))
                .map(|(id, _)| *id),
        };
        victim.inspect(|id| self.remove(*id)).is_some()
    }
}

/// The epoch behind `epoch`: it never comes back to 0, which means something else.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::super::session::{Session, TopicRef, Wanted};
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    impl Contents for Session<()> {
        fn partitions(&self) -> usize {
            self.len()
        }
    }

    fn table(slots: usize) -> SessionTable<Session<()>> {
        SessionTable::new(Limits { slots, partitions: 10, evict_after: at(120) })
    }

    fn session(partitions: i32) -> Session<()> {
        let mut session = Session::default();
        for partition in 0..partitions {
            let wanted = Wanted {
                topic: TopicRef::Id([1; 16]),
                partition,
                fetch_offset: 0,
                max_bytes: 0,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
            };
            session.want(wanted, |_, _| ());
        }
        session
    }

    fn error(begun: Result<Begun<Session<()>>, ErrorCode>) -> Option<ErrorCode> {
        begun.err()
    }

    #[test]
    fn epochs_are_checked_and_advance_with_each_request() {
        let mut table = table(3);
        let id = table.keep(session(2), true, at(0), || 7).unwrap();
        assert_eq!(id, 7);
        assert_eq!(error(table.begin(8, 1, true, at(1))), Some(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(error(table.begin(7, 2, true, at(1))), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(error(table.begin(7, 1, false, at(1))), Some(ErrorCode::FetchSessionTopicIdError));
        let Ok(Begun::Incremental(taken)) = table.begin(7, 1, true, at(1)) else { panic!() };
        assert_eq!(error(table.begin(7, 2, true, at(1))), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert!(table.end(7, taken, at(2)));
        let Ok(Begun::Incremental(taken)) = table.begin(7, 2, true, at(3)) else { panic!() };
        assert!(table.end(7, taken, at(4)));
        assert!(matches!(table.begin(7, FINAL_EPOCH, true, at(5)), Ok(Begun::Sessionless)));
        assert!(table.is_empty());
        assert_eq!(table.partitions, 0);
        assert_eq!(next_epoch(i32::MAX), 1);
    }

    #[test]
    fn session_that_was_closed_or_emptied_meanwhile_is_not_kept() {
        let mut table = table(3);
        let id = table.keep(session(2), false, at(0), || 9).unwrap();
        let Ok(Begun::Incremental(taken)) = table.begin(id, 1, false, at(1)) else { panic!() };
        assert!(matches!(table.begin(id, INITIAL_EPOCH, false, at(1)), Ok(Begun::Full)));
        assert!(!table.end(id, taken, at(2)));
        let id = table.keep(session(1), false, at(0), || 9).unwrap();
        let Ok(Begun::Incremental(mut taken)) = table.begin(id, 1, false, at(1)) else { panic!() };
        taken.forget(TopicRef::Id([1; 16]), 0);
        assert!(!table.end(id, taken, at(2)));
        assert_eq!((table.len(), table.partitions), (0, 0));
    }

    #[test]
    fn full_table_gives_way_to_stale_and_to_small_sessions_only() {
        let mut table = table(2);
        let mut ids = 1..;
        let mut random = move || ids.next().unwrap();
        let one = table.keep(session(1), true, at(0), &mut random).unwrap();
        let two = table.keep(session(3), true, at(0), &mut random).unwrap();
        assert_eq!(table.keep(session(2), true, at(120), &mut random), None, "both are young and in use");
        for id in [one, two] {
            let Ok(Begun::Incremental(taken)) = table.begin(id, 1, true, at(121)) else { panic!() };
            table.end(id, taken, at(121));
        }
        assert_eq!(table.keep(session(1), true, at(122), &mut random), None, "no larger than the smallest");
        let three = table.keep(session(2), true, at(122), &mut random).unwrap();
        assert_eq!(error(table.begin(one, 2, true, at(123))), Some(ErrorCode::FetchSessionIdNotFound));
        let four = table.keep(session(1), true, at(242), &mut random).unwrap();
        assert_eq!(error(table.begin(two, 2, true, at(242))), Some(ErrorCode::FetchSessionIdNotFound));
        assert!(matches!(table.begin(three, 1, true, at(242)), Ok(Begun::Incremental(_))));
        assert!(matches!(table.begin(four, 1, true, at(242)), Ok(Begun::Incremental(_))));
        assert_eq!(table.keep(session(5), true, at(9999), &mut random), None, "both are being handled");
    }

    #[test]
    fn partitions_of_all_sessions_are_bounded() {
        let mut table = table(5);
        let mut ids = 1..;
        let mut random = move || ids.next().unwrap();
        let id = table.keep(session(6), true, at(0), &mut random).unwrap();
        assert_eq!(table.keep(session(5), true, at(0), &mut random), None);
        assert!(table.keep(session(4), true, at(0), &mut random).is_some());
        let Ok(Begun::Incremental(_)) = table.begin(id, 1, true, at(1)) else { panic!() };
        assert!(!table.end(id, session(7), at(1)), "it grew beyond the limit");
        assert_eq!(table.partitions, 4);
    }
}
