//! Reading a stream in order without leaving anything behind: a short-lived push consumer that asks for no
//! acknowledgements, made anew behind the last message where one is missing (as ADR-17's ordered consumers).

use std::time::Duration;

use async_nats::Subscriber;
use duolog_nats_wire::jetstream::ack::AckSubject;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{ConsumerInfo, Message, Nats, NatsError, NatsMessage};

/// How often the server shows that it is there when there is nothing to deliver.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long the server keeps the consumer when this program is gone.
const INACTIVE: Duration = Duration::from_secs(60);

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first message.
    First,
    /// With the last message of each subject.
    LastPerSubject,
    /// With what comes from now on.
    New,
}

/// A stream being read.
pub struct Replay<'a> {
    nats: &'a Nats,
    stream: String,
    filter: String,
    start: Start,
    headers_only: bool,
    messages: Subscriber,
    returns: watch::Receiver<u64>,
    consumer: String,
    /// The delivery that is next.
    next_delivery: u64,
    /// Where a consumer after this one begins: behind the last message that was returned, or, of new ones, behind what
    /// was there at first.
    resume: Option<u64>,
    /// Messages that are there and weren't returned yet.
    pending: u64,
}

impl<'a> Replay<'a> {
    /// Begins.
    ///
    /// # Errors
    /// There is no such stream.
    pub async fn begin(
        nats: &'a Nats,
        stream: &str,
        filter: &str,
        start: Start,
        headers_only: bool,
    ) -> Result<Self, NatsError> {
        let inbox = nats.inbox();
        let messages = nats.subscribe(&inbox, None).await?;
        let mut replay = Self {
            nats,
            stream: stream.to_owned(),
            filter: filter.to_owned(),
            start,
            headers_only,
            messages,
            returns: nats.returns(),
            consumer: String::new(),
            next_delivery: 1,
            resume: None,
            pending: 0,
        };
        replay.create(&inbox).await?;
        Ok(replay)
    }

    /// Messages that were there and weren't returned yet.
    pub const fn pending(&self) -> u64 {
        self.pending
    }

    /// The next message; waits for it.
    ///
    /// # Errors
    /// The stream is gone, or the server is.
    pub async fn next(&mut self) -> Result<NatsMessage, NatsError> {
        loop {
            let message = tokio::select! {
                message = tokio::time::timeout(3 * HEARTBEAT, self.messages.next()) => message.ok().flatten(),
                // Never ends: the sender lives as long as the connection.
                _ = self.returns.changed() => None,
            };
            let Some(message) = message else {
                // Nothing, not even a sign of life: the connection or the server was away.
                self.restart().await?;
                continue;
            };
            if let Some(status) = message.status {
                self.status(status.as_u16(), &message).await?;
                continue;
            }
            let ack = message.reply.as_ref().and_then(|reply| AckSubject::parse(reply.as_str()));
            let Some(ack) = ack else { continue };
            if ack.consumer != self.consumer {
                // Of the consumer before a restart.
                continue;
            }
            if ack.consumer_sequence != self.next_delivery {
                self.restart().await?;
                continue;
            }
            self.next_delivery += 1;
            self.resume = Some(ack.stream_sequence + 1);
            self.pending = ack.pending;
            return Ok(NatsMessage::of(&message));
        }
    }

    /// Takes the consumer away, so that the server needn't wait for it to be forgotten.
    pub async fn end(self) {
        let subject = format!("CONSUMER.DELETE.{}.{}", self.stream, self.consumer);
        // It goes by itself, too.
        let _ = self.nats.api::<Value>("end", &subject, &Value::Null).await;
    }

    /// A heartbeat, or a question whether we keep up.
    async fn status(&mut self, status: u16, message: &Message) -> Result<(), NatsError> {
        if status != 100 {
            return self.restart().await;
        }
        if let Some(reply) = &message.reply {
            return self.nats.publish(reply.as_str(), None, None, bytes::Bytes::new()).await;
        }
        let headers = message.headers.as_ref();
        let header = |name: &str| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str());
        if let Some(stalled) = header("Nats-Consumer-Stalled") {
            self.nats.publish(stalled, None, None, bytes::Bytes::new()).await?;
        }
        let delivered = header("Nats-Last-Consumer").and_then(|number| number.parse::<u64>().ok());
        if delivered.is_some_and(|delivered| delivered >= self.next_delivery) {
            return self.restart().await;
        }
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), NatsError> {
        let inbox = self.nats.inbox();
        self.messages = self.nats.subscribe(&inbox, None).await?;
        self.create(&inbox).await
    }

    async fn create(&mut self, inbox: &str) -> Result<(), NatsError> {
        let mut config = json!({
            "deliver_subject": inbox,
            "ack_policy": "none",
            "max_deliver": 1,
            "filter_subject": self.filter,
            "replay_policy": "instant",
            "flow_control": true,
            "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
            "inactive_threshold": INACTIVE.as_nanos() as u64,
            "mem_storage": true,
            "num_replicas": 1,
            "headers_only": self.headers_only,
        });
        if let Some(sequence) = self.resume {
            config["deliver_policy"] = "by_start_sequence".into();
            config["opt_start_seq"] = sequence.into();
        } else {
            config["deliver_policy"] = match self.start {
                Start::First => "all",
                Start::LastPerSubject => "last_per_subject",
                Start::New => "new",
            }
            .into();
        }
        let body = json!({ "stream_name": self.stream, "config": config });
        let what = format!("read stream {}", self.stream);
        let made: ConsumerInfo =
            self.nats.api(&what, &format!("CONSUMER.CREATE.{}", self.stream), &body).await?;
        self.consumer = made.name;
        if self.start == Start::New && self.resume.is_none() {
            self.resume = Some(made.delivered.stream_seq + 1);
        }
        self.next_delivery = 1;
        self.pending = made.num_pending;
        Ok(())
    }
}
