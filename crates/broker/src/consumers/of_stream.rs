//! The consumers of one stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duolog_log::WatchGuard;
use duolog_types::{Lsn, Sequence};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::Consumer;
use super::source::Source;
use crate::streams::{ConsumerLimits, Interest, RetentionPolicy, subject};

/// The consumers of one stream, by name.
pub struct StreamConsumers {
    pub(super) source: Arc<dyn Source>,
    by_name: RwLock<BTreeMap<Arc<str>, Arc<Consumer>>>,
    /// Their filters, for [`Interest::wants`], which is called under the stream's lock.
    filters: RwLock<Vec<(u64, Vec<String>)>>,
    /// Interest streams: whoever holds it may lock one consumer after another.
    gate: Mutex<()>,
    /// One consumer is made, changed or deleted at a time.
    pub(super) changing: Mutex<()>,
    /// The newest entry that made or deleted one.
    changed: AtomicU64,
    _watch: WatchGuard,
}

impl std::fmt::Debug for StreamConsumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamConsumers({}, {})", self.source.name(), self.by_name.read().len())
    }
}

impl StreamConsumers {
    pub(super) fn new(source: Arc<dyn Source>, consumers: Vec<Arc<Consumer>>, watch: WatchGuard) -> Self {
        let filters = consumers.iter().map(|one| (one.number, one.config().filters())).collect();
        let by_name = consumers.into_iter().map(|one| (one.name().clone(), one)).collect();
        Self {
            source,
            by_name: RwLock::new(by_name),
            filters: RwLock::new(filters),
            gate: Mutex::default(),
            changing: Mutex::default(),
            changed: AtomicU64::default(),
            _watch: watch,
        }
    }

    /// The consumer of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Consumer>> {
        self.by_name.read().get(name).cloned()
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Consumer>> {
        self.by_name.read().values().cloned().collect()
    }

    /// The names of those whose configuration is beyond what a stream's new limits for them allow; none if the limits
    /// don't change, or there are none.
    #[must_use]
    pub fn beyond(&self, old: &ConsumerLimits, new: &ConsumerLimits) -> Vec<String> {
        let (threshold, pending) = (new.inactive_threshold, new.max_ack_pending);
        let is_new = (threshold > 0 && threshold != old.inactive_threshold)
            || (pending > 0 && pending != old.max_ack_pending);
        let is_beyond = |consumer: &Arc<Consumer>| {
            let config = consumer.config();
            (threshold > 0 && config.inactive_threshold > threshold)
                || (pending > 0 && config.max_ack_pending > pending)
        };
        let all = if is_new { self.list() } else { Vec::new() };
        all.into_iter().filter(is_beyond).map(|consumer| consumer.name().to_string()).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_name.read().len()
    }

    /// The newest entry that made or deleted one: a reply that tells which there are waits for it.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        Lsn(self.changed.load(Ordering::Acquire))
    }

    pub(super) fn add(&self, consumer: &Arc<Consumer>, filters: Vec<String>, lsn: Lsn) {
        self.changed.fetch_max(lsn.0, Ordering::AcqRel);
        self.filters.write().push((consumer.number, filters));
        self.by_name.write().insert(consumer.name().clone(), consumer.clone());
    }

    pub(super) fn refilter(&self, consumer: &Consumer, filters: Vec<String>) {
        let mut all = self.filters.write();
        all.retain(|(number, _)| *number != consumer.number);
        all.push((consumer.number, filters));
    }

    pub(super) fn drop_consumer(&self, consumer: &Consumer, lsn: Lsn) {
        self.changed.fetch_max(lsn.0, Ordering::AcqRel);
        self.by_name.write().remove(consumer.name());
        self.filters.write().retain(|(number, _)| *number != consumer.number);
    }

    /// The filters of all others.
    pub(super) fn filters_but(&self, but: Option<u64>) -> Vec<Vec<String>> {
        let all = self.filters.read();
        all.iter().filter(|(number, _)| Some(*number) != but).map(|(_, filters)| filters.clone()).collect()
    }

    /// Held by whoever steps a consumer of an interest stream.
    pub(super) fn gate(&self) -> Option<MutexGuard<'_, ()>> {
        (self.source.config().retention == RetentionPolicy::Interest).then(|| self.gate.lock())
    }

    /// Whether a consumer other than `but` still needs the message. Work queues: a message has one consumer.
    /// Interest streams: call it under the gate, with no lock but that of `but`.
    pub(super) fn is_needed(&self, sequence: Sequence, but: &Consumer) -> bool {
        if self.source.config().retention != RetentionPolicy::Interest {
            return false;
        }
        self.list().iter().filter(|other| other.number != but.number).any(|other| {
            let hosted = other.lock();
            let place = hosted.attached.as_ref().map(|(_, place)| place);
            place.is_some_and(|place| place.matches(sequence) == Some(true))
                && hosted.machine.window().needs(sequence)
        })
    }

    /// Whether a purge with this filter concerns everything that the consumer could be interested in.
    pub(super) fn covers(&self, consumer: &Consumer, filter: Option<&str>) -> bool {
        let Some(filter) = filter else { return true };
        let filters = consumer.config().filters();
        !filters.is_empty() && filters.iter().all(|own| subject::is_subset(own, filter))
    }
}

impl Interest for StreamConsumers {
    fn wants(&self, subject: &str) -> bool {
        let all = self.filters.read();
        all.iter().any(|(_, filters)| {
            filters.is_empty() || filters.iter().any(|filter| subject::matches(filter, subject))
        })
    }
}
