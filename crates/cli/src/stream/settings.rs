//! The settings of a stream as flags.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::nats::pattern_subject;
use crate::nats::setting::{Changes, field, limit, size, span};

/// Settings of a stream; what isn't given is left alone.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct StreamSettings {
    /// Subject that the stream takes; may be repeated
    #[arg(long = "subject", value_name = "SUBJECT", value_parser = pattern_subject)]
    subjects: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How long messages stay
    #[arg(long, value_enum, value_name = "POLICY")]
    retention: Option<Retention>,
    /// Where they are kept
    #[arg(long, value_enum, value_name = "WHERE")]
    storage: Option<Storage>,
    /// What gives way at a limit
    #[arg(long, value_enum, value_name = "WHICH")]
    discard: Option<Discard>,
    /// Most messages, or none
    #[arg(long, value_name = "COUNT", value_parser = limit)]
    max_messages: Option<i64>,
    /// Most messages of one subject, or none
    #[arg(long, value_name = "COUNT", value_parser = limit)]
    max_per_subject: Option<i64>,
    /// Most bytes in all (64MiB), or none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_bytes: Option<i64>,
    /// Most bytes of one message, headers included, or none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_message_bytes: Option<i64>,
    /// How old messages may be (90s, 15m, 6h, 7d), or none
    #[arg(long, value_name = "SPAN", value_parser = span)]
    max_age: Option<i64>,
    /// How long the id of a message is remembered
    #[arg(long, value_name = "SPAN", value_parser = span)]
    dedup_window: Option<i64>,
    /// Any setting by JetStream's own name, its value as JSON; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = field)]
    set: Vec<(String, Value)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Retention {
    /// Until a limit is reached
    Limits,
    /// Until every consumer has acknowledged
    Interest,
    /// Until one consumer has acknowledged
    Workqueue,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Storage {
    File,
    Memory,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Discard {
    /// The oldest messages go
    Old,
    /// New ones are refused
    New,
}

impl StreamSettings {
    /// What was given, by JetStream's names.
    pub fn changes(self) -> Changes {
        let word = |retention: Retention| match retention {
            Retention::Limits => "limits",
            Retention::Interest => "interest",
            Retention::Workqueue => "workqueue",
        };
        let subjects = (!self.subjects.is_empty()).then(|| Value::from(self.subjects));
        let storage = self.storage.map(|storage| match storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        });
        let discard = self.discard.map(|discard| match discard {
            Discard::Old => "old",
            Discard::New => "new",
        });
        let given = [
            ("subjects", subjects),
            ("description", self.description.map(Value::from)),
            ("retention", self.retention.map(word).map(Value::from)),
            ("storage", storage.map(Value::from)),
            ("discard", discard.map(Value::from)),
            ("max_msgs", self.max_messages.map(Value::from)),
            ("max_msgs_per_subject", self.max_per_subject.map(Value::from)),
            ("max_bytes", self.max_bytes.map(Value::from)),
            ("max_msg_size", self.max_message_bytes.map(Value::from)),
            ("max_age", self.max_age.map(Value::from)),
            ("duplicate_window", self.dedup_window.map(Value::from)),
        ];
        let given = given.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)));
        given.chain(self.set).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[test]
    fn flags_become_the_fields_of_jetstream() {
        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            settings: StreamSettings,
        }
        let line = "x --subject a.> --subject b --retention workqueue --max-bytes 1KiB --max-age 1m \
                    --max-messages none --set allow_direct=true --set description=d";
        let line = Line::try_parse_from(line.split_whitespace()).unwrap();
        let changes: serde_json::Map<String, Value> = line.settings.changes().into_iter().collect();
        assert_eq!(
            Value::Object(changes),
            json!({
                "subjects": ["a.>", "b"], "retention": "workqueue", "max_bytes": 1024,
                "max_age": 60_000_000_000_i64, "max_msgs": -1, "allow_direct": true, "description": "d",
            })
        );
        assert!(StreamSettings::default().changes().is_empty());
    }
}
