//! Limits, timeouts, credentials, and the broker's stop, over real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use duolog_nats::{Auth, NatsConfig, Secret};
use support::{CONNECT, QUIET, Server};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = Server::start(NatsConfig { max_connections: 1, ..NatsConfig::default() }).await;
    let first = server.client().await;
    let mut second = server.raw().await;
    assert!(second.info.starts_with("INFO {"));
    assert_eq!(second.until_end().await, "-ERR 'maximum connections exceeded'\n");
    drop(first);
    // The first's end is seen in its time.
    loop {
        let mut third = server.raw().await;
        third.send([QUIET, "PING\r\n"].concat()).await;
        if third.line().await.as_deref() == Some("PONG") {
            break;
        }
    }
}

#[tokio::test]
async fn one_subscription_too_many_is_refused_and_the_connection_goes_on() {
    let server = Server::start(NatsConfig { max_subscriptions: 2, ..NatsConfig::default() }).await;
    let mut client = server.client().await;
    client.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n").await;
    assert_eq!(client.settled().await, "-ERR 'maximum subscriptions exceeded'\n");
    // One that ended by itself leaves its place.
    client.send("UNSUB 1 1\r\nPUB a 1\r\nx\r\nPING\r\n").await;
    assert_eq!(client.settled().await, "MSG a 1 1\nx\nPONG\n".replace("PONG\n", ""));
    assert_eq!(client.line().await.unwrap(), "PONG");
    client.send("SUB c 3\r\nPUB c 1\r\ny\r\n").await;
    assert_eq!(client.settled().await, "MSG c 3 1\ny\n");
}

#[tokio::test]
async fn who_must_say_who_it_is_says_it_first() {
    let auth = Auth::User { name: "u".into(), password: Secret::new("p") };
    let server = Server::start(NatsConfig { auth, ..NatsConfig::default() }).await;
    let mut client = server.raw().await;
    assert!(client.info.contains("\"auth_required\":true"), "{}", client.info);
    client.send("P").await;
    assert_eq!(client.until_end().await, "-ERR 'Authorization Violation'\n");
    for wrong in [r#"{}"#, r#"{"user":"u"}"#, r#"{"user":"u","pass":"q"}"#, r#"{"user":"v","pass":"p"}"#] {
        let mut client = server.raw().await;
        client.send(format!("CONNECT {wrong}\r\n")).await;
        assert_eq!(client.until_end().await, "-ERR 'Authorization Violation'\n", "{wrong}");
    }
    let mut client = server.raw().await;
    client.send("CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n").await;
    assert_eq!(client.settled().await, "+OK\n");
    let auth = Auth::Token(Secret::new("t"));
    let server = Server::start(NatsConfig { auth, ..NatsConfig::default() }).await;
    let mut client = server.raw().await;
    client.send("CONNECT {\"auth_token\":\"t\"}\r\n").await;
    assert_eq!(client.settled().await, "+OK\n");
    let mut client = server.raw().await;
    client.send("CONNECT {\"auth_token\":\"tt\"}\r\n").await;
    assert_eq!(client.until_end().await, "-ERR 'Authorization Violation'\n");
}

#[tokio::test]
async fn who_never_says_who_it_is_is_ended() {
    let auth = Auth::Token(Secret::new("t"));
    let auth_timeout = Duration::from_millis(100);
    let server = Server::start(NatsConfig { auth, auth_timeout, ..NatsConfig::default() }).await;
    let mut client = server.raw().await;
    assert_eq!(client.until_end().await, "-ERR 'Authentication Timeout'\n");
}

#[tokio::test]
async fn silent_client_is_pinged_and_then_stale() {
    let config = NatsConfig { ping_interval: Duration::from_millis(100), ..NatsConfig::default() };
    let server = Server::start(config).await;
    let mut client = server.raw().await;
    client.send(QUIET).await;
    assert_eq!(client.until_end().await, "PING\nPING\n-ERR 'Stale Connection'\n");
    let mut alive = server.raw().await;
    alive.send(QUIET).await;
    for _ in 0..5 {
        assert_eq!(alive.line().await.unwrap(), "PING");
        alive.send("PONG\r\n").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_consumer_is_ended_and_its_publisher_goes_on() {
    let config = NatsConfig { max_pending: 1 << 20, ..NatsConfig::default() };
    let server = Server::start(config).await;
    let mut slow = server.client().await;
    slow.send("SUB a 1\r\n").await;
    slow.settled().await;
    let mut client = server.client().await;
    let message = [b"PUB a 60000\r\n", &[b'x'; 60_000][..], b"\r\n"].concat();
    // More than the kernel's buffers take.
    for _ in 0..400 {
        client.stream.write_all(&message).await.unwrap();
    }
    client.settled().await;
    while server.metrics.closed_slow.load(Ordering::Relaxed) == 0 {
        client.stream.write_all(&message).await.unwrap();
        client.settled().await;
    }
    assert!(server.metrics.stalls.load(Ordering::Relaxed) > 0, "publishers are stalled before");
    client.send("SUB b 2\r\nPUB b 1\r\nx\r\n").await;
    assert_eq!(client.settled().await, "MSG b 2 1\nx\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_takes_nothing_is_ended_at_the_write_deadline() {
    let config = NatsConfig { write_deadline: Duration::from_millis(200), ..NatsConfig::default() };
    let server = Server::start(config).await;
    let mut slow = server.client().await;
    slow.send("SUB a 1\r\n").await;
    slow.settled().await;
    let mut client = server.client().await;
    let message = [b"PUB a 60000\r\n", &[b'x'; 60_000][..], b"\r\n"].concat();
    for _ in 0..300 {
        client.stream.write_all(&message).await.unwrap();
    }
    while server.metrics.closed_slow.load(Ordering::Relaxed) == 0 {
        client.settled().await;
    }
}

#[tokio::test]
async fn stopping_server_tells_its_clients_and_ends_them_one_by_one() {
    let config = NatsConfig {
        lame_duck_grace: Duration::from_millis(50),
        lame_duck_duration: Duration::from_millis(200),
        ..NatsConfig::default()
    };
    let mut server = Server::start(config).await;
    let mut aware = server.raw().await;
    aware.send(CONNECT).await;
    let info = aware.settled().await;
    assert_eq!(info, "");
    assert!(aware.line().await.unwrap().contains("connect_info"));
    let mut unaware = server.client().await;
    server.stop();
    let last = aware.until_end().await;
    assert!(last.starts_with("INFO {") && last.contains("\"ldm\":true"), "{last}");
    assert_eq!(last.lines().count(), 1);
    assert_eq!(unaware.until_end().await, "");
    server.stopped().await;
}

#[tokio::test]
async fn stop_without_clients_is_at_once() {
    let mut server =
        Server::start(NatsConfig { lame_duck_grace: Duration::from_secs(3600), ..NatsConfig::default() })
            .await;
    server.stop();
    server.stopped().await;
}
