//! Retention, purges and deletions.

use duolog_delivery::{Advisory, Effect, Event, SettledHow};
use duolog_types::Sequence;

use crate::harness::{Harness, position, pull_config, push_config};

#[test]
fn a_purge_moves_the_position_the_floor_and_what_is_pending() {
    let mut host = Harness::with(push_config(), 4);
    host.step(Event::Interest(true));
    host.take();
    host.stream.messages.retain(|sequence, _| *sequence >= 4);
    host.step(Event::Purged { below: Sequence(4) });
    assert_eq!(host.pending(), [4]);
    assert_eq!(host.floor(), position(3, 3));
    assert_eq!(host.settled().len(), 3);
    host.stream.messages.clear();
    host.stream.last = 9;
    host.step(Event::Purged { below: Sequence(10) });
    assert_eq!(host.pending(), [0; 0]);
    assert_eq!(host.floor(), position(4, 9));
    assert_eq!(host.consumer.window().delivered(), position(4, 9));
    host.publish(1);
    assert_eq!(host.delivered(), [(10, 5, 1)]);
}

#[test]
fn a_purge_that_this_consumer_sees_in_part_is_looked_up() {
    let mut host = Harness::with(push_config(), 4);
    host.step(Event::Interest(true));
    host.take();
    host.stream.messages.remove(&2);
    host.stream.messages.remove(&3);
    host.step(Event::Recheck);
    assert_eq!(host.pending(), [1, 4]);
    assert_eq!(host.settled(), [(2, SettledHow::Gone), (3, SettledHow::Gone)]);
}

#[test]
fn a_deleted_message_that_is_pending_is_terminated() {
    let mut host = Harness::with(push_config(), 2);
    host.step(Event::Interest(true));
    host.take();
    host.stream.messages.remove(&1);
    host.step(Event::Deleted { sequence: Sequence(1) });
    assert!(matches!(host.advisories()[..], [Advisory::Terminated { gone: true, number: 1, count: 1, .. }]));
    assert_eq!(host.floor(), position(1, 1));
    host.step(Event::Deleted { sequence: Sequence(7) });
    assert_eq!(host.take(), []);
}

#[test]
fn a_message_that_is_gone_at_its_redelivery_is_left_out() {
    let mut host = Harness::with(pull_config(), 3);
    host.pull("a", 2);
    host.take();
    host.stream.messages.remove(&1);
    host.nak(1, 1);
    host.nak(2, 2);
    host.pull("b", 1);
    assert_eq!(host.delivered(), [(2, 3, 2)]);
    assert_eq!(host.pending(), [2]);
}

#[test]
fn retention_drops_what_it_removed_and_costs_nothing_otherwise() {
    let mut host = Harness::with(push_config(), 5);
    host.step(Event::Interest(true));
    for sequence in 1..=3 {
        host.ack(sequence, sequence);
    }
    let persisted = host.log.len();
    host.step(Event::Trimmed { first: Sequence(4) });
    assert_eq!(host.log.len(), persisted, "nothing of it was pending");
    host.take();
    host.stream.messages.retain(|sequence, _| *sequence >= 5);
    host.step(Event::Trimmed { first: Sequence(5) });
    assert_eq!(host.pending(), [5]);
    let told = Advisory::Terminated { sequence: Sequence(4), number: 4, count: 1, reason: None, gone: true };
    let effects = host.take();
    assert!(
        matches!(&effects[..], [Effect::Advisory(advisory), Effect::Settled { how: SettledHow::Gone, .. }] if *advisory == told),
        "{effects:?}"
    );
}
