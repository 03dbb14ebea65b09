//! The NATS door: sessions, the router, and what the broker says through it.
//!
//! ```text
//! socket ─► session ─► verbs ─► router ─► other sessions
//!              │                   └────► handlers: JetStream, $SYS …
//!         order, pacing, bounds
//! replies: what must be durable before it is said
//! ```
//!
//! Owns core NATS: what a client may send, with which bounds, who gets it, and what an error is called. Decides
//! nothing about streams: handlers that are registered with the [`Router`] do. A session is a function of a byte
//! stream and a [`Door`] ([`session::run`]), so that tests and fuzzers feed it bytes.

pub mod config;
pub mod door;
pub mod metrics;
pub mod replies;
pub mod router;
mod serve;
pub mod session;
mod system;
mod verbs;

pub use config::{Auth, NatsConfig, Secret};
pub use door::Door;
pub use metrics::NatsMetrics;
pub use replies::{Durability, Replies};
pub use router::{Handler, Inbound, Origin, Router};
pub use serve::Nats;
