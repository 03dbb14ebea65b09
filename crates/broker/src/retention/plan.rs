//! Up to which offset a partition's data has expired. Kafka's rules (`UnifiedLog.deleteOldSegments`).
//!
//! ```text
//! offset   0        400        900       1500
//!          | extent | extent   | extent   | not checkpointed → end
//!                   ▲ the answer: everything below has expired
//! ```
//!
//! Decides only, from numbers: no clock, no log.

use duolog_log::Extent;
use duolog_types::{Offset, TimestampMs};

/// When data expires. `None` is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How old it may get, milliseconds.
    pub age_ms: Option<u64>,
    /// How many bytes of it there may be.
    pub size_bytes: Option<u64>,
}

/// The offset below which everything has expired at `now`, if anything has.
///
/// Always a prefix of whole extents: the first one that stays protects all behind it. By age an extent goes when
/// its *largest* timestamp is too old, so one record from the future pins it. By size it goes as long as at
/// least the limit stays. Nothing goes that readers can't see yet (beyond `high_watermark`).
///
/// An extent without any timestamp (-1) counts as old as the arrival of what follows it; the last one stays.
#[must_use]
pub fn expired_to(
    extents: &[Extent],
    limits: Limits,
    high_watermark: Offset,
    now: TimestampMs,
) -> Option<Offset> {
    let mut over: u64 = match limits.size_bytes {
        Some(limit) => {
            let total: u64 = extents.iter().map(|extent| extent.size_bytes).sum();
            total.saturating_sub(limit)
        }
        None => 0,
    };
    let mut expired = None;
    for (index, extent) in extents.iter().enumerate() {
        let newest = if extent.max_timestamp.0 >= 0 {
            Some(extent.max_timestamp)
        } else {
            extents.get(index + 1).map(|next| next.first_arrival.to_ms())
        };
        let age_ms = newest.map(|newest| i128::from(now.0) - i128::from(newest.0));
        let too_old = limits.age_ms.zip(age_ms).is_some_and(|(limit, age_ms)| age_ms > i128::from(limit));
        let too_much = limits.size_bytes.is_some() && extent.size_bytes > 0 && over >= extent.size_bytes;
        if extent.end_offset > high_watermark || !(too_old || too_much) {
            break;
        }
        over = over.saturating_sub(extent.size_bytes);
        expired = Some(extent.end_offset);
    }
    expired
}

#[cfg(test)]
mod tests {
    use duolog_types::Nanos;
    use proptest::prelude::*;

    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000_000);

    /// Extents of 10 offsets each: size and largest timestamp.
    fn extents(of: &[(u64, i64)]) -> Vec<Extent> {
        (0..)
            .zip(of)
            .map(|(index, (size_bytes, max_timestamp))| Extent {
                base_offset: Offset(index * 10),
                end_offset: Offset(index * 10 + 10),
                size_bytes: *size_bytes,
                max_timestamp: TimestampMs(*max_timestamp),
                first_arrival: Nanos(index * 1_000_000),
            })
            .collect()
    }

    fn by_age(age_ms: u64) -> Limits {
        Limits { age_ms: Some(age_ms), size_bytes: None }
    }

    fn by_size(size_bytes: u64) -> Limits {
        Limits { age_ms: None, size_bytes: Some(size_bytes) }
    }

    #[test]
    fn expiry_follows_kafkas_rules() {
        let end = Offset(i64::MAX);
        type Case<'a> = (&'a str, &'a [(u64, i64)], Limits, Offset, Option<i64>);
        let cases: &[Case<'_>] = &[
            ("no data", &[], by_age(0), end, None),
            ("no limits", &[(100, 0)], Limits::default(), end, None),
            ("older than the limit goes", &[(1, 0), (1, 900_000)], by_age(500_000), end, Some(10)),
            ("exactly the limit stays", &[(1, 500_000)], by_age(500_000), end, None),
            ("one over the limit goes", &[(1, 499_999)], by_age(500_000), end, Some(10)),
            ("the last extent goes too", &[(1, 0), (1, 1)], by_age(1), end, Some(20)),
            ("a future record pins all behind", &[(1, 2_000_000), (1, 0)], by_age(0), end, None),
            (
                "an old one behind a young one stays",
                &[(1, 0), (1, 999_999), (1, 0)],
                by_age(9),
                end,
                Some(10),
            ),
            ("by size, at least the limit stays", &[(40, 0), (40, 0), (40, 0)], by_size(80), end, Some(10)),
            ("by size, not if less would stay", &[(40, 0), (40, 0)], by_size(41), end, None),
            ("by size, down to nothing", &[(40, 0), (40, 0)], by_size(0), end, Some(20)),
            ("never above the high watermark", &[(1, 0), (1, 0)], by_age(1), Offset(19), Some(10)),
            (
                "either limit is enough",
                &[(40, 0), (40, 999_999)],
                Limits { age_ms: Some(10), size_bytes: Some(40) },
                end,
                Some(10),
            ),
            (
                "without timestamps: the next one's arrival counts",
                &[(1, -1), (1, -1)],
                by_age(1000),
                end,
                Some(10),
            ),
        ];
        for (what, of, limits, high_watermark, expected) in cases {
            let found = expired_to(&extents(of), *limits, *high_watermark, NOW);
            assert_eq!(found, expected.map(Offset), "{what}");
        }
    }

    proptest! {
        /// What stays is at least the size limit; what goes is a prefix, ends at an extent's end and below the
        /// high watermark; and a second round over the rest finds nothing.
        #[test]
        fn retention_keeps_enough_and_is_done_after_one_round(
            of in prop::collection::vec((1..1000u64, -1..2_000_000i64), 0..12),
            age_ms in prop::option::of(0..1_000_000u64),
            size_bytes in prop::option::of(0..5000u64),
            high_watermark in 0..130i64,
        ) {
            let extents = extents(&of);
            let limits = Limits { age_ms, size_bytes };
            let high_watermark = Offset(high_watermark);
            let to = expired_to(&extents, limits, high_watermark, NOW);
            let gone = to.map_or(0, |to| extents.iter().filter(|extent| extent.end_offset <= to).count());
            let rest = &extents[gone..];
            if let Some(to) = to {
                prop_assert!(to <= high_watermark);
                prop_assert_eq!(extents[gone - 1].end_offset, to);
            }
            if let (Some(limit), None) = (size_bytes, age_ms) {
                let total: u64 = of.iter().map(|(size, _)| size).sum();
                let kept: u64 = rest.iter().map(|extent| extent.size_bytes).sum();
                prop_assert!(kept >= limit.min(total));
            }
            for extent in rest.iter().take(1) {
                let young = age_ms.is_none_or(|age| NOW.0 - extent.max_timestamp.0 <= age as i64);
                let kept: u64 = rest.iter().map(|extent| extent.size_bytes).sum();
                let needed = size_bytes.is_none_or(|limit| kept - extent.size_bytes < limit);
                let unseen = extent.end_offset > high_watermark;
                let last_without_time = extent.max_timestamp.0 < 0;
                prop_assert!(unseen || (young && needed) || last_without_time);
            }
            prop_assert_eq!(expired_to(rest, limits, high_watermark, NOW), None);
        }
    }
}
