//! Reading a WAL file from its groups' side: a window that slides over the file.

use std::io;
use std::sync::Arc;

use duolog_env::{AlignedBuf, File, SECTOR_BYTES};

use super::layout::{GROUP_HEADER_BYTES, GroupHeader, padded};
use crate::codec::crc32c;

/// What is read at once. Larger groups get a larger window.
const WINDOW_BYTES: usize = 8 << 20;

/// A window over a file; positions only rise by and large, so one read serves many groups.
pub(crate) struct Window {
    file: Arc<dyn File>,
    size: u64,
    start: u64,
    bytes: AlignedBuf,
    filled: usize,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn File>) -> io::Result<Self> {
        let size = file.len()?;
        Ok(Self { file, size, start: 0, bytes: AlignedBuf::with_capacity(0), filled: 0 })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// `len` bytes at `at`, a multiple of the sector size; fewer if the file ends before.
    pub(crate) fn get(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let have = at >= self.start && at + len as u64 <= self.start + self.filled as u64;
        if !have {
            let rest = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
            let want = padded(len.max(WINDOW_BYTES.min(rest)) as u64) as usize;
            if self.bytes.len() < want {
                self.bytes = AlignedBuf::zeroed(want);
            }
            self.filled = self.file.read_at(&mut self.bytes[..want], at)?;
            self.start = at;
        }
        let from = (at - self.start) as usize;
        let to = (from + len).min(self.filled).max(from);
        Ok(&self.bytes[from..to])
    }

    /// The group at `at`, if it is whole, of the file's epoch, and its payload is undamaged.
    pub(crate) fn group(&mut self, at: u64, epoch: u64) -> io::Result<Option<(GroupHeader, &[u8])>> {
        let Some(header) = GroupHeader::decode(self.get(at, SECTOR_BYTES)?, epoch) else { return Ok(None) };
        if at + header.padded_bytes() > self.size {
            return Ok(None);
        }
        let group = self.get(at, header.padded_bytes() as usize)?;
        let payload = group.get(GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.payload_bytes as usize);
        Ok(payload.filter(|payload| crc32c(payload) == header.payload_crc).map(|payload| (header, payload)))
    }

    /// The first position behind `after` where a whole group header stands that `matches`.
    pub(crate) fn find_header(
        &mut self,
        after: u64,
        matches: impl Fn(&GroupHeader) -> bool,
    ) -> io::Result<Option<(u64, GroupHeader)>> {
        let mut at = after + SECTOR_BYTES as u64;
        while at < self.size {
            if let Some(header) = GroupHeader::decode_any(self.get(at, SECTOR_BYTES)?)
                && matches(&header)
            {
                return Ok(Some((at, header)));
            }
            at += SECTOR_BYTES as u64;
        }
        Ok(None)
    }

    /// Bytes at `at` and behind, up to the next 1 MiB, that aren't zero: what a torn write left.
    pub(crate) fn torn_bytes(&mut self, at: u64) -> io::Result<u64> {
        let tail = self.get(at, 1 << 20)?;
        Ok(tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1))
    }
}
