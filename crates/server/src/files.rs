//! Settings that fit the open files that the system allows.
//!
//! A connection is a file. Without this idle connections could take all there are, and the log, which opens files as
//! it goes, would stop.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Files of the log beside its segments, the connections to http, and the process's own.
const RESERVE: u64 = 256;

/// With fewer, nobody could even look what is wrong.
const FEWEST_CONNECTIONS: u32 = 16;

/// With fewer, a checkpoint would sync after every few partitions.
const FEWEST_SEGMENT_FILES: u32 = 16;

/// The system allows too few open files for what the settings say.
#[derive(Debug, PartialEq, Eq)]
pub struct TooFewFiles {
    /// Kafka connections that are let in.
    connections: u32,
    /// Kafka connections that the setting says.
    max_connections: u32,
    /// NATS connections that are let in.
    nats_connections: u32,
    /// NATS connections that the setting says.
    max_nats_connections: u32,
    /// Segment files that are kept open.
    segment_files: u32,
    /// Segment files that the setting says.
    max_open_files: u32,
    /// Files that may be open.
    open_files: u64,
    /// Files that would have to be.
    needed: u64,
}

impl TooFewFiles {
    /// Says so in the log.
    pub fn warn(&self) {
        let Self { connections, max_connections, nats_connections, max_nats_connections, .. } = self;
        let Self { segment_files, max_open_files, open_files, needed, .. } = self;
        tracing::warn!(
            connections,
            max_connections,
            nats_connections,
            max_nats_connections,
            segment_files,
            max_open_files,
            open_files,
            needed,
            "the system allows this process too few open files for kafka.max_connections, nats.max_connections and \
             storage.max_open_files: fewer are in force; for all of them raise the hard limit to what is needed (`ulimit -Hn`, LimitNOFILE= \
             of a systemd unit, --ulimit nofile= of a container)"
        );
    }
}

/// Raises the limit of open files as far as the system lets it, and lowers `config`'s connections and segment files
/// to what it is enough for.
pub fn fit(config: &mut Config) -> Option<TooFewFiles> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let open_files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // None: without limit.
    // A door that isn't there takes none.
    let nats = if config.nats.listen.is_some() { config.nats.max_connections } else { 0 };
    let too_few = too_few(config.kafka.max_connections, nats, config.storage.max_open_files, open_files?)?;
    config.kafka.max_connections = too_few.connections;
    if nats > 0 {
        config.nats.max_connections = too_few.nats_connections;
    }
    config.storage.max_open_files = too_few.segment_files;
    Some(too_few)
}

/// What the log and the rest of the process take. Segment files count twice: those that readers keep open, and as
/// many again that a checkpoint writes before it syncs them.
fn others(segment_files: u32) -> u64 {
    2 * u64::from(segment_files) + RESERVE
}

fn too_few(
    max_connections: u32,
    max_nats_connections: u32,
    max_open_files: u32,
    open_files: u64,
) -> Option<TooFewFiles> {
    let needed = u64::from(max_connections) + u64::from(max_nats_connections) + others(max_open_files);
    if needed <= open_files {
        return None;
    }
    let at_most = |files: u64| u32::try_from(files).unwrap_or(u32::MAX);
    // A quarter of all files for the log, so that segments don't crowd out the connections.
    let segment_files = max_open_files.min(at_most(open_files / 8).max(FEWEST_SEGMENT_FILES));
    let left = at_most(open_files.saturating_sub(others(segment_files)));
    // Half for each door, and what the other doesn't need.
    let share =
        |max: u32, other: u32| max.min((left / 2).max(left.saturating_sub(other)).max(FEWEST_CONNECTIONS));
    Some(TooFewFiles {
        connections: share(max_connections, max_nats_connections),
        max_connections,
        nats_connections: share(max_nats_connections, max_connections),
        max_nats_connections,
        segment_files,
        max_open_files,
        open_files,
        needed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_segments_and_the_rest_leave_but_never_too_few() {
        let in_force = |max_connections, max_open_files, open_files| {
            too_few(max_connections, 0, max_open_files, open_files)
                .map(|too_few| (too_few.connections, too_few.segment_files))
        };
        assert_eq!(in_force(20_000, 512, 21_280), None);
        assert_eq!(in_force(20_000, 512, 21_279), Some((19_999, 512)));
        assert_eq!(in_force(20_000, 512, 4096), Some((2816, 512)));
        assert_eq!(in_force(20_000, 512, 1024), Some((512, 128)));
        assert_eq!(in_force(20_000, 512, 256), Some((16, 32)));
        assert_eq!(in_force(20_000, 512, 0), Some((16, 16)));
        // Fewer connections were asked for than the least, or than what is left.
        assert_eq!(in_force(5, 512, 0), Some((5, 16)));
        assert_eq!(in_force(100, 512, 1024), Some((100, 128)));
        assert_eq!(in_force(1_000_000, 1_000_000, u64::MAX), None);
    }

    #[test]
    fn doors_share_what_is_left_and_leave_each_other_what_they_do_not_need() {
        let in_force = |kafka, nats, open_files| {
            too_few(kafka, nats, 512, open_files)
                .map(|too_few| (too_few.connections, too_few.nats_connections))
        };
        assert_eq!(in_force(20_000, 65_536, 86_816), None);
        assert_eq!(in_force(20_000, 65_536, 86_815), Some((20_000, 65_535)));
        assert_eq!(in_force(20_000, 65_536, 4096), Some((1408, 1408)));
        assert_eq!(in_force(100, 65_536, 4096), Some((100, 2716)));
        assert_eq!(in_force(20_000, 65_536, 0), Some((16, 16)));
    }
}
