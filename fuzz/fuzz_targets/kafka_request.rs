//! Any bytes as a Kafka connection: frames of every API and version through header, body and handler, in front of
//! a broker on a simulated disk. No panic, and no more memory than the limits allow (run with `-rss_limit_mb=512`).
//!
//! The first byte of a frame chooses an API and the second one of its versions, so that few inputs are lost on
//! keys that aren't served; both bytes 0xff leave the frame as it is.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use duolog_broker::{Broker, BrokerConfig, LogConfig};
use duolog_kafka::KafkaConfig;
use duolog_kafka::dispatch::APIS;
use duolog_kafka::door::Door;
use duolog_kafka::session::close::CloseReason;
use duolog_kafka::session::connection::Connection;
use duolog_testkit::SimEnv;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The simulated disk remembers every operation, so a broker serves so many inputs only.
const INPUTS_PER_BROKER: u32 = 2000;

struct Fixture {
    runtime: Runtime,
    broker: Arc<Broker>,
    door: Door,
    _draining: watch::Sender<bool>,
    left: u32,
}

thread_local! {
    static FIXTURE: RefCell<Option<Fixture>> = const { RefCell::new(None) };
}

fn fixture() -> Fixture {
    let env = SimEnv::new(7).env();
    let mut log = LogConfig::new("/data");
    log.threads = false;
    log.wal_file_bytes = 1 << 20;
    let settings = BrokerConfig { auto_create_topics: false, ..BrokerConfig::default() };
    let broker = Broker::open(env, settings, log).expect("an empty disk");
    broker.catalog().get_or_create("t").expect("a new topic");
    broker.commit().expect("the disk is well");
    let config = KafkaConfig { max_request_bytes: 1 << 20, request_bytes: 8 << 20, ..KafkaConfig::default() };
    let (draining, receiver) = watch::channel(false);
    let door = Door::new(Arc::clone(&broker), config, 9092, receiver);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    Fixture { runtime, broker, door, _draining: draining, left: INPUTS_PER_BROKER }
}

/// Splits the input into frames: a length byte (times 4), then so many bytes.
fn stream(mut input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [length, rest @ ..] = input {
        let length = (usize::from(*length) * 4).min(rest.len());
        let (frame, behind) = rest.split_at(length);
        input = behind;
        let mut frame = frame.to_vec();
        if let [api, version, ..] = frame[..]
            && (api, version) != (0xff, 0xff)
            && frame.len() >= 4
        {
            let api = &APIS[usize::from(api) % APIS.len()];
            let served = api.min + i16::from(version) % (api.max - api.min + 1);
            frame[..2].copy_from_slice(&api.key.to_be_bytes());
            frame[2..4].copy_from_slice(&served.to_be_bytes());
        }
        stream.extend_from_slice(&i32::try_from(frame.len()).unwrap_or(i32::MAX).to_be_bytes());
        stream.extend_from_slice(&frame);
    }
    stream
}

fuzz_target!(|input: &[u8]| {
    FIXTURE.with_borrow_mut(|slot| {
        let Fixture { runtime, broker, door, left, .. } = slot.get_or_insert_with(fixture);
        let bytes = stream(input);
        let reason = runtime.block_on(async {
            let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 5)), Duration::from_secs(1));
            let session = door.converse(&bytes[..], tokio::io::sink(), &connection);
            tokio::pin!(session);
            loop {
                tokio::select! {
                    biased;
                    reason = &mut session => break reason,
                    // Replies wait for their sync: the log has no thread of its own here.
                    () = async { broker.commit().expect("the disk is well"); tokio::task::yield_now().await } => {}
                }
            }
        });
        assert!(!matches!(reason, CloseReason::Internal(_)), "{reason}");
        *left -= 1;
        if *left == 0 {
            *slot = None;
        }
    });
});
