//! What is delivered first.

use std::time::Duration;

use duolog_delivery::{Effect, Event, Start};
use duolog_types::Sequence;

use crate::harness::{FakeStream, Harness, SIZE, pull_config, push_config};

fn five(start: Start) -> Harness {
    let mut stream = FakeStream::default();
    for second in 0..5 {
        stream.add(SIZE, Duration::from_secs(second));
    }
    Harness::over(pull_config(), stream, start)
}

fn last_per_subject() -> Start {
    Start { next: Sequence(6), first: vec![Sequence(2), Sequence(4)], last: Sequence(5) }
}

#[test]
fn redeliveries_come_before_the_skip_list_and_that_before_the_stream() {
    let mut host = five(last_per_subject());
    host.publish(1);
    host.pull("a", 1);
    host.nak(2, 1);
    host.pull("a", 3);
    assert_eq!(host.delivered(), [(2, 1, 1), (2, 2, 2), (4, 3, 1), (6, 4, 1)]);
}

#[test]
fn what_is_gone_from_the_skip_list_is_left_out() {
    let mut host = five(last_per_subject());
    host.stream.messages.remove(&2);
    host.pull("a", 5);
    assert_eq!(host.delivered(), [(4, 1, 1)]);
}

#[test]
fn pending_is_what_remains_after_this_message() {
    let mut host = five(last_per_subject());
    host.publish(2);
    assert_eq!(host.consumer.info(&mut host.stream).pending, 4);
    host.pull("a", 9);
    let pending = host.picked(|effect| match effect {
        Effect::Deliver(delivery) => Some(delivery.pending),
        _ => None,
    });
    assert_eq!(pending, [3, 2, 1, 0]);
}

#[test]
fn a_consumer_may_begin_behind_the_end() {
    let mut host = five(Start { next: Sequence(8), first: vec![], last: Sequence(5) });
    host.pull("a", 9);
    host.publish(3);
    assert_eq!(host.delivered(), [(8, 1, 1)]);
}

#[test]
fn a_message_that_must_be_fetched_is_waited_for() {
    let mut host = Harness::with(push_config(), 3);
    host.stream.cold.insert(2);
    host.step(Event::Interest(true));
    assert_eq!(host.delivered(), [(1, 1, 1)]);
    host.stream.cold.clear();
    host.step(Event::Wake);
    assert_eq!(host.delivered(), [(2, 2, 1), (3, 3, 1)]);
}

#[test]
fn a_step_delivers_a_bounded_number_and_asks_to_be_called_again() {
    let mut host = Harness::with(push_config(), 600);
    host.step(Event::Interest(true));
    assert_eq!(host.effects.last(), Some(&Effect::More));
    assert_eq!(host.delivered().len(), 256);
    host.step(Event::Wake);
    host.step(Event::Wake);
    assert_eq!(host.delivered().len(), 600 - 256);
}
