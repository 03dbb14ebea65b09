//! Counters of the Kafka door: plain atomics, read by whoever renders a metrics page.
//!
//! Names on that page: `duolog_kafka_requests_total{api}`, `duolog_kafka_request_errors_total{api}`,
//! `duolog_kafka_request_duration_seconds{api}`, `duolog_kafka_connections`,
//! `duolog_kafka_connections_accepted_total`, `duolog_kafka_connections_closed_total{cause}`,
//! `duolog_kafka_request_bytes_total`, `duolog_kafka_reply_bytes_waiting`, `duolog_kafka_fetch_sessions`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::dispatch::{APIS, api_at};
use crate::session::queue::ReplyBytes;

/// Upper bounds of the duration histogram's buckets, seconds. One more bucket takes the rest.
pub const DURATION_BUCKETS_S: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The counters. Updated without locks; a snapshot is not one moment, but each number is true.
#[derive(Debug)]
pub struct KafkaMetrics {
    apis: Vec<ApiCounters>,
    /// Connections that are open.
    pub connections: AtomicUsize,
    /// Connections that were accepted.
    pub accepted: AtomicU64,
    /// Connections that were ended for bad input.
    pub closed_bad_input: AtomicU64,
    /// Connections that were ended for another reason.
    pub closed_other: AtomicU64,
    /// Bytes of requests that were read.
    pub request_bytes: AtomicU64,
    /// Bytes of replies that wait to be sent.
    pub reply_bytes_waiting: std::sync::Arc<ReplyBytes>,
    /// Fetch sessions that are kept.
    pub fetch_sessions: AtomicUsize,
}

#[derive(Debug, Default)]
struct ApiCounters {
    requests: AtomicU64,
    errors: AtomicU64,
    buckets: [AtomicU64; DURATION_BUCKETS_S.len() + 1],
    sum_ns: AtomicU64,
}

/// One API's numbers.
#[derive(Clone, Debug)]
pub struct ApiSnapshot {
    /// The API's name.
    pub api: &'static str,
    /// Requests that were handled.
    pub requests: u64,
    /// Errors that were answered: a request that fails for three partitions counts three.
    pub errors: u64,
    /// Answered requests by duration, from the request's last byte to the reply's; not cumulative.
    pub buckets: [u64; DURATION_BUCKETS_S.len() + 1],
    /// The durations' sum, seconds.
    pub sum_s: f64,
}

impl KafkaMetrics {
    pub(crate) fn new(reply_bytes_waiting: std::sync::Arc<ReplyBytes>) -> Self {
        Self {
            apis: APIS.iter().map(|_| ApiCounters::default()).collect(),
            connections: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            closed_bad_input: AtomicU64::new(0),
            closed_other: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            reply_bytes_waiting,
            fetch_sessions: AtomicUsize::new(0),
        }
    }

    pub(crate) fn request(&self, api: usize, bytes: usize) {
        self.apis[api].requests.fetch_add(1, Ordering::Relaxed);
        self.request_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn errors(&self, api: usize, count: u64) {
        if count > 0 {
            self.apis[api].errors.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn answered(&self, api: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = DURATION_BUCKETS_S.partition_point(|bound| *bound < seconds);
        let counters = &self.apis[api];
        counters.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        counters.sum_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The numbers of each API, in the order of the API table.
    #[must_use]
    pub fn apis(&self) -> Vec<ApiSnapshot> {
        self.apis
            .iter()
            .enumerate()
            .map(|(index, counters)| ApiSnapshot {
                api: api_at(index).name,
                requests: counters.requests.load(Ordering::Relaxed),
                errors: counters.errors.load(Ordering::Relaxed),
                buckets: std::array::from_fn(|bucket| counters.buckets[bucket].load(Ordering::Relaxed)),
                sum_s: Duration::from_nanos(counters.sum_ns.load(Ordering::Relaxed)).as_secs_f64(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_land_in_the_bucket_whose_bound_they_do_not_exceed() {
        let metrics = KafkaMetrics::new(std::sync::Arc::default());
        for micros in [50, 100, 101, 6_000_000] {
            metrics.answered(0, Duration::from_micros(micros));
        }
        let buckets = metrics.apis()[0].buckets;
        assert_eq!((buckets[0], buckets[1], buckets[14]), (2, 1, 1));
        assert!((metrics.apis()[0].sum_s - 6.000_251).abs() < 1e-9);
    }
}
