//! JetStream on the wire: what requests and replies of `$JS.API` carry, how deliveries are acknowledged, what
//! status messages and advisories look like, and every error with its number and its text.
//!
//! The bytes are the reference's (nats-server 2.15): field order, what is left out, escapes, messages. What a field
//! means, and which values are taken, is decided elsewhere.

mod json;

pub mod account;
pub mod ack;
pub mod advisory;
pub mod consumer;
pub mod error;
pub mod pub_ack;
pub mod pull;
pub mod reply;
pub mod request;
pub mod status;
pub mod stream;
pub mod time;

pub use json::DecodeError;

/// The level of the API that is served: 1 is that of 2.11.
pub const API_LEVEL: u64 = 1;
