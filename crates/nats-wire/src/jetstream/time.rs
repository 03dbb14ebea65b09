//! Points in time and lengths of time as JetStream writes them: RFC 3339 with up to nine digits, and whole
//! nanoseconds; in texts Go's `1m30s`.

use std::borrow::Cow;
use std::fmt;

use super::json::{Decode, DecodeError, Encode, Kind, Place, Value, quote};

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";

/// A point in time, years 0 to 9999, in nanoseconds. The default is Go's zero time, the year 1.
///
/// What a client gives in another time zone is the same point in UTC here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Since 1970, may be negative.
    seconds: i64,
    /// 0 to 999,999,999, to be added.
    nanos: u32,
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Time {
    /// Go's zero time: what stands where there is no time, such as the first message of an empty stream.
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0 };

    /// Of nanoseconds since 1970.
    #[must_use]
    pub fn from_nanos(nanos: i64) -> Self {
        Self { seconds: nanos.div_euclid(NANOS), nanos: nanos.rem_euclid(NANOS) as u32 }
    }

    /// Nanoseconds since 1970, the nearest that fit (years 1677 to 2262).
    #[must_use]
    pub fn to_nanos(self) -> i64 {
        self.seconds.saturating_mul(NANOS).saturating_add(i64::from(self.nanos))
    }

    /// Whether this is Go's zero time.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Reads RFC 3339.
    ///
    /// # Errors
    /// The reference's message.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        Parser { text, rest: text }.time()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.seconds.div_euclid(DAY_SECONDS));
        let second = self.seconds.rem_euclid(DAY_SECONDS);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(out, ".{}", digits.trim_end_matches('0'))?;
        }
        out.write_str("Z")
    }
}

/// The date of a day since 1970 (proleptic Gregorian; the algorithm is Howard Hinnant's "days from civil").
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + EPOCH_DAYS;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// The inverse of [`civil`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - EPOCH_DAYS
}

/// Element by element, so that the message names the one that is wrong.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn time(mut self) -> Result<Time, DecodeError> {
        let year = self.digits(4, "2006")?;
        self.literal("-")?;
        let month = self.digits(2, "01")?;
        self.range((1..=12).contains(&month), "month")?;
        self.literal("-")?;
        let day = self.digits(2, "02")?;
        self.literal("T")?;
        let hour = self.digits(2, "15")?;
        self.range(hour < 24, "hour")?;
        self.literal(":")?;
        let minute = self.digits(2, "04")?;
        self.range(minute < 60, "minute")?;
        self.literal(":")?;
        let second = self.digits(2, "05")?;
        self.range(second < 60, "second")?;
        let nanos = self.fraction();
        let offset_seconds = self.zone()?;
        if !self.rest.is_empty() {
            let (text, rest) = (quote(self.text.as_bytes()), quote(self.rest.as_bytes()));
            return Err(DecodeError::new(format!("parsing time {text}: extra text: {rest}")));
        }
        let days = days_from_civil(year, month, day);
        self.range(day >= 1 && civil(days) == (year, month, day), "day")?;
        Ok(Time { seconds: days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset_seconds, nanos })
    }

    fn digits(&mut self, count: usize, element: &str) -> Result<i64, DecodeError> {
        match self.rest.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(digits) => {
                self.rest = &self.rest[count..];
                digits.parse().map_err(|_| self.unexpected(element))
            }
            None => Err(self.unexpected(element)),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), DecodeError> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.unexpected(literal))?;
        Ok(())
    }

    fn fraction(&mut self) -> u32 {
        let Some(behind) = self.rest.strip_prefix('.') else { return 0 };
        let count = behind.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return 0;
        }
        let (digits, rest) = behind.split_at(count);
        self.rest = rest;
        digits
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(9)
            .fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'))
    }

    fn zone(&mut self) -> Result<i64, DecodeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let parsed = self.rest.get(..6).and_then(|zone| {
            let sign = match zone.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let number = |digits: &str| {
                digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())
            };
            let (hours, minutes) = (number(zone.get(1..3)?)??, number(zone.get(4..6)?)??);
            (zone.as_bytes()[3] == b':' && hours < 24 && minutes < 60)
                .then_some(sign * (hours * 3600 + minutes * 60))
        });
        let seconds = parsed.ok_or_else(|| self.unexpected("Z07:00"))?;
        self.rest = &self.rest[6..];
        Ok(seconds)
    }

    fn range(&self, holds: bool, what: &str) -> Result<(), DecodeError> {
        if holds {
            return Ok(());
        }
        Err(DecodeError::new(format!("parsing time {}: {what} out of range", quote(self.text.as_bytes()))))
    }

    fn unexpected(&self, element: &str) -> DecodeError {
        DecodeError::new(format!(
            "parsing time {} as \"{LAYOUT}\": cannot parse {} as \"{element}\"",
            quote(self.text.as_bytes()),
            quote(self.rest.as_bytes()),
        ))
    }
}

impl Encode for Time {
    fn encode(&self, out: &mut Vec<u8>) {
        self.to_string().as_str().encode(out);
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl Decode for Time {
    fn go_type() -> Cow<'static, str> {
        "time.Time".into()
    }

    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
        match value.kind() {
            Kind::Null => {}
            Kind::String => *self = Self::parse(&value.text())?,
            _ => return Err(place.mismatch::<Self>(value)),
        }
        Ok(())
    }
}

/// A length of time in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Span {
    /// Of whole seconds.
    #[must_use]
    pub fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS))
    }

    /// Reads Go's notation, such as `1m30.5s`, `300ms` or `-2h`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Self(0));
        }
        let mut nanos: i64 = 0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let number_size = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
            let (number, behind) = rest.split_at(number_size);
            let unit_size = behind.bytes().take_while(|byte| !byte.is_ascii_digit() && *byte != b'.').count();
            let (unit, behind) = behind.split_at(unit_size);
            rest = behind;
            nanos = nanos.checked_add(scaled(number, unit_nanos(unit)?)?)?;
        }
        Some(Self(if negative { -nanos } else { nanos }))
    }
}

fn unit_nanos(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS,
        "m" => 60 * NANOS,
        "h" => 3_600 * NANOS,
        _ => return None,
    })
}

/// `number` (with or without a fraction) times `unit`; digits finer than a nanosecond are dropped.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut nanos = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()?.checked_mul(unit)? };
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(i64::from(digit - b'0') * place)?;
    }
    Some(nanos)
}

/// Go's notation: `1h2m3.5s`, and below a second `1.5ms`, `10µs`, `7ns`.
impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if nanos == 0 {
            return out.write_str("0s");
        }
        if self.0 < 0 {
            out.write_str("-")?;
        }
        let second = NANOS as u64;
        match nanos {
            ..1_000 => return write!(out, "{nanos}ns"),
            1_000..1_000_000 => return write!(out, "{}µs", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => return write!(out, "{}ms", decimal(nanos, 1_000_000)),
            _ => {}
        }
        let (hours, minutes) = (nanos / (3_600 * second), nanos / (60 * second) % 60);
        if hours > 0 {
            write!(out, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(out, "{minutes}m")?;
        }
        write!(out, "{}s", decimal(nanos % (60 * second), second))
    }
}

/// `value / unit` without zeros at the end.
fn decimal(value: u64, unit: u64) -> String {
    let fraction = value % unit;
    if fraction == 0 {
        return (value / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", value / unit, digits.trim_end_matches('0'))
}

impl Encode for Span {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Decode for Span {
    fn go_type() -> Cow<'static, str> {
        "time.Duration".into()
    }

    fn decode(&mut self, value: Value<'_>, place: &Place<'_>) -> Result<(), DecodeError> {
        // The field's own place, so that the message calls it what Go calls it.
        match value.kind() {
            Kind::Null | Kind::Number => {
                let place = place.typed("time.Duration");
                self.0.decode(value, &place)
            }
            _ => Err(place.mismatch::<Self>(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_go_writes_it_and_read_back() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_463_993_649_195_640, "2026-11-23T19:59:53.64919564Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
        ] {
            assert_eq!(Time::from_nanos(nanos).to_string(), text);
            assert_eq!(Time::parse(text).unwrap(), Time::from_nanos(nanos));
            assert_eq!(Time::from_nanos(nanos).to_nanos(), nanos);
        }
        assert_eq!(Time::ZERO.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(Time::parse("0001-01-01T00:00:00Z").unwrap(), Time::ZERO);
        assert_eq!(
            Time::parse("2020-01-01T02:00:00+02:00").unwrap(),
            Time::parse("2020-01-01T00:00:00Z").unwrap()
        );
    }

    #[test]
    fn a_time_that_is_none_is_refused_in_the_reference_s_words() {
        // nats-server 2.15.1.
        for (text, message) in [
            ("xx", r#"parsing time "xx" as "2006-01-02T15:04:05Z07:00": cannot parse "xx" as "2006""#),
            ("2020", r#"parsing time "2020" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "-""#),
            ("", r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
            ("2020-13-01T00:00:00Z", r#"parsing time "2020-13-01T00:00:00Z": month out of range"#),
            ("2021-02-29T00:00:00Z", r#"parsing time "2021-02-29T00:00:00Z": day out of range"#),
        ] {
            assert_eq!(Time::parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_span_is_written_and_read_in_go_s_notation() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (1_000_000_000, "1s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(Span(nanos).to_string(), text);
            assert_eq!(Span::parse(text), Some(Span(nanos)));
        }
        for bad in ["", "5", "s", "5x", "1.2.3s", ".s", "-", "9999999999h"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
