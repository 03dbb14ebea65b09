//! Replies as nats-server 2.15.1 sent them, byte for byte.

use std::collections::BTreeMap;

use super::super::account::{AccountLimits, ApiStats};
use super::super::consumer::{AckPolicy, ConsumerConfig, SequenceInfo};
use super::super::error::{INVALID_JSON, STREAM_NOT_FOUND};
use super::super::stream::{ClusterInfo, RePublish, StreamConfig, StreamState};
use super::*;

fn text<B: Body>(reply: &Reply<B>) -> String {
    String::from_utf8(encode_reply(reply)).unwrap()
}

fn time(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn stream() -> StreamInfo {
    StreamInfo {
        config: StreamConfig {
            name: "A".into(),
            description: "x<y>&".into(),
            subjects: vec!["a.>".into()],
            max_consumers: -1,
            max_msgs: -1,
            max_bytes: -1,
            max_age: Span(3_600_000_000_000),
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            num_replicas: 1,
            duplicate_window: Span(120_000_000_000),
            republish: Some(RePublish { src: "a.b".into(), dest: "r.b".into(), headers_only: false }),
            allow_direct: true,
            allow_rollup_hdrs: true,
            allow_msg_ttl: true,
            subject_delete_marker_ttl: Span(1_000_000_000),
            metadata: map(&[("_nats.level", "5"), ("b", "é\u{2028}"), ("z", "1")]),
            ..StreamConfig::default()
        },
        created: time("2026-11-23T19:59:53.646425831Z"),
        state: StreamState {
            messages: 3,
            bytes: 163,
            first_seq: 1,
            first_ts: time("2026-11-23T19:59:53.648655479Z"),
            last_seq: 3,
            last_ts: time("2026-11-23T19:59:53.64919564Z"),
            num_subjects: 2,
            subjects: [("a.1".to_string(), 2), ("a.2".to_string(), 1)].into(),
            ..StreamState::default()
        },
        cluster: Some(ClusterInfo { leader: "S1".into(), ..ClusterInfo::default() }),
        ts: time("2026-11-23T19:59:53.64934258Z"),
    }
}

#[test]
fn a_stream_is_written_as_the_reference_writes_it() {
    let page = Page { total: 2, offset: 0, limit: SUBJECTS_LIMIT };
    let config = concat!(
        r#""config":{"name":"A","description":"x\u003cy\u003e\u0026","subjects":["a.\u003e"],"retention":"limits","#,
        r#""max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":3600000000000,"max_msgs_per_subject":-1,"#,
        r#""max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"#,
        r#""compression":"none","republish":{"src":"a.b","dest":"r.b"},"allow_direct":true,"mirror_direct":false,"#,
        r#""sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":true,"consumer_limits":{},"#,
        r#""allow_msg_ttl":true,"subject_delete_marker_ttl":1000000000,"#,
        r#""metadata":{"_nats.level":"5","b":"é\u2028","z":"1"}},"created":"2026-11-23T19:59:53.646425831Z""#,
    );
    let expected = [
        r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","total":2,"offset":0,"limit":100000,"#,
        config,
        r#","state":{"messages":3,"bytes":163,"first_seq":1,"first_ts":"2026-11-23T19:59:53.648655479Z","#,
        r#""last_seq":3,"last_ts":"2026-11-23T19:59:53.64919564Z","num_subjects":2,"subjects":{"a.1":2,"a.2":1},"#,
        r#""consumer_count":0},"cluster":{"leader":"S1"},"ts":"2026-11-23T19:59:53.64934258Z"}"#,
    ];
    assert_eq!(text(&Ok(StreamInfoReply { page, info: Some(stream()) })), expected.concat());

    let empty = StreamInfo { state: StreamState::default(), cluster: None, ..stream() };
    let expected = [
        r#"{"type":"io.nats.jetstream.api.v1.stream_create_response","#,
        config,
        r#","state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0,"#,
        r#""last_ts":"0001-01-01T00:00:00Z","consumer_count":0},"ts":"2026-11-23T19:59:53.64934258Z","did_create":true}"#,
    ];
    assert_eq!(text(&Ok(StreamCreateReply { info: Some(empty), did_create: true })), expected.concat());
}

#[test]
fn deleted_sequences_stand_behind_their_number() {
    let state = StreamState { num_deleted: 1, deleted: vec![2], ..StreamState::default() };
    let mut out = Vec::new();
    state.encode(&mut out);
    assert!(String::from_utf8(out).unwrap().contains(r#""num_deleted":1,"deleted":[2],"consumer_count":0}"#));
}

#[test]
fn a_consumer_is_written_as_the_reference_writes_it() {
    let info = ConsumerInfo {
        stream_name: "A".into(),
        name: "d".into(),
        created: time("2026-11-23T19:59:53.653270518Z"),
        config: Some(ConsumerConfig {
            durable_name: "d".into(),
            name: "d".into(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Span(1_000_000_000),
            max_deliver: 3,
            backoff: vec![Span(1_000_000_000)],
            filter_subject: "a.>".into(),
            max_waiting: 512,
            max_ack_pending: 1000,
            metadata: map(&[("_nats.level", "5"), ("_nats.req.level", "0"), ("_nats.ver", "2.15.1")]),
            ..ConsumerConfig::default()
        }),
        delivered: SequenceInfo {
            consumer_seq: 2,
            stream_seq: 3,
            last_active: Some(time("2026-11-23T19:59:53.655439876Z")),
        },
        num_ack_pending: 2,
        ts: time("2026-11-23T19:59:54.657021161Z"),
        ..ConsumerInfo::default()
    };
    let expected = concat!(
        r#"{"type":"io.nats.jetstream.api.v1.consumer_info_response","stream_name":"A","name":"d","#,
        r#""created":"2026-11-23T19:59:53.653270518Z","config":{"durable_name":"d","name":"d","deliver_policy":"all","#,
        r#""ack_policy":"explicit","ack_wait":1000000000,"max_deliver":3,"backoff":[1000000000],"#,
        r#""filter_subject":"a.\u003e","replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"#,
        r#""num_replicas":0,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}},"#,
        r#""delivered":{"consumer_seq":2,"stream_seq":3,"last_active":"2026-11-23T19:59:53.655439876Z"},"#,
        r#""ack_floor":{"consumer_seq":0,"stream_seq":0},"num_ack_pending":2,"num_redelivered":0,"num_waiting":0,"#,
        r#""num_pending":0,"ts":"2026-11-23T19:59:54.657021161Z"}"#,
    );
    assert_eq!(text(&Ok(ConsumerInfoReply { info: Some(info) })), expected);
}

#[test]
fn an_error_stands_beside_the_empty_body() {
    let error = r#""error":{"code":404,"err_code":10059,"description":"stream not found"}"#;
    let start = |name: &str| format!(r#"{{"type":"io.nats.jetstream.api.v1.{name}_response",{error}"#);
    let refused = || STREAM_NOT_FOUND.error();
    for (encoded, expected) in [
        (text::<StreamCreateReply>(&Err(refused())), start("stream_create") + "}"),
        (
            text::<StreamInfoReply>(&Err(refused())),
            start("stream_info") + r#","total":0,"offset":0,"limit":0}"#,
        ),
        (
            text::<StreamNamesReply>(&Err(refused())),
            start("stream_names") + r#","total":0,"offset":0,"limit":0,"streams":null}"#,
        ),
        (
            text::<StreamListReply>(&Err(refused())),
            start("stream_list") + r#","total":0,"offset":0,"limit":0,"streams":[]}"#,
        ),
        (
            text::<ConsumerNamesReply>(&Err(refused())),
            start("consumer_names") + r#","total":0,"offset":0,"limit":0,"consumers":[]}"#,
        ),
        (text::<StreamPurgeReply>(&Err(refused())), start("stream_purge") + r#","purged":0}"#),
        (
            text::<ConsumerPauseReply>(&Err(refused())),
            start("consumer_pause") + r#","paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#,
        ),
        (text::<StreamRestoreReply>(&Err(refused())), start("stream_restore") + r#","deliver_subject":""}"#),
    ] {
        assert_eq!(encoded, expected);
    }
    assert_eq!(
        text::<StreamDeleteReply>(&Err(INVALID_JSON.because(r#"json: unknown field "x""#))),
        r#"{"type":"io.nats.jetstream.api.v1.stream_delete_response","error":{"code":400,"err_code":10025,"description":"invalid JSON: json: unknown field \"x\""}}"#,
    );
}

#[test]
fn the_account_and_a_message_are_written_as_the_reference_writes_them() {
    let info = AccountInfo {
        limits: AccountLimits::unlimited(),
        api: ApiStats { level: 5, total: 20, errors: 2, inflight: 0 },
        ..AccountInfo::default()
    };
    assert_eq!(
        text(&Ok(AccountInfoReply { info: Some(info) })),
        r#"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":0,"consumers":0,"limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false},"api":{"level":5,"total":20,"errors":2}}"#,
    );
    let time = time("2026-11-23T19:59:53.648655479Z");
    let message =
        StoredMessage { subject: "a.1".into(), seq: 1, hdrs: vec![], data: b"hello".to_vec(), time };
    assert_eq!(
        text(&Ok(MsgGetReply { message: Some(message.clone()) })),
        r#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"a.1","seq":1,"data":"aGVsbG8=","time":"2026-11-23T19:59:53.648655479Z"}}"#,
    );
    let message = StoredMessage { hdrs: b"NATS/1.0\r\nX: y\r\n\r\n".to_vec(), data: vec![], ..message };
    assert!(
        text(&Ok(MsgGetReply { message: Some(message) }))
            .contains(r#""hdrs":"TkFUUy8xLjANClg6IHkNCg0K","time""#)
    );
}
