//! Reading records: what is asked, what comes back, why not.

use bytes::Bytes;
use duolog_log::{Bounds, Read, ReadError, ReadSpec};
use duolog_types::Offset;

use super::{Partition, count};

/// What to read from one partition.
#[derive(Clone, Copy, Debug)]
pub struct FetchSpec {
    /// The first offset wanted.
    pub from: Offset,
    /// How many bytes at most; a whole batch more if `at_least_one`.
    pub max_bytes: usize,
    /// Return the first batch even if it is larger than `max_bytes` (KIP-74), so that a reader gets on.
    pub at_least_one: bool,
}

/// Whole batches, as stored, and where the partition stands. The first batch may begin below the offset asked
/// for (a reader skips what it didn't ask for), and readers may meet gaps.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Runs of whole, concatenated batches.
    pub runs: Vec<Bytes>,
    /// How many bytes they have together.
    pub bytes: usize,
    /// Where to go on reading.
    pub next_offset: Offset,
    /// One behind the last offset that readers may see.
    pub high_watermark: Offset,
    /// What `read_committed` readers may see: the high watermark, as long as there are no transactions.
    pub last_stable_offset: Offset,
    /// The first offset that is still there.
    pub log_start: Offset,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// `OFFSET_OUT_OF_RANGE`.
    #[error("offset {from} is outside of the log: it begins at {log_start} and ends at {high_watermark}")]
    OutOfRange {
        /// The offset asked for.
        from: Offset,
        /// The log start offset.
        log_start: Offset,
        /// The high watermark.
        high_watermark: Offset,
    },
    /// `UNKNOWN_TOPIC_OR_PARTITION` (by name) or `UNKNOWN_TOPIC_ID` (by id): the topic was deleted meanwhile.
    #[error("the partition was deleted")]
    Deleted,
    /// `KAFKA_STORAGE_ERROR`: stored bytes are damaged or can't be read. Other ranges are still served.
    #[error(transparent)]
    Storage(ReadError),
}

impl Partition {
    /// Reads whole batches from `spec.from` up to the high watermark. Empty runs mean that there is nothing
    /// behind `spec.from` yet; wait with [`Partition::watch`].
    ///
    /// What isn't in memory is read from the disk off the async threads.
    ///
    /// # Errors
    /// The offset isn't in the log, the partition is gone, or the disk failed.
    pub async fn fetch(&self, spec: FetchSpec) -> Result<Fetched, FetchError> {
        let at_start = |error| fetch_error(error, Offset::ZERO);
        let Bounds { start: log_start, high_watermark, end } = self.log.bounds().map_err(at_start)?;
        let fetched = |runs, bytes, next_offset| Fetched {
            runs,
            bytes,
            next_offset,
            high_watermark,
            last_stable_offset: high_watermark,
            log_start,
        };
        if spec.from < log_start || spec.from > end {
            return Err(FetchError::OutOfRange { from: spec.from, log_start, high_watermark });
        }
        if spec.from >= high_watermark {
            return Ok(fetched(Vec::new(), 0, spec.from));
        }
        let read = self.log.read(ReadSpec {
            from: spec.from,
            up_to: high_watermark,
            max_bytes: spec.max_bytes,
            at_least_one: spec.at_least_one,
        });
        let counters = &self.context.counters;
        let chunk = match read.map_err(|error| fetch_error(error, high_watermark))? {
            Read::Ready(chunk) => chunk,
            Read::NeedsDisk(cold) => {
                count(&counters.cold_reads, 1);
                super::blocking(move || cold.run())
                    .await
                    .map_err(|error| fetch_error(error, high_watermark))?
            }
        };
        count(&counters.bytes_out, chunk.bytes as u64);
        Ok(fetched(chunk.runs, chunk.bytes, chunk.next_offset))
    }
}

fn fetch_error(error: ReadError, high_watermark: Offset) -> FetchError {
    match error {
        // The log start can have moved since it was looked at.
        ReadError::OutOfRange { from, start, .. } => {
            FetchError::OutOfRange { from, log_start: start, high_watermark }
        }
        ReadError::Dropped(_) => FetchError::Deleted,
        other => FetchError::Storage(other),
    }
}
