//! What the server tells whoever listens: advisories under `$JS.EVENT.ADVISORY`, samples under `$JS.EVENT.METRIC`.

use super::json::{Object, go_enum};
use super::time::Time;

/// What all begin with.
pub const PREFIX: &str = "$JS.EVENT.";

go_enum! {
    /// What happened to a stream or a consumer.
    pub enum Action: "ActionAdvisoryType", refuse (super::json::cannot_unmarshal) {
        /// It was made.
        Create = "create",
        /// It was deleted.
        Delete = "delete",
        /// It was changed.
        Modify = "modify",
    }
}

/// A delivery that an advisory is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub consumer_seq: u64,
    /// The message.
    pub stream_seq: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A stream was made, changed or deleted.
    Stream(Action),
    /// A consumer was made or deleted.
    Consumer(&'a str, Action),
    /// A message was delivered as often as allowed.
    MaxDeliveries {
        /// To whom.
        consumer: &'a str,
        /// The message.
        stream_seq: u64,
        /// How often.
        deliveries: u64,
    },
    /// A message was refused for now.
    Nak {
        /// By whom.
        consumer: &'a str,
        /// Which delivery.
        delivery: Delivery,
    },
    /// A message was refused for ever.
    Terminated {
        /// By whom.
        consumer: &'a str,
        /// Which delivery.
        delivery: Delivery,
        /// Why.
        reason: &'a str,
    },
    /// The API had more to do than it takes on, and passed requests over. Of no stream.
    ApiLimitReached {
        /// Whose API.
        server: &'a str,
        /// How many requests.
        dropped: u64,
    },
    /// How long an acknowledgement took (`sample_freq`).
    AckSample {
        /// Whose.
        consumer: &'a str,
        /// Which delivery.
        delivery: Delivery,
        /// Nanoseconds.
        ack_time: i64,
    },
}

/// An event of one stream, with the number and the time that every event has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory<'a> {
    /// Something that no other advisory has.
    pub id: &'a str,
    /// When it happened.
    pub timestamp: Time,
    /// The stream.
    pub stream: &'a str,
    /// What happened.
    pub event: Event<'a>,
}

impl Advisory<'_> {
    /// Where it is published.
    #[must_use]
    pub fn subject(&self) -> String {
        let stream = self.stream;
        match &self.event {
            Event::Stream(action) => format!("{PREFIX}ADVISORY.STREAM.{}.{stream}", past(*action)),
            Event::Consumer(consumer, action) => {
                format!("{PREFIX}ADVISORY.CONSUMER.{}.{stream}.{consumer}", past(*action))
            }
            Event::MaxDeliveries { consumer, .. } => {
                format!("{PREFIX}ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.{consumer}")
            }
            Event::Nak { consumer, .. } => format!("{PREFIX}ADVISORY.CONSUMER.MSG_NAKED.{stream}.{consumer}"),
            Event::Terminated { consumer, .. } => {
                format!("{PREFIX}ADVISORY.CONSUMER.MSG_TERMINATED.{stream}.{consumer}")
            }
            Event::ApiLimitReached { .. } => format!("{PREFIX}ADVISORY.API.LIMIT_REACHED"),
            Event::AckSample { consumer, .. } => format!("{PREFIX}METRIC.CONSUMER.ACK.{stream}.{consumer}"),
        }
    }

    /// What is published.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        Object::write(&mut out, |object| {
            object.field("type", &format!("io.nats.jetstream.{}", self.kind()));
            object.field("id", self.id);
            object.field("timestamp", &self.timestamp);
            if !matches!(self.event, Event::ApiLimitReached { .. }) {
                object.field("stream", self.stream);
            }
            self.event.fields(object);
        });
        out
    }

    fn kind(&self) -> &'static str {
        match self.event {
            Event::Stream(_) => "advisory.v1.stream_action",
            Event::Consumer(..) => "advisory.v1.consumer_action",
            Event::MaxDeliveries { .. } => "advisory.v1.max_deliver",
            Event::Nak { .. } => "advisory.v1.nak",
            Event::Terminated { .. } => "advisory.v1.terminated",
            Event::ApiLimitReached { .. } => "advisory.v1.api_limit_reached",
            Event::AckSample { .. } => "metric.v1.consumer_ack",
        }
    }
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Create => "CREATED",
        Action::Delete => "DELETED",
        Action::Modify => "UPDATED",
    }
}

impl Event<'_> {
    fn fields(&self, object: &mut Object<'_>) {
        match self {
            Self::Stream(action) => object.field("action", action),
            Self::Consumer(consumer, action) => {
                object.field("consumer", *consumer);
                object.field("action", action);
            }
            Self::MaxDeliveries { consumer, stream_seq, deliveries } => {
                object.field("consumer", *consumer);
                object.field("stream_seq", stream_seq);
                object.field("deliveries", deliveries);
            }
            Self::Nak { consumer, delivery } => {
                object.field("consumer", *consumer);
                object.field("consumer_seq", &delivery.consumer_seq);
                object.field("stream_seq", &delivery.stream_seq);
                object.field("deliveries", &delivery.deliveries);
            }
            Self::Terminated { consumer, delivery, reason } => {
                object.field("consumer", *consumer);
                object.field("consumer_seq", &delivery.consumer_seq);
                object.field("stream_seq", &delivery.stream_seq);
                object.field("deliveries", &delivery.deliveries);
                object.omit_empty("reason", reason);
            }
            Self::ApiLimitReached { server, dropped } => {
                object.field("server", *server);
                object.field("dropped", dropped);
            }
            Self::AckSample { consumer, delivery, ack_time } => {
                object.field("consumer", *consumer);
                object.field("consumer_seq", &delivery.consumer_seq);
                object.field("stream_seq", &delivery.stream_seq);
                object.field("ack_time", ack_time);
                object.field("deliveries", &delivery.deliveries);
            }
        }
    }
}
