//! Which message ids a stream has seen within its window, and where their messages went.
//!
//! Ids stand in buckets by time; a bucket whose ids are all too old is dropped whole, in memory and on disk. What is in
//! the window doesn't depend on the messages being there still: an acknowledged job's id is remembered too. Pure.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::codec::{CodecError, Reader, Writer};

/// A window is about so many buckets.
const BUCKETS: u64 = 8;
/// A bucket takes no more ids than this, however slow the time.
const BUCKET_IDS: usize = 1 << 16;

/// One id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    offset: u32,
    len: u32,
    sequence: u64,
    time: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    ids: Vec<Seen>,
    text: Vec<u8>,
    dirty: bool,
}

impl Bucket {
    fn text(&self, seen: &Seen) -> &[u8] {
        &self.text[seen.offset as usize..(seen.offset + seen.len) as usize]
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Dedup {
    /// Oldest first; the first has the number `first`.
    buckets: VecDeque<Bucket>,
    first: u64,
    /// Bucket's number and place in it.
    by_id: HashTable<(u64, u32)>,
    hasher: DefaultHashBuilder,
    /// Buckets that went since they were last asked for.
    gone: Vec<u64>,
}

impl Dedup {
    /// Where the message of an id went, if it came within `window` before `now`.
    pub(crate) fn find(&self, id: &[u8], now: u64, window: u64) -> Option<u64> {
        if self.by_id.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(id);
        let (bucket, place) = *self.by_id.find(hash, |at| self.text_of(*at) == id)?;
        let seen = self.buckets[(bucket - self.first) as usize].ids[place as usize];
        (now < seen.time.saturating_add(window)).then_some(seen.sequence)
    }

    fn text_of(&self, (bucket, place): (u64, u32)) -> &[u8] {
        let bucket = &self.buckets[(bucket - self.first) as usize];
        bucket.text(&bucket.ids[place as usize])
    }

    /// Remembers an id.
    pub(crate) fn insert(&mut self, id: &[u8], sequence: u64, time: u64, window: u64) {
        let width = window / BUCKETS;
        let is_full = |bucket: &Bucket| {
            let old = bucket.ids.first().is_some_and(|first| time >= first.time.saturating_add(width));
            old || bucket.ids.len() >= BUCKET_IDS || bucket.text.len() + id.len() > u32::MAX as usize
        };
        if self.buckets.back().is_none_or(is_full) {
            self.buckets.push_back(Bucket::default());
        }
        let number = self.first + self.buckets.len() as u64 - 1;
        self.put(number, id, sequence, time);
    }

    fn put(&mut self, number: u64, id: &[u8], sequence: u64, time: u64) {
        let bucket = &mut self.buckets[(number - self.first) as usize];
        let seen = Seen { offset: bucket.text.len() as u32, len: id.len() as u32, sequence, time };
        bucket.text.extend_from_slice(id);
        bucket.ids.push(seen);
        bucket.dirty = true;
        let at = (number, bucket.ids.len() as u32 - 1);
        let hash = self.hasher.hash_one(id);
        let (buckets, first, hasher) = (&self.buckets, self.first, &self.hasher);
        let text_of = |(bucket, place): (u64, u32)| {
            let bucket = &buckets[(bucket - first) as usize];
            bucket.text(&bucket.ids[place as usize])
        };
        // The one before, too old to count, stays in its bucket until that goes.
        if let Some(before) = self.by_id.find_mut(hash, |at| text_of(*at) == id) {
            let older = buckets[(before.0 - first) as usize].ids[before.1 as usize].sequence < sequence;
            if older {
                *before = at;
            }
        } else {
            self.by_id.insert_unique(hash, at, |at| hasher.hash_one(text_of(*at)));
        }
    }

    /// Drops buckets of which no id is in the window any more.
    pub(crate) fn expire(&mut self, now: u64, window: u64) {
        while let Some(bucket) = self.buckets.front() {
            let newest = bucket.ids.last().map_or(0, |seen| seen.time);
            if now < newest.saturating_add(window) {
                return;
            }
            for place in 0..bucket.ids.len() as u32 {
                let at = (self.first, place);
                let hash = self.hasher.hash_one(self.text_of(at));
                if let Ok(found) = self.by_id.find_entry(hash, |found| *found == at) {
                    found.remove();
                }
            }
            self.buckets.pop_front();
            self.gone.push(self.first);
            self.first += 1;
        }
    }

    /// The buckets that changed since this was last asked, and those that are no more.
    pub(crate) fn take_changed(&mut self) -> (Vec<u64>, Vec<u64>) {
        let first = self.first;
        let changed = self
            .buckets
            .iter_mut()
            .zip(first..)
            .filter_map(|(bucket, number)| std::mem::take(&mut bucket.dirty).then_some(number));
        (changed.collect(), std::mem::take(&mut self.gone))
    }

    /// Whether a bucket is (still) there.
    pub(crate) fn has(&self, number: u64) -> bool {
        number.checked_sub(self.first).is_some_and(|at| (at as usize) < self.buckets.len())
    }

    /// Writes a bucket.
    pub(crate) fn encode(&self, number: u64, writer: &mut Writer) {
        let bucket = number.checked_sub(self.first).and_then(|at| self.buckets.get(at as usize));
        let Some(bucket) = bucket else { return };
        writer.varint(bucket.ids.len() as u64);
        for seen in &bucket.ids {
            writer.bytes(bucket.text(seen)).varint(seen.sequence).varint(seen.time);
        }
    }

    /// Takes over a bucket of a snapshot, in any order.
    pub(crate) fn restore(&mut self, number: u64, reader: &mut Reader<'_>) -> Result<(), CodecError> {
        if self.buckets.is_empty() {
            self.first = number;
        }
        // Two numbers far apart are of no snapshot: what lies between would have to be made.
        if number.abs_diff(self.first) > 1 << 20 {
            return Err(reader.invalid("bucket number"));
        }
        while number < self.first {
            self.buckets.push_front(Bucket::default());
            self.first -= 1;
        }
        while number >= self.first + self.buckets.len() as u64 {
            self.buckets.push_back(Bucket::default());
        }
        for _ in 0..reader.varint("id count")? {
            let id = reader.bytes("id")?;
            let (sequence, time) = (reader.varint("sequence")?, reader.varint("time")?);
            self.put(number, id, sequence, time);
        }
        self.buckets[(number - self.first) as usize].dirty = false;
        Ok(())
    }

    /// The newest sequence that an id was remembered for; 0 if there is none.
    pub(crate) fn newest(&self) -> u64 {
        let newest = |bucket: &Bucket| bucket.ids.last().map(|seen| seen.sequence);
        self.buckets.iter().rev().find_map(newest).unwrap_or(0)
    }

    /// How many ids are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn restored(dedup: &Dedup) -> Dedup {
        let mut again = Dedup::default();
        for number in (dedup.first..dedup.first + dedup.buckets.len() as u64).rev() {
            let mut writer = Writer::new(1);
            dedup.encode(number, &mut writer);
            let bytes = writer.finish();
            let (mut reader, _) = Reader::new(&bytes, 1).unwrap();
            again.restore(number, &mut reader).unwrap();
            reader.finish().unwrap();
        }
        again
    }

    proptest! {
        #[test]
        fn ids_are_known_for_the_window_and_no_longer(
            steps in prop::collection::vec((0..30u32, 0..40u64, any::<bool>(), prop::bool::weighted(0.1)), 1..200),
        ) {
            let window = 100;
            let (mut dedup, mut model) = (Dedup::default(), HashMap::new());
            let mut now = 1000;
            for (sequence, (id, pause, expire, restart)) in (1u64..).zip(steps) {
                now += pause;
                let text = format!("id-{id}");
                let known = model.get(&id).filter(|(_, time)| now < time + window).map(|(s, _)| *s);
                prop_assert_eq!(dedup.find(text.as_bytes(), now, window), known);
                if known.is_none() {
                    dedup.insert(text.as_bytes(), sequence, now, window);
                    model.insert(id, (sequence, now));
                }
                if expire {
                    dedup.expire(now, window);
                    let in_window = model.values().filter(|(_, time)| now < time + window).count();
                    prop_assert!(dedup.len() >= in_window);
                }
                if restart {
                    dedup = restored(&dedup);
                }
            }
            dedup.expire(now + 2 * window, window);
            prop_assert_eq!(dedup.len(), 0);
        }
    }

    #[test]
    fn only_new_buckets_are_written_and_old_ones_go_whole() {
        let mut dedup = Dedup::default();
        dedup.insert(b"a", 1, 0, 80);
        dedup.insert(b"b", 2, 20, 80);
        assert_eq!(dedup.take_changed(), (vec![0, 1], vec![]));
        dedup.insert(b"c", 3, 25, 80);
        assert_eq!(dedup.take_changed(), (vec![1], vec![]));
        dedup.expire(90, 80);
        assert_eq!(dedup.take_changed(), (vec![], vec![0]));
        assert_eq!(dedup.find(b"b", 90, 80), Some(2));
        assert_eq!(dedup.find(b"a", 79, 80), None);
    }
}
