//! Records to bytes. The layout is drawn in the parent module.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use duolog_types::TimestampMs;

use super::{GroupRecord, MemberRecord, Record};
use crate::event::TopicPartition;
use crate::offsets::CommittedOffset;

pub(super) const VERSION: u8 = 1;
pub(super) const GROUP: u8 = 1;
pub(super) const GROUP_DELETED: u8 = 2;
pub(super) const OFFSETS: u8 = 3;
pub(super) const OFFSETS_DELETED: u8 = 4;
pub(super) const GENERATION: u8 = 5;

impl Record {
    /// The record's byte form.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        out.put_u8(VERSION);
        match self {
            Record::Group(record) => {
                out.put_u8(GROUP);
                put_group(&mut out, record);
            }
            Record::GroupDeleted(group) => {
                out.put_u8(GROUP_DELETED);
                put_bytes(&mut out, group.0.as_bytes());
            }
            Record::Offsets { group, offsets } => {
                out.put_u8(OFFSETS);
                put_bytes(&mut out, group.0.as_bytes());
                put_length(&mut out, offsets.len());
                for (partition, offset) in offsets {
                    put_partition(&mut out, partition);
                    put_offset(&mut out, offset);
                }
            }
            Record::OffsetsDeleted { group, partitions } => {
                out.put_u8(OFFSETS_DELETED);
                put_bytes(&mut out, group.0.as_bytes());
                put_length(&mut out, partitions.len());
                for partition in partitions {
                    put_partition(&mut out, partition);
                }
            }
            Record::Generation { group, generation } => {
                out.put_u8(GENERATION);
                put_bytes(&mut out, group.0.as_bytes());
                out.put_i32_le(*generation);
            }
        }
        out.freeze()
    }
}

fn put_group(out: &mut BytesMut, record: &GroupRecord) {
    put_bytes(out, record.group.0.as_bytes());
    out.put_i32_le(record.generation);
    out.put_i64_le(record.state_since.0);
    put_optional(out, record.protocol_type.as_deref());
    put_optional(out, record.protocol_name.as_deref());
    put_optional(out, record.leader.as_ref().map(|leader| &*leader.0));
    put_length(out, record.members.len());
    for member in &record.members {
        put_member(out, member);
    }
}

fn put_member(out: &mut BytesMut, member: &MemberRecord) {
    put_bytes(out, member.member_id.0.as_bytes());
    put_optional(out, member.instance_id.as_deref());
    put_bytes(out, member.client_id.as_bytes());
    put_bytes(out, member.client_host.as_bytes());
    put_millis(out, member.rebalance_timeout);
    put_millis(out, member.session_timeout);
    put_bytes(out, &member.subscription);
    put_bytes(out, &member.assignment);
}

fn put_partition(out: &mut BytesMut, partition: &TopicPartition) {
    put_bytes(out, partition.topic.as_bytes());
    out.put_i32_le(partition.partition);
}

fn put_offset(out: &mut BytesMut, offset: &CommittedOffset) {
    out.put_slice(&offset.topic_id.0);
    out.put_i64_le(offset.offset.0);
    match offset.leader_epoch {
        Some(epoch) => {
            out.put_u8(1);
            out.put_i32_le(epoch.0);
        }
        None => out.put_u8(0),
    }
    out.put_i64_le(offset.committed_at.0);
    match offset.expires_at {
        Some(TimestampMs(at)) => {
            out.put_u8(1);
            out.put_i64_le(at);
        }
        None => out.put_u8(0),
    }
    put_bytes(out, offset.metadata.as_bytes());
}

/// Timeouts come from the wire as `i32` milliseconds, so none is cut off here.
fn put_millis(out: &mut BytesMut, span: Duration) {
    out.put_u32_le(u32::try_from(span.as_millis()).unwrap_or(u32::MAX));
}

fn put_optional(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => {
            out.put_u8(1);
            put_bytes(out, text.as_bytes());
        }
        None => out.put_u8(0),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

fn put_length(out: &mut BytesMut, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}
