//! What is refused before the lock, and what is changed in a batch's bytes.

use std::sync::Arc;

use bytes::BufMut;
use duolog_types::ProducerId;

use super::*;
use crate::config::TopicDefaults;

const NOW_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

fn config(set: &[(&str, &str)]) -> TopicConfig {
    let set = set.iter().map(|(key, value)| (Arc::from(*key), Arc::from(*value))).collect();
    TopicConfig::new(set, &TopicDefaults::default()).unwrap()
}

fn context() -> ProduceContext {
    ProduceContext { arrival: Nanos(NOW_MS * 1_000_000), allow_zstd: true, commit_follows: false }
}

fn builder() -> BatchBuilder {
    BatchBuilder::new(Offset::ZERO)
}

/// A batch with one record for each timestamp.
fn batch(builder: BatchBuilder, timestamps: &[i64]) -> Bytes {
    let mut builder = builder;
    for timestamp in timestamps {
        builder.push(TimestampMs(*timestamp), Some(b"key"), Some(b"value")).unwrap();
    }
    builder.build().unwrap()
}

/// A good batch with some bytes of its header replaced, and a right checksum.
fn with(at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = BytesMut::from(batch(builder(), &[NOW_MS, NOW_MS]));
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc_of(&batch);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

/// CRC-32C, bit by bit: the checksum that a client would send.
fn crc_of(batch: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in &batch[21..] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn refused(batch: Bytes) -> ProduceError {
    match check(batch, &config(&[]), context()) {
        Ok(_) => panic!("must be refused"),
        Err(error) => error,
    }
}

#[test]
fn a_good_batch_passes_as_it_came() {
    let sent = batch(builder(), &[NOW_MS, NOW_MS + 1]);
    let checked = check(sent.clone(), &config(&[]), context()).unwrap();
    assert_eq!(checked.bytes.as_ptr(), sent.as_ptr(), "not copied");
    assert_eq!((checked.header.record_count, checked.header.max_timestamp.0), (2, NOW_MS + 1));
}

#[test]
fn bad_batches_are_refused_by_name() {
    assert!(matches!(refused(Bytes::new()), ProduceError::NoBatch));
    let two = [with(0, &[]), with(0, &[])].concat();
    assert!(matches!(refused(two.into()), ProduceError::NotOneBatch { .. }));
    assert!(matches!(refused(with(16, &[1])), ProduceError::Magic { found: 1 }));
    assert!(matches!(refused(with(0, &5i64.to_be_bytes())), ProduceError::BaseOffset { found: Offset(5) }));
    assert!(matches!(refused(with(0, &(-5i64).to_be_bytes())), ProduceError::Invalid { .. }));
    assert!(matches!(
        refused(with(23, &0i32.to_be_bytes())),
        ProduceError::Count { count: 2, last_offset_delta: 0 }
    ));
    assert!(matches!(refused(with(57, &3i32.to_be_bytes())), ProduceError::Count { count: 3, .. }));
    assert!(matches!(refused(with(21, &0x20i16.to_be_bytes())), ProduceError::Control));
    assert!(matches!(refused(with(21, &0x10i16.to_be_bytes())), ProduceError::Transactional));
    assert!(matches!(refused(with(21, &0x08i16.to_be_bytes())), ProduceError::LogAppendTime));
    assert!(matches!(refused(with(21, &0x40i16.to_be_bytes())), ProduceError::Invalid { .. }));
    assert!(matches!(refused(with(21, &7i16.to_be_bytes())), ProduceError::Compression { codec: 7 }));

    let empty = builder().build().unwrap();
    assert!(matches!(refused(empty), ProduceError::Count { count: 0, .. }));

    let producer = |id, epoch, sequence| {
        batch(builder().producer(ProducerId(id), ProducerEpoch(epoch), sequence), &[NOW_MS])
    };
    assert!(matches!(refused(producer(1, 0, -1)), ProduceError::NegativeSequence { .. }));
    assert!(matches!(refused(producer(1, -1, 0)), ProduceError::NegativeEpoch { .. }));
    assert!(matches!(refused(producer(-2, 0, 0)), ProduceError::Invalid { .. }));

    let good = with(0, &[]);
    for cut in 1..good.len() {
        assert!(matches!(refused(good.slice(..cut)), ProduceError::Corrupt { .. }), "cut at {cut}");
    }
    for at in 21..good.len() {
        let mut flipped = BytesMut::from(&good[..]);
        flipped[at] ^= 1;
        assert!(matches!(refused(flipped.freeze()), ProduceError::Corrupt { .. }), "flipped at {at}");
    }
}

#[test]
fn more_records_than_the_bytes_can_hold_are_refused_without_decoding() {
    let claiming = |count: i32, compression| {
        let mut bytes = BytesMut::from(batch(builder().compression(compression), &[NOW_MS, NOW_MS]));
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc_of(&bytes);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        check(bytes.freeze(), &config(&[]), context())
    };
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        assert!(claiming(2, compression).is_ok());
        let lie = claiming(i32::MAX, compression);
        assert!(matches!(lie, Err(ProduceError::Invalid { .. })), "{compression:?}");
    }
    // Two records of 15 bytes have room for four.
    assert!(claiming(4, Compression::None).is_ok());
    assert!(matches!(claiming(5, Compression::None), Err(ProduceError::Invalid { .. })));
    let most = i32::try_from(DECODE.floor_bytes / RECORD_BYTES_MIN).unwrap();
    assert!(claiming(most, Compression::Lz4).is_ok());
    assert!(claiming(most + 1, Compression::Lz4).is_err());
    // The smallest record there is: no key, no value.
    let mut builder = builder();
    for _ in 0..1000 {
        builder.push(TimestampMs(NOW_MS), None, None).unwrap();
    }
    let smallest = builder.build().unwrap();
    assert!(check(smallest, &config(&[]), context()).is_ok());
}

#[test]
fn size_is_limited_before_the_checksum_is_looked_at() {
    let sent = batch(builder(), &[NOW_MS]);
    let limit = |limit: usize| config(&[("max.message.bytes", &limit.to_string())]);
    assert!(check(sent.clone(), &limit(sent.len()), context()).is_ok());
    let mut damaged = BytesMut::from(&sent[..]);
    damaged.put_u8(0);
    damaged.truncate(sent.len());
    damaged[30] ^= 1;
    let error = check(damaged.freeze(), &limit(sent.len() - 1), context()).err();
    assert!(matches!(error, Some(ProduceError::TooLarge { bytes, .. }) if bytes == sent.len()));
}

#[test]
fn zstd_needs_a_protocol_that_has_it() {
    let sent = batch(builder().compression(Compression::Zstd), &[NOW_MS]);
    assert!(check(sent.clone(), &config(&[]), context()).is_ok());
    let old = ProduceContext { allow_zstd: false, ..context() };
    assert!(matches!(check(sent, &config(&[]), old).err(), Some(ProduceError::Compression { codec: 4 })));
}

#[test]
fn records_from_the_future_are_named() {
    let sent = batch(builder(), &[NOW_MS, NOW_MS + HOUR_MS + 1, -1, NOW_MS + HOUR_MS]);
    let Some(ProduceError::Timestamps { errors }) = check(sent, &config(&[]), context()).err() else {
        panic!("one hour is the default bound");
    };
    let problem = RecordProblem::Timestamp {
        timestamp: TimestampMs(NOW_MS + HOUR_MS + 1),
        earliest: TimestampMs(i64::MIN),
        latest: TimestampMs(NOW_MS + HOUR_MS),
    };
    assert_eq!(errors, [RecordError { batch_index: 1, problem }]);
    let unbounded = config(&[("message.timestamp.after.max.ms", "9223372036854775807")]);
    assert!(check(batch(builder(), &[i64::MAX / 2]), &unbounded, context()).is_ok());
}

#[test]
fn records_from_the_past_are_named_if_there_is_a_bound() {
    let old = |codec| batch(builder().compression(codec), &[NOW_MS, 5, -1]);
    assert!(check(old(Compression::None), &config(&[]), context()).is_ok());
    let bounded = config(&[("message.timestamp.before.max.ms", "1000")]);
    for codec in Compression::ALL {
        let Some(ProduceError::Timestamps { errors }) = check(old(codec), &bounded, context()).err() else {
            panic!("must be refused");
        };
        assert_eq!(errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn a_header_can_not_claim_a_future_that_no_record_has() {
    let claimed = with(35, &(NOW_MS + 2 * HOUR_MS).to_be_bytes());
    assert!(matches!(refused(claimed), ProduceError::Invalid { .. }));
}

#[test]
fn log_append_time_replaces_every_timestamp() {
    let config = config(&[("message.timestamp.type", "LogAppendTime")]);
    let sent = batch(builder(), &[5, i64::MAX / 2]);
    let checked = check(sent, &config, context()).unwrap();
    assert_eq!(checked.header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(checked.header.max_timestamp.0, NOW_MS);
    duolog_record::verify_crc(&checked.bytes).unwrap();
    for record in duolog_record::records(&checked.bytes, DECODE).unwrap() {
        assert_eq!(record.unwrap().timestamp.0, NOW_MS);
    }
}

#[test]
fn batches_are_recompressed_if_the_topic_wants_it() {
    for (name, codec) in [("zstd", Compression::Zstd), ("uncompressed", Compression::None)] {
        let config = config(&[("compression.type", name)]);
        for sent_codec in Compression::ALL {
            let sent_builder =
                builder().compression(sent_codec).producer(ProducerId(9), ProducerEpoch(1), 30);
            let sent = batch(sent_builder, &[NOW_MS, NOW_MS + 5, NOW_MS - 5]);
            let checked = check(sent.clone(), &config, context()).unwrap();
            assert_eq!(checked.header.compression().unwrap(), codec);
            duolog_record::verify_crc(&checked.bytes).unwrap();
            let records = |bytes: &Bytes| -> Vec<_> {
                duolog_record::records(bytes, DECODE).unwrap().map(Result::unwrap).collect()
            };
            assert_eq!(records(&checked.bytes), records(&sent));
            let header = checked.header;
            assert_eq!((header.producer_id.0, header.producer_epoch.0, header.base_sequence), (9, 1, 30));
            assert_eq!((header.max_timestamp.0, header.last_offset_delta), (NOW_MS + 5, 2));
            assert_eq!(
                checked.bytes.as_ptr() == sent.as_ptr(),
                sent_codec == codec,
                "same codec: as it came"
            );
        }
    }
}
