//! What the commands of the NATS side share: where the server is, a connection to it, and JetStream's API over it.
//!
//! The connection is async-nats'. JetStream's API is asked here, as JSON (docs/adr/0010): a setting that this
//! program doesn't know survives a change of another.

mod api;
mod error;
mod input;
mod message;
mod printer;
mod replay;
pub mod setting;
mod views;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{ConnectOptions, Event, Request, Subscriber};
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt;
use tokio::sync::{Notify, watch};

pub use async_nats::{HeaderMap, Message};
pub use error::NatsError;
pub use input::{body, header_map, literal_subject, pattern_subject};
#[cfg(test)]
pub use message::Stored;
pub use message::{MessageJson, NatsMessage, StoredReply, plain};
pub use printer::{MessageFormat, Printer};
pub use replay::{Replay, Start};
pub use views::{ConsumerInfo, SequencePair, StreamInfo, StreamState, is_zero_time, millis, text};

use crate::connect::seconds;
use crate::output;

/// Where the NATS server is, and who asks.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// NATS server, nats://host:port; several with commas between them
    #[arg(
        short,
        long,
        env = "DUOLOG_NATS_SERVER",
        hide_env_values = true,
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub server: String,
    /// User name
    #[arg(
        long,
        env = "DUOLOG_NATS_USER",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub user: Option<String>,
    /// Password of --user; better in the environment, where `ps` doesn't show it
    #[arg(
        long,
        env = "DUOLOG_NATS_PASSWORD",
        hide_env_values = true,
        value_name = "TEXT",
        help_heading = "Connection"
    )]
    pub password: Option<String>,
    /// Token, where the server asks for one
    #[arg(
        long,
        env = "DUOLOG_NATS_TOKEN",
        hide_env_values = true,
        value_name = "TEXT",
        help_heading = "Connection"
    )]
    pub token: Option<String>,
}

/// Where the NATS server is, and how long to wait for it.
#[derive(Clone, Debug, Args)]
pub struct NatsArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// Longest wait for a connection or an answer, in seconds
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds, help_heading = "Connection")]
    pub timeout: Duration,
}

impl NatsArgs {
    /// A connection to that server.
    ///
    /// # Errors
    /// Nobody answers there, or not to this user.
    pub async fn connect(&self) -> Result<Nats, NatsError> {
        Nats::connect(&self.server, self.timeout).await
    }
}

/// A connection to a NATS server.
pub struct Nats {
    client: async_nats::Client,
    address: String,
    timeout: Duration,
    complaints: Arc<Complaints>,
}

/// What happens to the connection, and what the server said in `-ERR` and wasn't read yet.
#[derive(Debug, Default)]
struct Complaints {
    texts: Mutex<VecDeque<String>>,
    new: Notify,
    /// Whether the connection is lost.
    is_lost: AtomicBool,
    /// How often it was lost and is there again.
    returns: watch::Sender<u64>,
}

/// Complaints that nobody reads are worth no memory.
const COMPLAINTS_MAX: usize = 100;

impl Complaints {
    fn add(&self, text: String) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < COMPLAINTS_MAX {
            texts.push_back(text);
        }
        self.new.notify_one();
    }

    fn take(&self) -> Option<String> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    async fn next(&self) -> String {
        loop {
            if let Some(text) = self.take() {
                return text;
            }
            self.new.notified().await;
        }
    }
}

impl Nats {
    /// Connects.
    ///
    /// # Errors
    /// Nobody answers there, or not to this user.
    pub async fn connect(server: &ServerArgs, timeout: Duration) -> Result<Self, NatsError> {
        let urls: Vec<String> = server.server.split(',').map(|url| without_user(url.trim())).collect();
        let address = urls.join(",");
        let complaints = Arc::new(Complaints::default());
        let noted = Arc::clone(&complaints);
        let mut options = ConnectOptions::new()
            .name("duolog-cli")
            .connection_timeout(timeout)
            .request_timeout(Some(timeout))
            .event_callback(move |event| {
                note(&noted, &event);
                std::future::ready(())
            });
        let (user, password, token) = server.identity();
        if let Some(token) = token {
            options = options.token(token);
        }
        if let Some(user) = user {
            options = options.user_and_password(user, password.unwrap_or_default());
        }
        // Name resolution has no limit of its own in the client.
        let connected = tokio::time::timeout(timeout, options.connect(urls)).await;
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(NatsError::connect(address, timeout, &error)),
            Err(_) => return Err(NatsError::no_connection(&address, timeout)),
        };
        Ok(Self { client, address, timeout, complaints })
    }

    /// Where it is connected to, as given, without a password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The longest wait for one answer.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A subject that nobody else listens on.
    pub fn inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// Asks, and waits for one reply; `wait` in place of the connection's timeout.
    ///
    /// # Errors
    /// Nobody listens, or nobody answers in time, or the request can't be sent.
    pub async fn ask(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NatsError> {
        let mut request = Request::new().payload(payload).timeout(Some(self.timeout));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let sent = self.client.send_request(subject.to_owned(), request).await;
        sent.map_err(|error| NatsError::request(self, subject, &error))
    }

    /// Publishes, without waiting for anything; [`Self::settle`] waits until the server has seen it.
    ///
    /// # Errors
    /// The message can't be sent.
    pub async fn publish(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), NatsError> {
        let headers = headers.unwrap_or_default();
        let sent = match (reply, headers.is_empty()) {
            (None, true) => self.client.publish(subject.to_owned(), payload).await,
            (None, false) => self.client.publish_with_headers(subject.to_owned(), headers, payload).await,
            (Some(reply), true) => {
                self.client.publish_with_reply(subject.to_owned(), reply.to_owned(), payload).await
            }
            (Some(reply), false) => {
                let (subject, reply) = (subject.to_owned(), reply.to_owned());
                self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await
            }
        };
        sent.map_err(|error| NatsError::publish(self, subject, &error))
    }

    /// Subscribes; the server may not know yet ([`Self::settle`]).
    ///
    /// # Errors
    /// The subject is none, or the connection has ended.
    pub async fn subscribe(&self, subject: &str, queue: Option<&str>) -> Result<Subscriber, NatsError> {
        let subscribed = match queue {
            None => self.client.subscribe(subject.to_owned()).await,
            Some(queue) => self.client.queue_subscribe(subject.to_owned(), queue.to_owned()).await,
        };
        subscribed.map_err(|error| NatsError::Server {
            address: self.address.clone(),
            text: format!("cannot subscribe to {subject}: {error}"),
        })
    }

    /// Waits until the server has handled all that was sent before: a message to oneself comes back behind it.
    ///
    /// # Errors
    /// The server refused something of it, or is silent.
    pub async fn settle(&self) -> Result<(), NatsError> {
        let inbox = self.inbox();
        let mut echo = self.subscribe(&inbox, None).await?;
        self.publish(&inbox, None, None, Bytes::new()).await?;
        let answered = tokio::select! {
            answered = tokio::time::timeout(self.timeout, echo.next()) => answered,
            text = self.complaints.next() => return Err(self.complaint(text)),
        };
        if let Some(text) = self.complaints.take() {
            return Err(self.complaint(text));
        }
        match answered {
            Ok(Some(_)) => Ok(()),
            _ => Err(NatsError::Timeout {
                what: format!("an answer from {}", self.address),
                after: self.timeout,
            }),
        }
    }

    /// The next thing that the server complains about.
    pub async fn next_complaint(&self) -> NatsError {
        let text = self.complaints.next().await;
        self.complaint(text)
    }

    /// Changes whenever the connection was lost and is there again: what the server kept for it is gone.
    pub fn returns(&self) -> watch::Receiver<u64> {
        self.complaints.returns.subscribe()
    }

    /// The server's largest payload.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    fn complaint(&self, text: String) -> NatsError {
        NatsError::Server { address: self.address.clone(), text }
    }
}

fn note(complaints: &Complaints, event: &Event) {
    match event {
        Event::ServerError(error) => complaints.add(error.to_string()),
        Event::Disconnected => {
            complaints.is_lost.store(true, Ordering::Relaxed);
            output::progress("connection lost; trying again");
        }
        Event::Connected if complaints.is_lost.swap(false, Ordering::Relaxed) => {
            complaints.returns.send_modify(|count| *count += 1);
        }
        Event::SlowConsumer(_) => output::progress("too slow: messages were dropped"),
        Event::LameDuckMode => output::progress("the server is shutting down"),
        _ => {}
    }
}

impl ServerArgs {
    /// User, password and token: those of the flags, else those of the first URL that has some.
    fn identity(&self) -> (Option<String>, Option<String>, Option<String>) {
        if self.user.is_some() || self.token.is_some() {
            return (self.user.clone(), self.password.clone(), self.token.clone());
        }
        match self.server.split(',').find_map(|url| split_user(url.trim()).1) {
            None => (None, None, None),
            Some(known) => match known.split_once(':') {
                Some((user, password)) => (Some(unescaped(user)), Some(unescaped(password)), None),
                None => (None, None, Some(unescaped(known))),
            },
        }
    }
}

/// Scheme and host of a URL, and what stands before the `@`. The client passes over the latter.
fn split_user(url: &str) -> (String, Option<&str>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
    match rest.rsplit_once('@') {
        Some((known, host)) => (format!("{scheme}://{host}"), Some(known)),
        None => (format!("{scheme}://{rest}"), None),
    }
}

fn without_user(url: &str) -> String {
    split_user(url).0
}

/// `%40` as `@`; what is no escape stays.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits =
            behind.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(server: &str, user: Option<&str>) -> (Option<String>, Option<String>, Option<String>) {
        let args = ServerArgs {
            server: server.to_owned(),
            user: user.map(str::to_owned),
            password: None,
            token: None,
        };
        args.identity()
    }

    #[test]
    fn who_asks_may_stand_in_the_url_and_is_not_shown() {
        assert_eq!(without_user("nats://me:secret@h:4222"), "nats://h:4222");
        assert_eq!(without_user("tls://h:4222"), "tls://h:4222");
        assert_eq!(without_user("h:4222"), "nats://h:4222");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(identity("nats://me:s%40c%@h", None), (some("me"), some("s@c%"), None));
        assert_eq!(identity("nats://t0ken@h", None), (None, None, some("t0ken")));
        assert_eq!(identity("nats://me:secret@h", Some("other")), (some("other"), None, None));
        assert_eq!(identity("nats://h", None), (None, None, None));
    }
}
