//! The NATS door: what all its connections share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use duolog_env::Env;
use duolog_nats_wire::{ConnectOptions, ServerInfo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::{Auth, NatsConfig};
use crate::metrics::NatsMetrics;
use crate::router::{Registration, Router};
use crate::session::Room;
use crate::session::close::CloseReason;
use crate::session::connection::Connection;
use crate::session::outbound::TotalPending;
use crate::system::UserInfo;

/// Letters of a server's id.
const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Length of a server's id, as nats-server's have it.
const ID_LEN: usize = 56;

/// What all connections of a listener share.
#[derive(Debug)]
pub struct Door {
    router: Arc<Router>,
    config: NatsConfig,
    env: Env,
    info: ServerInfo,
    metrics: Arc<NatsMetrics>,
    next_client: AtomicU64,
    pending: Arc<TotalPending>,
    room: Arc<Room>,
    _user_info: Option<Registration>,
}

impl Door {
    /// A door to what is registered with `router`, listening on `port`.
    #[must_use]
    pub fn new(env: &Env, router: &Arc<Router>, config: NatsConfig, port: u16) -> Self {
        let server_id = server_id(env);
        let named = !config.server_name.is_empty();
        let info = ServerInfo {
            server_name: if named { config.server_name.clone() } else { server_id.clone() },
            server_id,
            version: config.version.clone(),
            proto: 1,
            go: "none (duolog)".to_owned(),
            host: config.host.clone(),
            port,
            headers: true,
            auth_required: config.auth != Auth::None,
            max_payload: config.max_payload,
            jetstream: config.jetstream.is_some(),
            api_lvl: config.jetstream.unwrap_or(0),
            ..ServerInfo::default()
        };
        // The pattern is a subject.
        let user_info = UserInfo::register(router, &info);
        let pending = TotalPending { bytes: AtomicUsize::new(0), limit: config.max_pending_total };
        let room = Room { used: AtomicUsize::new(0), limit: config.input_bytes };
        Self {
            router: Arc::clone(router),
            env: env.clone(),
            info,
            metrics: Arc::default(),
            next_client: AtomicU64::new(0),
            pending: Arc::new(pending),
            room: Arc::new(room),
            config,
            _user_info: user_info,
        }
    }

    /// Limits and timeouts.
    #[must_use]
    pub fn config(&self) -> &NatsConfig {
        &self.config
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<NatsMetrics> {
        &self.metrics
    }

    /// Who gets what.
    #[must_use]
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// What the server says of itself.
    #[must_use]
    pub fn server_info(&self) -> &ServerInfo {
        &self.info
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(crate) fn asks_who(&self) -> bool {
        self.info.auth_required
    }

    /// INFO for one connection.
    pub(crate) fn info(&self, connection: &Connection) -> ServerInfo {
        let mut info = self.info.clone();
        info.client_id = connection.id;
        info.client_ip = connection.peer.ip().to_canonical().to_string();
        info
    }

    /// The user that a client is, if it may connect.
    pub(crate) fn authenticate(&self, options: &ConnectOptions) -> Option<String> {
        match &self.config.auth {
            Auth::None => Some(String::new()),
            Auth::Token(token) => token.is(&options.auth_token).then(String::new),
            Auth::User { name, password } => {
                // The password is compared whoever asks, so that names can't be guessed by time.
                let (right_password, right_name) = (password.is(&options.pass), options.user == *name);
                (right_password && right_name).then(|| name.clone())
            }
        }
    }

    /// A connection from `peer`, opened now.
    #[must_use]
    pub fn connection(&self, peer: SocketAddr) -> Arc<Connection> {
        let id = self.next_client.fetch_add(1, Ordering::Relaxed) + 1;
        let now = self.env.clock.monotonic();
        Arc::new(Connection::new(id, peer, now, self.config.max_pending, Arc::clone(&self.pending)))
    }

    /// Serves one connection over any byte stream, until it ends.
    pub async fn converse<R, W>(&self, reader: R, writer: W, connection: &Arc<Connection>) -> CloseReason
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        crate::session::run(reader, writer, connection, self).await
    }
}

/// A new id, in the form that clients know: `N` and letters of base 32.
fn server_id(env: &Env) -> String {
    let mut bytes = [0; ID_LEN - 1];
    env.rng.fill(&mut bytes);
    let letters = bytes.iter().map(|byte| char::from(ID_LETTERS[usize::from(*byte) % ID_LETTERS.len()]));
    std::iter::once('N').chain(letters).collect()
}
