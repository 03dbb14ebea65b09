//! Directories that older versions wrote are still opened: `golden/v1` by format version 1 (examples/golden.rs).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and copies files")]

mod common;

use std::path::Path;

use common::*;
use duolog_env::Env;
use duolog_types::{Offset, PartitionId};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn version_1_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1")), dir.path());
    let (log, table) = open(&Env::real(), config(dir.path())).unwrap();
    let orders = read_all(&partition(&log, PartitionId(1))).unwrap();
    let expected: Vec<_> = (5..20).map(|n| (n, format!("order {n}"))).collect();
    assert_eq!(orders, expected);
    let users = partition(&log, PartitionId(2));
    assert_eq!(read_all(&users).unwrap(), [(0, "ann".into()), (1, "bob".into()), (10, "eve".into())]);
    assert_eq!(users.end(), Offset(11));
    assert!(log.partition(PartitionId(3)).is_none());
    let keys: Vec<_> = table.all().into_iter().collect();
    assert_eq!(keys, [("a".into(), "checkpointed".into()), ("bb".into(), "in the WAL".into())]);
    assert_eq!(log.allocate_partitions(1), PartitionId(4));
    log.close().unwrap();
}
