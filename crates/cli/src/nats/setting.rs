//! Settings of streams, consumers and buckets on the command line: sizes, spans and JetStream's own fields.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::time::parse_span;

/// Settings by JetStream's names, in the order in which they were given.
pub type Changes = Vec<(String, Value)>;

/// Puts `changes` into `config`; a null takes the field out.
pub fn apply(config: &mut Map<String, Value>, changes: Changes) {
    for (field, value) in changes {
        if value.is_null() {
            config.remove(&field);
        } else {
            config.insert(field, value);
        }
    }
}

/// Takes out what the server adds of its own: it refuses some of it when it is sent back.
pub fn without_server_metadata(config: &mut Map<String, Value>) {
    let Some(Value::Object(metadata)) = config.get_mut("metadata") else { return };
    metadata.retain(|name, _| !name.starts_with("_nats."));
    if metadata.is_empty() {
        config.remove("metadata");
    }
}

/// `FIELD=JSON`; what isn't JSON is text.
pub fn field(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Ok((name.to_owned(), value))
        }
        _ => Err(format!("`{text}` is not FIELD=VALUE")),
    }
}

/// A number of bytes with a unit if wanted, `64MiB`; `none` is no limit, -1.
pub fn size(text: &str) -> Result<i64, String> {
    if text == "none" || text == "-1" {
        return Ok(-1);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: i64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        _ => return Err(format!("`{text}` is not a size like 1048576, 64MiB or none")),
    };
    let number: Option<i64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| format!("`{text}` is not a size like 1048576, 64MiB or none"))
}

/// A number of things; `none` is no limit, -1.
pub fn limit(text: &str) -> Result<i64, String> {
    if text == "none" || text == "-1" {
        return Ok(-1);
    }
    let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| format!("`{text}` is not a number, or none"))
}

/// A span in nanoseconds, as JetStream counts; `none` is 0.
pub fn span(text: &str) -> Result<i64, String> {
    if text == "none" || text == "0" {
        return Ok(0);
    }
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => parse_span(text),
    };
    parsed
        .and_then(|span| i64::try_from(span.as_nanos()).ok())
        .ok_or_else(|| format!("`{text}` is not a span like 500ms, 90s, 15m, 6h, 7d, or none"))
}

/// A span for people: its two largest units.
pub fn span_text(nanos: i64) -> String {
    let ms = nanos.max(0) / 1_000_000;
    let seconds = ms / 1000;
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => {
            let tenths = ms % 1000 / 100;
            if tenths == 0 { format!("{seconds}s") } else { format!("{seconds}.{tenths}s") }
        }
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// Whether a field of a configuration is a span in nanoseconds.
fn is_span(field: &str) -> bool {
    let spans =
        ["max_age", "duplicate_window", "ack_wait", "idle_heartbeat", "inactive_threshold", "max_expires"];
    spans.contains(&field) || field.ends_with("_ttl") || field == "priority_timeout"
}

/// A value of a configuration for people.
pub fn value_text(field: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if is_span(field) => {
            number.as_i64().map_or_else(|| number.to_string(), span_text)
        }
        Value::Array(items) if field == "backoff" => {
            items.iter().filter_map(Value::as_i64).map(span_text).collect::<Vec<_>>().join(",")
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Rows of name and value of what `config` says beyond `shown`; with `all`, also what says nothing.
pub fn rows(config: &Map<String, Value>, shown: &[&str], all: bool) -> Vec<Vec<String>> {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_i64().is_none_or(|number| number > 0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.keys().any(|name| !name.starts_with("_nats.")),
    };
    config
        .iter()
        .filter(|(field, value)| !shown.contains(&field.as_str()) && (all || says_something(value)))
        .map(|(field, value)| vec![field.clone(), value_text(field, value)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_have_units() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("100"), Ok(100));
        assert_eq!(size("none"), Ok(-1));
        for bad in ["", "MiB", "1.5GiB", "-2", "9999999999TiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(span("500ms"), Ok(500_000_000));
        assert_eq!(span("7d"), Ok(604_800_000_000_000));
        assert_eq!(span("none"), Ok(0));
        assert!(span("soon").is_err());
    }

    #[test]
    fn a_span_is_shown_in_two_units() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1500, "1.5s"),
            (120_000, "2m"),
            (3_661_000, "1h1m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(span_text(ms * 1_000_000), text);
        }
    }

    #[test]
    fn a_field_is_json_or_text() {
        assert_eq!(field("a=true"), Ok(("a".to_owned(), Value::from(true))));
        assert_eq!(field("a=x=y"), Ok(("a".to_owned(), Value::from("x=y"))));
        assert_eq!(field("a=[1]"), Ok(("a".to_owned(), serde_json::json!([1]))));
        assert!(field("a").is_err());
    }
}
