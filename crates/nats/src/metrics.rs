//! Counters of the NATS door: plain atomics, read by whoever renders a metrics page.

use std::sync::atomic::{AtomicU64, AtomicUsize};

/// The counters. Sessions add to them once a read or write, not once a message.
#[derive(Debug, Default)]
pub struct NatsMetrics {
    /// Connections that are open.
    pub connections: AtomicUsize,
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Connections that were ended for bad input.
    pub closed_bad_input: AtomicU64,
    /// Connections that were ended for taking too little (nats-server: `slow_consumers`).
    pub closed_slow: AtomicU64,
    /// Connections that were ended for another reason.
    pub closed_other: AtomicU64,
    /// Messages that clients published.
    pub in_messages: AtomicU64,
    /// Their bytes, headers and payload.
    pub in_bytes: AtomicU64,
    /// Messages that were delivered to clients.
    pub out_messages: AtomicU64,
    /// Their bytes, headers and payload.
    pub out_bytes: AtomicU64,
    /// Times that a publisher was paused for a receiver that is behind.
    pub stalls: AtomicU64,
}
