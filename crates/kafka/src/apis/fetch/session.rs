//! One fetch session (KIP-227): which partitions a consumer wants, and which of them have something to say.
//!
//! ```text
//! request: changed, forgotten ──► slots ──┐
//! Watch: news of a partition ─────────────┴──► queue ──► looked at by the handler, front to back
//! ```
//!
//! A partition stands in the queue as long as it may have something to say: it was added or changed, its high
//! watermark moved, it has records the client didn't take yet, or it failed. So a fetch costs what has news,
//! not what is subscribed. Whoever was served goes to the back: no partition starves (KIP-74).
//!
//! Pure: knows offsets and order, not how records are read. `H` is what the handler keeps per partition.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How a request names a topic: by name before version 13, by id from then on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// By name. Never a slice of a request, which would keep the whole request in memory.
    Name(Arc<str>),
    /// By id.
    Id([u8; 16]),
}

/// What a client wants of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub partition: i32,
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// Most bytes of this partition.
    pub max_bytes: i32,
    /// The leader epoch that the client knows; -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the client's last record; -1 for none.
    pub last_fetched_epoch: i32,
}

/// What was last told about a partition. -1 is "nothing yet", or "tell it again" after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The high watermark.
    pub high_watermark: i64,
    /// The log start offset.
    pub log_start: i64,
}

const NOTHING_TOLD: Told = Told { high_watermark: -1, log_start: -1 };

/// A partition of a session.
#[derive(Debug)]
pub struct Slot<H> {
    /// What is wanted.
    pub wanted: Wanted,
    /// What the client was told.
    pub told: Told,
    /// The handler's own.
    pub handle: H,
    queued: bool,
}

/// What became of a partition that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Nothing (more) to say: out of the queue until there is news.
    Quiet,
    /// It was given what it had, or some of it: to the back of the queue.
    Served,
    /// It has something, and there was no room for it: it keeps its place.
    Waiting,
}

/// The partitions of one session, and the queue of those with news.
#[derive(Debug)]
pub struct Session<H> {
    slots: Vec<Option<Slot<H>>>,
    free: Vec<u32>,
    by_key: HashMap<(TopicRef, i32), u32>,
    queue: VecDeque<u32>,
}

impl<H> Default for Session<H> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_key: HashMap::new(), queue: VecDeque::new() }
    }
}

impl<H> Session<H> {
    /// How many partitions it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether it has no partitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Adds a partition, or changes what is wanted of it, and queues it. `handle` is called for a new one, with
    /// the token under which its news shall be reported.
    pub fn want(&mut self, wanted: Wanted, handle: impl FnOnce(&Wanted, u64) -> H) {
        let key = (wanted.topic.clone(), wanted.partition);
        let index = match self.by_key.get(&key) {
            Some(&index) => {
                if let Some(slot) = self.slot_mut(index) {
                    slot.wanted = wanted;
                }
                index
            }
            None => {
                let index = self.free.pop().unwrap_or_else(|| {
                    self.slots.push(None);
                    // More partitions than u32 counts don't fit into a frame.
                    u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
                });
                let handle = handle(&wanted, u64::from(index));
                self.slots[index as usize] = Some(Slot { wanted, told: NOTHING_TOLD, handle, queued: false });
                self.by_key.insert(key, index);
                index
            }
        };
        self.mark(u64::from(index));
    }

    /// Takes a partition out.
    pub fn forget(&mut self, topic: TopicRef, partition: i32) {
        if let Some(index) = self.by_key.remove(&(topic, partition)) {
            let slot = self.slots[index as usize].take();
            if slot.is_some_and(|slot| slot.queued) {
                self.queue.retain(|queued| *queued != index);
            }
            self.free.push(index);
        }
    }

    /// There is news of the partition with this token. Tokens of partitions that were taken out are ignored.
    pub fn mark(&mut self, token: u64) {
        let Ok(index) = u32::try_from(token) else { return };
        if let Some(slot) = self.slot_mut(index)
            && !slot.queued
        {
            slot.queued = true;
            self.queue.push_back(index);
        }
    }

    /// Queues every partition: a full fetch answers for each.
    pub fn mark_all(&mut self) {
        for index in 0..self.slots.len() {
            self.mark(index as u64);
        }
    }

    /// The queued partitions' places, front to back.
    #[must_use]
    pub fn queued(&self) -> Vec<u32> {
        self.queue.iter().copied().collect()
    }

    /// The partition at a place that [`queued`](Self::queued) named.
    #[must_use]
    pub fn slot(&self, index: u32) -> Option<&Slot<H>> {
        self.slots.get(index as usize)?.as_ref()
    }

    /// The partition with this token.
    #[must_use]
    pub fn slot_of(&self, token: u64) -> Option<&Slot<H>> {
        self.slot(u32::try_from(token).ok()?)
    }

    /// The partition at a place, to change it.
    pub fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<H>> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Orders the queue after a round of looks. Partitions that weren't looked at keep their places, ahead of
    /// those that were served.
    pub fn settle(&mut self, visits: &[(u32, Visit)]) {
        let looked: HashMap<u32, Visit> = visits.iter().copied().collect();
        let mut served = Vec::new();
        let mut queue = std::mem::take(&mut self.queue);
        queue.retain(|index| match looked.get(index) {
            None | Some(Visit::Waiting) => true,
            Some(Visit::Served) => {
                served.push(*index);
                false
            }
            Some(Visit::Quiet) => {
                if let Some(slot) = self.slot_mut(*index) {
                    slot.queued = false;
                }
                false
            }
        });
        queue.extend(served);
        self.queue = queue;
    }

    /// Every partition, in no order.
    pub fn slots(&mut self) -> impl Iterator<Item = (u64, &mut Slot<H>)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| Some((index as u64, slot.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(partition: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            topic: TopicRef::Name(Arc::from("t")),
            partition,
            fetch_offset,
            max_bytes: 1,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }

    fn partitions(session: &Session<()>) -> Vec<i32> {
        session.queued().iter().map(|index| session.slot(*index).unwrap().wanted.partition).collect()
    }

    #[test]
    fn served_partitions_go_behind_those_that_still_wait() {
        let mut session: Session<()> = Session::default();
        for partition in 0..4 {
            session.want(wanted(partition, 0), |_, _| ());
        }
        session.settle(&[(0, Visit::Served), (1, Visit::Waiting), (2, Visit::Quiet)]);
        assert_eq!(partitions(&session), [1, 3, 0]);
        session.mark(2);
        session.mark(2);
        session.mark(77);
        assert_eq!(partitions(&session), [1, 3, 0, 2]);
        session.want(wanted(1, 5), |_, _| panic!("it is there already"));
        assert_eq!(partitions(&session), [1, 3, 0, 2]);
        session.forget(TopicRef::Name(Arc::from("t")), 3);
        assert_eq!(partitions(&session), [1, 0, 2]);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Want(i32, i64),
        Forget(i32),
        Mark(i32),
        Settle(Vec<u8>),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            (0..6_i32, 0..9_i64).prop_map(|(partition, offset)| Op::Want(partition, offset)),
            (0..6_i32).prop_map(Op::Forget),
            (0..6_i32).prop_map(Op::Mark),
            prop::collection::vec(0..4_u8, 0..6).prop_map(Op::Settle),
        ];
        prop::collection::vec(op, 0..60)
    }

    proptest! {
        /// Against a model that keeps partitions and queue as plain lists.
        #[test]
        fn session_agrees_with_a_plain_list(ops in ops()) {
            let mut session: Session<u64> = Session::default();
            let mut model: HashMap<i32, i64> = HashMap::new();
            let mut queue: Vec<i32> = Vec::new();
            for op in ops {
                match op {
                    Op::Want(partition, offset) => {
                        session.want(wanted(partition, offset), |_, token| token);
                        model.insert(partition, offset);
                        if !queue.contains(&partition) {
                            queue.push(partition);
                        }
                    }
                    Op::Forget(partition) => {
                        session.forget(TopicRef::Name(Arc::from("t")), partition);
                        model.remove(&partition);
                        queue.retain(|queued| *queued != partition);
                    }
                    Op::Mark(partition) => {
                        let token = session
                            .slots()
                            .find(|(_, slot)| slot.wanted.partition == partition)
                            .map(|(token, slot)| { assert_eq!(token, slot.handle); token });
                        if let Some(token) = token {
                            session.mark(token);
                            if !queue.contains(&partition) {
                                queue.push(partition);
                            }
                        }
                    }
                    Op::Settle(kinds) => {
                        let mut visits = Vec::new();
                        let (mut kept, mut served) = (Vec::new(), Vec::new());
                        for (place, partition) in session.queued().into_iter().zip(queue.clone()) {
                            match kinds.get(visits.len()) {
                                Some(0) => visits.push((place, Visit::Quiet)),
                                Some(1) => { visits.push((place, Visit::Served)); served.push(partition); }
                                Some(_) => { visits.push((place, Visit::Waiting)); kept.push(partition); }
                                None => kept.push(partition),
                            }
                        }
                        session.settle(&visits);
                        queue = [kept, served].concat();
                    }
                }
                let seen: Vec<i32> =
                    session.queued().iter().map(|index| session.slot(*index).unwrap().wanted.partition).collect();
                prop_assert_eq!(&seen, &queue);
                prop_assert_eq!(session.len(), model.len());
                let contents: HashMap<i32, i64> = session
                    .slots()
                    .map(|(_, slot)| (slot.wanted.partition, slot.wanted.fetch_offset))
                    .collect();
                prop_assert_eq!(&contents, &model);
            }
        }
    }
}
