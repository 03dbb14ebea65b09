//! Fetch responses, versions 4 to 18, as pieces: the fields encoded here, the stored batches between them as
//! they are.
//!
//! ```text
//! pieces: [length, header, topic, partition, size of records] [batch run] [batch run] [tags, partition, …]
//!          encoded here                                       stored bytes, not copied
//! ```
//!
//! Small runs are copied: a slice in the write call costs more than a few hundred bytes of copying.

use bytes::{BufMut, Bytes, BytesMut};

use crate::session::reply::{ResponseFrame, finish};

/// Runs up to this size are copied into the encoded piece.
const COPY_BYTES: usize = 512;

/// One partition of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionAnswer {
    /// Its index.
    pub partition: i32,
    /// Its error.
    pub error_code: i16,
    /// One behind the last offset that readers may see; -1 if unknown.
    pub high_watermark: i64,
    /// What `read_committed` readers may see; -1 if unknown.
    pub last_stable_offset: i64,
    /// The first offset there is; -1 if unknown.
    pub log_start_offset: i64,
    /// Where the client's log and ours part: epoch and its end offset (v12+).
    pub diverging_epoch: Option<(i32, i64)>,
    /// Leader id and epoch, for clients that had others in mind (v12+).
    pub current_leader: Option<(i32, i32)>,
    /// Whole batches.
    pub runs: Vec<Bytes>,
}

/// The topics of a response, each with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicAnswer {
    /// Its name (until v12).
    pub name: std::sync::Arc<str>,
    /// Its id (v13+).
    pub id: [u8; 16],
    /// Its partitions.
    pub partitions: Vec<PartitionAnswer>,
}

/// What stands around the topics.
#[derive(Clone, Debug, Default)]
pub struct FetchAnswer {
    /// The error of the whole request (v7+).
    pub error_code: i16,
    /// The session to go on with; 0 for none (v7+).
    pub session_id: i32,
    /// Whether `aborted_transactions` is a list (read_committed) or null.
    pub read_committed: bool,
    /// The topics.
    pub topics: Vec<TopicAnswer>,
    /// Brokers that `current_leader` names: id, host, port (v16+).
    pub endpoints: Vec<(i32, String, u16)>,
}

/// Why a response can't be framed.
#[derive(Debug, thiserror::Error)]
#[error("a fetch response of {bytes} bytes is longer than its length prefix can say")]
pub struct TooLong {
    bytes: usize,
}

/// Encodes a response into pieces.
///
/// # Errors
/// [`TooLong`], which bounded fetches never reach.
pub fn encode(frame: ResponseFrame, version: i16, answer: FetchAnswer) -> Result<Vec<Bytes>, TooLong> {
    let partitions: usize = answer.topics.iter().map(|topic| topic.partitions.len()).sum();
    let mut out = Pieces {
        flexible: version >= 12,
        head: frame.begin(64 + 48 * answer.topics.len() + 64 * partitions),
        done: Vec::new(),
        done_bytes: 0,
    };
    out.head.put_i32(0); // throttle_time_ms
    if version >= 7 {
        out.head.put_i16(answer.error_code);
        out.head.put_i32(answer.session_id);
    }
    out.count(answer.topics.len());
    for topic in answer.topics {
        if version >= 13 {
            out.head.put_slice(&topic.id);
        } else {
            out.string(&topic.name);
        }
        out.count(topic.partitions.len());
        for partition in topic.partitions {
            out.partition(partition, version, answer.read_committed);
        }
        out.no_tags();
    }
    if out.flexible {
        out.endpoints(version, &answer.endpoints);
    }
    out.finish()
}

struct Pieces {
    flexible: bool,
    /// What is being encoded.
    head: BytesMut,
    /// What is complete. The first piece keeps the length prefix, which is written last.
    done: Vec<Piece>,
    done_bytes: usize,
}

enum Piece {
    Encoded(BytesMut),
    Stored(Bytes),
}

impl Pieces {
    fn partition(&mut self, partition: PartitionAnswer, version: i16, read_committed: bool) {
        self.head.put_i32(partition.partition);
        self.head.put_i16(partition.error_code);
        self.head.put_i64(partition.high_watermark);
        self.head.put_i64(partition.last_stable_offset);
        if version >= 5 {
            self.head.put_i64(partition.log_start_offset);
        }
        match (read_committed, self.flexible) {
            (true, _) => self.count(0),
            (false, true) => self.head.put_u8(0),
            (false, false) => self.head.put_i32(-1),
        }
        if version >= 11 {
            self.head.put_i32(-1); // preferred_read_replica
        }
        self.records(partition.runs);
        if self.flexible {
            let tags = u8::from(partition.diverging_epoch.is_some()) + u8::from(partition.current_leader.is_some());
            self.head.put_u8(tags);
            if let Some((epoch, end_offset)) = partition.diverging_epoch {
                self.head.put_slice(&[0, 13]);
                self.head.put_i32(epoch);
                self.head.put_i64(end_offset);
                self.head.put_u8(0);
            }
            if let Some((leader, epoch)) = partition.current_leader {
                self.head.put_slice(&[1, 9]);
                self.head.put_i32(leader);
                self.head.put_i32(epoch);
                self.head.put_u8(0);
            }
        }
    }

    fn records(&mut self, runs: Vec<Bytes>) {
        let bytes: usize = runs.iter().map(Bytes::len).sum();
        if self.flexible {
            self.varint(bytes + 1);
        } else {
            // The caller's bound on a fetch is far below; `finish` checks the sum.
            self.head.put_i32(i32::try_from(bytes).unwrap_or(i32::MAX));
        }
        for run in runs {
            if run.len() <= COPY_BYTES {
                self.head.put_slice(&run);
            } else {
                self.close_piece();
                self.done_bytes += run.len();
                self.done.push(Piece::Stored(run));
            }
        }
    }

    fn endpoints(&mut self, version: i16, endpoints: &[(i32, String, u16)]) {
        if version < 16 || endpoints.is_empty() {
            return self.head.put_u8(0);
        }
        let mut tag = Pieces { flexible: true, head: BytesMut::new(), done: Vec::new(), done_bytes: 0 };
        tag.count(endpoints.len());
        for (node, host, port) in endpoints {
            tag.head.put_i32(*node);
            tag.string(host);
            tag.head.put_i32(i32::from(*port));
            tag.head.put_u8(0); // no rack
            tag.no_tags();
        }
        self.head.put_slice(&[1, 0]); // one tagged field, number 0
        self.varint(tag.head.len());
        self.head.put_slice(&tag.head);
    }

    fn string(&mut self, text: &str) {
        if self.flexible {
            self.varint(text.len() + 1);
        } else {
            // Topic names have at most 249 bytes.
            self.head.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        }
        self.head.put_slice(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        if self.flexible {
            self.varint(count + 1);
        } else {
            self.head.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
        }
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.head.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.head.put_u8(value as u8);
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.head.put_u8(0);
        }
    }

    fn close_piece(&mut self) {
        if !self.head.is_empty() {
            // The rest of the buffer stays behind for the next piece.
            let piece = self.head.split();
            self.done_bytes += piece.len();
            self.done.push(Piece::Encoded(piece));
        }
    }

    fn finish(mut self) -> Result<Vec<Bytes>, TooLong> {
        self.close_piece();
        let total = self.done_bytes;
        let mut pieces = Vec::with_capacity(self.done.len());
        for piece in self.done {
            pieces.push(match piece {
                Piece::Stored(bytes) => bytes,
                Piece::Encoded(mut bytes) => {
                    if pieces.is_empty() {
                        let behind = total - bytes.len();
                        finish(&mut bytes, behind).map_err(|_| TooLong { bytes: total })?;
                    }
                    bytes.freeze()
                }
            });
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_wire::FetchResponse;
    use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode};
    use proptest::prelude::*;

    fn partition() -> impl Strategy<Value = PartitionAnswer> {
        let run = prop_oneof![0..40_usize, 500..520_usize, 2000..2001_usize];
        (
            any::<i32>(),
            any::<i16>(),
            any::<(i64, i64, i64)>(),
            any::<Option<(i32, i64)>>(),
            any::<Option<(i32, i32)>>(),
            prop::collection::vec((run, any::<u8>()), 0..3),
        )
            .prop_map(|(partition, error_code, offsets, diverging_epoch, current_leader, runs)| PartitionAnswer {
                partition,
                error_code,
                high_watermark: offsets.0,
                last_stable_offset: offsets.1,
                log_start_offset: offsets.2,
                diverging_epoch,
                current_leader,
                runs: runs.into_iter().map(|(len, byte)| Bytes::from(vec![byte; len])).collect(),
            })
    }

    fn answer() -> impl Strategy<Value = FetchAnswer> {
        let topic = (0..200_usize, any::<[u8; 16]>(), prop::collection::vec(partition(), 0..4))
            .prop_map(|(len, id, partitions)| TopicAnswer { name: "n".repeat(len).into(), id, partitions });
        let endpoint = (any::<i32>(), 0..150_usize, any::<u16>()).prop_map(|(id, len, port)| (id, "h".repeat(len), port));
        (
            any::<i16>(),
            any::<i32>(),
            any::<bool>(),
            prop::collection::vec(topic, 0..4),
            prop::collection::vec(endpoint, 0..3),
        )
            .prop_map(|(error_code, session_id, read_committed, topics, endpoints)| FetchAnswer {
                error_code,
                session_id,
                read_committed,
                topics,
                endpoints,
            })
    }

    proptest! {
        /// Decoded by the generated code, every version says what was meant.
        #[test]
        fn every_version_decodes_to_what_was_meant(answer in answer(), version in 4_i16..=18) {
            let frame = ResponseFrame { correlation_id: 3, flexible_header: version >= 12 };
            let pieces = encode(frame, version, answer.clone()).unwrap();
            let bytes: Bytes = pieces.concat().into();
            prop_assert_eq!(i32::from_be_bytes(*bytes.first_chunk().unwrap()) as usize, bytes.len() - 4);
            let body = bytes.slice(if version >= 12 { 9 } else { 8 }..);
            let mut decoder = Decoder::new(body, DecodeLimits::default()).unwrap();
            let decoded = FetchResponse::decode(&mut decoder, ApiVersion::new(version)).unwrap();
            prop_assert_eq!(decoder.remaining(), 0);
            if version >= 7 {
                prop_assert_eq!((decoded.error_code, decoded.session_id), (answer.error_code, answer.session_id));
            }
            let endpoints: Vec<_> = decoded
                .node_endpoints
                .iter()
                .map(|node| (node.node_id, node.host.as_str().to_owned(), node.port as u16))
                .collect();
            prop_assert_eq!(endpoints, if version >= 16 { answer.endpoints } else { Vec::new() });
            prop_assert_eq!(decoded.responses.len(), answer.topics.len());
            for (theirs, ours) in decoded.responses.iter().zip(&answer.topics) {
                if version >= 13 {
                    prop_assert_eq!(theirs.topic_id.as_bytes(), &ours.id);
                } else {
                    prop_assert_eq!(theirs.topic.as_str(), &*ours.name);
                }
                prop_assert_eq!(theirs.partitions.len(), ours.partitions.len());
                for (theirs, ours) in theirs.partitions.iter().zip(&ours.partitions) {
                    let expected = PartitionAnswer {
                        log_start_offset: if version >= 5 { ours.log_start_offset } else { -1 },
                        diverging_epoch: ours.diverging_epoch.filter(|_| version >= 12),
                        current_leader: ours.current_leader.filter(|_| version >= 12),
                        runs: vec![ours.runs.concat().into()],
                        ..ours.clone()
                    };
                    let seen = PartitionAnswer {
                        partition: theirs.partition_index,
                        error_code: theirs.error_code,
                        high_watermark: theirs.high_watermark,
                        last_stable_offset: theirs.last_stable_offset,
                        log_start_offset: theirs.log_start_offset,
                        diverging_epoch: expected.diverging_epoch.map(|_| (theirs.diverging_epoch.epoch, theirs.diverging_epoch.end_offset)),
                        current_leader: expected.current_leader.map(|_| (theirs.current_leader.leader_id, theirs.current_leader.leader_epoch)),
                        runs: vec![theirs.records.clone().unwrap()],
                    };
                    prop_assert_eq!(seen, expected);
                    prop_assert_eq!(theirs.aborted_transactions.is_some(), answer.read_committed);
                    prop_assert_eq!(theirs.preferred_read_replica, -1);
                }
            }
        }
    }

    #[test]
    fn large_runs_are_not_copied() {
        let run = Bytes::from(vec![1; 4096]);
        let partition = PartitionAnswer { runs: vec![run.clone(), run.clone()], ..PartitionAnswer::default() };
        let topics = vec![TopicAnswer { name: "t".into(), id: [1; 16], partitions: vec![partition] }];
        let answer = FetchAnswer { topics, ..FetchAnswer::default() };
        let frame = ResponseFrame { correlation_id: 3, flexible_header: true };
        let pieces = encode(frame, 17, answer).unwrap();
        assert_eq!(pieces.iter().filter(|piece| piece.as_ptr() == run.as_ptr()).count(), 2);
        assert_eq!(pieces.len(), 4);
    }
}
