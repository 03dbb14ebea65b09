//! The LZ4 frame format, walked here over `lz4_flex`'s blocks.
//!
//! `lz4_flex`'s own frame reader takes buffers of what the frame's descriptor says, up to 12 MiB, before it
//! has seen a byte of data; here a block's buffer is bounded by what its compressed bytes can possibly become.
//!
//! ```text
//! magic u32 | FLG | BD | [content size u64] | HC
//!   | (block size u32, block, [checksum u32])* | 0 u32 | [checksum u32]
//! ```
//! All integers are little-endian; HC is the second byte of the descriptor's xxHash32.

use std::io::Write;

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::{failed, grow, malformed};
use crate::{BatchError, Compression};

const MAGIC: u32 = 0x184d_2204;
const VERSION_MASK: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const INDEPENDENT_BLOCKS: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 1;
const DICTIONARY: u8 = 1;

const UNCOMPRESSED_BLOCK: u32 = 1 << 31;
/// How far back a linked block may refer.
const WINDOW_BYTES: usize = 64 * 1024;
/// No LZ4 sequence gives more output than this for each of its bytes.
const EXPANSION_MAX: usize = 255;

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut reader = Reader { rest: input };
    let mut output = Vec::new();
    // No frame at all is an error; the contents of further ones follow those of the first.
    loop {
        read_frame(&mut reader, &mut output, limit)?;
        if reader.rest.is_empty() {
            return Ok(output);
        }
    }
}

fn read_frame(reader: &mut Reader<'_>, output: &mut Vec<u8>, limit: usize) -> Result<(), BatchError> {
    let frame = Frame::read(reader)?;
    let start = output.len();
    loop {
        let word = reader.u32()?;
        if word == 0 {
            break;
        }
        let size = (word & !UNCOMPRESSED_BLOCK) as usize;
        if size > frame.block_bytes_max {
            return Err(invalid(format!("block of {size} bytes, {} allowed", frame.block_bytes_max)));
        }
        let block = reader.take(size)?;
        if frame.has(BLOCK_CHECKSUMS) {
            check("block", reader.u32()?, block)?;
        }
        if word & UNCOMPRESSED_BLOCK == 0 {
            frame.append_compressed(block, start, output, limit)?;
        } else if size > limit - output.len() {
            return Err(BatchError::DecompressionTooLarge { limit });
        } else {
            let start = output.len();
            grow(output, size, limit);
            output[start..].copy_from_slice(block);
        }
    }
    let content = &output[start..];
    if let Some(expected) = frame.content_bytes
        && expected != content.len() as u64
    {
        return Err(invalid(format!("content of {} bytes, {expected} announced", content.len())));
    }
    if frame.has(CONTENT_CHECKSUM) {
        check("content", reader.u32()?, content)?;
    }
    Ok(())
}

/// A frame's descriptor.
struct Frame {
    flags: u8,
    block_bytes_max: usize,
    content_bytes: Option<u64>,
}

impl Frame {
    fn read(reader: &mut Reader<'_>) -> Result<Self, BatchError> {
        let magic = reader.u32()?;
        if magic != MAGIC {
            return Err(invalid(format!("magic {magic:#010x}")));
        }
        let descriptor = reader.rest;
        let flags = reader.byte()?;
        let block_descriptor = reader.byte()?;
        if flags & VERSION_MASK != VERSION_1 || flags & (RESERVED | DICTIONARY) != 0 {
            return Err(invalid(format!("frame flags {flags:#04x}")));
        }
        let block_bytes_max = match block_descriptor >> 4 {
            code @ 4..=7 => 1 << (8 + 2 * code),
            _ => return Err(invalid(format!("block descriptor {block_descriptor:#04x}"))),
        };
        let content_bytes = if flags & CONTENT_SIZE != 0 { Some(reader.u64()?) } else { None };
        let hashed = &descriptor[..descriptor.len() - reader.rest.len()];
        let checksum = (XxHash32::oneshot(0, hashed) >> 8) as u8;
        let stored = reader.byte()?;
        if checksum != stored {
            return Err(invalid(format!("header checksum {checksum:#04x}, stored {stored:#04x}")));
        }
        Ok(Self { flags, block_bytes_max, content_bytes })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Decodes `block` behind what `output` holds; the frame began at `frame_start` of it.
    fn append_compressed(
        &self,
        block: &[u8],
        frame_start: usize,
        output: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), BatchError> {
        let start = output.len();
        let possible = block.len().saturating_mul(EXPANSION_MAX).min(self.block_bytes_max);
        let room = possible.min(limit - start);
        grow(output, room, limit);
        let (before, target) = output.split_at_mut(start);
        let decoded = if self.has(INDEPENDENT_BLOCKS) || before.len() == frame_start {
            decompress_into(block, target)
        } else {
            let window_start = before.len().saturating_sub(WINDOW_BYTES).max(frame_start);
            decompress_into_with_dict(block, target, &before[window_start..])
        };
        match decoded {
            Ok(size) => {
                output.truncate(start + size);
                Ok(())
            }
            Err(DecompressError::OutputTooSmall { .. }) if room < possible => {
                Err(BatchError::DecompressionTooLarge { limit })
            }
            Err(error) => Err(invalid(error)),
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], BatchError> {
        let Some((taken, rest)) = self.rest.split_at_checked(size) else {
            return Err(invalid(format!("{size} bytes needed, {} remain", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, BatchError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, BatchError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, BatchError> {
        self.array().map(u64::from_le_bytes)
    }
}

fn check(what: &str, stored: u32, bytes: &[u8]) -> Result<(), BatchError> {
    let checksum = XxHash32::oneshot(0, bytes);
    if checksum == stored {
        return Ok(());
    }
    Err(invalid(format!("{what} checksum {checksum:#010x}, stored {stored:#010x}")))
}

fn invalid(reason: impl std::fmt::Display) -> BatchError {
    malformed(Compression::Lz4, reason)
}

pub(super) fn compress(input: &[u8]) -> Result<Vec<u8>, BatchError> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(input).map_err(|error| failed(Compression::Lz4, error))?;
    encoder.finish().map_err(|error| failed(Compression::Lz4, error))
}
