//! Crashes: which states of the disk one may leave, and whether recovery copes with each of them.
//!
//! `variant` names the states and says which of them a moment has; `images` makes them from a trace; `explorer`
//! drives a workload, its crashes and the check of what was recovered.

mod explorer;
mod id;
mod images;
mod report;
#[cfg(test)]
mod tests;
mod variant;

pub use explorer::{Explorer, Run, Violation};
pub use id::{CrashId, CrashPoint, ParseCrashId};
pub use images::{CrashImage, CrashImages};
pub use report::{Found, Report};
pub use variant::{Limits, Variant};
