//! The payload of a delete frame: ranges of offsets, as pairs of varints (distance from the range before, length).

use bytes::Bytes;
use duolog_types::Offset;
use roaring::RoaringTreemap;

/// What one frame can name; a set of so many doesn't fit into memory where it is made.
const OFFSETS_MAX: u64 = 1 << 32;

/// Offsets `base..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub base: Offset,
    pub end: Offset,
}

/// The offsets of `offsets` that lie in `from..to`, as a frame's payload; empty if there are none.
pub(crate) fn encode(offsets: &RoaringTreemap, from: Offset, to: Offset) -> Bytes {
    let (Ok(from), Ok(to)) = (u64::try_from(from.0), u64::try_from(to.0)) else { return Bytes::new() };
    let mut out = Vec::new();
    let mut behind = 0;
    let mut open: Option<(u64, u64)> = None;
    let mut close = |(base, end): (u64, u64), out: &mut Vec<u8>| {
        put_varint(out, base - behind);
        put_varint(out, end - base);
        behind = end;
    };
    let mut offsets = offsets.iter();
    offsets.advance_to(from);
    for offset in offsets.take_while(|offset| *offset < to) {
        open = match open {
            Some((base, end)) if end == offset => Some((base, offset + 1)),
            Some(range) => {
                close(range, &mut out);
                Some((offset, offset + 1))
            }
            None => Some((offset, offset + 1)),
        };
    }
    if let Some(range) = open {
        close(range, &mut out);
    }
    Bytes::from(out)
}

/// Walks a payload's ranges, in order and apart from each other.
pub(crate) fn decode(payload: &[u8]) -> Ranges<'_> {
    Ranges { rest: payload, behind: 0, count: 0 }
}

/// See [`decode`]. `Err` once where the payload is none, then nothing more.
pub(crate) struct Ranges<'a> {
    rest: &'a [u8],
    behind: u64,
    count: u64,
}

impl Ranges<'_> {
    fn read(&mut self) -> Option<Range> {
        let base = self.behind.checked_add(take_varint(&mut self.rest)?)?;
        let length = take_varint(&mut self.rest)?;
        let end = base.checked_add(length)?;
        self.behind = end;
        self.count = self.count.checked_add(length).filter(|count| *count <= OFFSETS_MAX)?;
        let range = Range { base: Offset(i64::try_from(base).ok()?), end: Offset(i64::try_from(end).ok()?) };
        (range.base < range.end).then_some(range)
    }
}

impl Iterator for Ranges<'_> {
    type Item = Result<Range, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let range = self.read();
        if range.is_none() {
            self.rest = &[];
        }
        Some(range.ok_or_else(|| "a delete's ranges are cut short or out of bounds".into()))
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_round_trip(offsets in proptest::collection::btree_set(0u64..300, 0..80), from in 0i64..300, to in 0i64..300) {
            let all: RoaringTreemap = offsets.iter().copied().collect();
            let payload = encode(&all, Offset(from), Offset(to));
            let mut found = Vec::new();
            for range in decode(&payload) {
                let range = range.unwrap();
                found.extend(range.base.0..range.end.0);
            }
            let expected: Vec<i64> = offsets.iter().map(|at| *at as i64).filter(|at| (from..to).contains(at)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_end(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut last = Offset(0);
            for range in decode(&payload).flatten() {
                prop_assert!(last <= range.base && range.base < range.end);
                last = range.end;
            }
        }
    }

    #[test]
    fn one_message_takes_few_bytes() {
        let one: RoaringTreemap = [1_000_000].into_iter().collect();
        assert_eq!(encode(&one, Offset(0), Offset(i64::MAX)).len(), 4);
    }
}
