//! gzip, read in steps so that a bomb is noticed at the limit.

use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{failed, grow, malformed};
use crate::{BatchError, Compression};

/// First step of the output buffer, which then doubles up to the limit.
const FIRST_STEP_BYTES: usize = 16 * 1024;

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut decoder = MultiGzDecoder::new(input);
    let mut output = Vec::new();
    let mut filled = 0;
    loop {
        if filled == output.len() {
            if filled == limit {
                return at_limit(&mut decoder, output);
            }
            let room = filled.max(FIRST_STEP_BYTES).min(limit - filled);
            grow(&mut output, room, limit);
        }
        match decoder.read(&mut output[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => return Err(malformed(Compression::Gzip, error)),
        }
    }
    output.truncate(filled);
    Ok(output)
}

/// The output is exactly as large as allowed: one more byte is one too many.
fn at_limit(decoder: &mut impl Read, output: Vec<u8>) -> Result<Vec<u8>, BatchError> {
    match decoder.read(&mut [0]) {
        Ok(0) => Ok(output),
        Ok(_) => Err(BatchError::DecompressionTooLarge { limit: output.len() }),
        Err(error) => Err(malformed(Compression::Gzip, error)),
    }
}

pub(super) fn compress(input: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(input).and_then(|()| encoder.finish()).map_err(|error| failed(Compression::Gzip, error))
}
