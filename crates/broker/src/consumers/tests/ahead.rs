//! How much is read at a time for a consumer, and that what it waits for is in it.

use super::*;

#[test]
fn the_last_of_each_subject_are_read_together() {
    let world = World::new(RetentionPolicy::Limits);
    for number in 0..200 {
        world.stream.publish(&format!("s.{}", number % 100));
    }
    let consumer = world.create(ConsumerConfig {
        deliver_policy: DeliverPolicy::LastPerSubject,
        max_ack_pending: 1000,
        ..filtered("c", "s.*")
    });
    world.pull(&consumer, "r", 100);
    let words = world.door.words();
    assert_eq!((words.len(), &*words[0], &*words[99]), (100, "m101 101/1 x1 +99", "m200 200/100 x1 +0"));
    let reads = world.stream.reads.lock().clone();
    assert!(reads.len() <= 2 && reads[0] == 100, "messages of each read: {reads:?}");
}

/// What is read ends at a number of bytes: the message that is due must be within.
#[test]
fn a_redelivery_is_read_though_much_that_comes_later_lies_before_it() {
    let world = World::new(RetentionPolicy::Limits);
    let consumer = world.create(durable("c"));
    for _ in 0..10 {
        let sequence = world.stream.publish("s.a");
        let mut payload = format!("m{sequence}").into_bytes();
        payload.resize(300 << 10, b' ');
        world.stream.messages.lock().get_mut(&sequence).unwrap().payload = payload.into();
    }
    world.pull(&consumer, "r", 10);
    assert_eq!(world.door.words().len(), 10);
    for number in [10, 1, 2, 3, 4, 5, 9, 8] {
        let kind = AckKind::Nak { delay: None };
        world.consumers.ack(&consumer, Ack { sequence: Sequence(number), number, kind, reply: None });
    }
    world.door.words();
    world.pull(&consumer, "r", 8);
    let words = world.door.words();
    let again: Vec<&str> = words.iter().filter_map(|word| word.split(' ').next()).collect();
    assert_eq!(again, ["m10", "m1", "m2", "m3", "m4", "m5", "m9", "m8"]);
}
