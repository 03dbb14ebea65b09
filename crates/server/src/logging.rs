//! Log lines, on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat, Setting};

/// Starts writing log lines as the configuration says. Called once, before anything logs.
pub fn start(config: &Config) {
    let level = config.log.level.show();
    // RUST_LOG goes over the setting; one that can't be read is passed over, since a start must not fail for it.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // A line that stderr doesn't take (a full disk, a pipe that nobody reads) is lost, and no more than that: by
    // default the failure is printed to stderr as well, and failing at that panics the thread that logged.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    match config.log.format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            lines.with_ansi(std::io::stderr().is_terminal() && !plain).with_target(false).init();
        }
    }
}
