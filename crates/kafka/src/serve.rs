//! A listener and its connections: who is let in, who is ended when, and how the broker's stop is waited for.
//!
//! One task per connection, and one timer for all of them: once a second every connection is asked whether what
//! it waits for is overdue.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use duolog_broker::Broker;
use duolog_env::Env;
use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use crate::config::KafkaConfig;
use crate::door::Door;
use crate::metrics::KafkaMetrics;
use crate::session::close::CloseReason;
use crate::session::connection::Connection;

/// How often connections are asked whether they are overdue.
const TICK: Duration = Duration::from_secs(1);

/// How long to wait after a failed accept: the process is out of file descriptors, or nearly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A Kafka listener, ready to serve.
#[derive(Debug)]
pub struct Kafka {
    listener: TcpListener,
    address: SocketAddr,
    door: Arc<Door>,
    draining: watch::Sender<bool>,
}

impl Kafka {
    /// A door to `broker` on `listener`.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn new(listener: TcpListener, broker: Arc<Broker>, config: KafkaConfig) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (draining, receiver) = watch::channel(false);
        let door = Arc::new(Door::new(broker, config, address.port(), receiver));
        Ok(Self { listener, address, door, draining })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counters, for the metrics page.
    #[must_use]
    pub fn metrics(&self) -> Arc<KafkaMetrics> {
        Arc::clone(self.door.metrics())
    }

    /// Serves clients until `shutdown` ends; then requests that are being handled are answered, for as long as
    /// [`KafkaConfig::drain_timeout`] allows, and all connections are closed.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let mut connections = Connections::default();
        let mut ticks = Ticks::new(&self.door.env);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => connections.admit(stream, peer, &self.door),
                    Err(error) => {
                        tracing::warn!(%error, "accepting a kafka connection failed");
                        self.door.env.clock.sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.tasks.join_next_with_id() => connections.forget(ended, &self.door),
                () = ticks.next() => connections.end_overdue(&self.door),
            }
        }
        drop(self.listener);
        self.draining.send_replace(true);
        let deadline = self.door.env.clock.sleep(self.door.config().drain_timeout);
        let drained = async { while connections.tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = drained => return,
            () = deadline => {}
        }
        for connection in connections.open.values() {
            connection.end(CloseReason::Draining);
        }
        while connections.tasks.join_next().await.is_some() {}
    }
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: HashMap<Id, Arc<Connection>>,
    per_ip: HashMap<IpAddr, usize>,
}

impl Connections {
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, door: &Arc<Door>) {
        let config = door.config();
        let ip = peer.ip().to_canonical();
        let of_ip = self.per_ip.get(&ip).copied().unwrap_or(0);
        let refusal = if self.open.len() >= config.max_connections {
            let (open, limit) = (self.open.len(), config.max_connections);
            Some(CloseReason::TooMany { open, limit, scope: "" })
        } else if of_ip >= config.max_connections_per_ip {
            let limit = config.max_connections_per_ip;
            Some(CloseReason::TooMany { open: of_ip, limit, scope: " for one address" })
        } else {
            None
        };
        let metrics = door.metrics();
        metrics.accepted.fetch_add(1, Ordering::Relaxed);
        if let Some(reason) = refusal {
            return closed(peer, &reason, metrics);
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY");
        }
        let connection = Arc::new(Connection::new(peer, door.env.clock.monotonic()));
        let task = self.tasks.spawn(converse(stream, Arc::clone(&connection), Arc::clone(door)));
        self.open.insert(task.id(), connection);
        *self.per_ip.entry(ip).or_default() += 1;
        metrics.connections.store(self.open.len(), Ordering::Relaxed);
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>, door: &Door) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        if let Some(connection) = self.open.remove(&id) {
            let ip = connection.peer.ip().to_canonical();
            if let Some(count) = self.per_ip.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    self.per_ip.remove(&ip);
                }
            }
        }
        door.metrics().connections.store(self.open.len(), Ordering::Relaxed);
    }

    fn end_overdue(&self, door: &Door) {
        let now = door.env.clock.monotonic();
        for connection in self.open.values() {
            if let Some(reason) = connection.overdue(now, door.config()) {
                connection.end(reason);
            }
        }
    }
}

/// One connection, from its first byte to the line in the log that says why it ended.
async fn converse(stream: TcpStream, connection: Arc<Connection>, door: Arc<Door>) {
    let (reader, writer) = stream.into_split();
    let session = door.converse(reader, writer, &connection);
    // A panic is our mistake, and this connection's end; nothing is shared with others that it can leave half
    // changed: their locks aren't held over a handler's waits.
    let reason = AssertUnwindSafe(session).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        CloseReason::Internal(format!("a handler panicked: {text}"))
    });
    closed(connection.peer, &reason, door.metrics());
}

fn closed(peer: SocketAddr, reason: &CloseReason, metrics: &KafkaMetrics) {
    if reason.is_bad_input() {
        metrics.closed_bad_input.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%peer, %reason, "kafka connection closed");
    } else {
        metrics.closed_other.fetch_add(1, Ordering::Relaxed);
        match reason {
            CloseReason::Internal(_) | CloseReason::LogStopped(_) => {
                tracing::error!(%peer, %reason, "kafka connection closed");
            }
            CloseReason::UnansweredProduce { .. } => {
                tracing::warn!(%peer, %reason, "kafka connection closed")
            }
            _ => tracing::debug!(%peer, %reason, "kafka connection closed"),
        }
    }
}

/// A tick every second, which outlives the `select!` arms that look at it.
struct Ticks {
    env: Env,
    next: duolog_env::Sleep,
}

impl Ticks {
    fn new(env: &Env) -> Self {
        Self { env: env.clone(), next: env.clock.sleep(TICK) }
    }

    async fn next(&mut self) {
        (&mut self.next).await;
        self.next = self.env.clock.sleep(TICK);
    }
}
