//! What goes on by itself: deadlines, news of streams, reading ahead.

use std::sync::Arc;
use std::time::Duration;

use duolog_delivery::Event;
use duolog_types::PartitionId;

use super::table::SHARDS;
use super::view::AHEAD_BYTES;
use super::{Consumer, Consumers, Work};

/// How long to wait before a read that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

impl Consumers {
    /// Does what is due, wakes consumers when messages come, and reads for them; ends when it is dropped.
    pub async fn run(&self) {
        loop {
            tokio::select! {
                () = self.0.alarm.due(&*self.0.env.clock) => self.tick(),
                () = self.0.watch.ready() => self.wake(),
                () = self.0.news.notified() => {}
            }
            while let Some(work) = self.next_work() {
                match work {
                    Work::Read(consumer) => {
                        let consumers = self.clone();
                        tokio::spawn(async move { consumers.read(&consumer).await });
                    }
                    other => self.work_off(&other),
                }
            }
        }
    }

    /// Does everything that is due and waits, until nothing does: for tests, in place of [`Consumers::run`].
    pub async fn settle(&self) {
        loop {
            self.wake();
            self.tick();
            let Some(work) = self.next_work() else { return };
            match work {
                Work::Read(consumer) => self.read(&consumer).await,
                other => self.work_off(&other),
            }
        }
    }

    fn next_work(&self) -> Option<Work> {
        self.0.work.lock().pop_front()
    }

    fn work_off(&self, work: &Work) {
        match work {
            Work::Read(_) => {}
            Work::Again(consumer) => self.tell(consumer, Event::Wake),
            Work::Delete(consumer) => self.delete_unused(consumer),
        }
    }

    fn delete_unused(&self, consumer: &Arc<Consumer>) {
        let Some(of_stream) = self.of(consumer.partition()) else { return };
        match self.delete(&of_stream, consumer.name()) {
            Ok(lsn) => self.sink().deleted(consumer, lsn),
            Err(error) => tracing::debug!(%error, ?consumer, "an unused consumer was not deleted"),
        }
    }

    /// Does what is due.
    pub fn tick(&self) {
        let now = self.0.env.clock.monotonic();
        for shard in (0..SHARDS).filter(|shard| self.0.alarm.is_due(*shard, now)) {
            let due: Vec<Arc<Consumer>> = {
                let due = self.0.due[shard as usize].lock();
                due.by_time.range(..=(now, u64::MAX)).map(|(_, consumer)| consumer.clone()).collect()
            };
            for consumer in due {
                self.tell(&consumer, Event::Tick);
            }
        }
    }

    /// Wakes the consumers of streams with news that have somebody to deliver to.
    fn wake(&self) {
        for token in self.0.watch.take_ready() {
            let Some(of_stream) = self.of(PartitionId(token)) else { continue };
            let first = of_stream.source.state().first_sequence;
            for consumer in of_stream.list() {
                let (wants, is_trimmed) = {
                    let hosted = consumer.lock();
                    (hosted.machine.wants_messages(), hosted.is_trimmed(first))
                };
                if is_trimmed {
                    self.step(&of_stream, &consumer, Event::Trimmed { first });
                } else if wants {
                    self.step(&of_stream, &consumer, Event::Wake);
                }
            }
        }
    }

    /// Reads what a consumer wants next.
    async fn read(&self, consumer: &Arc<Consumer>) {
        // What was read is handed over at once: who can't send it any faster isn't given more.
        self.sink().room().await;
        let (source, sequences) = {
            let mut hosted = consumer.lock();
            let super::consumer::Hosted { machine, ahead, attached, .. } = &mut *hosted;
            let Some((source, place)) = attached else { return };
            let window = machine.window();
            let sequences = ahead.plan(&**place, window.queue().chain(window.first().iter().copied()));
            (source.clone(), sequences)
        };
        let read =
            if sequences.is_empty() { Ok(Vec::new()) } else { source.read(&sequences, AHEAD_BYTES).await };
        let has_failed = match &read {
            Ok(messages) => {
                messages.is_empty() && !sequences.is_empty() && self.is_there(consumer, &sequences)
            }
            Err(error) => {
                tracing::error!(%error, ?consumer, "messages for a consumer can't be read");
                true
            }
        };
        if has_failed {
            self.0.env.clock.sleep(RETRY).await;
        }
        {
            let mut hosted = consumer.lock();
            hosted.ahead.is_reading = false;
            hosted.ahead.put(read.unwrap_or_default());
        }
        self.tell(consumer, Event::Wake);
    }

    /// Whether the first of the messages is still in the stream, as far as the consumer can tell.
    fn is_there(&self, consumer: &Consumer, sequences: &[duolog_types::Sequence]) -> bool {
        let hosted = consumer.lock();
        let place = hosted.attached.as_ref().map(|(_, place)| place);
        place.zip(sequences.first()).is_some_and(|(place, first)| place.matches(*first).is_some())
    }
}
