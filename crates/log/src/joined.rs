//! A batch of single records that grows while it waits in the queue (design §3.3).
//!
//! A message of 128 bytes shouldn't carry 61 bytes of header, nor cost an entry, an index record and a checksum of
//! its own. Who appends adds to the batch under its partition's lock and the batch's own; the WAL's writer closes
//! it under the queue's lock and the batch's. Lock order: partition, queue, batch.

use duolog_record::{BatchBuilder, BatchError};
use duolog_types::{Nanos, Offset, PartitionId, TimestampMs};
use parking_lot::Mutex;

use crate::entry::{NewBatch, NewRecord};
use crate::error::AppendError;
use crate::queue::Queue;
use crate::wal::frame::FrameHeader;

/// A batch takes no more records when it would outgrow this; a larger record stands alone.
const JOIN_LIMIT_BYTES: usize = 64 << 10;
/// What a record takes besides its fields at most: lengths, deltas, attributes, count of headers.
const RECORD_OVERHEAD_BYTES: usize = 40;
/// Lengths of a header's key and value at most.
const HEADER_OVERHEAD_BYTES: usize = 10;

/// The most that `record` can take in a batch.
pub(crate) fn record_bytes_max(record: &NewRecord<'_>) -> usize {
    let field = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize =
        record.headers.iter().map(|(key, value)| HEADER_OVERHEAD_BYTES + key.len() + field(*value)).sum();
    RECORD_OVERHEAD_BYTES + field(record.key) + field(record.value) + headers
}

/// See the module.
#[derive(Debug)]
pub(crate) struct JoinedBatch {
    base_offset: Offset,
    /// When the first record arrived.
    arrival: Nanos,
    growing: Mutex<Growing>,
}

#[derive(Debug)]
struct Growing {
    /// Is taken out when the batch is written.
    records: Option<BatchBuilder>,
    size_bytes: usize,
    /// The writer has it, or the log has stopped.
    closed: bool,
}

impl JoinedBatch {
    /// A batch of one record so far.
    pub(crate) fn begin(
        base_offset: Offset,
        record: &NewRecord<'_>,
        bytes_max: usize,
        queue: &Queue,
    ) -> Result<Self, AppendError> {
        let mut records = BatchBuilder::new(base_offset).with_room(bytes_max);
        push(&mut records, record, queue)?;
        let size_bytes = records.size_bytes();
        let growing = Growing { records: Some(records), size_bytes, closed: false };
        Ok(Self { base_offset, arrival: record.arrival, growing: Mutex::new(growing) })
    }

    /// Adds `record` with `offset`. Returns `false` if the batch is closed, full, or ends before another offset.
    pub(crate) fn join(
        &self,
        offset: Offset,
        record: &NewRecord<'_>,
        bytes_max: usize,
        queue: &Queue,
    ) -> Result<bool, AppendError> {
        let mut growing = self.growing.lock();
        let Growing { records: Some(records), size_bytes, closed: false } = &mut *growing else {
            return Ok(false);
        };
        let limit = JOIN_LIMIT_BYTES.min(usize::try_from(queue.batch_limit_bytes()).unwrap_or(usize::MAX));
        if records.next_offset() != offset || *size_bytes + bytes_max > limit {
            return Ok(false);
        }
        queue.admit()?;
        push(records, record, queue)?;
        let size_before = std::mem::replace(size_bytes, records.size_bytes());
        // Under this lock, as the writer sees size and account together.
        queue.joined((*size_bytes - size_before) as u64);
        Ok(true)
    }

    /// Nothing joins from here on.
    pub(crate) fn close(&self) {
        self.growing.lock().closed = true;
    }

    /// Bytes of the batch as it will be written.
    pub(crate) fn size_bytes(&self) -> usize {
        self.growing.lock().size_bytes
    }

    /// The frame's header; its fields are final once the batch was closed.
    pub(crate) fn header(&self, partition: PartitionId) -> FrameHeader {
        let growing = self.growing.lock();
        let records = growing.records.as_ref();
        FrameHeader::Batch {
            partition,
            base_offset: self.base_offset,
            offset_count: records.map_or(0, |records| records.record_count() as u32),
            arrival: self.arrival,
            max_timestamp: records.map_or(TimestampMs(-1), BatchBuilder::max_timestamp),
            of_single_records: true,
        }
    }

    /// The closed batch with its header and checksum, and its first offset. `None` if it was taken before.
    pub(crate) fn take(&self) -> Option<(Offset, NewBatch)> {
        let records = self.growing.lock().records.take()?;
        let (offset_count, max_timestamp) = (records.record_count() as u32, records.max_timestamp());
        let bytes = records.build().expect("no codec, and every push saw that the length has 31 bits");
        Some((self.base_offset, NewBatch { bytes, offset_count, max_timestamp, arrival: self.arrival }))
    }
}

fn push(records: &mut BatchBuilder, record: &NewRecord<'_>, queue: &Queue) -> Result<(), AppendError> {
    let timestamp = record.arrival.to_ms();
    records.push_with_headers(timestamp, record.key, record.value, record.headers).map_err(|error| {
        let limit_bytes = queue.batch_limit_bytes();
        match error {
            BatchError::BatchTooLarge { size_bytes, .. } => {
                AppendError::TooLarge { bytes: size_bytes as u64, limit_bytes }
            }
            // Offsets beyond 2^63, or a batch of more than 2^31: neither can be reached within the limits.
            _ => AppendError::TooLarge { bytes: record_bytes_max(record) as u64, limit_bytes },
        }
    })
}
