//! Records to bytes. The layout is drawn in the parent module.

use bytes::{BufMut, Bytes, BytesMut};
use duolog_types::Sequence;

use super::{Change, Record, State};
use crate::window::Position;

pub(super) const VERSION: u8 = 1;
pub(super) const WHOLE: u8 = 1;
pub(super) const DELIVERED: u8 = 2;
pub(super) const SETTLED: u8 = 3;
pub(super) const SETTLED_THROUGH: u8 = 4;
pub(super) const EXHAUSTED: u8 = 5;
pub(super) const NOT_DELIVERED: u8 = 6;
pub(super) const TRIMMED: u8 = 7;
pub(super) const RESERVED: u8 = 8;

impl Record {
    /// The record's byte form.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 * self.changes.len() + 1);
        out.put_u8(VERSION);
        for change in &self.changes {
            put_change(&mut out, change);
        }
        out.freeze()
    }
}

fn put_change(out: &mut BytesMut, change: &Change) {
    match change {
        Change::Whole(state) => {
            out.put_u8(WHOLE);
            put_state(out, state);
        }
        Change::Delivered { sequence, number, count } => {
            out.put_u8(DELIVERED);
            put(out, sequence.0);
            put(out, *number);
            put(out, u64::from(*count));
        }
        Change::Settled { sequence } => {
            out.put_u8(SETTLED);
            put(out, sequence.0);
        }
        Change::SettledThrough { position } => {
            out.put_u8(SETTLED_THROUGH);
            put_position(out, *position);
        }
        Change::Exhausted { sequence } => {
            out.put_u8(EXHAUSTED);
            put(out, sequence.0);
        }
        Change::NotDelivered { sequence } => {
            out.put_u8(NOT_DELIVERED);
            put(out, sequence.0);
        }
        Change::Trimmed { below } => {
            out.put_u8(TRIMMED);
            put(out, below.0);
        }
        Change::Reserved { end } => {
            out.put_u8(RESERVED);
            put(out, *end);
        }
    }
}

fn put_state(out: &mut BytesMut, state: &State) {
    put(out, state.next.0);
    put(out, state.next_number);
    put(out, state.reserved_end);
    put_position(out, state.delivered);
    put_position(out, state.floor);
    put(out, state.in_flight.len() as u64);
    let mut previous = Sequence::ZERO;
    for message in &state.in_flight {
        put_rising(out, &mut previous, message.sequence);
        put(out, message.number);
        put(out, u64::from(message.count));
    }
    put(out, state.exhausted.len() as u64);
    previous = Sequence::ZERO;
    for (sequence, count) in &state.exhausted {
        put_rising(out, &mut previous, *sequence);
        put(out, u64::from(*count));
    }
    put(out, state.first.len() as u64);
    previous = Sequence::ZERO;
    for sequence in &state.first {
        put_rising(out, &mut previous, *sequence);
    }
}

/// The lists are made of ordered sets, so the difference is never negative.
fn put_rising(out: &mut BytesMut, previous: &mut Sequence, sequence: Sequence) {
    put(out, sequence.0.saturating_sub(previous.0));
    *previous = sequence;
}

fn put_position(out: &mut BytesMut, position: Position) {
    put(out, position.number);
    put(out, position.sequence.0);
}

fn put(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
