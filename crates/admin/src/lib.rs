//! The operator's door: HTTP with `/metrics`, `/healthz` and `/readyz`.
//!
//! Owns the HTTP listener, its limits and the text of the metrics page. Knows nothing of what it shows: whoever
//! assembles the broker hands in where numbers come from ([`Metrics::source`]) and what keeps the broker from
//! being ready ([`Health`]).
//!
//! Names on the metrics page: `duolog_<stage>_<noun>_<unit>[_total]`, base units, stage = crate.

mod health;
mod metrics;
mod server;

pub use health::{Health, Readiness};
pub use metrics::{Metrics, Samples};
pub use server::{AdminConfig, serve};
