//! What the metrics page shows of each part of the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use duolog_admin::{Metrics, Samples};
use duolog_broker::{Broker, BrokerStats};
use duolog_kafka::{DURATION_BUCKETS_S, KafkaMetrics};
use duolog_log::{LogStats, SYNC_BUCKETS_MICROS};
use duolog_nats::{NatsMetrics, Router};

use crate::config::{Config, Setting};

/// Which binary runs, and under which promise.
pub fn register_server(metrics: &Metrics, config: &Config) {
    let durability = config.durability.show();
    metrics.source(move |samples| {
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("durability", &durability)];
        samples.gauge("duolog_server_info", "Version, and what acknowledged means; always 1.", &labels, 1);
    });
}

/// The broker's numbers, and its log's.
pub fn register_broker(metrics: &Metrics, broker: &Arc<Broker>) {
    let broker = Arc::clone(broker);
    metrics.source(move |samples| {
        let stats = broker.stats();
        broker_samples(samples, &stats);
        log_samples(samples, &stats.log);
    });
}

fn broker_samples(samples: &mut Samples, stats: &BrokerStats) {
    for (name, help, value) in [
        ("duolog_broker_topics", "Topics.", stats.topics),
        ("duolog_broker_partitions", "Partitions of all topics.", stats.partitions),
    ] {
        samples.gauge(name, help, &[], value);
    }
    for (name, help, value) in [
        ("duolog_broker_produced_batches_total", "Batches appended.", stats.produced_batches),
        ("duolog_broker_produced_records_total", "Records appended.", stats.produced_records),
        ("duolog_broker_produced_bytes_total", "Bytes of the batches appended.", stats.produced_bytes),
        (
            "duolog_broker_duplicate_batches_total",
            "Batches that were there already.",
            stats.duplicate_batches,
        ),
        (
            "duolog_broker_refused_batches_total",
            "Batches refused, for whatever reason.",
            stats.refused_batches,
        ),
        ("duolog_broker_fetched_bytes_total", "Bytes of batches handed to readers.", stats.fetched_bytes),
        ("duolog_broker_cold_reads_total", "Reads that had to touch the disk.", stats.cold_reads),
    ] {
        samples.counter(name, help, &[], value);
    }
}

/// The Kafka door's numbers.
pub fn register_kafka(metrics: &Metrics, kafka: Arc<KafkaMetrics>) {
    metrics.source(move |samples| kafka_samples(samples, &kafka));
}

fn kafka_samples(samples: &mut Samples, kafka: &KafkaMetrics) {
    let apis = kafka.apis();
    for api in &apis {
        let labels = [("api", api.api)];
        samples.counter("duolog_kafka_requests_total", "Requests that were handled.", &labels, api.requests);
    }
    for api in &apis {
        let labels = [("api", api.api)];
        let help = "Errors that were answered; a request that fails for three partitions counts three.";
        samples.counter("duolog_kafka_request_errors_total", help, &labels, api.errors);
    }
    // Histograms are sixteen lines each: only for what is in use.
    for api in apis.iter().filter(|api| api.requests > 0) {
        samples.histogram(
            "duolog_kafka_request_duration_seconds",
            "From a request's last byte to its reply's.",
            &[("api", api.api)],
            &DURATION_BUCKETS_S,
            &api.buckets,
            api.sum_s,
        );
    }
    let connections = kafka.connections.load(Ordering::Relaxed);
    samples.gauge("duolog_kafka_connections", "Connections that are open.", &[], connections);
    let accepted = kafka.accepted.load(Ordering::Relaxed);
    samples.counter("duolog_kafka_connections_accepted_total", "Connections accepted.", &[], accepted);
    for (cause, count) in [("bad_input", &kafka.closed_bad_input), ("other", &kafka.closed_other)] {
        samples.counter(
            "duolog_kafka_connections_closed_total",
            "Connections ended, for what the client sent or for another reason.",
            &[("cause", cause)],
            count.load(Ordering::Relaxed),
        );
    }
    let bytes = kafka.request_bytes.load(Ordering::Relaxed);
    samples.counter("duolog_kafka_request_bytes_total", "Bytes of requests read.", &[], bytes);
    let waiting = kafka.reply_bytes_waiting.get();
    samples.gauge("duolog_kafka_reply_waiting_bytes", "Bytes of replies that wait to be sent.", &[], waiting);
    let sessions = kafka.fetch_sessions.load(Ordering::Relaxed);
    samples.gauge("duolog_kafka_fetch_sessions", "Fetch sessions that are kept.", &[], sessions);
}

/// The NATS door's numbers.
pub fn register_nats(metrics: &Metrics, nats: Arc<NatsMetrics>, router: Arc<Router>) {
    metrics.source(move |samples| nats_samples(samples, &nats, router.subscriptions()));
}

fn nats_samples(samples: &mut Samples, nats: &NatsMetrics, subscriptions: usize) {
    let connections = nats.connections.load(Ordering::Relaxed);
    samples.gauge("duolog_nats_connections", "Connections that are open.", &[], connections);
    let help = "Subscriptions of clients and of the broker itself.";
    samples.gauge("duolog_nats_subscriptions", help, &[], subscriptions);
    let closed = [
        ("bad_input", &nats.closed_bad_input),
        ("slow_consumer", &nats.closed_slow),
        ("other", &nats.closed_other),
    ];
    for (cause, count) in closed {
        samples.counter(
            "duolog_nats_connections_closed_total",
            "Connections ended, for what the client sent, for what it didn't take, or for another reason.",
            &[("cause", cause)],
            count.load(Ordering::Relaxed),
        );
    }
    for (name, help, value) in [
        ("duolog_nats_connections_accepted_total", "Connections accepted.", &nats.accepted),
        ("duolog_nats_received_messages_total", "Messages that clients published.", &nats.in_messages),
        ("duolog_nats_received_bytes_total", "Their headers and payloads.", &nats.in_bytes),
        ("duolog_nats_delivered_messages_total", "Messages delivered to clients.", &nats.out_messages),
        ("duolog_nats_delivered_bytes_total", "Their headers and payloads.", &nats.out_bytes),
        ("duolog_nats_stalls_total", "Pauses of publishers for receivers that are behind.", &nats.stalls),
    ] {
        samples.counter(name, help, &[], value.load(Ordering::Relaxed));
    }
}

fn log_samples(samples: &mut Samples, stats: &LogStats) {
    for (name, help, value) in [
        ("duolog_log_entries_total", "Entries written to the WAL.", stats.entries),
        (
            "duolog_log_wal_written_bytes_total",
            "Bytes written to the WAL, padding included.",
            stats.wal_bytes,
        ),
        ("duolog_log_checkpoints_total", "Checkpoints made.", stats.checkpoints),
        (
            "duolog_log_checkpoint_written_bytes_total",
            "Bytes that checkpoints moved to segments.",
            stats.checkpoint_bytes,
        ),
        (
            "duolog_log_checkpoint_failures_total",
            "Checkpoints that found the disk full.",
            stats.checkpoint_failures,
        ),
    ] {
        samples.counter(name, help, &[], value);
    }
    for (name, help, value) in [
        ("duolog_log_durable_lsn", "The newest WAL entry on stable storage.", stats.durable_lsn),
        (
            "duolog_log_wal_pending_bytes",
            "Bytes of the WAL that aren't checkpointed.",
            stats.wal_pending_bytes,
        ),
        ("duolog_log_queued_bytes", "Bytes that wait for the WAL.", stats.queued_bytes),
        ("duolog_log_tail_bytes", "Bytes of the newest data kept in memory.", stats.tail_bytes),
        ("duolog_log_memory_bytes", "Memory that streams with memory storage take.", stats.memory_bytes),
        (
            "duolog_log_disk_free_bytes",
            "Free bytes of the data directory's file system.",
            stats.disk_free_bytes,
        ),
        (
            "duolog_log_disk_full",
            "Whether data is refused for want of disk space: 0 or 1.",
            u64::from(stats.disk_full),
        ),
        (
            "duolog_log_wal_waits_for_room",
            "Whether nothing is acknowledged because the disk has no room for the next WAL file: 0 or 1.",
            u64::from(stats.wal_waits),
        ),
        (
            "duolog_log_poisoned",
            "Whether the log has stopped after a failed write: 0 or 1.",
            u64::from(stats.poisoned),
        ),
    ] {
        samples.gauge(name, help, &[], value);
    }
    let bounds = SYNC_BUCKETS_MICROS.map(|micros| micros as f64 / 1e6);
    let mut below = 0;
    let counts: Vec<u64> = stats
        .sync_buckets
        .iter()
        .map(|cumulative| {
            let count = cumulative.saturating_sub(below);
            below = *cumulative;
            count
        })
        .collect();
    if counts.len() == bounds.len() + 1 {
        let help = "Time of one write and sync of the WAL.";
        samples.histogram(
            "duolog_log_sync_duration_seconds",
            help,
            &[],
            &bounds,
            &counts,
            stats.sync_seconds,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_s_numbers_make_a_page_with_every_bucket() {
        let metrics = Metrics::default();
        let buckets = (1..=SYNC_BUCKETS_MICROS.len() as u64 + 1).collect();
        let stats = LogStats { entries: 7, sync_buckets: buckets, sync_seconds: 0.5, ..LogStats::default() };
        metrics.source(move |samples| log_samples(samples, &stats));
        let page = metrics.page();
        assert!(page.contains("duolog_log_entries_total 7\n"), "{page}");
        assert!(page.contains("duolog_log_sync_duration_seconds_bucket{le=\"0.00005\"} 1\n"), "{page}");
        assert!(page.contains("duolog_log_sync_duration_seconds_count 13\n"), "{page}");
    }
}
