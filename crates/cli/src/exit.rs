//! How a command ends: what it says, and with which exit code.

use std::io;
use std::process::ExitCode;

use crate::client::ClientError;
use crate::nats::NatsError;

/// The exit code of wrong usage (BSD's `EX_USAGE`). clap's own 2 would read as "critical" to monitoring tools.
pub const USAGE_EXIT_CODE: u8 = 64;

/// Why a command didn't do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was told nonsense; nothing was done.
    #[error("{0}")]
    Usage(String),
    /// A broker couldn't be asked, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A NATS server couldn't be asked, or said no.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// A file or the terminal failed.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// How.
        source: io::Error,
    },
    /// Something else that its text says.
    #[error("{0}")]
    Failed(String),
    /// Whoever read the output has gone (`| head`): the rest isn't wanted.
    #[error("the reader of the output has gone")]
    OutputClosed,
}

impl Failure {
    /// The exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(USAGE_EXIT_CODE),
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Client(_) | Self::Nats(_) | Self::Io { .. } | Self::Failed(_) => ExitCode::FAILURE,
        }
    }

    /// Whether there is something to say about it.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        matches!(self, Self::OutputClosed)
    }

    /// A failure to write to stdout.
    pub(crate) fn output(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Io { what: "writing the output".to_owned(), source }
    }
}

/// Prints what clap has to say (an error, or the help that was asked for) and gives the exit code.
#[must_use]
pub fn exit_for_clap(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE_EXIT_CODE) } else { ExitCode::SUCCESS }
}
