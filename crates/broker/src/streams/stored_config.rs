//! A stream's configuration as it stands in the catalog's entry of its topic.

use std::time::Duration;

use super::{ConsumerLimits, DiscardPolicy, RetentionPolicy, StorageType, StoreCompression, StreamConfig};
use crate::codec::{CodecError, Reader, Writer};

/// Version of this encoding; the catalog's says only whether there is one. Version 1 has a first sequence of 1 where
/// none was given.
const VERSION: u8 = 2;

/// Optional numbers are stored one higher; 0 is none.
fn put_option(writer: &mut Writer, value: Option<u64>) {
    match value {
        None => writer.u8(0),
        Some(value) => writer.u8(1).varint(value),
    };
}

fn take_option(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<u64>, CodecError> {
    match reader.u8(field)? {
        0 => Ok(None),
        1 => reader.varint(field).map(Some),
        _ => Err(reader.invalid(field)),
    }
}

fn put_duration(writer: &mut Writer, value: Option<Duration>) {
    put_option(writer, value.map(|value| u64::try_from(value.as_nanos()).unwrap_or(u64::MAX)));
}

fn take_duration(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<Duration>, CodecError> {
    Ok(take_option(reader, field)?.map(Duration::from_nanos))
}

pub(crate) fn put(writer: &mut Writer, config: &StreamConfig) {
    writer.u8(VERSION).str(&config.name);
    writer.u8(u8::from(config.description.is_some())).str(config.description.as_deref().unwrap_or(""));
    writer.varint(config.subjects.len() as u64);
    config.subjects.iter().for_each(|subject| _ = writer.str(subject));
    writer.u8(config.retention as u8).u8(config.discard as u8).u8(config.storage as u8);
    writer.u8(config.compression as u8);
    for limit in [config.max_consumers, config.max_msgs, config.max_bytes, config.max_msgs_per_subject] {
        put_option(writer, limit);
    }
    put_option(writer, config.max_msg_size.map(u64::from));
    for time in [config.max_age, config.duplicate_window, config.subject_delete_marker_ttl] {
        put_duration(writer, time);
    }
    for limit in [config.consumer_limits.inactive_threshold, config.consumer_limits.max_ack_pending] {
        // Bit for bit.
        put_option(writer, (limit != 0).then_some(limit as u64));
    }
    writer.varint(u64::from(config.num_replicas)).varint(config.first_seq);
    for flag in flags(config) {
        writer.u8(u8::from(flag));
    }
    writer.varint(config.metadata.len() as u64);
    for (key, value) in &config.metadata {
        writer.str(key).str(value);
    }
}

fn flags(config: &StreamConfig) -> [bool; 9] {
    [
        config.discard_new_per_subject,
        config.no_ack,
        config.sealed,
        config.deny_delete,
        config.deny_purge,
        config.allow_rollup_hdrs,
        config.allow_direct,
        config.mirror_direct,
        config.allow_msg_ttl,
    ]
}

pub(crate) fn take(reader: &mut Reader<'_>) -> Result<StreamConfig, CodecError> {
    let version = reader.u8("stream config version")?;
    if !(1..=VERSION).contains(&version) {
        return Err(reader.invalid("stream config version"));
    }
    let mut config = StreamConfig { name: reader.str("stream name")?.to_owned(), ..StreamConfig::default() };
    let has_description = reader.u8("description")? == 1;
    let description = reader.str("description")?;
    config.description = has_description.then(|| description.to_owned());
    for _ in 0..reader.varint("subject count")? {
        config.subjects.push(reader.str("subject")?.to_owned());
    }
    config.retention = match reader.u8("retention")? {
        0 => RetentionPolicy::Limits,
        1 => RetentionPolicy::Interest,
        2 => RetentionPolicy::WorkQueue,
        _ => return Err(reader.invalid("retention")),
    };
    config.discard = match reader.u8("discard")? {
        0 => DiscardPolicy::Old,
        1 => DiscardPolicy::New,
        _ => return Err(reader.invalid("discard")),
    };
    config.storage = match reader.u8("storage")? {
        0 => StorageType::File,
        1 => StorageType::Memory,
        _ => return Err(reader.invalid("storage")),
    };
    config.compression = match reader.u8("compression")? {
        0 => StoreCompression::None,
        1 => StoreCompression::S2,
        _ => return Err(reader.invalid("compression")),
    };
    config.max_consumers = take_option(reader, "max consumers")?;
    config.max_msgs = take_option(reader, "max messages")?;
    config.max_bytes = take_option(reader, "max bytes")?;
    config.max_msgs_per_subject = take_option(reader, "max messages per subject")?;
    config.max_msg_size = take_u32(reader, "max message size")?;
    config.max_age = take_duration(reader, "max age")?;
    config.duplicate_window = take_duration(reader, "duplicate window")?;
    config.subject_delete_marker_ttl = take_duration(reader, "marker ttl")?;
    config.consumer_limits = ConsumerLimits {
        inactive_threshold: take_option(reader, "inactive threshold")?.map_or(0, |limit| limit as i64),
        max_ack_pending: take_option(reader, "max ack pending")?.map_or(0, |limit| limit as i64),
    };
    let replicas = reader.varint("replicas")?;
    config.num_replicas = u32::try_from(replicas).map_err(|_| reader.invalid("replicas"))?;
    config.first_seq = reader.varint("first sequence")?;
    if version == 1 && config.first_seq == 1 {
        config.first_seq = 0;
    }
    for flag in [
        &mut config.discard_new_per_subject,
        &mut config.no_ack,
        &mut config.sealed,
        &mut config.deny_delete,
        &mut config.deny_purge,
        &mut config.allow_rollup_hdrs,
        &mut config.allow_direct,
        &mut config.mirror_direct,
        &mut config.allow_msg_ttl,
    ] {
        *flag = reader.u8("flag")? == 1;
    }
    for _ in 0..reader.varint("metadata count")? {
        let key = reader.str("metadata key")?.to_owned();
        config.metadata.insert(key, reader.str("metadata value")?.to_owned());
    }
    Ok(config)
}

fn take_u32(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<u32>, CodecError> {
    let value = take_option(reader, field)?;
    value.map(|value| u32::try_from(value).map_err(|_| reader.invalid(field))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_come_back_whole() {
        let all = StreamConfig {
            name: "S".into(),
            description: Some(String::new()),
            subjects: vec!["a.*".into(), "b.>".into()],
            retention: RetentionPolicy::WorkQueue,
            max_consumers: Some(1),
            max_msgs: Some(2),
            max_bytes: Some(3),
            max_age: Some(Duration::from_secs(4)),
            max_msgs_per_subject: Some(5),
            max_msg_size: Some(6),
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            storage: StorageType::Memory,
            num_replicas: 1,
            no_ack: true,
            duplicate_window: Some(Duration::from_secs(7)),
            sealed: true,
            deny_delete: true,
            deny_purge: true,
            allow_rollup_hdrs: true,
            allow_direct: true,
            mirror_direct: true,
            first_seq: 8,
            compression: StoreCompression::S2,
            consumer_limits: ConsumerLimits { inactive_threshold: 9_000_000_000, max_ack_pending: -10 },
            allow_msg_ttl: true,
            subject_delete_marker_ttl: Some(Duration::from_secs(11)),
            metadata: [("k".to_owned(), "v".to_owned())].into(),
        };
        for config in [all, StreamConfig { name: "T".into(), ..StreamConfig::default() }] {
            let mut writer = Writer::new(1);
            put(&mut writer, &config);
            let bytes = writer.finish();
            let (mut reader, _) = Reader::new(&bytes, 1).unwrap();
            assert_eq!(take(&mut reader).unwrap(), config);
            reader.finish().unwrap();
            for cut in 1..bytes.len() {
                let (mut reader, _) = Reader::new(&bytes[..cut], 1).unwrap();
                assert!(take(&mut reader).is_err(), "cut at {cut}");
            }
        }
    }
}
