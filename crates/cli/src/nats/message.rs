//! Messages: as they come, and as the JSON that is printed of them.
//!
//! Payloads and header values are strings where they are UTF-8; where they aren't, base64 and a
//! `…_encoding: "base64"` stands beside them.

use bytes::Bytes;
use duolog_nats_wire::headers::Headers;
use duolog_nats_wire::jetstream::ack::AckSubject;
use serde::{Deserialize, Serialize};

use super::Message;
use crate::base64;
use crate::record_json::text;
use crate::time::parse_rfc3339;

/// A message of either kind: published now, or read from a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsMessage {
    pub subject: String,
    pub reply: Option<String>,
    /// Of one name, in order; names by the alphabet where the client has lost their order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub payload: Bytes,
    /// Only of a message that was read from a stream.
    pub stored: Option<Stored>,
}

/// Where a message is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub stream: String,
    pub sequence: u64,
    /// When the server took it, in milliseconds since 1970.
    pub time_ms: i64,
    /// Which delivery this is; 0 if it wasn't delivered but asked for.
    pub delivery: u64,
    /// Messages behind it that are still to be delivered.
    pub pending: u64,
}

/// A message in the reply of `STREAM.MSG.GET`.
#[derive(Debug, Deserialize)]
pub struct StoredMessage {
    pub subject: String,
    pub seq: u64,
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
    pub time: String,
}

/// The reply around it.
#[derive(Debug, Deserialize)]
pub struct StoredReply {
    pub message: StoredMessage,
}

impl NatsMessage {
    /// Of a message as the client gives it; one that a consumer delivers says so in its reply subject.
    pub fn of(message: &Message) -> Self {
        let mut headers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (name, values) in message.headers.iter().flat_map(async_nats::HeaderMap::iter) {
            let name: &str = name.as_ref();
            headers.extend(values.iter().map(|value| (name.into(), value.as_str().into())));
        }
        // The client keeps names in a hash table; a stable order is the best that can be had.
        headers.sort_by(|one, other| one.0.cmp(&other.0));
        let reply = message.reply.as_ref().map(ToString::to_string);
        let ack = reply.as_deref().and_then(AckSubject::parse);
        let stored = ack.map(|ack| Stored {
            stream: ack.stream.to_owned(),
            sequence: ack.stream_sequence,
            time_ms: ack.timestamp.div_euclid(1_000_000),
            delivery: ack.deliveries,
            pending: ack.pending,
        });
        Self {
            subject: message.subject.to_string(),
            reply,
            headers,
            payload: message.payload.clone(),
            stored,
        }
    }

    /// Of a message in a reply.
    ///
    /// # Errors
    /// What can't be read of it.
    pub fn of_stored(stream: &str, message: &StoredMessage) -> Result<Self, String> {
        let bytes = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            base64::decode(text).ok_or_else(|| format!("not base64: {text}"))
        };
        let block = bytes(&message.hdrs)?;
        let mut headers = Vec::new();
        if !block.is_empty() {
            let parsed = Headers::parse(&block).map_err(|error| error.to_string())?;
            headers.extend(parsed.entries.iter().map(|(name, value)| (name.to_vec(), value.to_vec())));
        }
        let time_ms = parse_rfc3339(&message.time).ok_or_else(|| format!("not a time: {}", message.time))?;
        Ok(Self {
            subject: message.subject.clone(),
            reply: None,
            headers,
            payload: bytes(&message.data)?.into(),
            stored: Some(Stored {
                stream: stream.to_owned(),
                sequence: message.seq,
                time_ms,
                delivery: 0,
                pending: 0,
            }),
        })
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(own, _)| own == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

/// A message, as JSON has it.
#[derive(Debug, Serialize)]
pub struct MessageJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<u64>,
    subject: String,
    reply: Option<String>,
    payload: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_encoding: Option<&'static str>,
    headers: Vec<HeaderJson>,
}

/// A header, as JSON has it.
#[derive(Debug, Serialize)]
pub struct HeaderJson {
    name: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_encoding: Option<&'static str>,
}

impl MessageJson {
    /// Of `message`.
    pub fn of(message: &NatsMessage) -> Self {
        let (payload, payload_encoding) = plain(&message.payload);
        let headers = message.headers.iter().map(|(name, value)| {
            let (value, value_encoding) = plain(value);
            HeaderJson { name: String::from_utf8_lossy(name).into_owned(), value, value_encoding }
        });
        let stored = message.stored.as_ref();
        Self {
            stream: stored.map(|stored| stored.stream.clone()),
            sequence: stored.map(|stored| stored.sequence),
            timestamp: stored.map(|stored| stored.time_ms),
            delivery: stored.map(|stored| stored.delivery).filter(|delivery| *delivery > 0),
            subject: message.subject.clone(),
            reply: message.reply.clone(),
            payload,
            payload_encoding,
            headers: headers.collect(),
        }
    }
}

/// Text, or base64 and the word for it.
pub fn plain(bytes: &[u8]) -> (String, Option<&'static str>) {
    let (text, encoding) = text(Some(bytes));
    (text.unwrap_or_default(), encoding.map(|_| "base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output;

    #[test]
    fn the_json_of_a_message_is_what_the_manual_says() {
        let mut message = NatsMessage {
            subject: "a.b".to_owned(),
            reply: None,
            headers: vec![(b"H".to_vec(), b"1".to_vec()), (b"H".to_vec(), vec![0xff])],
            payload: Bytes::from_static(b"\xff\x00"),
            stored: None,
        };
        assert_eq!(
            output::json_line(&MessageJson::of(&message)),
            concat!(
                r#"{"subject":"a.b","reply":null,"payload":"/wA=","payload_encoding":"base64","#,
                r#""headers":[{"name":"H","value":"1"},{"name":"H","value":"/w==","value_encoding":"base64"}]}"#
            )
        );
        message.headers.clear();
        message.payload = Bytes::from_static(b"x");
        message.stored = Some(Stored {
            stream: "S".to_owned(),
            sequence: 7,
            time_ms: 1_700_000_000_000,
            delivery: 2,
            pending: 0,
        });
        assert_eq!(
            output::json_line(&MessageJson::of(&message)),
            concat!(
                r#"{"stream":"S","sequence":7,"timestamp":1700000000000,"delivery":2,"#,
                r#""subject":"a.b","reply":null,"payload":"x","headers":[]}"#
            )
        );
    }

    #[test]
    fn a_stored_message_is_read_with_its_headers_in_order() {
        let block = base64::encode(b"NATS/1.0\r\nB: 2\r\nA: 1\r\nB: 3\r\n\r\n");
        let reply = format!(
            r#"{{"message":{{"subject":"s","seq":3,"hdrs":"{block}","data":"eA==","time":"1970-01-01T00:00:01.5Z"}}}}"#
        );
        let reply: StoredReply = serde_json::from_str(&reply).unwrap();
        let message = NatsMessage::of_stored("S", &reply.message).unwrap();
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(message.headers, [pair("B", "2"), pair("A", "1"), pair("B", "3")]);
        assert_eq!(message.payload.as_ref(), b"x");
        assert_eq!(message.stored.unwrap().time_ms, 1500);
    }
}
