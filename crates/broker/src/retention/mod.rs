//! Data that is old enough goes: `retention.ms` and `retention.bytes`, applied to every partition in turns.
//!
//! `plan` decides from a partition's extents; here is who asks and what is done with the answer. Only the log
//! start moves: the log removes the files behind it in its own time.

mod plan;

use duolog_types::Offset;

use crate::{Broker, Partition};
pub use plan::{Limits, expired_to};

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Partitions whose log start moved.
    pub trimmed: usize,
    /// Producers that were forgotten.
    pub producers_expired: usize,
}

/// Applies retention to all partitions once, and forgets old producers. Touches what has data only.
pub fn apply_all(broker: &Broker) -> Round {
    let now = broker.now().to_ms();
    let mut round = Round::default();
    for topic in broker.catalog().topics() {
        // What was made through NATS lives by its own limits.
        if topic.stream().is_some() {
            topic.partitions().iter().for_each(|p| round.producers_expired += p.expire_producers(now));
            continue;
        }
        let config = topic.config();
        let limits = Limits { age_ms: config.retention_ms, size_bytes: config.retention_bytes };
        for partition in topic.partitions() {
            round.producers_expired += partition.expire_producers(now);
            if !config.deletes || limits == Limits::default() || partition.size_bytes() == 0 {
                continue;
            }
            let to = expired_to(&partition.extents(), limits, partition.high_watermark(), now);
            round.trimmed += usize::from(to.is_some_and(|to| trim(partition, to)));
        }
    }
    if round != Round::default() {
        tracing::info!(
            partitions = round.trimmed,
            producers = round.producers_expired,
            "retention moved log starts and forgot producers"
        );
    }
    round
}

fn trim(partition: &Partition, to: Offset) -> bool {
    if to <= partition.log_start() {
        return false;
    }
    match partition.delete_records(Some(to)) {
        Ok(_) => true,
        Err(error) => {
            // Deleted meanwhile, or the log is poisoned: both are told elsewhere.
            tracing::warn!(?partition, %to, %error, "retention could not move the log start");
            false
        }
    }
}
