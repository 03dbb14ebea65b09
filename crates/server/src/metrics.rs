//! What the metrics page shows of each part of the broker.

use duolog_admin::{Metrics, Samples};
use duolog_log::{Log, LogStats, SYNC_BUCKETS_MICROS};

use crate::config::{Config, Setting};

/// Which binary runs, and under which promise.
pub fn register_server(metrics: &Metrics, config: &Config) {
    let durability = config.durability.show();
    metrics.source(move |samples| {
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("durability", &durability)];
        samples.gauge("duolog_server_info", "Version, and what acknowledged means; always 1.", &labels, 1);
    });
}

/// The log's numbers.
pub fn register_log(metrics: &Metrics, log: &Log) {
    let log = log.clone();
    metrics.source(move |samples| log_samples(samples, &log.stats()));
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
