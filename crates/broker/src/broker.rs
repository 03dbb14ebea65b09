//! The broker: opened on a data directory, it hands out the handles on what it owns.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use duolog_env::Env;
use duolog_log::{AppendError, Log, LogConfig, LogStats, Poisoned, RecoveryReport, Table};
use duolog_types::{Lsn, Nanos, PartitionId};
use parking_lot::Mutex;

use crate::catalog::table::CatalogTable;
use crate::config::ConfigError;
use crate::consumers::table::ConsumersTable;
use crate::consumers::{Consumers, StreamConsumers};
use crate::groups::Groups;
use crate::groups::table::GroupsTable;
use crate::partition::table::ProducersTable;
use crate::partition::{Counters, PartitionContext};
use crate::producer_ids::{ProducerIdTable, ProducerIds};
use crate::retention::ClockGuard;
use crate::streams::table::StreamsTable;
use crate::streams::timers::Timers;
use crate::streams::{Interest, Stream, Streams};
use crate::{BrokerConfig, Catalog};

/// Everything that the doors work on. Handles, no logic: each handle is documented where it is defined.
pub struct Broker {
    env: Env,
    config: BrokerConfig,
    log: Log,
    context: Arc<PartitionContext>,
    catalog: Arc<Catalog>,
    streams: Streams,
    timers: Arc<Timers>,
    producer_ids: ProducerIds,
    groups: Groups,
    consumers: Consumers,
    /// One stream gets its consumers at a time.
    attaching: Mutex<()>,
    clock_guard: Arc<Mutex<ClockGuard>>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Broker({:?})", self.catalog)
    }
}

/// Why the broker could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log could not be opened.
    #[error(transparent)]
    Log(#[from] duolog_log::OpenError),
    /// A default for topic configs is refused.
    #[error("default for topics: {0}")]
    Config(#[from] ConfigError),
    /// The catalog names a partition that the log doesn't have.
    #[error("partition {index} of topic {topic} ({partition}) is in the catalog and not in the log")]
    MissingPartition {
        /// The topic.
        topic: String,
        /// The partition's place in it.
        index: usize,
        /// Its number in the log.
        partition: PartitionId,
    },
    /// What is stored of streams contradicts itself.
    #[error("streams: {detail}")]
    Streams {
        /// How.
        detail: String,
    },
    /// The first entry of a new data directory could not be queued.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Counters and gauges for the metrics page.
#[derive(Clone, Debug, Default)]
pub struct BrokerStats {
    /// The log's.
    pub log: LogStats,
    /// How many topics there are.
    pub topics: usize,
    /// How many partitions they have together.
    pub partitions: usize,
    /// Batches appended since the start.
    pub produced_batches: u64,
    /// Records appended since the start.
    pub produced_records: u64,
    /// Bytes of the batches appended since the start.
    pub produced_bytes: u64,
    /// Batches that were there already.
    pub duplicate_batches: u64,
    /// Batches refused, for whatever reason.
    pub refused_batches: u64,
    /// Bytes of record batches handed to readers since the start.
    pub fetched_bytes: u64,
    /// Reads that had to touch the disk.
    pub cold_reads: u64,
}

impl Broker {
    /// Recovers the data directory. Blocks until everything that was acknowledged is there again.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was started.
    pub fn open(env: Env, config: BrokerConfig, log: LogConfig) -> Result<Arc<Broker>, OpenError> {
        let catalog_table = Arc::new(CatalogTable::default());
        let producers = Arc::new(ProducersTable::new());
        let producer_id_table = Arc::new(ProducerIdTable::default());
        let groups_table = Arc::new(GroupsTable::new(env.clone(), &config.groups));
        let consumers_table = Arc::new(ConsumersTable::new(env.clone()));
        let timers = Arc::new(Timers::default());
        let streams_table = Arc::new(StreamsTable::new(catalog_table.clone(), timers.clone()));
        let tables: Vec<Arc<dyn Table>> = vec![
            catalog_table.clone(),
            producers.clone(),
            producer_id_table.clone(),
            groups_table.clone(),
            consumers_table.clone(),
            streams_table.clone(),
        ];
        let log = Log::open(&env, log, tables)?;
        producers.keep_only(|partition| log.partition(partition).is_some());
        let exists = |partition| log.partition(partition).is_some();
        streams_table.recovered(exists).map_err(|detail| OpenError::Streams { detail })?;
        let expiration = config.producer_id_expiration.as_millis();
        let context = Arc::new(PartitionContext {
            producers,
            streams: streams_table,
            clock: env.clock.clone(),
            producer_expiration_ms: i64::try_from(expiration).unwrap_or(i64::MAX),
            counters: Counters::default(),
        });
        let clock_guard = Arc::new(Mutex::new(ClockGuard::new(env.clock.wall(), env.clock.monotonic())));
        let members_bytes_max = config.group_members_bytes_max;
        let groups =
            Groups::open(env.clone(), log.clone(), groups_table, members_bytes_max, clock_guard.clone());
        let catalog = Catalog::open(
            env.clone(),
            log.clone(),
            config.clone(),
            catalog_table,
            context.clone(),
            groups.clone(),
        )?;
        groups.forget_topics_but(|name, id| {
            catalog.topic_by_id(id).is_some_and(|topic| **topic.name() == *name)
        });
        let producer_ids = ProducerIds::new(log.clone(), producer_id_table);
        let consumers = Consumers::open(env.clone(), log.clone(), consumers_table);
        let catalog = Arc::new(catalog);
        let streams = Streams::new(catalog.clone(), context.clone());
        streams.reopen();
        let attaching = Mutex::default();
        let broker = Arc::new(Self {
            env,
            config,
            log,
            context,
            catalog,
            streams,
            timers,
            producer_ids,
            groups,
            clock_guard,
            consumers,
            attaching,
        });
        broker.attach_recovered();
        Ok(broker)
    }

    /// Gives the consumers that came back from the log to their streams.
    fn attach_recovered(&self) {
        let waiting = self.consumers.unclaimed();
        if !waiting.is_empty() {
            for stream in self.streams.of_partitions(&waiting) {
                self.consumers_of(&stream);
            }
        }
        self.consumers.forget_unclaimed();
    }

    /// The consumers of a stream, which begins to have some when they are first asked for.
    pub fn consumers_of(&self, stream: &Arc<Stream>) -> Arc<StreamConsumers> {
        let partition = stream.partition().id();
        let found = || self.consumers.of(partition);
        found().unwrap_or_else(|| {
            let _attaching = self.attaching.lock();
            found().unwrap_or_else(|| {
                let consumers = self.consumers.attach_stream(Arc::clone(stream));
                let interest: Arc<dyn Interest> = consumers.clone();
                stream.set_interest(Some(Arc::downgrade(&interest)));
                consumers
            })
        })
    }

    /// Topics, their partitions and configs.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Streams: topics as JetStream sees them.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Ids for idempotent producers.
    #[must_use]
    pub fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }

    /// Consumer groups and what they have committed.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Consumers of streams: what was delivered to whom, and what was acknowledged.
    #[must_use]
    pub fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Time and chance, for the doors.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// What time it is: the arrival of what is read now.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.env.clock.wall()
    }

    /// Whether the wall clock has jumped ahead of late, so that what it calls old may not be.
    pub(crate) fn doubts_clock(&self) -> bool {
        self.clock_guard.lock().doubts(self.env.clock.wall(), self.env.clock.monotonic())
    }

    /// Ends when `lsn` is durable: only then may a reply that reveals it be sent.
    pub fn durable(&self, lsn: Lsn) -> impl Future<Output = Result<(), Poisoned>> + Send + use<> {
        self.log.durable(lsn)
    }

    /// The newest entry that is on stable storage.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.log.durable_lsn()
    }

    /// Has batches committed whose [`ProduceContext`](crate::partition::ProduceContext) said that this follows: by the
    /// calling thread if nobody else waits and the disk is quick, else by the log's.
    pub fn commit_queued(&self) {
        self.log.commit_queued();
    }

    /// The same, by the log's own thread.
    pub fn commit_soon(&self) {
        self.log.commit_soon();
    }

    /// Ends when the log is poisoned, never otherwise: the process must then exit.
    pub fn until_poisoned(&self) -> impl Future<Output = Poisoned> + Send + use<> {
        self.log.until_poisoned()
    }

    /// What recovery found.
    #[must_use]
    pub fn recovery(&self) -> RecoveryReport {
        self.log.recovery()
    }

    /// Commits what is queued, checkpoints and stops the log (blocking). Call it when no session is left.
    ///
    /// # Errors
    /// The log was or is being poisoned; the next start recovers.
    pub fn close(&self) -> Result<(), Poisoned> {
        self.consumers.seal();
        self.log.close()
    }

    /// Makes a checkpoint now (blocking).
    ///
    /// # Errors
    /// The log was or is being poisoned.
    pub fn checkpoint(&self) -> Result<(), Poisoned> {
        self.log.checkpoint()
    }

    /// Commits one group: only for logs without threads of their own (tests, the crash enumerator).
    ///
    /// # Errors
    /// The log was or is being poisoned.
    pub fn commit(&self) -> Result<bool, Poisoned> {
        self.log.commit()
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        let counters = &self.context.counters;
        BrokerStats {
            log: self.log.stats(),
            topics: self.catalog.topic_count(),
            partitions: self.catalog.partition_count(),
            produced_batches: counters.batches.load(Ordering::Relaxed),
            produced_records: counters.records.load(Ordering::Relaxed),
            produced_bytes: counters.bytes_in.load(Ordering::Relaxed),
            duplicate_batches: counters.duplicates.load(Ordering::Relaxed),
            refused_batches: counters.refused.load(Ordering::Relaxed),
            fetched_bytes: counters.bytes_out.load(Ordering::Relaxed),
            cold_reads: counters.cold_reads.load(Ordering::Relaxed),
        }
    }

    /// Applies retention and forgets old producers, at the interval of [`BrokerConfig::retention_check_interval`],
    /// and does for groups and consumers what is due, until it is dropped. The server spawns it once.
    pub async fn run_background(self: Arc<Self>) {
        tokio::join!(
            self.run_retention(),
            self.groups.run_timers(),
            self.run_streams(),
            self.consumers.run()
        );
    }

    /// Lets go of messages that are too old, when they are.
    async fn run_streams(&self) {
        loop {
            self.timers.wait(&*self.env.clock).await;
            self.expire_messages();
        }
    }

    /// Lets go of the messages that are too old now. `run_background` does it in time; a test without one may itself.
    pub fn expire_messages(&self) {
        crate::streams::expire_due(&self.timers, self.env.clock.wall());
    }

    async fn run_retention(self: &Arc<Self>) {
        loop {
            self.env.clock.sleep(self.config.retention_check_interval).await;
            let broker = self.clone();
            crate::partition::blocking(move || crate::retention::apply_all(&broker)).await;
        }
    }
}
