//! The session with a stand-in behind it: order, pipelining, bounds, and ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::reply::{Reply, ResponseFrame};
use super::*;

/// Echoes a frame. Its first byte says what to do; bytes 1 to 8 are the LSN to wait for.
struct Echo {
    durable: watch::Sender<u64>,
    stopped: watch::Sender<bool>,
    now_ms: AtomicU64,
    handled: watch::Sender<usize>,
    replied: Mutex<HashMap<usize, usize>>,
    commits: watch::Sender<usize>,
}

impl Echo {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            durable: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
            now_ms: AtomicU64::new(1),
            handled: watch::Sender::new(0),
            replied: Mutex::default(),
            commits: watch::Sender::new(0),
        })
    }
}

const ECHO: u8 = 0;
const SILENT: u8 = 1;
const REFUSE: u8 = 2;
const PANIC: u8 = 3;
const PARK: u8 = 4;
const LARGE: u8 = 5;
const ALTERNATIVE: u8 = 6;

impl Service for Echo {
    type Client = ();

    async fn handle(&self, (): &mut (), frame: &mut Frame) -> Result<(Outcome, Meter), CloseReason> {
        let lsn = Lsn(u64::from_be_bytes(*frame.bytes[1..].first_chunk().unwrap()));
        self.handled.send_modify(|count| *count += 1);
        let echo = |bytes: Bytes| {
            let mut buffer = ResponseFrame { correlation_id: 7, flexible_header: false }.begin(0);
            reply::finish(&mut buffer, bytes.len()).unwrap();
            Reply { pieces: vec![buffer.freeze(), bytes], after: lsn, if_stopped: None }
        };
        let outcome = match frame.bytes[0] {
            ECHO => Outcome::Reply(echo(frame.bytes.clone())),
            SILENT => Outcome::Silent,
            REFUSE => return Err(CloseReason::UnknownApi { key: -1, version: 0 }),
            PANIC => panic!("a handler's mistake"),
            PARK => std::future::pending().await,
            LARGE => Outcome::Reply(echo(Bytes::from(vec![9; 100_000]))),
            ALTERNATIVE => {
                Outcome::Reply(echo(frame.bytes.clone()).or_if_stopped(|| Bytes::from_static(b"sorry")))
            }
            other => unreachable!("{other}"),
        };
        Ok((outcome, Meter::default()))
    }

    async fn durable(&self, lsn: Lsn) -> Result<(), Stopped> {
        let mut durable = self.durable.subscribe();
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            biased;
            _ = durable.wait_for(|durable| *durable >= lsn.0) => Ok(()),
            _ = stopped.wait_for(|stopped| *stopped) => Err(Stopped("sync failed".to_owned())),
        }
    }

    fn commit_soon(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    fn durable_lsn(&self) -> Lsn {
        Lsn(*self.durable.borrow())
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms.load(Ordering::Relaxed))
    }

    fn replied(&self, meter: Meter, _: Duration) {
        *self.replied.lock().entry(meter.api).or_default() += 1;
    }
}

struct Session {
    client: DuplexStream,
    echo: Arc<Echo>,
    connection: Arc<Connection>,
    task: JoinHandle<CloseReason>,
    shared: Arc<Shared>,
    draining: watch::Sender<bool>,
}

fn start(config: KafkaConfig) -> Session {
    let (client, server) = duplex(4096);
    let (read, write) = tokio::io::split(server);
    let echo = Echo::new();
    let (draining, receiver) = watch::channel(false);
    let shared = Arc::new(Shared::new(config, receiver));
    let connection =
        Arc::new(Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), Duration::from_millis(1)));
    let task = tokio::spawn({
        let (echo, shared, connection) = (Arc::clone(&echo), Arc::clone(&shared), Arc::clone(&connection));
        async move { run(read, write, &connection, (), &*echo, &shared).await }
    });
    Session { client, echo, connection, task, shared, draining }
}

fn frame(what: u8, lsn: u64, tail: &[u8]) -> Vec<u8> {
    let mut frame = i32::try_from(9 + tail.len()).unwrap().to_be_bytes().to_vec();
    frame.push(what);
    frame.extend_from_slice(&lsn.to_be_bytes());
    frame.extend_from_slice(tail);
    frame
}

impl Session {
    async fn send(&mut self, what: u8, lsn: u64, tail: &[u8]) {
        self.client.write_all(&frame(what, lsn, tail)).await.unwrap();
    }

    /// The next reply's body behind the correlation id, or `None` at the stream's end.
    async fn receive(&mut self) -> Option<Vec<u8>> {
        let length = self.client.read_i32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.client.read_exact(&mut body).await.ok()?;
        assert_eq!(body[..4], 7_i32.to_be_bytes());
        Some(body.split_off(4))
    }

    async fn handled(&self, count: usize) {
        self.echo.handled.subscribe().wait_for(|handled| *handled >= count).await.unwrap();
    }
}

#[tokio::test]
async fn requests_are_handled_while_earlier_replies_wait_for_their_sync_and_leave_in_order() {
    let mut session = start(KafkaConfig::default());
    session.send(ECHO, 5, b"first").await;
    session.send(ECHO, 0, b"second").await;
    session.send(ECHO, 6, b"third").await;
    session.handled(3).await;
    session.echo.durable.send_replace(5);
    assert!(session.receive().await.unwrap().ends_with(b"first"));
    assert!(session.receive().await.unwrap().ends_with(b"second"));
    let mut byte = [0; 1];
    let early = tokio::select! {
        biased;
        _ = session.client.read(&mut byte) => true,
        () = tokio::task::yield_now() => false,
    };
    assert!(!early, "the third reply left before its state was durable");
    session.echo.durable.send_replace(6);
    assert!(session.receive().await.unwrap().ends_with(b"third"));
    drop(session.client);
    assert!(matches!(session.task.await.unwrap(), CloseReason::PeerClosed));
    assert_eq!(session.echo.replied.lock()[&0], 3);
}

#[tokio::test]
async fn what_no_reply_waits_for_is_committed_all_the_same() {
    let mut session = start(KafkaConfig::default());
    let mut commits = session.echo.commits.subscribe();
    session.send(SILENT, 0, b"").await;
    commits.wait_for(|count| *count == 1).await.unwrap();
    // The first reply asks by waiting for its sync; the second stands behind it.
    session.send(ECHO, 5, b"first").await;
    session.handled(2).await;
    assert_eq!(*commits.borrow(), 1);
    session.send(ECHO, 6, b"second").await;
    commits.wait_for(|count| *count == 2).await.unwrap();
    // Nobody will take the replies, and nobody polls the session to its end.
    session.task.abort();
    commits.wait_for(|count| *count == 3).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_before_the_end_of_the_stream_is_answered() {
    let mut session = start(KafkaConfig::default());
    session.send(ECHO, 1, b"first").await;
    session.send(SILENT, 0, b"").await;
    session.send(ECHO, 2, b"second").await;
    session.client.shutdown().await.unwrap();
    session.handled(3).await;
    session.echo.durable.send_replace(2);
    assert!(session.receive().await.unwrap().ends_with(b"first"));
    assert!(session.receive().await.unwrap().ends_with(b"second"));
    assert!(session.receive().await.is_none());
}

#[tokio::test]
async fn refused_request_ends_the_connection_after_the_replies_before_it() {
    let mut session = start(KafkaConfig::default());
    session.send(ECHO, 0, b"first").await;
    session.send(REFUSE, 0, b"").await;
    session.send(ECHO, 0, b"never").await;
    assert!(session.receive().await.unwrap().ends_with(b"first"));
    assert!(session.receive().await.is_none());
    let reason = session.task.await.unwrap();
    assert!(reason.is_bad_input());
    assert!(matches!(reason, CloseReason::UnknownApi { .. }));
}

#[tokio::test]
async fn when_the_log_stops_replies_become_their_alternatives_and_the_connection_ends() {
    let mut session = start(KafkaConfig::default());
    session.send(ECHO, 1, b"durable").await;
    session.send(ALTERNATIVE, 2, b"").await;
    session.send(ALTERNATIVE, 3, b"").await;
    session.send(ECHO, 4, b"none").await;
    session.handled(4).await;
    session.echo.durable.send_replace(1);
    assert!(session.receive().await.unwrap().ends_with(b"durable"));
    session.echo.stopped.send_replace(true);
    let mut rest = Vec::new();
    session.client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"sorrysorry");
    assert!(matches!(session.task.await.unwrap(), CloseReason::LogStopped(_)));
}

#[tokio::test]
async fn parked_request_ends_when_its_client_goes_away() {
    let mut session = start(KafkaConfig::default());
    session.send(PARK, 0, b"").await;
    session.handled(1).await;
    drop(session.client);
    assert!(matches!(session.task.await.unwrap(), CloseReason::PeerClosed));
}

#[tokio::test]
async fn next_request_behind_a_parked_one_is_kept() {
    let mut session = start(KafkaConfig::default());
    session.send(PARK, 0, b"").await;
    session.handled(1).await;
    session.send(ECHO, 0, b"later").await;
    // The session may now have read the second request ahead; it isn't handled before the first is done.
    tokio::task::yield_now().await;
    assert_eq!(*session.echo.handled.borrow(), 1);
    session.connection.end(CloseReason::Idle { seconds: 1 });
    assert!(matches!(session.task.await.unwrap(), CloseReason::Idle { .. }));
}

#[tokio::test]
async fn client_that_never_reads_stops_being_read_and_is_ended() {
    let config = KafkaConfig { reply_queue_bytes: 150_000, ..KafkaConfig::default() };
    let write_timeout = config.write_timeout;
    let mut session = start(config);
    for _ in 0..10 {
        session.send(LARGE, 0, b"").await;
    }
    session.handled(2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let handled = *session.echo.handled.borrow();
    assert!(handled <= 3, "{handled} requests were handled though nobody takes the replies");
    let waiting = session.shared.reply_bytes.get();
    assert!(waiting <= 300_100, "{waiting} bytes wait");
    let config = &session.shared.config;
    let later = session.echo.now() + write_timeout + Duration::from_secs(1);
    let reason = session.connection.overdue(later, config).expect("nothing was taken for too long");
    assert!(matches!(reason, CloseReason::NotReading { .. }));
    session.connection.end(reason);
    assert!(matches!(session.task.await.unwrap(), CloseReason::NotReading { .. }));
    assert_eq!(session.shared.reply_bytes.get(), 0);
}

#[tokio::test]
async fn announced_bytes_that_never_come_hold_only_the_first_bytes_of_the_budget() {
    let mut session = start(KafkaConfig::default());
    let free = session.shared.budget.available();
    session.client.write_all(&(16_i32 << 20).to_be_bytes()).await.unwrap();
    session.client.write_all(&[0; 1000]).await.unwrap();
    while session.connection.overdue(Duration::from_secs(100), &session.shared.config).is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(session.shared.budget.available(), free);
    drop(session.client);
    assert!(matches!(
        session.task.await.unwrap(),
        CloseReason::Frame(FrameError::Truncated { got: 1000, .. })
    ));
}

#[tokio::test]
async fn draining_ends_idle_sessions_and_lets_replies_leave() {
    let mut session = start(KafkaConfig::default());
    session.send(ECHO, 1, b"asked before").await;
    session.handled(1).await;
    session.draining.send_replace(true);
    session.echo.durable.send_replace(1);
    assert!(session.receive().await.unwrap().ends_with(b"asked before"));
    assert!(session.receive().await.is_none());
    assert!(matches!(session.task.await.unwrap(), CloseReason::Draining));
}

#[tokio::test]
async fn large_frames_come_whole_through_a_small_pipe() {
    let session = start(KafkaConfig::default());
    let tail: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut read, mut write) = tokio::io::split(session.client);
    let send = tokio::spawn({
        let frame = frame(ECHO, 0, &tail);
        async move { write.write_all(&frame).await.map(|()| write) }
    });
    let length = read.read_i32().await.unwrap();
    let mut body = vec![0; usize::try_from(length).unwrap()];
    read.read_exact(&mut body).await.unwrap();
    assert!(body.ends_with(&tail));
    drop(send.await.unwrap().unwrap());
    session.task.abort();
}

#[tokio::test]
async fn panic_of_a_handler_ends_its_connection_only() {
    let mut session = start(KafkaConfig::default());
    let mut other = start(KafkaConfig::default());
    session.send(PANIC, 0, b"").await;
    assert!(session.task.await.unwrap_err().is_panic());
    other.send(ECHO, 0, b"still here").await;
    assert!(other.receive().await.unwrap().ends_with(b"still here"));
}

#[test]
fn silent_session_is_small() {
    let echo = Echo::new();
    let (_draining, receiver) = watch::channel(false);
    let shared = Shared::new(KafkaConfig::default(), receiver);
    let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), Duration::ZERO);
    let (read, write) = (tokio::io::empty(), tokio::io::sink());
    let session = run(read, write, &connection, (), &*echo, &shared);
    let bytes = size_of_val(&session);
    assert!(bytes <= 4096, "a silent session takes {bytes} bytes");
}
