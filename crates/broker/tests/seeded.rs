//! The explorer of `crash.rs` catches deliberate mistakes of the broker, each by the name of what it breaks.
//! `RUSTFLAGS='--cfg seeded_bug' cargo test --target-dir target/seeded -p duolog-log -p duolog-broker --test seeded`
#![cfg(seeded_bug)]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "crash.rs"]
mod crash;
#[path = "streams_crash.rs"]
mod streams_crash;

use duolog_env::choose_seeded_bug;
use duolog_testkit::{Explorer, Limits};

#[test]
fn each_seeded_bug_is_caught_by_name() {
    let bugs: [(&str, &[&str]); 3] = [
        ("producers_forgotten", &["producer-forgotten"]),
        ("duplicate_before_durable", &["lost-write"]),
        ("commit_before_durable", &["lost-commit"]),
    ];
    for (bug, names) in bugs {
        choose_seeded_bug(Some(bug));
        let mut explorer = Explorer::new(7, format!("(with the seeded bug {bug})"));
        explorer.images = 60_000;
        // Many workloads rather than many images of each: a mistake shows in few of them.
        explorer.limits = Limits { per_kind: 2 };
        let report = explorer.run(crash::workload, crash::check);
        let found = report.found.unwrap_or_else(|| panic!("the seeded bug {bug} wasn't caught"));
        println!("{bug}: {found}");
        assert!(
            names.contains(&found.violation.name.as_str()),
            "{bug} was caught as {}",
            found.violation.name
        );
    }
    // Of streams; in the same test, since a bug is chosen for the whole process.
    choose_seeded_bug(Some("dedup_forgotten"));
    let mut explorer = Explorer::new(7, "(with the seeded bug dedup_forgotten)");
    explorer.images = 60_000;
    explorer.limits = Limits { per_kind: 2 };
    let report = explorer.run(streams_crash::workload, streams_crash::check);
    let found = report.found.expect("the seeded bug dedup_forgotten wasn't caught");
    println!("dedup_forgotten: {found}");
    assert_eq!(found.violation.name, "dedup-forgotten");
    choose_seeded_bug(None);
}
