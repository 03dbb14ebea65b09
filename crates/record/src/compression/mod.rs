//! The codecs of a batch's records, behind two functions. Output is bounded before it exists.
//!
//! | code | codec | as written here | read as well |
//! |---|---|---|---|
//! | 1 | gzip | one member | several members |
//! | 2 | snappy | snappy-java's framing, 32 KiB blocks | a bare block (librdkafka and others) |
//! | 3 | lz4 | one frame, independent 64 KiB blocks | linked blocks, up to 4 MiB, checksums, several frames |
//! | 4 | zstd | one frame with its size, level 3 | several frames, with or without size |
//!
//! The lz4 framing of message formats 0 and 1 (a wrong header checksum) can't occur in a batch.

use std::fmt;

use crate::BatchError;

mod gzip;
mod lz4;
mod snappy;
mod zstd;

/// The codec of a batch's records: the three lowest attribute bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Records as they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, with or without snappy-java's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames (KIP-110).
    Zstd,
}

impl Compression {
    /// All codecs, in the order of their codes.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The code in the attributes.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The codec of a code.
    ///
    /// # Errors
    /// Codes above 4.
    pub fn from_code(code: u8) -> Result<Self, BatchError> {
        Self::ALL.get(usize::from(code)).copied().ok_or(BatchError::UnknownCompression { code })
    }

    /// The name in Kafka's `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a batch may decompress to: `min(max_bytes, max(floor_bytes, ratio × compressed size))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeBudget {
    /// Never more than this.
    pub max_bytes: usize,
    /// Always this much, unless `max_bytes` is less: a small batch of equal bytes is honest.
    pub floor_bytes: usize,
    /// Times the compressed size in between.
    pub ratio: usize,
}

impl DecodeBudget {
    /// Exactly `max_bytes`, whatever the input.
    #[must_use]
    pub const fn fixed(max_bytes: usize) -> Self {
        Self { max_bytes, floor_bytes: max_bytes, ratio: 0 }
    }

    /// The limit for an input of so many bytes.
    #[must_use]
    pub fn limit_for(&self, compressed_bytes: usize) -> usize {
        self.ratio.saturating_mul(compressed_bytes).max(self.floor_bytes).min(self.max_bytes)
    }
}

impl Default for DecodeBudget {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, floor_bytes: 1 << 20, ratio: 200 }
    }
}

/// Decompresses `input` to at most `limit` bytes. No output buffer is larger than the limit; while it grows,
/// the smaller one that it replaces stands beside it for a moment.
///
/// # Errors
/// Data that isn't the codec's, or that would be larger than the limit.
pub fn decompress(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    match codec {
        Compression::None if input.len() > limit => Err(BatchError::DecompressionTooLarge { limit }),
        Compression::None => Ok(input.to_vec()),
        Compression::Gzip => gzip::decompress(input, limit),
        Compression::Snappy => snappy::decompress(input, limit),
        Compression::Lz4 => lz4::decompress(input, limit),
        Compression::Zstd => zstd::decompress(input, limit),
    }
}

/// Compresses `input` in the form that Kafka's Java client writes.
///
/// # Errors
/// The codec refused.
pub fn compress(codec: Compression, input: &[u8]) -> Result<Vec<u8>, BatchError> {
    match codec {
        Compression::None => Ok(input.to_vec()),
        Compression::Gzip => gzip::compress(input),
        Compression::Snappy => snappy::compress(input),
        Compression::Lz4 => lz4::compress(input),
        Compression::Zstd => zstd::compress(input),
    }
}

/// Makes `output` `room` bytes longer, with zeros. Its buffer at least doubles when it must grow, but never
/// past `limit`, which what is in it and `room` together must not exceed.
fn grow(output: &mut Vec<u8>, room: usize, limit: usize) {
    let size = output.len() + room;
    debug_assert!(size <= limit, "the caller has compared {size} with the limit of {limit}");
    if size > output.capacity() {
        let capacity = size.max(output.capacity() * 2).min(limit.max(size));
        output.reserve_exact(capacity - output.len());
    }
    output.resize(size, 0);
}

fn malformed(codec: Compression, reason: impl fmt::Display) -> BatchError {
    BatchError::MalformedCompression { codec, reason: reason.to_string() }
}

fn failed(codec: Compression, reason: impl fmt::Display) -> BatchError {
    BatchError::CompressionFailed { codec, reason: reason.to_string() }
}
