//! Random histories of one group against its invariants.
//!
//! A handful of clients send what clients send, with right and wrong ids and generations; time passes by steps that
//! straddle every timeout; the coordinator restarts from its records now and then. After each step the model is
//! compared: GROUPS-1 (answered once), -2 (generations rise), -3 (one leader), -4 (offsets by legal commits only),
//! -5 (what is told was recorded).
#![allow(clippy::unwrap_used, clippy::panic)]

mod model;

use model::{Action, Model};
use proptest::prelude::*;

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let client = 0..model::CLIENTS;
    let action = prop_oneof![
        6 => (client.clone(), 0..4_u8, any::<bool>()).prop_map(|(client, topics, v9)| Action::Join { client, topics, v9 }),
        2 => (client.clone(), any::<bool>()).prop_map(|(client, v9)| Action::Bounce { client, v9 }),
        6 => client.clone().prop_map(|client| Action::Sync { client }),
        3 => (client.clone(), -1..3_i32).prop_map(|(client, lag)| Action::Heartbeat { client, lag }),
        1 => client.clone().prop_map(|client| Action::Leave { client }),
        1 => client.clone().prop_map(|client| Action::LeaveInstance { client }),
        4 => (client.clone(), -1..3_i32, 0..4_u8).prop_map(|(client, lag, topic)| Action::Commit { client, lag, topic }),
        1 => (0..4_u8).prop_map(|topic| Action::CommitSimple { topic }),
        1 => (0..4_u8).prop_map(|topic| Action::DeleteOffset { topic }),
        1 => Just(Action::DeleteGroup),
        4 => prop_oneof![Just(0_u64), Just(1), Just(2999), Just(3000), Just(9_999), Just(10_000), Just(61_000)]
            .prop_map(|ms| Action::Pass { ms }),
        1 => Just(Action::Restart { from_snapshot: false }),
        1 => Just(Action::Restart { from_snapshot: true }),
    ];
    proptest::collection::vec(action, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_invariants(delay_ms in prop_oneof![Just(0_u64), Just(3000)], limit in 2..6_usize, actions in actions()) {
        let mut model = Model::new(delay_ms, limit);
        for action in actions {
            model.act(&action);
        }
        model.finish();
    }
}

/// The random histories are worth nothing if they never get anywhere.
#[test]
fn histories_reach_every_state_and_answer() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = model::Seen::default();
    for _ in 0..1000 {
        let mut model = Model::new(3000, 3);
        for action in actions().new_tree(&mut runner).unwrap().current() {
            model.act(&action);
        }
        model.finish();
        seen.add(&model.seen);
    }
    for (what, count) in seen.all() {
        assert!(count > 0, "no history has seen {what}");
    }
}
