//! `duolog request`

use clap::Args;
use futures_util::StreamExt;

use crate::exit::Failure;
use crate::nats::{self, MessageFormat, NatsArgs, NatsError, NatsMessage, Printer, literal_subject};
use crate::topic::assignment;

const EXAMPLES: &str = "\
Examples:
  duolog request prices.eu '{\"item\":7}'
  duolog request prices.eu '' --timeout 2
  duolog request prices.eu -H trace=1 -o json 'x' | jq '.[0].headers'
  duolog request '$SRV.PING' '' --replies 0 --timeout 1 -o jsonl    # all that answer within a second
  duolog request '$JS.API.INFO' ''

If nobody listens, the server says so at once.";

/// Arguments of `request`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RequestArgs {
    /// Subject to ask
    #[arg(value_parser = literal_subject)]
    subject: String,
    /// Body; without one, or with `-`, it is read from stdin
    #[arg(allow_hyphen_values = true)]
    body: Option<String>,
    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = assignment)]
    headers: Vec<(String, String)>,
    /// Wait for so many replies; 0: for all that come before the timeout
    #[arg(short, long, default_value = "1", value_name = "COUNT")]
    replies: u64,
    /// How to print replies
    #[arg(short, long, value_enum, default_value = "value", value_name = "FORMAT")]
    output: MessageFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

pub async fn run(args: RequestArgs) -> Result<(), Failure> {
    let headers = nats::header_map(&args.headers)?;
    let nats = args.connect.connect().await?;
    let body = nats::body(args.body).await?;
    let inbox = nats.inbox();
    let mut replies = nats.subscribe(&inbox, None).await?;
    nats.publish(&args.subject, Some(&inbox), Some(headers), body).await?;
    let mut printer = Printer::begin(args.output)?;
    let until = tokio::time::Instant::now() + nats.timeout();
    let outcome = loop {
        if args.replies > 0 && printer.printed() >= args.replies {
            break Ok(());
        }
        let reply = tokio::select! {
            reply = tokio::time::timeout_at(until, replies.next()) => reply,
            complaint = nats.next_complaint() => break Err(complaint),
        };
        match reply {
            Ok(Some(reply)) if reply.status.is_some_and(|status| status.as_u16() == 503) => {
                break Err(NatsError::NoResponders { subject: args.subject.clone() });
            }
            Ok(Some(reply)) => printer.print(&NatsMessage::of(&reply))?,
            Err(_) if args.replies == 0 && printer.printed() > 0 => break Ok(()),
            Ok(None) | Err(_) => {
                let what = match (printer.printed(), args.replies) {
                    (0, _) => format!("a reply on {}", args.subject),
                    (came, wanted) => format!("{wanted} replies on {}; {came} came", args.subject),
                };
                break Err(NatsError::Timeout { what, after: nats.timeout() });
            }
        }
    };
    printer.end()?;
    Ok(outcome?)
}
