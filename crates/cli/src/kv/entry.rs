//! What a key was at one time: a message, read as the conventions say.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::Failure;
use crate::nats::{NatsMessage, plain};
use crate::output::{self, cell};
use crate::time::format_ms;

/// What a message did to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Put,
    Delete,
    Purge,
}

impl Operation {
    fn of(message: &NatsMessage) -> Self {
        match (message.header("KV-Operation"), message.header("Nats-Marker-Reason")) {
            (Some(b"DEL"), _) | (_, Some(b"Remove")) => Self::Delete,
            (Some(b"PURGE"), _) | (_, Some(b"MaxAge" | b"Purge")) => Self::Purge,
            _ => Self::Put,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Purge => "purge",
        }
    }
}

/// A key at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub bucket: String,
    pub key: String,
    pub revision: u64,
    pub time_ms: i64,
    pub operation: Operation,
    pub value: bytes::Bytes,
}

impl Entry {
    /// Of a message of the bucket's stream; `None` if it is none.
    pub fn of(bucket: &str, message: &NatsMessage) -> Option<Self> {
        let stored = message.stored.as_ref()?;
        let key = message.subject.strip_prefix("$KV.")?.strip_prefix(bucket)?.strip_prefix('.')?;
        Some(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            revision: stored.sequence,
            time_ms: stored.time_ms,
            operation: Operation::of(message),
            value: message.payload.clone(),
        })
    }
}

/// An entry, as JSON has it.
#[derive(Debug, Serialize)]
pub struct EntryJson {
    bucket: String,
    key: String,
    revision: u64,
    /// Milliseconds since 1970.
    timestamp: i64,
    operation: Operation,
    /// Null where the key was deleted.
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_encoding: Option<&'static str>,
}

impl EntryJson {
    /// Of `entry`.
    pub fn of(entry: &Entry) -> Self {
        let (value, value_encoding) = plain(&entry.value);
        let is_put = entry.operation == Operation::Put;
        Self {
            bucket: entry.bucket.clone(),
            key: entry.key.clone(),
            revision: entry.revision,
            timestamp: entry.time_ms,
            operation: entry.operation,
            value: is_put.then_some(value),
            value_encoding,
        }
    }
}

/// How to print entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EntryFormat {
    /// The value and a newline
    Value,
    /// The value as it is, and nothing else
    Raw,
    /// Revision, time, operation, key and value, with tabs between them
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
}

/// Writes entries to stdout.
pub struct EntryPrinter {
    format: EntryFormat,
    printed: u64,
}

impl EntryPrinter {
    /// Writes what stands before the first.
    ///
    /// # Errors
    /// Stdout doesn't take it.
    pub fn begin(format: EntryFormat) -> Result<Self, Failure> {
        match format {
            EntryFormat::Table => output::print("REVISION\tTIME\tOPERATION\tKEY\tVALUE\n")?,
            EntryFormat::Json => output::print("[")?,
            _ => {}
        }
        Ok(Self { format, printed: 0 })
    }

    /// Writes what stands behind the last.
    ///
    /// # Errors
    /// Stdout doesn't take it.
    pub fn end(&self) -> Result<(), Failure> {
        if self.format == EntryFormat::Json {
            return output::print(if self.printed > 0 { "\n]\n" } else { "]\n" });
        }
        Ok(())
    }

    /// How many were printed.
    pub const fn printed(&self) -> u64 {
        self.printed
    }

    /// Writes one.
    ///
    /// # Errors
    /// Stdout doesn't take it.
    pub fn print(&mut self, entry: &Entry) -> Result<(), Failure> {
        let bytes = shown(entry, self.format, self.printed == 0);
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&bytes).and_then(|()| stdout.flush()).map_err(Failure::output)?;
        self.printed += 1;
        Ok(())
    }
}

fn shown(entry: &Entry, format: EntryFormat, first: bool) -> Vec<u8> {
    match format {
        EntryFormat::Value => [&entry.value[..], b"\n"].concat(),
        EntryFormat::Raw => entry.value.to_vec(),
        EntryFormat::Jsonl => (output::json_line(&EntryJson::of(entry)) + "\n").into_bytes(),
        EntryFormat::Json => {
            let comma = if first { "\n  " } else { ",\n  " };
            (comma.to_owned() + &output::json_line(&EntryJson::of(entry))).into_bytes()
        }
        EntryFormat::Table => {
            let time = format_ms(entry.time_ms);
            let (operation, key) = (entry.operation.word(), cell(Some(entry.key.as_bytes())));
            let value = cell(Some(&entry.value));
            format!("{}\t{time}\t{operation}\t{key}\t{value}\n", entry.revision).into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::Stored;

    fn message(headers: &[(&str, &str)]) -> NatsMessage {
        NatsMessage {
            subject: "$KV.b.k.x".to_owned(),
            reply: None,
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            payload: "v".into(),
            stored: Some(Stored {
                stream: "KV_b".to_owned(),
                sequence: 3,
                time_ms: 0,
                delivery: 1,
                pending: 0,
            }),
        }
    }

    #[test]
    fn a_marker_is_a_deletion() {
        for (headers, operation) in [
            (&[][..], Operation::Put),
            (&[("KV-Operation", "DEL")], Operation::Delete),
            (&[("KV-Operation", "PURGE")], Operation::Purge),
            (&[("Nats-Marker-Reason", "MaxAge")], Operation::Purge),
            (&[("Nats-Marker-Reason", "Remove")], Operation::Delete),
        ] {
            assert_eq!(Entry::of("b", &message(headers)).unwrap().operation, operation, "{headers:?}");
        }
        assert_eq!(Entry::of("bb", &message(&[])), None);
    }

    #[test]
    fn the_json_of_an_entry_is_what_the_manual_says() {
        let entry = Entry::of("b", &message(&[])).unwrap();
        assert_eq!(
            output::json_line(&EntryJson::of(&entry)),
            r#"{"bucket":"b","key":"k.x","revision":3,"timestamp":0,"operation":"put","value":"v"}"#
        );
        assert_eq!(shown(&entry, EntryFormat::Table, true), b"3\t1970-01-01T00:00:00.000Z\tput\tk.x\tv\n");
        let deleted = Entry { operation: Operation::Delete, value: bytes::Bytes::new(), ..entry };
        assert!(
            output::json_line(&EntryJson::of(&deleted)).ends_with(r#""operation":"delete","value":null}"#)
        );
    }
}
