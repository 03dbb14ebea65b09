//! Tables of what the reference does with a line, and the property that cuts don't matter.

use super::*;
use proptest::prelude::*;

fn limits() -> Limits {
    Limits { max_control_line: 64, max_payload: 1000 }
}

/// What a stream is: its operations (as text) and the error that ends it, fed in chunks.
fn run(chunks: &[&[u8]]) -> (Vec<String>, Option<ParseError>) {
    let mut parser = Parser::new(limits());
    let (mut buffer, mut ops) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            match parser.parse(&buffer[at..]) {
                Ok(Step::Op { op, used }) => {
                    assert!(used > 0 && at + used <= buffer.len());
                    ops.push(format!("{op:?}"));
                    at += used;
                }
                Ok(Step::More { needed }) => {
                    assert!(needed > buffer.len() - at);
                    assert!(needed <= 2 * 64 + 16 + 1 + 1000 + 4, "{needed} bytes wanted");
                    break;
                }
                Err(error) => return (ops, Some(error)),
            }
        }
        buffer.drain(..at);
    }
    (ops, None)
}

fn one(input: &[u8]) -> Op<'_> {
    match Parser::new(limits()).parse(input) {
        Ok(Step::Op { op, used }) => {
            assert_eq!(used, input.len());
            op
        }
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn error(input: &[u8]) -> ParseError {
    match Parser::new(limits()).parse(input) {
        Err(error) => error,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn publish<'a>(subject: &'a [u8], reply: Option<&'a [u8]>, headers: &'a [u8], payload: &'a [u8]) -> Op<'a> {
    Op::Publish(Publish { subject, reply, headers, payload, is_hpub: !headers.is_empty() })
}

#[test]
fn verbs_are_read_in_any_case_with_any_blanks() {
    assert_eq!(one(b"PUB a 2\r\nhi\r\n"), publish(b"a", None, b"", b"hi"));
    assert_eq!(one(b"pUb\t a \t r  2 \r\nhi\r\n"), publish(b"a", Some(b"r"), b"", b"hi"));
    assert_eq!(one(b"PUB a 2\nhi\r\n"), publish(b"a", None, b"", b"hi"));
    assert_eq!(one(b"PUB a 000\r\n\r\n"), publish(b"a", None, b"", b""));
    assert_eq!(
        one(b"hpub a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
        publish(b"a", Some(b"r"), b"NATS/1.0\r\n\r\n", b"hi")
    );
    assert_eq!(one(b"SUB a 1\r\n"), Op::Subscribe { subject: b"a", queue: None, sid: b"1" });
    assert_eq!(one(b"sub a.> q 1\r\n"), Op::Subscribe { subject: b"a.>", queue: Some(b"q"), sid: b"1" });
    assert_eq!(one(b"UNSUB 1\r\n"), Op::Unsubscribe { sid: b"1", max: None });
    assert_eq!(one(b"UNSUB 1 7\r\n"), Op::Unsubscribe { sid: b"1", max: Some(7) });
    assert_eq!(one(b"UNSUB 1 x\r\n"), Op::Unsubscribe { sid: b"1", max: None });
    assert_eq!(one(b"CONNECT {}\r\n"), Op::Connect(b"{}"));
    assert_eq!(one(b"CONNECT{}\r\n"), Op::Connect(b"{}"));
    assert_eq!(one(b"PING\r\n"), Op::Ping);
    assert_eq!(one(b"PINGxyz\r\n"), Op::Ping);
    assert_eq!(one(b"pong\n"), Op::Pong);
    assert_eq!(one(b"+OK\r\n"), Op::Ok);
    assert_eq!(one(b"-ERR 'x'\r\n"), Op::Err);
    assert_eq!(one(b"INFO {}\r\n"), Op::Info(b"{}"));
}

#[test]
fn hpub_without_header_bytes_has_none() {
    let Op::Publish(publish) = one(b"HPUB a 0 2\r\nhi\r\n") else { panic!("no publish") };
    assert!(publish.headers.is_empty() && publish.is_hpub && publish.payload == b"hi");
}

#[test]
fn what_is_no_verb_is_refused_at_its_first_wrong_byte() {
    for input in [
        &b"F"[..],
        b"\r",
        b"PX",
        b"PUBX",
        b"PUB\r",
        b"UNSUB\r",
        b"MSG",
        b"HMSG",
        b"RS+",
        b"CONNECX",
        b"-ERR\r",
    ] {
        assert_eq!(error(input), ParseError::UnknownOperation, "{}", input.escape_ascii());
        let (shorter, last) = input.split_at(input.len() - 1);
        assert!(!last.is_empty());
        if input.len() > 1
            && !input.starts_with(b"M")
            && !input.starts_with(b"HM")
            && !input.starts_with(b"R")
        {
            assert!(Parser::new(limits()).parse(shorter).is_ok(), "{}", shorter.escape_ascii());
        }
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for (input, verb) in [
        (&b"PUB a\r\n"[..], "PUB"),
        (b"PUB \r\n", "PUB"),
        (b"PUB a b c d\r\n", "PUB"),
        (b"PUB a x\r\n", "PUB"),
        (b"PUB a -1\r\n", "PUB"),
        (b"PUB a 1234567890\r\n", "PUB"),
        (b"HPUB a 1\r\n", "HPUB"),
        (b"HPUB a 3 2\r\n", "HPUB"),
        (b"HPUB a x 2\r\n", "HPUB"),
        (b"SUB a\r\n", "SUB"),
        (b"SUB a b c d\r\n", "SUB"),
        (b"UNSUB \r\n", "UNSUB"),
        (b"UNSUB 1 2 3\r\n", "UNSUB"),
    ] {
        assert_eq!(error(input), ParseError::Arguments { verb }, "{}", input.escape_ascii());
    }
}

#[test]
fn sizes_are_checked_before_the_payload_comes() {
    assert_eq!(error(b"PUB a 1001\r\n"), ParseError::Payload { size: 1001, limit: 1000 });
    assert_eq!(error(b"HPUB a 1 999999999\r\n"), ParseError::Payload { size: 999_999_999, limit: 1000 });
    assert_eq!(Parser::new(limits()).parse(b"PUB a 1000\r\n"), Ok(Step::More { needed: 12 + 1002 }));
}

#[test]
fn payload_must_end_where_it_says() {
    assert_eq!(error(b"PUB a 2\r\nhix"), ParseError::UnknownOperation);
    assert_eq!(error(b"PUB a 2\r\nhi\rx"), ParseError::UnknownOperation);
    let mut parser = Parser::new(limits());
    assert!(parser.parse(b"PUB a 2\r\nhi").is_ok());
    assert_eq!(parser.parse(b"PUB a 2\r\nhi\n"), Err(ParseError::UnknownOperation));
}

#[test]
fn control_lines_are_bounded_with_and_without_an_end() {
    let limit = ParseError::ControlLine { limit: 64 };
    let line = |arguments: usize| [b"PUB ", &vec![b'a'; arguments][..]].concat();
    assert!(Parser::new(limits()).parse(&line(64)).is_ok());
    assert!(Parser::new(limits()).parse(&[&line(64)[..], b"\r"].concat()).is_ok());
    assert_eq!(error(&line(65)), limit);
    assert_eq!(error(&[&line(65)[..], b"\r\n"].concat()), limit);
    assert_eq!(error(&[b"PUB", &[b' '; 200][..]].concat()), limit);
    assert_eq!(error(&[b"PING", &[b'x'; 65][..]].concat()), limit);
    assert_eq!(one(&[b"CONNECT ", &[b'{'; 64][..], b"\r\n"].concat()), Op::Connect(&[b'{'; 64]));
}

fn operation() -> impl Strategy<Value = Vec<u8>> {
    let word = || prop_oneof!["[a-c.*>]{1,6}", Just("\u{e9}\0".to_owned())];
    let blank = || prop_oneof![Just(" "), Just("\t "), Just("  ")];
    let end = || prop_oneof![4 => Just("\r\n"), 1 => Just("\n")];
    let payload = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (word(), blank(), proptest::option::of(word()), payload(), end()).prop_map(|(s, b, r, p, e)| {
            let reply = r.map(|reply| format!("{reply}{b}")).unwrap_or_default();
            [format!("PUB {s}{b}{reply}{}{e}", p.len()).as_bytes(), &p, b"\r\n"].concat()
        }),
        (word(), payload(), payload()).prop_map(|(s, h, p)| {
            [format!("hpub {s} {} {}\r\n", h.len(), h.len() + p.len()).as_bytes(), &h, &p, b"\r\n"].concat()
        }),
        (word(), blank(), end()).prop_map(|(s, b, e)| format!("SUB {s}{b}1{e}").into_bytes()),
        end().prop_map(|e| format!("UNSUB 1 2{e}").into_bytes()),
        end().prop_map(|e| format!("PING{e}").into_bytes()),
        Just(b"CONNECT {\"verbose\":false}\r\n".to_vec()),
        // What is wrong, rarely.
        proptest::collection::vec(any::<u8>(), 0..12),
        (0_usize..2000).prop_map(|n| format!("PUB a {n}\r\nxx").into_bytes()),
        Just([b"SUB ", &[b'a'; 90][..], b"\r\n"].concat()),
        Just(b"PUB a 1\r\nxyz\r\n".to_vec()),
    ]
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        operations in proptest::collection::vec(operation(), 0..8),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let stream = operations.concat();
        let whole = run(&[&stream]);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.push(stream.len());
        at.sort_unstable();
        let mut from = 0;
        let chunks: Vec<&[u8]> = at.iter().map(|&to| { let chunk = &stream[from..to]; from = to; chunk }).collect();
        prop_assert_eq!(&run(&chunks), &whole);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&run(&bytes), &whole);
    }
}
