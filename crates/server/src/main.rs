//! `duolog`: the broker.
fn main() {}
