//! docs/two-protocols.md names a test for every row, and each is there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All Rust files below a directory, by their names without the ending.
fn sources(of: &Path, found: &mut BTreeMap<String, Vec<PathBuf>>) {
    for entry in std::fs::read_dir(of).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.entry(name).or_default().push(path);
        }
    }
}

/// Whether a file has a function of this name right behind a line that makes it a test (`proptest!` writes it, too).
fn has_test(path: &Path, function: &str) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let is_it = line.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{function}(")));
        is_it
            && at > 0
            && (lines[at - 1].starts_with("#[test]") || lines[at - 1].starts_with("#[tokio::test"))
    })
}

#[test]
fn every_row_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = BTreeMap::new();
    sources(&root.join("crates"), &mut files);
    let text = std::fs::read_to_string(root.join("docs/two-protocols.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what "));
    let mut count = 0;
    for row in rows {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, how, _, _, tests] = columns[..] else { panic!("a row of five columns: {row}") };
        assert!(["the same", "mapped", "refused", "not there yet"].contains(&how), "{how}: {row}");
        count += 1;
        if how == "not there yet" && tests == "–" {
            continue;
        }
        assert!(!tests.is_empty() && tests != "–", "no test: {row}");
        for test in tests.split(", ") {
            let named = test.trim_matches('`').split_once("::");
            let (file, function) = named.unwrap_or_else(|| panic!("no `file::function`: {test}"));
            let paths = files.get(file).unwrap_or_else(|| panic!("no file {file}.rs: {test}"));
            assert!(paths.iter().any(|path| has_test(path, function)), "no such test: {test}");
        }
    }
    assert!(count > 30, "{count} rows");
}

#[test]
fn what_is_not_a_test_is_not_taken_for_one() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/two_protocols.rs");
    assert!(has_test(&own, "every_row_names_a_test_that_is_there"));
    assert!(!has_test(&own, "sources") && !has_test(&own, "every_row"));
}
