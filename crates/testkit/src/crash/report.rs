//! What an exploration did and what it found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::explorer::{REPLAY_VARIABLE, Violation};
use super::id::CrashId;

/// The counts of an exploration, and the first violation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs of the workload.
    pub rounds: u64,
    /// Boundaries between operations at which crashes were made; those of recoveries not counted.
    pub boundaries: u64,
    /// Crash images recovered and checked, those of second crashes too.
    pub images: u64,
    /// The images of crashes during recovery.
    pub double_crashes: u64,
    /// Images by the kind of their last crash.
    pub kinds: BTreeMap<&'static str, u64>,
    /// How long it took.
    pub elapsed: Duration,
    /// The violation that ended the exploration.
    pub found: Option<Found>,
}

/// A violation, and how to see it again.
#[derive(Clone, Debug)]
pub struct Found {
    /// The crash after which it showed.
    pub id: CrashId,
    /// What is wrong.
    pub violation: Violation,
    /// The operations around the last crash, for the reader.
    pub context: Vec<String>,
    /// The command that runs this exploration.
    pub command: String,
}

impl Found {
    /// The one line that makes it happen again.
    #[must_use]
    pub fn reproduction(&self) -> String {
        format!("{REPLAY_VARIABLE}={} {}", self.id, self.command)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "again: {}", self.reproduction())?;
        self.context.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl Report {
    /// Adds another part's counts; the violation that was found first stays.
    pub(super) fn add(&mut self, part: Report) {
        self.rounds += part.rounds;
        self.boundaries += part.boundaries;
        self.images += part.images;
        self.double_crashes += part.double_crashes;
        for (kind, count) in part.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.found = self.found.take().or(part.found);
    }

    /// Fails the calling test if there was a violation.
    ///
    /// # Panics
    /// With the violation and the line that reproduces it.
    pub fn assert_clean(&self) {
        if let Some(found) = &self.found {
            panic!("after {} crash images: {found}", self.images);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} images ({} of crashes during recovery, {} kinds) at {} boundaries of {} runs in {:.1} s",
            self.images,
            self.double_crashes,
            self.kinds.len(),
            self.boundaries,
            self.rounds,
            self.elapsed.as_secs_f64(),
        )?;
        match &self.found {
            Some(found) => write!(f, "; violation: {found}"),
            None => write!(f, "; no violation"),
        }
    }
}
