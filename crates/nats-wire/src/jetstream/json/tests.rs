//! Bytes captured from nats-server 2.15.1: what it answers to what it can't take, and what it writes.

use super::super::consumer::{ConsumerAction, CreateConsumerRequest};
use super::super::request::{MsgGetRequest, StreamNamesRequest};
use super::super::stream::{Discard, Retention, Storage, StreamConfigRequest};
use super::super::time::{Span, Time};

fn stream_error(body: &[u8]) -> String {
    StreamConfigRequest::decode(body).unwrap_err().to_string()
}

#[test]
fn what_is_not_json_is_refused_in_the_reference_s_words() {
    let deep = "[".repeat(20_000);
    for (body, message) in [
        ("{", "unexpected EOF"),
        (r#"{"x":nul"#, "unexpected EOF"),
        (r#"{"name":"A"#, "unexpected EOF"),
        (r#"{"name""#, "unexpected EOF"),
        (r#"{"name":}"#, "invalid character '}' looking for beginning of value at offset 9"),
        (r#"{"name":"A",}"#, "invalid character '}' looking for beginning of object key string at offset 13"),
        ("nope", "invalid character 'o' in literal null (expecting 'u') at offset 2"),
        (r#"{"name":"A"}x"#, "invalid character 'x' looking for beginning of value at offset 13"),
        (r#"{"name":"A"}}"#, "invalid character '}' looking for beginning of value at offset 13"),
        (r#"{"name":"\q"}"#, r"invalid escape sequence `\q` in string at offset 11"),
        ("{\"name\":\"a\nb\"}", r"invalid character '\n' in string at offset 11"),
        (r#"{"name":"\u12x"}"#, r#"invalid escape sequence `\u12x"` in string at offset 15"#),
        (r#"{"x":01}"#, "invalid character '1' after object key:value pair at offset 7"),
        (r#"{"x":-}"#, "invalid character '}' in numeric literal at offset 7"),
        (r#"{"x":1.}"#, "invalid character '}' in numeric literal at offset 8"),
        (r#"{"x":1e}"#, "invalid character '}' in numeric literal at offset 8"),
        (r#"{"x":tru}"#, "invalid character '}' in literal true (expecting 'e') at offset 9"),
        (r#"{"name" "x"}"#, "invalid character '\"' after object key at offset 9"),
        (r#"{"name":"x" "y"}"#, "invalid character '\"' after object key:value pair at offset 13"),
        ("[1 2]", "invalid character '2' after array element at offset 4"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string at offset 2"),
        ("{'a':1}", r"invalid character '\'' looking for beginning of object key string at offset 2"),
        ("\0", r"invalid character '\x00' looking for beginning of value at offset 1"),
        ("é", "invalid character 'é' looking for beginning of value at offset 2"),
        (&deep, "exceeded max depth at offset 10001"),
    ] {
        assert_eq!(stream_error(body.as_bytes()), message, "{}", &body[..body.len().min(80)]);
    }
}

#[test]
fn what_does_not_fit_is_refused_in_the_reference_s_words() {
    let field = "json: cannot unmarshal";
    for (body, message) in [
        (r#"{"name":"A","foo":1}"#, r#"json: unknown field "foo""#.to_string()),
        (r#"{"é":1}"#, r#"json: unknown field "é""#.into()),
        (r#"{"a\u003eb":1}"#, r#"json: unknown field "a>b""#.into()),
        (r#"{"a\"b":1}"#, r#"json: unknown field "a\"b""#.into()),
        (r#"{"name":"A"} {"foo":1}"#, r#"json: unknown field "foo""#.into()),
        (r#"{"a":1,"max_msgs":"x"}"#, r#"json: unknown field "a""#.into()),
        (
            r#"{"max_msgs":"x","a":1}"#,
            format!("{field} string into Go struct field StreamConfigRequest.max_msgs of type int64"),
        ),
        (r#"{"consumer_limits":{"x":1}}"#, r#"json: unknown field "x""#.into()),
        (r#"{"sources":[{"foo":5}]}"#, r#"json: unknown field "foo""#.into()),
        ("[]", format!("{field} array into Go value of type server.StreamConfigRequest")),
        ("5", format!("{field} number into Go value of type server.StreamConfigRequest")),
        (
            r#"{"name":1}"#,
            format!("{field} number into Go struct field StreamConfigRequest.name of type string"),
        ),
        (
            r#"{"subjects":"x"}"#,
            format!("{field} string into Go struct field StreamConfigRequest.subjects of type []string"),
        ),
        (r#"{"subjects":[1]}"#, format!("{field} number into StreamConfigRequest.subjects.0 of type string")),
        (
            r#"{"max_msgs":1.5}"#,
            format!("{field} number 1.5 into Go struct field StreamConfigRequest.max_msgs of type int64"),
        ),
        (
            r#"{"max_msgs":1e2}"#,
            format!("{field} number 1e2 into Go struct field StreamConfigRequest.max_msgs of type int64"),
        ),
        (
            r#"{"max_msg_size":99999999999}"#,
            format!(
                "{field} number 99999999999 into Go struct field StreamConfigRequest.max_msg_size of type int32"
            ),
        ),
        (
            r#"{"first_seq":-1}"#,
            format!("{field} number -1 into Go struct field StreamConfigRequest.first_seq of type uint64"),
        ),
        (
            r#"{"max_msgs":true}"#,
            format!("{field} bool into Go struct field StreamConfigRequest.max_msgs of type int64"),
        ),
        (
            r#"{"no_ack":5}"#,
            format!("{field} number into Go struct field StreamConfigRequest.no_ack of type bool"),
        ),
        (
            r#"{"max_age":"5s"}"#,
            format!("{field} string into Go struct field StreamConfigRequest.max_age of type time.Duration"),
        ),
        (
            r#"{"placement":5}"#,
            format!(
                "{field} number into Go struct field StreamConfigRequest.placement of type server.Placement"
            ),
        ),
        (
            r#"{"placement":{"cluster":5}}"#,
            format!(
                "{field} number into Go struct field StreamConfigRequest.placement.cluster of type string"
            ),
        ),
        (
            r#"{"sources":{}}"#,
            format!(
                "{field} object into Go struct field StreamConfigRequest.sources of type []*server.StreamSource"
            ),
        ),
        (
            r#"{"sources":[{"name":5}]}"#,
            format!("{field} number into Go struct field StreamConfigRequest.sources.0.name of type string"),
        ),
        (
            r#"{"metadata":{"a":5}}"#,
            format!("{field} number into Go struct field StreamConfigRequest.metadata.a of type string"),
        ),
        (
            r#"{"metadata":[]}"#,
            format!(
                "{field} array into Go struct field StreamConfigRequest.metadata of type map[string]string"
            ),
        ),
        (
            r#"{"consumer_limits":{"max_ack_pending":"x"}}"#,
            format!(
                "{field} string into Go struct field StreamConfigRequest.consumer_limits.max_ack_pending of type int"
            ),
        ),
        (
            r#"{"mirror":{"opt_start_time":5}}"#,
            format!(
                "{field} number into Go struct field StreamConfigRequest.mirror.opt_start_time of type time.Time"
            ),
        ),
        (r#"{"retention":"x"}"#, r#"can not unmarshal "\"x\"""#.into()),
        (r#"{"retention":null}"#, r#"can not unmarshal "null""#.into()),
        (r#"{"compression":"x"}"#, "unknown compression algorithm".into()),
    ] {
        assert_eq!(stream_error(body.as_bytes()), message, "{body}");
    }
    for (body, message) in [
        (
            r#"{"config":{"backoff":["x"]}}"#,
            "json: cannot unmarshal string into CreateConsumerRequest.config.backoff.0 of type time.Duration",
        ),
        (
            r#"{"config":{"backoff":5}}"#,
            "json: cannot unmarshal number into Go struct field CreateConsumerRequest.config.backoff of type []time.Duration",
        ),
        (
            r#"{"config":{"ack_wait":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field CreateConsumerRequest.config.ack_wait of type time.Duration",
        ),
        (r#"{"config":{"priority_policy":"x"}}"#, r#"unknown priority policy: "x""#),
        (r#"{"action":"x"}"#, r#"unknown consumer action: "x""#),
        (
            r#"{"config":[]}"#,
            "json: cannot unmarshal array into Go struct field CreateConsumerRequest.config of type server.ConsumerConfig",
        ),
    ] {
        assert_eq!(CreateConsumerRequest::decode(body.as_bytes()).unwrap_err().to_string(), message);
    }
    let refused = StreamNamesRequest::decode(br#"{"offset":"x"}"#).unwrap_err().to_string();
    assert_eq!(
        refused,
        "json: cannot unmarshal string into Go struct field JSApiStreamNamesRequest.offset of type int"
    );
    assert!(MsgGetRequest::decode(br#"{"foo":1}"#).is_err());
    assert_eq!(MsgGetRequest::decode_lenient(br#"{"foo":{"seq":[]},"seq":3}"#).unwrap().seq, 3);
}

#[test]
fn what_fits_is_taken_as_the_reference_takes_it() {
    let request = StreamConfigRequest::decode(
        br#" {"NAME":"A","subjects":["a.>","b"],"retention":"workqueue","discard":"NEW","storage":"memory","max_age":5,
            "metadata":{"k":"v"},"pedantic":true,"allow_direct":null,"max_msgs":-1} "#,
    )
    .unwrap();
    let config = &request.config;
    assert_eq!((config.name.as_str(), config.subjects.len()), ("A", 2));
    assert_eq!(
        (config.retention, config.discard, config.storage),
        (Retention::WorkQueue, Discard::New, Storage::Memory)
    );
    assert_eq!((config.max_age, config.max_msgs, request.pedantic), (Span(5), -1, true));
    assert_eq!(config.metadata["k"], "v");
    assert_eq!(StreamConfigRequest::decode(b"").unwrap(), StreamConfigRequest::default());
    assert_eq!(StreamConfigRequest::decode(b"null").unwrap(), StreamConfigRequest::default());
    assert_eq!(StreamConfigRequest::decode(br#"{"name":"A"}{"name":"B"}"#).unwrap().config.name, "B");

    let consumer = CreateConsumerRequest::decode(
        br#"{"stream_name":"A","action":"create","config":{"opt_start_time":"2020-01-01T00:00:00Z","deliver_policy":"undefined"}}"#,
    )
    .unwrap();
    assert_eq!(consumer.action, ConsumerAction::Create);
    assert_eq!(consumer.config.opt_start_time, Some(Time::from_nanos(1_577_836_800_000_000_000)));
}

#[test]
fn escapes_come_and_go() {
    let name = |body: &str| StreamConfigRequest::decode(body.as_bytes()).unwrap().config.name;
    assert_eq!(name(r#"{"name":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#), "\"\\/\u{8}\u{c}\n\r\té😀");
    assert_eq!(name(r#"{"name":"\ud83dx\ude00"}"#), "\u{fffd}x\u{fffd}");
    assert_eq!(StreamConfigRequest::decode(b"{\"name\":\"a\xffb\"}").unwrap().config.name, "a\u{fffd}b");
    let text = "x<y>&\u{2028}\u{1}\u{8}\"\\é";
    let encoded = MsgGetRequest { last_by_subj: text.into(), ..MsgGetRequest::default() }.encode();
    let expected: &[u8] = b"{\"last_by_subj\":\"x\\u003cy\\u003e\\u0026\\u2028\\u0001\\b\\\"\\\\\xc3\xa9\"}";
    assert_eq!(encoded, expected);
    assert_eq!(MsgGetRequest::decode(&encoded).unwrap().last_by_subj, text);
}

#[test]
fn an_array_without_end_is_refused() {
    let body = format!(r#"{{"sources":[{}{{}}]}}"#, "{},".repeat(super::decode::MAX_ELEMENTS));
    assert!(stream_error(body.as_bytes()).contains("more than 65536 elements"));
}

mod properties {
    use proptest::prelude::*;

    use super::super::super::ack::{AckKind, AckSubject};
    use super::super::super::consumer::CreateConsumerRequest;
    use super::super::super::pull::PullRequest;
    use super::super::super::stream::StreamConfigRequest;

    proptest! {
        /// Whatever comes in, nothing panics; what is taken is taken again from what we write.
        #[test]
        fn any_bytes_are_taken_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = StreamConfigRequest::decode(&body) {
                prop_assert_eq!(StreamConfigRequest::decode(&request.encode()).unwrap(), request);
            }
            let _ = CreateConsumerRequest::decode(&body);
            let _ = PullRequest::parse(&body);
            let _ = AckKind::parse(&body);
            if let Ok(text) = std::str::from_utf8(&body) {
                let _ = AckSubject::parse(text);
                let _ = super::Time::parse(text);
                let _ = super::Span::parse(text);
            }
        }

        /// Texts near to JSON, so that more than the first byte is looked at; serde_json agrees on what is JSON.
        #[test]
        fn a_text_is_json_for_us_if_it_is_for_others(text in r#"[\[\]{},:"\\a-c0-2.eE+\-tn \n]{0,24}"#) {
            let ours = super::super::scan::scan_value(text.as_bytes(), 0)
                .is_ok_and(|end| super::super::scan::skip_space(text.as_bytes(), end) == text.len());
            prop_assert_eq!(ours, serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }

        /// Every text survives both ways.
        #[test]
        fn every_text_survives(text in any::<String>(), key in any::<String>()) {
            let mut request = StreamConfigRequest::default();
            request.config.description = text.clone();
            request.config.metadata.insert(key, text);
            prop_assert_eq!(StreamConfigRequest::decode(&request.encode()).unwrap(), request);
        }

        /// Times survive both ways.
        #[test]
        fn every_time_survives(nanos in any::<i64>()) {
            let time = super::Time::from_nanos(nanos);
            prop_assert_eq!(super::Time::parse(&time.to_string()).unwrap(), time);
            prop_assert_eq!(time.to_nanos(), nanos);
            prop_assert_eq!(super::Span::parse(&super::Span(nanos).to_string()).is_some(), nanos != i64::MIN);
        }
    }
}
