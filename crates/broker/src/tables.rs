//! The numbers of the state tables in the WAL and in snapshots.
//!
//! Part of the disk format: a number is never given to another table, and a table's shard function never
//! changes. Each table's encoding begins with a version byte of its own (`codec`).

use duolog_log::TableId;

/// Topics, their partitions and configs; the cluster's id. Shards: `catalog::table`.
pub(crate) const CATALOG: TableId = TableId(1);
/// Idempotent producers of each partition: what their last batches were. Shards: partition id modulo 256.
pub(crate) const PRODUCERS: TableId = TableId(2);
/// Consumer groups: committed offsets and what a group must know after a restart. Shards: `groups::table`.
pub(crate) const GROUPS: TableId = TableId(3);
/// The end of the last reserved block of producer ids. One shard.
pub(crate) const PRODUCER_IDS: TableId = TableId(4);
/// Streams: index of subjects and messages, dedup windows. Shards: given as pieces come, each names what it holds
/// (`streams::table`). Configurations stand in the catalog.
pub(crate) const STREAMS: TableId = TableId(5);
/// Consumers of streams: their configurations and what was delivered and acknowledged. Shards: `consumers::table`.
pub(crate) const CONSUMERS: TableId = TableId(7);
