//! Pull requests: turns, bounds and every status.

use std::time::Duration;

use duolog_delivery::{Config, Effect, Event, Mode, PullConfig, PullRequest, Status};
use duolog_types::Sequence;

use crate::harness::{Harness, pull_config, push_config, reply, request};

const SECOND: Duration = Duration::from_secs(1);

fn with_limits(limits: PullConfig) -> Config {
    Config { mode: Mode::Pull(limits), ..pull_config() }
}

fn status(name: &str, status: Status) -> Effect {
    Effect::Status { to: reply(name), status }
}

#[test]
fn requests_are_served_in_turn_one_message_each() {
    let mut host = Harness::new(pull_config());
    host.pull("a", 2);
    host.pull("b", 3);
    host.publish(5);
    let turns: String = host.served().into_iter().map(|(name, _)| name).collect();
    assert_eq!(turns, "ababb");
}

#[test]
fn a_request_that_nobody_listens_for_is_dropped_silently() {
    let mut host = Harness::new(pull_config());
    host.pull("a", 2);
    host.pull("b", 1);
    host.stream.deaf.insert(reply("a"));
    host.publish(2);
    assert_eq!(host.served(), [("b".into(), 1)]);
    assert!(!host.consumer.wants_messages());
}

#[test]
fn a_request_expires_with_what_it_still_waited_for() {
    let mut host = Harness::with(pull_config(), 1);
    let request = PullRequest { expires: Some(5 * SECOND), max_bytes: Some(500), ..request("a", 3) };
    host.step(Event::Pull(request));
    host.pass(5 * SECOND);
    assert_eq!(host.statuses(), [("a".into(), Status::Timeout { messages: 2, bytes: 400 })]);
}

#[test]
fn no_wait_with_nothing_there_is_told_at_once() {
    let mut host = Harness::new(pull_config());
    host.step(Event::Pull(PullRequest { no_wait: true, ..request("a", 5) }));
    assert_eq!(host.take(), [status("a", Status::NoMessages)]);
}

#[test]
fn no_wait_gets_a_part_of_its_batch_and_then_no_messages() {
    let mut host = Harness::with(pull_config(), 2);
    host.step(Event::Pull(PullRequest { no_wait: true, ..request("a", 5) }));
    let effects = host.take();
    assert_eq!(effects.len(), 3);
    assert_eq!(effects[2], status("a", Status::NoMessages));
}

#[test]
fn no_wait_with_expires_waits_for_the_first_message_only() {
    let mut host = Harness::new(pull_config());
    host.step(Event::Pull(PullRequest { no_wait: true, expires: Some(10 * SECOND), ..request("a", 5) }));
    assert_eq!(host.take(), []);
    host.publish(1);
    assert_eq!(host.statuses(), [("a".into(), Status::NoMessages)]);
}

#[test]
fn no_wait_is_refused_if_others_wait_for_more_than_there_is() {
    let mut config = pull_config();
    config.max_ack_pending = Some(1);
    let mut host = Harness::with(config, 4);
    host.pull("a", 10);
    host.take();
    host.step(Event::Pull(PullRequest { no_wait: true, ..request("b", 1) }));
    assert_eq!(host.take(), [status("b", Status::RequestsPending)]);
}

#[test]
fn one_shots_do_not_end_because_too_much_is_pending() {
    let mut config = pull_config();
    config.max_ack_pending = Some(1);
    let mut host = Harness::with(config, 3);
    host.pull("a", 1);
    host.step(Event::Pull(PullRequest { no_wait: true, ..request("b", 1) }));
    assert_eq!(host.statuses(), []);
    host.ack(1, 1);
    assert_eq!(host.served(), [("b".into(), 2)]);
}

#[test]
fn too_many_requests_are_told_so_unless_they_want_heartbeats() {
    let mut host = Harness::new(with_limits(PullConfig { max_waiting: 1, ..PullConfig::default() }));
    host.pull("a", 1);
    host.pull("b", 1);
    assert_eq!(host.take(), [status("b", Status::ExceededMaxWaiting)]);
    let quiet = PullRequest { heartbeat: Some(SECOND), expires: Some(10 * SECOND), ..request("c", 1) };
    host.step(Event::Pull(quiet));
    assert_eq!(host.take(), []);
}

#[test]
fn a_full_queue_makes_room_by_forgetting_those_that_left() {
    let mut host = Harness::new(with_limits(PullConfig { max_waiting: 1, ..PullConfig::default() }));
    host.pull("a", 1);
    host.stream.deaf.insert(reply("a"));
    host.pull("b", 1);
    assert_eq!(host.take(), []);
    host.publish(1);
    assert_eq!(host.served(), [("b".into(), 1)]);
}

#[test]
fn limits_of_the_consumer_are_kept() {
    let limits =
        PullConfig { max_waiting: 9, max_batch: Some(10), max_expires: Some(SECOND), max_bytes: Some(1000) };
    let mut host = Harness::new(with_limits(limits));
    host.pull("a", 11);
    host.step(Event::Pull(PullRequest { expires: Some(2 * SECOND), ..request("b", 1) }));
    host.step(Event::Pull(PullRequest { max_bytes: Some(1001), ..request("c", 1) }));
    host.step(Event::Pull(PullRequest { heartbeat: Some(SECOND), expires: Some(SECOND), ..request("d", 1) }));
    assert_eq!(
        host.take(),
        [
            status("a", Status::ExceededMaxBatch { limit: 10 }),
            status("b", Status::ExceededMaxExpires { limit: SECOND }),
            status("c", Status::ExceededMaxBytes { limit: 1000 }),
            status("d", Status::HeartbeatTooLarge),
        ]
    );
}

#[test]
fn a_push_consumer_takes_no_requests() {
    let mut host = Harness::new(push_config());
    host.pull("a", 1);
    assert_eq!(host.take(), [status("a", Status::PushBased)]);
}

#[test]
fn max_bytes_counts_the_message_and_its_envelope() {
    let mut host = Harness::with(pull_config(), 5);
    host.stream.envelope_bytes = 20;
    host.step(Event::Pull(PullRequest { max_bytes: Some(250), ..request("a", 5) }));
    let effects = host.take();
    assert_eq!(effects.len(), 3, "two messages of 120 bytes, and the end");
    assert_eq!(effects[2], status("a", Status::MessageTooLarge { messages: 3, bytes: 10 }));
}

#[test]
fn a_message_that_one_request_cannot_take_goes_to_the_next() {
    let mut host = Harness::new(pull_config());
    host.step(Event::Pull(PullRequest { max_bytes: Some(10), ..request("small", 1) }));
    host.pull("large", 1);
    host.publish(1);
    let effects = host.take();
    assert_eq!(effects[0], status("small", Status::MessageTooLarge { messages: 1, bytes: 10 }));
    assert!(matches!(&effects[1], Effect::Deliver(_)));
}

#[test]
fn a_batch_that_is_full_with_bytes_left_is_completed() {
    let mut host = Harness::with(pull_config(), 5);
    host.step(Event::Pull(PullRequest { max_bytes: Some(250), ..request("a", 2) }));
    let completed = Status::BatchCompleted { messages: 0, bytes: 50 };
    assert_eq!(host.statuses(), [("a".into(), completed)]);
    host.step(Event::Pull(PullRequest { max_bytes: Some(200), ..request("b", 9) }));
    assert_eq!(host.statuses(), [], "no byte left, nothing to say");
}

#[test]
fn a_request_gets_heartbeats_while_it_waits() {
    let mut host = Harness::new(pull_config());
    let request = PullRequest { heartbeat: Some(SECOND), expires: Some(10 * SECOND), ..request("a", 9) };
    host.step(Event::Pull(request));
    host.pass(SECOND);
    let [beat] = &host.heartbeats()[..] else { panic!() };
    assert_eq!((beat.number, beat.sequence.0), (0, 0));
    host.pass(SECOND / 2);
    host.publish(1);
    host.pass(SECOND * 3 / 4);
    assert_eq!(host.heartbeats(), [], "a message puts it off");
    host.pass(SECOND / 2);
    assert_eq!(host.heartbeats().len(), 1);
    host.pass(20 * SECOND);
    assert_eq!(host.statuses().len(), 1, "and it ends");
}

#[test]
fn waiting_requests_hear_of_the_end_of_the_consumer() {
    let mut host = Harness::new(pull_config());
    host.pull("a", 1);
    host.pull("b", 1);
    let effects = host.consumer.end_requests(&Status::ConsumerDeleted);
    assert_eq!(effects, [status("a", Status::ConsumerDeleted), status("b", Status::ConsumerDeleted)]);
    assert!(!host.consumer.wants_messages());
}

#[test]
fn a_message_that_could_not_be_handed_over_goes_to_another_request_and_does_not_count() {
    let mut config = pull_config();
    config.max_deliver = Some(1);
    let mut host = Harness::with(config, 1);
    host.pull("a", 1);
    host.take();
    host.step(Event::NotDelivered { sequence: Sequence(1), request: Some(reply("a")) });
    host.pull("b", 1);
    assert_eq!(host.delivered(), [(1, 2, 1)]);
}

#[test]
fn an_idle_pull_consumer_is_deleted_after_its_last_request_and_its_last_ack_wait() {
    let mut config = pull_config();
    config.inactive_after = Some(10 * SECOND);
    let mut host = Harness::with(config, 1);
    host.seconds(9);
    host.pull("a", 1);
    host.take();
    host.seconds(39);
    assert_eq!(host.take(), [], "the message is out for 30 s, and comes back to nobody");
    host.seconds(32);
    assert!(host.take().contains(&Effect::Delete));
}

#[test]
fn a_waiting_request_keeps_a_consumer_alive() {
    let mut config = pull_config();
    config.inactive_after = Some(10 * SECOND);
    let mut host = Harness::new(config);
    host.pull("a", 1);
    host.seconds(95);
    assert_eq!(host.take(), []);
    host.stream.deaf.insert(reply("a"));
    host.seconds(14);
    assert_eq!(host.take(), [Effect::Delete]);
}
