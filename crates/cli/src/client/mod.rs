//! A small Kafka client for tooling: finds brokers, keeps one connection to each, speaks the newest version
//! that both sides know, and turns what goes wrong into text that a person can act on.
//!
//! Speaks to any Kafka broker, not only to duolog. It doesn't try to be fast, and retries only where an
//! operation can't take effect twice. Nothing here prints.

mod admin;
mod connection;
mod consumer;
mod error;
mod error_code;
mod groups;
mod member;
mod producer;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_wire::{MetadataRequest, MetadataResponse, RequestResponsePair, metadata_request};

pub use admin::{ConfigEntry, ConfigOperation, NewTopic, Partition, Topic};
pub use consumer::{ConsumedRecord, Fetched, Position, TimestampKind};
pub use error::ClientError;
pub use error_code::ErrorCode;
pub use groups::{CommittedOffset, Group, GroupMember, ListedGroup};
pub use member::{Assigned, Membership};
pub use producer::{Acks, ProducedBatch};

use connection::Connection;

/// How long to wait before asking again after an answer that says "not yet".
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What every connection has in common.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where to ask first: `host:port`, several with commas between them.
    pub bootstrap: String,
    /// Longest wait for a connection or an answer.
    pub timeout: Duration,
    /// What brokers write into their logs about this client.
    pub client_id: String,
}

/// Which broker a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// Whichever of the bootstrap addresses answers.
    Any,
    /// The broker of this id.
    Id(i32),
}

/// Connections of one broker that don't wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// Records and administration.
    Data,
    /// Joins and heartbeats of a group member, which must not wait behind a long poll.
    Group,
}

/// The way of one request: to whom, on which connection, and how long its answer may take by itself.
#[derive(Clone, Copy, Debug)]
struct Route {
    node: Node,
    lane: Lane,
    /// Time that the broker may keep the request on purpose (long poll, rebalance).
    broker_wait: Duration,
}

impl Route {
    const fn data(node: Node) -> Self {
        Self { node, lane: Lane::Data, broker_wait: Duration::ZERO }
    }

    const fn group(node: Node) -> Self {
        Self { node, lane: Lane::Group, broker_wait: Duration::ZERO }
    }

    const fn waiting(mut self, broker_wait: Duration) -> Self {
        self.broker_wait = broker_wait;
        self
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

/// Connections to the brokers of one cluster. Methods take `&self`; requests to one broker go one at a time.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    /// Addresses by broker id, of the newest metadata answer.
    brokers: Mutex<BTreeMap<i32, String>>,
    slots: Mutex<HashMap<(Node, Lane), Slot>>,
}

impl Client {
    /// A client that hasn't connected yet.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self { config, brokers: Mutex::default(), slots: Mutex::default() }
    }

    /// The longest wait for one answer.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Asks for `topics` (all if `None`) and remembers the brokers' addresses.
    ///
    /// # Errors
    /// The broker can't be reached or doesn't answer as Kafka does. Errors of single topics are in the answer.
    pub async fn metadata(
        &self,
        topics: Option<&[String]>,
        create: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let response = self
            .call(Route::data(Node::Any), |version| {
                let mut request = MetadataRequest::default();
                request.topics = topics.map(|names| names.iter().map(|name| named_topic(name)).collect());
                // Version 0 has no null list; its empty list means "all".
                if version == 0 && request.topics.is_none() {
                    request.topics = Some(Vec::new());
                }
                if version >= 4 {
                    request.allow_auto_topic_creation = create;
                }
                request
            })
            .await?;
        ErrorCode(response.error_code).check(|| "metadata".to_owned(), None)?;
        let mut brokers = lock(&self.brokers);
        brokers.clear();
        for broker in &response.brokers {
            brokers.insert(broker.node_id, format!("{}:{}", broker.host, broker.port));
        }
        Ok(response)
    }

    fn remember(&self, node_id: i32, host: &str, port: i32) {
        lock(&self.brokers).insert(node_id, format!("{host}:{port}"));
    }

    /// Sends the request that `build` makes for the version both sides know, and decodes the answer.
    async fn call<R, B>(&self, route: Route, build: B) -> Result<R::Response, ClientError>
    where
        R: RequestResponsePair,
        B: FnOnce(i16) -> R,
    {
        let slot = Arc::clone(lock(&self.slots).entry((route.node, route.lane)).or_default());
        let mut held = slot.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => self.connect(route.node).await?,
        };
        let limit = self.config.timeout + route.broker_wait;
        let answer = connection.call(limit, build).await;
        // After a failure nobody knows what the next bytes belong to: only a clean exchange keeps the connection.
        if answer.is_ok() {
            *held = Some(connection);
        }
        answer
    }

    /// Sends the request that `build` makes, to which the broker gives no answer.
    async fn call_one_way<R, B>(&self, route: Route, build: B) -> Result<(), ClientError>
    where
        R: RequestResponsePair,
        B: FnOnce(i16) -> R,
    {
        let slot = Arc::clone(lock(&self.slots).entry((route.node, route.lane)).or_default());
        let mut held = slot.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => self.connect(route.node).await?,
        };
        connection.send_only(self.config.timeout, build).await?;
        *held = Some(connection);
        Ok(())
    }

    async fn connect(&self, node: Node) -> Result<Connection, ClientError> {
        let addresses: Vec<String> = match node {
            Node::Any => self.config.bootstrap.split(',').map(|address| address.trim().to_owned()).collect(),
            Node::Id(id) => match lock(&self.brokers).get(&id) {
                Some(address) => vec![address.clone()],
                None => return Err(ClientError::UnknownBroker { node_id: id }),
            },
        };
        let mut last = ClientError::UnknownBroker { node_id: -1 };
        for address in addresses {
            let attempt = Connection::open(&address, &self.config.client_id, self.config.timeout);
            match attempt.await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last.advertised(matches!(node, Node::Id(_)), &self.config.bootstrap))
    }

    /// Runs `attempt` until it succeeds, fails for good, or the timeout is over.
    async fn retry<T, A>(&self, mut attempt: A) -> Result<T, ClientError>
    where
        A: AsyncFnMut() -> Result<T, ClientError>,
    {
        let give_up = tokio::time::Instant::now() + self.config.timeout;
        loop {
            match attempt().await {
                Err(error) if error.is_retriable() && tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

fn named_topic(name: &str) -> metadata_request::MetadataRequestTopic {
    let mut topic = metadata_request::MetadataRequestTopic::default();
    topic.name = Some(name.into());
    topic
}

/// The guarded value even if a holder panicked: the maps here are valid after every single operation.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `address` (`host:port`) names this machine.
pub(crate) fn is_loopback(address: &str) -> bool {
    match address.parse::<SocketAddr>() {
        Ok(address) => address.ip().is_loopback(),
        Err(_) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}
