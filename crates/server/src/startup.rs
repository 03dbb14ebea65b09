//! What the broker says on stdout when it is ready: where it listens, where its data is, what "acknowledged" means.
//!
//! Scripts read these lines: a label, spaces, a value, one a line.

use std::net::SocketAddr;
use std::path::Path;

use duolog_log::RecoveryReport;

use crate::config::Durability;

/// What there is to say.
#[derive(Debug)]
pub struct Ready<'a> {
    /// The doors, by name, with the addresses that they are bound to.
    pub doors: &'a [(&'static str, SocketAddr)],
    /// The data directory.
    pub data_dir: &'a Path,
    /// What recovery found in it.
    pub recovery: &'a RecoveryReport,
    /// What "acknowledged" means.
    pub durability: Durability,
}

impl Ready<'_> {
    /// The lines.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &str| text.push_str(&format!("{label:<8} {value}\n"));
        for (name, address) in self.doors {
            line(name, &address.to_string());
        }
        line("data", &format!("{} ({})", self.data_dir.display(), found(self.recovery)));
        line(
            "acks",
            match self.durability {
                Durability::Sync => "acknowledged means on stable storage: it survives a power cut",
                Durability::Os => {
                    "acknowledged means handed to the operating system: A POWER CUT MAY LOSE IT (durability: os)"
                }
            },
        );
        text
    }
}

fn found(recovery: &RecoveryReport) -> String {
    if recovery.is_new {
        return "new".to_owned();
    }
    let mut text = format!(
        "recovered in {} ms: {} partitions, {} entries replayed",
        recovery.took.as_millis(),
        recovery.partitions,
        recovery.entries
    );
    if recovery.torn_bytes > 0 {
        text.push_str(&format!(", {} bytes of an unfinished write cut off", recovery.torn_bytes));
    }
    if recovery.given_up > 0 {
        text.push_str(&format!(", {} damaged ranges given up", recovery.given_up));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_lines_are_a_label_and_a_value() {
        let recovery = RecoveryReport {
            entries: 12,
            partitions: 3,
            torn_bytes: 4096,
            took: Duration::from_millis(7),
            ..RecoveryReport::default()
        };
        let mut ready = Ready {
            doors: &[("kafka", "127.0.0.1:9092".parse().unwrap()), ("http", "[::1]:8080".parse().unwrap())],
            data_dir: Path::new("./duolog-data"),
            recovery: &recovery,
            durability: Durability::Sync,
        };
        assert_eq!(
            ready.text(),
            "kafka    127.0.0.1:9092\n\
             http     [::1]:8080\n\
             data     ./duolog-data (recovered in 7 ms: 3 partitions, 12 entries replayed, \
             4096 bytes of an unfinished write cut off)\n\
             acks     acknowledged means on stable storage: it survives a power cut\n"
        );
        let new = RecoveryReport { is_new: true, ..RecoveryReport::default() };
        ready.recovery = &new;
        ready.durability = Durability::Os;
        assert!(ready.text().contains("data     ./duolog-data (new)\n"));
        assert!(ready.text().contains("A POWER CUT MAY LOSE IT"));
    }
}
