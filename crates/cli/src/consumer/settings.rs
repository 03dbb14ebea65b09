//! The settings of a consumer as flags.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::nats::setting::{self, field, limit, size, span};
use crate::nats::{literal_subject, pattern_subject};
use crate::time::{format_ms, now_ms, parse_rfc3339, parse_span};

/// Settings of a consumer; what isn't given is JetStream's default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct ConsumerSettings {
    /// Only messages of this subject; may be repeated
    #[arg(long = "filter", value_name = "SUBJECT", value_parser = pattern_subject)]
    filters: Vec<String>,
    /// Where to begin: all, new, last, last-per-subject, a sequence, a time (RFC 3339), or a span before now (15m)
    #[arg(long, default_value = "all", value_name = "WHERE", value_parser = from)]
    from: From,
    /// What is to be acknowledged
    #[arg(long, value_enum, default_value = "explicit", value_name = "POLICY")]
    ack: Ack,
    /// How long to wait for an acknowledgement before delivering again (30s)
    #[arg(long, value_name = "SPAN", value_parser = span)]
    ack_wait: Option<i64>,
    /// Most deliveries of a message, or none
    #[arg(long, value_name = "COUNT", value_parser = limit)]
    max_deliver: Option<i64>,
    /// Waits before the second, third, … delivery, in place of --ack-wait
    #[arg(long, value_name = "SPAN", value_parser = span, value_delimiter = ',')]
    backoff: Vec<i64>,
    /// Most messages that are delivered and not acknowledged, or none
    #[arg(long, value_name = "COUNT", value_parser = limit)]
    max_ack_pending: Option<i64>,
    /// Deliver to this subject instead of waiting to be asked
    #[arg(long, value_name = "SUBJECT", value_parser = literal_subject)]
    deliver_to: Option<String>,
    /// Deliver each message to one subscriber of this queue group
    #[arg(long, value_name = "GROUP", requires = "deliver_to")]
    queue: Option<String>,
    /// Headers and size alone
    #[arg(long)]
    headers_only: bool,
    /// Deliver at the pace at which the messages came
    #[arg(long)]
    original_pace: bool,
    /// Most bytes that one request may ask for, or none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_request_bytes: Option<i64>,
    /// Delete it when nobody used it for so long
    #[arg(long, value_name = "SPAN", value_parser = span)]
    inactive_after: Option<i64>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Any setting by JetStream's own name, its value as JSON; may be repeated
    #[arg(long, value_name = "FIELD=VALUE", value_parser = field)]
    set: Vec<(String, Value)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ack {
    /// Every message by itself
    Explicit,
    /// A message and all before it
    All,
    /// Nothing
    None,
}

/// Where a consumer begins: the policy, and the field that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    Policy(&'static str),
    Sequence(u64),
    Time(i64),
    Ago(std::time::Duration),
}

fn from(text: &str) -> Result<From, String> {
    match text {
        "all" | "earliest" | "first" => return Ok(From::Policy("all")),
        "new" | "latest" => return Ok(From::Policy("new")),
        "last" => return Ok(From::Policy("last")),
        "last-per-subject" => return Ok(From::Policy("last_per_subject")),
        _ => {}
    }
    if let Ok(sequence @ 1..) = text.parse() {
        return Ok(From::Sequence(sequence));
    }
    if let Some(span) = parse_span(text) {
        return Ok(From::Ago(span));
    }
    parse_rfc3339(text).map(From::Time).ok_or_else(|| {
        "not all, new, last, last-per-subject, a sequence, a time like 2026-11-23T08:00:00Z, or a span like 15m"
            .to_owned()
    })
}

impl ConsumerSettings {
    /// The configuration of a durable consumer called `name`.
    pub fn config(self, name: &str) -> Value {
        let mut config = Map::new();
        let mut put = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                config.insert(field.to_owned(), value);
            }
        };
        put("durable_name", Some(name.into()));
        put("description", self.description.map(Value::from));
        match self.filters.as_slice() {
            [] => {}
            [one] => put("filter_subject", Some(one.as_str().into())),
            several => put("filter_subjects", Some(several.into())),
        }
        match self.from {
            From::Policy(policy) => put("deliver_policy", Some(policy.into())),
            From::Sequence(sequence) => {
                put("deliver_policy", Some("by_start_sequence".into()));
                put("opt_start_seq", Some(sequence.into()));
            }
            From::Time(ms) => {
                put("deliver_policy", Some("by_start_time".into()));
                put("opt_start_time", Some(format_ms(ms).into()));
            }
            From::Ago(span) => {
                let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                put("deliver_policy", Some("by_start_time".into()));
                put("opt_start_time", Some(format_ms(now_ms().saturating_sub(ms)).into()));
            }
        }
        let ack = match self.ack {
            Ack::Explicit => "explicit",
            Ack::All => "all",
            Ack::None => "none",
        };
        put("ack_policy", Some(ack.into()));
        put("ack_wait", self.ack_wait.map(Value::from));
        put("max_deliver", self.max_deliver.map(Value::from));
        put("backoff", (!self.backoff.is_empty()).then(|| self.backoff.into()));
        put("max_ack_pending", self.max_ack_pending.map(Value::from));
        put("deliver_subject", self.deliver_to.map(Value::from));
        put("deliver_group", self.queue.map(Value::from));
        put("headers_only", self.headers_only.then(|| true.into()));
        put("replay_policy", Some(if self.original_pace { "original" } else { "instant" }.into()));
        put("max_bytes", self.max_request_bytes.map(Value::from));
        put("inactive_threshold", self.inactive_after.map(Value::from));
        setting::apply(&mut config, self.set);
        Value::Object(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: ConsumerSettings,
    }

    #[test]
    fn flags_become_the_fields_of_jetstream() {
        let line = "x --filter a.> --filter b --from 7 --ack all --ack-wait 30s --backoff 1s,1m --max-deliver 3 \
                    --deliver-to d.e --queue q --set metadata={\"k\":\"v\"}";
        let line = Line::try_parse_from(line.split_whitespace()).unwrap();
        assert_eq!(
            line.settings.config("c"),
            json!({
                "durable_name": "c", "filter_subjects": ["a.>", "b"], "deliver_policy": "by_start_sequence",
                "opt_start_seq": 7, "ack_policy": "all", "ack_wait": 30_000_000_000_i64, "max_deliver": 3,
                "backoff": [1_000_000_000_i64, 60_000_000_000_i64], "deliver_subject": "d.e",
                "deliver_group": "q", "replay_policy": "instant", "metadata": {"k": "v"},
            })
        );
        assert!(Line::try_parse_from(["x", "--queue", "q"]).is_err(), "a queue of nothing");
    }

    #[test]
    fn from_understands_every_way_to_name_a_place() {
        assert_eq!(from("last-per-subject"), Ok(From::Policy("last_per_subject")));
        assert_eq!(from("15m"), Ok(From::Ago(std::time::Duration::from_secs(900))));
        assert_eq!(from("1970-01-01T00:00:01Z"), Ok(From::Time(1000)));
        for bad in ["0", "-1", "", "soon"] {
            assert!(from(bad).is_err(), "{bad}");
        }
    }
}
