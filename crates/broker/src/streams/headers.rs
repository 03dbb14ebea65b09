//! The headers that mean something to a stream (rules of the reference: `Nats-…`), read once for a message.

use std::time::Duration;

/// `Nats-Msg-Id`.
pub(crate) const MSG_ID: &[u8] = b"Nats-Msg-Id";
/// `Nats-TTL`.
pub(crate) const TTL: &[u8] = b"Nats-TTL";
/// `Nats-Rollup`.
pub(crate) const ROLLUP: &[u8] = b"Nats-Rollup";
/// `Nats-Marker-Reason`.
pub(crate) const MARKER_REASON: &[u8] = b"Nats-Marker-Reason";

/// What a message's headers ask of the stream. Values as they stand there; an empty one counts as absent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) msg_id: Option<&'a [u8]>,
    pub(crate) ttl: Option<&'a [u8]>,
    pub(crate) rollup: Option<&'a [u8]>,
    pub(crate) incr: Option<&'a [u8]>,
    pub(crate) batch: Option<&'a [u8]>,
    pub(crate) schedule: Option<&'a [u8]>,
    pub(crate) expected_stream: Option<&'a [u8]>,
    pub(crate) expected_last_sequence: Option<&'a [u8]>,
    pub(crate) expected_last_msg_id: Option<&'a [u8]>,
    pub(crate) expected_last_subject_sequence: Option<&'a [u8]>,
    pub(crate) expected_last_subject: Option<&'a [u8]>,
    pub(crate) is_marker: bool,
    /// The header block's size on the wire.
    pub(crate) block_bytes: usize,
}

impl<'a> Asked<'a> {
    /// Reads them; of a name that stands twice the first counts.
    pub(crate) fn read(headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Self {
        let mut asked = Self::default();
        let mut bytes = 0;
        for (name, value) in headers {
            let value = value.unwrap_or_default();
            bytes += name.len() + value.len() + 4;
            if !name.starts_with(b"Nats-") || value.is_empty() {
                continue;
            }
            let place = match &name[5..] {
                b"Msg-Id" => &mut asked.msg_id,
                b"TTL" => &mut asked.ttl,
                b"Rollup" => &mut asked.rollup,
                b"Incr" => &mut asked.incr,
                b"Batch-Id" => &mut asked.batch,
                b"Schedule" => &mut asked.schedule,
                b"Expected-Stream" => &mut asked.expected_stream,
                b"Expected-Last-Sequence" => &mut asked.expected_last_sequence,
                b"Expected-Last-Msg-Id" => &mut asked.expected_last_msg_id,
                b"Expected-Last-Subject-Sequence" => &mut asked.expected_last_subject_sequence,
                b"Expected-Last-Subject-Sequence-Subject" => &mut asked.expected_last_subject,
                b"Marker-Reason" => {
                    asked.is_marker = true;
                    continue;
                }
                _ => continue,
            };
            place.get_or_insert(value);
        }
        asked.block_bytes = if bytes == 0 { 0 } else { bytes + 12 };
        asked
    }
}

impl Asked<'_> {
    /// Whether what is asked can only be answered by who knows every message: by the index.
    pub(crate) fn asks_for_messages(&self) -> bool {
        self.expected_last_subject_sequence.is_some() || self.expected_last_msg_id.is_some()
    }
}

/// When a message says that it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// It doesn't say.
    None,
    /// Never, whatever the stream says of its age.
    Never,
    /// After so many seconds.
    Seconds(u64),
}

/// Reads `Nats-TTL`: `never`, whole seconds, or a Go duration of at least a second (rounded down to seconds).
pub(crate) fn parse_ttl(value: &[u8]) -> Option<Ttl> {
    if value.eq_ignore_ascii_case(b"never") {
        return Some(Ttl::Never);
    }
    let text = std::str::from_utf8(value).ok()?;
    let seconds = match go_duration(text) {
        Some(duration) if duration < Duration::from_secs(1) => return None,
        Some(duration) => duration.as_secs(),
        None => wrapping_number(value)?,
    };
    Some(if seconds == 0 { Ttl::None } else { Ttl::Seconds(seconds) })
}

/// As the reference counts a TTL's seconds: too many digits wrap, and what is negative then is refused.
fn wrapping_number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let fold = |number: i64, digit: &u8| number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
    digits.then(|| value.iter().fold(0, fold)).and_then(|number| u64::try_from(number).ok())
}

/// A number of digits alone.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// `1h2m3.5s` and the like, not negative.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, behind) = rest.split_at(end);
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        if whole.is_empty() && fraction.is_empty() || value.len() > 18 || fraction.contains('.') {
            return None;
        }
        let units: &[(&str, u128)] = &[
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let (unit, scale) = units.iter().find(|(unit, _)| {
            behind.strip_prefix(unit).is_some_and(|next| {
                next.is_empty() || next.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            })
        })?;
        nanos += whole.parse::<u128>().unwrap_or(0) * scale;
        if !fraction.is_empty() {
            nanos += fraction.parse::<u128>().ok()? * scale / 10u128.pow(fraction.len() as u32);
        }
        rest = &behind[unit.len()..];
    }
    u64::try_from(nanos).ok().filter(|nanos| *nanos <= i64::MAX as u64).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_read_as_the_reference_does() {
        for (text, expected) in [
            ("never", Some(Ttl::Never)),
            ("NEVER", Some(Ttl::Never)),
            ("5", Some(Ttl::Seconds(5))),
            ("0", None),
            ("+0", None),
            ("00", Some(Ttl::None)),
            ("1s", Some(Ttl::Seconds(1))),
            ("1h2m3.5s", Some(Ttl::Seconds(3723))),
            ("1500ms", Some(Ttl::Seconds(1))),
            ("999ms", None),
            ("-5", None),
            ("-1s", None),
            ("soon", None),
            ("5 s", None),
            ("5 ", None),
            ("99999999999999999999", Some(Ttl::Seconds(7_766_279_631_452_241_919))),
            ("9999999999999999999", None),
            ("1.s", Some(Ttl::Seconds(1))),
            (".s", None),
        ] {
            assert_eq!(parse_ttl(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_first_of_a_name_counts_and_sizes_are_the_wires() {
        let headers: [(&[u8], Option<&[u8]>); 3] =
            [(b"Nats-Msg-Id", Some(b"a")), (b"Nats-Msg-Id", Some(b"b")), (b"x", Some(b"y"))];
        let asked = Asked::read(headers);
        assert_eq!(asked.msg_id, Some(&b"a"[..]));
        // NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Msg-Id: b\r\nx: y\r\n\r\n
        assert_eq!(asked.block_bytes, 10 + 16 + 16 + 6 + 2);
        assert_eq!(Asked::read([]).block_bytes, 0);
    }
}
