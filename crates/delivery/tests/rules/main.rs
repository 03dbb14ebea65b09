//! JetStream's rules of delivery, one test each (rules-nats §1.5, §4.5), and the core as share groups will use it.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod harness;

mod acks;
mod limits;
mod order;
mod pull;
mod push;
mod restart;
mod share;
mod stream_changes;
