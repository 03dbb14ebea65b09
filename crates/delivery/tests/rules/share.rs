//! The core as share groups will use it (KIP-932): members acquire records, hold them under a lock, and accept,
//! release, reject or renew them.

use std::time::Duration;

use duolog_delivery::window::RecordState;
use duolog_delivery::{Holder, Window};
use duolog_types::Sequence;

const LOCK: Duration = Duration::from_secs(30);
const LIMIT: u32 = 2;

/// What a share partition does around the window: members, the lock's span, the limit on deliveries.
struct SharePartition {
    window: Window,
    end: u64,
}

impl SharePartition {
    fn acquire(&mut self, member: u64, count: usize, now: Duration) -> Vec<u64> {
        let mut acquired = Vec::new();
        while acquired.len() < count {
            let next = self.window.first_queued().unwrap_or(self.window.next());
            if next.0 > self.end {
                break;
            }
            self.window.acquire(next, Holder(member), |_| Some(now + LOCK), now);
            acquired.push(next.0);
        }
        acquired
    }

    fn release(&mut self, member: u64, sequence: u64) -> bool {
        let sequence = Sequence(sequence);
        let record = self.window.in_flight().get(&sequence);
        let held = record.is_some_and(|record| record.holder == Holder(member));
        if held {
            self.give_back(sequence);
        }
        held
    }

    fn give_back(&mut self, sequence: Sequence) {
        if self.window.in_flight()[&sequence].count >= LIMIT {
            self.window.exhaust(sequence);
        } else {
            self.window.release(sequence);
        }
    }

    fn tick(&mut self, now: Duration) {
        for sequence in self.window.expire(now) {
            self.give_back(sequence);
        }
    }

    fn state(&self, sequence: u64) -> RecordState {
        self.window.state(Sequence(sequence))
    }

    /// KIP-932: the share-partition start offset, as a sequence.
    fn start(&self) -> u64 {
        self.window.in_flight().keys().next().copied().unwrap_or(self.window.next()).0
    }
}

#[test]
fn a_share_partition_stands_on_the_window() {
    let mut share = SharePartition { window: Window::new(Sequence(1), vec![], true, true), end: 5 };
    let at = Duration::from_secs;
    assert_eq!(share.acquire(1, 3, at(0)), [1, 2, 3]);
    assert_eq!(share.acquire(2, 9, at(0)), [4, 5]);

    // Accept 2, release 1 and 4; a member can't speak for another.
    assert!(share.window.settle(Sequence(2)).is_some());
    assert!(share.release(1, 1));
    assert!(!share.release(1, 4));
    assert!(share.release(2, 4));
    assert_eq!(share.state(1), RecordState::Available);
    assert_eq!(share.state(2), RecordState::Acknowledged);
    assert_eq!(share.state(3), RecordState::Acquired);
    assert_eq!(share.start(), 1);

    // Released records are acquired again, by whoever comes; renewing keeps a lock.
    assert_eq!(share.acquire(2, 1, at(10)), [1]);
    assert!(share.window.hold(Sequence(3), Some(at(20) + LOCK)));
    share.tick(at(30));
    assert_eq!(share.state(3), RecordState::Acquired, "renewed");
    assert_eq!(share.state(5), RecordState::Available, "its lock has expired");

    // The second delivery is the last: what isn't accepted then is archived.
    share.tick(at(40));
    assert_eq!(share.state(1), RecordState::Archived);
    // Reject: archived, whatever its count.
    share.window.exhaust(Sequence(3));
    assert_eq!(share.state(3), RecordState::Archived);
    assert_eq!(share.start(), 4);

    // All of it survives.
    assert!(!share.window.take_changes().is_empty());
    let snapshot = share.window.snapshot();
    assert_eq!(snapshot.in_flight.iter().map(|record| record.sequence.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(snapshot.exhausted.len(), 2);
}
