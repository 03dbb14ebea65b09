//! Snappy as Kafka's clients write it: snappy-java's stream of blocks, or one bare block.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00 | version i32 | compatible version i32 | (block length i32, block)*
//! ```
//! All integers are big-endian. The 16 bytes in front may come again where streams were put together.
//! A bare block begins with its decompressed length, so its first byte is 0x82 only by chance, and then the
//! other seven don't match.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{failed, grow, malformed};
use crate::{BatchError, Compression};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const STREAM_HEADER_BYTES: usize = 16;
/// snappy-java's version and compatible version.
const VERSION: i32 = 1;
/// snappy-java's default block size.
const BLOCK_BYTES: usize = 32 * 1024;

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut output = Vec::new();
    if !input.starts_with(MAGIC) {
        append_block(input, &mut output, limit)?;
        return Ok(output);
    }
    let mut rest = input;
    while !rest.is_empty() {
        if rest.starts_with(MAGIC) {
            rest = rest.get(STREAM_HEADER_BYTES..).ok_or_else(|| short(rest, STREAM_HEADER_BYTES))?;
            continue;
        }
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(|| short(rest, 4))?;
        let length = i32::from_be_bytes(*length);
        let length = usize::try_from(length)
            .map_err(|_| malformed(Compression::Snappy, format!("block length {length}")))?;
        let (block, behind) = behind.split_at_checked(length).ok_or_else(|| short(behind, length))?;
        append_block(block, &mut output, limit)?;
        rest = behind;
    }
    Ok(output)
}

/// Decodes one block behind what `output` holds.
fn append_block(block: &[u8], output: &mut Vec<u8>, limit: usize) -> Result<(), BatchError> {
    let size = decompress_len(block).map_err(|error| malformed(Compression::Snappy, error))?;
    let start = output.len();
    if size > limit - start {
        return Err(BatchError::DecompressionTooLarge { limit });
    }
    grow(output, size, limit);
    let written = Decoder::new()
        .decompress(block, &mut output[start..])
        .map_err(|error| malformed(Compression::Snappy, error))?;
    output.truncate(start + written);
    Ok(())
}

fn short(rest: &[u8], needed: usize) -> BatchError {
    malformed(Compression::Snappy, format!("{needed} bytes needed, {} remain", rest.len()))
}

pub(super) fn compress(input: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut encoder = Encoder::new();
    let mut output = Vec::with_capacity(STREAM_HEADER_BYTES + input.len() / 2);
    output.extend_from_slice(MAGIC);
    output.extend_from_slice(&VERSION.to_be_bytes());
    output.extend_from_slice(&VERSION.to_be_bytes());
    let mut block = vec![0; max_compress_len(BLOCK_BYTES.min(input.len()))];
    for chunk in input.chunks(BLOCK_BYTES) {
        let size = encoder.compress(chunk, &mut block).map_err(|error| failed(Compression::Snappy, error))?;
        // A block is at most some 38 KiB, so its length fits.
        output.extend_from_slice(&(size as i32).to_be_bytes());
        output.extend_from_slice(&block[..size]);
    }
    Ok(output)
}
