//! Damaged and lying streams: every verb cut off anywhere, with any byte changed, with lengths that lie. Each is
//! answered or ends its connection; nothing panics, nothing is left behind, and others don't notice.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use duolog_env::{Env, Rng};
use duolog_nats::session::close::CloseReason;
use duolog_nats::{Door, NatsConfig, Router};
use duolog_testkit::SimRng;
use support::{QUIET, Server};

/// Streams that reach deep.
fn streams() -> Vec<Vec<u8>> {
    let header = "HPUB a.b r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
    [
        format!(
            "{QUIET}SUB a.* 1\r\nSUB > q 2\r\nPUB a.b r 2\r\nhi\r\n{header}UNSUB 1 1\r\nUNSUB 2\r\nPING\r\n"
        ),
        format!("{QUIET}SUB r 1\r\nPUB nobody r 0\r\n\r\nPUB $SYS.REQ.USER.INFO r 0\r\n\r\n"),
        "SUB a 1\r\nPUB a 2\r\nhi\r\nCONNECT {\"verbose\":true}\r\nSUB a..b 2\r\nUNSUB 9\r\n".to_owned(),
        format!("{QUIET}PUB a 100000\r\n{}\r\nPING\r\n", "x".repeat(100_000)),
    ]
    .map(String::into_bytes)
    .to_vec()
}

async fn converse(door: &Door, bytes: &[u8]) {
    let before = door.router().subscriptions();
    let connection = door.connection(SocketAddr::from(([127, 0, 0, 1], 5)));
    let session = door.converse(bytes, tokio::io::sink(), &connection);
    let reason = tokio::time::timeout(Duration::from_secs(10), session).await.expect("ends with its stream");
    assert!(!matches!(reason, CloseReason::Internal(_) | CloseReason::SlowConsumer { .. }), "{reason}");
    assert_eq!(door.router().subscriptions(), before);
}

#[tokio::test]
async fn streams_cut_off_and_changed_end_and_leave_nothing() {
    let env = Env::real();
    let door = Door::new(&env, &Router::new(&env), NatsConfig::default(), 4222);
    let rng = SimRng::new(7);
    for stream in streams() {
        let step = (stream.len() / 400).max(1);
        for end in (0..stream.len()).step_by(step) {
            converse(&door, &stream[..end]).await;
        }
        for at in (0..stream.len()).step_by(step) {
            let mut changed = stream.clone();
            changed[at] = rng.next_u64().to_le_bytes()[0];
            converse(&door, &changed).await;
            changed.remove(at);
            converse(&door, &changed).await;
        }
    }
}

#[tokio::test]
async fn a_hundred_liars_do_not_keep_others_from_large_messages() {
    // Room for ten of them.
    let config = NatsConfig {
        input_bytes: 10 << 20,
        stall_timeout: Duration::from_millis(300),
        ..NatsConfig::default()
    };
    let server = Server::start(config).await;
    let mut liars = Vec::new();
    for _ in 0..100 {
        let mut liar = server.client().await;
        liar.send("PUB a 1048576\r\nxx").await;
        liars.push(liar);
    }
    let mut client = server.client().await;
    client.send("SUB big 1\r\n").await;
    client.send([b"PUB big 1000000\r\n", &vec![b'y'; 1_000_000][..], b"\r\n"].concat()).await;
    let got = client.settled().await;
    assert!(got.starts_with("MSG big 1 1000000\nyyy") && got.len() > 1_000_000);
}

#[tokio::test]
async fn subscriptions_by_the_hundred_thousand_go_with_their_client() {
    let server = Server::start(NatsConfig::default()).await;
    let before = server.router.subscriptions();
    let mut client = server.client().await;
    for chunk in 0..100 {
        let subs: String =
            (0..1000).map(|n| format!("SUB s.{chunk}.{n}.{} {chunk}x{n}\r\n", n % 2)).collect();
        client.send(subs).await;
        let wild: String = (0..100).map(|n| format!("SUB w.{chunk}.*.{n}.> w{chunk}x{n}\r\n")).collect();
        client.send(wild).await;
    }
    client.send("PUB s.7.9.1 1\r\nx\r\nPUB w.7.any.9.tail 1\r\ny\r\n").await;
    assert_eq!(client.settled().await, "MSG s.7.9.1 7x9 1\nx\nMSG w.7.any.9.tail w7x9 1\ny\n");
    assert_eq!(server.router.subscriptions() - before, 110_000);
    drop(client);
    while server.router.subscriptions() > before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn deep_subjects_are_matched_and_forgotten() {
    let server = Server::start(NatsConfig::default()).await;
    let before = server.router.subscriptions();
    let mut client = server.client().await;
    let deep = vec!["a"; 2000].join(".");
    client.send(format!("SUB {}.> 1\r\n", deep.replacen('a', "*", 1000))).await;
    client.send(format!("PUB {deep}.a 1\r\nx\r\n")).await;
    assert!(client.settled().await.ends_with(" 1 1\nx\n"));
    drop(client);
    while server.router.subscriptions() > before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn verbose_client_that_never_reads_holds_no_more_than_its_limit() {
    let config = NatsConfig { max_pending: 256 << 10, ..NatsConfig::default() };
    let server = Server::start(config).await;
    let mut client = server.raw().await;
    let pings = "PING\r\n".repeat(10_000);
    // Until the server has had enough.
    let mut sent = 0_u32;
    while tokio::io::AsyncWriteExt::write_all(&mut client.stream, pings.as_bytes()).await.is_ok() {
        sent += 1;
        assert!(sent < 20_000, "answers are kept without bound");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.metrics.closed_slow.load(Ordering::Relaxed), 1);
}
