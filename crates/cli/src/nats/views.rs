//! What is read of JetStream's replies. Fields that aren't named here are passed over, or kept in `config`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::parse_rfc3339;

/// A stream, as `STREAM.INFO` and `STREAM.LIST` have it.
#[derive(Clone, Debug, Deserialize)]
pub struct StreamInfo {
    /// Every setting, also those that this program doesn't know.
    pub config: Map<String, Value>,
    #[serde(default)]
    pub created: String,
    pub state: StreamState,
    /// The server's time of the answer; servers before 2.10 don't say.
    #[serde(default)]
    pub ts: Option<String>,
}

/// What is in a stream.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub first_seq: u64,
    #[serde(default)]
    pub first_ts: String,
    pub last_seq: u64,
    #[serde(default)]
    pub last_ts: String,
    #[serde(default)]
    pub num_subjects: u64,
    #[serde(default)]
    pub num_deleted: u64,
    #[serde(default)]
    pub consumer_count: u64,
    /// Only where it was asked for.
    #[serde(default, skip_serializing)]
    pub deleted: Option<Vec<u64>>,
}

/// A consumer, as `CONSUMER.INFO` and `CONSUMER.LIST` have it.
#[derive(Clone, Debug, Deserialize)]
pub struct ConsumerInfo {
    pub stream_name: String,
    pub name: String,
    #[serde(default)]
    pub created: String,
    pub config: Map<String, Value>,
    pub delivered: SequencePair,
    pub ack_floor: SequencePair,
    #[serde(default)]
    pub num_ack_pending: u64,
    #[serde(default)]
    pub num_redelivered: u64,
    #[serde(default)]
    pub num_waiting: u64,
    #[serde(default)]
    pub num_pending: u64,
    #[serde(default)]
    pub push_bound: bool,
}

/// Where a consumer is, in its own count and in the stream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct SequencePair {
    pub consumer_seq: u64,
    pub stream_seq: u64,
}

impl StreamInfo {
    /// The name.
    pub fn name(&self) -> &str {
        text(&self.config, "name")
    }

    /// The subjects that it takes.
    pub fn subjects(&self) -> Vec<String> {
        texts(&self.config, "subjects")
    }
}

impl ConsumerInfo {
    /// Whether it stays when nobody uses it.
    pub fn is_durable(&self) -> bool {
        !text(&self.config, "durable_name").is_empty()
    }

    /// The subject that it delivers to by itself; empty for a pull consumer.
    pub fn deliver_subject(&self) -> &str {
        text(&self.config, "deliver_subject")
    }

    /// `explicit`, `all` or `none`.
    pub fn ack_policy(&self) -> &str {
        text(&self.config, "ack_policy")
    }

    /// The subjects that it takes of the stream's; none is all.
    pub fn filters(&self) -> Vec<String> {
        let one = text(&self.config, "filter_subject");
        if one.is_empty() { texts(&self.config, "filter_subjects") } else { vec![one.to_owned()] }
    }
}

/// A text of `config`; empty if it isn't there.
pub fn text<'a>(config: &'a Map<String, Value>, field: &str) -> &'a str {
    config.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts(config: &Map<String, Value>, field: &str) -> Vec<String> {
    let values = config.get(field).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether `time` is what Go writes for "never".
pub fn is_zero_time(time: &str) -> bool {
    time.is_empty() || time.starts_with("0001-01-01T00:00:00")
}

/// A server's time in milliseconds since 1970; `None` for none.
pub fn millis(time: &str) -> Option<i64> {
    if is_zero_time(time) { None } else { parse_rfc3339(time) }
}
