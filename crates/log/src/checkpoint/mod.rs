//! Checkpoints: moving what the WAL holds into segments and snapshots, so that WAL files can be used again.
//!
//! ```text
//! cut at a durable point ─► batches below it into segments ─► sync ─► changed shards into one snapshot file ─► sync
//!      ─► wait until everything the snapshots saw is durable ─► manifest (the other of two slots) ─► sync
//!      ─► recycle WAL files below the cut, delete what nothing names any more
//! ```
//!
//! A crash anywhere leaves the old manifest in force; what was written beside it is overwritten next time.
//! The cost follows change: idle partitions and unchanged shards aren't touched.

pub(crate) mod manifest;
pub(crate) mod partition_table;
mod reclaim;
pub(crate) mod run;
pub(crate) mod snapshot;
