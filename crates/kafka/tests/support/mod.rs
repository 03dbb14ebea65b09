//! A broker of its own for each test, and a client that speaks in frames.
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests; each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use duolog_broker::{Broker, BrokerConfig, LogConfig};
use duolog_env::Env;
use duolog_kafka::door::Door;
use duolog_kafka::session::close::CloseReason;
use duolog_kafka::session::connection::Connection;
use duolog_kafka::{Kafka, KafkaConfig};
use kafka_wire::{RequestHeader, RequestResponsePair};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode, KafkaEncode, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// A data directory with its broker.
pub struct TestBroker {
    pub broker: Arc<Broker>,
    dir: Option<tempfile::TempDir>,
}

/// Settings of a log that a test can fill.
pub fn log_config(dir: &std::path::Path) -> LogConfig {
    let mut config = LogConfig::new(dir);
    config.wal_file_bytes = 8 << 20;
    config.checkpoint_bytes = 32 << 20;
    config
}

impl TestBroker {
    pub fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    pub fn with(config: BrokerConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::open(Env::real(), config, log_config(dir.path())).unwrap();
        Self { broker, dir: Some(dir) }
    }

    /// A broker that was opened in `dir`.
    pub fn of(broker: Arc<Broker>, dir: tempfile::TempDir) -> Self {
        Self { broker, dir: Some(dir) }
    }

    /// Closes the log and opens it again.
    pub fn restart(mut self) -> Self {
        let dir = self.dir.take().unwrap();
        self.broker.close().unwrap();
        let config = self.broker.config().clone();
        drop(self);
        let broker = Broker::open(Env::real(), config, log_config(dir.path())).unwrap();
        Self { broker, dir: Some(dir) }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if self.dir.is_some() {
            self.broker.close().ok();
        }
    }
}

/// A broker behind a listener.
pub struct TestServer {
    pub broker: TestBroker,
    pub address: SocketAddr,
    pub metrics: Arc<duolog_kafka::KafkaMetrics>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    background: JoinHandle<()>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::over(TestBroker::new(), KafkaConfig::default()).await
    }

    pub async fn over(broker: TestBroker, config: KafkaConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kafka = Kafka::new(listener, broker.broker.clone(), config).unwrap();
        let (address, metrics) = (kafka.address(), kafka.metrics());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(kafka.serve(async {
            stopped.await.ok();
        }));
        let background = tokio::spawn(broker.broker.clone().run_background());
        Self { broker, address, metrics, stop: Some(stop), task, background }
    }

    pub async fn connect(&self) -> Wire<TcpStream> {
        Wire::new(TcpStream::connect(self.address).await.unwrap())
    }

    pub async fn stop(mut self) -> TestBroker {
        self.stop.take().unwrap().send(()).ok();
        self.task.await.unwrap();
        self.background.abort();
        // It holds the broker until it has ended.
        self.background.await.ok();
        self.broker
    }
}

/// A session over a pipe in memory.
pub struct Piped {
    pub wire: Wire<DuplexStream>,
    pub session: JoinHandle<CloseReason>,
    _draining: watch::Sender<bool>,
}

pub fn pipe(broker: &TestBroker) -> Piped {
    pipe_with(broker, KafkaConfig::default())
}

pub fn pipe_with(broker: &TestBroker, config: KafkaConfig) -> Piped {
    let (draining, receiver) = watch::channel(false);
    let door = Door::new(broker.broker.clone(), config, 9092, receiver);
    let (client, server) = tokio::io::duplex(1 << 16);
    let session = tokio::spawn(async move {
        let (reader, writer) = tokio::io::split(server);
        let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 5)), Duration::from_secs(1));
        door.converse(reader, writer, &connection).await
    });
    Piped { wire: Wire::new(client), session, _draining: draining }
}

/// A client that sends and receives frames.
pub struct Wire<S> {
    pub stream: S,
    correlation_id: i32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, correlation_id: 100 }
    }

    /// Sends a frame made of raw bytes.
    pub async fn send_raw(&mut self, frame: &[u8]) {
        let mut bytes = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next frame; `None` at the stream's end.
    pub async fn receive_raw(&mut self) -> Option<Bytes> {
        let length = self.stream.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.unwrap();
        Some(frame.into())
    }

    /// Sends a request and returns its correlation id.
    pub async fn send<R: RequestResponsePair>(&mut self, request: &R, version: i16) -> i32 {
        self.correlation_id += 1;
        let frame = encode(request, version, self.correlation_id);
        self.send_raw(&frame).await;
        self.correlation_id
    }

    /// Receives the response to a request of type `R`.
    pub async fn receive<R: RequestResponsePair>(&mut self, version: i16) -> Option<R::Response> {
        let frame = self.receive_raw().await?;
        let flexible = R::is_flexible(ApiVersion::new(version)) && R::API_KEY.value() != 18;
        let body = frame.slice(if flexible { 5 } else { 4 }..);
        let mut decoder = Decoder::new(body, DecodeLimits::default()).unwrap();
        let response = R::Response::decode(&mut decoder, ApiVersion::new(version)).unwrap();
        assert_eq!(decoder.remaining(), 0, "bytes behind a response of version {version}");
        Some(response)
    }

    /// Sends a request and receives its response.
    pub async fn ask<R: RequestResponsePair>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(request, version).await;
        let name = R::NAME;
        self.receive::<R>(version).await.unwrap_or_else(|| panic!("{name} v{version} closed the connection"))
    }
}

/// A request's frame, without its length, if the request can be said in this version.
pub fn try_encode<R: RequestResponsePair>(
    request: &R,
    version: i16,
    correlation_id: i32,
) -> Option<BytesMut> {
    request.encoded_len(ApiVersion::new(version)).ok().map(|_| encode(request, version, correlation_id))
}

/// A request's frame, without its length.
pub fn encode<R: RequestResponsePair>(request: &R, version: i16, correlation_id: i32) -> BytesMut {
    let mut frame = BytesMut::new();
    let mut header = RequestHeader::default();
    header.request_api_key = R::API_KEY.value();
    header.request_api_version = version;
    header.correlation_id = correlation_id;
    header.client_id = Some(StrBytes::from("test"));
    let flexible = R::is_flexible(ApiVersion::new(version));
    header.encode_into(&mut frame, ApiVersion::new(if flexible { 2 } else { 1 })).unwrap();
    request.encode_into(&mut frame, ApiVersion::new(version)).unwrap();
    frame
}

/// A batch of `values`, as a producer sends it.
pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = duolog_record::BatchBuilder::new(duolog_types::Offset(0));
    for value in values {
        let now = Env::real().clock.wall().to_ms();
        builder.push(now, None, Some(value.as_bytes())).unwrap();
    }
    builder.build().unwrap()
}
