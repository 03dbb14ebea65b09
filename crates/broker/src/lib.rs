//! What the broker decides: which topics there are, which batches are taken, what a reader may see, when data
//! is old enough to go.
//!
//! Owns the catalog, the partitions' produce and fetch paths, idempotent producers, producer ids, the
//! groups' shards and retention.
//! Stands between the doors (which speak a protocol) and the log (which stores): here are no protocol bytes and
//! no files.
//!
//! ```text
//! Broker ─┬─ catalog()       topics by name and id, their configs     one WAL entry for each change
//!         │    └─ Topic ── Partition    produce · fetch · offsets     the producer window, under one short lock
//!         ├─ producer_ids()  ids that are never given twice           one WAL entry for each block
//!         ├─ groups()        consumer groups and their offsets        one WAL entry for each step
//!         ├─ consumers()     deliveries to consumers of streams       one WAL entry for each step
//!         └─ run_background  retention, expiry of producers, timers of groups
//! ```
//!
//! **Every reply waits.** Whatever is decided here takes effect in memory at once and names an [`Lsn`]; a door
//! sends a reply only when [`Broker::durable`] says that the newest `Lsn` the reply reveals is on stable storage.
//! Results carry that number; a reply that only names topics waits for [`Catalog::changed`].
//!
//! **A reader sees durable data only**: the high watermark moves after the sync, in the log.

mod broker;
pub mod catalog;
mod codec;
pub mod config;
pub mod consumers;
pub mod groups;
pub mod partition;
mod producer_ids;
pub mod retention;
mod settings;
pub mod streams;
mod tables;

pub use broker::{Broker, BrokerStats, OpenError};
pub use catalog::{Catalog, Topic};
pub use consumers::{Consumer, Consumers};
pub use duolog_log::{
    AppendError, DamagePolicy, Durability, Entry, Extent, LogConfig, LogStats, Poisoned, ReadError,
    RecoveryReport, Watch, WatchGuard,
};
pub use duolog_types::Lsn;
pub use groups::{Answer, Groups, GroupsConfig};
pub use partition::Partition;
pub use producer_ids::{NewProducerId, ProducerIds};
pub use settings::BrokerConfig;
pub use streams::{Stream, Streams};
