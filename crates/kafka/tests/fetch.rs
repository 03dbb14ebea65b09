//! Fetch: waiting, bounds, sessions, rotation, and errors that come back.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use duolog_broker::catalog::NewTopic;
use duolog_kafka::errors::ErrorCode;
use duolog_kafka::message;
use kafka_wire::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_wire::fetch_response::PartitionData;
use kafka_wire::{FetchRequest, FetchResponse, ProduceRequest, produce_request};
use kafka_wire_core::{StrBytes, Uuid};
use support::{Piped, TestBroker, batch, pipe};

/// A version with topic names, sessions and leader epochs.
const BY_NAME: i16 = 12;
/// A version with topic ids.
const BY_ID: i16 = 17;

struct Fixture {
    broker: TestBroker,
    reader: Piped,
    writer: Piped,
    id: [u8; 16],
}

fn fixture(partitions: i32) -> Fixture {
    let broker = TestBroker::new();
    let new = NewTopic { name: "t".to_owned(), partitions: Some(partitions), ..NewTopic::default() };
    let topic = broker.broker.catalog().create(&new).unwrap().topic.unwrap();
    let (reader, writer) = (pipe(&broker), pipe(&broker));
    Fixture { broker, reader, writer, id: topic.id().0 }
}

impl Fixture {
    async fn produce(&mut self, partition: i32, values: &[&str]) -> i64 {
        let data = message!(produce_request::PartitionProduceData {
            index: partition,
            records: Some(batch(values))
        });
        let topic = message!(produce_request::TopicProduceData {
            name: StrBytes::from("t"),
            partition_data: vec![data],
        });
        let request = message!(ProduceRequest { acks: -1, topic_data: vec![topic] });
        let answer = self.writer.wire.ask(&request, 9).await;
        let one = &answer.responses[0].partition_responses[0];
        assert_eq!(one.error_code, 0);
        one.base_offset
    }

    fn topic(&self, wanted: &[(i32, i64)]) -> FetchTopic {
        let partition = |(partition, offset): &(i32, i64)| {
            message!(FetchPartition {
                partition: *partition,
                fetch_offset: *offset,
                current_leader_epoch: -1,
                last_fetched_epoch: -1,
                partition_max_bytes: 1 << 20,
            })
        };
        message!(FetchTopic {
            topic: StrBytes::from("t"),
            topic_id: Uuid::from_bytes(self.id),
            partitions: wanted.iter().map(partition).collect(),
        })
    }

    /// A fetch that doesn't wait.
    fn fetch(&self, session: (i32, i32), wanted: &[(i32, i64)]) -> FetchRequest {
        let topics = if wanted.is_empty() { Vec::new() } else { vec![self.topic(wanted)] };
        message!(FetchRequest {
            session_id: session.0,
            session_epoch: session.1,
            max_bytes: 10 << 20,
            min_bytes: 1,
            topics: topics,
        })
    }

    async fn ask(&mut self, request: &FetchRequest) -> FetchResponse {
        self.reader.wire.ask(request, BY_NAME).await
    }
}

fn partitions(answer: &FetchResponse) -> Vec<&PartitionData> {
    answer.responses.iter().flat_map(|topic| &topic.partitions).collect()
}

fn indexes(answer: &FetchResponse) -> Vec<i32> {
    partitions(answer).iter().map(|partition| partition.partition_index).collect()
}

fn bytes(partition: &PartitionData) -> usize {
    partition.records.as_ref().map_or(0, |records| records.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_fetch_is_answered_when_records_come() {
    let mut f = fixture(3);
    let mut request = f.fetch((0, -1), &[(0, 0), (1, 0), (2, 0)]);
    // Far longer than any test may take: it doesn't end by time.
    request.max_wait_ms = 60_000;
    f.reader.wire.send(&request, BY_NAME).await;
    f.produce(1, &["news"]).await;
    let answer = f.reader.wire.receive::<FetchRequest>(BY_NAME).await.unwrap();
    let with_records: Vec<i32> =
        partitions(&answer).iter().filter(|one| bytes(one) > 0).map(|one| one.partition_index).collect();
    assert_eq!(with_records, [1]);
    assert_eq!(answer.responses[0].partitions.len(), 3, "a full fetch answers for every partition");
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_fetch_waits_for_min_bytes_over_all_partitions() {
    let mut f = fixture(2);
    let mut request = f.fetch((0, -1), &[(0, 0), (1, 0)]);
    request.max_wait_ms = 60_000;
    let one = batch(&[&"v".repeat(1000)]).len();
    request.min_bytes = i32::try_from(2 * one).unwrap();
    f.reader.wire.send(&request, BY_NAME).await;
    f.produce(0, &[&"v".repeat(1000)]).await;
    f.produce(1, &[&"v".repeat(1000)]).await;
    let answer = f.reader.wire.receive::<FetchRequest>(BY_NAME).await.unwrap();
    let sizes: Vec<usize> = partitions(&answer).iter().map(|partition| bytes(partition)).collect();
    assert_eq!(sizes, [one, one], "neither batch alone was enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_fetch_is_answered_when_its_time_is_over() {
    let mut f = fixture(1);
    let mut request = f.fetch((0, -1), &[(0, 0)]);
    request.max_wait_ms = 30;
    let answer = f.ask(&request).await;
    assert_eq!((answer.error_code, bytes(partitions(&answer)[0])), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn first_batch_breaks_the_limits_and_later_ones_do_not() {
    let mut f = fixture(3);
    for partition in 0..3 {
        f.produce(partition, &[&"v".repeat(2000)]).await;
        f.produce(partition, &["small"]).await;
    }
    let mut request = f.fetch((0, -1), &[(0, 0), (1, 0), (2, 0)]);
    request.topics[0].partitions.iter_mut().for_each(|one| one.partition_max_bytes = 10);
    let answer = f.ask(&request).await;
    let sizes: Vec<usize> = partitions(&answer).iter().map(|partition| bytes(partition)).collect();
    assert!(sizes[0] > 2000, "whoever comes first gets on");
    assert_eq!(sizes[1..], [0, 0]);
    request.topics[0].partitions.iter_mut().for_each(|one| one.partition_max_bytes = 1 << 20);
    request.max_bytes = 2500;
    let answer = f.ask(&request).await;
    let total: usize = partitions(&answer).iter().map(|partition| bytes(partition)).sum();
    assert!((2000..=2500).contains(&total), "{total} bytes of 2500");
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_that_holds_the_offset_is_given_whole() {
    let mut f = fixture(1);
    f.produce(0, &["a", "b", "c", "d"]).await;
    let answer = f.ask(&f.fetch((0, -1), &[(0, 2)])).await;
    let records = partitions(&answer)[0].records.clone().unwrap();
    let header = duolog_record::BatchHeader::parse(&records).unwrap();
    assert_eq!((header.base_offset.0, header.record_count), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn session_tells_what_is_new_only() {
    let mut f = fixture(3);
    f.produce(0, &["a"]).await;
    let answer = f.ask(&f.fetch((0, 0), &[(0, 0), (1, 0), (2, 0)])).await;
    let id = answer.session_id;
    assert_ne!(id, 0);
    assert_eq!(indexes(&answer), [0, 1, 2]);
    // The client took partition 0's record.
    let answer = f.ask(&f.fetch((id, 1), &[(0, 1)])).await;
    assert_eq!(answer.session_id, id);
    assert_eq!(indexes(&answer), [] as [i32; 0], "nothing is new");
    let answer = f.ask(&f.fetch((id, 2), &[])).await;
    assert_eq!(indexes(&answer), [] as [i32; 0]);
    f.produce(2, &["b"]).await;
    let answer = f.ask(&f.fetch((id, 3), &[])).await;
    assert_eq!((indexes(&answer), bytes(partitions(&answer)[0]) > 0), (vec![2], true));
    // The client didn't take it: it comes again.
    let answer = f.ask(&f.fetch((id, 4), &[])).await;
    assert_eq!((indexes(&answer), bytes(partitions(&answer)[0]) > 0), (vec![2], true));
    let answer = f.ask(&f.fetch((id, 5), &[(2, 1)])).await;
    assert_eq!(indexes(&answer), [] as [i32; 0]);
    // Taken out of the session: its news aren't told any more.
    let mut request = f.fetch((id, 6), &[]);
    request.forgotten_topics_data =
        vec![message!(ForgottenTopic { topic: StrBytes::from("t"), partitions: vec![1] })];
    f.ask(&request).await;
    f.produce(1, &["c"]).await;
    f.produce(0, &["d"]).await;
    let answer = f.ask(&f.fetch((id, 7), &[])).await;
    assert_eq!(indexes(&answer), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_session_is_woken_by_any_of_its_partitions() {
    let mut f = fixture(50);
    let wanted: Vec<(i32, i64)> = (0..50).map(|partition| (partition, 0)).collect();
    let id = f.ask(&f.fetch((0, 0), &wanted)).await.session_id;
    f.ask(&f.fetch((id, 1), &[])).await;
    let mut taken = Vec::new();
    for (epoch, partition) in (2..).zip([49, 0, 17]) {
        let mut request = f.fetch((id, epoch), &taken);
        request.max_wait_ms = 60_000;
        f.reader.wire.send(&request, BY_NAME).await;
        f.produce(partition, &["news"]).await;
        let answer = f.reader.wire.receive::<FetchRequest>(BY_NAME).await.unwrap();
        assert_eq!(indexes(&answer), [partition]);
        taken = vec![(partition, 1)];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_a_session_take_turns() {
    let mut f = fixture(3);
    for partition in 0..3 {
        f.produce(partition, &[&"v".repeat(3000)]).await;
    }
    let mut request = f.fetch((0, 0), &[(0, 0), (1, 0), (2, 0)]);
    request.max_bytes = 1;
    let id = f.ask(&request).await.session_id;
    let mut served = Vec::new();
    for epoch in 1..=6 {
        let mut request = f.fetch((id, epoch), &[]);
        request.max_bytes = 1;
        let answer = f.ask(&request).await;
        served.extend(partitions(&answer).iter().filter(|one| bytes(one) > 0).map(|one| one.partition_index));
    }
    for partition in 0..3 {
        let turns = served.iter().filter(|one| **one == partition).count();
        assert_eq!(turns, 2, "partition {partition} of {served:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_session_come_again_until_they_are_gone() {
    let mut f = fixture(1);
    f.produce(0, &["a"]).await;
    let id = f.ask(&f.fetch((0, 0), &[(0, 1), (7, 0)])).await.session_id;
    for epoch in 1..=3 {
        let answer = f.ask(&f.fetch((id, epoch), &[])).await;
        let codes: Vec<(i32, i16)> =
            partitions(&answer).iter().map(|one| (one.partition_index, one.error_code)).collect();
        assert!(codes.contains(&(7, ErrorCode::UnknownTopicOrPartition.code())), "{codes:?}");
    }
    let answer = f.ask(&f.fetch((id, 4), &[(0, 99)])).await;
    assert!(partitions(&answer).iter().any(|one| one.error_code == ErrorCode::OffsetOutOfRange.code()));
    // The partition comes to be: the session that asked for it all along is told.
    let grow = duolog_broker::catalog::NewPartitions { topic: "t".to_owned(), total: 8, assignments: None };
    f.broker.broker.catalog().create_partitions(&grow, false).unwrap();
    f.produce(7, &["at last"]).await;
    let answer = f.ask(&f.fetch((id, 5), &[(0, 1)])).await;
    let well: Vec<i32> =
        partitions(&answer).iter().filter(|one| one.error_code == 0).map(|one| one.partition_index).collect();
    assert!(well.contains(&7) && well.contains(&0), "an error is forgotten once it is gone: {well:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_refused_by_id_epoch_and_kind_of_topic_names() {
    let mut f = fixture(1);
    let id = f.ask(&f.fetch((0, 0), &[(0, 0)])).await.session_id;
    assert_eq!(f.ask(&f.fetch((id ^ 1, 1), &[])).await.error_code, ErrorCode::FetchSessionIdNotFound.code());
    assert_eq!(f.ask(&f.fetch((id, 7), &[])).await.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    let by_id = f.reader.wire.ask(&f.fetch((id, 1), &[]), BY_ID).await;
    assert_eq!(by_id.error_code, ErrorCode::FetchSessionTopicIdError.code());
    let answer = f.ask(&f.fetch((id, -1), &[(0, 0)])).await;
    assert_eq!((answer.error_code, answer.session_id), (0, 0));
    assert_eq!(f.ask(&f.fetch((id, 1), &[])).await.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn session_of_a_client_that_went_away_while_parked_is_gone() {
    let mut f = fixture(1);
    let id = f.ask(&f.fetch((0, 0), &[(0, 0)])).await.session_id;
    let mut request = f.fetch((id, 1), &[]);
    request.max_wait_ms = 60_000;
    f.reader.wire.send(&request, BY_NAME).await;
    let Piped { wire, session, .. } = std::mem::replace(&mut f.reader, pipe(&f.broker));
    drop(wire);
    session.await.unwrap();
    // Another door: sessions belong to one. That the session ended without an answer is what is shown here.
    assert_eq!(f.ask(&f.fetch((id, 2), &[])).await.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_epochs_are_checked() {
    let mut f = fixture(1);
    f.produce(0, &["a"]).await;
    for (epoch, expected) in [(0, ErrorCode::None), (-1, ErrorCode::None), (1, ErrorCode::UnknownLeaderEpoch)]
    {
        let mut request = f.fetch((0, -1), &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let answer = f.reader.wire.ask(&request, BY_ID).await;
        let one = partitions(&answer)[0];
        assert_eq!(one.error_code, expected.code(), "current leader epoch {epoch}");
        assert_eq!(answer.node_endpoints.len(), usize::from(epoch == 1), "who leads is told with the error");
    }
    for (offset, epoch, diverging) in [(1, 0, None), (5, 0, Some((0, 1)))] {
        let mut request = f.fetch((0, -1), &[(0, offset)]);
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        let answer = f.reader.wire.ask(&request, BY_ID).await;
        let one = partitions(&answer)[0];
        let seen = (one.diverging_epoch.epoch, one.diverging_epoch.end_offset);
        assert_eq!((one.error_code, seen), (0, diverging.unwrap_or((-1, -1))), "offset {offset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_recreated_topic_is_another_topic() {
    let mut f = fixture(1);
    let by_id = f.reader.wire.ask(&f.fetch((0, 0), &[(0, 0)]), BY_ID).await.session_id;
    let old = f.broker.broker.catalog().topic("t").unwrap();
    f.broker.broker.catalog().delete(old.id()).unwrap();
    f.broker.broker.catalog().get_or_create("t").unwrap();
    f.produce(0, &["of the new one"]).await;
    let answer = f.reader.wire.ask(&f.fetch((by_id, 1), &[]), BY_ID).await;
    assert_eq!(partitions(&answer)[0].error_code, ErrorCode::UnknownTopicId.code());
    let answer = f.ask(&f.fetch((0, -1), &[(0, 0)])).await;
    assert!(bytes(partitions(&answer)[0]) > 0, "by name it is the new one");
}
