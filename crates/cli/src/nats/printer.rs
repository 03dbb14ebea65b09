//! Messages on stdout, one after the other, in the form that was chosen.

use std::io::Write;

use clap::ValueEnum;

use super::{MessageJson, NatsMessage};
use crate::exit::Failure;
use crate::output::{self, cell};
use crate::time::format_ms;

/// How to print a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Subject, headers, and the payload below
    Text,
    /// The payload and a newline
    Value,
    /// The payload as it is, and nothing else
    Raw,
    /// Sequence, time, subject and payload, with tabs between them
    Table,
    /// As table, and reply subject and headers
    Wide,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
}

/// Writes messages to stdout.
#[derive(Debug)]
pub struct Printer {
    format: MessageFormat,
    printed: u64,
}

impl Printer {
    /// Writes what stands before the first message.
    ///
    /// # Errors
    /// Stdout doesn't take it.
    pub fn begin(format: MessageFormat) -> Result<Self, Failure> {
        match format {
            MessageFormat::Table => output::print("SEQUENCE\tTIME\tSUBJECT\tPAYLOAD\n")?,
            MessageFormat::Wide => output::print("SEQUENCE\tTIME\tSUBJECT\tPAYLOAD\tREPLY\tHEADERS\n")?,
            MessageFormat::Json => output::print("[")?,
            _ => {}
        }
        Ok(Self { format, printed: 0 })
    }

    /// Writes what stands behind the last message.
    ///
    /// # Errors
    /// Stdout doesn't take it.
    pub fn end(&self) -> Result<(), Failure> {
        if self.format == MessageFormat::Json {
            return output::print(if self.printed > 0 { "\n]\n" } else { "]\n" });
        }
        Ok(())
    }

    /// How many were printed.
    pub const fn printed(&self) -> u64 {
        self.printed
    }

    /// Writes a message.
    ///
    /// # Errors
    /// Stdout doesn't take it.
    pub fn print(&mut self, message: &NatsMessage) -> Result<(), Failure> {
        let bytes = shown(message, self.format, self.printed == 0);
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&bytes).and_then(|()| stdout.flush()).map_err(Failure::output)?;
        self.printed += 1;
        Ok(())
    }
}

fn shown(message: &NatsMessage, format: MessageFormat, first: bool) -> Vec<u8> {
    match format {
        MessageFormat::Text => text(message),
        MessageFormat::Value => [&message.payload[..], b"\n"].concat(),
        MessageFormat::Raw => message.payload.to_vec(),
        MessageFormat::Jsonl => (output::json_line(&MessageJson::of(message)) + "\n").into_bytes(),
        MessageFormat::Json => {
            let comma = if first { "\n  " } else { ",\n  " };
            (comma.to_owned() + &output::json_line(&MessageJson::of(message))).into_bytes()
        }
        MessageFormat::Table | MessageFormat::Wide => {
            row(message, format == MessageFormat::Wide).into_bytes()
        }
    }
}

fn text(message: &NatsMessage) -> Vec<u8> {
    let mut head = cell(Some(message.subject.as_bytes()));
    if let Some(stored) = &message.stored {
        head.push_str(&format!("  #{}  {}", stored.sequence, format_ms(stored.time_ms)));
        if stored.delivery > 1 {
            head.push_str(&format!("  (delivery {})", stored.delivery));
        }
    } else if let Some(reply) = &message.reply {
        head.push_str(&format!("  reply to {}", cell(Some(reply.as_bytes()))));
    }
    head.push('\n');
    for (name, value) in &message.headers {
        head.push_str(&format!("  {}: {}\n", cell(Some(name)), cell(Some(value))));
    }
    [head.as_bytes(), &message.payload, b"\n"].concat()
}

fn row(message: &NatsMessage, wide: bool) -> String {
    let stored = message.stored.as_ref();
    let dash = || "-".to_owned();
    let mut cells = vec![
        stored.map_or_else(dash, |stored| stored.sequence.to_string()),
        stored.map_or_else(dash, |stored| format_ms(stored.time_ms)),
        cell(Some(message.subject.as_bytes())),
        cell(Some(&message.payload)),
    ];
    if wide {
        cells.push(message.reply.as_ref().map_or_else(dash, |reply| cell(Some(reply.as_bytes()))));
        let headers = message.headers.iter();
        let headers = headers.map(|(name, value)| format!("{}={}", cell(Some(name)), cell(Some(value))));
        cells.push(headers.collect::<Vec<_>>().join(","));
    }
    cells.join("\t") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_whole_and_cannot_forge_a_line_of_a_table() {
        let message = NatsMessage {
            subject: "a.b".to_owned(),
            reply: Some("r".to_owned()),
            headers: vec![(b"H".to_vec(), b"1".to_vec())],
            payload: "x\ty\n".into(),
            stored: None,
        };
        let text = |format| String::from_utf8(shown(&message, format, true)).unwrap();
        assert_eq!(text(MessageFormat::Text), "a.b  reply to r\n  H: 1\nx\ty\n\n");
        assert_eq!(text(MessageFormat::Wide), "-\t-\ta.b\tx\\ty\\n\tr\tH=1\n");
        assert_eq!(text(MessageFormat::Raw), "x\ty\n");
    }
}
