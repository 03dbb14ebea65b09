//! The name of a crash: enough to make it again.

use std::fmt;
use std::str::FromStr;

use super::variant::Variant;
use crate::sim_rng::mix;

/// One crash of one run: where in its trace, and which state it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrashPoint {
    /// How many operations of the trace had been done.
    pub boundary: usize,
    /// What became of the pending ones.
    pub variant: Variant,
}

/// A crash, or a crash and a second one in its recovery, as `seed:boundary:variant` and
/// `seed:boundary:variant/boundary:variant`, the seed in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrashId {
    /// What the workload and all random choices came from.
    pub seed: u64,
    /// The crash of the workload.
    pub first: CrashPoint,
    /// The crash of the recovery from the first.
    pub second: Option<CrashPoint>,
}

impl CrashId {
    /// The seed of the image of the last crash that this names.
    pub(super) fn image_seed(&self) -> u64 {
        let first = self.first.image_seed(self.seed);
        self.second.map_or(first, |second| second.image_seed(first))
    }
}

impl CrashPoint {
    fn image_seed(&self, seed: u64) -> u64 {
        mix(mix(seed, self.boundary as u64), self.variant.salt())
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.boundary, self.variant)
    }
}

impl fmt::Display for CrashId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{}", self.seed, self.first)?;
        self.second.map_or(Ok(()), |second| write!(f, "/{second}"))
    }
}

/// A text that names no crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCrashId {
    text: String,
}

impl fmt::Display for ParseCrashId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not seed:boundary:variant, nor that and /boundary:variant", self.text)
    }
}

impl std::error::Error for ParseCrashId {}

impl FromStr for CrashId {
    type Err = ParseCrashId;

    fn from_str(text: &str) -> Result<Self, ParseCrashId> {
        parse(text).ok_or_else(|| ParseCrashId { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<CrashId> {
    let (seed, points) = text.split_once(':')?;
    let (first, second) = match points.split_once('/') {
        Some((first, second)) => (first, Some(parse_point(second)?)),
        None => (points, None),
    };
    Some(CrashId { seed: u64::from_str_radix(seed, 16).ok()?, first: parse_point(first)?, second })
}

fn parse_point(text: &str) -> Option<CrashPoint> {
    let (boundary, variant) = text.split_once(':')?;
    Some(CrashPoint { boundary: boundary.parse().ok()?, variant: Variant::parse(variant)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for text in ["1f:12:kill", "0:0:none", "ffffffffffffffff:7:torn_front-3/2:both_names-0"] {
            assert_eq!(text.parse::<CrashId>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1:2", "x:2:all", "1:2:al", "1:2:drop", "1:2:all-3", "1:2:all/3", "1:2:all/3:x"]
        {
            text.parse::<CrashId>().unwrap_err();
        }
    }
}
