//! Records as JSON: what `consume -o json` writes and `produce --input json` reads, so that one can be fed to
//! the other without loss.
//!
//! Keys, values and headers are strings where they are UTF-8; where they aren't, they are base64 and a
//! `…_encoding: "base64"` stands beside them. Null is null: a null value is a tombstone.

use serde::{Deserialize, Serialize};

use crate::base64;
use crate::client::{ConsumedRecord, TimestampKind};

/// A record, as JSON has it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordJson {
    /// Where it was read; read back and passed over, as offset and timestamp type are.
    #[serde(default)]
    topic: String,
    /// Where it was read, or is to be written.
    #[serde(default)]
    pub partition: Option<i32>,
    #[serde(default)]
    offset: i64,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub timestamp: Option<i64>,
    #[serde(default)]
    timestamp_type: TimestampType,
    #[serde(default)]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_encoding: Option<Encoding>,
    #[serde(default)]
    headers: Vec<HeaderJson>,
}

/// A header, as JSON has it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderJson {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_encoding: Option<Encoding>,
}

/// How bytes that aren't text are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// RFC 4648, padded.
    Base64,
}

/// Whose clock the timestamp is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TimestampType {
    #[default]
    Create,
    LogAppend,
}

/// A header's key and value.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

impl RecordJson {
    /// A record of `topic`.
    pub fn of(topic: &str, record: &ConsumedRecord) -> Self {
        let (key, key_encoding) = text(record.key.as_deref());
        let (value, value_encoding) = text(record.value.as_deref());
        let headers = record.headers.iter().map(|(key, value)| {
            let (key, key_encoding) = text(Some(key));
            let (value, value_encoding) = text(value.as_deref());
            HeaderJson { key: key.unwrap_or_default(), key_encoding, value, value_encoding }
        });
        Self {
            topic: topic.to_owned(),
            partition: Some(record.partition),
            offset: record.offset,
            timestamp: Some(record.timestamp_ms),
            timestamp_type: match record.timestamp_kind {
                TimestampKind::Create => TimestampType::Create,
                TimestampKind::LogAppend => TimestampType::LogAppend,
            },
            key,
            key_encoding,
            value,
            value_encoding,
            headers: headers.collect(),
        }
    }

    /// The key's bytes.
    ///
    /// # Errors
    /// Not base64 where it says so.
    pub fn key(&self) -> Result<Option<Vec<u8>>, String> {
        bytes("key", self.key.as_deref(), self.key_encoding)
    }

    /// The value's bytes.
    ///
    /// # Errors
    /// Not base64 where it says so.
    pub fn value(&self) -> Result<Option<Vec<u8>>, String> {
        bytes("value", self.value.as_deref(), self.value_encoding)
    }

    /// The headers' bytes.
    ///
    /// # Errors
    /// Not base64 where one says so.
    pub fn headers(&self) -> Result<Vec<Header>, String> {
        let decode = |header: &HeaderJson| {
            let key = bytes("header key", Some(&header.key), header.key_encoding)?.unwrap_or_default();
            Ok((key, bytes("header value", header.value.as_deref(), header.value_encoding)?))
        };
        self.headers.iter().map(decode).collect()
    }
}

/// Text where it is UTF-8, else base64 and the word for it.
pub fn text(bytes: Option<&[u8]>) -> (Option<String>, Option<Encoding>) {
    match bytes.map(std::str::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text.to_owned()), None),
        Some(Err(_)) => (bytes.map(base64::encode), Some(Encoding::Base64)),
    }
}

fn bytes(what: &str, text: Option<&str>, encoding: Option<Encoding>) -> Result<Option<Vec<u8>>, String> {
    match (text, encoding) {
        (None, _) => Ok(None),
        (Some(text), None) => Ok(Some(text.as_bytes().to_vec())),
        (Some(text), Some(Encoding::Base64)) => {
            base64::decode(text).map(Some).ok_or_else(|| format!("{what} is not base64: {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_record_of_any_bytes_survives_json() {
        let record = ConsumedRecord {
            partition: 3,
            offset: 41,
            timestamp_ms: 1_700_000_000_000,
            timestamp_kind: TimestampKind::Create,
            key: Some(Bytes::from_static(b"\xff\x00")),
            value: None,
            headers: vec![
                (Bytes::from_static(b"h"), Some(Bytes::from_static("ä".as_bytes()))),
                (Bytes::from_static(b"h"), None),
            ],
        };
        let line = serde_json::to_string(&RecordJson::of("t", &record)).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"topic":"t","partition":3,"offset":41,"timestamp":1700000000000,"timestamp_type":"create","#,
                r#""key":"/wA=","key_encoding":"base64","value":null,"#,
                r#""headers":[{"key":"h","value":"ä"},{"key":"h","value":null}]}"#
            )
        );
        let back: RecordJson = serde_json::from_str(&line).unwrap();
        assert_eq!(back.key().unwrap().as_deref(), record.key.as_deref());
        assert_eq!(back.value().unwrap(), None);
        assert_eq!(back.timestamp, Some(record.timestamp_ms));
        let headers = back.headers().unwrap();
        assert_eq!(headers, [(b"h".to_vec(), Some("ä".as_bytes().to_vec())), (b"h".to_vec(), None)]);
    }

    #[test]
    fn a_misspelt_field_is_an_error() {
        let error = serde_json::from_str::<RecordJson>(r#"{"vlaue":"x"}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `vlaue`"), "{error}");
    }
}
