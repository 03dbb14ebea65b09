//! `duolog sub`

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;

use crate::connect::seconds;
use crate::consume::interrupted;
use crate::exit::Failure;
use crate::nats::{MessageFormat, NatsArgs, NatsMessage, Printer, pattern_subject};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  duolog sub orders.eu
  duolog sub 'orders.>' -o table                   # * is one token, > is all that follow
  duolog sub 'orders.*' --queue billing            # each message to one of the group
  duolog sub orders.eu -n 1 -o value
  duolog sub '>' --for 5 -o jsonl | jq -r .subject | sort | uniq -c

Only what is published from now on: `duolog consumer next` and `duolog stream get` read what is stored.";

/// Arguments of `sub`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SubArgs {
    /// Subject to listen on, with * and > if wanted
    #[arg(value_parser = pattern_subject)]
    subject: String,
    /// Share the messages with the other members of this queue group
    #[arg(short, long, value_name = "GROUP")]
    queue: Option<String>,
    /// Stop after so many messages
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// Stop after so many seconds
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// How to print messages
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: MessageFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

pub async fn run(args: SubArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    let mut messages = nats.subscribe(&args.subject, args.queue.as_deref()).await?;
    nats.settle().await?;
    output::progress(&format!("listening on {}", args.subject));
    let mut printer = Printer::begin(args.output)?;
    let mut interrupted = std::pin::pin!(interrupted());
    let mut over = std::pin::pin!(async {
        match args.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    });
    let outcome = loop {
        if args.count.is_some_and(|count| printer.printed() >= count) {
            break Ok(());
        }
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => printer.print(&NatsMessage::of(&message))?,
                None => break Err(Failure::Failed(format!("{}: the subscription has ended", args.subject))),
            },
            complaint = nats.next_complaint() => break Err(complaint.into()),
            () = &mut over => break Ok(()),
            () = &mut interrupted => break Ok(()),
        }
    };
    // An array is closed whatever happened, so that what came stays valid JSON.
    printer.end()?;
    outcome?;
    output::progress(&format!("{} received", output::counted(printer.printed(), "message")));
    Ok(())
}
