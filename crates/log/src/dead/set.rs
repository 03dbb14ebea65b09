//! The deleted offsets of a partition, in chunks that readers share and checkpoints write one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use duolog_types::Offset;
use roaring::{RoaringBitmap, RoaringTreemap};

use super::ranges::Range;
use crate::codec::{Get, Put};

/// A chunk holds 2^16 offsets: one container of a roaring bitmap, 8 KiB at most.
const CHUNK_BITS: u32 = 16;
const CHUNK_OFFSETS: u64 = 1 << CHUNK_BITS;
/// Version of a chunk's bytes in a snapshot file.
const CHUNK_VERSION: u16 = 1;

/// Deleted offsets within a range of a partition, as they were at one moment. Cheap to get and to clone: it shares
/// the partition's own memory.
#[derive(Clone, Debug, Default)]
pub struct Dead {
    from: u64,
    end: u64,
    /// By number, rising.
    chunks: Vec<(u64, Arc<RoaringBitmap>)>,
}

/// The part of a range that lies in a chunk, as the chunk's own bits (both ends included).
fn bits_of(chunk: u64, base: u64, end: u64) -> std::ops::RangeInclusive<u32> {
    let first = base.max(chunk << CHUNK_BITS);
    let last = (end - 1).min((chunk << CHUNK_BITS) + (CHUNK_OFFSETS - 1));
    (first % CHUNK_OFFSETS) as u32..=(last % CHUNK_OFFSETS) as u32
}

/// Offsets aren't negative, but what comes from a disk may be.
fn place(offset: Offset) -> u64 {
    u64::try_from(offset.0).unwrap_or(0)
}

impl Dead {
    /// Whether the offset was deleted.
    #[must_use]
    pub fn contains(&self, offset: Offset) -> bool {
        self.touches(offset, offset.plus(1))
    }

    /// How many offsets were deleted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count_in(Offset(self.from as i64), Offset(self.end as i64))
    }

    /// Whether no offset was deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(|(chunk, bits)| {
            let in_view = bits_of(*chunk, self.from, self.end);
            bits.range_cardinality(in_view) == 0
        })
    }

    /// All of them, in a set of their own.
    #[must_use]
    pub fn to_treemap(&self) -> RoaringTreemap {
        let mut all = RoaringTreemap::new();
        all.extend(self.iter().map(place));
        all
    }

    /// All of them, rising.
    pub fn iter(&self) -> impl Iterator<Item = Offset> + '_ {
        let within = self.from..self.end;
        self.chunks
            .iter()
            .flat_map(|(chunk, bits)| bits.iter().map(move |bit| (chunk << CHUNK_BITS) + u64::from(bit)))
            .filter(move |offset| within.contains(offset))
            .map(|offset| Offset(offset as i64))
    }

    fn clip(&self, base: Offset, end: Offset) -> Option<(u64, u64)> {
        let (base, end) = (place(base).max(self.from), place(end).min(self.end));
        (base < end).then_some((base, end))
    }

    fn overlapping(&self, base: u64, end: u64) -> impl Iterator<Item = (u64, &RoaringBitmap)> {
        let first = self.chunks.partition_point(|(chunk, _)| *chunk < base >> CHUNK_BITS);
        let last = (end - 1) >> CHUNK_BITS;
        self.chunks[first..]
            .iter()
            .take_while(move |(chunk, _)| *chunk <= last)
            .map(|(chunk, bits)| (*chunk, &**bits))
    }

    /// How many offsets of `base..end` were deleted.
    pub(crate) fn count_in(&self, base: Offset, end: Offset) -> u64 {
        let Some((base, end)) = self.clip(base, end) else { return 0 };
        self.overlapping(base, end)
            .map(|(chunk, bits)| bits.range_cardinality(bits_of(chunk, base, end)))
            .sum()
    }

    /// Whether any offset of `base..end` was deleted.
    pub(crate) fn touches(&self, base: Offset, end: Offset) -> bool {
        !self.chunks.is_empty() && self.count_in(base, end) > 0
    }

    /// Whether every offset of `base..end` was deleted. What lies outside of the view wasn't.
    pub(crate) fn covers(&self, base: Offset, end: Offset) -> bool {
        if base >= end || place(base) < self.from || place(end) > self.end {
            return false;
        }
        let (base, end) = (place(base), place(end));
        covers(self.overlapping(base, end), base, end)
    }
}

fn covers<'a>(overlapping: impl Iterator<Item = (u64, &'a RoaringBitmap)>, base: u64, end: u64) -> bool {
    let mut next = base >> CHUNK_BITS;
    for (chunk, bits) in overlapping {
        if chunk != next || !bits.contains_range(bits_of(chunk, base, end)) {
            return false;
        }
        next += 1;
    }
    next > (end - 1) >> CHUNK_BITS
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct DeadSet {
    chunks: BTreeMap<u64, Chunk>,
    /// Chunks that were forgotten and that the newest manifest still names.
    gone: BTreeSet<u64>,
    /// Offsets died since segments were last looked through for what can be dropped.
    pub reclaim_due: bool,
}

#[derive(Debug, Default)]
struct Chunk {
    bits: Arc<RoaringBitmap>,
    /// Changed since it was last stored.
    dirty: bool,
    /// The newest manifest names it.
    stored: bool,
}

/// What a checkpoint has to write of one chunk: its bits, or that it is gone.
#[derive(Debug)]
pub(crate) struct Change {
    pub chunk: u64,
    pub bits: Option<Arc<RoaringBitmap>>,
}

impl DeadSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Adds `range`.
    pub(crate) fn insert(&mut self, range: Range) {
        let (base, end) = (place(range.base), place(range.end));
        if base >= end {
            return;
        }
        for number in base >> CHUNK_BITS..=(end - 1) >> CHUNK_BITS {
            let chunk = self.chunks.entry(number).or_default();
            // A reader that holds the chunk keeps what it saw.
            let bits = Arc::make_mut(&mut chunk.bits);
            if bits.insert_range(bits_of(number, base, end)) == 0 {
                continue;
            }
            if bits.len() == CHUNK_OFFSETS {
                bits.optimize();
            }
            chunk.dirty = true;
            self.reclaim_due = true;
        }
    }

    /// Takes a chunk over that a snapshot holds.
    pub(crate) fn restore(&mut self, number: u64, bytes: &[u8]) -> Result<(), String> {
        let mut get = Get::new(bytes);
        let version = get.u16().ok_or("no version")?;
        if version != CHUNK_VERSION {
            return Err(format!("chunk version {version}, known is {CHUNK_VERSION}"));
        }
        let bits = RoaringBitmap::deserialize_from(&bytes[2..]).map_err(|error| error.to_string())?;
        if bits.max().is_some_and(|max| u64::from(max) >= CHUNK_OFFSETS) || number > u64::MAX >> CHUNK_BITS {
            return Err(format!("chunk {number} holds offsets of another"));
        }
        self.chunks.insert(number, Chunk { bits: Arc::new(bits), dirty: false, stored: true });
        self.reclaim_due = true;
        Ok(())
    }

    /// Forgets the chunks that lie below `start` as a whole.
    pub(crate) fn forget_below(&mut self, start: Offset) {
        let kept = self.chunks.split_off(&(place(start) >> CHUNK_BITS));
        for (number, chunk) in std::mem::replace(&mut self.chunks, kept) {
            if chunk.stored {
                self.gone.insert(number);
            }
        }
    }

    /// Forgets what lies at or behind `end`: where records were lost, their offsets are given anew. Returns whether
    /// there was anything.
    pub(crate) fn forget_from(&mut self, end: Offset) -> bool {
        let end = place(end);
        let mut forgot = false;
        for (number, mut chunk) in self.chunks.split_off(&(end >> CHUNK_BITS)) {
            let keeps = number == end >> CHUNK_BITS && !end.is_multiple_of(CHUNK_OFFSETS);
            if keeps {
                let removed = Arc::make_mut(&mut chunk.bits).remove_range((end % CHUNK_OFFSETS) as u32..);
                forgot |= removed > 0;
                chunk.dirty |= removed > 0;
                self.chunks.insert(number, chunk);
                continue;
            }
            forgot = true;
            if chunk.stored {
                self.gone.insert(number);
            }
        }
        forgot
    }

    /// The deleted offsets of `from..end`, as they are now.
    pub(crate) fn view(&self, from: Offset, end: Offset) -> Dead {
        let (from, end) = (place(from), place(end));
        if from >= end {
            return Dead::default();
        }
        let chunks = self
            .chunks
            .range(from >> CHUNK_BITS..=(end - 1) >> CHUNK_BITS)
            .map(|(number, chunk)| (*number, chunk.bits.clone()))
            .collect();
        Dead { from, end, chunks }
    }

    fn overlapping(&self, base: u64, end: u64) -> impl Iterator<Item = (u64, &RoaringBitmap)> {
        self.chunks
            .range(base >> CHUNK_BITS..=(end - 1) >> CHUNK_BITS)
            .map(|(number, chunk)| (*number, &*chunk.bits))
    }

    /// As [`Dead::covers`].
    pub(crate) fn covers(&self, base: Offset, end: Offset) -> bool {
        let (base, end) = (place(base), place(end));
        base < end && !self.chunks.is_empty() && covers(self.overlapping(base, end), base, end)
    }

    /// As [`Dead::count_in`].
    pub(crate) fn count_in(&self, base: Offset, end: Offset) -> u64 {
        let (base, end) = (place(base), place(end));
        if base >= end {
            return 0;
        }
        self.overlapping(base, end)
            .map(|(chunk, bits)| bits.range_cardinality(bits_of(chunk, base, end)))
            .sum()
    }

    /// What changed since the last checkpoint that ended well.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let gone = self.gone.iter().map(|chunk| Change { chunk: *chunk, bits: None });
        let dirty = self
            .chunks
            .iter()
            .filter(|(_, chunk)| chunk.dirty)
            .map(|(number, chunk)| Change { chunk: *number, bits: Some(chunk.bits.clone()) });
        gone.chain(dirty).collect()
    }

    /// A manifest names `changes` durably now.
    pub(crate) fn stored(&mut self, changes: &[Change]) {
        for change in changes {
            let Some(written) = &change.bits else {
                self.gone.remove(&change.chunk);
                continue;
            };
            match self.chunks.get_mut(&change.chunk) {
                // What died meanwhile went into a copy: the one that was written was shared.
                Some(chunk) => {
                    chunk.stored = true;
                    chunk.dirty = !Arc::ptr_eq(&chunk.bits, written);
                }
                None => {
                    self.gone.insert(change.chunk);
                }
            }
        }
    }
}

/// A chunk's bytes for a snapshot file.
pub(crate) fn chunk_bytes(bits: &RoaringBitmap) -> std::io::Result<Bytes> {
    let mut out = Vec::with_capacity(2 + bits.serialized_size());
    out.put_u16(CHUNK_VERSION);
    bits.serialize_into(&mut out)?;
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(base: u64, len: u64) -> Range {
        Range { base: Offset(base as i64), end: Offset((base + len) as i64) }
    }

    /// Around the border of two chunks, where mistakes live.
    fn near() -> impl Strategy<Value = u64> {
        (CHUNK_OFFSETS - 40)..(CHUNK_OFFSETS + 40)
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(
            ranges in proptest::collection::vec((near(), 1u64..30), 0..12), from in near(), len in 1u64..60, below in near(), above in near(),
        ) {
            let mut set = DeadSet::default();
            let mut plain = BTreeSet::new();
            for (base, len) in ranges {
                set.insert(range(base, len));
                plain.extend(base..base + len);
            }
            let (base, end) = (Offset(from as i64), Offset((from + len) as i64));
            let expected: Vec<u64> = plain.range(from..from + len).copied().collect();
            let view = set.view(base, end);
            prop_assert_eq!(view.iter().map(place).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(view.count(), expected.len() as u64);
            prop_assert_eq!(view.is_empty(), expected.is_empty());
            prop_assert_eq!(view.to_treemap().iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(set.count_in(base, end), expected.len() as u64);
            prop_assert_eq!(set.covers(base, end), expected.len() as u64 == len);
            prop_assert_eq!(view.covers(base, end), expected.len() as u64 == len);
            prop_assert_eq!(view.touches(base, end), !expected.is_empty());
            prop_assert!(!view.covers(base, end.plus(1)), "nothing is known behind the view");

            let mut restored = DeadSet::default();
            for change in set.changes() {
                restored.restore(change.chunk, &chunk_bytes(&change.bits.unwrap()).unwrap()).unwrap();
            }
            let all = |set: &DeadSet| set.view(Offset(0), Offset(1 << 20)).iter().map(place).collect::<Vec<_>>();
            prop_assert_eq!(all(&restored), all(&set));
            restored.forget_from(Offset(above as i64));
            prop_assert_eq!(all(&restored), plain.range(..above).copied().collect::<Vec<_>>());
            restored.forget_below(Offset(below as i64));
            let kept = below >> CHUNK_BITS << CHUNK_BITS;
            let expected: Vec<u64> = plain.iter().copied().filter(|at| (kept..above).contains(at)).collect();
            prop_assert_eq!(all(&restored), expected);
        }
    }

    #[test]
    fn a_checkpoint_writes_what_changed_only() {
        let mut set = DeadSet::default();
        set.insert(range(5, 1));
        set.insert(range(3 * CHUNK_OFFSETS, CHUNK_OFFSETS));
        let changes = set.changes();
        assert_eq!(changes.iter().map(|change| change.chunk).collect::<Vec<_>>(), [0, 3]);
        assert!(chunk_bytes(changes[1].bits.as_ref().unwrap()).unwrap().len() < 40, "a full chunk is a run");
        set.insert(range(6, 1));
        set.stored(&changes);
        assert_eq!(
            set.changes().iter().map(|change| change.chunk).collect::<Vec<_>>(),
            [0],
            "it changed meanwhile"
        );
        set.stored(&set.changes());
        assert!(set.changes().is_empty());
        set.insert(range(5, 2));
        assert!(set.changes().is_empty(), "it was dead before");
        set.forget_below(Offset(4 * CHUNK_OFFSETS as i64));
        let gone = set.changes();
        assert!(gone.iter().all(|change| change.bits.is_none()) && gone.len() == 2);
        set.stored(&gone);
        assert!(set.changes().is_empty() && set.is_empty());
    }

    #[test]
    fn damaged_chunks_are_refused() {
        let mut set = DeadSet::default();
        assert!(set.restore(0, &[]).is_err());
        assert!(set.restore(0, &[9, 0, 1]).unwrap_err().contains("version 9"));
        let beyond: RoaringBitmap = [70_000].into_iter().collect();
        assert!(set.restore(0, &chunk_bytes(&beyond).unwrap()).unwrap_err().contains("another"));
    }
}
