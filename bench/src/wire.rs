//! Produce requests made by hand, byte by byte, so that no client library stands between the clock and the socket.
//!
//! Version 9 is the first flexible one; every broker of today serves it. Every request of a connection is the same
//! bytes: base offsets and checksums don't depend on what was sent before, as long as nobody asks for idempotence.

use anyhow::{Context, ensure};
use duolog_record::BatchBuilder;
use duolog_types::{Offset, TimestampMs};

/// Produce, version 9.
const HEADER: [u8; 4] = [0, 0, 0, 9];
const ACKS_ALL: i16 = -1;
const TIMEOUT_MS: i32 = 30_000;
/// In front of every response: its length.
pub const LENGTH_BYTES: usize = 4;

/// A batch of `records` records of `value_bytes` bytes that don't compress and differ from each other.
pub fn batch(records: u32, value_bytes: usize, key: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let mut builder = BatchBuilder::new(Offset::ZERO);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..records {
        let value: Vec<u8> = (0..value_bytes)
            .map(|_| {
                // xorshift64
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        builder.push(TimestampMs(i64::try_from(now)?), key.map(str::as_bytes), Some(&value))?;
    }
    Ok(builder.build()?.to_vec())
}

/// A whole Produce frame: each of `parts` is a partition and its batch.
pub fn produce_frame(topic: &str, parts: &[(u32, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut frame = vec![0; LENGTH_BYTES];
    frame.extend_from_slice(&HEADER);
    frame.extend_from_slice(&7i32.to_be_bytes());
    let client_id = "duolog-bench";
    frame.extend_from_slice(&i16::try_from(client_id.len())?.to_be_bytes());
    frame.extend_from_slice(client_id.as_bytes());
    frame.push(0); // no tagged fields in the header
    frame.push(0); // no transactional id
    frame.extend_from_slice(&ACKS_ALL.to_be_bytes());
    frame.extend_from_slice(&TIMEOUT_MS.to_be_bytes());
    put_compact_len(&mut frame, 1);
    put_compact_len(&mut frame, topic.len());
    frame.extend_from_slice(topic.as_bytes());
    put_compact_len(&mut frame, parts.len());
    for (partition, batch) in parts {
        frame.extend_from_slice(&partition.to_be_bytes());
        put_compact_len(&mut frame, batch.len());
        frame.extend_from_slice(batch);
        frame.push(0); // no tagged fields: of the partition,
    }
    frame.push(0); // of the topic,
    frame.push(0); // of the request
    let length = i32::try_from(frame.len() - LENGTH_BYTES)?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Checks that a Produce response (without its length) says that every partition was appended.
pub fn check_response(response: &[u8]) -> anyhow::Result<()> {
    let mut rest = Reader(response);
    rest.skip(4)?; // correlation id
    rest.skip_tags()?;
    for _ in 0..rest.compact_len()? {
        let name = rest.compact_len()?;
        rest.skip(name)?;
        for _ in 0..rest.compact_len()? {
            let partition = rest.take::<4>().map(i32::from_be_bytes)?;
            let error = rest.take::<2>().map(i16::from_be_bytes)?;
            ensure!(error == 0, "partition {partition} was answered with error {error}");
            rest.skip(8 + 8 + 8)?; // base offset, append time, log start
            let record_errors = rest.compact_len()?;
            ensure!(record_errors == 0, "{record_errors} record errors without an error");
            let message = rest.compact_len()?;
            rest.skip(message)?;
            rest.skip_tags()?;
        }
        rest.skip_tags()?;
    }
    Ok(())
}

/// Lengths of compact strings and arrays are one larger than they are, so that 0 can mean null.
fn put_compact_len(into: &mut Vec<u8>, len: usize) {
    let mut rest = len + 1;
    while rest >= 0x80 {
        into.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().context("the response is cut off")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn skip(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.0 = self.0.get(bytes..).context("the response is cut off")?;
        Ok(())
    }

    fn uvarint(&mut self) -> anyhow::Result<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take::<1>()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        anyhow::bail!("a length of more than five bytes")
    }

    fn compact_len(&mut self) -> anyhow::Result<usize> {
        Ok(self.uvarint()?.saturating_sub(1))
    }

    fn skip_tags(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let bytes = self.uvarint()?;
            self.skip(bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_their_length_in_front_and_hold_the_batches() {
        let one = batch(3, 100, None).unwrap();
        assert_eq!(duolog_record::BatchHeader::parse(&one).unwrap().record_count, 3);
        duolog_record::verify_crc(&one).unwrap();
        let frame = produce_frame("t", &[(0, &one), (300, &one)]).unwrap();
        assert_eq!(i32::from_be_bytes(*frame.first_chunk().unwrap()) as usize, frame.len() - LENGTH_BYTES);
        assert_eq!(frame.windows(one.len()).filter(|window| *window == one).count(), 2);
    }

    #[test]
    fn an_error_in_a_response_is_seen() {
        let response = |error: i16| {
            let mut bytes = vec![0, 0, 0, 7, 0, 2, 2, b't', 2, 0, 0, 0, 5];
            bytes.extend_from_slice(&error.to_be_bytes());
            bytes.extend_from_slice(&[0; 24]);
            bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
            bytes
        };
        check_response(&response(0)).unwrap();
        assert_eq!(
            check_response(&response(3)).unwrap_err().to_string(),
            "partition 5 was answered with error 3"
        );
        assert!(check_response(&response(0)[..20]).is_err());
    }
}
