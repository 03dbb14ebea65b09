//! Consumers of streams: where the pure machine of `duolog_delivery` meets the log, the clock, the stream and the door.
//!
//! ```text
//!  door ──► Consumers ──► a stream's consumers, by name ──► Consumer ── one short lock ─────────────────┐
//!                          step(event, now, stream) ─► record (+ messages nobody needs): one WAL entry   │ in this
//!                                                   └► deliveries, statuses, confirmations to the sink   │ order
//!  run ──► Tick, when something is due · Wake, when messages came · reads what is to be delivered next ──┘
//! ```
//!
//! Owns which consumers there are, their configurations and the table of their state in the log; reads messages ahead
//! for them; takes acknowledged messages out of work-queue and interest streams, in the same entry as the
//! acknowledgement. Decides nothing about delivery: that is the machine's; knows no subject but filters, no status line
//! and no error code: those are the door's ([`Sink`]).
//!
//! What is handed to the sink names the entry that it waits for: a confirmation the newest one of its consumer, a
//! delivery under a delivery limit its own, any other delivery only the reservation of its number. What can't be
//! queued, because the log has stopped, is told to nobody.
//!
//! Locks: a stream's gate (interest streams: one consumer at a time, which may then ask the others), a consumer, the
//! stream behind it, the log. Never two consumers without the gate.

mod config;
mod consumer;
mod create;
mod error;
mod frame;
mod of_stream;
mod run;
mod source;
pub(crate) mod table;
mod validate;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use duolog_delivery::{
    Ack, AckKind, AckPolicy, Advisory, Delivery, Heartbeat, Info, Position, PullRequest, ReplyTo, Status,
    Target,
};
use duolog_delivery::{Event, Now};
use duolog_env::Env;
use duolog_log::{Log, Watch};
use duolog_types::{Lsn, PartitionId, Sequence};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

pub use config::{ConsumerConfig, DeliverPolicy};
pub use consumer::Consumer;
pub use create::{Action, Created};
pub use error::{ConsumerConfigError, CreateConsumerError, DeleteConsumerError};
pub use of_stream::StreamConsumers;
pub use source::{Acknowledged, NoSink, Outgoing, Place, Reading, Sink, Source};

use crate::groups::timers::Alarm;
use crate::streams::Stream;
use consumer::Hosted;
use source::StreamSource;
use table::{ConsumersTable, SHARDS, shard_of};

/// How long a consumer rests when the log has no room for what it would write.
const BUSY_RETRY: Duration = Duration::from_millis(10);

/// All consumers. A cheap handle.
#[derive(Clone)]
pub struct Consumers(Arc<Inner>);

struct Inner {
    env: Env,
    log: Log,
    table: Arc<ConsumersTable>,
    sink: RwLock<Arc<dyn Sink>>,
    streams: RwLock<HashMap<PartitionId, Arc<StreamConsumers>>>,
    /// What came back from the log for streams that aren't there yet.
    unclaimed: Mutex<HashMap<PartitionId, Vec<Arc<Consumer>>>>,
    due: Vec<Mutex<Due>>,
    alarm: Alarm,
    work: Mutex<VecDeque<Work>>,
    news: Notify,
    watch: Watch,
}

/// When which consumer of a shard has something due.
#[derive(Default)]
struct Due {
    by_time: BTreeMap<(Duration, u64), Arc<Consumer>>,
    of: HashMap<u64, Duration>,
}

/// What is to be done for a consumer without its lock.
enum Work {
    Read(Arc<Consumer>),
    Again(Arc<Consumer>),
    Delete(Arc<Consumer>),
}

impl Drop for Inner {
    /// The log holds the table, which holds the consumers: they let go of their streams, and so of the log.
    fn drop(&mut self) {
        for consumer in self.table.all() {
            consumer.lock().attached = None;
        }
    }
}

impl std::fmt::Debug for Consumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consumers({} streams)", self.0.streams.read().len())
    }
}

impl Consumers {
    /// Takes over what recovery has put into `table`. Consumers of streams that are gone are forgotten when
    /// [`Consumers::forget_unclaimed`] is called, after all streams were [attached](Consumers::attach).
    pub(crate) fn open(env: Env, log: Log, table: Arc<ConsumersTable>) -> Self {
        let mut unclaimed: HashMap<PartitionId, Vec<Arc<Consumer>>> = HashMap::new();
        for consumer in table.all() {
            unclaimed.entry(consumer.partition()).or_default().push(consumer);
        }
        Self(Arc::new(Inner {
            env,
            log,
            table,
            sink: RwLock::new(Arc::new(NoSink)),
            streams: RwLock::default(),
            unclaimed: Mutex::new(unclaimed),
            due: (0..SHARDS).map(|_| Mutex::default()).collect(),
            alarm: Alarm::default(),
            work: Mutex::default(),
            news: Notify::new(),
            watch: Watch::new(),
        }))
    }

    /// The door is there: deliveries go to it from now on.
    pub fn set_sink(&self, sink: Arc<dyn Sink>) {
        *self.0.sink.write() = sink;
    }

    /// A stream is there: its consumers go on, or it begins to have some.
    pub fn attach(&self, source: Arc<dyn Source>) -> Arc<StreamConsumers> {
        let partition = source.partition();
        let guard = source.watch(&self.0.watch, partition.0);
        let consumers = self.0.unclaimed.lock().remove(&partition).unwrap_or_default();
        let now = self.now();
        for consumer in &consumers {
            consumer.attach(&source, now);
        }
        let of_stream = Arc::new(StreamConsumers::new(source, consumers.clone(), guard));
        self.0.streams.write().insert(partition, of_stream.clone());
        let first = of_stream.source.state().first_sequence;
        for consumer in &consumers {
            // What a consumer had in flight can have gone with the stop: all of it, from a stream in memory.
            let trimmed = consumer.lock().is_trimmed(first).then_some(Event::Trimmed { first });
            self.step(&of_stream, consumer, trimmed.unwrap_or(Event::Wake));
        }
        of_stream
    }

    /// A stream of the broker is there: see [`Consumers::attach`].
    pub fn attach_stream(&self, stream: Arc<Stream>) -> Arc<StreamConsumers> {
        self.attach(Arc::new(StreamSource::new(stream)))
    }

    /// A stream was deleted, and its consumers with it.
    pub fn detach(&self, partition: PartitionId) {
        let Some(of_stream) = self.0.streams.write().remove(&partition) else { return };
        for consumer in of_stream.list() {
            if let Err(error) = self.remove(&of_stream, &consumer) {
                tracing::error!(%error, ?consumer, "a deleted stream's consumer is still in the log");
            }
        }
    }

    /// The partitions whose consumers came back from the log and whose streams aren't [attached](Consumers::attach) yet.
    pub(crate) fn unclaimed(&self) -> Vec<PartitionId> {
        self.0.unclaimed.lock().keys().copied().collect()
    }

    /// All streams that there are were attached: what is left belongs to streams that a crash took between their
    /// deletion and that of their consumers.
    pub fn forget_unclaimed(&self) {
        let unclaimed = std::mem::take(&mut *self.0.unclaimed.lock());
        for consumer in unclaimed.into_values().flatten() {
            if let Err(error) = self.queue_deletion(&consumer) {
                tracing::error!(%error, ?consumer, "a consumer without a stream is still in the log");
            }
        }
    }

    /// The consumers of a stream.
    #[must_use]
    pub fn of(&self, partition: PartitionId) -> Option<Arc<StreamConsumers>> {
        self.0.streams.read().get(&partition).cloned()
    }

    /// The streams that have consumers, or had some.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<StreamConsumers>> {
        self.0.streams.read().values().cloned().collect()
    }

    /// A client asks for messages.
    pub fn pull(&self, consumer: &Arc<Consumer>, request: PullRequest) {
        self.tell(consumer, Event::Pull(request));
    }

    /// A client says what became of a message.
    pub fn ack(&self, consumer: &Arc<Consumer>, ack: Ack) {
        self.tell(consumer, Event::Ack(ack));
    }

    /// Somebody listens on a push consumer's deliver subject (in its group), or nobody does any more.
    pub fn interest(&self, consumer: &Arc<Consumer>, is_there: bool) {
        self.tell(consumer, Event::Interest(is_there));
    }

    /// A push consumer's receiver has answered a flow control request.
    pub fn flow_control(&self, consumer: &Arc<Consumer>, id: u64) {
        self.tell(consumer, Event::FlowControl { id });
    }

    /// Nobody listened when a delivery left.
    pub fn not_delivered(&self, consumer: &Arc<Consumer>, sequence: Sequence, request: Option<ReplyTo>) {
        self.tell(consumer, Event::NotDelivered { sequence, request });
    }

    /// How a consumer stands, and what the reply waits for; none if it is gone.
    #[must_use]
    pub fn info(&self, consumer: &Arc<Consumer>) -> Option<(Info, Lsn)> {
        self.tell(consumer, Event::Sweep);
        let sink = self.sink();
        consumer.lock().info(consumer, &*sink)
    }

    /// Messages of a stream were purged: all below `below` that match `filter` (none: all), or single ones.
    pub fn purged(&self, partition: PartitionId, below: Sequence, filter: Option<&str>) {
        let Some(of_stream) = self.of(partition) else { return };
        for consumer in of_stream.list() {
            let event =
                if of_stream.covers(&consumer, filter) { Event::Purged { below } } else { Event::Recheck };
            self.step(&of_stream, &consumer, event);
        }
    }

    /// One message of a stream was deleted.
    pub fn deleted(&self, partition: PartitionId, sequence: Sequence) {
        let Some(of_stream) = self.of(partition) else { return };
        for consumer in of_stream.list() {
            self.step(&of_stream, &consumer, Event::Deleted { sequence });
        }
    }

    /// A clean stop: numbers of deliveries go on without a gap. Nothing is delivered after this.
    pub fn seal(&self) {
        for consumer in self.0.streams.read().values().flat_map(|of_stream| of_stream.list()) {
            let mut hosted = consumer.lock();
            if let Some(frame) = hosted.seal(consumer.number)
                && !hosted.is_over
            {
                let entry = duolog_log::Entry::new().state(
                    crate::tables::CONSUMERS,
                    shard_of(consumer.number),
                    frame.encode(),
                );
                match self.0.log.submit(entry) {
                    Ok(lsn) => {
                        hosted.queued = lsn;
                        self.0.table.queued(consumer.number, lsn);
                    }
                    Err(error) => tracing::warn!(%error, ?consumer, "numbers of deliveries will skip some"),
                }
            }
            hosted.end(&Status::ServerShutdown, Lsn::ZERO, &*self.sink());
        }
    }

    fn sink(&self) -> Arc<dyn Sink> {
        self.0.sink.read().clone()
    }

    fn now(&self) -> Now {
        let clock = &self.0.env.clock;
        Now { monotonic: clock.monotonic(), wall: clock.wall() }
    }

    fn tell(&self, consumer: &Arc<Consumer>, event: Event) {
        if let Some(of_stream) = self.of(consumer.partition()) {
            self.step(&of_stream, consumer, event);
        }
    }

    /// Lets something happen to a consumer, and notes what is to be done then.
    fn step(&self, of_stream: &StreamConsumers, consumer: &Arc<Consumer>, event: Event) {
        let sink = self.sink();
        let _gate = of_stream.gate();
        let needed = |sequence| of_stream.is_needed(sequence, consumer);
        let mut hosted = consumer.lock();
        let (before, now) = (hosted.queued, self.now());
        // A step can't be taken back, so it isn't begun when the log may refuse its record. What a client said is
        // lost then, as if it had never arrived: it gets no answer, and the message comes again.
        if !self.0.log.admits_control() {
            hosted.has_missed = true;
            self.set_due(consumer, Some(now.monotonic.saturating_add(BUSY_RETRY)));
            return;
        }
        if std::mem::take(&mut hosted.has_missed) {
            let todo = hosted.step(consumer, Event::Wake, now, &self.0.log, &*sink, &needed);
            self.note(consumer, &mut hosted, todo);
        }
        let todo = hosted.step(consumer, event, now, &self.0.log, &*sink, &needed);
        if hosted.queued != before && !hosted.config.mem_storage {
            self.0.table.queued(consumer.number, hosted.queued);
        }
        self.note(consumer, &mut hosted, todo);
    }

    fn note(&self, consumer: &Arc<Consumer>, hosted: &mut Hosted, todo: consumer::Todo) {
        self.set_due(consumer, todo.next_deadline);
        if todo.read {
            hosted.ahead.is_reading = true;
        }
        let work = [
            todo.read.then(|| Work::Read(consumer.clone())),
            todo.again.then(|| Work::Again(consumer.clone())),
            todo.delete.then(|| Work::Delete(consumer.clone())),
        ];
        if work.iter().any(Option::is_some) {
            self.0.work.lock().extend(work.into_iter().flatten());
            self.0.news.notify_one();
        }
    }

    /// When a consumer has something due. Call it under the consumer's lock.
    fn set_due(&self, consumer: &Arc<Consumer>, at: Option<Duration>) {
        let (number, shard) = (consumer.number, shard_of(consumer.number));
        let mut due = self.0.due[shard as usize].lock();
        let before = due.of.get(&number).copied();
        if before == at {
            return;
        }
        if let Some(before) = before {
            due.by_time.remove(&(before, number));
            due.of.remove(&number);
        }
        if let Some(at) = at {
            due.by_time.insert((at, number), consumer.clone());
            due.of.insert(number, at);
        }
        self.0.alarm.set(shard, due.by_time.first_key_value().map(|((at, _), _)| *at));
    }
}
