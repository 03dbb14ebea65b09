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
