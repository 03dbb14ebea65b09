//! Produce requests, read by hand: the broker's hottest request, and the one whose size says least about what
//! decoding costs.
//!
//! The generated structs take a hundred bytes for a partition that takes six on the wire, so a frame of 16 MiB
//! could become hundreds of MiB. Here partitions are counted over the whole request, and each is its index and a
//! slice of the frame. Layout: Kafka's `ProduceRequest.json`, versions 3 to 13; a test compares with the
//! generated code.

use bytes::Bytes;
use kafka_wire_core::{DecodeError, Decoder, StrBytes, Uuid};

/// Most partitions in one request. A producer's request of 1 MiB (its default limit) has room for some 13,000.
pub(super) const MAX_PARTITIONS: usize = 100_000;

/// First flexible version.
const FLEXIBLE: i16 = 9;
/// First version with topic ids in place of names.
const TOPIC_IDS: i16 = 13;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) transactional_id: Option<StrBytes>,
    pub(super) acks: i16,
    pub(super) topics: Vec<TopicData>,
}

/// One topic's partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TopicData {
    /// Until v12.
    pub(super) name: StrBytes,
    /// From v13 on.
    pub(super) id: Uuid,
    /// Index and record batch.
    pub(super) partitions: Vec<(i32, Option<Bytes>)>,
}

/// Reads a request's body.
///
/// # Errors
/// It is cut off, contradicts itself, or names too many partitions.
pub(super) fn decode(decoder: &mut Decoder, version: i16) -> Result<Request, DecodeError> {
    let flexible = version >= FLEXIBLE;
    let transactional_id =
        if flexible { decoder.read_compact_nullable_string()? } else { decoder.read_nullable_string()? };
    let acks = decoder.read_i16()?;
    let _timeout_ms = decoder.read_i32()?;
    let count = array(decoder, flexible)?;
    let mut room = MAX_PARTITIONS;
    let mut topics = Vec::new();
    for _ in 0..count {
        topics.push(topic(decoder, version, &mut room)?);
    }
    tags(decoder, flexible)?;
    Ok(Request { transactional_id, acks, topics })
}

fn topic(decoder: &mut Decoder, version: i16, room: &mut usize) -> Result<TopicData, DecodeError> {
    let flexible = version >= FLEXIBLE;
    let (name, id) = match version {
        TOPIC_IDS.. => (StrBytes::default(), decoder.read_uuid()?),
        FLEXIBLE.. => (decoder.read_compact_string()?, Uuid::ZERO),
        _ => (decoder.read_string()?, Uuid::ZERO),
    };
    let offset = decoder.offset();
    let count = array(decoder, flexible)?;
    // Each topic counts too: one without partitions isn't free either.
    *room = room.checked_sub(count + 1).ok_or(DecodeError::LimitExceeded {
        kind: "partitions of a produce request",
        length: count,
        limit: MAX_PARTITIONS,
        offset,
    })?;
    let mut partitions = Vec::new();
    for _ in 0..count {
        let index = decoder.read_i32()?;
        let records =
            if flexible { decoder.read_compact_nullable_bytes()? } else { decoder.read_nullable_bytes()? };
        tags(decoder, flexible)?;
        partitions.push((index, records));
    }
    tags(decoder, flexible)?;
    Ok(TopicData { name, id, partitions })
}

fn array(decoder: &mut Decoder, flexible: bool) -> Result<usize, DecodeError> {
    let count = if flexible { decoder.read_compact_array_len()? } else { decoder.read_array_len()? };
    Ok(count.get())
}

fn tags(decoder: &mut Decoder, flexible: bool) -> Result<(), DecodeError> {
    if flexible {
        decoder.read_tagged_fields()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::decode_limits;
    use crate::message;
    use kafka_wire::ProduceRequest;
    use kafka_wire::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_wire_core::{ApiVersion, KafkaEncode};
    use proptest::prelude::*;

    fn request() -> impl Strategy<Value = Request> {
        let partition = (any::<i32>(), any::<Option<Vec<u8>>>())
            .prop_map(|(index, records)| (index, records.map(Bytes::from)));
        let topic = ("[a-z]{0,9}", any::<[u8; 16]>(), prop::collection::vec(partition, 0..4)).prop_map(
            |(name, id, partitions)| TopicData { name: name.into(), id: Uuid::from_bytes(id), partitions },
        );
        (any::<Option<String>>(), any::<i16>(), prop::collection::vec(topic, 0..4)).prop_map(
            |(transactional_id, acks, topics)| Request {
                transactional_id: transactional_id.map(StrBytes::from),
                acks,
                topics,
            },
        )
    }

    fn generated(request: &Request) -> ProduceRequest {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|(index, records)| {
                message!(PartitionProduceData { index: *index, records: records.clone() })
            });
            message!(TopicProduceData {
                name: topic.name.clone(),
                topic_id: topic.id,
                partition_data: partitions.collect(),
            })
        });
        message!(ProduceRequest {
            transactional_id: request.transactional_id.clone(),
            acks: request.acks,
            topic_data: topics.collect(),
        })
    }

    proptest! {
        /// What the generated code writes, this reads, in every version.
        #[test]
        fn reads_what_the_generated_code_writes(request in request(), version in 3_i16..=13) {
            let bytes = generated(&request).encode_to_bytes(ApiVersion::new(version)).unwrap();
            let mut decoder = Decoder::new(bytes, decode_limits()).unwrap();
            let read = decode(&mut decoder, version).unwrap();
            prop_assert_eq!(decoder.remaining(), 0);
            prop_assert_eq!((&read.transactional_id, read.acks), (&request.transactional_id, request.acks));
            prop_assert_eq!(read.topics.len(), request.topics.len());
            for (read, meant) in read.topics.iter().zip(&request.topics) {
                prop_assert_eq!(&read.partitions, &meant.partitions);
                if version >= 13 {
                    prop_assert_eq!(read.id, meant.id);
                } else {
                    prop_assert_eq!(&read.name, &meant.name);
                }
            }
        }
    }

    #[test]
    fn partitions_are_counted_over_all_topics() {
        let topic = |count: usize| TopicData {
            name: StrBytes::from("t"),
            id: Uuid::ZERO,
            partitions: (0..).map(|index| (index, None)).take(count).collect(),
        };
        let read = |topics: Vec<TopicData>| {
            let request = Request { transactional_id: None, acks: -1, topics };
            let bytes = generated(&request).encode_to_bytes(ApiVersion::new(9)).unwrap();
            decode(&mut Decoder::new(bytes, decode_limits()).unwrap(), 9)
        };
        assert!(read(vec![topic(60_000), topic(39_998)]).is_ok());
        assert!(matches!(read(vec![topic(60_000), topic(39_999)]), Err(DecodeError::LimitExceeded { .. })));
    }
}
