//! Any bytes as a NATS connection, through verbs and router to a client that listens to everything. No panic, no
//! more memory than the limits allow (run with `-rss_limit_mb=512`), and no subscription that outlives its session.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use duolog_nats::session::close::CloseReason;
use duolog_nats::{Door, NatsConfig, Router};
use duolog_testkit::SimEnv;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

struct Fixture {
    runtime: Runtime,
    router: Arc<Router>,
    door: Door,
}

thread_local! {
    static FIXTURE: RefCell<Option<Fixture>> = const { RefCell::new(None) };
}

fn fixture() -> Fixture {
    let env = SimEnv::new(7).env();
    let router = Router::new(&env);
    let config = NatsConfig { max_payload: 1 << 20, max_pending: 1 << 20, ..NatsConfig::default() };
    let door = Door::new(&env, &router, config, 4222);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    Fixture { runtime, router, door }
}

fuzz_target!(|input: &[u8]| {
    FIXTURE.with_borrow_mut(|slot| {
        let Fixture { runtime, router, door } = slot.get_or_insert_with(fixture);
        let before = router.subscriptions();
        let connection = door.connection(SocketAddr::from(([127, 0, 0, 1], 5)));
        let reason = runtime.block_on(door.converse(input, tokio::io::sink(), &connection));
        assert!(!matches!(reason, CloseReason::Internal(_)), "{reason}");
        assert_eq!(router.subscriptions(), before);
    });
});
