//! Ack wait, backoff, delivery limits and the bound on what is pending.

use std::time::Duration;

use duolog_delivery::{AckKind, Advisory, Effect, Event, SettledHow};
use duolog_types::Sequence;

use crate::harness::{Harness, position, pull_config, push_config};

#[test]
fn expired_messages_come_back_sorted_by_sequence() {
    let mut host = Harness::with(push_config(), 3);
    host.step(Event::Interest(true));
    host.take();
    host.seconds(1);
    host.say(1, 1, AckKind::Progress);
    host.seconds(1);
    host.say(2, 2, AckKind::Nak { delay: Some(Duration::from_secs(28)) });
    // Now 3 and 2 are due before 1; a late tick finds all of them.
    host.take();
    host.clock += Duration::from_secs(100);
    host.step(Event::Tick);
    assert_eq!(host.delivered(), [(1, 4, 2), (2, 5, 2), (3, 6, 2)]);
}

#[test]
fn backoff_replaces_the_ack_wait_and_its_last_repeats() {
    let mut config = push_config();
    config.backoff = [1, 5, 20].map(Duration::from_secs).to_vec();
    let mut host = Harness::with(config, 1);
    host.step(Event::Interest(true));
    host.take();
    for (wait, count) in [(1, 2), (5, 3), (20, 4), (20, 5)] {
        host.seconds(wait - 1);
        assert_eq!(host.delivered(), [], "before {wait}");
        host.seconds(1);
        assert_eq!(host.delivered(), [(1, u64::from(count), count)], "after {wait}");
    }
}

#[test]
fn the_last_allowed_delivery_is_told_of_once_at_its_expiry() {
    let mut config = push_config();
    config.max_deliver = Some(2);
    let mut host = Harness::with(config, 2);
    host.step(Event::Interest(true));
    host.ack(2, 2);
    host.seconds(30);
    assert_eq!(host.advisories(), []);
    host.seconds(30);
    assert_eq!(host.advisories(), [Advisory::MaxDeliveries { sequence: Sequence(1), count: 2 }]);
    assert_eq!(host.pending(), [0; 0]);
    assert_eq!(host.floor(), position(3, 2), "the floor passes it");
    assert!(host.consumer.window().needs(Sequence(1)), "and yet the stream keeps it");
    host.seconds(1000);
    assert_eq!(host.take(), []);
}

#[test]
fn a_nak_of_the_last_allowed_delivery_is_its_end() {
    let mut config = push_config();
    config.max_deliver = Some(1);
    let mut host = Harness::with(config, 1);
    host.step(Event::Interest(true));
    host.take();
    host.nak(1, 1);
    let told = host.advisories();
    assert_eq!(told.last(), Some(&Advisory::MaxDeliveries { sequence: Sequence(1), count: 1 }));
    let info = host.consumer.info(&mut host.stream);
    assert_eq!(info.redelivered, 0, "not reported where nothing is redelivered");
}

#[test]
fn a_late_ack_of_an_exhausted_message_settles_it() {
    let mut config = push_config();
    config.max_deliver = Some(1);
    let mut host = Harness::with(config, 1);
    host.step(Event::Interest(true));
    host.seconds(31);
    host.take();
    host.ack(1, 1);
    assert_eq!(host.settled(), [(1, SettledHow::Acknowledged)]);
    assert!(!host.consumer.window().needs(Sequence(1)));
}

#[test]
fn a_delivery_under_a_limit_leaves_after_its_count_is_durable() {
    for (limit, waits) in [(None, false), (Some(3), true)] {
        let mut config = pull_config();
        config.max_deliver = limit;
        let mut host = Harness::with(config, 1);
        host.pull("a", 1);
        let [Effect::Deliver(delivery)] = &host.take()[..] else { panic!() };
        assert_eq!(delivery.after_durable, waits);
    }
}

#[test]
fn max_ack_pending_blocks_new_messages_and_no_redelivery() {
    let mut config = push_config();
    config.max_ack_pending = Some(2);
    let mut host = Harness::with(config, 4);
    host.step(Event::Interest(true));
    assert_eq!(host.delivered(), [(1, 1, 1), (2, 2, 1)]);
    host.nak(1, 1);
    assert_eq!(host.delivered(), [(1, 3, 2)]);
    host.ack(2, 2);
    assert_eq!(host.delivered(), [(3, 4, 1)]);
}

#[test]
fn a_delayed_nak_still_counts_as_pending() {
    let mut config = push_config();
    config.max_ack_pending = Some(1);
    let mut host = Harness::with(config, 2);
    host.step(Event::Interest(true));
    host.say(1, 1, AckKind::Nak { delay: Some(Duration::from_secs(60)) });
    assert_eq!(host.delivered(), [(1, 1, 1)]);
    host.seconds(60);
    assert_eq!(host.delivered(), [(1, 2, 2)]);
}

#[test]
fn an_exhausted_message_makes_room_for_a_new_one() {
    let mut config = push_config();
    config.max_ack_pending = Some(1);
    config.max_deliver = Some(1);
    let mut host = Harness::with(config, 2);
    host.step(Event::Interest(true));
    host.take();
    host.seconds(30);
    assert_eq!(host.delivered(), [(2, 2, 1)]);
}

#[test]
fn a_shorter_ack_wait_counts_for_what_is_pending() {
    let mut host = Harness::with(push_config(), 1);
    host.step(Event::Interest(true));
    host.take();
    host.seconds(5);
    let mut config = push_config();
    config.ack_wait = Duration::from_secs(10);
    host.step(Event::Update { config: Box::new(config), redeliver: false });
    host.seconds(4);
    assert_eq!(host.delivered(), []);
    host.seconds(1);
    assert_eq!(host.delivered(), [(1, 2, 2)]);
}
