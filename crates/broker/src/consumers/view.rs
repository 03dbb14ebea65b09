//! The stream as a consumer's machine sees it: what was read ahead, and which messages to read next.

use std::collections::BTreeMap;

use duolog_delivery::{Delivery, Lookup, Message as Meta, ReplyTo, Stream};
use duolog_types::Sequence;

use super::Consumer;
use super::source::{Place, Sink, Source};
use crate::streams::{Message, header_block_bytes};

/// How many messages are read ahead at most, and about how many bytes.
const AHEAD_MESSAGES: usize = 1024;
pub(super) const AHEAD_BYTES: usize = 1 << 20;

/// Messages that were read and not delivered yet.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    messages: BTreeMap<Sequence, Message>,
    /// What has to be read before the machine can go on.
    wanted: Option<Wanted>,
    /// A read is under way.
    pub(super) is_reading: bool,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// The next ones from the place on.
    Next,
    /// That one, to be delivered again or out of turn.
    Again(Sequence),
}

impl Ahead {
    pub(super) fn put(&mut self, messages: Vec<Message>) {
        self.messages.extend(messages.into_iter().map(|message| (message.sequence, message)));
    }

    pub(super) fn take(&mut self, sequence: Sequence) -> Option<Message> {
        self.messages.remove(&sequence)
    }

    /// What to read now, if anything has to be read. `listed` is what is to be delivered one by one, in that order.
    pub(super) fn plan(
        &mut self,
        place: &dyn Place,
        listed: impl Iterator<Item = Sequence>,
    ) -> Vec<Sequence> {
        match self.wanted.take() {
            None => Vec::new(),
            Some(Wanted::Next) => place.ahead(AHEAD_MESSAGES),
            Some(Wanted::Again(sequence)) => {
                // A read ends after so many bytes: nothing may stand before the message that is due.
                let more = listed
                    .take(AHEAD_MESSAGES)
                    .filter(|other| *other > sequence && !self.messages.contains_key(other));
                let mut sequences: Vec<Sequence> = std::iter::once(sequence).chain(more).collect();
                sequences.sort_unstable();
                sequences.dedup();
                sequences
            }
        }
    }

    pub(super) fn wants(&self) -> bool {
        self.wanted.is_some()
    }

    fn look(&mut self, sequence: Sequence, wanted: Wanted, headers_only: bool) -> Lookup {
        let Some(message) = self.messages.get(&sequence) else {
            self.wanted = Some(wanted);
            return Lookup::NotYet;
        };
        let size_bytes = client_bytes(message, headers_only) as u64;
        Lookup::Found(Meta { sequence, size_bytes, time: message.time })
    }

    /// What was read and lies where nothing is left to deliver.
    fn forget_below(&mut self, sequence: Sequence) {
        if self.messages.len() > 2 * AHEAD_MESSAGES {
            self.messages = self.messages.split_off(&sequence);
        }
    }
}

/// What a client receives of a message: subject, header block, payload.
fn client_bytes(message: &Message, headers_only: bool) -> usize {
    let headers = message.headers.iter();
    let sizes = headers.map(|(name, value)| (name.len(), value.as_ref().map_or(0, bytes::Bytes::len)));
    let payload = if headers_only { 0 } else { message.payload.len() };
    message.subject.len() + header_block_bytes(sizes) + payload
}

/// What a step asks.
pub(super) struct View<'a> {
    pub(super) consumer: &'a Consumer,
    pub(super) source: &'a dyn Source,
    pub(super) place: &'a dyn Place,
    pub(super) ahead: &'a mut Ahead,
    pub(super) sink: &'a dyn Sink,
    pub(super) headers_only: bool,
}

impl View<'_> {
    /// The count behind a message that was just looked at costs nothing; elsewhere the place moves.
    fn go_to(&self, from: Sequence) {
        if self.place.position() != from {
            self.place.seek(from);
        }
    }
}

impl Stream for View<'_> {
    fn next(&mut self, from: Sequence) -> Lookup {
        // Asked for before the place is, so that nothing that comes in between is passed over.
        let last = self.source.last_durable();
        self.go_to(from);
        match self.place.peek() {
            None => Lookup::Nothing { upto: from.max(last.next()) },
            Some(next) => {
                self.ahead.forget_below(from);
                self.ahead.look(next.sequence, Wanted::Next, self.headers_only)
            }
        }
    }

    fn get(&mut self, sequence: Sequence) -> Lookup {
        if self.place.matches(sequence).is_none() {
            return Lookup::Nothing { upto: sequence };
        }
        self.ahead.look(sequence, Wanted::Again(sequence), self.headers_only)
    }

    fn pending(&mut self, from: Sequence) -> u64 {
        match self.place.peek() {
            Some(next) if next.sequence.next() == from && self.place.position() <= next.sequence => {
                next.pending
            }
            _ => {
                self.go_to(from);
                self.place.pending()
            }
        }
    }

    fn envelope_bytes(&self, delivery: &Delivery, message: &Meta) -> u64 {
        self.sink.envelope_bytes(self.consumer, delivery, message.time)
    }

    fn has_interest(&mut self, to: &ReplyTo) -> bool {
        self.sink.has_interest(&to.0)
    }
}
