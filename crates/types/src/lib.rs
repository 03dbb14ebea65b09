//! Newtypes for every id, offset and time that crosses a crate boundary.
//!
//! Owns names and their invariants, nothing else: no I/O, no protocol, no policy. The words are Kafka's
//! (`docs/glossary` in ARCHITECTURE.md maps JetStream's onto them: sequence = offset + 1).

mod ids;
mod position;
mod time;

pub use ids::{
    GroupId, MemberId, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, PartitionId, ProducerEpoch, ProducerId, TopicId,
};
pub use position::{LeaderEpoch, Lsn, Offset, Sequence};
pub use time::{Nanos, TimestampMs};
