//! Defaults and checks of a consumer's configuration, in the reference's order (consumer.go: setConsumerConfigDefaults,
//! checkConsumerCfg), and what an update may change (checkNewConsumerConfig).

use duolog_delivery::AckPolicy;

use super::config::{ConsumerConfig, DeliverPolicy};
use super::error::{ConsumerConfigError as Error, CreateConsumerError};
use crate::streams::{RetentionPolicy, StreamConfig, subject};

const NAME_BYTES_MAX: usize = 255;
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
const METADATA_BYTES_MAX: usize = 128 << 10;
const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLI;
const ACK_WAIT: i64 = 30 * SECOND;
const MAX_WAITING: i64 = 512;
const MAX_ACK_PENDING: i64 = 1000;
/// How long an ephemeral consumer stays that nobody uses.
const INACTIVE_THRESHOLD: i64 = 5 * SECOND;

/// The configuration with defaults written in. `pedantic` refuses where one would replace what was asked for.
pub(super) fn validated(
    mut config: ConsumerConfig,
    stream: &StreamConfig,
    pedantic: bool,
) -> Result<ConsumerConfig, Error> {
    set_defaults(&mut config, stream, pedantic)?;
    check_names(&config)?;
    check_replicas(&config)?;
    check_waits(&config)?;
    check_mode(&config, stream)?;
    check_stream_limits(&config, stream)?;
    check_filters(&config)?;
    check_policy(&config)?;
    check_rest(&config)?;
    if stream.retention == RetentionPolicy::WorkQueue {
        if config.ack_policy != AckPolicy::Explicit {
            return Err(Error::WorkQueueNeedsExplicitAck);
        }
        if config.deliver_policy != DeliverPolicy::All {
            return Err(Error::WorkQueueNeedsDeliverAll);
        }
    }
    Ok(config)
}

/// How long a consumer stays that nobody uses, if nobody said and it isn't durable: written in when it is made, and
/// when one is changed that wasn't durable.
pub(super) fn set_inactive_threshold(config: &mut ConsumerConfig, is_durable: bool) {
    if !is_durable && config.inactive_threshold == 0 {
        config.inactive_threshold = INACTIVE_THRESHOLD;
    }
}

fn set_defaults(config: &mut ConsumerConfig, stream: &StreamConfig, pedantic: bool) -> Result<(), Error> {
    let at_least = |value: &mut i64, least: i64, refusal: &'static str| {
        if *value < least && pedantic {
            return Err(Error::Pedantic(refusal));
        }
        *value = (*value).max(least);
        Ok(())
    };
    if config.max_deliver == 0 {
        config.max_deliver = -1;
    }
    at_least(&mut config.max_deliver, -1, "max_deliver must be set to -1")?;
    at_least(&mut config.max_waiting, 0, "max_waiting must not be negative")?;
    at_least(&mut config.max_ack_pending, -1, "max_ack_pending must be set to -1")?;
    at_least(&mut config.max_batch, 0, "max_batch must not be negative")?;
    at_least(&mut config.max_expires, 0, "max_expires must not be negative")?;
    at_least(&mut config.max_bytes, 0, "max_bytes must not be negative")?;
    at_least(&mut config.idle_heartbeat, 0, "idle_heartbeat must not be negative")?;
    at_least(&mut config.inactive_threshold, 0, "inactive_threshold must not be negative")?;
    if !config.is_push() && config.max_waiting == 0 {
        config.max_waiting = MAX_WAITING;
    }
    if config.ack_wait == 0 && config.ack_policy != AckPolicy::None {
        config.ack_wait = ACK_WAIT;
    }
    if let Some(first) = config.backoff.first().copied() {
        if pedantic && config.ack_wait != first {
            return Err(Error::Pedantic("first backoff value has to equal batch AckWait"));
        }
        config.ack_wait = first;
    }
    set_stream_defaults(config, stream, pedantic)
}

fn set_stream_defaults(
    config: &mut ConsumerConfig,
    stream: &StreamConfig,
    pedantic: bool,
) -> Result<(), Error> {
    let limits = &stream.consumer_limits;
    if config.max_ack_pending == 0 {
        if pedantic && limits.max_ack_pending > 0 {
            return Err(Error::Pedantic("max_ack_pending must be set if it's configured in stream limits"));
        }
        config.max_ack_pending = limits.max_ack_pending;
    }
    if config.inactive_threshold == 0 {
        if pedantic && limits.inactive_threshold > 0 {
            return Err(Error::Pedantic(
                "inactive_threshold must be set if it's configured in stream limits",
            ));
        }
        config.inactive_threshold = limits.inactive_threshold;
    }
    if config.max_ack_pending == 0 && config.ack_policy != AckPolicy::None {
        config.max_ack_pending = MAX_ACK_PENDING;
    }
    Ok(())
}

/// Whether a consumer may have the name.
fn is_asset_name(name: &str) -> bool {
    !name.is_empty()
        && !name.bytes().any(|byte| matches!(byte, b'.' | b'*' | b'>' | b'/' | b'\\'))
        && !name.chars().any(char::is_whitespace)
}

fn check_names(config: &ConsumerConfig) -> Result<(), Error> {
    if !config.name.is_empty() && !is_asset_name(&config.name) {
        return Err(Error::Invalid("consumer name can not contain '.', '*', '>', '\\', '/'"));
    }
    if config.is_durable() && !is_asset_name(&config.durable_name) {
        return Err(Error::Invalid("consumer durable name can not contain '.', '*', '>', '\\', '/'"));
    }
    if config.durable_name.len().max(config.name.len()) > NAME_BYTES_MAX {
        return Err(Error::NameTooLong { limit: NAME_BYTES_MAX });
    }
    Ok(())
}

fn check_replicas(config: &ConsumerConfig) -> Result<(), Error> {
    match config.num_replicas {
        // A single node has streams of one replica only.
        2.. => Err(Error::ReplicasExceedStream),
        0 | 1 => Ok(()),
        _ => Err(Error::ReplicasNegative),
    }
}

fn check_waits(config: &ConsumerConfig) -> Result<(), Error> {
    if config.backoff.iter().any(|wait| *wait < 0) {
        return Err(Error::BackoffNegative);
    }
    if config.ack_wait < 0 {
        return Err(Error::AckWaitNegative);
    }
    check_backoff(config)?;
    if config.description.len() > DESCRIPTION_BYTES_MAX {
        return Err(Error::DescriptionTooLong { limit: DESCRIPTION_BYTES_MAX });
    }
    Ok(())
}

fn check_backoff(config: &ConsumerConfig) -> Result<(), Error> {
    let length = i64::try_from(config.backoff.len()).unwrap_or(i64::MAX);
    if length > 0 && config.max_deliver != -1 && length > config.max_deliver {
        return Err(Error::BackoffTooLong);
    }
    Ok(())
}

fn check_mode(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), Error> {
    if config.is_push() {
        let to = &config.deliver_subject;
        if !subject::is_literal(to) {
            return Err(Error::DeliverToWildcards);
        }
        if !subject::is_valid(to) {
            return Err(Error::DeliverSubjectInvalid);
        }
        if stream.subjects.iter().any(|taken| subject::is_subset(to, taken)) {
            return Err(Error::DeliverCycle);
        }
        if config.max_waiting != 0 {
            return Err(Error::PushMaxWaiting);
        }
        if config.max_ack_pending > 0 && config.ack_policy == AckPolicy::None {
            return Err(Error::MaxPendingNeedsAckPolicy);
        }
        if config.idle_heartbeat > 0 && config.idle_heartbeat < 100 * MILLI {
            return Err(Error::HeartbeatTooSmall);
        }
        return Ok(());
    }
    if config.ack_policy == AckPolicy::None && stream.retention == RetentionPolicy::WorkQueue {
        return Err(Error::PullNeedsAck);
    }
    if config.rate_limit_bps > 0 {
        return Err(Error::PullRateLimit);
    }
    if config.idle_heartbeat > 0 {
        return Err(Error::HeartbeatNeedsPush);
    }
    if config.flow_control {
        return Err(Error::FlowControlNeedsPush);
    }
    if config.max_expires != 0 && config.max_expires < MILLI {
        return Err(Error::MaxExpiresTooSmall);
    }
    Ok(())
}

fn check_stream_limits(config: &ConsumerConfig, stream: &StreamConfig) -> Result<(), Error> {
    let limits = &stream.consumer_limits;
    if limits.max_ack_pending > 0 && config.max_ack_pending > limits.max_ack_pending {
        return Err(Error::MaxAckPendingExceeds { limit: limits.max_ack_pending });
    }
    if limits.inactive_threshold > 0 && config.inactive_threshold > limits.inactive_threshold {
        return Err(Error::InactiveThresholdExceeds { limit: limits.inactive_threshold });
    }
    Ok(())
}

fn check_filters(config: &ConsumerConfig) -> Result<(), Error> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return Err(Error::BothFilters);
    }
    if config.filter_subjects.iter().any(String::is_empty) {
        return Err(Error::EmptyFilter);
    }
    let filters = config.filters();
    for (at, filter) in filters.iter().enumerate() {
        if !subject::is_valid(filter) {
            return Err(Error::Invalid("invalid subject"));
        }
        let others = filters.iter().enumerate().filter(|(other, _)| *other != at);
        if others.into_iter().any(|(_, other)| subject::is_subset(filter, other)) {
            return Err(Error::FiltersOverlap);
        }
    }
    Ok(())
}

fn check_policy(config: &ConsumerConfig) -> Result<(), Error> {
    let has_sequence = config.opt_start_seq.0 > 0;
    let has_time = config.opt_start_time.is_some();
    let (policy, wants_sequence, wants_time) = match config.deliver_policy {
        DeliverPolicy::All => ("all", false, false),
        DeliverPolicy::Last => ("last", false, false),
        DeliverPolicy::New => ("new", false, false),
        DeliverPolicy::LastPerSubject => ("last per subject", false, false),
        DeliverPolicy::ByStartSequence => ("by start sequence", true, false),
        DeliverPolicy::ByStartTime => ("by start time", false, true),
    };
    let what = if wants_sequence && !has_sequence {
        "start sequence is not set"
    } else if wants_time && !has_time {
        "start time is not set"
    } else if has_sequence && !wants_sequence {
        // The reference's own words.
        if wants_time { "start start sequence is also set" } else { "start sequence is also set" }
    } else if has_time && !wants_time {
        "start time is also set"
    } else if config.deliver_policy == DeliverPolicy::LastPerSubject && config.filters().is_empty() {
        "filter subject is not set"
    } else {
        return Ok(());
    };
    Err(Error::Policy { policy, what })
}

fn check_rest(config: &ConsumerConfig) -> Result<(), Error> {
    if !config.sample_freq.is_empty() && config.sample_percent().is_none() {
        return Err(Error::Sampling { value: config.sample_freq.clone() });
    }
    if config.flow_control && config.idle_heartbeat == 0 {
        return Err(Error::FlowControlNeedsHeartbeat);
    }
    if config.is_durable() && !config.name.is_empty() && config.name != config.durable_name {
        return Err(Error::NamesDiffer);
    }
    let metadata: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata > METADATA_BYTES_MAX {
        return Err(Error::MetadataTooLarge { limit: METADATA_BYTES_MAX });
    }
    Ok(())
}

/// Whether the consumer may become `new`. `bound` tells whether somebody listens on its deliver subject.
pub(super) fn check_update(
    old: &ConsumerConfig,
    new: &ConsumerConfig,
    bound: impl FnOnce() -> bool,
) -> Result<(), CreateConsumerError> {
    let fixed = [
        (old.deliver_policy == new.deliver_policy, "deliver policy"),
        (old.mem_storage == new.mem_storage, "storage type"),
        (old.opt_start_seq == new.opt_start_seq, "start sequence"),
        (old.opt_start_time == new.opt_start_time, "start time"),
        (old.ack_policy == new.ack_policy, "ack policy"),
        (old.replay_original == new.replay_original, "replay policy"),
        (old.idle_heartbeat == new.idle_heartbeat, "heart beats"),
        (old.flow_control == new.flow_control, "flow control"),
    ];
    if let Some((_, what)) = fixed.iter().find(|(is_same, _)| !is_same) {
        return Err(CreateConsumerError::NotUpdatable(what));
    }
    if old.deliver_subject != new.deliver_subject {
        if !old.is_push() {
            return Err(CreateConsumerError::PullToPush);
        }
        if !new.is_push() {
            return Err(CreateConsumerError::PushToPull);
        }
        if bound() {
            return Err(CreateConsumerError::NameInUse);
        }
    }
    if old.max_waiting != new.max_waiting {
        return Err(CreateConsumerError::NotUpdatable("max waiting"));
    }
    Ok(check_backoff(new)?)
}
