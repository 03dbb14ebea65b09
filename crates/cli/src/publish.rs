//! `duolog pub`

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::nats::{self, HeaderMap, Nats, NatsArgs, NatsError, literal_subject};
use crate::output;
use crate::topic::assignment;

/// Acknowledgements that are waited for at once.
const IN_FLIGHT: u64 = 256;

const EXAMPLES: &str = "\
Examples:
  duolog pub orders.eu 'an order'
  echo 'an order' | duolog pub orders.eu           # the whole of stdin is the body
  duolog pub orders.eu -H source=web 'an order'
  duolog pub orders.eu --jetstream 'an order'      # wait until the stream has it
  duolog pub orders.eu --id o-17 'an order'        # so, too; the same id again is no second message
  duolog pub load.test --count 1000 x

Without --jetstream a message goes to whoever listens now, and nobody says whether anybody did.";

/// Arguments of `pub`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PubArgs {
    /// Subject to publish to
    #[arg(value_parser = literal_subject)]
    subject: String,
    /// Body; without one, or with `-`, it is read from stdin
    #[arg(allow_hyphen_values = true)]
    body: Option<String>,
    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = assignment)]
    headers: Vec<(String, String)>,
    /// Where replies are to go
    #[arg(long, value_name = "SUBJECT", value_parser = literal_subject, conflicts_with = "jetstream")]
    reply: Option<String>,
    /// Wait until a stream has acknowledged the message
    #[arg(short, long)]
    jetstream: bool,
    /// Id of the message (Nats-Msg-Id): within the stream's dedup window it is stored once; implies --jetstream
    #[arg(long, value_name = "ID", conflicts_with = "reply")]
    id: Option<String>,
    /// Publish it so many times
    #[arg(short = 'n', long, default_value = "1", value_name = "COUNT")]
    count: u64,
    /// How to print acknowledgements
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: ResultFormat,
    #[command(flatten)]
    connect: NatsArgs,
}

/// The form of what a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    /// A sentence on stderr
    Text,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
}

impl ResultFormat {
    /// Prints `results` for programs; people have their sentence on stderr.
    ///
    /// # Errors
    /// Stdout doesn't take it.
    pub fn print<T: Serialize>(self, results: &[T]) -> Result<(), Failure> {
        match self {
            Self::Text => Ok(()),
            Self::Json => output::print(&format!("{}\n", output::json_pretty(&results))),
            Self::Jsonl => {
                let lines: String = results.iter().map(|result| output::json_line(result) + "\n").collect();
                output::print(&lines)
            }
        }
    }
}

/// What a stream says of a message.
#[derive(Debug, Deserialize)]
pub struct PubAck {
    stream: String,
    #[serde(rename = "seq")]
    pub sequence: u64,
    #[serde(default)]
    duplicate: bool,
}

#[derive(Debug, Serialize)]
struct PubRow {
    subject: String,
    stream: String,
    sequence: u64,
    duplicate: bool,
}

pub async fn run(mut args: PubArgs) -> Result<(), Failure> {
    if let Some(id) = args.id.take() {
        args.headers.push(("Nats-Msg-Id".to_owned(), id));
        args.jetstream = true;
    }
    let headers = nats::header_map(&args.headers)?;
    let nats = args.connect.connect().await?;
    let body = nats::body(args.body).await?;
    let messages = output::counted(args.count, "message");
    if !args.jetstream {
        for _ in 0..args.count {
            nats.publish(&args.subject, args.reply.as_deref(), Some(headers.clone()), body.clone()).await?;
        }
        nats.settle().await?;
        output::progress(&format!("{messages} published to {}", args.subject));
        return args.output.print::<PubRow>(&[]);
    }
    let mut rows = Vec::new();
    let mut summary = Summary::default();
    let keep_rows = args.output != ResultFormat::Text;
    let taken = |ack: PubAck| {
        summary.add(&ack);
        if keep_rows {
            let PubAck { stream, sequence, duplicate } = ack;
            rows.push(PubRow { subject: args.subject.clone(), stream, sequence, duplicate });
        }
    };
    publish_all(&nats, &args.subject, &headers, &body, args.count, taken).await?;
    output::progress(&format!("{messages} published to {}{}", args.subject, summary.text()));
    args.output.print(&rows)
}

/// What acknowledgements said, however many there were.
#[derive(Debug, Default)]
struct Summary {
    stream: String,
    first: Option<u64>,
    last: u64,
    duplicates: u64,
}

impl Summary {
    fn add(&mut self, ack: &PubAck) {
        if self.first.is_none() {
            self.stream.clone_from(&ack.stream);
        }
        self.first = Some(self.first.map_or(ack.sequence, |first| first.min(ack.sequence)));
        self.last = self.last.max(ack.sequence);
        self.duplicates += u64::from(ack.duplicate);
    }

    fn text(&self) -> String {
        let Some(first) = self.first else { return String::new() };
        let mut text = format!(": stream {}, sequence", self.stream);
        text.push_str(&if first == self.last {
            format!(" {first}")
        } else {
            format!("s {first} to {}", self.last)
        });
        if self.duplicates > 0 {
            let known = output::counted(self.duplicates, "message");
            text.push_str(&format!(" ({known} known by id and not stored again)"));
        }
        text
    }
}

/// Publishes `count` times in order, a window at a time, and hands over the stream's acknowledgements.
async fn publish_all(
    nats: &Nats,
    subject: &str,
    headers: &HeaderMap,
    body: &Bytes,
    count: u64,
    mut taken: impl FnMut(PubAck),
) -> Result<(), NatsError> {
    let inbox = nats.inbox();
    let mut replies = nats.subscribe(&inbox, None).await?;
    let (mut sent, mut came) = (0, 0);
    while came < count {
        while sent < count && sent - came < IN_FLIGHT {
            nats.publish(subject, Some(&inbox), Some(headers.clone()), body.clone()).await?;
            sent += 1;
        }
        let reply = tokio::select! {
            reply = tokio::time::timeout(nats.timeout(), replies.next()) => reply,
            complaint = nats.next_complaint() => return Err(complaint),
        };
        let Ok(Some(reply)) = reply else {
            let what = format!("the acknowledgement of a message to {subject}; {came} of {count} came");
            return Err(NatsError::Timeout { what, after: nats.timeout() });
        };
        if reply.status.is_some_and(|status| status.as_u16() == 503) {
            return Err(NatsError::NoStream { subject: subject.to_owned() });
        }
        taken(nats.read_reply(&format!("publish to {subject}"), &reply.payload)?);
        came += 1;
    }
    Ok(())
}

/// Publishes, and waits for the stream's acknowledgement.
///
/// # Errors
/// No stream takes the subject, or it refuses the message.
pub async fn acknowledged(
    nats: &Nats,
    subject: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<PubAck, NatsError> {
    let headers = (!headers.is_empty()).then_some(headers);
    match nats.ask(subject, headers, body).await {
        Err(NatsError::NoResponders { subject }) => Err(NatsError::NoStream { subject }),
        answered => nats.read_reply(&format!("publish to {subject}"), &answered?.payload),
    }
}
