//! The command line: flags of `serve`, and the subcommands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{ConfigError, Layers};

const EXAMPLES: &str = "\
Examples:
  duolog                                           # Kafka on 127.0.0.1:9092, NATS on 127.0.0.1:4222
  duolog -f /etc/duolog.yaml --set log.level=debug
  duolog topic create orders --partitions 3
  echo hello | duolog produce orders
  duolog consume orders
  duolog stream create payments --subject 'payments.>'
  duolog pub payments.eu --jetstream '12 EUR'
  duolog stream positions payments                 # every reader, of either protocol

Exit codes: 0 done, 1 failed, 64 wrong usage.";

/// An event-streaming broker for Kafka and NATS clients that keeps what it acknowledged
///
/// Without a subcommand it serves, as `duolog serve` does. The other subcommands talk to a running broker, duolog or any
/// other: topic, group, produce and consume the Kafka protocol, stream, consumer, kv, pub, sub and request the NATS
/// protocol.
#[derive(Debug, Parser)]
#[command(name = "duolog", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Without one: serve.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What `duolog` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker (the same as no subcommand)
    Serve(ServeArgs),
    /// Show settings, and where each comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What talks to a running broker.
    #[command(flatten)]
    Client(duolog_cli::Command),
}

/// What to show of the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with its value, as a file that would give them again
    Show(ShowArgs),
    /// Print what each setting means, as Markdown
    Reference,
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Print where each value comes from, too
    #[arg(long)]
    pub origin: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub output: ShowFormat,
    /// The settings, as given to `serve`.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// The form of `config show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// YAML; with --origin a table
    Text,
    /// A JSON array of key, value, origin
    Json,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The settings.
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Start although data that was acknowledged is damaged, without that data
    #[arg(long)]
    pub give_up_damaged: bool,
}

/// Where settings come from on the command line.
#[derive(Debug, Args)]
pub struct SettingArgs {
    /// Read settings from this YAML file
    #[arg(short = 'f', long, env = "DUOLOG_CONFIG", hide_env_values = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Where the data is kept [setting: data_dir] [default: ./duolog-data]
    #[arg(long, value_name = "PATH")]
    data_dir: Option<String>,
    /// Where Kafka clients connect [setting: kafka.listen] [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    kafka_listen: Option<String>,
    /// Where NATS clients connect [setting: nats.listen] [default: 127.0.0.1:4222]
    #[arg(long, value_name = "HOST:PORT")]
    nats_listen: Option<String>,
    /// Where metrics and health answer [setting: http.listen] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    http_listen: Option<String>,
    /// sync: acknowledged is on stable storage; os: a power cut may take it back [setting: durability] [default: sync]
    #[arg(long, value_name = "MODE")]
    durability: Option<String>,
    /// Any setting (`duolog config reference` lists them); may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl SettingArgs {
    /// The layers that these flags, the file that they name, and the environment make.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers {
            env: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            ..Layers::default()
        };
        if let Some(path) = &self.config {
            layers.read_file(path)?;
        }
        for (key, value) in &self.set {
            layers.flags.push((format!("--set {key}"), key.clone(), value.clone()));
        }
        // A flag of its own is more special than --set, so it comes later, which wins.
        for (flag, key, value) in [
            ("--data-dir", "data_dir", &self.data_dir),
            ("--kafka-listen", "kafka.listen", &self.kafka_listen),
            ("--nats-listen", "nats.listen", &self.nats_listen),
            ("--http-listen", "http.listen", &self.http_listen),
            ("--durability", "durability", &self.durability),
        ] {
            if let Some(value) = value {
                layers.flags.push((flag.to_owned(), key.to_owned(), value.clone()));
            }
        }
        Ok(layers)
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// Every command's help, as docs/cli.md has it.
    fn reference() -> String {
        fn write(command: &mut clap::Command, path: &str, text: &mut String) {
            let help = command.render_long_help().to_string();
            let help: Vec<&str> = help.lines().map(str::trim_end).collect();
            text.push_str(&format!("\n## {path}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
            for subcommand in command.get_subcommands_mut() {
                if subcommand.get_name() != "help" {
                    let path = format!("{path} {}", subcommand.get_name());
                    write(subcommand, &path, text);
                }
            }
        }
        let mut text =
            "# Commands\n\n<!-- Generated: UPDATE_DOCS=1 cargo test -p duolog-server reference -->\n"
                .to_owned();
        let mut command = Cli::command().term_width(100);
        command.build();
        write(&mut command, "duolog", &mut text);
        text
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "reads and writes a document of the repository")]
    fn the_committed_reference_of_commands_is_not_stale() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let committed = std::fs::File::open(path).and_then(std::io::read_to_string).unwrap_or_default();
        assert!(
            committed == reference(),
            "docs/cli.md is stale: UPDATE_DOCS=1 cargo test -p duolog-server reference"
        );
    }

    #[test]
    fn without_a_subcommand_it_serves_with_the_same_flags() {
        let bare = Cli::try_parse_from(["duolog", "--data-dir", "/d"]).unwrap();
        assert!(bare.command.is_none());
        assert_eq!(bare.serve.settings.data_dir.as_deref(), Some("/d"));
        let named = Cli::try_parse_from(["duolog", "serve", "--data-dir", "/d"]).unwrap();
        let Some(Command::Serve(serve)) = named.command else { panic!("not serve") };
        assert_eq!(serve.settings.data_dir.as_deref(), Some("/d"));
        assert!(Cli::try_parse_from(["duolog", "--data-dir", "/d", "topic", "list"]).is_err());
    }
}
