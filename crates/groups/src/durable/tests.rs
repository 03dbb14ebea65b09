use super::*;
use duolog_types::{LeaderEpoch, Offset, TopicId};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    ".{0,40}".prop_map(|text| Arc::from(text.as_str()))
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn partition() -> impl Strategy<Value = TopicPartition> {
    (text(), any::<i32>()).prop_map(|(topic, partition)| TopicPartition { topic, partition })
}

fn member() -> impl Strategy<Value = MemberRecord> {
    (text(), proptest::option::of(text()), text(), text(), any::<u32>(), any::<u32>(), bytes(), bytes())
        .prop_map(
            |(id, instance_id, client_id, client_host, rebalance, session, subscription, assignment)| {
                MemberRecord {
                    member_id: MemberId(id),
                    instance_id,
                    client_id,
                    client_host,
                    rebalance_timeout: Duration::from_millis(u64::from(rebalance)),
                    session_timeout: Duration::from_millis(u64::from(session)),
                    subscription,
                    assignment,
                }
            },
        )
}

fn committed() -> impl Strategy<Value = CommittedOffset> {
    (any::<[u8; 16]>(), any::<i64>(), any::<Option<i32>>(), any::<i64>(), any::<Option<i64>>(), text())
        .prop_map(|(topic_id, offset, epoch, committed_at, expires_at, metadata)| CommittedOffset {
            topic_id: TopicId(topic_id),
            offset: Offset(offset),
            leader_epoch: epoch.map(LeaderEpoch),
            committed_at: TimestampMs(committed_at),
            expires_at: expires_at.map(TimestampMs),
            metadata,
        })
}

fn record() -> impl Strategy<Value = Record> {
    let optional = || proptest::option::of(text());
    let group = (
        text(),
        any::<i32>(),
        any::<i64>(),
        optional(),
        optional(),
        optional(),
        proptest::collection::vec(member(), 0..4),
    )
        .prop_map(|(group, generation, since, protocol_type, protocol_name, leader, members)| {
            Record::Group(Arc::new(GroupRecord {
                group: GroupId(group),
                generation,
                state_since: TimestampMs(since),
                protocol_type,
                protocol_name,
                leader: leader.map(MemberId),
                members,
            }))
        });
    let offsets = proptest::collection::vec((partition(), committed()), 0..4);
    let partitions = proptest::collection::vec(partition(), 0..4);
    prop_oneof![
        group,
        text().prop_map(|group| Record::GroupDeleted(GroupId(group))),
        (text(), offsets).prop_map(|(group, offsets)| Record::Offsets { group: GroupId(group), offsets }),
        (text(), partitions)
            .prop_map(|(group, partitions)| Record::OffsetsDeleted { group: GroupId(group), partitions }),
        (text(), any::<i32>())
            .prop_map(|(group, generation)| Record::Generation { group: GroupId(group), generation }),
    ]
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(record in record()) {
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_record_that_is_cut_off_or_too_long_is_refused(record in record(), cut in any::<prop::sample::Index>()) {
        let whole = record.encode();
        prop_assert!(Record::decode(&whole[..cut.index(whole.len())]).is_err());
        let mut longer = whole.to_vec();
        longer.push(0);
        prop_assert_eq!(Record::decode(&longer), Err(DecodeError::Trailing { count: 1 }));
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let [version, kind, ..] = &mut bytes[..] {
            *version = 1;
            *kind %= 7;
        }
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }
}

/// The byte form of version 1, by hand. It may be added to, never changed.
#[test]
fn version_1_is_read_for_ever() {
    let generation = [1, 5, 1, b'g', 7, 0, 0, 0];
    let record = Record::Generation { group: GroupId::from("g"), generation: 7 };
    assert_eq!(Record::decode(&generation), Ok(record.clone()));
    assert_eq!(&record.encode()[..], generation);

    let mut offsets = vec![1, 3, 1, b'g', 1, 1, b't', 2, 0, 0, 0];
    offsets.extend([9; 16]);
    offsets.extend(42_i64.to_le_bytes());
    offsets.extend([1, 5, 0, 0, 0]);
    offsets.extend(1000_i64.to_le_bytes());
    offsets.extend([0, 4, b'n', b'o', b't', b'e']);
    let record = Record::Offsets {
        group: GroupId::from("g"),
        offsets: vec![(
            TopicPartition { topic: Arc::from("t"), partition: 2 },
            CommittedOffset {
                topic_id: TopicId([9; 16]),
                offset: Offset(42),
                leader_epoch: Some(LeaderEpoch(5)),
                committed_at: TimestampMs(1000),
                expires_at: None,
                metadata: Arc::from("note"),
            },
        )],
    };
    assert_eq!(Record::decode(&offsets), Ok(record.clone()));
    assert_eq!(&record.encode()[..], offsets);
}

#[test]
fn lies_cost_no_memory() {
    use DecodeError as E;
    let cases: &[(&[u8], E)] = &[
        (&[], E::Truncated { missing: 1 }),
        (&[2, 1], E::Version { version: 2 }),
        (&[1, 9], E::Kind { kind: 9 }),
        (&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f], E::Truncated { missing: u32::MAX as usize }),
        (&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x1f], E::Length),
        (&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x8f], E::Length),
        (&[1, 2, 1, 0xff], E::NotUtf8),
        (&[1, 3, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], E::Truncated { missing: u32::MAX as usize }),
        (&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], E::Flag { flag: 2 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(Record::decode(bytes).unwrap_err(), *error, "{bytes:?}");
    }
}
