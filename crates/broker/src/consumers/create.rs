//! Consumers are made, changed and deleted.

use std::sync::Arc;

use duolog_delivery::{Consumer as Machine, Event, Start, Status};
use duolog_log::{AppendError, Entry};
use duolog_types::{Lsn, Sequence};

use super::config::{ConsumerConfig, DeliverPolicy};
use super::error::{CreateConsumerError as Error, DeleteConsumerError};
use super::frame::{Created as Whole, Frame};
use super::source::{Place, Source};
use super::table::shard_of;
use super::validate::{check_update, set_inactive_threshold, validated};
use super::{Consumer, Consumers, StreamConsumers};
use crate::streams::{RetentionPolicy, subject};
use crate::tables::CONSUMERS;

/// How many messages are looked at together when a consumer lets go of them.
const RELEASED_AT_ONCE: usize = 1000;

/// What a client wants of a consumer that may be there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Make it, or change it if it is there.
    #[default]
    CreateOrUpdate,
    /// Make it; one that is there must have the same configuration.
    Create,
    /// Change it; it must be there.
    Update,
}

/// A consumer that was made, changed or found.
#[derive(Clone, Debug)]
pub struct Created {
    /// The consumer.
    pub consumer: Arc<Consumer>,
    /// Whether it was made now.
    pub did_create: bool,
    /// The reply waits for this.
    pub lsn: Lsn,
}

impl Consumers {
    /// Makes a consumer of a stream, or changes it. `pedantic` refuses where a default would replace what was asked for.
    ///
    /// # Errors
    /// See [`CreateConsumerError`](Error); nothing has changed then. Replies to refusals wait for
    /// [`StreamConsumers::changed`].
    pub fn create(
        &self,
        of_stream: &Arc<StreamConsumers>,
        config: ConsumerConfig,
        action: Action,
        pedantic: bool,
    ) -> Result<Created, Error> {
        let stream = of_stream.source.config();
        let mut config = validated(config, &stream, pedantic)?;
        let _changing = of_stream.changing.lock();
        if !config.durable_name.is_empty() {
            config.name.clone_from(&config.durable_name);
        }
        if let Some(known) = of_stream.get(&config.name) {
            let old = known.config();
            // The reference compares with what was asked for: the default that was written in counts as a difference.
            if action == Action::Create && *old != config {
                return Err(Error::AlreadyExists);
            }
            if old.inactive_threshold != config.inactive_threshold {
                set_inactive_threshold(&mut config, old.is_durable());
            }
            return self.change(of_stream, &known, config);
        }
        if action == Action::Update {
            return Err(Error::DoesNotExist);
        }
        if let Some(limit) = stream.max_consumers.filter(|limit| *limit > 0)
            && of_stream.count() as u64 >= limit
        {
            return Err(Error::TooMany { limit });
        }
        if stream.retention == RetentionPolicy::WorkQueue && of_stream.count() > 0 {
            if config.filters().is_empty() {
                return Err(Error::WorkQueueMultipleUnfiltered);
            }
            check_unique(of_stream, &config, None)?;
        }
        let is_durable = config.is_durable();
        set_inactive_threshold(&mut config, is_durable);
        // What the server makes up is the consumer's name, and isn't part of what was asked for.
        let mut name = config.name.clone();
        while name.is_empty() || of_stream.get(&name).is_some() {
            name = self.random_name();
        }
        self.make(of_stream, name, config)
    }

    fn make(
        &self,
        of_stream: &Arc<StreamConsumers>,
        name: String,
        config: ConsumerConfig,
    ) -> Result<Created, Error> {
        let Consumers(inner) = self;
        // Under the gate of an interest stream, so that no message goes that this consumer would have seen.
        let gate = of_stream.gate();
        let filters = config.filters();
        let place = of_stream.source.place(&filters, Sequence::FIRST);
        let start = start_of(&config, &*of_stream.source, &*place);
        place.seek(start.next);
        let now = self.now();
        let (machine, record) = Machine::new(inner.table.machine_config(&config), start, now);
        let number = inner.table.allocate();
        let whole = Whole {
            number,
            partition: of_stream.source.partition(),
            created: now.wall,
            name,
            config,
            record: record.clone().unwrap_or_default(),
        };
        let is_durable = record.is_some();
        let queue = || {
            let frame = Frame::Created(Box::new(whole.clone())).encode();
            let lsn = inner.log.submit(Entry::new().state(CONSUMERS, shard_of(number), frame))?;
            Ok::<_, AppendError>((Arc::new(Consumer::new(&whole, machine.clone(), lsn)), lsn))
        };
        let (consumer, lsn) = if is_durable {
            inner.table.insert(number, queue)?
        } else {
            (Arc::new(Consumer::new(&whole, machine.clone(), Lsn::ZERO)), Lsn::ZERO)
        };
        consumer.begin(&of_stream.source, place);
        of_stream.add(&consumer, filters, lsn);
        drop(gate);
        self.step(of_stream, &consumer, Event::Wake);
        Ok(Created { consumer, did_create: true, lsn })
    }

    fn change(
        &self,
        of_stream: &Arc<StreamConsumers>,
        consumer: &Arc<Consumer>,
        config: ConsumerConfig,
    ) -> Result<Created, Error> {
        let old = consumer.config();
        if *old == config {
            let lsn = consumer.lock().queued;
            return Ok(Created { consumer: consumer.clone(), did_create: false, lsn });
        }
        if of_stream.source.config().retention == RetentionPolicy::WorkQueue {
            check_unique(of_stream, &config, Some(consumer.number))?;
        }
        check_update(&old, &config, || self.sink().has_interest(old.deliver_subject.as_bytes()))?;
        let refilters = old.filters() != config.filters();
        let event = Event::Update {
            config: Box::new(self.0.table.machine_config(&config)),
            redeliver: old.deliver_subject != config.deliver_subject,
        };
        let lsn = self.configure(of_stream, consumer, config, refilters)?;
        self.step(of_stream, consumer, event);
        if refilters {
            self.release(of_stream, consumer, &old.filters());
        }
        Ok(Created { consumer: consumer.clone(), did_create: false, lsn })
    }

    /// Writes the new configuration down, and goes to the same place with the new filters.
    fn configure(
        &self,
        of_stream: &StreamConsumers,
        consumer: &Consumer,
        config: ConsumerConfig,
        refilters: bool,
    ) -> Result<Lsn, Error> {
        let filters = config.filters();
        let mut hosted = consumer.lock();
        if hosted.is_over {
            return Err(Error::DoesNotExist);
        }
        if !config.mem_storage {
            let frame = Frame::Configured(consumer.number, Box::new(config.clone())).encode();
            let entry = Entry::new().state(CONSUMERS, shard_of(consumer.number), frame);
            hosted.queued = self.0.log.submit(entry)?;
            self.0.table.queued(consumer.number, hosted.queued);
        }
        hosted.config = Arc::new(config);
        if refilters {
            let next = hosted.machine.window().next();
            hosted.attached = Some((of_stream.source.clone(), of_stream.source.place(&filters, next)));
            of_stream.refilter(consumer, filters);
        }
        Ok(hosted.queued)
    }

    /// Deletes a consumer. Those who wait for messages are told so.
    ///
    /// # Errors
    /// See [`DeleteConsumerError`].
    pub fn delete(&self, of_stream: &Arc<StreamConsumers>, name: &str) -> Result<Lsn, DeleteConsumerError> {
        let _changing = of_stream.changing.lock();
        let consumer = of_stream.get(name).ok_or(DeleteConsumerError::NotFound)?;
        let lsn = self.remove(of_stream, &consumer)?;
        self.release(of_stream, &consumer, &consumer.config().filters());
        Ok(lsn)
    }

    pub(super) fn remove(
        &self,
        of_stream: &StreamConsumers,
        consumer: &Arc<Consumer>,
    ) -> Result<Lsn, AppendError> {
        let lsn = self.queue_deletion(consumer)?;
        of_stream.drop_consumer(consumer, lsn);
        let mut hosted = consumer.lock();
        hosted.end(&Status::ConsumerDeleted, lsn, &*self.sink());
        self.set_due(consumer, None);
        Ok(lsn)
    }

    pub(super) fn queue_deletion(&self, consumer: &Consumer) -> Result<Lsn, AppendError> {
        {
            let mut hosted = consumer.lock();
            // No frame of it may follow the one that deletes it.
            hosted.is_over = true;
            if hosted.config.mem_storage {
                return Ok(Lsn::ZERO);
            }
        }
        self.0.table.remove(consumer.number, || {
            let frame = Frame::Deleted(consumer.number).encode();
            self.0.log.submit(Entry::new().state(CONSUMERS, shard_of(consumer.number), frame))
        })
    }

    /// Interest streams: what only this consumer wanted may go. Proportional to what it hadn't done.
    fn release(&self, of_stream: &StreamConsumers, consumer: &Consumer, filters: &[String]) {
        let Some(_gate) = of_stream.gate() else { return };
        let floor = consumer.lock().machine.window().floor().sequence;
        let place = of_stream.source.place(filters, floor.next());
        loop {
            let some = place.ahead(RELEASED_AT_ONCE);
            let Some(last) = some.last().copied() else { return };
            let still_wanted = |sequence: &Sequence| {
                let hosted = consumer.lock();
                let own = hosted.attached.as_ref().map(|(_, place)| place);
                own.is_some_and(|own| own.matches(*sequence) == Some(true))
                    && hosted.machine.window().needs(*sequence)
            };
            let done: Vec<Sequence> = some
                .into_iter()
                .filter(|sequence| !still_wanted(sequence) && !of_stream.is_needed(*sequence, consumer))
                .collect();
            if !done.is_empty()
                && let Err(error) = of_stream.source.remove(Entry::new(), &done)
            {
                tracing::error!(%error, ?consumer, "messages that nobody wants stay");
                return;
            }
            place.seek(last.next());
        }
    }

    fn random_name(&self) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
        let mut random = [0; 8];
        self.0.env.rng.fill(&mut random);
        random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }
}

/// Work queues: a message has one consumer, so filters must not overlap.
fn check_unique(of_stream: &StreamConsumers, config: &ConsumerConfig, own: Option<u64>) -> Result<(), Error> {
    let filters = config.filters();
    let collides = of_stream.filters_but(own).iter().any(|others| {
        others.is_empty()
            || filters.is_empty()
            || others.iter().any(|other| filters.iter().any(|filter| subject::overlaps(filter, other)))
    });
    if collides { Err(Error::WorkQueueNotUnique) } else { Ok(()) }
}

/// Where a new consumer begins (consumer.go: selectStartingSeqNo).
fn start_of(config: &ConsumerConfig, source: &dyn Source, place: &dyn Place) -> Start {
    let state = source.state();
    let (first, last) = (state.first_sequence, state.last_sequence);
    let mut before = Vec::new();
    let next = match config.deliver_policy {
        DeliverPolicy::All => first,
        DeliverPolicy::New => last.next(),
        DeliverPolicy::Last if config.filters().is_empty() => last,
        DeliverPolicy::Last => place.last().unwrap_or_default(),
        DeliverPolicy::LastPerSubject if source.config().max_msgs_per_subject == Some(1) => first,
        DeliverPolicy::LastPerSubject => {
            before = place.last_per_subject(last);
            last.next()
        }
        DeliverPolicy::ByStartTime => source.sequence_since(config.opt_start_time.unwrap_or_default()),
        DeliverPolicy::ByStartSequence => config.opt_start_seq,
    };
    let is_given = config.deliver_policy == DeliverPolicy::ByStartSequence;
    let next = if first == Sequence::ZERO && !is_given {
        Sequence::FIRST
    } else if next > last && !is_given {
        last.next()
    } else {
        next.max(first)
    };
    Start { next, first: before, last }
}
