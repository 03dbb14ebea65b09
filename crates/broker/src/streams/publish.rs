//! Storing a message: the checks in the order of the reference (`processJetStreamMsg`), the append, the limits.

use std::sync::Arc;

use duolog_log::{AppendError, NewRecord};
use duolog_types::{Lsn, Nanos, Sequence};
use roaring::RoaringTreemap;

use super::core::{State, Stored, StreamCore, nanos};
use super::headers::{self, Asked, Ttl};
use super::mapping::{self, Root};
use super::message::{HeaderRef, record_bytes};
use super::{
    Origin, PubAck, Publish, PublishError, RetentionPolicy, StorageType, StreamConfig, subject, topic,
};

/// The largest header block: 64 KiB less one.
const HEADERS_MAX: usize = u16::MAX as usize;

/// When a marker that could not be stored is tried again, nanoseconds.
const RETRY_AFTER: u64 = 1_000_000_000;

/// What a message may purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollup {
    No,
    Subject,
    All,
}

impl Rollup {
    pub(crate) fn read(value: Option<&[u8]>) -> Option<Self> {
        match value {
            None => Some(Self::No),
            Some(b"sub") => Some(Self::Subject),
            Some(b"all") => Some(Self::All),
            Some(_) => None,
        }
    }
}

/// What doesn't change from one message of a stream to the next.
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) origin: Origin,
    pub(crate) root: &'a Root,
    pub(crate) core: &'a Arc<StreamCore>,
}

impl Target<'_> {
    pub(crate) fn publish(&self, message: &Publish<'_>) -> Result<PubAck, PublishError> {
        let mut state = self.core.lock();
        let ack = self.publish_locked(&mut state, message)?;
        self.core.arm(&mut state);
        Ok(ack)
    }

    /// Marks that a subject's last message expired: the marker takes its place.
    fn publish_marker(&self, state: &mut State, subject: &str, now: Nanos) -> Result<PubAck, PublishError> {
        let config = state.config.clone().ok_or_else(|| gone(self.core))?;
        let ttl = go_seconds(config.subject_delete_marker_ttl.unwrap_or_default().as_secs());
        let headers: [HeaderRef<'_>; 3] = [
            (headers::MARKER_REASON, Some(b"MaxAge")),
            (headers::TTL, Some(ttl.as_bytes())),
            (headers::ROLLUP, Some(b"sub")),
        ];
        self.publish_locked(state, &Publish { subject, headers: &headers, payload: &[], arrival: now })
    }

    pub(crate) fn publish_locked(
        &self,
        state: &mut State,
        message: &Publish<'_>,
    ) -> Result<PubAck, PublishError> {
        let config = state.config.clone().ok_or_else(|| gone(self.core))?;
        let asked = Asked::read(message.headers.iter().copied());
        let now = nanos(message.arrival);
        self.check_subject(&config, message.subject)?;
        if asked.batch.is_some() {
            return Err(PublishError::AtomicDisabled);
        }
        if config.sealed {
            return Err(PublishError::Sealed);
        }
        if !message.headers.is_empty() {
            if self.origin == Origin::Kafka
                && asked.asks_for_messages()
                && !topic::know_all(self.core, state, self.root, self.name)
            {
                return Err(PublishError::NotIndexed);
            }
            check_expected(state, &config, self.name, message.subject, &asked)?;
            if let Some(id) = asked.msg_id {
                let window = state.window();
                if let Some(sequence) = state.dedup.find(id, now, window) {
                    return Ok(duplicate(state, Sequence(sequence)));
                }
            }
            if let Some(expected) = asked.expected_last_msg_id
                && expected != state.last_msg_id
            {
                let last = String::from_utf8_lossy(&state.last_msg_id).into_owned();
                return Err(PublishError::WrongLastMsgId { last });
            }
        }
        let rollup = check_rollup(&config, &asked)?;
        check_size(&config, asked.block_bytes, message.payload.len())?;
        if config.retention == RetentionPolicy::Interest && !state.is_wanted(message.subject) {
            return self.store_nothing(state, message, &asked, rollup);
        }
        let ttl = match asked.ttl {
            None => Ttl::None,
            Some(value) => headers::parse_ttl(value).ok_or(PublishError::TtlInvalid)?,
        };
        self.store(state, &config, message, &asked, ttl, rollup)
    }

    /// An update may have taken a subject away between the look-up and now.
    fn check_subject(&self, config: &StreamConfig, subject: &str) -> Result<(), PublishError> {
        let ours = self.origin == Origin::Kafka
            || config.subjects.iter().any(|pattern| subject::matches(pattern, subject));
        if ours { Ok(()) } else { Err(PublishError::NotOurs { subject: subject.to_owned() }) }
    }

    fn store(
        &self,
        state: &mut State,
        config: &StreamConfig,
        message: &Publish<'_>,
        asked: &Asked<'_>,
        ttl: Ttl,
        rollup: Rollup,
    ) -> Result<PubAck, PublishError> {
        // A marker must outlive what it marks, or it would be missed.
        let least = config.subject_delete_marker_ttl.filter(|_| config.max_msgs_per_subject != Some(1));
        if let (Ttl::Seconds(seconds), Some(least)) = (ttl, least.map(|least| least.as_secs()))
            && seconds < least
        {
            let text = least.to_string();
            let mut changed: Vec<HeaderRef<'_>> =
                message.headers.iter().copied().filter(|(name, _)| *name != headers::TTL).collect();
            changed.push((headers::TTL, Some(text.as_bytes())));
            let asked = Asked::read(changed.iter().copied());
            let message = Publish { headers: &changed, ..*message };
            return self.append(state, &message, &asked, Ttl::Seconds(least), rollup);
        }
        self.append(state, message, asked, ttl, rollup)
    }

    fn append(
        &self,
        state: &mut State,
        message: &Publish<'_>,
        asked: &Asked<'_>,
        ttl: Ttl,
        rollup: Rollup,
    ) -> Result<PubAck, PublishError> {
        let storage = state.config.as_ref().map_or(StorageType::File, |config| config.storage);
        let bytes = record_bytes(storage, message.subject.len(), asked.block_bytes, message.payload.len());
        if let Some(refusal) = state.refusal(message.subject, bytes, rollup != Rollup::No) {
            return Err(refusal);
        }
        let (sequence, lsn, time) = self.append_record(state, message)?;
        let stored = Stored {
            sequence: sequence.0,
            subject: message.subject,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            time,
            msg_id: asked.msg_id.unwrap_or_default(),
            ttl,
            is_marker: asked.is_marker,
        };
        if self.origin == Origin::Kafka {
            // No limits to keep, and the index follows the log.
            state.note_message(&stored, lsn);
            return Ok(PubAck { sequence, duplicate: false, lsn });
        }
        state.put(&stored);
        state.enforce_limits(Some(message.subject));
        state.roll_up(rollup, message.subject, sequence.0);
        // What a rollup purges is told with it; what limits let go waits for more of it, and for the next time if the log
        // doesn't take it now: the message is stored.
        if let Err(error) = state.flush(rollup != Rollup::No) {
            if rollup != Rollup::No {
                return Err(error.into());
            }
            tracing::warn!(subject = message.subject, %error, "what is beyond the limits could not be deleted yet");
        }
        Ok(PubAck { sequence, duplicate: false, lsn: if rollup == Rollup::No { lsn } else { state.as_of } })
    }

    /// Nobody wants the message: it gets its sequence and is gone.
    fn store_nothing(
        &self,
        state: &mut State,
        message: &Publish<'_>,
        asked: &Asked<'_>,
        rollup: Rollup,
    ) -> Result<PubAck, PublishError> {
        let (sequence, lsn, time) = self.append_record(state, message)?;
        state.put_nothing(sequence.0, time, asked.msg_id.unwrap_or_default());
        state.roll_up(rollup, message.subject, sequence.0 + 1);
        state.delete_now(RoaringTreemap::from_iter([sequence.0 - 1]))?;
        Ok(PubAck { sequence, duplicate: false, lsn: lsn.max(state.as_of) })
    }

    fn append_record(
        &self,
        state: &mut State,
        message: &Publish<'_>,
    ) -> Result<(Sequence, Lsn, u64), PublishError> {
        let log = state.log.as_ref().ok_or_else(|| gone(self.core))?;
        let appended = mapping::with_record(self.root, message, |key, value, headers| {
            log.append_record_deferred(NewRecord { key, value, headers, arrival: message.arrival })
        })?;
        // A record that joined a batch has that one's arrival, and its own to the millisecond (design §4).
        let first = match state.joined {
            Some((lsn, first)) if lsn == appended.lsn && !state.is_in_memory() => first,
            _ => message.arrival,
        };
        state.joined = Some((appended.lsn, first));
        state.as_of = state.as_of.max(appended.lsn);
        let time = nanos(message_time(first, first.to_ms().0, message.arrival.to_ms().0));
        Ok((Sequence::from(appended.base_offset), appended.lsn, time))
    }
}

/// The time of a record: its batch's arrival, and so many milliseconds more as its timestamp is behind the batch's first.
/// Only where timestamps are arrivals, as in batches of single records; else the batch's arrival.
pub(crate) fn message_time(arrival: Nanos, base_timestamp: i64, timestamp: i64) -> Nanos {
    let delta = timestamp.saturating_sub(base_timestamp);
    if base_timestamp == arrival.to_ms().0 && (0..60_000).contains(&delta) {
        Nanos(arrival.0.saturating_add(delta * 1_000_000))
    } else {
        arrival
    }
}

/// Seconds as Go prints a duration: `1h2m3s`.
fn go_seconds(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Does what is due in a stream: lets go of old messages, leaves markers, tells the log.
pub(super) fn expire_due(core: &Arc<StreamCore>, now: Nanos) {
    let mut state = core.lock();
    state.armed = None;
    let Some(config) = state.config.clone() else { return };
    let marked = state.expire(nanos(now));
    let target = Target { name: &config.name, origin: Origin::Nats, root: &Root::Empty, core };
    for (subject, sequence) in marked {
        if let Err(error) = target.publish_marker(&mut state, &subject, now) {
            tracing::warn!(stream = config.name, %subject, %error, "a delete marker could not be stored yet");
            state.expires_later(sequence, nanos(now) + RETRY_AFTER);
        }
    }
    if let Some(log) = &state.log {
        log.commit_soon();
    }
    if let Err(error) = state.flush(true) {
        tracing::warn!(stream = config.name, %error, "expired messages could not be deleted in the log yet");
    }
    core.arm(&mut state);
}

fn gone(core: &StreamCore) -> PublishError {
    PublishError::Log(AppendError::Dropped(core.id))
}

/// The answer to a message whose id is known. The original may not be durable yet.
fn duplicate(state: &State, sequence: Sequence) -> PubAck {
    let lsn = if sequence.0 <= state.last_durable() { Lsn::ZERO } else { state.as_of };
    PubAck { sequence, duplicate: true, lsn }
}

fn check_expected(
    state: &mut State,
    config: &StreamConfig,
    name: &str,
    subject: &str,
    asked: &Asked<'_>,
) -> Result<(), PublishError> {
    if let Some(incr) = asked.incr {
        let digits = incr.strip_prefix(b"-").or(incr.strip_prefix(b"+")).unwrap_or(incr);
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        return Err(if is_number { PublishError::CounterDisabled } else { PublishError::CounterInvalid });
    }
    if asked.expected_stream.is_some_and(|expected| expected != name.as_bytes()) {
        return Err(PublishError::WrongStream);
    }
    if !config.allow_msg_ttl && asked.ttl.and_then(headers::parse_ttl).is_some_and(|ttl| ttl != Ttl::None) {
        return Err(PublishError::TtlDisabled);
    }
    // What is no number is none that a stream ever has.
    let number = |value: &[u8]| headers::number(value).unwrap_or(u64::MAX);
    match (asked.expected_last_subject_sequence, asked.expected_last_subject) {
        (Some(expected), override_subject) => {
            let of = override_subject.map_or(Some(subject), |of| std::str::from_utf8(of).ok());
            let last = of.and_then(|of| state.last_by_subject(of)).unwrap_or(0);
            if last != number(expected) {
                return Err(PublishError::WrongLastSequence { last: Sequence(last) });
            }
        }
        (None, Some(_)) => return Err(PublishError::ExpectedSubjectWithoutSequence),
        (None, None) => {}
    }
    let last = state.newest_sequence();
    if asked.expected_last_sequence.is_some_and(|expected| number(expected) != last) {
        return Err(PublishError::WrongLastSequence { last: Sequence(last) });
    }
    if asked.schedule.is_some() {
        return Err(PublishError::SchedulesDisabled);
    }
    Ok(())
}

fn check_rollup(config: &StreamConfig, asked: &Asked<'_>) -> Result<Rollup, PublishError> {
    if asked.rollup.is_some() && (!config.allow_rollup_hdrs || config.deny_purge) {
        return Err(PublishError::RollupNotPermitted);
    }
    Rollup::read(asked.rollup).ok_or_else(|| PublishError::RollupInvalid {
        value: String::from_utf8_lossy(asked.rollup.unwrap_or_default()).into_owned(),
    })
}

fn check_size(config: &StreamConfig, headers: usize, payload: usize) -> Result<(), PublishError> {
    let bytes = headers + payload;
    if let Some(limit) = config.max_msg_size.filter(|limit| bytes > *limit as usize) {
        return Err(PublishError::TooLarge { bytes, limit });
    }
    if headers > HEADERS_MAX {
        return Err(PublishError::HeadersTooLarge { bytes: headers });
    }
    Ok(())
}

impl State {
    /// The last message of a subject, which may have wildcards.
    pub(crate) fn last_by_subject(&mut self, of: &str) -> Option<u64> {
        if of == ">" {
            return self.index.previous_live(u64::MAX);
        }
        let ids = self.index.subjects.matching(of);
        ids.into_iter().filter_map(|id| self.index.last_of(id)).max()
    }

    /// Purges what stands before `sequence`: of its subject, or all.
    pub(crate) fn roll_up(&mut self, rollup: Rollup, subject: &str, sequence: u64) {
        match rollup {
            Rollup::No => {}
            Rollup::Subject => {
                let Some(id) = self.index.subjects.find(subject) else { return };
                while let Some(first) = self.index.first_of(id).filter(|first| *first < sequence) {
                    self.evict(first);
                }
            }
            Rollup::All => {
                while let Some(first) = self.index.next_live(0).filter(|first| *first < sequence) {
                    self.evict(first);
                }
            }
        }
    }
}
