//! The router against a list that is searched: whatever comes and goes, whoever is cached, the same receivers.

use std::sync::atomic::{AtomicUsize, Ordering};

use duolog_nats_wire::subject;
use duolog_testkit::SimEnv;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Recorder {
    got: Mutex<Vec<String>>,
    batches: AtomicUsize,
    refuses: bool,
}

impl Handler for Recorder {
    fn publish(&self, message: &Inbound<'_>, from: Origin<'_>) -> bool {
        assert!(matches!(from, Origin::Server));
        self.got.lock().push(String::from_utf8_lossy(message.subject).into_owned());
        !self.refuses
    }

    fn end_of_batch(&self) -> Pace {
        self.batches.fetch_add(1, Ordering::Relaxed);
        Pace::Stall
    }
}

fn router() -> Arc<Router> {
    Router::new(&SimEnv::new(1).env())
}

fn message(subject: &str) -> Inbound<'_> {
    Inbound::new(subject.as_bytes(), b"x")
}

#[test]
fn handlers_get_what_matches_and_hear_once_when_a_batch_ends() {
    let router = router();
    let handler = Arc::new(Recorder::default());
    let registration = router.register("$JS.API.>", handler.clone()).unwrap();
    let mut publisher = router.publisher();
    for subject in ["$JS.API.INFO", "$JS.API", "$JS.API.STREAM.NAMES", "$JS.API..INFO", "other"] {
        publisher.publish(&message(subject));
    }
    assert_eq!(*handler.got.lock(), ["$JS.API.INFO", "$JS.API.STREAM.NAMES"]);
    assert_eq!(handler.batches.load(Ordering::Relaxed), 0);
    assert_eq!(publisher.flush(), Pace::Stall);
    assert_eq!(publisher.flush(), Pace::Go, "nothing went to it since");
    assert_eq!(handler.batches.load(Ordering::Relaxed), 1);
    drop(registration);
    assert_eq!(publisher.publish(&message("$JS.API.INFO")).receivers, 0);
    assert_eq!(router.subscriptions(), 0);
}

#[test]
fn handler_that_refuses_counts_as_nobody_and_the_next_of_its_group_is_asked() {
    let router = router();
    let refuses = Arc::new(Recorder { refuses: true, ..Recorder::default() });
    let takes = Arc::new(Recorder::default());
    let _alone = router.register("a", refuses.clone()).unwrap();
    assert_eq!(router.publish(&message("a")).receivers, 0);
    let _first = router.register_queue("b", "q", refuses.clone()).unwrap();
    let _second = router.register_queue("b.c", "q", takes.clone()).unwrap();
    let _third = router.register_queue("*", "q", takes.clone()).unwrap();
    for _ in 0..50 {
        assert_eq!(router.publish(&message("b")).receivers, 1);
    }
    assert_eq!(takes.got.lock().len(), 50);
    assert!(refuses.got.lock().len() > 1, "it is asked when it is chosen");
}

#[test]
fn interest_tells_plain_from_queue() {
    let router = router();
    assert!(!router.interest(b"a.b"));
    let plain = router.register("a.*", Arc::new(Recorder::default())).unwrap();
    assert!(router.interest(b"a.b") && router.interest_plain(b"a.b") && !router.interest_queue(b"a.b", b"q"));
    let _queue = router.register_queue("a.b", "q", Arc::new(Recorder::default())).unwrap();
    drop(plain);
    assert!(router.interest(b"a.b") && !router.interest_plain(b"a.b") && router.interest_queue(b"a.b", b"q"));
    assert!(!router.interest_queue(b"a.b", b"p") && !router.interest(b"a.c"));
    assert!(router.register("a..b", Arc::new(Recorder::default())).is_err());
}

#[derive(Default)]
struct Listener(Mutex<Vec<(String, bool)>>);

impl Watcher for Listener {
    fn interest_changed(&self, subject: &[u8], interested: bool) {
        self.0.lock().push((String::from_utf8_lossy(subject).into_owned(), interested));
    }
}

#[test]
fn watchers_hear_of_literal_and_wildcard_changes_to_their_subject_only() {
    let router = router();
    let listener = Arc::new(Listener::default());
    let watch = router.watch("deliver.me", listener.clone());
    let handler = || Arc::new(Recorder::default());
    let literal = router.register("deliver.me", handler()).unwrap();
    let other = router.register("deliver.you", handler()).unwrap();
    let wild = router.register("deliver.*", handler()).unwrap();
    drop((literal, other));
    drop(wild);
    let told = std::mem::take(&mut *listener.0.lock());
    let me = |interested| ("deliver.me".to_owned(), interested);
    assert_eq!(told, [me(true), me(true), me(true), me(false)]);
    drop(watch);
    let _again = router.register("deliver.me", handler()).unwrap();
    assert!(listener.0.lock().is_empty());
}

#[test]
fn many_groups_on_one_subject_are_joined_by_name() {
    let router = router();
    let handler = Arc::new(Recorder::default());
    let mut all = Vec::new();
    for number in 0..100 {
        for pattern in ["a.b", "a.*", "a.>"] {
            all.push(router.register_queue(pattern, &format!("q{number}"), handler.clone()).unwrap());
        }
    }
    assert_eq!(router.publish(&message("a.b")).receivers, 100);
    all.truncate(3);
    assert_eq!(router.publish(&message("a.b")).receivers, 1);
}

#[test]
fn long_subjects_and_many_subjects_are_found_though_not_kept() {
    let router = router();
    let handler = Arc::new(Recorder::default());
    let long = vec!["token"; 600].join(".");
    let _long = router.register(&long, handler.clone()).unwrap();
    let _wild = router.register(&long.replacen("token", "*", 300), handler.clone()).unwrap();
    let _many: Vec<_> =
        (0..5000).map(|number| router.register(&format!("s.{number}"), handler.clone()).unwrap()).collect();
    let mut publisher = router.publisher();
    for _ in 0..2 {
        assert_eq!(publisher.publish(&message(&long)).receivers, 2);
        for number in 0..5000 {
            assert_eq!(publisher.publish(&message(&format!("s.{number}"))).receivers, 1);
            assert_eq!(publisher.publish(&message(&format!("t.{number}"))).receivers, 0);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(String, Option<String>),
    Remove(usize),
    Publish(String),
}

fn step() -> impl Strategy<Value = Step> {
    let token = || prop_oneof![3 => Just("a"), 3 => Just("b"), 1 => Just("*")];
    let pattern = (proptest::collection::vec(token(), 1..4), any::<bool>()).prop_map(|(tokens, tail)| {
        let tail = if tail { ".>" } else { "" };
        format!("{}{tail}", tokens.join("."))
    });
    let literal = || proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c"), Just("")], 1..5);
    prop_oneof![
        3 => (pattern, proptest::option::of("[qp]")).prop_map(|(pattern, queue)| Step::Add(pattern, queue)),
        2 => any::<usize>().prop_map(Step::Remove),
        6 => literal().prop_map(|tokens| Step::Publish(tokens.join("."))),
    ]
}

proptest! {
    #[test]
    fn receivers_are_those_that_a_search_of_all_finds(steps in proptest::collection::vec(step(), 1..80)) {
        let router = router();
        let mut publisher = router.publisher();
        let handler = Arc::new(Recorder::default());
        let mut all: Vec<(String, Option<String>, Registration)> = Vec::new();
        for step in steps {
            match step {
                Step::Add(pattern, queue) => {
                    let registration = match &queue {
                        None => router.register(&pattern, handler.clone()).unwrap(),
                        Some(queue) => router.register_queue(&pattern, queue, handler.clone()).unwrap(),
                    };
                    all.push((pattern, queue, registration));
                }
                Step::Remove(at) if !all.is_empty() => {
                    let at = at % all.len();
                    all.swap_remove(at);
                }
                Step::Remove(_) => {}
                Step::Publish(to) => {
                    let matching: Vec<_> = all
                        .iter()
                        .filter(|(pattern, ..)| subject::matches(to.as_bytes(), pattern.as_bytes()))
                        .collect();
                    let plain = matching.iter().filter(|(_, queue, _)| queue.is_none()).count();
                    let mut groups: Vec<_> = matching.iter().filter_map(|(_, queue, _)| queue.clone()).collect();
                    groups.sort();
                    groups.dedup();
                    let expected = plain + groups.len();
                    prop_assert_eq!(publisher.publish(&message(&to)).receivers, expected, "{}", to);
                    prop_assert_eq!(router.interest(to.as_bytes()), expected > 0);
                    prop_assert_eq!(router.interest_plain(to.as_bytes()), plain > 0);
                }
            }
        }
        let left = all.len();
        prop_assert_eq!(router.subscriptions(), left);
        all.clear();
        prop_assert_eq!(router.subscriptions(), 0);
        prop_assert!(!router.interest(b"a"));
    }
}
