//! A session over pipes: pacing, order, and what its end leaves.

use std::net::SocketAddr;

use duolog_env::Env;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::config::NatsConfig;
use crate::router::{Handler, Inbound, Origin, Router};

struct Client {
    stream: DuplexStream,
    task: JoinHandle<CloseReason>,
    connection: Arc<Connection>,
}

fn door(config: NatsConfig) -> Arc<Door> {
    let env = Env::real();
    Arc::new(Door::new(&env, &Router::new(&env), config, 4222))
}

fn start(door: &Arc<Door>) -> Client {
    let (stream, server) = duplex(4096);
    let (reader, writer) = tokio::io::split(server);
    let connection = door.connection(SocketAddr::from(([127, 0, 0, 1], 1)));
    let task = tokio::spawn({
        let (door, connection) = (Arc::clone(door), Arc::clone(&connection));
        async move { door.converse(reader, writer, &connection).await }
    });
    Client { stream, task, connection }
}

const QUIET: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Everything up to and with `end`.
    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut got = Vec::new();
        while !got.ends_with(end) {
            assert!(self.stream.read_buf(&mut got).await.unwrap() > 0, "{}", got.escape_ascii());
        }
        got
    }
}

#[tokio::test]
async fn message_cut_anywhere_arrives_whole_and_in_order() {
    let door = door(NatsConfig::default());
    let mut client = start(&door);
    client.until(b" \r\n").await;
    client.send(QUIET).await;
    client.send(b"SUB a 1\r\n").await;
    let payload: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let mut stream = format!("PUB a {}\r\n", payload.len()).into_bytes();
    stream.extend_from_slice(&payload);
    stream.extend_from_slice(b"\r\nPUB a 1\r\nx\r\nPING\r\n");
    let (mut read, mut write) = tokio::io::split(client.stream);
    let sending = tokio::spawn(async move {
        for chunk in stream.chunks(777) {
            write.write_all(chunk).await.unwrap();
        }
        write
    });
    let expected = [b"MSG a 1 300000\r\n", &payload[..], b"\r\nMSG a 1 1\r\nx\r\nPONG\r\n"].concat();
    let mut got = vec![0; expected.len()];
    read.read_exact(&mut got).await.unwrap();
    assert!(got == expected);
    drop(sending.await.unwrap());
    drop(read);
    assert!(matches!(client.task.await.unwrap(), CloseReason::PeerClosed | CloseReason::Io(_)));
    assert_eq!(door.router().subscriptions(), 1, "only the door's own");
    assert_eq!(door.room().used.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn announced_bytes_that_never_come_hold_only_room_that_is_given_back() {
    let config = NatsConfig { input_bytes: 1 << 20, ..NatsConfig::default() };
    let door = door(config);
    let mut liar = start(&door);
    liar.send(QUIET).await;
    liar.send(b"PUB a 1000000\r\nxx").await;
    while door.room().used.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    // A second waits for room; small messages of others don't.
    let mut second = start(&door);
    second.send(QUIET).await;
    second.send(b"PUB a 1000000\r\nxx").await;
    let mut small = start(&door);
    small.until(b" \r\n").await;
    small.send(QUIET).await;
    small.send(b"SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n").await;
    small.until(b"MSG a 1 1\r\nx\r\nPONG\r\n").await;
    let late = door.env().clock.monotonic() + Duration::from_secs(11);
    let connection::Due::End(reason) = liar.connection.due(late, door.config()) else {
        panic!("not overdue")
    };
    assert!(matches!(reason, CloseReason::Stalled { .. }));
    liar.connection.end(reason);
    drop(liar.stream);
    assert!(matches!(liar.task.await.unwrap(), CloseReason::Stalled { .. }));
    second.connection.end(CloseReason::Draining);
    drop(second.stream);
    second.task.await.unwrap();
    assert_eq!(door.room().used.load(Ordering::Relaxed), 0);
}

struct Panics;

impl Handler for Panics {
    fn publish(&self, _: &Inbound<'_>, _: Origin<'_>) -> bool {
        panic!("a handler's mistake")
    }
}

#[tokio::test]
async fn panic_of_a_handler_ends_its_connection_only_and_leaves_no_subscription() {
    let door = door(NatsConfig::default());
    let _handler = door.router().register("bad", Arc::new(Panics)).unwrap();
    let before = door.router().subscriptions();
    let (mut client, mut other) = (start(&door), start(&door));
    other.until(b" \r\n").await;
    client.send(QUIET).await;
    client.send(b"SUB a 1\r\nSUB b.* 2\r\nPUB bad 1\r\nx\r\n").await;
    assert!(client.task.await.unwrap_err().is_panic());
    assert_eq!(door.router().subscriptions(), before);
    other.send(QUIET).await;
    other.send(b"PING\r\n").await;
    other.until(b"PONG\r\n").await;
}

struct Slow;

impl Handler for Slow {
    fn publish(&self, _: &Inbound<'_>, _: Origin<'_>) -> bool {
        true
    }

    fn end_of_batch(&self) -> Pace {
        Pace::Stall
    }
}

#[tokio::test]
async fn handler_can_pause_a_client_and_nothing_that_it_sent_is_lost() {
    let door = door(NatsConfig::default());
    let _handler = door.router().register("slow", Arc::new(Slow)).unwrap();
    let mut client = start(&door);
    client.until(b" \r\n").await;
    client.send(QUIET).await;
    client.send(b"SUB a 1\r\n").await;
    for _ in 0..20 {
        client.send(b"PUB slow 1\r\nx\r\nPUB a 1\r\ny\r\nPING\r\n").await;
        client.until(b"MSG a 1 1\r\ny\r\nPONG\r\n").await;
    }
}

#[test]
fn silent_session_is_small() {
    let door = door(NatsConfig::default());
    let connection = door.connection(SocketAddr::from(([127, 0, 0, 1], 1)));
    let session = run(tokio::io::empty(), tokio::io::sink(), &connection, &door);
    let bytes = size_of_val(&session) + size_of::<Connection>();
    assert!(bytes <= 4096, "a silent session takes {bytes} bytes");
}
