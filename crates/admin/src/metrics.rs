//! The metrics page: Prometheus' text format, written from snapshots.
//!
//! The broker's parts count in plain atomics of their own and know of no metrics library. A source is a function
//! that reads them and writes samples; it runs when the page is asked for, and costs nothing in between.

use std::collections::HashSet;
use std::fmt::{Display, Write};
use std::sync::Arc;

use parking_lot::Mutex;

type Source = Box<dyn Fn(&mut Samples) + Send + Sync>;

/// All sources of the page. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    sources: Arc<Mutex<Vec<Source>>>,
}

impl Metrics {
    /// Adds a source. Each family (metric name) belongs to one source, which writes all its samples in a row.
    pub fn source(&self, source: impl Fn(&mut Samples) + Send + Sync + 'static) {
        self.sources.lock().push(Box::new(source));
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let mut samples = Samples::default();
        for source in self.sources.lock().iter() {
            source(&mut samples);
        }
        samples.text
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metrics({} sources)", self.sources.lock().len())
    }
}

/// Takes what a source has to say.
#[derive(Debug, Default)]
pub struct Samples {
    text: String,
    families: HashSet<&'static str>,
}

/// A label's name and value.
pub type Label<'a> = (&'static str, &'a str);

impl Samples {
    /// A number that only rises (from 0 at the start of the process). `name` ends in `_total`.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[Label<'_>],
        value: impl Display,
    ) {
        debug_assert!(name.ends_with("_total"), "{name}: a counter's name ends in _total");
        self.family(name, help, "counter");
        self.sample(name, "", labels, value);
    }

    /// A number that goes both ways.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[Label<'_>],
        value: impl Display,
    ) {
        debug_assert!(!name.ends_with("_total"), "{name}: only a counter's name ends in _total");
        self.family(name, help, "gauge");
        self.sample(name, "", labels, value);
    }

    /// How observations spread: `bounds` are the buckets' upper bounds (inclusive, ascending), `counts` how many
    /// fell into each and not into one before it, with one more for what is above all bounds; `sum` is of all.
    ///
    /// # Panics
    /// If there isn't exactly one count more than there are bounds.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[Label<'_>],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        assert_eq!(counts.len(), bounds.len() + 1, "{name}: one count for each bucket and one above");
        self.family(name, help, "histogram");
        let mut below = 0_u64;
        let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            below += count;
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.sample(name, "_bucket", &with_bound, below);
        }
        self.sample(name, "_sum", labels, sum);
        self.sample(name, "_count", labels, below);
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: &'static str) {
        debug_assert!(is_name(name), "{name}: not a duolog_<stage>_<noun>_<unit> name");
        if self.families.insert(name) {
            // Writing to a String can't fail, here and below.
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        if !labels.is_empty() {
            self.text.push('{');
            for (index, (label, value)) in labels.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                let _ = write!(self.text, "{comma}{label}=\"{}\"", escaped(value));
            }
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Label values come from outside (topic and group names): quotes, backslashes and newlines must not end them.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    name.starts_with("duolog_") && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_head_for_each_family_and_cumulative_buckets() {
        let metrics = Metrics::default();
        metrics.source(|samples| {
            for (api, count) in [("Fetch", 3), ("Produce", 4)] {
                samples.counter("duolog_kafka_requests_total", "Requests.", &[("api", api)], count);
            }
            samples.gauge("duolog_log_queued_bytes", "Bytes that wait.", &[], 17);
        });
        metrics.source(|samples| {
            let (bounds, counts) = ([0.001, 0.5], [2, 1, 4]);
            let name = "duolog_kafka_request_duration_seconds";
            samples.histogram(name, "Durations.", &[("api", "Fetch")], &bounds, &counts, 12.5);
        });
        assert_eq!(
            metrics.page(),
            "# HELP duolog_kafka_requests_total Requests.\n\
             # TYPE duolog_kafka_requests_total counter\n\
             duolog_kafka_requests_total{api=\"Fetch\"} 3\n\
             duolog_kafka_requests_total{api=\"Produce\"} 4\n\
             # HELP duolog_log_queued_bytes Bytes that wait.\n\
             # TYPE duolog_log_queued_bytes gauge\n\
             duolog_log_queued_bytes 17\n\
             # HELP duolog_kafka_request_duration_seconds Durations.\n\
             # TYPE duolog_kafka_request_duration_seconds histogram\n\
             duolog_kafka_request_duration_seconds_bucket{api=\"Fetch\",le=\"0.001\"} 2\n\
             duolog_kafka_request_duration_seconds_bucket{api=\"Fetch\",le=\"0.5\"} 3\n\
             duolog_kafka_request_duration_seconds_bucket{api=\"Fetch\",le=\"+Inf\"} 7\n\
             duolog_kafka_request_duration_seconds_sum{api=\"Fetch\"} 12.5\n\
             duolog_kafka_request_duration_seconds_count{api=\"Fetch\"} 7\n"
        );
    }

    #[test]
    fn a_label_value_cannot_end_its_line() {
        let mut samples = Samples::default();
        samples.gauge("duolog_x_y", "h", &[("topic", "a\"} 1\nb\\")], 1);
        assert_eq!(samples.text.lines().count(), 3);
        assert!(samples.text.ends_with("duolog_x_y{topic=\"a\\\"} 1\\nb\\\\\"} 1\n"));
    }
}
