//! Push consumers: interest, signs of life, flow control, pace.

use std::time::Duration;

use duolog_delivery::{AckPolicy, Config, Effect, Event, Mode, PushConfig, RateLimit, Start, Target};
use duolog_types::Sequence;

use crate::harness::{FakeStream, Harness, push_config};

const SECOND: Duration = Duration::from_secs(1);

fn push(config: PushConfig) -> Config {
    Config { mode: Mode::Push(config), ..push_config() }
}

#[test]
fn messages_go_out_only_while_somebody_listens() {
    let mut host = Harness::with(push_config(), 2);
    host.step(Event::Wake);
    assert_eq!(host.take(), []);
    host.step(Event::Interest(true));
    assert_eq!(host.delivered().len(), 2);
    host.step(Event::Interest(false));
    host.publish(1);
    host.seconds(31);
    assert_eq!(host.take(), []);
    host.step(Event::Interest(true));
    assert_eq!(host.delivered(), [(1, 3, 2), (2, 4, 2), (3, 5, 1)]);
}

#[test]
fn heartbeats_come_when_nothing_else_does() {
    let mut host = Harness::new(push(PushConfig { heartbeat: Some(SECOND), ..PushConfig::default() }));
    host.step(Event::Interest(true));
    host.pass(SECOND / 2);
    host.publish(1);
    host.take();
    host.pass(SECOND * 3 / 4);
    assert_eq!(host.take(), []);
    host.pass(SECOND / 4);
    let [beat] = &host.heartbeats()[..] else { panic!() };
    assert_eq!((beat.number, beat.sequence.0, beat.stalled), (1, 1, None));
    assert_eq!(beat.to, Target::Push);
    host.step(Event::Interest(false));
    host.pass(10 * SECOND);
    assert_eq!(host.heartbeats(), []);
}

#[test]
fn flow_control_begins_small_stalls_and_doubles() {
    let mut stream = FakeStream::default();
    for _ in 0..100 {
        stream.add(512 << 10, Duration::ZERO);
    }
    let start = Start { next: Sequence(1), first: vec![], last: Sequence(100) };
    let config = push(PushConfig { flow_control: true, heartbeat: Some(SECOND), ..PushConfig::default() });
    let config = Config { ack: AckPolicy::None, durable: false, ..config };
    let mut host = Harness::over(config, stream, start);
    host.step(Event::Interest(true));
    let effects = host.take();
    let sent = effects.iter().filter(|effect| matches!(effect, Effect::Deliver(_))).count();
    assert_eq!(sent, 5, "more than 2 MiB on their way stop it");
    assert!(effects.contains(&Effect::FlowControl { id: 1 }), "asked at more than half");
    host.pass(SECOND);
    assert_eq!(host.heartbeats()[0].stalled, Some(1));
    host.step(Event::FlowControl { id: 7 });
    assert_eq!(host.delivered(), [], "not the newest request");
    // The third message asked, so 1.5 MiB have arrived; 1 MiB is on its way, and 4 MiB may be now.
    host.step(Event::FlowControl { id: 1 });
    assert_eq!(host.delivered().len(), 7);
    assert!(host.log.is_empty(), "nothing is persisted that isn't to be durable");
}

#[test]
fn a_rate_is_kept_beyond_the_burst() {
    let rate = RateLimit { bits_per_second: 800, burst_bytes: 100 };
    let mut host = Harness::with(push(PushConfig { rate: Some(rate), ..PushConfig::default() }), 3);
    host.step(Event::Interest(true));
    assert_eq!(host.delivered().len(), 1, "the burst");
    host.pass(SECOND - Duration::from_nanos(1));
    assert_eq!(host.delivered().len(), 0);
    host.pass(Duration::from_nanos(1));
    assert_eq!(host.delivered().len(), 1);
    host.pass(SECOND);
    assert_eq!(host.delivered().len(), 1);
}

#[test]
fn replay_at_original_speed_keeps_the_gaps_until_it_has_caught_up() {
    let mut config = push_config();
    config.replay_original = true;
    let mut host = Harness::with(config, 3);
    host.step(Event::Interest(true));
    assert_eq!(host.delivered(), [(1, 1, 1)], "the first at once");
    host.pass(SECOND / 2);
    assert_eq!(host.delivered(), []);
    host.pass(SECOND / 2);
    assert_eq!(host.delivered(), [(2, 2, 1)]);
    host.pass(SECOND);
    assert_eq!(host.delivered(), [(3, 3, 1)]);
    host.pass(SECOND);
    // Stored a thousand seconds after the third one, and delivered at once.
    host.publish(1);
    assert_eq!(host.delivered(), [(4, 4, 1)]);
}

#[test]
fn an_unheard_push_consumer_is_deleted_after_its_threshold() {
    let mut config = push_config();
    config.inactive_after = Some(5 * SECOND);
    let mut host = Harness::new(config);
    host.seconds(4);
    host.step(Event::Interest(true));
    host.seconds(100);
    assert_eq!(host.take(), []);
    host.step(Event::Interest(false));
    host.seconds(3);
    host.step(Event::Interest(false));
    host.seconds(2);
    assert_eq!(host.take(), [Effect::Delete]);
}

#[test]
fn a_new_receiver_gets_all_that_is_pending_again() {
    let mut host = Harness::with(push_config(), 2);
    host.step(Event::Interest(true));
    host.take();
    host.step(Event::Update { config: Box::new(push_config()), redeliver: true });
    assert_eq!(host.delivered(), [(1, 3, 2), (2, 4, 2)]);
}
