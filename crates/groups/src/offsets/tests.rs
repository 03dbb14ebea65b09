use super::*;
use std::time::Duration;

fn offset(committed_at: i64, expires_at: Option<i64>) -> CommittedOffset {
    CommittedOffset {
        topic_id: TopicId::ZERO,
        offset: Offset(1),
        leader_epoch: None,
        committed_at: TimestampMs(committed_at),
        expires_at: expires_at.map(TimestampMs),
        metadata: Arc::from(""),
    }
}

#[test]
fn an_offset_expires_at_the_end_of_its_retention() {
    let since_empty = |at| Since::Empty(TimestampMs(at));
    let cases = [
        (Since::Commit, offset(1000, None), 1099, false),
        (Since::Commit, offset(1000, None), 1100, true),
        (Since::Commit, offset(1000, None), i64::MIN, false),
        (Since::Commit, offset(i64::MIN, None), i64::MAX, true),
        (since_empty(1050), offset(1000, None), 1149, false),
        (since_empty(1050), offset(1000, None), 1150, true),
        (since_empty(1050), offset(1000, Some(5000)), 4999, false),
        (since_empty(1050), offset(1000, Some(5000)), 5000, true),
        (Since::Commit, offset(1000, Some(1001)), 1001, true),
    ];
    for (since, offset, now, expired) in cases {
        let expiry = Expiry { since, retention: Duration::from_millis(100), in_use: &|_| false };
        assert_eq!(expiry.is_expired(&offset, TimestampMs(now)), expired, "{since:?} {offset:?} at {now}");
    }
}

#[test]
fn a_topic_without_offsets_leaves_nothing_behind() {
    let mut offsets = GroupOffsets::default();
    let partition = TopicPartition { topic: Arc::from("t"), partition: 3 };
    assert!(!offsets.remove(&partition));
    offsets.set(&partition, offset(0, None));
    assert_eq!(offsets.len(), 1);
    assert!(offsets.remove(&partition));
    assert!(offsets.is_empty());
}
