//! The protocol as bytes, over a pipe in memory: version negotiation and its traps, headers, Metadata's nulls.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use duolog_kafka::dispatch::APIS;
use duolog_kafka::errors::ErrorCode;
use duolog_kafka::message;
use duolog_kafka::session::close::CloseReason;
use kafka_wire::*;
use kafka_wire_core::{StrBytes, Uuid};
use support::{TestBroker, pipe};

fn name(name: &str) -> StrBytes {
    StrBytes::from(name)
}

fn request(key: i16, version: i16, rest: &[u8]) -> Vec<u8> {
    let mut frame = key.to_be_bytes().to_vec();
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7_i32.to_be_bytes());
    frame.extend_from_slice(rest);
    frame
}

/// A null client id.
const NO_CLIENT: &[u8] = &[0xff, 0xff];

#[tokio::test(flavor = "multi_thread")]
async fn api_versions_answers_unknown_versions_in_version_0_with_its_own_range() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    for version in [5_i16, 99, i16::MAX] {
        // A flexible header, and a body of whatever a later version may have.
        let frame = request(18, version, &[0xff, 0xff, 0, 3, b'a', b'b', 9, 9, 9]);
        pipe.wire.send_raw(&frame).await;
        let answer = pipe.wire.receive_raw().await.unwrap();
        let expected: &[u8] = &[0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
        assert_eq!(&answer[..], expected, "version {version}");
    }
    // The connection goes on, in a version that both know.
    let answer = pipe.wire.ask(&ApiVersionsRequest::default(), 0).await;
    assert_eq!(answer.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn api_versions_response_header_is_never_flexible() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    pipe.wire.send_raw(&request(18, 3, &[0xff, 0xff, 0, 2, b'x', 2, b'1', 0])).await;
    let answer = pipe.wire.receive_raw().await.unwrap();
    // Correlation id, no tagged fields, error code, compact array of the APIs.
    assert_eq!(&answer[..6], [0, 0, 0, 7, 0, 0]);
    assert_eq!(usize::from(answer[6]), APIS.len() + 1);
    // Metadata v9, for comparison: tagged fields behind the correlation id.
    pipe.wire.send_raw(&request(3, 9, &[0xff, 0xff, 0, 1, 0, 0, 0, 0])).await;
    let answer = pipe.wire.receive_raw().await.unwrap();
    assert_eq!(&answer[..9], [0, 0, 0, 7, 0, 0, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn produce_is_advertised_from_version_0_and_served_from_version_3() {
    let broker = TestBroker::new();
    let mut ok = pipe(&broker);
    for version in 0..=4 {
        let words = message!(ApiVersionsRequest {
            client_software_name: name("test-client"),
            client_software_version: name("1.0"),
        });
        let words = if version >= 3 { words } else { ApiVersionsRequest::default() };
        let answer = ok.wire.ask(&words, version).await;
        let produce = answer.api_keys.iter().find(|api| api.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
        assert!(answer.api_keys.is_sorted_by_key(|api| api.api_key));
    }
    for version in 0..3 {
        let mut refused = pipe(&broker);
        refused.wire.send_raw(&request(0, version, &[0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])).await;
        assert!(refused.wire.receive_raw().await.is_none());
        assert!(matches!(
            refused.session.await.unwrap(),
            CloseReason::UnsupportedVersion { api: "Produce", min: 3, max: 13, .. }
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_unstable_and_nothing_unserved_is_advertised() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    let answer = pipe.wire.ask(&ApiVersionsRequest::default(), 2).await;
    let init = answer.api_keys.iter().find(|api| api.api_key == 22).unwrap();
    assert_eq!(init.max_version, 5, "version 6 of InitProducerId is unstable");
    for absent in [4, 5, 6, 7, 17, 36, 38, 71, 72] {
        assert!(!answer.api_keys.iter().any(|api| api.api_key == absent), "key {absent}");
    }
    for api in &answer.api_keys {
        let schema = API_DESCRIPTORS.iter().find(|schema| schema.api_key.value() == api.api_key).unwrap();
        assert!(api.max_version <= schema.latest_stable_version().unwrap().value(), "key {}", api.api_key);
    }
    assert!(answer.supported_features.is_empty() && answer.finalized_features.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn client_software_is_checked_from_version_3() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    let mut ask = async |software: &str, version: &str| {
        let words = message!(ApiVersionsRequest {
            client_software_name: name(software),
            client_software_version: name(version),
        });
        pipe.wire.ask(&words, 3).await.error_code
    };
    assert_eq!(ask("librdkafka", "2.10.0-rc1").await, 0);
    assert_eq!(ask("", "1").await, ErrorCode::InvalidRequest.code());
    assert_eq!(ask("evil client", "1").await, ErrorCode::InvalidRequest.code());
    assert_eq!(ask("-x", "1").await, ErrorCode::InvalidRequest.code());
    assert_eq!(ask("x", "1.").await, ErrorCode::InvalidRequest.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_tagged_fields_are_ignored_in_header_and_body() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    // Header: client id "c", one tagged field 5 of 2 bytes. Body: Metadata v12, no topics, three flags, a tag.
    let frame = request(3, 12, &[0, 1, b'c', 1, 5, 2, 1, 2, 1, 0, 0, 1, 200, 1, 1, 9]);
    pipe.wire.send_raw(&frame).await;
    let answer = pipe.wire.receive_raw().await.unwrap();
    assert_eq!(&answer[..5], [0, 0, 0, 7, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_apis_unknown_versions_and_torn_requests_end_the_connection() {
    let broker = TestBroker::new();
    type Expected = fn(&CloseReason) -> bool;
    let table: &[(&str, Vec<u8>, Expected)] = &[
        ("unknown key", request(999, 0, NO_CLIENT), |r| {
            matches!(r, CloseReason::UnknownApi { key: 999, .. })
        }),
        ("inter-broker key", request(4, 1, NO_CLIENT), |r| {
            matches!(r, CloseReason::UnknownApi { key: 4, .. })
        }),
        ("before authentication", request(17, 1, NO_CLIENT), |r| matches!(r, CloseReason::UnknownApi { .. })),
        ("too new", request(3, 14, NO_CLIENT), |r| matches!(r, CloseReason::UnsupportedVersion { .. })),
        ("unstable", request(22, 6, NO_CLIENT), |r| matches!(r, CloseReason::UnsupportedVersion { .. })),
        ("negative", request(1, -1, NO_CLIENT), |r| matches!(r, CloseReason::UnsupportedVersion { .. })),
        ("no client id", request(3, 1, &[]), |r| matches!(r, CloseReason::Malformed { .. })),
        ("client id beyond the frame", request(3, 1, &[0x7f, 0xff, 1]), |r| {
            matches!(r, CloseReason::Malformed { .. })
        }),
        ("half a body", request(3, 1, &[0xff, 0xff, 0, 0]), |r| matches!(r, CloseReason::Malformed { .. })),
        ("a lying count", request(3, 1, &[0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]), |r| {
            matches!(r, CloseReason::Malformed { .. })
        }),
        ("a count within the limit that isn't there", request(3, 1, &[0xff, 0xff, 0, 1, 0xff, 0xff]), |r| {
            matches!(r, CloseReason::Malformed { .. })
        }),
        ("not UTF-8", request(3, 1, &[0xff, 0xff, 0, 0, 0, 1, 0, 2, 0xff, 0xfe]), |r| {
            matches!(r, CloseReason::Malformed { .. })
        }),
    ];
    for (what, frame, expected) in table {
        let mut pipe = pipe(&broker);
        pipe.wire.send_raw(frame).await;
        assert!(pipe.wire.receive_raw().await.is_none(), "{what}");
        let reason = pipe.session.await.unwrap();
        assert!(expected(&reason) && reason.is_bad_input(), "{what}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_tells_null_from_empty_as_each_version_does() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    broker.broker.catalog().get_or_create("there").unwrap();
    for version in 0..=13 {
        let none = message!(MetadataRequest { topics: Some(Vec::new()), allow_auto_topic_creation: true });
        let answer = pipe.wire.ask(&none, version).await;
        assert_eq!(answer.topics.len(), usize::from(version == 0), "version {version}: an empty list");
        if version >= 1 {
            let all = message!(MetadataRequest { topics: None, allow_auto_topic_creation: true });
            let answer = pipe.wire.ask(&all, version).await;
            assert_eq!(answer.topics.len(), 1, "version {version}: null");
            assert_eq!(answer.controller_id, 1);
        }
        assert_eq!((answer.brokers.len(), answer.brokers[0].port), (1, 9092));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_creates_what_may_be_created_only() {
    let broker = TestBroker::new();
    let mut pipe = pipe(&broker);
    let ask = |topic: &str, create: bool| {
        let topic = message!(metadata_request::MetadataRequestTopic { name: Some(name(topic)) });
        message!(MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: create })
    };
    let error = |answer: &MetadataResponse| answer.topics[0].error_code;
    let answer = pipe.wire.ask(&ask("new", false), 4).await;
    assert_eq!(error(&answer), ErrorCode::UnknownTopicOrPartition.code());
    let answer = pipe.wire.ask(&ask("new", true), 4).await;
    assert_eq!(error(&answer), 0);
    let answer = pipe.wire.ask(&ask("newer", true), 3).await;
    assert_eq!(error(&answer), 0, "before version 4 nobody is asked");
    let answer = pipe.wire.ask(&ask("no such name!", true), 4).await;
    assert_eq!(error(&answer), ErrorCode::InvalidTopic.code());
    let by_id = |id| {
        let topic = message!(metadata_request::MetadataRequestTopic { topic_id: Uuid::from_bytes(id) });
        message!(MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true })
    };
    let answer = pipe.wire.ask(&by_id([7; 16]), 12).await;
    assert_eq!(error(&answer), ErrorCode::UnknownTopicId.code());
    assert_eq!(answer.topics[0].name, None);
    let known = broker.broker.catalog().topic("new").unwrap();
    let answer = pipe.wire.ask(&by_id(known.id().0), 12).await;
    assert_eq!((error(&answer), answer.topics[0].name.as_deref()), (0, Some("new")));
    assert_eq!(answer.topics[0].topic_authorized_operations, i32::MIN);
}
