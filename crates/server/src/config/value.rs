//! What a setting's value can be: how each type is read, written, and named in the reference.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A type that a setting can have.
pub trait Setting: Sized {
    /// How the reference names it, with an example of its form.
    const KIND: &'static str;

    /// Reads it as people write it.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it so that [`Setting::parse`] reads the same.
    fn show(&self) -> String;
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const BYTE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Setting for ByteSize {
    const KIND: &'static str = "size: `64MiB`; units B, KiB, MiB, GiB, TiB (of 1024), or plain bytes";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let factor = match unit {
            "" => 1,
            _ => unit_of(&BYTE_UNITS, unit).ok_or_else(|| {
                format!("`{text}` is not a size; write a number and one of B, KiB, MiB, GiB, TiB")
            })?,
        };
        whole(text, number)?.checked_mul(factor).map(Self).ok_or_else(|| format!("`{text}` is too large"))
    }

    fn show(&self) -> String {
        in_units(&BYTE_UNITS, self.0)
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Setting for Span {
    const KIND: &'static str = "span of time: `30s`; units ms, s, m, h, d";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text);
        let milliseconds = whole(text, number)?;
        let factor = match unit {
            "" if milliseconds == 0 => 1,
            _ => unit_of(&SPAN_UNITS, unit).ok_or_else(|| {
                format!("`{text}` is not a span of time; write a number and one of ms, s, m, h, d")
            })?,
        };
        let milliseconds = milliseconds.checked_mul(factor).ok_or_else(|| format!("`{text}` is too long"))?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }

    fn show(&self) -> String {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if milliseconds == 0 { "0s".to_owned() } else { in_units(&SPAN_UNITS, milliseconds) }
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (&text[..digits], text[digits..].trim())
}

fn whole(text: &str, number: &str) -> Result<u64, String> {
    if number.is_empty() {
        return Err(format!("`{text}` does not start with a whole number"));
    }
    number.parse().map_err(|_| format!("`{text}` is too large"))
}

fn unit_of(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor)
}

/// The number in the largest unit that divides it.
fn in_units(units: &[(&str, u64)], number: u64) -> String {
    let fits = units.iter().find(|(_, factor)| number > 0 && number.is_multiple_of(*factor));
    let (unit, factor) = fits.unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", number / factor)
}

impl Setting for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// A text that nobody is shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Setting for Hidden {
    const KIND: &'static str = "text, which `config show` doesn't print";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    /// What is hidden isn't shown, so this can't be read back.
    fn show(&self) -> String {
        if self.0.is_empty() { String::new() } else { "[hidden]".to_owned() }
    }
}

/// A host (name or address) and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Without brackets if it is an IPv6 address.
    pub host: String,
    /// 0 lets the kernel pick, where it is listened on.
    pub port: u16,
}

impl HostPort {
    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

impl HostPort {
    /// Whether it means every address of this machine, so that nobody can connect to it by that name.
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Setting for HostPort {
    const KIND: &'static str = "address: `host:port`, `127.0.0.1:9092`, `[::1]:9092`";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| format!("`{port}` is not a port (0 to 65535)"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!("`{text}`: write an IPv6 address in brackets, [::1]:{port}"));
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Empty text is "not set".
impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, T::show)
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Setting for u32 {
    const KIND: &'static str = "number";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is not a whole number up to {}", Self::MAX))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for bool {
    const KIND: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A fixed choice of words: the type, and each variant with its word.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident, $kind:literal { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl Setting for $name {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is not one of {}", [$($word),+].join(", "))),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$variant => $word,)+ }.to_owned()
            }
        }
    };
}

choice! {
    /// When a write counts as done.
    Durability, "`sync` or `os`" {
        /// When it is on stable storage.
        Sync = "sync",
        /// When the operating system has it: a power cut may take it back.
        Os = "os",
    }
}

choice! {
    /// The form of log lines.
    LogFormat, "`text` or `json`" {
        /// For people.
        Text = "text",
        /// One object a line.
        Json = "json",
    }
}

choice! {
    /// The least severe log line that is written.
    LogLevel, "`error`, `warn`, `info`, `debug` or `trace`" {
        /// What failed.
        Error = "error",
        /// What will fail, or was refused.
        Warn = "warn",
        /// What happened.
        Info = "info",
        /// What was decided.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<T: Setting>(text: &str) -> Result<String, String> {
        T::parse(text).map(|value| value.show())
    }

    #[test]
    fn sizes_and_spans_have_units_and_are_shown_in_the_largest_that_fits() {
        for (text, shown) in [
            ("256MiB", "256MiB"),
            ("1024 kib", "1MiB"),
            ("1000", "1000B"),
            ("0", "0B"),
            ("1536KiB", "1536KiB"),
        ] {
            assert_eq!(reads::<ByteSize>(text), Ok(shown.to_owned()));
        }
        for (text, shown) in [("7d", "7d"), ("60s", "1m"), ("1500ms", "1500ms"), ("0", "0s"), ("48h", "2d")] {
            assert_eq!(reads::<Span>(text), Ok(shown.to_owned()));
        }
        for bad in ["", "MiB", "-1", "1MB", "1.5GiB", "99999999999TiB"] {
            assert!(reads::<ByteSize>(bad).is_err(), "{bad}");
        }
        assert_eq!(
            reads::<Span>("30"),
            Err("`30` is not a span of time; write a number and one of ms, s, m, h, d".to_owned())
        );
    }

    #[test]
    fn addresses_keep_host_and_port_apart() {
        for text in ["127.0.0.1:9092", "[::1]:0", "localhost:8080"] {
            assert_eq!(reads::<HostPort>(text), Ok(text.to_owned()));
        }
        for bad in ["9092", "host:", "host:65536", ":9092", "::1:9092", "a b:1"] {
            assert!(reads::<HostPort>(bad).is_err(), "{bad}");
        }
        assert!(HostPort::parse("[::1]:1").unwrap().is_loopback());
        assert!(!HostPort::parse("0.0.0.0:1").unwrap().is_loopback());
    }
}
