//! Consumers as tables and as JSON.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::nats::{ConsumerInfo, SequencePair, setting};
use crate::output::{self, Format, Row};
use crate::stream::time;

/// A line of `consumer list`.
#[derive(Debug, Serialize)]
pub struct ConsumerRow {
    consumer: String,
    stream: String,
    durable: bool,
    /// `pull`, or `push`.
    mode: &'static str,
    ack_policy: String,
    filters: Vec<String>,
    /// Up to this sequence all is acknowledged.
    ack_floor: u64,
    /// Up to this sequence all was delivered.
    delivered: u64,
    /// To be delivered.
    pending: u64,
    /// Delivered, not acknowledged.
    ack_pending: u64,
    redelivered: u64,
    /// Requests that wait for messages.
    waiting: u64,
}

impl ConsumerRow {
    /// Of `info`.
    pub fn of(info: &ConsumerInfo) -> Self {
        Self {
            consumer: info.name.clone(),
            stream: info.stream_name.clone(),
            durable: info.is_durable(),
            mode: mode(info),
            ack_policy: info.ack_policy().to_owned(),
            filters: info.filters(),
            ack_floor: info.ack_floor.stream_seq,
            delivered: info.delivered.stream_seq,
            pending: info.num_pending,
            ack_pending: info.num_ack_pending,
            redelivered: info.num_redelivered,
            waiting: info.num_waiting,
        }
    }
}

fn mode(info: &ConsumerInfo) -> &'static str {
    if info.deliver_subject().is_empty() { "pull" } else { "push" }
}

impl Row for ConsumerRow {
    fn titles(wide: bool) -> Vec<&'static str> {
        let mut titles = vec!["CONSUMER", "MODE", "ACK", "ACK FLOOR", "DELIVERED", "PENDING", "ACK PENDING"];
        if wide {
            titles.extend(["DURABLE", "REDELIVERED", "WAITING", "FILTER"]);
        }
        titles
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let mut cells = vec![
            self.consumer.clone(),
            self.mode.to_owned(),
            self.ack_policy.clone(),
            self.ack_floor.to_string(),
            self.delivered.to_string(),
            self.pending.to_string(),
            self.ack_pending.to_string(),
        ];
        if wide {
            cells.extend([
                self.durable.to_string(),
                self.redelivered.to_string(),
                self.waiting.to_string(),
                if self.filters.is_empty() { "-".to_owned() } else { self.filters.join(",") },
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        self.consumer.clone()
    }
}

/// What `consumer describe` shows.
#[derive(Debug, Serialize)]
pub struct ConsumerDescription {
    consumer: String,
    stream: String,
    created: Option<String>,
    mode: &'static str,
    /// Of a push consumer: whether somebody listens.
    push_bound: bool,
    delivered: SequencePair,
    ack_floor: SequencePair,
    pending: u64,
    ack_pending: u64,
    redelivered: u64,
    waiting: u64,
    /// Every setting, by JetStream's names.
    config: Map<String, Value>,
}

impl ConsumerDescription {
    /// Of `info`.
    pub fn of(info: ConsumerInfo) -> Self {
        Self {
            mode: mode(&info),
            consumer: info.name,
            stream: info.stream_name,
            created: time(&info.created),
            push_bound: info.push_bound,
            delivered: info.delivered,
            ack_floor: info.ack_floor,
            pending: info.num_pending,
            ack_pending: info.num_ack_pending,
            redelivered: info.num_redelivered,
            waiting: info.num_waiting,
            config: info.config,
        }
    }

    fn text(&self, wide: bool) -> String {
        let pair = |pair: SequencePair| {
            format!("sequence {} (as its delivery {})", pair.stream_seq, pair.consumer_seq)
        };
        let bound = if self.mode == "push" && !self.push_bound { ", nobody listens" } else { "" };
        let lines = [
            ("Consumer", self.consumer.clone()),
            ("Stream", self.stream.clone()),
            ("Mode", format!("{}{bound}", self.mode)),
            ("Created", self.created.clone().unwrap_or_else(|| "-".to_owned())),
            ("Delivered", pair(self.delivered)),
            ("Ack floor", pair(self.ack_floor)),
            ("Pending", format!("{} to deliver, {} to be acknowledged", self.pending, self.ack_pending)),
            ("Redelivered", self.redelivered.to_string()),
            ("Waiting", output::counted(self.waiting, "request")),
        ];
        let lines = lines.iter().map(|(title, value)| format!("{:<14}{value}\n", format!("{title}:")));
        let mut text: String = lines.collect();
        let rows = setting::rows(&self.config, &["name", "durable_name"], wide);
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
pub fn print(descriptions: &[ConsumerDescription], format: Format) -> Result<(), Failure> {
    let texts = |wide: bool| descriptions.iter().map(|found| found.text(wide)).collect::<Vec<_>>().join("\n");
    output::print(&match format {
        Format::Json => format!("{}\n", output::json_pretty(&descriptions)),
        Format::Jsonl => descriptions.iter().map(|found| output::json_line(found) + "\n").collect(),
        Format::Name => descriptions.iter().map(|found| format!("{}\n", found.consumer)).collect(),
        Format::Table => texts(false),
        Format::Wide => texts(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = r#"{"stream_name":"S","name":"c","created":"2026-11-24T00:00:00Z",
        "config":{"durable_name":"c","ack_policy":"explicit","ack_wait":30000000000,"filter_subject":"a.>"},
        "delivered":{"consumer_seq":3,"stream_seq":7,"last_active":"2026-11-24T00:00:00Z"},
        "ack_floor":{"consumer_seq":2,"stream_seq":5},"num_ack_pending":1,"num_redelivered":0,
        "num_waiting":0,"num_pending":4,"cluster":{}}"#;

    #[test]
    fn the_json_of_consumers_is_what_the_manual_says() {
        let info: ConsumerInfo = serde_json::from_str(INFO).unwrap();
        assert_eq!(
            output::json_line(&ConsumerRow::of(&info)),
            concat!(
                r#"{"consumer":"c","stream":"S","durable":true,"mode":"pull","ack_policy":"explicit","#,
                r#""filters":["a.>"],"ack_floor":5,"delivered":7,"pending":4,"ack_pending":1,"redelivered":0,"#,
                r#""waiting":0}"#
            )
        );
        let described = ConsumerDescription::of(info);
        let text = described.text(false);
        assert!(text.contains("Pending:      4 to deliver, 1 to be acknowledged\n"), "{text}");
        assert!(text.contains("ack_wait        30s\n"), "{text}");
        assert!(output::json_line(&described).starts_with(concat!(
            r#"{"consumer":"c","stream":"S","created":"2026-11-24T00:00:00Z","mode":"pull","push_bound":false,"#,
            r#""delivered":{"consumer_seq":3,"stream_seq":7},"ack_floor":{"consumer_seq":2,"stream_seq":5},"#,
            r#""pending":4,"ack_pending":1,"redelivered":0,"waiting":0,"config":{"#
        )));
    }
}
