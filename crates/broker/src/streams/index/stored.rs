//! An index in pieces, as snapshots hold it: what changed is written, the rest isn't touched.
//!
//! ```text
//! head         last sequence · its time
//! columns n    chunk n: positions (flag, list) · subjects · sizes · times (each: base, width, count, bytes) · expiries
//! live n       chunk n's bits of messages that are there
//! subjects n   4096 numbers: number and text of each subject
//! ```
//!
//! Counts, firsts and lasts aren't stored: they follow from the chunks.

use super::Index;
use super::chunk::{CHUNK, Chunk, Sealed};
use super::dictionary::PAGE;
use super::packed::Packed;
use crate::codec::{CodecError, Reader, Writer};

/// A part of an index that is written as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Piece {
    Head,
    Columns(u64),
    Live(u64),
    Subjects(u64),
}

/// Bytes of a chunk's bits.
const LIVE_BYTES: usize = CHUNK as usize / 8;

impl Piece {
    pub(crate) fn put(self, writer: &mut Writer) {
        match self {
            Self::Head => writer.u8(0),
            Self::Columns(number) => writer.u8(1).varint(number),
            Self::Live(number) => writer.u8(2).varint(number),
            Self::Subjects(page) => writer.u8(3).varint(page),
        };
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let kind = reader.u8("piece")?;
        if kind == 0 {
            return Ok(Self::Head);
        }
        let number = reader.varint("piece number")?;
        if number > i64::MAX as u64 / CHUNK {
            return Err(reader.invalid("piece number"));
        }
        match kind {
            1 => Ok(Self::Columns(number)),
            2 => Ok(Self::Live(number)),
            3 if number < u64::from(u32::MAX) / PAGE as u64 => Ok(Self::Subjects(number)),
            _ => Err(reader.invalid("piece")),
        }
    }
}

impl Index {
    /// The pieces that changed since this was last asked, and those that are no more.
    pub(crate) fn take_changed(&mut self) -> (Vec<Piece>, Vec<Piece>) {
        let mut changed = vec![Piece::Head];
        for (number, chunk) in &mut self.chunks {
            if std::mem::take(&mut chunk.columns_dirty) {
                changed.push(Piece::Columns(*number));
            }
            if std::mem::take(&mut chunk.live_dirty) {
                changed.push(Piece::Live(*number));
            }
        }
        changed.extend(self.subjects.take_dirty().into_iter().map(|page| Piece::Subjects(page as u64)));
        let gone = std::mem::take(&mut self.gone);
        (changed, gone.into_iter().flat_map(|number| [Piece::Columns(number), Piece::Live(number)]).collect())
    }

    /// Has every piece count as changed.
    #[cfg(test)]
    pub(crate) fn all_pieces(&self) -> Vec<Piece> {
        let chunks = self.chunks.keys().flat_map(|number| [Piece::Columns(*number), Piece::Live(*number)]);
        let pages = (0..self.subjects.pages()).map(|page| Piece::Subjects(page as u64));
        [Piece::Head].into_iter().chain(chunks).chain(pages).collect()
    }

    /// Writes a piece.
    pub(crate) fn encode(&self, piece: Piece, writer: &mut Writer) {
        match piece {
            Piece::Head => {
                writer.varint(self.last).varint(self.last_time);
            }
            Piece::Columns(number) => {
                if let Some(chunk) = self.chunks.get(&number) {
                    put_columns(writer, chunk);
                }
            }
            Piece::Live(number) => {
                if let Some(chunk) = self.chunks.get(&number) {
                    let bytes: Vec<u8> =
                        chunk.live_words().iter().flat_map(|word| word.to_le_bytes()).collect();
                    writer.bytes(&bytes);
                }
            }
            Piece::Subjects(page) => {
                let subjects = self.subjects.page(page as usize);
                writer.varint(subjects.clone().count() as u64);
                for (id, text) in subjects {
                    writer.varint(u64::from(id)).str(text);
                }
            }
        }
    }

    /// Takes over a piece of a snapshot. In any order; [`Index::restored`] ends it.
    pub(crate) fn restore(&mut self, piece: Piece, reader: &mut Reader<'_>) -> Result<(), CodecError> {
        match piece {
            Piece::Head => {
                self.last = reader.varint("last sequence")?;
                self.last_time = reader.varint("last time")?;
                if self.last > i64::MAX as u64 {
                    return Err(reader.invalid("last sequence"));
                }
            }
            Piece::Columns(number) => {
                let (sealed, expiries) = take_columns(reader)?;
                let mut chunk = Chunk::from_sealed(sealed, expiries);
                if let Some(before) = self.chunks.get(&number) {
                    before.live_positions(0).for_each(|position| chunk.set_live(position));
                }
                self.chunks.insert(number, chunk);
            }
            Piece::Live(number) => {
                let bytes = reader.bytes("live messages")?;
                if bytes.len() != LIVE_BYTES {
                    return Err(reader.invalid("live messages"));
                }
                let chunk = self.chunks.entry(number).or_default();
                let bits = bytes.iter().enumerate().flat_map(|(at, byte)| {
                    (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at * 8 + bit)
                });
                bits.for_each(|position| chunk.set_live(position));
            }
            Piece::Subjects(page) => {
                for _ in 0..reader.varint("subject count")? {
                    let id = reader.varint("subject number")?;
                    let text = reader.str("subject")?;
                    if id / PAGE as u64 != page || !self.subjects.restore(id as u32, text) {
                        return Err(reader.invalid("subject number"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes everything that follows from the pieces. `Err` says what contradicts.
    pub(crate) fn restored(&mut self) -> Result<(), String> {
        self.subjects.restored();
        (self.messages, self.bytes, self.first) = (0, 0, self.last + 1);
        let known = self.subjects.pages() * PAGE;
        for (number, chunk) in &self.chunks {
            for position in chunk.live_positions(0) {
                let sequence = number * CHUNK + 1 + position as u64;
                let entry = chunk.get(position).filter(|entry| (entry.subject as usize) < known);
                let Some(entry) = entry.filter(|entry| self.subjects.is_used(entry.subject)) else {
                    return Err(format!("sequence {sequence} is there, and its subject isn't known"));
                };
                if sequence > self.last {
                    return Err(format!("sequence {sequence} is above the last one, {}", self.last));
                }
                if self.messages == 0 {
                    self.first = sequence;
                }
                self.messages += 1;
                self.bytes += u64::from(entry.bytes);
                self.subjects.added(entry.subject, sequence);
            }
        }
        Ok(())
    }
}

fn put_columns(writer: &mut Writer, chunk: &Chunk) {
    let Sealed { positions, subjects, bytes, times } = chunk.sealed();
    match positions {
        None => _ = writer.u8(0),
        Some(positions) => {
            let positions: Vec<u8> = positions.iter().flat_map(|position| position.to_le_bytes()).collect();
            writer.u8(1).bytes(&positions);
        }
    }
    for column in [subjects, bytes, times] {
        let (base, width, len, bytes) = column.parts();
        writer.varint(base).u8(width).varint(u64::from(len)).bytes(bytes);
    }
    writer.varint(chunk.expiries.len() as u64);
    for (position, at) in &chunk.expiries {
        writer.varint(u64::from(*position)).varint(*at);
    }
}

type Columns = (Sealed, Vec<(u16, u64)>);

fn take_columns(reader: &mut Reader<'_>) -> Result<Columns, CodecError> {
    let positions: Option<Box<[u16]>> = match reader.u8("positions")? {
        0 => None,
        _ => {
            let bytes = reader.bytes("positions")?;
            let positions: Box<[u16]> =
                bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            if !positions.is_sorted_by(|a, b| a < b) {
                return Err(reader.invalid("positions"));
            }
            Some(positions)
        }
    };
    let mut columns = Vec::with_capacity(3);
    for field in ["subjects", "sizes", "times"] {
        let (base, width) = (reader.varint(field)?, reader.u8(field)?);
        let len = reader.varint(field)?;
        let bytes = reader.bytes(field)?;
        let column = u32::try_from(len)
            .ok()
            .filter(|len| u64::from(*len) <= CHUNK)
            .and_then(|len| Packed::from_parts(base, width, len, bytes));
        columns.push(column.ok_or_else(|| reader.invalid(field))?);
    }
    let [subjects, bytes, times] = <[Packed; 3]>::try_from(columns).unwrap_or_default();
    let rows = positions.as_ref().map_or(subjects.len(), |positions| positions.len());
    if [subjects.len(), bytes.len(), times.len()] != [rows; 3] {
        return Err(reader.invalid("sizes"));
    }
    let mut expiries = Vec::new();
    for _ in 0..reader.varint("expiry count")? {
        let position = u16::try_from(reader.varint("expiry")?).map_err(|_| reader.invalid("expiry"))?;
        expiries.push((position, reader.varint("expiry")?));
    }
    Ok((Sealed { positions, subjects, bytes, times }, expiries))
}
