//! A real client, one record at a time: librdkafka, acks=all, no linger.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

const PATIENCE: Duration = Duration::from_secs(30);

/// Takes the time at which the library says that the record was acknowledged, on the library's thread: how long
/// it takes to wake another one up is no part of it.
struct Delivery(Sender<Result<Instant, String>>);

impl ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let now = Instant::now();
        let said = result.as_ref().map(|_| now).map_err(|(error, _)| error.to_string());
        // Nobody listens any more only when the measuring has failed already.
        let _ = self.0.send(said);
    }
}

/// A connected producer.
pub struct Client {
    producer: ThreadedProducer<Delivery>,
    deliveries: Receiver<Result<Instant, String>>,
    topic: String,
    value: Vec<u8>,
}

impl Client {
    /// Connects, and sends one record to be sure of it.
    pub fn connect(bootstrap: SocketAddr, topic: &str, value_bytes: usize) -> anyhow::Result<Self> {
        let (sender, deliveries) = channel();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap.to_string())
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("socket.nagle.disable", "true")
            .create_with_context(Delivery(sender))?;
        let client = Self { producer, deliveries, topic: topic.to_owned(), value: vec![0x5a; value_bytes] };
        client.send()?;
        Ok(client)
    }

    /// From handing over a record to its delivery report.
    pub fn send(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let record = BaseRecord::<(), [u8]>::to(&self.topic).partition(0).payload(&self.value);
        self.producer.send(record).map_err(|(error, _)| anyhow!(error))?;
        let said = self.deliveries.recv_timeout(PATIENCE).context("no delivery report")?;
        let heard = said.map_err(|error| anyhow!("a record was refused: {error}"))?;
        Ok(heard - began)
    }
}
