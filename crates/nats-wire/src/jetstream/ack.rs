//! The subject that a delivery is acknowledged on, and what is said there.
//!
//! ```text
//! v1  $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time ns>.<pending>
//! v2  $JS.ACK.<domain|_>.<account hash>.<stream>.<consumer>.<deliveries>. … .<pending>[.<more>]
//! ```
//! v1 is written, both are read.

use super::json::go_struct;
use super::time::Span;

/// What the subject of an acknowledgement begins with.
pub const PREFIX: &str = "$JS.ACK.";

const V1_TOKENS: usize = 9;
const V2_TOKENS: usize = 11;

/// Which delivery is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// How often the message was delivered, this time included.
    pub deliveries: u64,
    /// The message's sequence in its stream.
    pub stream_sequence: u64,
    /// The number of the delivery.
    pub consumer_sequence: u64,
    /// When the message came, in nanoseconds since 1970.
    pub timestamp: i64,
    /// Messages that are still to be delivered.
    pub pending: u64,
}

impl<'a> AckSubject<'a> {
    /// Reads either version. `None` if it is neither. A number that isn't one is the largest: no message has it.
    #[must_use]
    pub fn parse(subject: &'a str) -> Option<Self> {
        let rest = subject.strip_prefix(PREFIX)?;
        let tokens = rest.split('.').count() + 2;
        let mut rest = rest.split('.');
        if tokens >= V2_TOKENS {
            rest.nth(1)?;
        } else if tokens != V1_TOKENS {
            return None;
        }
        let (stream, consumer) = (rest.next()?, rest.next()?);
        let mut number = || rest.next().map(|token| digits(token).unwrap_or(u64::MAX));
        Some(Self {
            stream,
            consumer,
            deliveries: number()?,
            stream_sequence: number()?,
            consumer_sequence: number()?,
            timestamp: i64::try_from(number()?).unwrap_or(i64::MAX),
            pending: number()?,
        })
    }

    /// Appends version 1.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        for part in [PREFIX, self.stream, ".", self.consumer] {
            out.extend_from_slice(part.as_bytes());
        }
        let mut digits = itoa::Buffer::new();
        for number in self.numbers() {
            out.push(b'.');
            out.extend_from_slice(digits.format(number).as_bytes());
        }
    }

    /// The bytes that [`encode_to`](Self::encode_to) appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
        let numbers: usize = self.numbers().into_iter().map(|number| 1 + digits(number)).sum();
        PREFIX.len() + self.stream.len() + 1 + self.consumer.len() + numbers
    }

    fn numbers(&self) -> [u64; 5] {
        // No message came before 1970.
        let timestamp = u64::try_from(self.timestamp).unwrap_or(0);
        [self.deliveries, self.stream_sequence, self.consumer_sequence, timestamp, self.pending]
    }
}

/// Digits only: no sign, no space.
fn digits(token: &str) -> Option<u64> {
    token.bytes().all(|byte| byte.is_ascii_digit()).then(|| token.parse().ok())?
}

go_struct! {
    /// What may stand behind `-NAK`.
    pub struct NakOptions: "ConsumerNakOptions" {
        /// Not before this long.
        delay: Span,
    }
}

/// What a client says about a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckKind<'a> {
    /// It is done.
    Ack,
    /// Again, after this long; 0 is at once.
    Nak(Span),
    /// It takes longer.
    InProgress,
    /// Never again, and why.
    Term(&'a str),
    /// It is done; the next ones, please: what stands behind is a pull request's body.
    Next(&'a [u8]),
}

impl<'a> AckKind<'a> {
    /// Reads a payload. `None` is something that the reference passes over in silence.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        Some(match payload {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::InProgress,
            _ => {
                if let Some(rest) = payload.strip_prefix(b"+NXT") {
                    Self::Next(rest)
                } else if let Some(rest) = payload.strip_prefix(b"-NAK") {
                    Self::Nak(nak_delay(rest))
                } else {
                    let reason = payload.strip_prefix(b"+TERM")?;
                    Self::Term(std::str::from_utf8(reason).unwrap_or_default().trim())
                }
            }
        })
    }
}

/// `{"delay":ns}` or Go's notation; what is neither delays by nothing.
fn nak_delay(text: &[u8]) -> Span {
    let text = text.trim_ascii();
    if text.first() == Some(&b'{') {
        return NakOptions::decode_lenient(text).map(|options| options.delay).unwrap_or_default();
    }
    std::str::from_utf8(text).ok().and_then(Span::parse).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_the_subject_are_read() {
        let v1 = "$JS.ACK.A.d.1.3.2.1795463993649195640.0";
        let parsed = AckSubject::parse(v1).unwrap();
        assert_eq!((parsed.stream, parsed.consumer), ("A", "d"));
        assert_eq!((parsed.deliveries, parsed.stream_sequence, parsed.consumer_sequence), (1, 3, 2));
        assert_eq!((parsed.timestamp, parsed.pending), (1_795_463_993_649_195_640, 0));
        let mut encoded = Vec::new();
        parsed.encode_to(&mut encoded);
        assert_eq!(parsed.encoded_len(), encoded.len());
        assert_eq!(encoded, v1.as_bytes());
        for v2 in [
            "$JS.ACK._.hash.A.d.1.3.2.1795463993649195640.0",
            "$JS.ACK._.hash.A.d.1.3.2.1795463993649195640.0.x",
        ] {
            assert_eq!(AckSubject::parse(v2), Some(parsed));
        }
    }

    #[test]
    fn a_subject_that_is_none_is_not_read() {
        for bad in ["$JS.ACK.A.d.1.3.2.4", "$JS.ACK.A.d.1.3.2.4.5.6", "$JS.FC.A.d.1.3.2.4.5"] {
            assert_eq!(AckSubject::parse(bad), None, "{bad}");
        }
        for (subject, sequence) in [
            ("$JS.ACK.A.d.1.x.2.4.5", u64::MAX),
            ("$JS.ACK.A.d.1.+1.2.4.5", u64::MAX),
            ("$JS.ACK.A.d.1..2.4.5", u64::MAX),
            ("$JS.ACK.A.d.1.99999999999999999999.2.4.5", u64::MAX),
            ("$JS.ACK.A.d.x.3.y.z.w", 3),
        ] {
            assert_eq!(AckSubject::parse(subject).unwrap().stream_sequence, sequence, "{subject}");
        }
    }

    #[test]
    fn payloads_are_understood() {
        for (payload, expected) in [
            ("", Some(AckKind::Ack)),
            ("+ACK", Some(AckKind::Ack)),
            ("+OK", Some(AckKind::Ack)),
            ("-NAK", Some(AckKind::Nak(Span(0)))),
            ("-NAK {\"delay\": 5000}", Some(AckKind::Nak(Span(5000)))),
            ("-NAK 5s", Some(AckKind::Nak(Span::seconds(5)))),
            ("-NAK nonsense", Some(AckKind::Nak(Span(0)))),
            ("+WPI", Some(AckKind::InProgress)),
            ("+TERM", Some(AckKind::Term(""))),
            ("+TERM too hard ", Some(AckKind::Term("too hard"))),
            ("+NXT 5", Some(AckKind::Next(b" 5"))),
            ("+ACK!", None),
            ("hello", None),
        ] {
            assert_eq!(AckKind::parse(payload.as_bytes()), expected, "{payload}");
        }
    }
}
