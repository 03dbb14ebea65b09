//! Directories that older versions wrote are still opened: `golden/v1` is of manifest version 1, `golden/v2` of 2, which has deletes
//! (examples/golden.rs).
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and copies files")]

mod common;

use std::path::Path;

use common::*;
use duolog_env::Env;
use duolog_log::Log;
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

/// What both have.
fn check(log: &Log, table: &KeyTable) {
    let orders = read_all(&partition(log, PartitionId(1))).unwrap();
    let expected: Vec<_> = (5..20).map(|n| (n, format!("order {n}"))).collect();
    assert_eq!(orders, expected);
    let users = partition(log, PartitionId(2));
    assert_eq!(read_all(&users).unwrap(), [(0, "ann".into()), (1, "bob".into()), (10, "eve".into())]);
    assert_eq!(users.end(), Offset(11));
    assert!(log.partition(PartitionId(3)).is_none());
    let keys: Vec<_> = table.all().into_iter().collect();
    assert_eq!(keys, [("a".into(), "checkpointed".into()), ("bb".into(), "in the WAL".into())]);
}

fn copied(version: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(version), dir.path());
    dir
}

/// The version that the newest manifest of `dir` says it has.
fn manifest_version(dir: &Path) -> u32 {
    let slots = ["MANIFEST-a", "MANIFEST-b"].map(|name| std::fs::read(dir.join(name)).unwrap_or_default());
    let field = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map_or(0, |field| u32::from_le_bytes(field.try_into().unwrap()))
    };
    // Behind magic, version, length and two checksums the body begins with its generation.
    let newest = slots.iter().max_by_key(|bytes| field(bytes, 24)).unwrap();
    field(newest, 8)
}

#[test]
fn version_1_is_opened_and_takes_deletes_from_then_on() {
    let dir = copied("v1");
    assert_eq!(manifest_version(dir.path()), 1);
    let (log, table) = open(&Env::real(), config(dir.path())).unwrap();
    assert_eq!(manifest_version(dir.path()), 2, "an older binary refuses it by name from now on");
    check(&log, &table);
    assert_eq!(log.allocate_partitions(1), PartitionId(4));
    partition(&log, PartitionId(1)).delete(&(5..18).collect()).unwrap();
    log.close().unwrap();
    drop((log, table));
    let (log, _) = open(&Env::real(), config(dir.path())).unwrap();
    let orders = read_all(&partition(&log, PartitionId(1))).unwrap();
    assert_eq!(orders, [(18, "order 18".into()), (19, "order 19".into())]);
    log.close().unwrap();
}

#[test]
fn version_2_is_opened() {
    let dir = copied("v2");
    let (log, table) = open(&Env::real(), config(dir.path())).unwrap();
    check(&log, &table);
    let dying = partition(&log, PartitionId(4));
    let found = read_all(&dying).unwrap();
    let offsets: Vec<_> = found.iter().map(|(offset, _)| *offset).collect();
    let expected = (0..42).filter(|n| (*n >= 16 || n % 4 == 0) && ![20, 39].contains(n));
    assert_eq!(offsets, expected.collect::<Vec<_>>());
    assert_eq!(found[found.len() - 2..], [(40, "joined".into()), (41, "as well".into())]);
    assert_eq!(log.allocate_partitions(1), PartitionId(5));
    log.close().unwrap();
}
