//! What acknowledgements do.

use std::time::Duration;

use duolog_delivery::{Ack, AckKind, AckPolicy, Advisory, Effect, Event, SettledHow};
use duolog_types::Sequence;

use crate::harness::{Harness, position, pull_config, push_config, reply, request};

#[test]
fn the_floor_moves_only_when_the_lowest_pending_goes() {
    let mut host = Harness::with(pull_config(), 4);
    host.pull("a", 4);
    host.ack(2, 2);
    host.ack(3, 3);
    assert_eq!(host.floor(), position(0, 0));
    host.ack(1, 1);
    assert_eq!(host.floor(), position(3, 3), "just below the next pending one");
    host.ack(4, 4);
    assert_eq!(host.floor(), position(4, 4), "nothing pending: the last delivery");
}

#[test]
fn the_floor_is_below_the_first_delivery_of_the_next_pending() {
    let mut host = Harness::with(pull_config(), 3);
    host.pull("a", 2);
    host.nak(1, 1);
    host.pull("a", 2);
    assert_eq!(host.delivered(), [(1, 1, 1), (2, 2, 1), (1, 3, 2), (3, 4, 1)]);
    host.ack(1, 3);
    assert_eq!(host.floor(), position(1, 1));
    host.ack(2, 2);
    assert_eq!(host.floor(), position(3, 2), "number 3 was the redelivery of 1");
}

#[test]
fn a_repeated_ack_is_confirmed_again_and_changes_nothing() {
    let mut host = Harness::with(pull_config(), 1);
    host.pull("a", 1);
    let ack = Ack { sequence: Sequence(1), number: 1, kind: AckKind::Ack, reply: Some(reply("sure")) };
    host.step(Event::Ack(ack.clone()));
    let persisted = host.log.len();
    host.take();
    host.step(Event::Ack(ack));
    assert_eq!(host.take(), [Effect::Confirm { to: reply("sure") }]);
    assert_eq!(host.log.len(), persisted);
}

#[test]
fn an_ack_above_what_was_delivered_is_ignored_without_a_reply() {
    let mut host = Harness::with(pull_config(), 3);
    host.pull("a", 1);
    host.take();
    for kind in [AckKind::Ack, AckKind::Term { reason: None }] {
        let ack = Ack { sequence: Sequence(2), number: 2, kind, reply: Some(reply("sure")) };
        host.step(Event::Ack(ack));
    }
    assert_eq!(host.take(), []);
    assert_eq!(host.pending(), [1]);
}

#[test]
fn an_ack_of_sequence_zero_settles_nothing_and_is_confirmed_and_anything_else_is_not() {
    let mut host = Harness::with(pull_config(), 1);
    host.pull("a", 1);
    host.take();
    for (kind, confirmed) in
        [(AckKind::Nak { delay: None }, false), (AckKind::Progress, false), (AckKind::Ack, true)]
    {
        let ack = Ack { sequence: Sequence(0), number: 0, kind, reply: Some(reply("sure")) };
        host.step(Event::Ack(ack));
        assert_eq!(!host.take().is_empty(), confirmed);
    }
    assert_eq!(host.pending(), [1]);
}

#[test]
fn a_late_ack_of_an_earlier_delivery_still_acks() {
    let mut host = Harness::with(pull_config(), 1);
    host.pull("a", 1);
    host.seconds(31);
    host.ack(1, 1);
    host.pull("b", 1);
    assert_eq!(host.delivered(), [(1, 1, 1)], "not delivered again");
    assert_eq!(host.pending(), [0; 0]);
}

#[test]
fn progress_begins_the_wait_anew_and_does_not_count() {
    let mut host = Harness::with(push_config(), 1);
    host.step(Event::Interest(true));
    host.seconds(29);
    host.say(1, 1, AckKind::Progress);
    host.seconds(29);
    assert_eq!(host.delivered(), [(1, 1, 1)]);
    host.seconds(2);
    assert_eq!(host.delivered(), [(1, 2, 2)]);
}

#[test]
fn a_plain_nak_redelivers_at_once_and_ignores_backoff() {
    let mut config = push_config();
    config.backoff = vec![Duration::from_secs(5), Duration::from_secs(50)];
    let mut host = Harness::with(config, 1);
    host.step(Event::Interest(true));
    host.take();
    host.nak(1, 1);
    let nak = Advisory::Nak { sequence: Sequence(1), number: 1, count: 1 };
    let effects = host.take();
    assert_eq!(effects[0], Effect::Advisory(nak));
    assert!(matches!(&effects[1], Effect::Deliver(delivery) if delivery.count == 2));
}

#[test]
fn a_nak_with_a_delay_comes_back_after_it() {
    let mut host = Harness::with(push_config(), 1);
    host.step(Event::Interest(true));
    host.take();
    host.say(1, 1, AckKind::Nak { delay: Some(Duration::from_secs(7)) });
    host.seconds(6);
    assert_eq!(host.delivered(), []);
    host.seconds(1);
    assert_eq!(host.delivered(), [(1, 2, 2)]);
}

#[test]
fn a_backoff_skews_the_delay_of_a_nak_as_the_reference_does() {
    let mut config = push_config();
    config.ack_wait = Duration::from_secs(2);
    config.backoff = vec![Duration::from_secs(2), Duration::from_secs(10)];
    let mut host = Harness::with(config, 1);
    host.step(Event::Interest(true));
    host.nak(1, 1);
    host.take();
    // Second delivery: its wait is 10 s, 8 s more than the ack wait that the delay is counted from.
    host.say(1, 2, AckKind::Nak { delay: Some(Duration::from_secs(1)) });
    host.seconds(8);
    assert_eq!(host.delivered(), []);
    host.seconds(1);
    assert_eq!(host.delivered(), [(1, 3, 3)]);
}

#[test]
fn a_nak_of_what_is_not_pending_is_ignored() {
    let mut host = Harness::with(push_config(), 2);
    host.step(Event::Interest(true));
    host.ack(1, 1);
    host.take();
    host.nak(1, 1);
    host.nak(2, 9);
    host.nak(7, 2);
    assert_eq!(host.take(), []);
}

#[test]
fn term_acks_and_tells_why() {
    let mut host = Harness::with(pull_config(), 1);
    host.pull("a", 1);
    host.take();
    host.say(1, 1, AckKind::Term { reason: Some("poison".into()) });
    let effects = host.take();
    assert!(matches!(effects[0], Effect::Settled { how: SettledHow::Terminated, .. }));
    let Effect::Advisory(Advisory::Terminated { reason, count, gone, .. }) = &effects[1] else { panic!() };
    assert_eq!((reason.as_deref(), *count, *gone), (Some("poison"), 1, false));
    host.seconds(100);
    host.pull("a", 1);
    assert_eq!(host.delivered(), []);
}

#[test]
fn next_acks_and_asks_for_more_instead_of_a_confirmation() {
    let mut host = Harness::with(pull_config(), 3);
    host.pull("a", 1);
    host.take();
    let kind = AckKind::Next(request("b", 2));
    host.step(Event::Ack(Ack { sequence: Sequence(1), number: 1, kind, reply: Some(reply("b")) }));
    assert_eq!(host.served(), [("b".into(), 2), ("b".into(), 3)]);
    assert_eq!(host.pending(), [2, 3]);
}

#[test]
fn ack_all_acks_everything_up_to_it() {
    let mut config = pull_config();
    config.ack = AckPolicy::All;
    let mut host = Harness::with(config, 5);
    host.pull("a", 4);
    host.take();
    host.ack(3, 3);
    assert_eq!(host.floor(), position(3, 3));
    assert_eq!(host.pending(), [4]);
    assert_eq!(host.settled().iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 2, 3]);
    host.ack(2, 2);
    assert_eq!(host.floor(), position(3, 3), "never back");
    host.ack(4, u64::MAX);
    assert_eq!(host.floor(), position(4, 4), "a number that was never given out is not believed");
}

#[test]
fn ack_none_is_done_at_delivery() {
    let mut config = push_config();
    config.ack = AckPolicy::None;
    let mut host = Harness::with(config, 3);
    host.step(Event::Interest(true));
    assert_eq!(host.floor(), position(3, 3));
    assert_eq!(host.pending(), [0; 0]);
    let settled = host.settled();
    assert_eq!(settled.len(), 3);
    assert!(settled.iter().all(|(_, how)| *how == SettledHow::Delivered));
    host.seconds(1000);
    assert_eq!(host.delivered(), []);
}
