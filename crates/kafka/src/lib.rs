//! The Kafka door: frames, sessions and one file for each Kafka API, in front of the broker.
//!
//! ```text
//! socket ─► frame ─► session ─► dispatch ─► apis/… ─► broker
//!             │         │          one table: dispatch, ApiVersions, docs/kafka-apis.md
//!          bounds    order, pipelining, replies that wait for their sync
//! ```
//!
//! Owns the protocol: what a client may send, in which versions, with which bounds, and what an error is called.
//! Decides nothing about topics, records or groups: that is the broker's. A session is a function of a byte
//! stream and a service ([`session::run`]), so that tests and fuzzers feed it bytes.

pub mod apis;
pub mod budget;
pub mod config;
pub mod dispatch;
pub mod door;
pub mod errors;
pub mod frame;
pub mod metrics;
mod serve;
pub mod session;
pub mod wire;

pub use config::KafkaConfig;
pub use metrics::{ApiSnapshot, DURATION_BUCKETS_S, KafkaMetrics};
pub use serve::Kafka;
