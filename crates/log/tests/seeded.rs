//! The explorer of `crash.rs` catches deliberate mistakes, each by the name of what it breaks.
//! `RUSTFLAGS='--cfg seeded_bug' cargo test --target-dir target/seeded -p duolog-log --test seeded`
#![cfg(seeded_bug)]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;
#[path = "crash.rs"]
mod crash;

use duolog_env::choose_seeded_bug;
use duolog_testkit::{Explorer, Limits};

#[test]
fn each_seeded_bug_is_caught_by_name() {
    let bugs: [(&str, &[&str]); 5] = [
        ("delete_visible_before_sync", &["undead-record"]),
        ("ack_before_sync", &["lost-write", "lost-partition", "lost-state"]),
        ("high_watermark_before_sync", &["unseen", "inconsistent-offsets"]),
        ("no_directory_sync", &["cannot-open", "cannot-open-twice", "lost-partition", "lost-write"]),
        (
            "reused_lsn",
            &[
                "lost-partition",
                "lost-state",
                "cannot-open-twice",
                "cannot-open",
                "lost-write",
                "recovery-not-idempotent",
            ],
        ),
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
    choose_seeded_bug(None);
}
