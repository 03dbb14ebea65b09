//! Entries and frames inside a group: structs ⇄ bytes.
//!
//! The writer lays frames straight into the group's buffer ([`put_entry_header`], [`FrameHeader::put`]); recovery
//! walks them back ([`entries`]). Kinds and field orders are part of the disk format.

use duolog_types::{Lsn, Nanos, Offset, PartitionId, TimestampMs};

use crate::codec::{Get, Put};
use crate::table::TableId;

/// Length and frame count before each entry.
pub(crate) const ENTRY_HEADER_BYTES: usize = 8;
/// The part of a frame's header that all kinds share.
const FRAME_PREFIX_BYTES: usize = 16;
const BATCH_FIELDS_BYTES: usize = 32;
/// Numbers of partitions are below it: one a nanosecond for a century.
const PARTITION_END: u64 = 1 << 62;

/// Frame kinds. Numbers are disk format; 17..=31 are set aside for key indexes.
mod kind {
    pub(super) const STATE: u8 = 1;
    pub(super) const CREATE: u8 = 2;
    pub(super) const DROP: u8 = 3;
    pub(super) const TRIM: u8 = 4;
    pub(super) const SKIP: u8 = 5;
    pub(super) const BATCH: u8 = 6;
    pub(super) const DELETE: u8 = 16;
}

/// What a frame says, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameHeader {
    State {
        table: TableId,
        shard: u32,
    },
    Create {
        partition: PartitionId,
    },
    Drop {
        partition: PartitionId,
    },
    Trim {
        partition: PartitionId,
        to: Offset,
    },
    Skip {
        partition: PartitionId,
        from: Offset,
        to: Offset,
    },
    Batch {
        partition: PartitionId,
        base_offset: Offset,
        offset_count: u32,
        arrival: Nanos,
        max_timestamp: TimestampMs,
        /// It was made of records that came one by one.
        of_single_records: bool,
    },
    /// Its payload names the offsets (`dead::ranges`).
    Delete {
        partition: PartitionId,
    },
}

impl FrameHeader {
    /// Bytes of the encoded header, without the payload.
    pub(crate) const fn encoded_bytes(&self) -> usize {
        FRAME_PREFIX_BYTES + self.fields_bytes()
    }

    const fn fields_bytes(&self) -> usize {
        match self {
            Self::State { .. } | Self::Create { .. } | Self::Drop { .. } | Self::Delete { .. } => 0,
            Self::Trim { .. } => 8,
            Self::Skip { .. } => 16,
            Self::Batch { .. } => BATCH_FIELDS_BYTES,
        }
    }

    /// Appends the header of a frame whose payload has `payload_bytes`.
    pub(crate) fn put(&self, payload_bytes: u32, out: &mut impl Put) {
        let (kind, id) = match *self {
            Self::State { table, shard } => (kind::STATE, (u64::from(table.0) << 32) | u64::from(shard)),
            Self::Create { partition } => (kind::CREATE, partition.0),
            Self::Drop { partition } => (kind::DROP, partition.0),
            Self::Trim { partition, .. } => (kind::TRIM, partition.0),
            Self::Skip { partition, .. } => (kind::SKIP, partition.0),
            Self::Batch { partition, .. } => (kind::BATCH, partition.0),
            Self::Delete { partition } => (kind::DELETE, partition.0),
        };
        out.put(&[kind, 0]);
        out.put_u16(self.fields_bytes() as u16);
        out.put_u32(payload_bytes);
        out.put_u64(id);
        match *self {
            Self::State { .. } | Self::Create { .. } | Self::Drop { .. } | Self::Delete { .. } => {}
            Self::Trim { to, .. } => out.put_i64(to.0),
            Self::Skip { from, to, .. } => {
                out.put_i64(from.0);
                out.put_i64(to.0);
            }
            Self::Batch { base_offset, offset_count, arrival, max_timestamp, of_single_records, .. } => {
                out.put_i64(base_offset.0);
                out.put_i64(arrival.0);
                out.put_i64(max_timestamp.0);
                out.put_u32(offset_count);
                out.put_u32(u32::from(of_single_records)); // flags; the other bits are reserved
            }
        }
    }

    /// `None` where the kind is unknown, or a number is one that the writer never gives (sums of those that it gives
    /// don't overflow).
    fn get(kind: u8, id: u64, fields: &[u8]) -> Option<Self> {
        let mut get = Get::new(fields);
        let partition = PartitionId(id);
        if kind != kind::STATE && !(1..PARTITION_END).contains(&id) {
            return None;
        }
        Some(match kind {
            kind::STATE => Self::State { table: TableId(u16::try_from(id >> 32).ok()?), shard: id as u32 },
            kind::CREATE => Self::Create { partition },
            kind::DROP => Self::Drop { partition },
            kind::DELETE => Self::Delete { partition },
            kind::TRIM => Self::Trim { partition, to: offset(&mut get)? },
            kind::SKIP => Self::Skip { partition, from: offset(&mut get)?, to: offset(&mut get)? },
            kind::BATCH => {
                let base_offset = offset(&mut get)?;
                let arrival = get.nanos()?;
                let max_timestamp = get.timestamp()?;
                let offset_count = get.u32()?;
                let of_single_records = get.u32()? & 1 != 0;
                Self::Batch {
                    partition,
                    base_offset,
                    offset_count,
                    arrival,
                    max_timestamp,
                    of_single_records,
                }
            }
            _ => return None,
        })
    }
}

fn offset(get: &mut Get<'_>) -> Option<Offset> {
    get.offset().filter(|offset| (Offset::ZERO..=Offset::END_MAX).contains(offset))
}

/// Appends the header of an entry whose frames take `frames_bytes`.
pub(crate) fn put_entry_header(frames_bytes: u32, frame_count: u32, out: &mut impl Put) {
    out.put_u32(frames_bytes);
    out.put_u32(frame_count);
}

/// One frame found in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// The entry it belongs to.
    pub lsn: Lsn,
    /// What it says.
    pub header: FrameHeader,
    /// Its payload.
    pub payload: &'a [u8],
    /// Where the payload begins, bytes from the start of the group's payload.
    pub payload_at: usize,
}

/// Walks the frames of a group's payload in order.
///
/// # Errors
/// What doesn't add up, in words: the payload's CRC held, so such a group was written wrong.
pub(crate) fn walk(
    payload: &[u8],
    first_lsn: Lsn,
    entry_count: u32,
    mut visit: impl FnMut(Found<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let short = |what: &str, at: usize| format!("{what} at payload byte {at} is cut short");
    let mut at = 0;
    for index in 0..u64::from(entry_count) {
        let lsn = Lsn(first_lsn.0 + index);
        let head = payload.get(at..at + ENTRY_HEADER_BYTES).ok_or_else(|| short("entry", at))?;
        let mut get = Get::new(head);
        let (frames_bytes, frame_count) = (get.u32().unwrap_or(0), get.u32().unwrap_or(0));
        at += ENTRY_HEADER_BYTES;
        let end = at + frames_bytes as usize;
        for _ in 0..frame_count {
            let prefix = payload.get(at..at + FRAME_PREFIX_BYTES).ok_or_else(|| short("frame", at))?;
            let mut get = Get::new(prefix);
            let kind = get.u8().unwrap_or(0);
            let _flags = get.u8();
            let fields_bytes = usize::from(get.u16().unwrap_or(0));
            let payload_bytes = get.u32().unwrap_or(0) as usize;
            let id = get.u64().unwrap_or(0);
            let fields_at = at + FRAME_PREFIX_BYTES;
            let payload_at = fields_at + fields_bytes;
            let fields = payload.get(fields_at..payload_at).ok_or_else(|| short("frame", at))?;
            let body =
                payload.get(payload_at..payload_at + payload_bytes).ok_or_else(|| short("frame", at))?;
            let header =
                FrameHeader::get(kind, id, fields).ok_or_else(|| {
                    format!("the frame at payload byte {at} (kind {kind}, of {id}) is of an unknown kind, or its numbers are out of bounds")
                })?;
            visit(Found { lsn, header, payload: body, payload_at })?;
            at = payload_at + payload_bytes;
        }
        if at != end {
            return Err(format!("entry {lsn} says it ends at payload byte {end}, its frames end at {at}"));
        }
    }
    if at == payload.len() {
        Ok(())
    } else {
        Err(format!("{} bytes behind the last entry", payload.len() - at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = FrameHeader> {
        let partition = (1..PARTITION_END).prop_map(PartitionId);
        let offset = (0..=Offset::END_MAX.0).prop_map(Offset);
        prop_oneof![
            (any::<u16>(), any::<u32>())
                .prop_map(|(table, shard)| FrameHeader::State { table: TableId(table), shard }),
            partition.clone().prop_map(|partition| FrameHeader::Create { partition }),
            partition.clone().prop_map(|partition| FrameHeader::Drop { partition }),
            partition.clone().prop_map(|partition| FrameHeader::Delete { partition }),
            (partition.clone(), offset.clone())
                .prop_map(|(partition, to)| FrameHeader::Trim { partition, to }),
            (partition.clone(), offset.clone(), offset.clone())
                .prop_map(|(partition, from, to)| FrameHeader::Skip { partition, from, to }),
            (partition, offset, any::<u32>(), any::<i64>(), any::<i64>(), any::<bool>()).prop_map(
                |(partition, base_offset, offset_count, arrival, max, of_single_records)| {
                    FrameHeader::Batch {
                        partition,
                        base_offset,
                        offset_count,
                        arrival: Nanos(arrival),
                        max_timestamp: TimestampMs(max),
                        of_single_records,
                    }
                }
            ),
        ]
    }

    #[test]
    fn numbers_that_no_writer_gives_are_refused() {
        let (partition, to) = (PartitionId(1), Offset::END_MAX);
        let refused = |header: FrameHeader| {
            let mut payload = Vec::new();
            put_entry_header(header.encoded_bytes() as u32, 1, &mut payload);
            header.put(0, &mut payload);
            walk(&payload, Lsn(5), 1, |_| Ok(())).is_err()
        };
        assert!(!refused(FrameHeader::Trim { partition, to }));
        assert!(refused(FrameHeader::Trim { partition, to: to.plus(1) }));
        assert!(refused(FrameHeader::Skip { partition, from: Offset(-1), to }));
        assert!(refused(FrameHeader::Create { partition: PartitionId(u64::MAX) }));
        assert!(refused(FrameHeader::Drop { partition: PartitionId(0) }));
    }

    proptest! {
        #[test]
        fn frames_round_trip(entries in proptest::collection::vec(
            proptest::collection::vec((header(), proptest::collection::vec(any::<u8>(), 0..40)), 0..4), 0..4)) {
            let mut payload = Vec::new();
            for entry in &entries {
                let bytes: usize = entry.iter().map(|(header, body)| header.encoded_bytes() + body.len()).sum();
                put_entry_header(bytes as u32, entry.len() as u32, &mut payload);
                for (header, body) in entry {
                    header.put(body.len() as u32, &mut payload);
                    payload.extend_from_slice(body);
                }
            }
            let mut found = Vec::new();
            walk(&payload, Lsn(5), entries.len() as u32, |frame| {
                assert_eq!(&payload[frame.payload_at..][..frame.payload.len()], frame.payload);
                found.push((frame.lsn, frame.header, frame.payload.to_vec()));
                Ok(())
            }).unwrap();
            let expected: Vec<_> = entries.into_iter().enumerate()
                .flat_map(|(index, entry)| entry.into_iter().map(move |(header, body)| (Lsn(5 + index as u64), header, body)))
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), count in any::<u32>()) {
            let _ = walk(&payload, Lsn(1), count % 1000, |_| Ok(()));
        }
    }
}
