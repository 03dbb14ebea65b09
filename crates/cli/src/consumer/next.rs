//! `duolog consumer next`

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use duolog_nats_wire::jetstream::error::CONSUMER_NOT_FOUND;
use futures_util::StreamExt;
use serde_json::json;

use crate::connect::seconds;
use crate::consume::interrupted;
use crate::exit::Failure;
use crate::nats::{Message, MessageFormat, Nats, NatsArgs, NatsError, NatsMessage, Printer};
use crate::output;
use crate::stream::name;

/// Most messages that one request asks for.
const REQUEST_MAX: u64 = 256;

/// How long a request waits at the server before it is made again.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// What a request may take longer than the server was told, before it counts as lost.
const GRACE: Duration = Duration::from_secs(2);

pub const EXAMPLES: &str = "\
Examples:
  duolog consumer next orders billing              # one message, acknowledged when it was printed
  duolog consumer next orders billing -n 100 -o jsonl | jq -r .payload
  duolog consumer next orders billing --ack no     # it comes again after the consumer's ack wait
  duolog consumer next orders billing --ack nak    # it comes again at once
  duolog consumer next orders billing --wait 60

An acknowledgement counts once the server has confirmed it: then the message won't come again, whatever fails.";

/// Arguments of `consumer next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// Name of the stream
    #[arg(value_parser = name)]
    stream: String,
    /// Name of the consumer
    #[arg(value_parser = name)]
    consumer: String,
    /// Read so many messages, fewer if no more come
    #[arg(short = 'n', long, default_value = "1", value_name = "COUNT")]
    count: u64,
    /// What to say of each message
    #[arg(long, value_enum, default_value = "yes", value_name = "WORD")]
    ack: Word,
    /// Longest wait for messages, in seconds
    #[arg(short, long, default_value = "5", value_name = "SECONDS", value_parser = seconds)]
    wait: Duration,
    /// How to print messages
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: MessageFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Word {
    /// It is done
    Yes,
    /// Nothing
    No,
    /// Deliver it again
    Nak,
    /// Never deliver it again
    Term,
}

impl Word {
    /// What is said on the message's ack subject.
    const fn payload(self) -> Option<&'static str> {
        match self {
            Self::Yes => Some("+ACK"),
            Self::No => None,
            Self::Nak => Some("-NAK"),
            Self::Term => Some("+TERM"),
        }
    }
}

pub async fn run(args: NextArgs) -> Result<(), Failure> {
    let nats = args.connect.connect().await?;
    // Nobody answers requests for a consumer that doesn't exist; this says which of the two names is wrong.
    super::info(&nats, &args.stream, &args.consumer).await?;
    let mut printer = Printer::begin(args.output)?;
    let outcome = tokio::select! {
        outcome = read(&args, &nats, &mut printer) => outcome,
        () = interrupted() => Ok(()),
    };
    // An array is closed whatever happened, so that what came stays valid JSON.
    printer.end()?;
    outcome?;
    let said = match args.ack {
        Word::Yes => "acknowledged",
        Word::No => "not acknowledged",
        Word::Nak => "to be delivered again",
        Word::Term => "never to be delivered again",
    };
    output::progress(&format!("{} read, {said}", output::counted(printer.printed(), "message")));
    Ok(())
}

async fn read(args: &NextArgs, nats: &Nats, printer: &mut Printer) -> Result<(), Failure> {
    let until = tokio::time::Instant::now() + args.wait;
    while printer.printed() < args.count {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let batch = (args.count - printer.printed()).min(REQUEST_MAX);
        let is_answered = pull(args, nats, printer, batch, left.min(REQUEST_WAIT)).await?;
        if !is_answered && tokio::time::Instant::now() >= until {
            return Err(NatsError::Timeout { what: what(args), after: args.wait }.into());
        }
        if left.is_zero() {
            break;
        }
    }
    Ok(())
}

fn what(args: &NextArgs) -> String {
    format!("consumer {} of stream {}", args.consumer, args.stream)
}

/// Asks for `batch` messages, for as long as `wait`, and prints what comes. False if the request was lost: the server
/// forgets it when it or the connection is away.
async fn pull(
    args: &NextArgs,
    nats: &Nats,
    printer: &mut Printer,
    batch: u64,
    wait: Duration,
) -> Result<bool, Failure> {
    let mut returns = nats.returns();
    let inbox = nats.inbox();
    let mut messages = nats.subscribe(&inbox, None).await?;
    let body = if wait.is_zero() {
        json!({ "batch": batch, "no_wait": true })
    } else {
        json!({ "batch": batch, "expires": u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX) })
    };
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", args.stream, args.consumer);
    nats.publish(&subject, Some(&inbox), None, Bytes::from(body.to_string())).await?;
    for _ in 0..batch {
        let message = tokio::select! {
            message = tokio::time::timeout(wait + GRACE, messages.next()) => message.ok().flatten(),
            _ = returns.changed() => None,
        };
        let Some(message) = message else { return Ok(false) };
        if let Some(status) = message.status {
            return match (status.as_u16(), message.description.as_deref().unwrap_or_default()) {
                // No messages, or no more of them in time.
                (404 | 408, _) => Ok(true),
                (503, _) => Err(NatsError::Api {
                    what: what(args),
                    code: CONSUMER_NOT_FOUND.code,
                    err_code: CONSUMER_NOT_FOUND.err_code,
                    description: CONSUMER_NOT_FOUND.description.to_owned(),
                }
                .into()),
                (status, description) => {
                    let description = description.to_owned();
                    Err(NatsError::Status { what: what(args), status, description }.into())
                }
            };
        }
        printer.print(&NatsMessage::of(&message))?;
        answer(nats, args.ack, &message).await?;
    }
    Ok(true)
}

/// Says `word` of a message, and waits until the server has confirmed it.
async fn answer(nats: &Nats, word: Word, message: &Message) -> Result<(), NatsError> {
    let (Some(payload), Some(reply)) = (word.payload(), &message.reply) else { return Ok(()) };
    nats.ask(reply.as_str(), None, Bytes::from_static(payload.as_bytes())).await.map(|_| ())
}
