//! What is known of the messages of 65 536 sequences: subject, size, time, and which are there.
//!
//! The newest chunk grows; when the next one begins it is sealed: its columns are packed and don't change any more, only
//! its bits of live messages do. A chunk of which few are left is packed again, with those alone.

use super::dictionary::SubjectId;
use super::packed::Packed;

/// Sequences of a chunk.
pub(super) const CHUNK: u64 = 1 << 16;
const WORDS: usize = CHUNK as usize / 64;
/// A position that never had a message.
const NOTHING: SubjectId = SubjectId::MAX;

/// What the index knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) subject: SubjectId,
    /// JetStream's record size.
    pub(crate) bytes: u32,
    /// Nanoseconds since the epoch.
    pub(crate) time: u64,
}

/// The number of the chunk of a sequence.
pub(super) fn number_of(sequence: u64) -> u64 {
    (sequence - 1) / CHUNK
}

/// A sequence's position in its chunk.
pub(super) fn position_of(sequence: u64) -> usize {
    ((sequence - 1) % CHUNK) as usize
}

/// The columns of a chunk.
#[derive(Clone, Debug)]
enum Columns {
    Open { subjects: Vec<SubjectId>, bytes: Vec<u32>, times: Vec<u64> },
    Sealed(Sealed),
}

/// Columns that don't change any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sealed {
    /// Which position each row has; none: row `n` is position `n`.
    pub positions: Option<Box<[u16]>>,
    pub subjects: Packed,
    pub bytes: Packed,
    pub times: Packed,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    columns: Columns,
    live: Box<[u64; WORDS]>,
    live_count: u32,
    /// The messages of the subject behind each open or sealed row, as a distance; 0 is "not known". Kept only where
    /// subjects are bounded.
    links: Vec<u32>,
    /// When single messages expire: position and nanoseconds; `u64::MAX` is never, not by the stream's age either.
    pub expiries: Vec<(u16, u64)>,
    /// Columns or expiries changed since they were last taken.
    pub columns_dirty: bool,
    /// The bits of live messages did.
    pub live_dirty: bool,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            columns: Columns::Open { subjects: Vec::new(), bytes: Vec::new(), times: Vec::new() },
            live: Box::new([0; WORDS]),
            live_count: 0,
            links: Vec::new(),
            expiries: Vec::new(),
            columns_dirty: false,
            live_dirty: false,
        }
    }
}

impl Chunk {
    pub(super) fn from_sealed(sealed: Sealed, expiries: Vec<(u16, u64)>) -> Self {
        Self { columns: Columns::Sealed(sealed), expiries, ..Self::default() }
    }

    pub(super) fn live_count(&self) -> u32 {
        self.live_count
    }

    /// The row of a position.
    #[inline]
    fn row(&self, position: usize) -> Option<usize> {
        match &self.columns {
            Columns::Open { subjects, .. } => (position < subjects.len()).then_some(position),
            Columns::Sealed(sealed) => match &sealed.positions {
                None => (position < sealed.subjects.len()).then_some(position),
                Some(positions) => positions.binary_search(&(position as u16)).ok(),
            },
        }
    }

    #[inline]
    pub(super) fn is_live(&self, position: usize) -> bool {
        self.live[position / 64] >> (position % 64) & 1 == 1
    }

    /// The message at a position, if it is there.
    pub(super) fn get(&self, position: usize) -> Option<Entry> {
        if !self.is_live(position) {
            return None;
        }
        let row = self.row(position)?;
        Some(match &self.columns {
            Columns::Open { subjects, bytes, times } => {
                Entry { subject: subjects[row], bytes: bytes[row], time: times[row] }
            }
            Columns::Sealed(sealed) => Entry {
                subject: sealed.subjects.get(row) as SubjectId,
                bytes: sealed.bytes.get(row) as u32,
                time: sealed.times.get(row),
            },
        })
    }

    /// The subject of a live message.
    #[inline]
    pub(super) fn subject(&self, position: usize) -> SubjectId {
        match &self.columns {
            Columns::Open { subjects, .. } => subjects[position],
            Columns::Sealed(sealed) => match self.row(position) {
                Some(row) => sealed.subjects.get(row) as SubjectId,
                None => NOTHING,
            },
        }
    }

    /// Appends a message to the newest chunk; positions before it that have none stay empty.
    pub(super) fn push(&mut self, position: usize, entry: Entry) {
        self.open();
        let Columns::Open { subjects, bytes, times } = &mut self.columns else { return };
        if position > subjects.len() {
            subjects.resize(position, NOTHING);
            bytes.resize(position, 0);
            times.resize(position, entry.time);
        }
        subjects.push(entry.subject);
        bytes.push(entry.bytes);
        times.push(entry.time);
        self.set_live(position);
        (self.columns_dirty, self.live_dirty) = (true, true);
    }

    /// Makes the columns grow again: the newest chunk of a snapshot was written sealed.
    fn open(&mut self) {
        let Columns::Sealed(sealed) = &self.columns else { return };
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..sealed.subjects.len() {
            let position = sealed.positions.as_ref().map_or(row, |positions| usize::from(positions[row]));
            let time = sealed.times.get(row);
            columns.0.resize(position, NOTHING);
            columns.1.resize(position, 0);
            columns.2.resize(position, time);
            columns.0.push(sealed.subjects.get(row) as SubjectId);
            columns.1.push(sealed.bytes.get(row) as u32);
            columns.2.push(time);
        }
        let (subjects, bytes, times) = columns;
        self.links = Vec::new();
        self.columns = Columns::Open { subjects, bytes, times };
    }

    /// Marks a message as there: also when a snapshot is taken over.
    pub(super) fn set_live(&mut self, position: usize) {
        let word = &mut self.live[position / 64];
        let bit = 1 << (position % 64);
        self.live_count += u32::from(*word & bit == 0);
        *word |= bit;
    }

    /// Takes a message away.
    pub(super) fn remove(&mut self, position: usize) {
        let word = &mut self.live[position / 64];
        let bit = 1 << (position % 64);
        self.live_count -= u32::from(*word & bit != 0);
        *word &= !bit;
        self.live_dirty = true;
    }

    /// Packs the columns: no message is appended any more.
    pub(super) fn seal(&mut self) {
        if matches!(self.columns, Columns::Open { .. }) {
            let sealed = self.sealed();
            let dense = sealed.positions.is_none();
            self.columns = Columns::Sealed(sealed);
            self.columns_dirty = true;
            if !dense {
                self.links = Vec::new();
            }
            self.links.shrink_to_fit();
        }
    }

    /// Whether so few messages are left that packing them alone is worth it.
    pub(super) fn wants_thinning(&self) -> bool {
        let Columns::Sealed(sealed) = &self.columns else { return false };
        sealed.subjects.len() >= 256 && (self.live_count as usize) < sealed.subjects.len() / 4
    }

    /// Keeps the rows of live messages alone.
    pub(super) fn thin(&mut self) {
        self.columns = Columns::Sealed(self.packed(true));
        self.expiries = std::mem::take(&mut self.expiries)
            .into_iter()
            .filter(|(position, _)| self.is_live(usize::from(*position)))
            .collect();
        self.links = Vec::new();
        self.columns_dirty = true;
    }

    /// The columns as they are stored.
    pub(super) fn sealed(&self) -> Sealed {
        match &self.columns {
            Columns::Sealed(sealed) => sealed.clone(),
            Columns::Open { subjects, .. } => self.packed((self.live_count as usize) < subjects.len() / 4),
        }
    }

    fn packed(&self, thin: bool) -> Sealed {
        if !thin && let Columns::Open { subjects, bytes, times } = &self.columns {
            // Never read where there is no message; the smallest number takes the least room.
            let least = subjects.iter().copied().filter(|id| *id != NOTHING).min().unwrap_or(0);
            let ids = subjects.iter().map(|id| u64::from(if *id == NOTHING { least } else { *id }));
            return Sealed {
                positions: None,
                subjects: Packed::new(ids),
                bytes: Packed::new(bytes.iter().map(|bytes| u64::from(*bytes))),
                times: Packed::new(times.iter().copied()),
            };
        }
        let rows: Vec<(u16, Entry)> = self
            .live_positions(0)
            .filter_map(|position| Some((position as u16, self.get(position)?)))
            .collect();
        Sealed {
            positions: Some(rows.iter().map(|(position, _)| *position).collect()),
            subjects: Packed::new(rows.iter().map(|(_, entry)| u64::from(entry.subject))),
            bytes: Packed::new(rows.iter().map(|(_, entry)| u64::from(entry.bytes))),
            times: Packed::new(rows.iter().map(|(_, entry)| entry.time)),
        }
    }

    /// Live positions from `from` on.
    #[inline]
    pub(super) fn live_positions(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        let mut at = from / 64;
        let mut word = self.live.get(at).map_or(0, |word| word & (u64::MAX << (from % 64)));
        std::iter::from_fn(move || {
            while word == 0 {
                at += 1;
                word = *self.live.get(at)?;
            }
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            Some(at * 64 + bit)
        })
    }

    /// Live positions up to `to`, the highest first.
    pub(super) fn live_positions_back(&self, to: usize) -> impl Iterator<Item = usize> + '_ {
        let mut at = to / 64;
        let mut word = self.live[at] & (u64::MAX >> (63 - to % 64));
        std::iter::from_fn(move || {
            while word == 0 {
                at = at.checked_sub(1)?;
                word = self.live[at];
            }
            let bit = 63 - word.leading_zeros() as usize;
            word &= !(1 << bit);
            Some(at * 64 + bit)
        })
    }

    /// How many live positions stand before `position`.
    pub(super) fn live_before(&self, position: usize) -> u32 {
        let whole: u32 = self.live[..position / 64].iter().map(|word| word.count_ones()).sum();
        match position % 64 {
            0 => whole,
            bits => whole + (self.live[position / 64] & (u64::MAX >> (64 - bits))).count_ones(),
        }
    }

    /// Remembers how far the next message of the same subject is.
    pub(super) fn set_link(&mut self, position: usize, distance: u64) {
        if matches!(&self.columns, Columns::Sealed(sealed) if sealed.positions.is_some()) {
            return;
        }
        if self.links.len() <= position {
            self.links.resize(position + 1, 0);
        }
        self.links[position] = u32::try_from(distance).unwrap_or(0);
    }

    /// How far the next message of the same subject is, if that is known.
    pub(super) fn link(&self, position: usize) -> Option<u64> {
        self.links.get(position).filter(|distance| **distance > 0).map(|distance| u64::from(*distance))
    }

    pub(super) fn live_words(&self) -> &[u64] {
        &self.live[..]
    }
}
