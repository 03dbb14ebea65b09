//! The durable log: one write-ahead log for everything, segments for what is older, memory for the tail.
//!
//! Owns: frames and commit groups ([`Entry`] → WAL), recovery, checkpoints, segments and their indexes, the
//! reader, the disk's fullness, and the border between "written" and "durable". Knows partitions of record
//! batches and opaque state tables; knows no protocol, no topic, no group.
//!
//! ```text
//!            append/submit            one write + sync           publish
//! Partition ───────────────► queue ───────────────────► WAL ───────────────► high watermark, watches,
//!   (offset and LSN are                (a group = what             │          durable LSN
//!    taken in one step)                 queued meanwhile)          │ checkpoint by LSN
//!                                                                  ▼
//!                                             segments (per partition) · snapshots (per changed shard)
//! ```
//!
//! Rules that every caller can rely on: an offset names one record for ever; nothing is readable before it is
//! durable; after a failed write or sync the log takes nothing more ([`Poisoned`]).

mod checkpoint;
mod codec;
mod config;
mod dead;
mod durable;
mod entry;
mod error;
mod joined;
mod log;
mod open;
mod partition;
mod partitions;
mod queue;
mod segment;
mod space;
mod stats;
mod table;
mod tail;
mod threads;
mod wal;
mod watch;

pub use config::{DamagePolicy, Durability, LogConfig};
pub use dead::set::Dead;
pub use entry::{Entry, NewBatch, NewRecord};
pub use error::{AppendError, OpenError, Poisoned, ReadError};
pub use log::Log;
pub use open::RecoveryReport;
pub use partition::{Appended, Bounds, Chunk, ColdRead, Extent, Partition, Read, ReadSpec};
pub use stats::{LogStats, SYNC_BUCKETS_MICROS};
pub use table::{ShardSnapshot, Table, TableId};
pub use watch::{Watch, WatchGuard};
