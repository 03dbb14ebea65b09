//! Changes in place to a batch that is being appended. None of them touches the records.

use duolog_types::{LeaderEpoch, Offset, TimestampMs};

use crate::header::{ATTRIBUTES_AT, HEADER_BYTES, LOG_APPEND_TIME, MAX_TIMESTAMP_AT, seal};

/// Sets the base offset, and with it the offset of every record. Outside the checksum.
///
/// # Panics
/// If `batch` is shorter than a header: it must have been parsed before.
pub fn patch_base_offset(batch: &mut [u8], base_offset: Offset) {
    header_of(batch)[..8].copy_from_slice(&base_offset.0.to_be_bytes());
}

/// Sets the partition leader epoch. Outside the checksum.
///
/// # Panics
/// If `batch` is shorter than a header: it must have been parsed before.
pub fn patch_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    header_of(batch)[12..16].copy_from_slice(&epoch.0.to_be_bytes());
}

/// Makes `now` the timestamp of every record (`message.timestamp.type=LogAppendTime`) and renews the
/// checksum. `batch` must be exactly one batch.
///
/// # Panics
/// If `batch` is shorter than a header: it must have been parsed before.
pub fn patch_log_append_time(batch: &mut [u8], now: TimestampMs) {
    let header = header_of(batch);
    // Bit 3 is in the low byte of the big-endian attributes.
    header[ATTRIBUTES_AT + 1] |= LOG_APPEND_TIME as u8;
    header[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&now.0.to_be_bytes());
    seal(batch);
}

fn header_of(batch: &mut [u8]) -> &mut [u8] {
    assert!(batch.len() >= HEADER_BYTES, "a batch of {} bytes has no header to patch", batch.len());
    &mut batch[..HEADER_BYTES]
}
