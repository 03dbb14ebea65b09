//! When something in a stream expires next: one alarm for all streams, and each has its earliest deadline in it only.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use duolog_env::Clock;
use duolog_types::PartitionId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::core::{StreamCore, nanos};

/// The longest sleep: the wall clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The least time between two looks.
const GRAIN: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: Mutex<Due>,
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Due {
    /// Deadline (nanoseconds of the wall clock) and stream.
    by_time: BTreeMap<(u64, PartitionId), Weak<StreamCore>>,
    of_stream: BTreeMap<PartitionId, u64>,
}

impl Timers {
    /// A stream has something due at `at`. An earlier deadline that it has already stays.
    pub(crate) fn arm(&self, stream: &Arc<StreamCore>, at: u64) {
        let mut due = self.due.lock();
        if due.of_stream.get(&stream.id).is_some_and(|armed| *armed <= at) {
            return;
        }
        if let Some(before) = due.of_stream.insert(stream.id, at) {
            due.by_time.remove(&(before, stream.id));
        }
        due.by_time.insert((at, stream.id), Arc::downgrade(stream));
        let is_first = due.by_time.keys().next() == Some(&(at, stream.id));
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Takes the streams whose deadline has come.
    pub(crate) fn take_due(&self, now: u64) -> Vec<Arc<StreamCore>> {
        let mut due = self.due.lock();
        let mut taken = Vec::new();
        while let Some(first) = due.by_time.first_entry()
            && first.key().0 <= now
        {
            let ((_, id), stream) = first.remove_entry();
            due.of_stream.remove(&id);
            taken.extend(stream.upgrade());
        }
        taken
    }

    /// Ends when a deadline has come (or it is time to look again).
    pub(crate) async fn wait(&self, clock: &dyn Clock) {
        loop {
            let first = self.due.lock().by_time.keys().next().map(|(at, _)| *at);
            let now = nanos(clock.wall());
            let sleep = match first {
                Some(at) if at <= now => return,
                Some(at) => Duration::from_nanos(at - now).clamp(GRAIN, LOOK_AGAIN),
                None => LOOK_AGAIN,
            };
            tokio::select! {
                () = clock.sleep(sleep) => return,
                () = self.earlier.notified() => {}
            }
        }
    }
}
