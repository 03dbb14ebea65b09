//! Writes the directory that `tests/golden.rs` opens: run once for each disk format version, into a new folder.
//! `cargo run -p duolog-log --example golden -- crates/log/tests/golden/v1`
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::*;
use duolog_env::Env;
use duolog_log::{Entry, NewRecord};
use duolog_types::{Nanos, Offset};

fn main() {
    let dir = std::env::args().nth(1).expect("a directory to make");
    let (log, table) = open(&Env::real(), config(&dir)).unwrap();
    let (orders, users, gone) = (create(&log), create(&log), create(&log));
    for n in 0..20 {
        orders.append(batch_at(&[(&format!("order {n}"), 1000 + n)])).unwrap();
    }
    gone.append(batch(&["x"])).unwrap();
    table.set(&log, "a", "checkpointed");
    settle(&log);
    log.checkpoint().unwrap();
    log.submit(Entry::new().drop_partition(gone.id())).unwrap();
    users.append(batch(&["ann", "bob"])).unwrap();
    users.skip_to(Offset(10)).unwrap();
    users.append(batch(&["eve"])).unwrap();
    orders.trim(Offset(5)).unwrap();
    // From version 2 on: deletes that are checkpointed, some with their segment rewritten, and some that aren't.
    let dying = create(&log);
    for n in 0..40 {
        dying.append(batch(&[format!("{n}-{}", "x".repeat(1000)).as_str()])).unwrap();
        settle(&log);
        if n % 10 == 9 {
            log.checkpoint().unwrap();
        }
    }
    dying.delete(&(0..16).filter(|n| n % 4 != 0).collect()).unwrap();
    settle(&log);
    log.checkpoint().unwrap();
    dying.delete(&[20, 39].into_iter().collect()).unwrap();
    for value in ["joined", "as well"] {
        let record = NewRecord { key: None, value: Some(value.as_bytes()), headers: &[], arrival: Nanos(7) };
        dying.append_record(record).unwrap();
    }
    table.set(&log, "bb", "in the WAL");
    settle(&log);
    // No clean end: what stands in the WAL is part of the fixture.
}
