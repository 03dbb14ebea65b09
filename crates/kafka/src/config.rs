//! What the Kafka door lets its operator choose: addresses, limits, timeouts.
//!
//! The server's configuration maps onto this one to one. Nothing here is about topics: those settings are the
//! broker's.

use std::time::Duration;

/// Settings of one Kafka listener.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// The host that clients are told to connect to (Kafka: `advertised.listeners`).
    pub advertised_host: String,
    /// The port that clients are told to connect to. 0: the port that the listener got.
    pub advertised_port: u16,
    /// Where the data lies, for DescribeLogDirs.
    pub data_dir: String,
    /// Largest request, bytes without its length prefix (Kafka: `socket.request.max.bytes`, there 100 MiB).
    /// Checked before anything is allocated.
    pub max_request_bytes: usize,
    /// Largest request other than Produce, bytes. Their bodies become many small structs, so a byte of them
    /// costs far more memory than a byte of record data.
    pub max_control_request_bytes: usize,
    /// Bytes of requests that one connection may have in flight (read, not yet answered).
    pub connection_request_bytes: usize,
    /// Bytes of requests that all connections together may have in flight; those behind it wait before reading.
    pub request_bytes: usize,
    /// Replies that may wait in a connection's queue before its next request is read.
    pub reply_queue_len: usize,
    /// Bytes of replies that may wait in a connection's queue before its next request is read.
    pub reply_queue_bytes: usize,
    /// Bytes of replies that may wait in all queues together; fetches give less when it is nearly used up.
    pub reply_bytes: usize,
    /// Most bytes that one fetch answers, whatever the client asks (Kafka: `fetch.max.bytes`, 55 MiB).
    pub fetch_max_bytes: usize,
    /// Longest that a fetch is parked, whatever the client asks.
    pub fetch_max_wait: Duration,
    /// Incremental fetch sessions kept (Kafka: `max.incremental.fetch.session.cache.slots`).
    pub fetch_session_slots: usize,
    /// A fetch session may be evicted for another one after this time without use.
    pub fetch_session_eviction: Duration,
    /// Connections of all clients together.
    pub max_connections: usize,
    /// Connections of one address (Kafka: `max.connections.per.ip`).
    pub max_connections_per_ip: usize,
    /// A connection without a request for so long is closed (Kafka: `connections.max.idle.ms`).
    pub idle_timeout: Duration,
    /// A started frame of which no byte arrives for so long closes its connection.
    pub stall_timeout: Duration,
    /// A started frame that isn't whole after so long closes its connection.
    pub frame_timeout: Duration,
    /// A reply of which the client takes no byte for so long closes its connection.
    pub write_timeout: Duration,
    /// How long a stopping broker waits for requests that are being handled.
    pub drain_timeout: Duration,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            advertised_host: "127.0.0.1".to_owned(),
            advertised_port: 0,
            data_dir: "duolog-data".to_owned(),
            // 16 MiB of records, and room for the request around them.
            max_request_bytes: (16 << 20) + (64 << 10),
            max_control_request_bytes: 8 << 20,
            connection_request_bytes: 32 << 20,
            request_bytes: 256 << 20,
            reply_queue_len: 256,
            reply_queue_bytes: 4 << 20,
            reply_bytes: 256 << 20,
            fetch_max_bytes: 55 << 20,
            fetch_max_wait: Duration::from_secs(60),
            fetch_session_slots: 1000,
            fetch_session_eviction: Duration::from_secs(120),
            max_connections: 20_000,
            max_connections_per_ip: 1_000,
            idle_timeout: Duration::from_secs(600),
            stall_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
