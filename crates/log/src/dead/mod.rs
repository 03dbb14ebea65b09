//! Deleted offsets: the set that a partition keeps, the frame that adds to it, the shards that a checkpoint writes.
//!
//! A delete is a frame in the WAL first ([`ranges`]); once durable it stands in the partition's [`set`]; a checkpoint
//! writes the chunks of 65,536 offsets that changed, so that its cost follows the change. What the set costs a reader
//! is a look per batch; what is dead leaves the disk when a segment is dropped or rewritten.

pub(crate) mod ranges;
pub(crate) mod set;
