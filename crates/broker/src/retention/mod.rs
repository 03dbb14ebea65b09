//! Data that is old enough goes: `retention.ms` and `retention.bytes`, applied to every partition in turns.
//!
//! `plan` decides from a partition's extents, `guard` whether the clock that makes them old is believed; here is who asks and what is done with the answer. Only the log
//! start moves: the log removes the files behind it in its own time.

mod guard;
mod plan;

use duolog_log::Extent;
use duolog_types::{Offset, TimestampMs};

use crate::{Broker, Partition};
pub use guard::ClockGuard;
pub use plan::{Limits, expired_to};

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Partitions whose log start moved.
    pub trimmed: usize,
    /// Producers that were forgotten.
    pub producers_expired: usize,
    /// Partitions of which most would have gone by a clock that is doubted: there only what the size asks for went.
    pub held: usize,
}

/// Applies retention to all partitions once, and forgets old producers. Touches what has data only.
pub fn apply_all(broker: &Broker) -> Round {
    let now = broker.now().to_ms();
    let doubted = broker.doubts_clock();
    let mut round = Round::default();
    for topic in broker.catalog().topics() {
        let config = topic.config();
        let limits = Limits { age_ms: config.retention_ms, size_bytes: config.retention_bytes };
        for partition in topic.partitions() {
            if !doubted {
                round.producers_expired += partition.expire_producers(now);
            }
            if !config.deletes || limits == Limits::default() || partition.size_bytes() == 0 {
                continue;
            }
            let (extents, end) = (partition.extents(), partition.high_watermark());
            let mut to = expired_to(&extents, limits, end, now);
            if doubted && to.is_some_and(|to| is_most(&extents, to)) {
                let by_size = Limits { age_ms: None, ..limits };
                let less = expired_to(&extents, by_size, end, TimestampMs(0));
                round.held += usize::from(less != to);
                to = less;
            }
            round.trimmed += usize::from(to.is_some_and(|to| trim(partition, to)));
        }
    }
    if round != Round::default() {
        tracing::info!(
            partitions = round.trimmed,
            producers = round.producers_expired,
            held = round.held,
            "retention moved log starts and forgot producers"
        );
    }
    round
}

/// Whether more than half of the bytes lie below `to`.
fn is_most(extents: &[Extent], to: Offset) -> bool {
    let bytes = |below: Offset| -> u64 {
        extents.iter().filter(|extent| extent.end_offset <= below).map(|extent| extent.size_bytes).sum()
    };
    2 * bytes(to) > bytes(Offset(i64::MAX))
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
