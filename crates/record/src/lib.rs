//! The one batch layout that is stored and sent: Kafka's record batch, version 2.
//!
//! Owns the bytes of a batch: its header (read and patched without touching the records), its checksum, its
//! records (read lazily, as slices of the batch), its codecs (with bounded output), and the making of new
//! batches: of records, of transaction markers, empty ones and ones with dead records left out. No I/O, no
//! protocol around the batch, no policy: what a client may send is the broker's decision.
//!
//! ```text
//!   0 base offset           i64   ┐ patched at append, outside the checksum
//!   8 batch length          i32   │ bytes behind this field
//!  12 partition leader epoch i32  │
//!  16 magic                 i8    │ always 2
//!  17 crc                   u32   ┘ CRC-32C of all that follows
//!  21 attributes            i16   ┐ 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 horizon
//!  23 last offset delta     i32   │
//!  27 base timestamp        i64   │
//!  35 max timestamp         i64   │ under the checksum
//!  43 producer id           i64   │
//!  51 producer epoch        i16   │
//!  53 base sequence         i32   │
//!  57 record count          i32   │
//!  61 records, compressed as one ┘
//! ```

mod batches;
mod builder;
mod compression;
mod control;
mod error;
mod filter;
mod header;
mod layout;
mod partitioner;
mod patch;
mod records;
mod varint;

pub use batches::{Batches, split};
pub use builder::{BatchBuilder, empty_batch, empty_range};
pub use compression::{Compression, DecodeBudget, compress, decompress};
pub use control::{ControlBatch, ControlKind, ControlRecord, control_batch};
pub use error::BatchError;
pub use filter::rebuild;
pub use header::{BatchHeader, HEADER_BYTES, TimestampType, encode_header, increment_sequence, verify_crc};
pub use partitioner::{murmur2, partition_for_key};
pub use patch::{patch_base_offset, patch_leader_epoch, patch_log_append_time};
pub use records::{
    Record, RecordHeader, RecordKey, RecordKeys, Records, record_keys_and_timestamps, records,
};
