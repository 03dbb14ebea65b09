//! The bytes of one file as shared, immutable chunks: a clone costs one reference count, a write to a clone
//! copies the chunks it touches (and the short tables above them) and nothing else.

use std::sync::{Arc, LazyLock};

/// Bytes in a chunk; also what a write takes of the simulated disk's room at least.
pub(super) const CHUNK_BYTES: usize = 4096;
/// Chunks in a node: 1 MiB of file.
const NODE_CHUNKS: usize = 256;
const NODE_BYTES: usize = CHUNK_BYTES * NODE_CHUNKS;

type Chunk = [u8; CHUNK_BYTES];

/// Prewritten files are zeros; all of their chunks are this one.
static ZEROS: LazyLock<Arc<Chunk>> = LazyLock::new(|| Arc::new([0; CHUNK_BYTES]));

/// `None` is a hole: reads as zeros and takes no room.
type Node = Vec<Option<Arc<Chunk>>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    nodes: Arc<Vec<Option<Arc<Node>>>>,
    len: u64,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads what lies in the file from `at` on; returns how many bytes.
    pub(super) fn read(&self, buf: &mut [u8], at: u64) -> usize {
        let count = buf.len().min(usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX));
        for piece in pieces(at, count) {
            let target = &mut buf[piece.from..piece.from + piece.len];
            match self.chunk(piece.chunk) {
                Some(chunk) => target.copy_from_slice(&chunk[piece.start..piece.start + piece.len]),
                None => target.fill(0),
            }
        }
        count
    }

    /// Writes `bytes` at `at`; extends the file where needed.
    pub(super) fn write(&mut self, bytes: &[u8], at: u64) {
        if bytes.is_empty() {
            return;
        }
        self.len = self.len.max(at + bytes.len() as u64);
        for piece in pieces(at, bytes.len()) {
            let source = &bytes[piece.from..piece.from + piece.len];
            let slot = self.slot(piece.chunk);
            if piece.len == CHUNK_BYTES {
                *slot = Some(match <&Chunk>::try_from(source) {
                    Ok(whole) if **ZEROS != *whole => Arc::new(*whole),
                    _ => Arc::clone(&ZEROS),
                });
            } else {
                let chunk = Arc::make_mut(slot.get_or_insert_with(|| Arc::clone(&ZEROS)));
                chunk[piece.start..piece.start + piece.len].copy_from_slice(source);
            }
        }
    }

    /// Cuts or extends (by a hole) to `len`.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let whole = usize::try_from(len.div_ceil(CHUNK_BYTES as u64)).unwrap_or(usize::MAX);
            let nodes = Arc::make_mut(&mut self.nodes);
            nodes.truncate(whole.div_ceil(NODE_CHUNKS));
            if let (Some(Some(last)), true) = (nodes.get_mut(whole / NODE_CHUNKS), whole % NODE_CHUNKS != 0) {
                Arc::make_mut(last)[whole % NODE_CHUNKS..].fill(None);
            }
            let kept = (len % CHUNK_BYTES as u64) as usize;
            if kept != 0
                && self.chunk(whole - 1).is_some()
                && let Some(chunk) = self.slot(whole - 1)
            {
                Arc::make_mut(chunk)[kept..].fill(0);
            }
        }
        self.len = len;
    }

    /// Extends to at least `len`, and leaves no hole below it.
    pub(super) fn allocate(&mut self, len: u64) {
        for piece in pieces(0, len as usize) {
            if self.chunk(piece.chunk).is_none() {
                *self.slot(piece.chunk) = Some(Arc::clone(&ZEROS));
            }
        }
        self.len = self.len.max(len);
    }

    /// Flips one bit; false when the file ends before `at`.
    pub(super) fn flip(&mut self, at: u64, bit: u8) -> bool {
        let mut byte = [0];
        if self.read(&mut byte, at) == 0 {
            return false;
        }
        byte[0] ^= 1 << (bit % 8);
        self.write(&byte, at);
        true
    }

    /// How many chunks hold room on the disk.
    pub(super) fn allocated_chunks(&self) -> u64 {
        let nodes = self.nodes.iter().flatten();
        nodes.map(|node| node.iter().flatten().count() as u64).sum()
    }

    /// How many chunks a write of `len` bytes at `at` would have to allocate.
    pub(super) fn missing_chunks(&self, at: u64, len: usize) -> u64 {
        pieces(at, len).filter(|piece| self.chunk(piece.chunk).is_none()).count() as u64
    }

    fn chunk(&self, index: usize) -> Option<&Arc<Chunk>> {
        self.nodes.get(index / NODE_CHUNKS)?.as_ref()?.get(index % NODE_CHUNKS)?.as_ref()
    }

    fn slot(&mut self, index: usize) -> &mut Option<Arc<Chunk>> {
        let nodes = Arc::make_mut(&mut self.nodes);
        if nodes.len() <= index / NODE_CHUNKS {
            nodes.resize(index / NODE_CHUNKS + 1, None);
        }
        let node = nodes[index / NODE_CHUNKS].get_or_insert_with(|| Arc::new(vec![None; NODE_CHUNKS]));
        &mut Arc::make_mut(node)[index % NODE_CHUNKS]
    }
}

/// The part of a span that lies in one chunk.
struct Piece {
    chunk: usize,
    /// Where in the chunk.
    start: usize,
    /// Where in the span.
    from: usize,
    len: usize,
}

fn pieces(at: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut from = 0;
    // Positions are bounded by MAX_FILE_BYTES before they come here, which fits a usize.
    let at = at as usize;
    std::iter::from_fn(move || {
        if from >= len {
            return None;
        }
        let start = (at + from) % CHUNK_BYTES;
        let piece = Piece {
            chunk: (at + from) / CHUNK_BYTES,
            start,
            from,
            len: (CHUNK_BYTES - start).min(len - from),
        };
        from += piece.len;
        Some(piece)
    })
}

const _: () = assert!(usize::BITS >= 64 && NODE_BYTES == 1 << 20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimRng;

    fn all(content: &Content) -> Vec<u8> {
        let mut bytes = vec![1; content.len() as usize];
        assert_eq!(content.read(&mut bytes, 0), bytes.len());
        bytes
    }

    #[test]
    fn content_equals_a_plain_vector_under_random_operations() {
        let rng = SimRng::new(3);
        let (mut content, mut plain) = (Content::default(), Vec::<u8>::new());
        let mut old: Vec<(Content, Vec<u8>)> = Vec::new();
        for step in 0..2000u32 {
            match rng.below(8) {
                0 => {
                    let len = rng.index(3 * NODE_BYTES / 2);
                    content.set_len(len as u64);
                    plain.resize(len, 0);
                }
                1 => old.push((content.clone(), plain.clone())),
                _ => {
                    let at = rng.index(NODE_BYTES + 9000);
                    let bytes = vec![step as u8; [1, 511, 4096, 10_000][rng.index(4)]];
                    plain.resize(plain.len().max(at + bytes.len()), 0);
                    plain[at..at + bytes.len()].copy_from_slice(&bytes);
                    content.write(&bytes, at as u64);
                }
            }
            if old.len() > 4 {
                let (kept, expected) = old.remove(rng.index(old.len()));
                assert!(all(&kept) == expected, "a clone changed at step {step}");
            }
            if step % 50 == 0 {
                assert!(all(&content) == plain, "step {step}");
            }
        }
    }

    #[test]
    fn holes_take_no_room_and_written_zeros_do() {
        let mut content = Content::default();
        content.set_len(1 << 30);
        assert_eq!(content.allocated_chunks(), 0);
        assert_eq!(content.missing_chunks(100, CHUNK_BYTES), 2);
        content.write(&[0; 2 * CHUNK_BYTES], 0);
        assert_eq!((content.allocated_chunks(), content.missing_chunks(100, CHUNK_BYTES)), (2, 0));
    }
}
