//! The endpoints over a real socket, and what a bad client gets.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use duolog_admin::{AdminConfig, Health, Metrics, Readiness, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

struct Server {
    address: std::net::SocketAddr,
    health: Health,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(config: AdminConfig) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (metrics, health) = (Metrics::default(), Health::default());
    metrics.source(|samples| samples.gauge("duolog_log_queued_bytes", "Waiting.", &[], 5));
    let (stop, stopped) = oneshot::channel();
    let shown = health.clone();
    let task = tokio::spawn(async move {
        serve(listener, config, metrics, shown, async {
            let _ = stopped.await;
        })
        .await;
    });
    Server { address, health, stop, task }
}

async fn talk(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset is one of the ways in which a server may end a connection that it refuses.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn fetch(address: std::net::SocketAddr, path: &str) -> String {
    talk(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn readiness_says_why_not_and_health_does_not_care() {
    let server = start(AdminConfig::default()).await;
    let starting = fetch(server.address, "/readyz").await;
    assert!(starting.starts_with("HTTP/1.1 503"), "{starting}");
    assert!(starting.contains(r#""code":"starting""#), "{starting}");
    assert!(fetch(server.address, "/healthz").await.starts_with("HTTP/1.1 200"));
    server.health.set(Readiness::default);
    let ready = fetch(server.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#"{"ready":true,"reasons":[]}"#), "{ready}");
    server.health.set(|| Readiness::default().unless(false, "disk_full", || "4096 bytes free".to_owned()));
    let full = fetch(server.address, "/readyz").await;
    assert!(full.contains(r#"{"code":"disk_full","message":"4096 bytes free"}"#), "{full}");
}

#[tokio::test]
async fn the_metrics_page_is_prometheus_text() {
    let server = start(AdminConfig::default()).await;
    let page = fetch(server.address, "/metrics").await;
    assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
    assert!(page.ends_with("\r\n\r\n# HELP duolog_log_queued_bytes Waiting.\n# TYPE duolog_log_queued_bytes gauge\nduolog_log_queued_bytes 5\n"), "{page}");
    assert!(fetch(server.address, "/nothing").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_head_that_is_too_large_or_never_ends_is_refused() {
    let config = AdminConfig { head_timeout: Duration::from_millis(50), ..AdminConfig::default() };
    let server = start(config).await;
    let large = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(64 << 10));
    let answer = talk(server.address, large.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // Ends only because the server closes the connection.
    let answer = talk(server.address, b"GET /metrics HTTP/1.1\r\nHost: ").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(talk(server.address, b"\x16\x03\x01\x02\x00").await.starts_with("HTTP/1.1 400"));
    assert!(fetch(server.address, "/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_stop_ends_idle_connections() {
    let server = start(AdminConfig::default()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    idle.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}
