//! `duolog`: the broker, and the tools that talk to it.
//!
//! Assembles: reads the command line, opens the log, builds the broker, binds the doors, waits for a signal.
//! Holds no logic of its own.

mod args;
mod config;
mod files;
mod listen;
mod logging;
mod mapping;
mod metrics;
mod serve;
mod show;
mod startup;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

// Long-lived, many threads, allocations of every size: glibc's allocator would keep what peaks once needed.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return duolog_cli::exit_for_clap(&error),
    };
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(args)) => serve(&args),
        Some(Command::Config(command)) => match show::text(&command) {
            Ok(text) => print(&text),
            Err(error) => fail(&error, duolog_cli::USAGE_EXIT_CODE),
        },
        Some(Command::Client(command)) => client(command),
    }
}

fn serve(args: &args::ServeArgs) -> ExitCode {
    let loaded = match args.settings.layers().and_then(|layers| layers.load()) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, duolog_cli::USAGE_EXIT_CODE),
    };
    match serve::run(&loaded.config, args.give_up_damaged) {
        Ok(code) => code,
        Err(error) => fail(&error, 1),
    }
}

fn client(command: duolog_cli::Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let outcome = runtime.block_on(duolog_cli::run(command));
    // A thread may sit in a read of stdin for ever; nobody needs what it would read.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                say(&failure);
            }
            failure.exit_code()
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    say(error);
    ExitCode::from(code)
}

fn say(error: &dyn std::fmt::Display) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "error: {error}");
}
