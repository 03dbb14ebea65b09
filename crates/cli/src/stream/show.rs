//! Streams as tables and as JSON.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::nats::{StreamInfo, StreamState, is_zero_time, setting, text};
use crate::output::{self, Format, Row};

/// A line of `stream list`.
#[derive(Debug, Serialize)]
pub struct StreamRow {
    stream: String,
    subjects: Vec<String>,
    retention: String,
    storage: String,
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    last_time: Option<String>,
    consumers: u64,
}

impl StreamRow {
    /// Of `info`.
    pub fn of(info: &StreamInfo) -> Self {
        Self {
            stream: info.name().to_owned(),
            subjects: info.subjects(),
            retention: text(&info.config, "retention").to_owned(),
            storage: text(&info.config, "storage").to_owned(),
            messages: info.state.messages,
            bytes: info.state.bytes,
            first_seq: info.state.first_seq,
            last_seq: info.state.last_seq,
            last_time: time(&info.state.last_ts),
            consumers: info.state.consumer_count,
        }
    }
}

/// A server's time, unless it says "never".
pub fn time(text: &str) -> Option<String> {
    (!is_zero_time(text)).then(|| text.to_owned())
}

impl Row for StreamRow {
    fn titles(wide: bool) -> Vec<&'static str> {
        let mut titles = vec!["STREAM", "SUBJECTS", "MESSAGES", "BYTES", "FIRST", "LAST", "CONSUMERS"];
        if wide {
            titles.extend(["RETENTION", "STORAGE", "LAST TIME"]);
        }
        titles
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let mut cells = vec![
            self.stream.clone(),
            dash(self.subjects.join(",")),
            self.messages.to_string(),
            self.bytes.to_string(),
            self.first_seq.to_string(),
            self.last_seq.to_string(),
            self.consumers.to_string(),
        ];
        if wide {
            cells.extend([self.retention.clone(), self.storage.clone()]);
            cells.push(dash(self.last_time.clone().unwrap_or_default()));
        }
        cells
    }

    fn name(&self) -> String {
        self.stream.clone()
    }
}

/// What `stream describe` shows.
#[derive(Debug, Serialize)]
pub struct StreamDescription {
    stream: String,
    created: Option<String>,
    state: StreamState,
    /// Every setting, by JetStream's names.
    config: Map<String, Value>,
}

impl StreamDescription {
    /// Of `info`.
    pub fn of(info: StreamInfo) -> Self {
        Self {
            stream: info.name().to_owned(),
            created: time(&info.created),
            state: info.state,
            config: info.config,
        }
    }

    fn text(&self, wide: bool) -> String {
        let config = |field: &str| self.config.get(field).map(|value| setting::value_text(field, value));
        let config = |field: &str| config(field).unwrap_or_default();
        let state = &self.state;
        let never = |time: &str| if is_zero_time(time) { "-".to_owned() } else { time.to_owned() };
        let lines = [
            ("Stream", self.stream.clone()),
            ("Subjects", config("subjects")),
            ("Retention", format!("{}, discard {}", config("retention"), config("discard"))),
            ("Storage", config("storage")),
            ("Created", never(self.created.as_deref().unwrap_or_default())),
            (
                "Messages",
                format!(
                    "{} of {}, {} bytes",
                    state.messages,
                    output::counted(state.num_subjects, "subject"),
                    state.bytes
                ),
            ),
            ("First", format!("sequence {}, {}", state.first_seq, never(&state.first_ts))),
            ("Last", format!("sequence {}, {}", state.last_seq, never(&state.last_ts))),
            ("Deleted", format!("{} between them", state.num_deleted)),
            ("Consumers", state.consumer_count.to_string()),
        ];
        let mut text: String =
            lines.iter().map(|(title, value)| format!("{:<12}{value}\n", format!("{title}:"))).collect();
        let rows =
            setting::rows(&self.config, &["name", "subjects", "retention", "discard", "storage"], wide);
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&output::table(&["SETTING", "VALUE"], rows));
        }
        text
    }
}

/// Prints descriptions.
///
/// # Errors
/// Stdout doesn't take it.
pub fn print(descriptions: &[StreamDescription], format: Format) -> Result<(), Failure> {
    let texts = |wide: bool| descriptions.iter().map(|found| found.text(wide)).collect::<Vec<_>>().join("\n");
    output::print(&match format {
        Format::Json => format!("{}\n", output::json_pretty(&descriptions)),
        Format::Jsonl => descriptions.iter().map(|found| output::json_line(found) + "\n").collect(),
        Format::Name => descriptions.iter().map(|found| format!("{}\n", found.stream)).collect(),
        Format::Table => texts(false),
        Format::Wide => texts(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = r#"{"config":{"name":"S","subjects":["a.>"],"retention":"limits","discard":"old",
        "storage":"file","max_age":60000000000,"max_msgs":-1,"sealed":false,"future_field":{"x":1}},
        "created":"2026-11-24T00:00:00Z","state":{"messages":2,"bytes":90,"first_seq":3,
        "first_ts":"2026-11-24T00:00:01Z","last_seq":5,"last_ts":"2026-11-24T00:00:02Z","num_subjects":1,
        "num_deleted":1,"consumer_count":0},"cluster":{"leader":"n"},"ts":"2026-11-24T00:00:03Z"}"#;

    #[test]
    fn the_json_of_streams_is_what_the_manual_says() {
        let info: StreamInfo = serde_json::from_str(INFO).unwrap();
        assert_eq!(
            output::json_line(&StreamRow::of(&info)),
            concat!(
                r#"{"stream":"S","subjects":["a.>"],"retention":"limits","storage":"file","messages":2,"bytes":90,"#,
                r#""first_seq":3,"last_seq":5,"last_time":"2026-11-24T00:00:02Z","consumers":0}"#
            )
        );
        let described: Value = serde_json::to_value(StreamDescription::of(info)).unwrap();
        assert_eq!(described["state"]["num_deleted"], 1);
        assert_eq!(
            described["config"]["future_field"]["x"], 1,
            "what this program doesn't know is shown, too"
        );
        let fields: Vec<&String> = described.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["config", "created", "state", "stream"]);
    }

    #[test]
    fn the_table_of_a_stream_names_what_is_set() {
        let text = StreamDescription::of(serde_json::from_str(INFO).unwrap()).text(false);
        assert!(text.contains("Messages:   2 of 1 subject, 90 bytes\n"), "{text}");
        assert!(text.ends_with("SETTING       VALUE\nfuture_field  {\"x\":1}\nmax_age       1m\n"), "{text}");
    }
}
