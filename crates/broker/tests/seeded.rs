//! The explorers of `crash.rs`, `streams_crash.rs` and `consumers_crash.rs` catch deliberate mistakes of the broker,
//! each by the name of what it breaks.
//! `RUSTFLAGS='--cfg seeded_bug' cargo test --target-dir target/seeded -p duolog-log -p duolog-broker --test seeded`
#![cfg(seeded_bug)]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "consumers_crash.rs"]
mod consumers_crash;
#[path = "crash.rs"]
mod crash;
#[path = "streams_crash.rs"]
mod streams_crash;

use duolog_env::choose_seeded_bug;
use duolog_testkit::{Explorer, Limits, Run, Violation};

#[test]
fn each_seeded_bug_is_caught_by_name() {
    // In one test, since a bug is chosen for the whole process.
    hunt("producers_forgotten", &["producer-forgotten"], crash::workload, crash::check);
    hunt("duplicate_before_durable", &["lost-write"], crash::workload, crash::check);
    hunt("commit_before_durable", &["lost-commit"], crash::workload, crash::check);
    hunt("dedup_forgotten", &["dedup-forgotten"], streams_crash::workload, streams_crash::check);
    let consumers = (consumers_crash::workload, consumers_crash::check);
    // Confirmed and yet delivered again, or still in its work queue.
    hunt("double_ack_before_durable", &["lost-ack", "undead-message"], consumers.0, consumers.1);
    hunt("removed_before_ack", &["removed-before-ack"], consumers.0, consumers.1);
    hunt("delivery_before_count", &["delivered-too-often", "ack-wait-cut"], consumers.0, consumers.1);
}

fn hunt<P: Clone + Send>(
    bug: &str,
    names: &[&str],
    workload: impl Fn(&Run<P>) + Sync,
    check: impl Fn(&Run<P>, &[P]) -> Result<(), Violation> + Sync,
) {
    choose_seeded_bug(Some(bug));
    let mut explorer = Explorer::new(7, format!("(with the seeded bug {bug})"));
    explorer.images = 60_000;
    // Many workloads rather than many images of each: a mistake shows in few of them.
    explorer.limits = Limits { per_kind: 2 };
    let found = explorer.run(workload, check).found;
    choose_seeded_bug(None);
    let found = found.unwrap_or_else(|| panic!("the seeded bug {bug} wasn't caught"));
    println!("{bug}: {found}");
    assert!(names.contains(&found.violation.name.as_str()), "{bug} was caught as {}", found.violation.name);
}
