//! Whether a stream's configuration makes sense, and the defaults that are written into it: the reference's rules, in its
//! order (`checkStreamCfg`, `configUpdateCheck`).

use std::time::Duration;

use duolog_types::Offset;

use super::{DiscardPolicy, RetentionPolicy, StreamConfig, StreamConfigError, subject};
use crate::catalog::check_name;

/// The longest name, bytes.
const NAME_MAX: usize = 255;
/// The longest description, bytes.
const DESCRIPTION_MAX: usize = 4 << 10;
/// The most bytes of metadata.
const METADATA_MAX: usize = 128 << 10;
/// The most replicas that make sense anywhere.
const REPLICAS_MAX: u32 = 5;
/// How long message ids are remembered, if nobody says.
const DUPLICATES_DEFAULT: Duration = Duration::from_secs(120);
/// The least `max_age` and `duplicate_window`.
const WINDOW_MIN: Duration = Duration::from_millis(100);

/// Checks a new stream's configuration and writes the defaults in.
pub(crate) fn checked(mut config: StreamConfig, pedantic: bool) -> Result<StreamConfig, StreamConfigError> {
    use StreamConfigError as Error;
    check_texts(&config)?;
    config.num_replicas = config.num_replicas.max(1);
    if config.num_replicas > REPLICAS_MAX {
        return Err(Error::TooManyReplicas { limit: REPLICAS_MAX });
    }
    // 0 is "no limit", as the reference has it.
    let none = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
    config.max_msgs = none(config.max_msgs);
    config.max_msgs_per_subject = none(config.max_msgs_per_subject);
    config.max_bytes = none(config.max_bytes);
    config.max_consumers = none(config.max_consumers);
    config.max_msg_size = config.max_msg_size.filter(|limit| *limit > 0);
    config.max_age = config.max_age.filter(|age| !age.is_zero());
    if config.max_age.is_some_and(|age| age < WINDOW_MIN) {
        return Err(Error::MaxAgeTooSmall);
    }
    check_window(&mut config, pedantic)?;
    if config.deny_purge && config.allow_rollup_hdrs {
        return Err(Error::RollupNeedsPurge);
    }
    if config.discard_new_per_subject {
        if config.discard != DiscardPolicy::New {
            return Err(Error::DiscardNewPerSubjectNeedsDiscardNew);
        }
        if config.max_msgs_per_subject.is_none() {
            return Err(Error::DiscardNewPerSubjectNeedsLimit);
        }
    }
    check_markers(&mut config, pedantic)?;
    if config.first_seq > Offset::END_MAX.0 as u64 {
        return Err(Error::FirstSequence { first_seq: config.first_seq });
    }
    check_subjects(&mut config)?;
    if config.num_replicas > 1 {
        return Err(Error::ReplicasNotSupported);
    }
    Ok(config)
}

fn check_texts(config: &StreamConfig) -> Result<(), StreamConfigError> {
    use StreamConfigError as Error;
    let bad = |c: char| matches!(c, '.' | '*' | '>' | '\\' | '/' | ' ' | '\t' | '\r' | '\n' | '\x0c' | '\0');
    if config.name.is_empty() || config.name.contains(bad) {
        return Err(Error::Name);
    }
    if config.name.len() > NAME_MAX {
        return Err(Error::NameTooLong { limit: NAME_MAX });
    }
    if config.description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_MAX) {
        return Err(Error::DescriptionTooLong { limit: DESCRIPTION_MAX });
    }
    if config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > METADATA_MAX {
        return Err(Error::MetadataTooLarge { limit: METADATA_MAX });
    }
    check_name(&config.name).map_err(Error::NameNotATopics)
}

fn check_window(config: &mut StreamConfig, pedantic: bool) -> Result<(), StreamConfigError> {
    use StreamConfigError as Error;
    let window = match (config.duplicate_window.filter(|window| !window.is_zero()), config.max_age) {
        (Some(window), _) => window,
        (None, Some(age)) if age < DUPLICATES_DEFAULT => {
            if pedantic {
                return Err(Error::PedanticDuplicates);
            }
            age
        }
        (None, _) => DUPLICATES_DEFAULT,
    };
    if config.max_age.is_some_and(|age| window > age) {
        return Err(Error::DuplicatesAboveMaxAge);
    }
    if window < WINDOW_MIN {
        return Err(Error::DuplicatesTooSmall);
    }
    config.duplicate_window = Some(window);
    Ok(())
}

fn check_markers(config: &mut StreamConfig, pedantic: bool) -> Result<(), StreamConfigError> {
    use StreamConfigError as Error;
    config.subject_delete_marker_ttl = config.subject_delete_marker_ttl.filter(|ttl| !ttl.is_zero());
    let Some(ttl) = config.subject_delete_marker_ttl else { return Ok(()) };
    if ttl < Duration::from_secs(1) {
        return Err(Error::MarkerTtlTooSmall);
    }
    if !config.allow_msg_ttl {
        if pedantic {
            return Err(Error::PedanticMarkerNeedsTtl);
        }
        config.allow_msg_ttl = true;
    }
    if !config.allow_rollup_hdrs {
        if pedantic {
            return Err(Error::PedanticMarkerNeedsRollup);
        }
        (config.allow_rollup_hdrs, config.deny_purge) = (true, false);
    }
    Ok(())
}

fn check_subjects(config: &mut StreamConfig) -> Result<(), StreamConfigError> {
    use StreamConfigError as Error;
    if config.subjects.is_empty() {
        config.subjects.push(config.name.clone());
    }
    for (at, subject) in config.subjects.iter().enumerate() {
        if !subject::is_valid(subject) {
            return Err(Error::InvalidSubject);
        }
        if !config.no_ack {
            if subject == ">" {
                return Err(Error::AllSubjectsNeedNoAck);
            }
            let api = ["$JS.>", "$JSC.>", "$NRG.>"].iter().any(|api| subject::overlaps(subject, api));
            if api && !subject::is_subset(subject, "$JS.EVENT.>") {
                return Err(Error::OverlapsApi);
            }
            if subject::overlaps(subject, "$SYS.>") && !subject::is_subset(subject, "$SYS.ACCOUNT.>") {
                return Err(Error::OverlapsSystem);
            }
        }
        let mut behind = config.subjects[at + 1..].iter();
        if let Some(other) = behind.find(|other| subject::overlaps(other, subject)) {
            return Err(Error::SubjectsOverlap { subject: subject.clone(), other: other.clone() });
        }
    }
    Ok(())
}

/// Checks what shall become of a stream's configuration.
pub(crate) fn updated(
    old: &StreamConfig,
    new: StreamConfig,
    pedantic: bool,
) -> Result<StreamConfig, StreamConfigError> {
    use StreamConfigError as Error;
    let mut new = checked(new, pedantic)?;
    if new.name != old.name {
        return Err(Error::NameChanged);
    }
    if new.storage != old.storage {
        return Err(Error::StorageChanged);
    }
    let work_queue = |config: &StreamConfig| config.retention == RetentionPolicy::WorkQueue;
    if work_queue(old) != work_queue(&new) {
        return Err(Error::RetentionChanged);
    }
    if old.sealed && !new.sealed {
        return Err(Error::Unsealed);
    }
    if old.deny_delete && !new.deny_delete {
        return Err(Error::DeleteAllowed);
    }
    if old.deny_purge && !new.deny_purge {
        return Err(Error::PurgeAllowed);
    }
    if old.allow_msg_ttl && !new.allow_msg_ttl {
        return Err(Error::TtlDisabled);
    }
    if new.sealed {
        new.max_age = None;
        new.discard = DiscardPolicy::New;
        (new.deny_delete, new.deny_purge, new.allow_rollup_hdrs) = (true, true, false);
    }
    Ok(new)
}

/// Whether two configurations are the same to a client: the server's own metadata doesn't count.
pub(crate) fn same(a: &StreamConfig, b: &StreamConfig) -> bool {
    let plain = |config: &StreamConfig| {
        let mut config = config.clone();
        config.metadata.retain(|key, _| !key.starts_with("_nats."));
        config
    };
    plain(a) == plain(b)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
