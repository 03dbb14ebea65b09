//! One consumer: its machine, what it has queued in the log, and what was read ahead for it.
//!
//! Everything here runs under the consumer's lock: a step, the entry with its record (and with the messages that it
//! is the last to let go), then what clients are told, each with the entry that it waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use duolog_delivery::{
    AckPolicy, Consumer as Machine, Delivery, Effect, Event, Info, Now, Record, SettledHow, Status,
};
use duolog_log::{AppendError, Entry, Log};
use duolog_types::{Lsn, Nanos, PartitionId, Sequence};
use parking_lot::{Mutex, MutexGuard};

use super::config::ConsumerConfig;
use super::frame::{Created, Frame};
use super::source::{Acknowledged, Outgoing, Place, Sink, Source};
use super::table::shard_of;
use super::view::{Ahead, View};
use crate::streams::{Message, RetentionPolicy};
use crate::tables::CONSUMERS;

/// A consumer of a stream. Everybody who works on it shares it.
pub struct Consumer {
    pub(super) number: u64,
    partition: PartitionId,
    stream: std::sync::OnceLock<Arc<str>>,
    name: Arc<str>,
    created: Nanos,
    hosted: Mutex<Hosted>,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consumer({} of {})", self.name, self.partition.0)
    }
}

/// What stands under the lock.
pub(super) struct Hosted {
    pub(super) machine: Machine,
    pub(super) config: Arc<ConsumerConfig>,
    /// The stream and the consumer's place in it; none while the stream isn't there yet.
    pub(super) attached: Option<(Arc<dyn Source>, Box<dyn Place>)>,
    pub(super) ahead: Ahead,
    /// The newest entry that holds a record of it.
    pub(super) queued: Lsn,
    /// The newest entry that something waits for that it handed over: what follows can't overtake it.
    leaves: Lsn,
    /// Where reservations of delivery numbers end, and which entry holds each.
    reservations: VecDeque<(u64, Lsn)>,
    /// Something happened while the log had no room: look again.
    pub(super) has_missed: bool,
    /// It is gone, or the log took no more: it does nothing more, and tells nobody anything.
    pub(super) is_over: bool,
}

/// What a step leaves to be done without the consumer's lock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Todo {
    /// Messages have to be read.
    pub(super) read: bool,
    /// There is more to deliver.
    pub(super) again: bool,
    /// Nobody uses it: delete it.
    pub(super) delete: bool,
    pub(super) next_deadline: Option<Duration>,
}

impl Consumer {
    pub(super) fn new(whole: &Created, machine: Machine, queued: Lsn) -> Self {
        let hosted = Hosted {
            machine,
            config: Arc::new(whole.config.clone()),
            attached: None,
            ahead: Ahead::default(),
            queued,
            leaves: Lsn::ZERO,
            reservations: VecDeque::new(),
            has_missed: false,
            is_over: false,
        };
        Self {
            number: whole.number,
            partition: whole.partition,
            stream: std::sync::OnceLock::new(),
            name: whole.name.as_str().into(),
            created: whole.created,
            hosted: Mutex::new(hosted),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its stream's name; empty before the stream is there.
    #[must_use]
    pub fn stream(&self) -> &str {
        self.stream.get().map_or("", |name| name)
    }

    /// The partition that its stream is.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Nanos {
        self.created
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> Arc<ConsumerConfig> {
        self.hosted.lock().config.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Hosted> {
        self.hosted.lock()
    }

    /// The stream is there. Its records are all back.
    pub(super) fn attach(&self, source: &Arc<dyn Source>, now: Now) {
        let _ = self.stream.set(source.name());
        let mut hosted = self.hosted.lock();
        let state = source.state();
        let next = hosted.machine.window().next();
        let place = source.place(&hosted.config.filters(), next);
        hosted.machine.loaded(state.last_sequence, now);
        hosted.attached = Some((source.clone(), place));
    }

    /// A new consumer of a stream.
    pub(super) fn begin(&self, source: &Arc<dyn Source>, place: Box<dyn Place>) {
        let _ = self.stream.set(source.name());
        self.hosted.lock().attached = Some((source.clone(), place));
    }
}

impl Hosted {
    /// The consumer as a whole, for a snapshot.
    pub(super) fn whole(&self, consumer: &Consumer) -> Created {
        Created {
            number: consumer.number,
            partition: consumer.partition,
            created: consumer.created,
            name: consumer.name.to_string(),
            config: (*self.config).clone(),
            record: self.machine.snapshot(),
        }
    }

    /// Works with the machine and its view of the stream. None if the stream isn't there or all is over.
    fn with<T>(
        &mut self,
        consumer: &Consumer,
        sink: &dyn Sink,
        work: impl FnOnce(&mut Machine, &mut View<'_>) -> T,
    ) -> Option<T> {
        if self.is_over {
            return None;
        }
        let headers_only = self.config.headers_only;
        let Self { machine, ahead, attached, .. } = self;
        let (source, place) = attached.as_ref()?;
        let mut view = View { consumer, source: &**source, place: &**place, ahead, sink, headers_only };
        Some(work(machine, &mut view))
    }

    /// Whether something is in flight that lies before the stream's first message.
    pub(super) fn is_trimmed(&self, first: Sequence) -> bool {
        let lowest = self.machine.window().in_flight().keys().next();
        lowest.is_some_and(|lowest| *lowest < first)
    }

    /// How it stands, and what the reply waits for.
    pub(super) fn info(&mut self, consumer: &Consumer, sink: &dyn Sink) -> Option<(Info, Lsn)> {
        let info = self.with(consumer, sink, |machine, view| machine.info(view))?;
        Some((info, self.queued))
    }

    /// Something happened. `needed` tells whether another consumer of the stream still needs a message.
    pub(super) fn step(
        &mut self,
        consumer: &Consumer,
        event: Event,
        now: Now,
        log: &Log,
        sink: &dyn Sink,
        needed: &dyn Fn(Sequence) -> bool,
    ) -> Todo {
        let effects = self.with(consumer, sink, |machine, view| machine.step(event, now, view));
        let Some(effects) = effects else { return Todo::default() };
        let mut todo = Todo::default();
        match self.queue(consumer, &effects, log, needed) {
            Ok(lsn) => {
                self.tell(consumer, effects, lsn, log, sink, &mut todo);
                todo.read = self.ahead.wants() && !self.ahead.is_reading;
                todo.next_deadline = self.machine.next_deadline();
            }
            Err(error) => {
                tracing::error!(%error, ?consumer, "a consumer's state can't be kept; it rests until a restart");
                self.is_over = true;
            }
        }
        todo
    }

    /// One entry with the step's record and with the messages that nobody needs any more. Returns it, if there is one.
    fn queue(
        &mut self,
        consumer: &Consumer,
        effects: &[Effect],
        log: &Log,
        needed: &dyn Fn(Sequence) -> bool,
    ) -> Result<Lsn, AppendError> {
        let Some((source, _)) = &self.attached else { return Ok(self.queued) };
        let removes = source.config().retention != RetentionPolicy::Limits;
        let (mut entry, mut done, mut reserved_end) = (Entry::new(), Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    reserved_end = record.reserved_end();
                    let frame = Frame::Delivery(consumer.number, record.clone()).encode();
                    entry = entry.state(CONSUMERS, shard_of(consumer.number), frame);
                }
                Effect::Settled { sequence, how, .. } if removes && *how != SettledHow::Gone => {
                    done.extend((!needed(*sequence)).then_some(*sequence));
                }
                _ => {}
            }
        }
        if !done.is_empty() && duolog_env::seeded_bug("removed_before_ack") {
            source.remove(Entry::new(), &done)?;
            // Without it both would be one commit group, which is as good as one entry.
            let _ = log.commit();
            done.clear();
        }
        if !done.is_empty() {
            self.queued = source.remove(entry, &done)?;
        } else if !entry.is_empty() {
            self.queued = log.submit(entry)?;
        }
        self.reservations.extend(reserved_end.map(|end| (end, self.queued)));
        Ok(self.queued)
    }

    fn tell(
        &mut self,
        consumer: &Consumer,
        effects: Vec<Effect>,
        lsn: Lsn,
        log: &Log,
        sink: &dyn Sink,
        todo: &mut Todo,
    ) {
        let config = self.config.clone();
        for effect in effects {
            match effect {
                Effect::Settled { sequence, number, count, held, how: SettledHow::Acknowledged }
                    if number > 0
                        && !config.sample_freq.is_empty()
                        && config.ack_policy == AckPolicy::Explicit =>
                {
                    sink.acknowledged(consumer, &config, &Acknowledged { sequence, number, count, held });
                }
                Effect::Persist(_) | Effect::Settled { .. } => {}
                Effect::Deliver(delivery) => self.hand_over(consumer, &config, &delivery, lsn, log, sink),
                Effect::Status { to, status } => sink.status(&to, &status, self.leaves),
                Effect::Heartbeat(heartbeat) => sink.heartbeat(consumer, &config, &heartbeat, self.leaves),
                Effect::FlowControl { id } => sink.flow_control(consumer, &config, id, self.leaves),
                Effect::Confirm { to } => {
                    let is_early = duolog_env::seeded_bug("double_ack_before_durable");
                    self.leaves = self.leaves.max(if is_early { Lsn::ZERO } else { lsn });
                    sink.confirm(&to, self.leaves);
                }
                Effect::Advisory(advisory) => sink.advisory(consumer, &advisory),
                Effect::Delete => todo.delete = true,
                Effect::More => todo.again = true,
            }
        }
    }

    fn hand_over(
        &mut self,
        consumer: &Consumer,
        config: &ConsumerConfig,
        delivery: &Delivery,
        lsn: Lsn,
        log: &Log,
        sink: &dyn Sink,
    ) {
        let Some(message) = self.ahead.take(delivery.sequence) else {
            // The machine delivers only what the view has found.
            tracing::error!(
                ?consumer,
                sequence = delivery.sequence.0,
                "a message that was found is not there"
            );
            return;
        };
        let counts = delivery.after_durable && !duolog_env::seeded_bug("delivery_before_count");
        let waits_for = if counts { lsn } else { self.reserved_by(delivery.number, log) };
        self.leaves = self.leaves.max(waits_for);
        let message = if config.headers_only { without_payload(message) } else { message };
        sink.deliver(&Outgoing { consumer, config, delivery, message: &message }, self.leaves);
    }

    /// The entry that must be durable before a delivery of this number may leave.
    fn reserved_by(&mut self, number: u64, log: &Log) -> Lsn {
        while self.reservations.len() > 1 && self.reservations[0].0 <= number {
            self.reservations.pop_front();
        }
        match self.reservations.front() {
            Some((_, lsn)) if *lsn > log.durable_lsn() => *lsn,
            _ => Lsn::ZERO,
        }
    }

    /// A clean stop: the next delivery's number stands in the log.
    pub(super) fn seal(&mut self, number: u64) -> Option<Frame> {
        let record: Record = self.machine.seal()?;
        Some(Frame::Delivery(number, record))
    }

    /// It is being deleted, or the server stops: those who wait are told so.
    pub(super) fn end(&mut self, status: &Status, lsn: Lsn, sink: &dyn Sink) {
        self.is_over = true;
        self.leaves = self.leaves.max(lsn);
        for effect in self.machine.end_requests(status) {
            if let Effect::Status { to, status } = effect {
                sink.status(&to, &status, self.leaves);
            }
        }
        self.attached = None;
    }
}

/// The message as a consumer of headers gets it: how large the payload was stands in a header.
fn without_payload(message: Message) -> Message {
    let size = message.payload.len().to_string();
    let mut headers = message.headers;
    headers.push((bytes::Bytes::from_static(b"Nats-Msg-Size"), Some(size.into())));
    Message { headers, payload: bytes::Bytes::new(), ..message }
}
