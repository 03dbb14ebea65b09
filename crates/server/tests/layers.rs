//! The house holds: dependencies point down the data path, doors don't know each other, and only what may
//! touches the log. Read from `cargo metadata`, so that it can't be forgotten.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::process::Command;

/// Crates in the order of the data path (ARCHITECTURE.md); a crate may depend on those below its line only.
const LINES: &[&[&str]] = &[
    &["server"],
    &["cli", "kafka", "nats", "admin"],
    &["broker"],
    &["groups", "log"],
    &["record", "nats-wire"],
    &["env"],
    &["types"],
];

/// Pairs that a line alone doesn't forbid.
const NEVER: &[(&str, &str)] = &[
    ("kafka", "log"),
    ("nats", "log"),
    ("nats", "kafka"),
    ("broker", "nats-wire"),
    ("admin", "log"),
    ("cli", "broker"),
    ("cli", "log"),
    ("groups", "env"),
    ("groups", "record"),
];

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let short = |name: &str| name.strip_prefix("duolog-").map(str::to_string);
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let Some(name) = short(package["name"].as_str().unwrap()) else { continue };
        let normal = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null());
        found.insert(
            name,
            normal.filter_map(|dependency| short(dependency["name"].as_str().unwrap())).collect(),
        );
    }
    found
}

#[test]
fn dependencies_point_down() {
    let line = |name: &str| LINES.iter().position(|names| names.contains(&name));
    let dependencies = dependencies();
    for name in LINES.iter().flat_map(|names| names.iter()) {
        assert!(
            dependencies.contains_key(*name),
            "no crate `{name}` any more: mend LINES and ARCHITECTURE.md"
        );
    }
    for (name, below) in &dependencies {
        let Some(own) = line(name) else { continue };
        for dependency in below {
            let other = line(dependency)
                .unwrap_or_else(|| panic!("`{name}` depends on `{dependency}`, which only proves"));
            assert!(other > own, "`{name}` must not depend on `{dependency}`: dependencies point down");
            assert!(!NEVER.contains(&(name.as_str(), dependency)), "`{name}` must never know `{dependency}`");
        }
    }
}

#[test]
fn the_map_names_every_crate() {
    let map = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md")).unwrap();
    for name in dependencies().keys() {
        assert!(map.contains(&format!("`{name}`")), "ARCHITECTURE.md doesn't name the crate `{name}`");
    }
}
