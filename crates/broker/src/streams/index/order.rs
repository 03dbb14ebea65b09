//! Subjects' numbers sorted by text: a list of blocks, so that putting one in moves a few KiB.

use super::dictionary::SubjectId;

/// A block is split at this length.
const BLOCK: usize = 1024;

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

    /// All numbers whose texts are `from` or behind it.
    pub(super) fn from<'a, 'o>(
        &'o self,
        from: &[u8],
        text: impl Fn(SubjectId) -> &'a [u8],
    ) -> impl Iterator<Item = SubjectId> + 'o {
        let at = self.blocks.partition_point(|block| text(block[0]) < from).saturating_sub(1);
        let skip = self.blocks.get(at).map_or(0, |block| block.partition_point(|id| text(*id) < from));
        self.blocks[at.min(self.blocks.len())..].iter().flatten().copied().skip(skip)
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.capacity() * 4 + 24).sum()
    }
}
