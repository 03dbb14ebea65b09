//! The frames of the CONSUMERS table, and the byte form of a configuration.
//!
//! ```text
//! frame: version u8 = 1 │ kind u8 │ number varint │ fields
//!   kind 1 Created     partition varint, created i64, name str, configuration, record bytes
//!   kind 2 Configured  configuration
//!   kind 3 Delivery    record bytes
//!   kind 4 Deleted
//! ```
//!
//! A record is `duolog_delivery`'s, with a version of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use duolog_delivery::{AckPolicy, Record};
use duolog_types::{Nanos, PartitionId, Sequence};

use super::config::{ConsumerConfig, DeliverPolicy};
use crate::codec::{CodecError, Reader, Writer};

const VERSION: u8 = 1;
const CREATED: u8 = 1;
const CONFIGURED: u8 = 2;
const DELIVERY: u8 = 3;
const DELETED: u8 = 4;

/// One change of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    /// A consumer as a whole: new, or in a snapshot.
    Created(Box<Created>),
    /// Its configuration was changed.
    Configured(u64, Box<ConsumerConfig>),
    /// Its machine's state changed.
    Delivery(u64, Record),
    /// It is gone.
    Deleted(u64),
}

/// A consumer as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Created {
    pub(super) number: u64,
    pub(super) partition: PartitionId,
    pub(super) created: Nanos,
    pub(super) name: String,
    pub(super) config: ConsumerConfig,
    pub(super) record: Record,
}

impl Frame {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new(VERSION);
        match self {
            Frame::Created(whole) => {
                out.u8(CREATED).varint(whole.number).varint(whole.partition.0).i64(whole.created.0);
                out.str(&whole.name);
                put_config(&mut out, &whole.config);
                out.bytes(&whole.record.encode());
            }
            Frame::Configured(number, config) => {
                out.u8(CONFIGURED).varint(*number);
                put_config(&mut out, config);
            }
            Frame::Delivery(number, record) => {
                out.u8(DELIVERY).varint(*number).bytes(&record.encode());
            }
            Frame::Deleted(number) => {
                out.u8(DELETED).varint(*number);
            }
        }
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let named = |error: CodecError| error.to_string();
        let (mut input, _) = Reader::new(bytes, VERSION).map_err(named)?;
        let kind = input.u8("kind").map_err(named)?;
        let number = input.varint("number").map_err(named)?;
        let frame = match kind {
            CREATED => {
                let partition = PartitionId(input.varint("partition").map_err(named)?);
                let created = Nanos(input.i64("created").map_err(named)?);
                let name = input.str("name").map_err(named)?.to_owned();
                let config = config(&mut input).map_err(named)?;
                let record = record(&mut input)?;
                Frame::Created(Box::new(Created { number, partition, created, name, config, record }))
            }
            CONFIGURED => Frame::Configured(number, Box::new(config(&mut input).map_err(named)?)),
            DELIVERY => Frame::Delivery(number, record(&mut input)?),
            DELETED => Frame::Deleted(number),
            _ => return Err(format!("a consumer's frame has the unknown kind {kind}")),
        };
        input.finish().map_err(named)?;
        Ok(frame)
    }
}

fn record(input: &mut Reader<'_>) -> Result<Record, String> {
    let bytes = input.bytes("record").map_err(|error| error.to_string())?;
    Record::decode(bytes).map_err(|error| error.to_string())
}

fn put_config(out: &mut Writer, config: &ConsumerConfig) {
    out.str(&config.name).str(&config.durable_name).str(&config.description);
    out.u8(match config.deliver_policy {
        DeliverPolicy::All => 0,
        DeliverPolicy::Last => 1,
        DeliverPolicy::New => 2,
        DeliverPolicy::ByStartSequence => 3,
        DeliverPolicy::ByStartTime => 4,
        DeliverPolicy::LastPerSubject => 5,
    });
    out.varint(config.opt_start_seq.0);
    out.u8(u8::from(config.opt_start_time.is_some())).i64(config.opt_start_time.unwrap_or_default().0);
    out.u8(match config.ack_policy {
        AckPolicy::None => 0,
        AckPolicy::All => 1,
        AckPolicy::Explicit => 2,
    });
    out.i64(config.ack_wait).i64(config.max_deliver).varint(config.backoff.len() as u64);
    for wait in &config.backoff {
        out.i64(*wait);
    }
    out.str(&config.filter_subject).varint(config.filter_subjects.len() as u64);
    for filter in &config.filter_subjects {
        out.str(filter);
    }
    let flags = [config.replay_original, config.headers_only, config.flow_control, config.mem_storage];
    out.u8(flags.iter().rev().fold(0, |flags, flag| flags << 1 | u8::from(*flag)));
    out.varint(config.rate_limit_bps).str(&config.sample_freq);
    out.i64(config.max_waiting).i64(config.max_ack_pending);
    out.i64(config.max_batch).i64(config.max_expires).i64(config.max_bytes);
    out.str(&config.deliver_subject).str(&config.deliver_group);
    out.i64(config.idle_heartbeat).i64(config.inactive_threshold).i64(config.num_replicas);
    out.varint(config.metadata.len() as u64);
    for (key, value) in &config.metadata {
        out.str(key).str(value);
    }
}

/// Fields stand in the order in which they were put; a struct's fields are evaluated in the order of writing.
fn config(input: &mut Reader<'_>) -> Result<ConsumerConfig, CodecError> {
    let name = input.str("name")?.to_owned();
    let durable_name = input.str("durable name")?.to_owned();
    let description = input.str("description")?.to_owned();
    let deliver_policy = match input.u8("deliver policy")? {
        0 => DeliverPolicy::All,
        1 => DeliverPolicy::Last,
        2 => DeliverPolicy::New,
        3 => DeliverPolicy::ByStartSequence,
        4 => DeliverPolicy::ByStartTime,
        5 => DeliverPolicy::LastPerSubject,
        _ => return Err(input.invalid("deliver policy")),
    };
    let opt_start_seq = Sequence(input.varint("start sequence")?);
    let has_time = input.u8("has start time")? == 1;
    let opt_start_time = Some(Nanos(input.i64("start time")?)).filter(|_| has_time);
    let ack_policy = match input.u8("ack policy")? {
        0 => AckPolicy::None,
        1 => AckPolicy::All,
        2 => AckPolicy::Explicit,
        _ => return Err(input.invalid("ack policy")),
    };
    let (ack_wait, max_deliver) = (input.i64("ack wait")?, input.i64("max deliver")?);
    let backoff = (0..input.varint("backoff")?).map(|_| input.i64("backoff")).collect::<Result<_, _>>()?;
    let filter_subject = input.str("filter")?.to_owned();
    let filters = input.varint("filters")?;
    let filter_subjects =
        (0..filters).map(|_| input.str("filters").map(str::to_owned)).collect::<Result<_, _>>()?;
    let flags = input.u8("flags")?;
    Ok(ConsumerConfig {
        name,
        durable_name,
        description,
        deliver_policy,
        opt_start_seq,
        opt_start_time,
        ack_policy,
        ack_wait,
        max_deliver,
        backoff,
        filter_subject,
        filter_subjects,
        replay_original: flags & 1 != 0,
        headers_only: flags & 2 != 0,
        flow_control: flags & 4 != 0,
        mem_storage: flags & 8 != 0,
        rate_limit_bps: input.varint("rate limit")?,
        sample_freq: input.str("sample frequency")?.to_owned(),
        max_waiting: input.i64("max waiting")?,
        max_ack_pending: input.i64("max ack pending")?,
        max_batch: input.i64("max batch")?,
        max_expires: input.i64("max expires")?,
        max_bytes: input.i64("max bytes")?,
        deliver_subject: input.str("deliver subject")?.to_owned(),
        deliver_group: input.str("deliver group")?.to_owned(),
        idle_heartbeat: input.i64("heartbeat")?,
        inactive_threshold: input.i64("inactive threshold")?,
        num_replicas: input.i64("replicas")?,
        metadata: metadata(input)?,
    })
}

fn metadata(input: &mut Reader<'_>) -> Result<BTreeMap<String, String>, CodecError> {
    let mut metadata = BTreeMap::new();
    for _ in 0..input.varint("metadata")? {
        let key = input.str("metadata key")?.to_owned();
        metadata.insert(key, input.str("metadata value")?.to_owned());
    }
    Ok(metadata)
}
