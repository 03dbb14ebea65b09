//! A listener and its connections: who is let in, who is ended when, and how the broker's stop is told.
//!
//! One task per connection, and one timer for all of them: at every tick each connection is asked whether
//! something about it is due.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use duolog_env::{Env, Sleep};
use duolog_nats_wire::{ErrorText, encode};
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinSet};

use crate::config::NatsConfig;
use crate::door::Door;
use crate::metrics::NatsMetrics;
use crate::router::Router;
use crate::session::close::CloseReason;
use crate::session::connection::{Connection, Due};

/// The longest time between two ticks.
const TICK: Duration = Duration::from_secs(1);
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// How long to wait after a failed accept: the process is out of file descriptors, or nearly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest time between the ends of two connections when the broker stops.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// A NATS listener, ready to serve.
#[derive(Debug)]
pub struct Nats {
    listener: TcpListener,
    address: SocketAddr,
    door: Arc<Door>,
}

impl Nats {
    /// A door on `listener` to what is registered with `router`.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn new(
        listener: TcpListener,
        env: &Env,
        router: &Arc<Router>,
        config: NatsConfig,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let door = Arc::new(Door::new(env, router, config, address.port()));
        Ok(Self { listener, address, door })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What all connections share.
    #[must_use]
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// The counters, for the metrics page.
    #[must_use]
    pub fn metrics(&self) -> Arc<NatsMetrics> {
        Arc::clone(self.door.metrics())
    }

    /// Serves clients until `shutdown` ends; then tells them that the server goes (lame duck), and ends one
    /// connection after the other over [`NatsConfig::lame_duck_duration`], so that they don't all come back to
    /// the next server at once.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let mut connections = Connections::default();
        let mut ticks = Ticks::new(self.door.env(), self.door.config());
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => connections.admit(stream, peer, &self.door),
                    Err(error) => {
                        tracing::warn!(%error, "accepting a nats connection failed");
                        self.door.env().clock.sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.tasks.join_next_with_id() => connections.forget(ended, &self.door),
                () = ticks.next() => connections.tick(&self.door),
            }
        }
        drop(self.listener);
        connections.end_all(&self.door).await;
    }
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: HashMap<Id, Arc<Connection>>,
}

impl Connections {
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, door: &Arc<Door>) {
        let metrics = door.metrics();
        metrics.accepted.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY");
        }
        let connection = door.connection(peer);
        if self.open.len() >= door.config().max_connections {
            turn_away(stream, &connection, door);
            return;
        }
        let task = self.tasks.spawn(converse(stream, Arc::clone(&connection), Arc::clone(door)));
        self.open.insert(task.id(), connection);
        metrics.connections.store(self.open.len(), Ordering::Relaxed);
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>, door: &Door) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.remove(&id);
        door.metrics().connections.store(self.open.len(), Ordering::Relaxed);
    }

    fn tick(&self, door: &Door) {
        let now = door.env().clock.monotonic();
        for connection in self.open.values() {
            match connection.due(now, door.config()) {
                Due::Nothing => {}
                Due::Ping => connection.send(encode::PING),
                Due::Trim => {
                    connection.trim.store(true, Ordering::Relaxed);
                    connection.waker.wake();
                }
                Due::End(reason) => connection.end(reason),
            }
        }
    }

    /// The lame duck: all are told, then ended one by one.
    async fn end_all(&mut self, door: &Arc<Door>) {
        if self.open.is_empty() {
            return;
        }
        for connection in self.open.values() {
            if connection.takes_info.load(Ordering::Relaxed) {
                connection.lame_duck.store(true, Ordering::Relaxed);
                connection.waker.wake();
            }
        }
        let (grace, whole) = (door.config().lame_duck_grace, door.config().lame_duck_duration);
        self.wait(grace, door).await;
        let spread = whole.saturating_sub(grace);
        let step = (spread / u32::try_from(self.open.len().max(1)).unwrap_or(u32::MAX)).min(LONGEST_STEP);
        let open: Vec<Arc<Connection>> = self.open.values().cloned().collect();
        // Timers are no finer than this: where steps are shorter, several are ended at once.
        let at_once = (SHORTEST_TICK.as_nanos() / step.as_nanos().max(1)).max(1);
        for (at, connection) in open.iter().enumerate() {
            connection.end(CloseReason::Draining);
            if at + 1 < open.len() && (at as u128 + 1).is_multiple_of(at_once) {
                self.wait(step.max(SHORTEST_TICK.min(step * u32::try_from(at_once).unwrap_or(1))), door)
                    .await;
            }
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.forget(ended, door);
        }
    }

    /// Lets connections end by themselves for `span`, or until there are none.
    async fn wait(&mut self, span: Duration, door: &Arc<Door>) {
        let mut over = door.env().clock.sleep(span);
        while !self.open.is_empty() {
            tokio::select! {
                () = &mut over => return,
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended, door),
            }
        }
    }
}

/// One connection too many is told so, in the order that clients expect: INFO first.
fn turn_away(mut stream: TcpStream, connection: &Connection, door: &Door) {
    let mut bytes = BytesMut::new();
    encode::put_info(&mut bytes, &door.info(connection));
    encode::put_error(&mut bytes, &ErrorText::Connections);
    // A new socket takes these few bytes at once, or the client does without.
    let _ = stream.write_all(&bytes).now_or_never();
    closed(connection, &CloseReason::Refused(ErrorText::Connections), door.metrics());
}

/// One connection, from its first byte to the line in the log that says why it ended.
async fn converse(stream: TcpStream, connection: Arc<Connection>, door: Arc<Door>) {
    let (reader, writer) = stream.into_split();
    let session = door.converse(reader, writer, &connection);
    // A panic is our mistake, and this connection's end; nothing is shared with others that it can leave half
    // changed: no lock is held while a handler runs.
    let reason = AssertUnwindSafe(session).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        CloseReason::Internal(format!("a handler panicked: {text}"))
    });
    connection.end(CloseReason::PeerClosed);
    closed(&connection, &reason, door.metrics());
}

fn closed(connection: &Connection, reason: &CloseReason, metrics: &NatsMetrics) {
    let (client, peer) = (connection.id, connection.peer);
    let counter = if reason.is_slow_consumer() {
        &metrics.closed_slow
    } else if reason.is_bad_input() {
        &metrics.closed_bad_input
    } else {
        &metrics.closed_other
    };
    counter.fetch_add(1, Ordering::Relaxed);
    if matches!(reason, CloseReason::Internal(_)) {
        tracing::error!(client, %peer, %reason, "nats connection closed");
    } else if reason.is_bad_input() {
        tracing::warn!(client, %peer, %reason, "nats connection closed");
    } else {
        tracing::debug!(client, %peer, %reason, "nats connection closed");
    }
}

/// A regular tick, which outlives the `select!` arms that look at it.
struct Ticks {
    env: Env,
    span: Duration,
    next: Sleep,
}

impl Ticks {
    /// Ticks often enough for every deadline to be kept within a quarter of it.
    fn new(env: &Env, config: &NatsConfig) -> Self {
        let shortest = config
            .ping_interval
            .min(config.auth_timeout)
            .min(config.write_deadline)
            .min(config.stall_timeout);
        let span = (shortest / 4).clamp(SHORTEST_TICK, TICK);
        Self { env: env.clone(), span, next: env.clock.sleep(span) }
    }

    async fn next(&mut self) {
        (&mut self.next).await;
        self.next = self.env.clock.sleep(self.span);
    }
}
