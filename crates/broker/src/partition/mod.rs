//! One partition: takes batches, gives them out, finds offsets, deletes records.
//!
//! Bytes, offsets and the high watermark are the log's. What is kept here are the idempotent producers and the
//! order in which offsets are taken: both under one short lock, which is never held across an await and under
//! which no byte of a record is looked at.

mod fetch;
mod offsets;
mod produce;
pub(crate) mod producers;
pub(crate) mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use duolog_log::{Extent, Watch, WatchGuard};
use duolog_types::{LeaderEpoch, Lsn, Offset, PartitionId, ProducerEpoch, ProducerId, TimestampMs, TopicId};
use parking_lot::{Mutex, RwLock};

pub use fetch::{FetchError, FetchSpec, Fetched};
pub use offsets::{DeleteRecordsError, Deleted, EpochError, FoundOffset, OffsetError, OffsetQuery};
pub use produce::{ProduceContext, ProduceError, Produced, RecordError, RecordProblem};

use crate::config::TopicConfig;
use crate::streams::core::StreamCore;
use crate::streams::table::StreamsTable;
use producers::Producers;
use table::ProducersTable;

/// The leader epoch of every partition on a single node.
pub const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

/// A partition of a topic. Shared by everybody who works on it.
pub struct Partition {
    log: duolog_log::Partition,
    index: usize,
    topic: Arc<TopicShared>,
    context: Arc<PartitionContext>,
    producers: Arc<Mutex<Producers>>,
    /// The stream that it is, if anybody made or asked for one: what is produced is told it.
    stream: OnceLock<Arc<StreamCore>>,
}

/// What all partitions of a topic share.
#[derive(Debug)]
pub(crate) struct TopicShared {
    name: Arc<str>,
    id: TopicId,
    config: RwLock<Arc<TopicConfig>>,
}

impl TopicShared {
    pub(crate) fn new(name: Arc<str>, id: TopicId, config: TopicConfig) -> Arc<Self> {
        Arc::new(Self { name, id, config: RwLock::new(Arc::new(config)) })
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.config.read().clone()
    }

    pub(crate) fn set_config(&self, config: TopicConfig) {
        *self.config.write() = Arc::new(config);
    }
}

/// What all partitions of the broker share.
pub(crate) struct PartitionContext {
    pub(crate) producers: Arc<ProducersTable>,
    pub(crate) streams: Arc<StreamsTable>,
    pub(crate) clock: Arc<dyn duolog_env::Clock>,
    /// How long a producer is remembered, milliseconds.
    pub(crate) producer_expiration_ms: i64,
    pub(crate) counters: Counters,
}

/// What happened since the start, over all partitions.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) batches: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) cold_reads: AtomicU64,
}

/// One more, or so many more.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{} ({})", self.topic.name, self.index, self.log.id())
    }
}

/// An idempotent producer as DescribeProducers shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerView {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The last sequence it used.
    pub last_sequence: i32,
    /// The largest timestamp of its last batch.
    pub last_timestamp: TimestampMs,
}

impl Partition {
    pub(crate) fn new(
        log: duolog_log::Partition,
        index: usize,
        topic: Arc<TopicShared>,
        context: Arc<PartitionContext>,
    ) -> Self {
        let producers = context.producers.of(log.id());
        let partition = Self { log, index, topic, context, producers, stream: OnceLock::new() };
        partition.apply_config();
        partition
    }

    /// The log's number of this partition: unlike topic and index it is never used again.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.log.id()
    }

    /// Its place in its topic.
    #[must_use]
    pub fn index(&self) -> i32 {
        i32::try_from(self.index).unwrap_or(i32::MAX)
    }

    /// Its topic's name.
    #[must_use]
    pub fn topic_name(&self) -> &Arc<str> {
        &self.topic.name
    }

    /// Its topic's id.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.topic.id
    }

    /// Its topic's configs, as they are now.
    #[must_use]
    pub fn config(&self) -> Arc<TopicConfig> {
        self.topic.config()
    }

    /// The first offset that is still there.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log.start()
    }

    /// One behind the last offset that readers may see.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.log.high_watermark()
    }

    /// What `read_committed` readers may see: the high watermark, as long as there are no transactions.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.log.high_watermark()
    }

    /// One behind the last offset taken, durable or not. Never to be shown to a client.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log.end()
    }

    /// How many bytes its records take.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// The stretches in which its data lies, oldest first.
    #[must_use]
    pub fn extents(&self) -> Vec<Extent> {
        self.log.extents()
    }

    /// Registers `watch` for news: more to read, a moved log start, or the partition's end.
    #[must_use]
    pub fn watch(&self, watch: &Watch, token: u64) -> WatchGuard {
        self.log.watch(watch, token)
    }

    /// The idempotent producers, by id. The reply waits for the `Lsn`.
    #[must_use]
    pub fn describe_producers(&self) -> (Vec<ProducerView>, Lsn) {
        let producers = self.producers.lock();
        let view = |(id, producer): (ProducerId, &producers::Producer)| {
            let last = producer.batches().last()?;
            Some(ProducerView {
                id,
                epoch: producer.epoch,
                last_sequence: last.last_sequence,
                last_timestamp: last.max_timestamp,
            })
        };
        (producers.sorted().into_iter().filter_map(view).collect(), producers.as_of)
    }

    /// The newest batch that the idempotent producers' state includes: a reply that says by it why a batch is
    /// refused waits for this.
    #[must_use]
    pub fn producers_as_of(&self) -> Lsn {
        self.producers.lock().as_of
    }

    /// How many idempotent producers are remembered.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        self.producers.lock().len()
    }

    /// Has the stream that it is told of what is produced from now on.
    pub(crate) fn set_stream(&self, stream: Arc<StreamCore>) {
        let _producing = self.producers.lock();
        let _ = self.stream.set(stream);
    }

    /// The stream that it is, if it was made through NATS or asked for there.
    fn stream(&self) -> Option<&Arc<StreamCore>> {
        self.stream.get()
    }

    /// The log's own handle.
    pub(crate) fn log(&self) -> &duolog_log::Partition {
        &self.log
    }

    /// Tells the log what it must know of the topic's configs. All else is asked for when it is needed.
    pub(crate) fn apply_config(&self) {
        // 0 is the log's own setting.
        self.log.set_segment_bytes(self.config().segment_bytes.unwrap_or(0));
    }

    /// Forgets producers that are too old. Returns how many.
    pub(crate) fn expire_producers(&self, now: TimestampMs) -> usize {
        self.producers.lock().expire(now, self.context.producer_expiration_ms)
    }
}

/// Runs what may block on the disk off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It isn't cancelled but when the runtime ends, and then nobody polls this.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}
