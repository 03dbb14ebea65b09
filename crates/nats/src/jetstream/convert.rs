//! Streams on the wire ⇄ streams of the broker.
//!
//! The wire has fields that the broker doesn't know yet; at their zero value they mean nothing, and any other value is
//! refused by name, so that nobody takes for granted what isn't done.

use std::collections::BTreeMap;
use std::time::Duration;

use duolog_broker::streams::{
    ConsumerLimits, DiscardPolicy, Header, RetentionPolicy, StorageType, StoreCompression, Stream,
    StreamConfig,
};
use duolog_nats_wire::headers::HeaderBlock;
use duolog_nats_wire::jetstream::error::{
    ApiError, REPLICAS_COUNT_CANNOT_BE_NEGATIVE, STREAM_INVALID_CONFIG, STREAM_NAME_CONTAINS_PATH_SEPARATORS,
};
use duolog_nats_wire::jetstream::stream as wire;
use duolog_nats_wire::jetstream::time::{Span, Time};
use duolog_types::Lsn;

use super::{Identity, JetStream, time};

/// Metadata that the server writes itself.
const VERSION: &str = "_nats.ver";
const LEVEL: &str = "_nats.level";
const REQUIRED_LEVEL: &str = "_nats.req.level";

/// Deleted sequences that one answer names.
const DELETED_LIMIT: usize = 1 << 20;

/// What a request asks for, in the broker's terms.
pub(super) fn config_from_wire(config: wire::StreamConfig) -> Result<StreamConfig, ApiError> {
    if config.name.contains(['/', '\\']) {
        return Err(STREAM_NAME_CONTAINS_PATH_SEPARATORS.error());
    }
    if config.num_replicas < 0 {
        return Err(REPLICAS_COUNT_CANNOT_BE_NEGATIVE.error());
    }
    refuse_deferred(&config)?;
    let metadata = without_server_metadata(config.metadata);
    Ok(StreamConfig {
        name: config.name,
        description: Some(config.description).filter(|text| !text.is_empty()),
        subjects: config.subjects,
        retention: match config.retention {
            wire::Retention::Limits => RetentionPolicy::Limits,
            wire::Retention::Interest => RetentionPolicy::Interest,
            wire::Retention::WorkQueue => RetentionPolicy::WorkQueue,
        },
        max_consumers: limit(config.max_consumers),
        max_msgs: limit(config.max_msgs),
        max_bytes: limit(config.max_bytes),
        max_age: duration(config.max_age, "max age can not be negative")?,
        max_msgs_per_subject: limit(config.max_msgs_per_subject),
        max_msg_size: u32::try_from(config.max_msg_size).ok().filter(|size| *size > 0),
        discard: match config.discard {
            wire::Discard::Old => DiscardPolicy::Old,
            wire::Discard::New => DiscardPolicy::New,
        },
        discard_new_per_subject: config.discard_new_per_subject,
        storage: match config.storage {
            wire::Storage::File => StorageType::File,
            wire::Storage::Memory => StorageType::Memory,
        },
        num_replicas: u32::try_from(config.num_replicas).unwrap_or(u32::MAX),
        no_ack: config.no_ack,
        duplicate_window: duration(config.duplicate_window, "duplicates window can not be negative")?,
        sealed: config.sealed,
        deny_delete: config.deny_delete,
        deny_purge: config.deny_purge,
        allow_rollup_hdrs: config.allow_rollup_hdrs,
        allow_direct: config.allow_direct,
        mirror_direct: config.mirror_direct,
        first_seq: config.first_seq,
        compression: match config.compression {
            wire::Compression::None => StoreCompression::None,
            wire::Compression::S2 => StoreCompression::S2,
        },
        consumer_limits: ConsumerLimits {
            inactive_threshold: config.consumer_limits.inactive_threshold.0,
            max_ack_pending: config.consumer_limits.max_ack_pending,
        },
        allow_msg_ttl: config.allow_msg_ttl,
        subject_delete_marker_ttl: duration(
            config.subject_delete_marker_ttl,
            "subject delete marker TTL must not be negative",
        )?,
        metadata,
    })
}

/// Refuses, by name, what isn't done yet.
fn refuse_deferred(config: &wire::StreamConfig) -> Result<(), ApiError> {
    let placed = config.placement.as_ref().is_some_and(|placement| *placement != wire::Placement::default());
    for (given, field) in [
        (placed, "placement"),
        (config.mirror.is_some(), "mirror"),
        (!config.sources.is_empty(), "sources"),
        (config.subject_transform.is_some(), "subject_transform"),
        (config.republish.is_some(), "republish"),
        (config.allow_msg_counter, "allow_msg_counter"),
        (config.allow_atomic, "allow_atomic"),
        (config.allow_msg_schedules, "allow_msg_schedules"),
        (config.persist_mode != wire::PersistMode::Default, "persist_mode"),
        (config.allow_batched, "allow_batched"),
    ] {
        if given {
            return Err(STREAM_INVALID_CONFIG.because(format_args!("{field} is not supported")));
        }
    }
    Ok(())
}

/// Zero and less is no limit.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

/// Zero is none; less than zero is refused with `negative`.
fn duration(span: Span, negative: &str) -> Result<Option<Duration>, ApiError> {
    match u64::try_from(span.0) {
        Ok(0) => Ok(None),
        Ok(nanos) => Ok(Some(Duration::from_nanos(nanos))),
        Err(_) => Err(STREAM_INVALID_CONFIG.because(negative)),
    }
}

fn span(duration: Option<Duration>) -> Span {
    Span(duration.map_or(0, |duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
}

/// No limit is -1.
fn unlimited(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

/// A configuration as it is shown; `identity` is the server's, where that is shown too.
fn config_to_wire(config: &StreamConfig, identity: Option<&Identity>) -> wire::StreamConfig {
    let needs_ttl = config.allow_msg_ttl || config.subject_delete_marker_ttl.is_some();
    let metadata = with_server_metadata(&config.metadata, u8::from(needs_ttl), identity);
    wire::StreamConfig {
        name: config.name.clone(),
        description: config.description.clone().unwrap_or_default(),
        subjects: config.subjects.clone(),
        retention: match config.retention {
            RetentionPolicy::Limits => wire::Retention::Limits,
            RetentionPolicy::Interest => wire::Retention::Interest,
            RetentionPolicy::WorkQueue => wire::Retention::WorkQueue,
        },
        max_consumers: unlimited(config.max_consumers),
        max_msgs: unlimited(config.max_msgs),
        max_bytes: unlimited(config.max_bytes),
        max_age: span(config.max_age),
        max_msgs_per_subject: unlimited(config.max_msgs_per_subject),
        max_msg_size: config.max_msg_size.map_or(-1, |size| i32::try_from(size).unwrap_or(i32::MAX)),
        discard: match config.discard {
            DiscardPolicy::Old => wire::Discard::Old,
            DiscardPolicy::New => wire::Discard::New,
        },
        storage: match config.storage {
            StorageType::File => wire::Storage::File,
            StorageType::Memory => wire::Storage::Memory,
        },
        num_replicas: i64::from(config.num_replicas.max(1)),
        no_ack: config.no_ack,
        duplicate_window: span(config.duplicate_window),
        compression: match config.compression {
            StoreCompression::None => wire::Compression::None,
            StoreCompression::S2 => wire::Compression::S2,
        },
        first_seq: config.first_seq,
        allow_direct: config.allow_direct,
        mirror_direct: config.mirror_direct,
        discard_new_per_subject: config.discard_new_per_subject,
        sealed: config.sealed,
        deny_delete: config.deny_delete,
        deny_purge: config.deny_purge,
        allow_rollup_hdrs: config.allow_rollup_hdrs,
        consumer_limits: wire::ConsumerLimits {
            inactive_threshold: Span(config.consumer_limits.inactive_threshold),
            max_ack_pending: config.consumer_limits.max_ack_pending,
        },
        allow_msg_ttl: config.allow_msg_ttl,
        subject_delete_marker_ttl: span(config.subject_delete_marker_ttl),
        metadata,
        ..wire::StreamConfig::default()
    }
}

type Metadata = BTreeMap<String, String>;

/// What a client gave, without what the server writes there.
pub(super) fn without_server_metadata(mut metadata: Metadata) -> Metadata {
    metadata.retain(|key, _| ![VERSION, LEVEL, REQUIRED_LEVEL].contains(&key.as_str()));
    metadata
}

/// What a client gave, with the level of the API that it needs, and what the server is where that is shown too.
pub(super) fn with_server_metadata(
    metadata: &Metadata,
    required: u8,
    identity: Option<&Identity>,
) -> Metadata {
    let mut metadata = metadata.clone();
    metadata.insert(REQUIRED_LEVEL.into(), required.to_string());
    if let Some(identity) = identity {
        metadata.insert(VERSION.into(), identity.version.clone());
        metadata.insert(LEVEL.into(), identity.api_level.to_string());
    }
    metadata
}

/// How much of a stream an answer tells.
#[derive(Clone, Copy, Default)]
pub(super) struct Detail {
    /// Who leads it (STREAM.INFO).
    pub leader: bool,
    /// What the server is, in the metadata (all but STREAM.LIST).
    pub server: bool,
    /// Which sequences are missing.
    pub deleted: bool,
}

/// A stream as the API shows it, and what that waits for.
pub(super) fn stream_info(jetstream: &JetStream, stream: &Stream, detail: Detail) -> (Lsn, wire::StreamInfo) {
    let state = if detail.leader || detail.server { stream.state() } else { stream.outline() };
    let deleted =
        if detail.deleted && state.num_deleted > 0 { stream.deleted(DELETED_LIMIT) } else { Vec::new() };
    let consumers = jetstream.consumers.of(stream.partition().id());
    let leader = detail.leader.then(|| jetstream.identity.server_name.clone());
    let info = wire::StreamInfo {
        config: config_to_wire(&stream.config(), detail.server.then_some(&jetstream.identity)),
        created: time(stream.created()),
        state: wire::StreamState {
            messages: state.messages,
            bytes: state.bytes,
            first_seq: state.first_sequence.0,
            first_ts: state.first_time.map_or(Time::ZERO, time),
            last_seq: state.last_sequence.0,
            last_ts: state.last_time.map_or(Time::ZERO, time),
            num_subjects: state.num_subjects,
            num_deleted: state.num_deleted,
            deleted: deleted.into_iter().map(|sequence| sequence.0).collect(),
            consumer_count: consumers.map_or(0, |consumers| consumers.count() as u64),
            ..wire::StreamState::default()
        },
        cluster: leader.map(|leader| wire::ClusterInfo { leader, ..wire::ClusterInfo::default() }),
        ts: jetstream.now(),
    };
    (state.lsn.max(stream.changed()), info)
}

/// A stored message's header block; empty if it has no headers. What can't stand in one is left out: the broker has
/// put it elsewhere.
pub(super) fn header_block(headers: &[Header]) -> Vec<u8> {
    if headers.is_empty() {
        return Vec::new();
    }
    let mut block = HeaderBlock::new();
    for (name, value) in headers {
        let _ = block.add(name, value.as_deref().unwrap_or_default());
    }
    block.finish().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: wire::StreamConfig) -> String {
        config_from_wire(wire::StreamConfig { name: "A".into(), ..config }).unwrap_err().description
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let default = wire::StreamConfig::default;
        assert_eq!(
            refused(wire::StreamConfig { allow_atomic: true, ..default() }),
            "allow_atomic is not supported"
        );
        let mirror = Some(wire::StreamSource::default());
        assert_eq!(refused(wire::StreamConfig { mirror, ..default() }), "mirror is not supported");
        let placement = Some(wire::Placement { cluster: "c".into(), ..wire::Placement::default() });
        assert_eq!(refused(wire::StreamConfig { placement, ..default() }), "placement is not supported");
        let nowhere = wire::StreamConfig { placement: Some(wire::Placement::default()), ..default() };
        assert!(config_from_wire(nowhere).is_ok());
    }

    #[test]
    fn negative_values_are_refused_or_mean_no_limit() {
        let default = wire::StreamConfig::default;
        assert_eq!(
            refused(wire::StreamConfig { max_age: Span(-1), ..default() }),
            "max age can not be negative"
        );
        assert_eq!(
            refused(wire::StreamConfig { num_replicas: -1, ..default() }),
            "replicas count cannot be negative"
        );
        let config = config_from_wire(wire::StreamConfig {
            max_msgs: -5,
            max_bytes: 0,
            max_msgs_per_subject: 3,
            ..default()
        });
        let config = config.unwrap();
        assert_eq!((config.max_msgs, config.max_bytes, config.max_msgs_per_subject), (None, None, Some(3)));
        let shown = config_to_wire(&config, None);
        assert_eq!((shown.max_msgs, shown.max_bytes, shown.max_msgs_per_subject), (-1, -1, 3));
    }

    #[test]
    fn the_server_s_own_metadata_is_shown_and_never_kept() {
        let metadata = [(VERSION, "9"), (REQUIRED_LEVEL, "7"), ("own", "1")];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value.to_string())).into();
        let config = config_from_wire(wire::StreamConfig {
            metadata,
            allow_msg_ttl: true,
            ..wire::StreamConfig::default()
        });
        let config = config.unwrap();
        assert_eq!(config.metadata.keys().collect::<Vec<_>>(), ["own"]);
        let identity = Identity { server_name: "s".into(), version: "2.14.0".into(), api_level: 1 };
        let shown = config_to_wire(&config, Some(&identity)).metadata;
        assert_eq!(
            (shown[VERSION].as_str(), shown[LEVEL].as_str(), shown[REQUIRED_LEVEL].as_str()),
            ("2.14.0", "1", "1")
        );
    }
}
