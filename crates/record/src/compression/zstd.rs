//! Zstandard, decoded in one call into the output itself.
//!
//! A streaming decoder takes a window of what the frame's header says, up to 128 MiB, beside the output: the
//! one-shot decoder uses the output as its window. Where a frame doesn't say its size (Java and librdkafka
//! stream, so theirs don't) the buffer is a guess that grows fourfold, up to the limit, until the data fits.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, get_error_name, get_frame_content_size, is_error_kind};

use super::{failed, malformed};
use crate::{BatchError, Compression};

const LEVEL: i32 = 3;
/// Smallest first guess: the size of one block, for which most batches are small enough.
const FIRST_GUESS_BYTES: usize = 128 * 1024;
const GUESSED_RATIO: usize = 4;

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let announced = get_frame_content_size(input).map_err(|error| malformed(Compression::Zstd, error))?;
    let mut capacity = match announced.map(usize::try_from) {
        None => input.len().saturating_mul(GUESSED_RATIO).max(FIRST_GUESS_BYTES).min(limit),
        Some(Ok(size)) if size <= limit => size,
        Some(_) => return Err(BatchError::DecompressionTooLarge { limit }),
    };
    let mut context =
        DCtx::try_create().ok_or_else(|| malformed(Compression::Zstd, "no memory for a decoder"))?;
    loop {
        let mut output = Vec::with_capacity(capacity);
        // A vector may be given more room than asked for: what comes out is checked against the limit too.
        match context.decompress(&mut output, input) {
            Ok(size) if size > limit => return Err(BatchError::DecompressionTooLarge { limit }),
            Ok(_) => return Ok(output),
            Err(code) if !is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
                return Err(malformed(Compression::Zstd, get_error_name(code)));
            }
            Err(_) if capacity >= limit => return Err(BatchError::DecompressionTooLarge { limit }),
            // Also where a further frame stands behind one that announced its size.
            Err(_) => {
                capacity = capacity.saturating_mul(GUESSED_RATIO).max(FIRST_GUESS_BYTES).min(limit);
            }
        }
    }
}

pub(super) fn compress(input: &[u8]) -> Result<Vec<u8>, BatchError> {
    zstd::bulk::compress(input, LEVEL).map_err(|error| failed(Compression::Zstd, error))
}
