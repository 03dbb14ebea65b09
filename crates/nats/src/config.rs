//! What the NATS door lets its operator choose: limits, timeouts, who may connect.
//!
//! The server's configuration maps onto this one to one.

use std::time::Duration;

/// Settings of one NATS listener.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// The server's name; empty: its id.
    pub server_name: String,
    /// The version of nats-server that is announced: clients ask it for what they may use.
    pub version: String,
    /// The JetStream API level that is announced, if JetStream is served.
    pub jetstream: Option<u64>,
    /// The host that INFO names.
    pub host: String,
    /// Who may connect.
    pub auth: Auth,
    /// Longest control line, bytes (nats-server: `max_control_line`).
    pub max_control_line: usize,
    /// Largest message, bytes of headers and payload (nats-server: `max_payload`).
    pub max_payload: usize,
    /// Bytes that may wait for one client before it is ended as a slow consumer (nats-server: `max_pending`).
    pub max_pending: usize,
    /// Bytes that may wait for all clients together; beyond it those for whom most waits are ended.
    pub max_pending_total: usize,
    /// Bytes of begun messages larger than 64 KiB that all connections together may hold; others wait.
    pub input_bytes: usize,
    /// Connections of all clients together (nats-server: `max_connections`).
    pub max_connections: usize,
    /// Subscriptions of one connection; 0: as many as it wants (nats-server: `max_subscriptions`).
    pub max_subscriptions: usize,
    /// How often a silent client is asked whether it is there (nats-server: `ping_interval`).
    pub ping_interval: Duration,
    /// Pings that may be unanswered (nats-server: `ping_max`).
    pub max_pings_out: u32,
    /// A client that takes nothing for so long is ended (nats-server: `write_deadline`).
    pub write_deadline: Duration,
    /// Time to say who one is, where that is asked (nats-server: `authorization.timeout`).
    pub auth_timeout: Duration,
    /// A large message of which no byte comes for so long ends its connection.
    pub stall_timeout: Duration,
    /// From the stop's announcement to the end of the last connection (nats-server: `lame_duck_duration`).
    pub lame_duck_duration: Duration,
    /// From the stop's announcement to the end of the first connection (nats-server: `lame_duck_grace_period`).
    pub lame_duck_grace: Duration,
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    #[default]
    None,
    /// Who knows the token.
    Token(Secret),
    /// One user.
    User {
        /// Its name.
        name: String,
        /// Its password.
        password: Secret,
    },
}

/// A password or a token: never printed, compared without telling by its time where it differs.
#[derive(Clone, Default, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Whether `given` is it. Takes as long for every given text of one length.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let differing = (0..given.len()).fold(own.len() ^ given.len(), |differing, at| {
            differing | usize::from(own.get(at).copied().unwrap_or(0) ^ given[at])
        });
        std::hint::black_box(differing) == 0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            server_name: String::new(),
            version: "2.14.0".to_owned(),
            jetstream: None,
            host: "127.0.0.1".to_owned(),
            auth: Auth::None,
            max_control_line: 4096,
            max_payload: 1 << 20,
            max_pending: 64 << 20,
            max_pending_total: 1 << 30,
            input_bytes: 256 << 20,
            max_connections: 64 << 10,
            max_subscriptions: 0,
            ping_interval: Duration::from_secs(120),
            max_pings_out: 2,
            write_deadline: Duration::from_secs(10),
            auth_timeout: Duration::from_secs(2),
            stall_timeout: Duration::from_secs(10),
            lame_duck_duration: Duration::from_secs(3),
            lame_duck_grace: Duration::from_millis(500),
        }
    }
}
