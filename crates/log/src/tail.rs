//! The tail in memory: the newest WAL groups as they were written, under one budget for all partitions.
//!
//! Nothing here pins the WAL or triggers a checkpoint: what falls out is read back from the WAL file.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::RwLock;

/// Ring of the newest groups, oldest first.
#[derive(Debug)]
pub(crate) struct Tail {
    ring: RwLock<Ring>,
    budget_bytes: usize,
}

#[derive(Debug, Default)]
struct Ring {
    groups: VecDeque<Group>,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    file_seq: u64,
    position: u64,
    bytes: Bytes,
}

impl Tail {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self { ring: RwLock::default(), budget_bytes: usize::try_from(budget_bytes).unwrap_or(usize::MAX) }
    }

    /// Adds a group that was just written at `position` of file `file_seq`; drops the oldest over the budget.
    pub(crate) fn push(&self, file_seq: u64, position: u64, bytes: Bytes) {
        let mut dropped = Vec::new();
        let mut ring = self.ring.write();
        ring.bytes += bytes.len();
        ring.groups.push_back(Group { file_seq, position, bytes });
        while ring.bytes > self.budget_bytes
            && let Some(oldest) = ring.groups.pop_front()
        {
            ring.bytes -= oldest.bytes.len();
            dropped.push(oldest);
        }
        drop(ring);
        // Megabytes are freed here, outside of the lock that readers wait for.
        drop(dropped);
    }

    /// The group that holds `position` of file `file_seq`, and where it begins.
    pub(crate) fn group_at(&self, file_seq: u64, position: u64) -> Option<(u64, Bytes)> {
        let ring = self.ring.read();
        let behind =
            ring.groups.partition_point(|group| (group.file_seq, group.position) <= (file_seq, position));
        let group = ring.groups.get(behind.checked_sub(1)?)?;
        (group.file_seq == file_seq && position - group.position < group.bytes.len() as u64)
            .then(|| (group.position, group.bytes.clone()))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ring.read().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_groups_within_the_budget() {
        let tail = Tail::new(8192);
        for index in 0..4u64 {
            tail.push(1, 4096 * (index + 1), Bytes::from(vec![index as u8; 4096]));
        }
        assert_eq!(tail.bytes(), 8192);
        assert!(tail.group_at(1, 4096).is_none());
        let (start, group) = tail.group_at(1, 12_288 + 77).unwrap();
        assert_eq!((start, group[0]), (12_288, 2));
        assert!(tail.group_at(1, 20_480).is_none(), "behind the newest group");
        assert!(tail.group_at(2, 12_288).is_none(), "another file");
    }
}
