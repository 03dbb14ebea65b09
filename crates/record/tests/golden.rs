//! Batches that real clients sent and a real broker stored (golden/README.md) are read as what was sent.

mod common;

use bytes::Bytes;
use common::{Given, builder_of, expected, read_all};
use duolog_record::{
    BatchHeader, Compression, ControlKind, ControlRecord, Record, TimestampType, encode_header,
    patch_log_append_time, split, verify_crc,
};
use duolog_types::{NO_PRODUCER_ID, Offset, TimestampMs};

const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;
const RECORDS_PER_BATCH: i64 = 6;

/// The batches of a file, each with a valid checksum and a header that encodes to the same bytes.
fn golden(name: &str) -> Vec<(BatchHeader, Bytes)> {
    let path = format!("{}/tests/golden/{name}.log", env!("CARGO_MANIFEST_DIR"));
    let bytes = Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}")));
    let batches: Vec<_> = split(&bytes).collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{name}: {e}"));
    for (header, batch) in &batches {
        verify_crc(batch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(encode_header(header)[..], batch[..61], "{name}");
    }
    batches
}

/// What `make/librdkafka.py` and `make/Golden.java` send.
fn sent(codec: Compression) -> Vec<Given> {
    let large = "0123456789".repeat(if codec == Compression::None { 10 } else { 7000 });
    let record =
        |index: i64, key: Option<&str>, value: Option<&str>, headers: &[(&str, Option<&str>)]| Given {
            timestamp: FIRST_TIMESTAMP_MS + 10 * index,
            key: key.map(|key| key.into()),
            value: value.map(|value| value.into()),
            headers: headers
                .iter()
                .map(|(key, value)| ((*key).into(), value.map(|value| value.into())))
                .collect(),
        };
    let headers = [("h", Some("1")), ("h", Some("2")), ("null", None), ("empty", Some(""))];
    vec![
        record(0, None, Some("value-0"), &[]),
        record(1, Some("key-1"), Some("value-1"), &headers),
        record(2, Some(""), Some(""), &[]),
        record(3, Some("key-3"), None, &[]),
        record(4, None, Some(&"duolog ".repeat(20)), &[("h", Some("4"))]),
        record(5, Some("key-5"), Some(&large), &[]),
    ]
}

fn records_sent(codec: Compression, base_offset: i64) -> Vec<Record> {
    expected(&sent(codec), base_offset)
}

#[test]
fn every_codec_of_both_clients_reads_as_sent() {
    for client in ["librdkafka", "java"] {
        for codec in Compression::ALL {
            let name = format!("{client}-{codec}");
            let batches = golden(&name);
            assert_eq!(batches.len(), 1, "{name}");
            let (header, batch) = &batches[0];
            assert_eq!(header.compression(), Ok(codec), "{name}");
            assert_eq!(header.timestamp_type(), TimestampType::CreateTime, "{name}");
            assert_eq!(header.producer_id, NO_PRODUCER_ID, "{name}");
            assert_eq!(header.last_offset(), Offset(RECORDS_PER_BATCH - 1), "{name}");
            assert_eq!(header.max_timestamp, TimestampMs(FIRST_TIMESTAMP_MS + 50), "{name}");
            assert_eq!(read_all(batch), Ok(records_sent(codec, 0)), "{name}");
        }
    }
}

#[test]
fn the_builder_makes_the_very_bytes_of_both_clients() {
    for client in ["librdkafka", "java"] {
        let (_, theirs) = golden(&format!("{client}-none")).remove(0);
        let ours = builder_of(&sent(Compression::None), 0, Compression::None).leader_epoch(0);
        assert_eq!(ours.build(), Ok(theirs), "{client}");
    }
}

#[test]
fn idempotent_batch_carries_its_producer() {
    let (header, batch) = golden("librdkafka-idempotent").remove(0);
    assert_eq!(header.compression(), Ok(Compression::Lz4));
    assert!(header.producer_id.0 >= 0);
    assert_eq!((header.producer_epoch.0, header.base_sequence, header.last_sequence()), (0, 0, 5));
    assert!(!header.is_transactional());
    assert_eq!(read_all(&batch), Ok(records_sent(Compression::Lz4, 0)));
}

#[test]
fn log_append_time_is_the_brokers_for_every_record_and_patched_alike() {
    let (header, batch) = golden("java-logappendtime").remove(0);
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    let mut want = records_sent(Compression::Zstd, 0);
    for record in &mut want {
        record.timestamp = header.max_timestamp;
    }
    assert_eq!(read_all(&batch), Ok(want));

    // The same records as the client sent them, patched with that broker's time, are its bytes.
    let (_, as_sent) = golden("java-zstd").remove(0);
    let mut patched = as_sent.to_vec();
    patch_log_append_time(&mut patched, header.max_timestamp);
    assert_eq!(patched, batch);
}

#[test]
fn transactions_end_in_markers() {
    let batches = golden("java-transactions");
    assert_eq!(batches.len(), 4);
    for (index, kind) in [(1, ControlKind::Commit), (3, ControlKind::Abort)] {
        let (data, data_batch) = &batches[index - 1];
        let (marker, marker_batch) = &batches[index];
        assert!(data.is_transactional() && !data.is_control());
        assert_eq!(read_all(data_batch), Ok(records_sent(Compression::Gzip, data.base_offset.0)));
        assert!(marker.is_transactional() && marker.is_control());
        assert_eq!(marker.producer_id, data.producer_id);
        assert_eq!(marker.base_offset, data.next_offset());
        let records = read_all(marker_batch).expect("reads");
        assert_eq!(records.len(), 1);
        assert_eq!(ControlRecord::parse(&records[0]), Ok(ControlRecord { kind, coordinator_epoch: 0 }));
    }
}
