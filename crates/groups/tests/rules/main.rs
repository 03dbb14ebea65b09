//! The rules of Kafka's classic groups, one table or story for each, against the public API.
#![allow(clippy::unwrap_used, clippy::panic)]

mod harness;
mod join;
mod leave;
mod offsets;
mod rebalance;
mod restart;
mod static_members;
mod sync;
