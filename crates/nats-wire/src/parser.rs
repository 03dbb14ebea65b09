//! The client's verbs, read from whatever bytes have come so far.
//!
//! ```text
//! PUB orders.new _INBOX.1 5\r\n hello\r\n
//! └ control line, ≤ max_control_line ┘ └ payload, ≤ max_payload, checked before it has come
//! ```
//!
//! The parser keeps no bytes: the caller holds them in one buffer and hands in all that begin at the current
//! operation, and an operation is slices of that. What is kept is only how far it has looked, so that bytes which
//! come one by one aren't looked at again and again. Any way of cutting a stream gives the same operations and the
//! same error. What an operation means is the session's business.

use memchr::memchr;

/// What a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest control line, bytes: what stands behind the verb and its blanks, without the line's end.
    pub max_control_line: usize,
    /// Largest message, bytes: headers and payload together.
    pub max_payload: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_control_line: 4096, max_payload: 1 << 20 }
    }
}

/// One operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `CONNECT {json}`: the JSON.
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Publish(Publish<'a>),
    /// `SUB subject [queue] sid`.
    Subscribe {
        /// The subject, wildcards included; not yet checked.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// `UNSUB sid [max]`.
    Unsubscribe {
        /// The subscription.
        sid: &'a [u8],
        /// End it once so many messages were delivered, those before included. None: now; so does a number that
        /// can't be read, as in the reference.
        max: Option<u64>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`: nothing to do.
    Ok,
    /// `-ERR …`: the client gives up.
    Err,
    /// `INFO {json}`, which only servers have reason to send: the JSON.
    Info(&'a [u8]),
}

/// A message that a client publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The subject; not yet checked.
    pub subject: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// The header block, `NATS/1.0\r\n…\r\n\r\n`; empty if there is none. Not checked.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// Whether it came as `HPUB`.
    pub is_hpub: bool,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A whole operation.
    Op {
        /// The operation.
        op: Op<'a>,
        /// Bytes that it took.
        used: usize,
    },
    /// The beginning of one.
    More {
        /// Bytes from the operation's first that are needed before looking again makes sense. Never more than the
        /// limits allow.
        needed: usize,
    },
}

/// Why the bytes are no operation. Every one ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No verb, or a payload that doesn't end where its length says.
    #[error("no operation that a client may send")]
    UnknownOperation,
    /// The control line is too long.
    #[error("a control line of more than {limit} bytes")]
    ControlLine {
        /// [`Limits::max_control_line`].
        limit: usize,
    },
    /// The message is announced larger than it may be.
    #[error("a message of {size} bytes where {limit} are allowed")]
    Payload {
        /// As announced.
        size: usize,
        /// [`Limits::max_payload`].
        limit: usize,
    },
    /// Too many or too few arguments, or a size that can't be read. The reference closes without a word.
    #[error("{verb} with arguments that make no sense")]
    Arguments {
        /// The verb.
        verb: &'static str,
    },
}

/// Where the parser stands in the current operation.
#[derive(Clone, Debug)]
pub struct Parser {
    limits: Limits,
    /// Bytes of the current control line that hold no line end.
    scanned: usize,
    /// Bytes that the current message takes, once its control line is whole.
    message: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Connect,
    Pub,
    Hpub,
    Sub,
    Unsub,
    Ping,
    Pong,
    Ok,
    Err,
    Info,
}

/// What must stand behind a verb.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// A blank.
    Blank,
    /// Anything: `CONNECT{}` is one, and so is `PINGxyz`.
    Anything,
}

/// Every verb, by its first letters. No verb is the beginning of another.
const VERBS: [(&[u8], Verb, Behind); 10] = [
    (b"PUB", Verb::Pub, Behind::Blank),
    (b"HPUB", Verb::Hpub, Behind::Blank),
    (b"PING", Verb::Ping, Behind::Anything),
    (b"PONG", Verb::Pong, Behind::Anything),
    (b"SUB", Verb::Sub, Behind::Blank),
    (b"UNSUB", Verb::Unsub, Behind::Blank),
    (b"CONNECT", Verb::Connect, Behind::Anything),
    (b"+OK", Verb::Ok, Behind::Anything),
    (b"-ERR", Verb::Err, Behind::Blank),
    (b"INFO", Verb::Info, Behind::Blank),
];

impl Parser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, scanned: 0, message: 0 }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the bytes handed in last were the beginning of an operation.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.scanned > 0 || self.message > 0
    }

    /// Reads one operation from `input`, which begins where the operation begins: after [`Step::More`] the same
    /// bytes and more.
    ///
    /// # Errors
    /// The stream can't go on.
    pub fn parse<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, ParseError> {
        if input.len() < self.message {
            // Only the payload's end could be wrong by now.
            return self.message_so_far(input);
        }
        let Some((verb, at)) = verb(input)? else {
            self.scanned = 0;
            return Ok(Step::More { needed: input.len() + 1 });
        };
        let from = self.scanned.max(at).min(input.len());
        let Some(line_end) = memchr(b'\n', &input[from..]).map(|end| from + end) else {
            self.check_line(input.len(), arguments(input, at))?;
            self.scanned = input.len();
            return Ok(Step::More { needed: input.len() + 1 });
        };
        let arguments = arguments(&input[..line_end], at);
        self.check_line(line_end, arguments)?;
        let step = self.operation(input, verb, arguments, line_end + 1)?;
        match step {
            Step::Op { .. } => (self.scanned, self.message) = (0, 0),
            Step::More { needed } => self.message = needed,
        }
        Ok(step)
    }

    /// Blanks before the arguments aren't counted as the reference doesn't, but aren't endless either.
    fn check_line(&self, line: usize, arguments: &[u8]) -> Result<(), ParseError> {
        let limit = self.limits.max_control_line;
        if arguments.len() > limit || line > limit.saturating_mul(2).saturating_add(16) {
            return Err(ParseError::ControlLine { limit });
        }
        Ok(())
    }

    fn operation<'a>(
        &self,
        input: &'a [u8],
        verb: Verb,
        arguments: &'a [u8],
        used: usize,
    ) -> Result<Step<'a>, ParseError> {
        let op = match verb {
            Verb::Pub => return self.publish(input, arguments, used, false),
            Verb::Hpub => return self.publish(input, arguments, used, true),
            Verb::Connect => Op::Connect(arguments),
            Verb::Info => Op::Info(arguments),
            Verb::Ping => Op::Ping,
            Verb::Pong => Op::Pong,
            Verb::Ok => Op::Ok,
            Verb::Err => Op::Err,
            Verb::Sub => match fields::<3>(arguments) {
                Some(([subject, sid, _], 2)) => Op::Subscribe { subject, queue: None, sid },
                Some(([subject, queue, sid], 3)) => Op::Subscribe { subject, queue: Some(queue), sid },
                _ => return Err(ParseError::Arguments { verb: "SUB" }),
            },
            Verb::Unsub => match fields::<2>(arguments) {
                Some(([sid, _], 1)) => Op::Unsubscribe { sid, max: None },
                Some(([sid, max], 2)) => {
                    let max = size(max).filter(|max| *max > 0).map(|max| max as u64);
                    Op::Unsubscribe { sid, max }
                }
                _ => return Err(ParseError::Arguments { verb: "UNSUB" }),
            },
        };
        Ok(Step::Op { op, used })
    }

    fn publish<'a>(
        &self,
        input: &'a [u8],
        arguments: &'a [u8],
        line: usize,
        is_hpub: bool,
    ) -> Result<Step<'a>, ParseError> {
        let refused = ParseError::Arguments { verb: if is_hpub { "HPUB" } else { "PUB" } };
        let (subject, reply, header_size, total) = if is_hpub {
            match fields::<4>(arguments) {
                Some(([subject, headers, total, _], 3)) => (subject, None, size(headers), total),
                Some(([subject, reply, headers, total], 4)) => (subject, Some(reply), size(headers), total),
                _ => return Err(refused),
            }
        } else {
            match fields::<3>(arguments) {
                Some(([subject, total, _], 2)) => (subject, None, Some(0), total),
                Some(([subject, reply, total], 3)) => (subject, Some(reply), Some(0), total),
                _ => return Err(refused),
            }
        };
        let (Some(header_size), Some(total)) = (header_size, size(total)) else { return Err(refused) };
        if header_size > total {
            return Err(refused);
        }
        let limit = self.limits.max_payload;
        if total > limit {
            return Err(ParseError::Payload { size: total, limit });
        }
        let end = line + total;
        if !is_line_end(&input[end.min(input.len())..]) {
            return Err(ParseError::UnknownOperation);
        }
        let used = end + 2;
        if input.len() < used {
            return Ok(Step::More { needed: used });
        }
        let (headers, payload) = input[line..end].split_at(header_size);
        let publish = Publish { subject, reply, headers, payload, is_hpub };
        Ok(Step::Op { op: Op::Publish(publish), used })
    }

    fn message_so_far<'a>(&self, input: &[u8]) -> Result<Step<'a>, ParseError> {
        let end = self.message - 2;
        if !is_line_end(&input[end.min(input.len())..]) {
            return Err(ParseError::UnknownOperation);
        }
        Ok(Step::More { needed: self.message })
    }
}

/// Whether the bytes behind a payload are its line end, or as much of it as has come.
fn is_line_end(bytes: &[u8]) -> bool {
    match bytes {
        [] | [b'\r'] => true,
        [first, second, ..] => (*first, *second) == (b'\r', b'\n'),
        [_] => false,
    }
}

/// The verb that `input` begins with, and where its arguments may begin; `None` if it may become one.
fn verb(input: &[u8]) -> Result<Option<(Verb, usize)>, ParseError> {
    for (name, verb, behind) in VERBS {
        let shared = name.len().min(input.len());
        if !name[..shared].eq_ignore_ascii_case(&input[..shared]) {
            continue;
        }
        return match input.get(name.len()) {
            _ if shared < name.len() => Ok(None),
            None => Ok(None),
            Some(b' ' | b'\t') => Ok(Some((verb, name.len()))),
            Some(_) if behind == Behind::Anything => Ok(Some((verb, name.len()))),
            Some(_) => Err(ParseError::UnknownOperation),
        };
    }
    Err(ParseError::UnknownOperation)
}

/// What stands in a line behind its verb, without the blanks before it and the return at its end.
fn arguments(line: &[u8], at: usize) -> &[u8] {
    let mut arguments = &line[at..];
    while let [b' ' | b'\t', rest @ ..] = arguments {
        arguments = rest;
    }
    arguments.strip_suffix(b"\r").unwrap_or(arguments)
}

/// Splits at blanks; `None` if there are more than `N` fields. The fields, and how many there are.
fn fields<const N: usize>(arguments: &[u8]) -> Option<([&[u8]; N], usize)> {
    let mut fields = [&[][..]; N];
    let mut count = 0;
    let mut start = None;
    for (at, byte) in arguments.iter().enumerate() {
        match (byte, start) {
            (b' ' | b'\t', Some(from)) => {
                *fields.get_mut(count)? = &arguments[from..at];
                count += 1;
                start = None;
            }
            (b' ' | b'\t', None) | (_, Some(_)) => {}
            (_, None) => start = Some(at),
        }
    }
    if let Some(from) = start {
        *fields.get_mut(count)? = &arguments[from..];
        count += 1;
    }
    Some((fields, count))
}

/// A decimal number of at most nine digits, as the reference reads sizes.
fn size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |number: usize, digit| {
        digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
