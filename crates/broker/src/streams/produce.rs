//! What Kafka's producers put into a stream: read record by record, under the stream's rules (design §4).
//!
//! A record's key is its subject. What the stream refuses refuses the whole batch, with the records named. A record whose
//! message id is known, or that nobody wants, keeps its offset and is left out of the batch before it is stored: it was
//! never there for any reader, and one entry holds all of it.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use duolog_record::{BatchHeader, Record, rebuild, records};
use duolog_types::{Lsn, Nanos, Offset, Sequence};

use super::core::{State, Stored, StreamCore, nanos};
use super::headers::{self, Asked, Ttl};
use super::mapping::{Root, Seen};
use super::message::record_bytes;
use super::publish::{Rollup, message_time};
use super::table::DECODE;
use super::{DiscardPolicy, RetentionPolicy, StreamConfig, subject};
use crate::partition::{ProduceError, RecordError, RecordProblem};

/// How many bad records of a batch are named.
const RECORD_ERRORS_MAX: usize = 1000;

/// A batch that the stream takes.
pub(crate) struct Admitted {
    /// As it is to be stored.
    pub(crate) bytes: Bytes,
    records: Vec<Planned>,
}

struct Planned {
    delta: i64,
    seen: Seen,
    bytes: u64,
    timestamp: i64,
    ttl: Ttl,
    rollup: Rollup,
    /// It isn't stored, and if nobody wanted it, its id is remembered.
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    Duplicate,
    Unwanted,
}

/// What a batch would add, as far as it was looked at.
#[derive(Default)]
struct Added {
    messages: u64,
    bytes: u64,
    of_subject: HashMap<String, u64>,
}

impl StreamCore {
    /// Judges a batch. Under the stream's lock, which the caller keeps until [`StreamCore::produced`].
    pub(crate) fn admit(
        &self,
        state: &mut State,
        batch: &Bytes,
        arrival: Nanos,
    ) -> Result<Admitted, ProduceError> {
        let invalid = |error: duolog_record::BatchError| ProduceError::Invalid { detail: error.to_string() };
        let config = state.config.clone().ok_or(duolog_log::AppendError::Dropped(self.id))?;
        let (now, window) = (nanos(arrival), state.window());
        let (mut planned, mut errors) = (Vec::new(), Vec::new());
        let (mut ids, mut added) = (HashSet::new(), Added::default());
        for (index, record) in (0i32..).zip(records(batch, DECODE).map_err(invalid)?) {
            let record = record.map_err(invalid)?;
            match plan(state, &config, &record, &mut added) {
                Ok(mut plan) => {
                    let id = msg_id(&plan.seen).to_vec();
                    if !id.is_empty() && (state.dedup.find(&id, now, window).is_some() || !ids.insert(id)) {
                        plan.fate = Fate::Duplicate;
                    }
                    if plan.fate == Fate::Stored {
                        added.count(&plan);
                    }
                    planned.push(plan);
                }
                Err(reason) => {
                    errors
                        .push(RecordError { batch_index: index, problem: RecordProblem::Stream { reason } });
                    if errors.len() == RECORD_ERRORS_MAX {
                        break;
                    }
                }
            }
        }
        if !errors.is_empty() {
            return Err(ProduceError::Stream { errors });
        }
        let bytes = if planned.iter().all(|plan| plan.fate == Fate::Stored) {
            batch.clone()
        } else {
            let mut fates = planned.iter();
            rebuild(batch, DECODE, |_| fates.next().is_some_and(|plan| plan.fate == Fate::Stored))
                .map_err(invalid)?
        };
        Ok(Admitted { bytes, records: planned })
    }

    /// Takes a batch over that the log has taken.
    pub(crate) fn produced(
        self: &std::sync::Arc<Self>,
        state: &mut State,
        admitted: &Admitted,
        header: &BatchHeader,
        base_offset: Offset,
        lsn: Lsn,
        arrival: Nanos,
    ) {
        state.as_of = state.as_of.max(lsn);
        for plan in &admitted.records {
            let sequence = Sequence::from(base_offset.plus(plan.delta)).0;
            let time = nanos(message_time(arrival, header.base_timestamp.0, plan.timestamp));
            match plan.fate {
                Fate::Duplicate => {
                    state.index.skip_to(sequence);
                    state.index.touch(time);
                }
                Fate::Unwanted => state.put_nothing(sequence, time, msg_id(&plan.seen)),
                Fate::Stored => {
                    state.put(&Stored {
                        sequence,
                        subject: &plan.seen.subject,
                        bytes: u32::try_from(plan.bytes).unwrap_or(u32::MAX),
                        time,
                        msg_id: msg_id(&plan.seen),
                        ttl: plan.ttl,
                        is_marker: false,
                    });
                    state.enforce_limits(Some(&plan.seen.subject));
                    state.roll_up(plan.rollup, &plan.seen.subject, sequence);
                }
            }
        }
        state.dirty = true;
        // Refused only if the log has stopped or the stream is gone; what is gone here is tried again.
        if let Err(error) = state.flush(false) {
            tracing::debug!(partition = %self.id, %error, "evicted messages could not be deleted in the log yet");
        }
        self.arm(state);
    }
}

fn msg_id(seen: &Seen) -> &[u8] {
    let found = seen.headers.iter().find(|(name, _)| name == headers::MSG_ID);
    found.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
}

fn plan(
    state: &mut State,
    config: &StreamConfig,
    record: &Record,
    added: &mut Added,
) -> Result<Planned, &'static str> {
    if config.sealed {
        return Err("the stream is sealed");
    }
    if record.key.is_none() {
        return Err(
            "the record has no key: a stream's key is the message's subject, and this stream needs one",
        );
    }
    let seen = Seen::of(record, &Root::Empty)
        .ok_or("the record's key is the message's subject: it must be a valid subject without wildcards")?;
    if !config.subjects.iter().any(|pattern| subject::matches(pattern, &seen.subject)) {
        return Err("the record's key, its subject, is not one of the stream's subjects");
    }
    let asked = Asked::read(seen.headers.iter().map(|(name, value)| (&name[..], value.as_deref())));
    // What isn't here yet is no header like others: whoever sets it waits for what it asks.
    for (header, reason) in [
        (asked.batch, "atomic publish is disabled"),
        (asked.incr, "message counters is disabled"),
        (asked.schedule, "message schedules is disabled"),
    ] {
        if header.is_some() {
            return Err(reason);
        }
    }
    let ttl = match asked.ttl.map(headers::parse_ttl) {
        None => Ttl::None,
        Some(None) => return Err("invalid per-message TTL"),
        Some(Some(ttl)) if ttl == Ttl::None || config.allow_msg_ttl => ttl,
        Some(Some(_)) => return Err("per-message TTL is disabled"),
    };
    let rollup = Rollup::read(asked.rollup).ok_or("rollup value invalid")?;
    if rollup != Rollup::No && (!config.allow_rollup_hdrs || config.deny_purge) {
        return Err("rollup not permitted");
    }
    let size = asked.block_bytes + seen.payload.len();
    if config.max_msg_size.is_some_and(|limit| size > limit as usize) {
        return Err("message size exceeds maximum allowed");
    }
    let bytes = record_bytes(config.storage, seen.subject.len(), asked.block_bytes, seen.payload.len());
    let unwanted = config.retention == RetentionPolicy::Interest && !state.is_wanted(&seen.subject);
    if !unwanted {
        added.refusal(state, config, &seen.subject, bytes, rollup)?;
    }
    let fate = if unwanted { Fate::Unwanted } else { Fate::Stored };
    Ok(Planned { delta: record.offset.0, seen, bytes, timestamp: record.timestamp.0, ttl, rollup, fate })
}

impl Added {
    fn count(&mut self, plan: &Planned) {
        self.messages += 1;
        self.bytes += plan.bytes;
        *self.of_subject.entry(plan.seen.subject.clone()).or_default() += 1;
    }

    /// Whether one more may be stored where new ones are refused at a limit. A message that replaces its subject's oldest
    /// counts as one more here: a batch that needs the room is refused whole.
    fn refusal(
        &self,
        state: &State,
        config: &StreamConfig,
        subject: &str,
        bytes: u64,
        rollup: Rollup,
    ) -> Result<(), &'static str> {
        if config.discard != DiscardPolicy::New {
            return Ok(());
        }
        let stored = state.index.subjects.find(subject).map_or(0, |id| state.index.count_of(id));
        let of_subject = stored + self.of_subject.get(subject).copied().unwrap_or(0);
        let replaces = stored > 0 && config.max_msgs_per_subject.is_some_and(|limit| of_subject + 1 > limit);
        if replaces && config.discard_new_per_subject && rollup == Rollup::No {
            return Err("maximum messages per subject exceeded");
        }
        if replaces {
            return Ok(());
        }
        if config.max_msgs.is_some_and(|limit| state.index.messages() + self.messages >= limit) {
            return Err("maximum messages exceeded");
        }
        if config.max_bytes.is_some_and(|limit| state.index.bytes() + self.bytes + bytes > limit) {
            return Err("maximum bytes exceeded");
        }
        Ok(())
    }
}
