//! Consumers on the wire ⇄ consumers of the broker.

use duolog_broker::consumers::{self as broker, AckPolicy, Consumer, ConsumerConfig, DeliverPolicy, Info};
use duolog_nats_wire::jetstream::consumer as wire;
use duolog_nats_wire::jetstream::error::{ApiError, STREAM_INVALID_CONFIG};
use duolog_nats_wire::jetstream::pull;
use duolog_nats_wire::jetstream::status::{Status, Unserved};
use duolog_nats_wire::jetstream::time::{Span, Time};
use duolog_types::{Nanos, Sequence};
use std::time::Duration;

use super::super::convert::{with_server_metadata, without_server_metadata};
use super::super::{Identity, time};

/// What a request asks for, in the broker's terms.
pub(crate) fn config_from_wire(config: wire::ConsumerConfig) -> Result<ConsumerConfig, ApiError> {
    refuse_deferred(&config)?;
    Ok(ConsumerConfig {
        name: config.name,
        durable_name: config.durable_name,
        description: config.description,
        deliver_policy: match config.deliver_policy {
            wire::DeliverPolicy::All => DeliverPolicy::All,
            wire::DeliverPolicy::Last => DeliverPolicy::Last,
            wire::DeliverPolicy::New => DeliverPolicy::New,
            wire::DeliverPolicy::ByStartSequence => DeliverPolicy::ByStartSequence,
            wire::DeliverPolicy::ByStartTime => DeliverPolicy::ByStartTime,
            wire::DeliverPolicy::LastPerSubject => DeliverPolicy::LastPerSubject,
        },
        opt_start_seq: Sequence(config.opt_start_seq),
        opt_start_time: config.opt_start_time.map(|at| Nanos(at.to_nanos())),
        ack_policy: match config.ack_policy {
            wire::AckPolicy::None => AckPolicy::None,
            wire::AckPolicy::All => AckPolicy::All,
            wire::AckPolicy::Explicit => AckPolicy::Explicit,
            wire::AckPolicy::FlowControl => return Err(unsupported("ack_policy flow_control")),
        },
        ack_wait: config.ack_wait.0,
        max_deliver: config.max_deliver,
        backoff: config.backoff.into_iter().map(|span| span.0).collect(),
        filter_subject: config.filter_subject,
        filter_subjects: config.filter_subjects,
        replay_original: config.replay_policy == wire::ReplayPolicy::Original,
        rate_limit_bps: config.rate_limit_bps,
        sample_freq: config.sample_freq,
        max_waiting: config.max_waiting,
        max_ack_pending: config.max_ack_pending,
        headers_only: config.headers_only,
        max_batch: config.max_batch,
        max_expires: config.max_expires.0,
        max_bytes: config.max_bytes,
        deliver_subject: config.deliver_subject,
        deliver_group: config.deliver_group,
        idle_heartbeat: config.idle_heartbeat.0,
        flow_control: config.flow_control,
        inactive_threshold: config.inactive_threshold.0,
        num_replicas: config.num_replicas,
        mem_storage: config.mem_storage,
        metadata: without_server_metadata(config.metadata),
    })
}

/// Refuses, by name, what isn't done yet.
fn refuse_deferred(config: &wire::ConsumerConfig) -> Result<(), ApiError> {
    for (given, field) in [
        (config.direct, "direct"),
        (config.sourcing, "sourcing"),
        (config.pause_until.is_some_and(|until| !until.is_zero()), "pause_until"),
        (!config.priority_groups.is_empty(), "priority_groups"),
        (config.priority_policy != wire::PriorityPolicy::None, "priority_policy"),
        (config.priority_timeout != Span(0), "priority_timeout"),
    ] {
        if given {
            return Err(unsupported(field));
        }
    }
    Ok(())
}

fn unsupported(field: &str) -> ApiError {
    STREAM_INVALID_CONFIG.because(format_args!("{field} is not supported"))
}

/// A configuration as it is shown.
fn config_to_wire(config: &ConsumerConfig, identity: Option<&Identity>) -> wire::ConsumerConfig {
    wire::ConsumerConfig {
        durable_name: config.durable_name.clone(),
        name: config.name.clone(),
        description: config.description.clone(),
        deliver_policy: match config.deliver_policy {
            DeliverPolicy::All => wire::DeliverPolicy::All,
            DeliverPolicy::Last => wire::DeliverPolicy::Last,
            DeliverPolicy::New => wire::DeliverPolicy::New,
            DeliverPolicy::ByStartSequence => wire::DeliverPolicy::ByStartSequence,
            DeliverPolicy::ByStartTime => wire::DeliverPolicy::ByStartTime,
            DeliverPolicy::LastPerSubject => wire::DeliverPolicy::LastPerSubject,
        },
        opt_start_seq: config.opt_start_seq.0,
        opt_start_time: config.opt_start_time.map(time),
        ack_policy: match config.ack_policy {
            AckPolicy::None => wire::AckPolicy::None,
            AckPolicy::All => wire::AckPolicy::All,
            AckPolicy::Explicit => wire::AckPolicy::Explicit,
        },
        ack_wait: Span(config.ack_wait),
        max_deliver: config.max_deliver,
        backoff: config.backoff.iter().map(|nanos| Span(*nanos)).collect(),
        filter_subject: config.filter_subject.clone(),
        filter_subjects: config.filter_subjects.clone(),
        replay_policy: match config.replay_original {
            true => wire::ReplayPolicy::Original,
            false => wire::ReplayPolicy::Instant,
        },
        rate_limit_bps: config.rate_limit_bps,
        sample_freq: config.sample_freq.clone(),
        max_waiting: config.max_waiting,
        max_ack_pending: config.max_ack_pending,
        flow_control: config.flow_control,
        headers_only: config.headers_only,
        max_batch: config.max_batch,
        max_expires: Span(config.max_expires),
        max_bytes: config.max_bytes,
        deliver_subject: config.deliver_subject.clone(),
        deliver_group: config.deliver_group.clone(),
        idle_heartbeat: Span(config.idle_heartbeat),
        inactive_threshold: Span(config.inactive_threshold),
        num_replicas: config.num_replicas,
        mem_storage: config.mem_storage,
        metadata: with_server_metadata(&config.metadata, 0, identity),
        ..wire::ConsumerConfig::default()
    }
}

/// A consumer as the API shows it; with `identity`, what the server is stands in its metadata.
pub(crate) fn info_to_wire(
    stream: &str,
    consumer: &Consumer,
    info: &Info,
    identity: Option<&Identity>,
    now: Time,
) -> wire::ConsumerInfo {
    let position = |position: &broker::Position, last: Option<Nanos>| wire::SequenceInfo {
        consumer_seq: position.number,
        stream_seq: position.sequence.0,
        last_active: last.map(time),
    };
    wire::ConsumerInfo {
        stream_name: stream.to_owned(),
        name: consumer.name().to_string(),
        created: time(consumer.created()),
        config: Some(config_to_wire(&consumer.config(), identity)),
        delivered: position(&info.delivered, info.last_delivered),
        ack_floor: position(&info.floor, info.last_acknowledged),
        num_ack_pending: info.ack_pending as u64,
        num_redelivered: info.redelivered as u64,
        num_waiting: info.waiting as u64,
        num_pending: info.pending,
        push_bound: info.push_bound,
        ts: now,
        ..wire::ConsumerInfo::default()
    }
}

/// What a client asks for, in the broker's terms; `to` is where the messages go.
///
/// # Errors
/// What it is told instead.
pub(crate) fn pull_request(to: &[u8], body: &[u8]) -> Result<broker::PullRequest, Status> {
    let asked = pull::PullRequest::parse(body).map_err(|error| Status::BadRequest(error.to_string()))?;
    let priority = &asked.priority;
    let refusal = if priority.min_pending != 0 || priority.min_ack_pending != 0 {
        Some("Not a Overflow Priority consumer")
    } else if !priority.id.is_empty() {
        Some("Not a Pinned Client Priority consumer")
    } else if !(0..=9).contains(&priority.priority) {
        Some("Priority must be between 0 and 9")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        return Err(Status::BadRequest(refusal.into()));
    }
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let span = |span: Span| positive(span.0).map(Duration::from_nanos);
    Ok(broker::PullRequest {
        to: broker::ReplyTo(bytes::Bytes::copy_from_slice(to)),
        batch: positive(asked.batch).unwrap_or(0),
        max_bytes: positive(asked.max_bytes),
        expires: asked.expires.map(|expires| span(expires).unwrap_or_default()),
        no_wait: asked.no_wait,
        heartbeat: span(asked.idle_heartbeat),
    })
}

/// What a pull request is told, as the reference says it.
pub(crate) fn status_to_wire(status: &broker::Status) -> Status {
    let signed = |value: &u64| i64::try_from(*value).unwrap_or(i64::MAX);
    let unserved =
        |messages: &u64, bytes: &u64| Unserved { messages: signed(messages), bytes: signed(bytes) };
    match status {
        broker::Status::HeartbeatTooLarge => Status::BadRequest("heartbeat value too large".into()),
        broker::Status::NoMessages => Status::NoMessages,
        broker::Status::Timeout { messages, bytes } => Status::RequestTimeout(unserved(messages, bytes)),
        broker::Status::RequestsPending => Status::RequestsPending,
        broker::Status::MessageTooLarge { messages, bytes } => {
            Status::MessageSizeExceedsMaxBytes(unserved(messages, bytes))
        }
        broker::Status::BatchCompleted { messages, bytes } => {
            Status::BatchCompleted(unserved(messages, bytes))
        }
        broker::Status::ExceededMaxWaiting => Status::ExceededMaxWaiting,
        broker::Status::ExceededMaxBatch { limit } => Status::ExceededMaxRequestBatch(signed(limit)),
        broker::Status::ExceededMaxExpires { limit } => {
            Status::ExceededMaxRequestExpires(Span(i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX)))
        }
        broker::Status::ExceededMaxBytes { limit } => Status::ExceededMaxRequestMaxBytes(signed(limit)),
        broker::Status::PushBased => Status::ConsumerIsPushBased,
        broker::Status::ConsumerDeleted => Status::ConsumerDeleted,
        broker::Status::ServerShutdown => Status::ServerShutdown(Unserved::default()),
    }
}
