//! Writes batches of ours to standard output, for Kafka's own code to read (tests/golden/make/Check.java).

use std::io::Write;

use duolog_record::{
    BatchBuilder, BatchError, BatchHeader, Compression, ControlBatch, ControlKind, DecodeBudget,
    control_batch, empty_batch, empty_range, patch_log_append_time, rebuild,
};
use duolog_types::{Offset, ProducerEpoch, ProducerId, TimestampMs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let mut next = Offset::ZERO;
    for codec in Compression::ALL {
        let whole = data_batch(next, codec)?;
        let header = BatchHeader::parse(&whole)?;
        next = header.next_offset();
        let some = rebuild(&whole, DecodeBudget::default(), |record| record.offset.0 % 2 == 0)?;
        let mut stamped = whole.to_vec();
        patch_log_append_time(&mut stamped, TimestampMs(1_700_000_000_999));
        for batch in [&whole[..], &some, &empty_batch(&header), &stamped] {
            out.write_all(batch)?;
        }
    }
    out.write_all(&empty_range(next, next.plus(1_000_000), TimestampMs(5))?)?;
    for kind in [ControlKind::Abort, ControlKind::Commit] {
        out.write_all(&control_batch(&ControlBatch {
            kind,
            coordinator_epoch: 6,
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(1),
            timestamp: TimestampMs(1_700_000_000_000),
            offset: next.plus(1_000_001),
        }))?;
    }
    Ok(())
}

fn data_batch(base: Offset, codec: Compression) -> Result<bytes::Bytes, BatchError> {
    let mut builder = BatchBuilder::new(base)
        .compression(codec)
        .producer(ProducerId(9), ProducerEpoch(1), i32::MAX - 1)
        .transactional();
    for index in 0..20_i64 {
        let value = format!("{codec} ").repeat(1000 * index as usize);
        let headers: [(&[u8], Option<&[u8]>); 3] = [(b"h", Some(b"1")), (b"h", Some(b"")), (b"", None)];
        builder.push_with_headers(
            TimestampMs(1_700_000_000_000 - 7 * index),
            (index % 3 != 0).then(|| index.to_string()).as_deref().map(str::as_bytes),
            (index % 5 != 0).then_some(value.as_bytes()),
            &headers,
        )?;
    }
    builder.build()
}
