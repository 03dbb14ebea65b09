//! A real client, one record at a time: librdkafka, acks=all, no linger.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

const PATIENCE: Duration = Duration::from_secs(30);

/// Notes that the record was acknowledged, on the thread that polls.
#[derive(Clone, Default)]
struct Delivery {
    done: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
}

impl ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.failed.store(result.is_err(), Ordering::Relaxed);
        self.done.store(true, Ordering::Relaxed);
    }
}

/// A connected producer.
pub struct Client {
    producer: BaseProducer<Delivery>,
    delivery: Delivery,
    topic: String,
    value: Vec<u8>,
}

impl Client {
    /// Connects, and sends one record to be sure of it.
    pub fn connect(bootstrap: SocketAddr, topic: &str, value_bytes: usize) -> anyhow::Result<Self> {
        let delivery = Delivery::default();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap.to_string())
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("socket.nagle.disable", "true")
            .create_with_context(delivery.clone())?;
        let mut client = Self { producer, delivery, topic: topic.to_owned(), value: vec![0x5a; value_bytes] };
        client.send()?;
        Ok(client)
    }

    /// From handing over a record to hearing that it was acknowledged.
    pub fn send(&mut self) -> anyhow::Result<Duration> {
        self.delivery.done.store(false, Ordering::Relaxed);
        let began = Instant::now();
        let record = BaseRecord::<(), [u8]>::to(&self.topic).partition(0).payload(&self.value);
        self.producer.send(record).map_err(|(error, _)| anyhow!(error))?;
        while !self.delivery.done.load(Ordering::Relaxed) {
            ensure!(began.elapsed() < PATIENCE, "no acknowledgement within {PATIENCE:?}");
            self.producer.poll(PATIENCE);
        }
        let took = began.elapsed();
        ensure!(!self.delivery.failed.load(Ordering::Relaxed), "a record was refused");
        Ok(took)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Nothing is outstanding: each record was waited for.
        let _ = self.producer.flush(Duration::ZERO);
    }
}
