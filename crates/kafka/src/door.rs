//! The Kafka door: what all its connections share, and the way of a frame from its header to its handler.
//!
//! Owns the handles (broker, clock, limits, counters, fetch sessions); decides nothing about any API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use duolog_broker::Broker;
use duolog_env::Env;
use duolog_types::Lsn;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::apis::fetch::{self, FetchSessions};
use crate::config::KafkaConfig;
use crate::dispatch::{Call, api_at, parse_header};
use crate::frame::Frame;
use crate::metrics::KafkaMetrics;
use crate::session::close::CloseReason;
use crate::session::connection::Connection;
use crate::session::queue::Meter;
use crate::session::reply::Outcome;
use crate::session::{Service, Shared, Stopped, room_to_decode};

/// Produce's key: its bodies are record data, so their size says what they cost.
const PRODUCE_KEY: i16 = 0;

/// What all connections of a listener share.
#[derive(Debug)]
pub struct Door {
    /// The broker behind the door.
    pub broker: Arc<Broker>,
    /// Time and chance: the broker's.
    pub env: Env,
    /// Where clients are told to connect to: host and port.
    pub advertised: (String, u16),
    pub(crate) shared: Shared,
    metrics: Arc<KafkaMetrics>,
    pub(crate) fetch_sessions: Mutex<FetchSessions>,
}

/// What is kept for one connection.
#[derive(Debug)]
pub struct Client {
    /// The client's address.
    pub peer: SocketAddr,
    /// Name and version of the client's library, if it told them (ApiVersions v3+).
    pub software: Option<(String, String)>,
}

impl Client {
    /// A connection's client, of which nothing is known yet.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, software: None }
    }
}

impl Door {
    /// A door to `broker`. Its sessions end when `draining` turns true.
    #[must_use]
    pub fn new(
        broker: Arc<Broker>,
        config: KafkaConfig,
        port: u16,
        draining: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        let port = if config.advertised_port == 0 { port } else { config.advertised_port };
        let advertised = (config.advertised_host.clone(), port);
        let fetch_sessions = Mutex::new(FetchSessions::new(fetch::limits(&config)));
        let shared = Shared::new(config, draining);
        let metrics = Arc::new(KafkaMetrics::new(Arc::clone(&shared.reply_bytes)));
        let env = broker.env().clone();
        Self { broker, env, advertised, shared, metrics, fetch_sessions }
    }

    /// Limits and timeouts.
    #[must_use]
    pub fn config(&self) -> &KafkaConfig {
        &self.shared.config
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<KafkaMetrics> {
        &self.metrics
    }

    /// Serves one connection over any byte stream, until it ends.
    pub async fn converse<R, W>(&self, reader: R, writer: W, connection: &Connection) -> CloseReason
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        let client = Client::new(connection.peer);
        crate::session::run(reader, writer, connection, client, self, &self.shared).await
    }

    /// Ends when the broker stops: parked requests answer with what they have.
    pub async fn draining(&self) {
        let mut draining = self.shared.draining.clone();
        // An error means that the sender is gone: stopped too.
        let _ = draining.wait_for(|draining| *draining).await;
    }
}

impl Service for Door {
    type Client = Client;

    async fn handle(&self, client: &mut Client, frame: &mut Frame) -> Result<(Outcome, Meter), CloseReason> {
        let since = self.now();
        let bytes = frame.bytes.len();
        let header = parse_header(std::mem::take(&mut frame.bytes))?;
        let api = api_at(header.api);
        if api.key != PRODUCE_KEY {
            let limit = self.config().max_control_request_bytes;
            if bytes > limit {
                return Err(CloseReason::RequestTooLarge { api: api.name, bytes, limit });
            }
            room_to_decode(&self.shared.budget, &mut frame.room, bytes).await;
        }
        self.metrics.request(header.api, bytes);
        let call = Call {
            door: self,
            client,
            api: header.api,
            version: header.version,
            client_id: header.client_id,
            frame: header.frame,
            body: header.body,
            room: &mut frame.room,
        };
        let outcome = (api.handler)(call).await?;
        Ok((outcome, Meter { api: header.api, since }))
    }

    async fn durable(&self, lsn: Lsn) -> Result<(), Stopped> {
        if lsn > self.broker.durable_lsn() {
            self.broker.commit_queued();
        }
        self.broker.durable(lsn).await.map_err(|poisoned| Stopped(poisoned.to_string()))
    }

    fn commit_soon(&self) {
        self.broker.commit_soon();
    }

    fn durable_lsn(&self) -> Lsn {
        self.broker.durable_lsn()
    }

    fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    fn replied(&self, meter: Meter, now: Duration) {
        self.metrics.answered(meter.api, now.saturating_sub(meter.since));
    }
}
