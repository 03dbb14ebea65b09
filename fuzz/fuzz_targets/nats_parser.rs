//! Any bytes as a NATS client's stream: no panic, nothing asked for beyond the limits, and the same operations
//! whole as cut in two and byte by byte. Headers, subjects and CONNECT are read of whatever comes out.
#![no_main]

use duolog_nats_wire::headers::{self, Headers};
use duolog_nats_wire::{ConnectOptions, Limits, Op, ParseError, Parser, Step, subject};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_control_line: 256, max_payload: 4096 };

fn run<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Option<ParseError>) {
    let mut parser = Parser::new(LIMITS);
    let (mut buffer, mut ops) = (Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            match parser.parse(&buffer[at..]) {
                Ok(Step::Op { op, used }) => {
                    look(&op);
                    ops.push(format!("{op:?}"));
                    at += used;
                }
                Ok(Step::More { needed }) => {
                    assert!(needed > buffer.len() - at && needed <= 2 * 256 + 32 + 4096 + 2);
                    break;
                }
                Err(error) => return (ops, Some(error)),
            }
        }
        buffer.drain(..at);
    }
    (ops, None)
}

fn look(op: &Op<'_>) {
    match op {
        Op::Connect(json) => drop(ConnectOptions::default().apply(json)),
        Op::Publish(publish) => {
            if let Ok(read) = Headers::parse(publish.headers) {
                for (name, value) in &read.entries {
                    assert!(
                        headers::find(publish.headers, name).is_some()
                            || value.is_empty()
                            || name.contains(&b':')
                    );
                }
            }
            assert!(subject::is_valid_literal(publish.subject) <= subject::is_subscribable(publish.subject));
        }
        Op::Subscribe { subject, .. } => {
            if subject::is_valid(subject) {
                assert!(subject::is_subscribable(subject) && subject::overlaps(subject, subject));
                assert!(subject::is_subset(subject, b">"));
            }
        }
        _ => {}
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else { return };
    let whole = run(std::iter::once(stream));
    let (left, right) = stream.split_at(usize::from(*cut).min(stream.len()));
    assert_eq!(run([left, right].into_iter()), whole);
    assert_eq!(run(stream.chunks(1)), whole);
});
