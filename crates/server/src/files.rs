//! How many connections the open files that the system allows are enough for.
//!
//! A connection is a file. Without this limit idle connections could take all there are, and the log, which opens
//! files as it goes, would stop.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Files of the log beside its segments, the connections to http, and the process's own.
const RESERVE: u64 = 256;

/// With fewer, nobody could even look what is wrong.
const FEWEST_CONNECTIONS: u32 = 16;

/// The system allows too few open files for as many connections as the settings say.
#[derive(Debug, PartialEq, Eq)]
pub struct TooFewFiles {
    /// Connections that are let in.
    in_force: u32,
    /// Connections that the setting says.
    max_connections: u32,
    /// Files that may be open.
    open_files: u64,
    /// Files that would have to be.
    needed: u64,
}

impl TooFewFiles {
    /// Says so in the log.
    pub fn warn(&self) {
        let Self { in_force, max_connections, open_files, needed } = self;
        tracing::warn!(
            in_force,
            max_connections,
            open_files,
            needed,
            "fewer connections are let in than kafka.max_connections says, since the system allows this process too \
             few open files; for all of them raise the hard limit to what is needed (`ulimit -Hn`, LimitNOFILE= of a \
             systemd unit, --ulimit nofile= of a container)"
        );
    }
}

/// Raises the limit of open files as far as the system lets it, and lowers `config`'s connections to what it is
/// enough for.
pub fn fit(config: &mut Config) -> Option<TooFewFiles> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let open_files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // None: without limit.
    let too_few = too_few(config.kafka.max_connections, config.storage.max_open_files, open_files?)?;
    config.kafka.max_connections = too_few.in_force;
    Some(too_few)
}

fn too_few(max_connections: u32, segments: u32, open_files: u64) -> Option<TooFewFiles> {
    let others = u64::from(segments) + RESERVE;
    let left = u32::try_from(open_files.saturating_sub(others)).unwrap_or(u32::MAX);
    let in_force = max_connections.min(left.max(FEWEST_CONNECTIONS));
    let needed = u64::from(max_connections) + others;
    (in_force < max_connections).then_some(TooFewFiles { in_force, max_connections, open_files, needed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_segments_and_the_rest_leave_but_never_too_few() {
        let in_force = |max_connections, segments, open_files| {
            too_few(max_connections, segments, open_files).map(|too_few| too_few.in_force)
        };
        assert_eq!(in_force(20_000, 512, 20_768), None);
        assert_eq!(in_force(20_000, 512, 20_767), Some(19_999));
        assert_eq!(in_force(20_000, 512, 1024), Some(256));
        assert_eq!(in_force(20_000, 512, 768), Some(16));
        assert_eq!(in_force(20_000, 512, 0), Some(16));
        // Fewer were asked for than the least.
        assert_eq!(in_force(5, 512, 0), None);
        assert_eq!(in_force(1_000_000, 1_000_000, u64::MAX), None);
        let found = TooFewFiles { in_force: 256, max_connections: 20_000, open_files: 1024, needed: 20_768 };
        assert_eq!(too_few(20_000, 512, 1024), Some(found));
    }
}
