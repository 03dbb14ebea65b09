//! What connections that say nothing cost. Both ends are in this process, so the few hundred of a plain `cargo test`
//! fit any limit of file descriptors; for more:
//! `ulimit -n 20000; DUOLOG_SILENT_CONNECTIONS=9500 cargo test -p duolog-kafka --test silent -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use duolog_kafka::{KafkaConfig, message};
use kafka_wire::ApiVersionsRequest;
use support::{TestBroker, TestServer};
use tokio::net::TcpStream;

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_take_little_memory_and_nobody_notices() {
    let config = KafkaConfig { max_connections_per_ip: 20_000, ..KafkaConfig::default() };
    let server = TestServer::over(TestBroker::new(), config).await;
    let count = std::env::var("DUOLOG_SILENT_CONNECTIONS").map_or(400, |count| count.parse().unwrap());
    let before = resident();
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut speaker = server.connect().await;
    assert_eq!(speaker.ask(&message!(ApiVersionsRequest {}), 0).await.error_code, 0);
    let each = (resident() - before) / silent.len();
    println!("{each} bytes for each silent connection, the client's end included");
    assert!(each < 16 << 10, "{each} bytes for each silent connection");
    drop(silent);
    server.stop().await;
}
