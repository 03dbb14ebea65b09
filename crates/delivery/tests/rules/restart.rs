//! What a restart keeps.

use std::time::Duration;

use duolog_delivery::{AckKind, Advisory, Event, Start};
use duolog_types::Sequence;

use crate::harness::{FakeStream, Harness, SIZE, position, pull_config, push_config};

#[test]
fn what_is_pending_gets_a_full_new_ack_wait() {
    let mut host = Harness::with(push_config(), 1);
    host.step(Event::Interest(true));
    host.seconds(29);
    host.restart();
    host.step(Event::Interest(true));
    host.seconds(29);
    assert_eq!(host.delivered(), []);
    host.seconds(1);
    assert_eq!(host.delivered().len(), 1);
}

#[test]
fn a_refused_message_that_waits_for_its_turn_is_pending_after_a_restart() {
    let mut host = Harness::with(pull_config(), 1);
    host.pull("a", 1);
    host.nak(1, 1);
    host.restart();
    host.pull("b", 1);
    assert_eq!(host.delivered(), []);
    host.seconds(30);
    assert_eq!(host.delivered().len(), 1);
}

#[test]
fn floor_counts_and_exhaustion_survive() {
    let mut config = push_config();
    config.max_deliver = Some(2);
    let mut host = Harness::with(config, 3);
    host.step(Event::Interest(true));
    host.ack(1, 1);
    host.nak(2, 2);
    host.seconds(30);
    host.take();
    let (floor, pending) = (host.floor(), host.pending());
    host.restart();
    assert_eq!((host.floor(), host.pending()), (floor, pending));
    host.step(Event::Interest(true));
    host.seconds(30);
    let sequence = Sequence(3);
    assert_eq!(host.advisories(), [Advisory::MaxDeliveries { sequence, count: 2 }]);
    host.restart();
    host.step(Event::Interest(true));
    host.seconds(100);
    assert_eq!(host.take(), [], "told of once, not after a restart again");
    assert!(host.consumer.window().needs(Sequence(2)) && host.consumer.window().needs(Sequence(3)));
}

#[test]
fn numbers_go_on_after_a_clean_stop_and_are_never_given_again_after_a_crash() {
    let mut host = Harness::with(push_config(), 4);
    host.step(Event::Interest(true));
    host.step(Event::Interest(false));
    let before_crash = host.log.clone();
    host.log.extend(host.consumer.seal());
    host.restart();
    host.publish(1);
    host.seconds(1);
    host.step(Event::Interest(true));
    assert_eq!(host.delivered(), [(5, 5, 1)]);

    // The crash lost the delivery of all but the first message, but not the reservation.
    host.log = before_crash;
    let first = &mut host.log[1];
    assert_eq!(first.changes.len(), 5, "a reservation and four deliveries in one record");
    first.changes.truncate(2);
    host.restart();
    host.step(Event::Interest(true));
    let again = host.delivered();
    assert_eq!(again.iter().map(|(sequence, ..)| *sequence).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert!(again.iter().all(|(_, number, _)| *number > 5), "{again:?}");
}

#[test]
fn the_skip_list_survives_as_far_as_it_was_delivered() {
    let mut stream = FakeStream::default();
    for _ in 0..9 {
        stream.add(SIZE, Duration::ZERO);
    }
    let first = [2, 4, 6, 8].map(Sequence).to_vec();
    let start = Start { next: Sequence(10), first, last: Sequence(9) };
    let mut host = Harness::over(pull_config(), stream, start);
    assert_eq!(host.floor(), position(0, 1));
    host.pull("a", 2);
    host.take();
    host.restart();
    host.publish(1);
    host.pull("b", 9);
    let sequences: Vec<u64> = host.delivered().into_iter().map(|(sequence, ..)| sequence).collect();
    assert_eq!(sequences, [6, 8, 10]);
}

#[test]
fn a_snapshot_is_worth_the_records_before_it() {
    let mut config = push_config();
    config.max_deliver = Some(2);
    let mut host = Harness::with(config, 6);
    host.step(Event::Interest(true));
    host.ack(1, 1);
    host.ack(4, 4);
    host.say(5, 5, AckKind::Term { reason: None });
    host.nak(2, 2);
    host.nak(2, 7);
    host.step(Event::Interest(false));
    host.restart();
    let by_records = host.consumer.snapshot();
    host.log = vec![by_records.clone()];
    host.restart();
    assert_eq!(host.consumer.snapshot(), by_records);
}
