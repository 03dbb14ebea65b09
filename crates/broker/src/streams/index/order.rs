//! Subjects' numbers sorted by text: a list of blocks, so that putting one in moves a few KiB.

use super::dictionary::SubjectId;

/// A block is split at this length.
const BLOCK: usize = 1024;

/// A place in the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    block: usize,
    index: usize,
}

/// How many of `0..len` come before the first for which `is_below` isn't true, by steps that double and then halve.
fn gallop(len: usize, is_below: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (0, 1);
    while low + step <= len && is_below(low + step - 1) {
        low += step;
        step *= 2;
    }
    // All below `low` are; the one at `high`, if there is one, isn't.
    let mut high = (low + step - 1).min(len);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// See the module. No block is empty.
#[derive(Debug, Default)]
pub(super) struct Order {
    blocks: Vec<Vec<SubjectId>>,
}

impl Order {
    pub(super) fn from_sorted(ids: &[SubjectId]) -> Self {
        Self { blocks: ids.chunks(BLOCK * 3 / 4).map(<[SubjectId]>::to_vec).collect() }
    }

    /// Puts a number in, which isn't there.
    pub(super) fn insert<'a>(&mut self, id: SubjectId, text: impl Fn(SubjectId) -> &'a [u8]) {
        let wanted = text(id);
        let at = self.blocks.partition_point(|block| text(block[0]) <= wanted).saturating_sub(1);
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(vec![id]);
            return;
        };
        let place = block.partition_point(|other| text(*other) < wanted);
        block.insert(place, id);
        if block.len() == BLOCK {
            let rest = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, rest);
        }
    }

    /// Where the first number stands whose text is `from` or behind it.
    pub(super) fn seek<'a>(&self, from: &[u8], text: impl Fn(SubjectId) -> &'a [u8]) -> Place {
        let block = self.blocks.partition_point(|block| text(block[0]) < from).saturating_sub(1);
        let index = self.blocks.get(block).map_or(0, |block| block.partition_point(|id| text(*id) < from));
        self.settled(Place { block, index })
    }

    /// As [`seek`](Self::seek), for a text behind `place`; what is close is found sooner.
    pub(super) fn seek_from<'a>(
        &self,
        mut place: Place,
        from: &[u8],
        text: impl Fn(SubjectId) -> &'a [u8],
    ) -> Place {
        let is_below = |id: SubjectId| text(id) < from;
        let Some(rest) = self.blocks.get(place.block..).filter(|rest| !rest.is_empty()) else { return place };
        let further = gallop(rest.len() - 1, |at| is_below(rest[at + 1][0]));
        if further > 0 {
            place = Place { block: place.block + further, index: 0 };
        }
        let block = &self.blocks[place.block][place.index..];
        place.index += gallop(block.len(), |at| is_below(block[at]));
        self.settled(place)
    }

    /// The number at a place; none behind the last.
    pub(super) fn get(&self, place: Place) -> Option<SubjectId> {
        self.blocks.get(place.block)?.get(place.index).copied()
    }

    /// The place behind another.
    pub(super) fn next(&self, place: Place) -> Place {
        self.settled(Place { index: place.index + 1, ..place })
    }

    /// Behind a block's end, the next one begins.
    fn settled(&self, place: Place) -> Place {
        match self.blocks.get(place.block) {
            Some(block) if place.index >= block.len() => Place { block: place.block + 1, index: 0 },
            _ => place,
        }
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.capacity() * 4 + 24).sum()
    }
}
