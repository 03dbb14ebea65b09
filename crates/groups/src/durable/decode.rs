//! Bytes to records. The bytes carry a CRC where they are stored, yet nothing here trusts them: every length is
//! checked against what is there before anything is reserved.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use duolog_types::{GroupId, LeaderEpoch, MemberId, Offset, TimestampMs, TopicId};

use super::encode::{GENERATION, GROUP, GROUP_DELETED, OFFSETS, OFFSETS_DELETED, VERSION};
use super::{GroupRecord, MemberRecord, Record};
use crate::event::TopicPartition;
use crate::offsets::CommittedOffset;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field reaches beyond the end.
    #[error("group record ends within a field, {missing} bytes short")]
    Truncated {
        /// How many bytes are missing at least.
        missing: usize,
    },
    /// Something follows the last field.
    #[error("{count} bytes follow the group record")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// Written by a newer version.
    #[error("group record has version {version}, this binary knows up to {VERSION}")]
    Version {
        /// The version.
        version: u8,
    },
    /// No such kind of record.
    #[error("group record has the unknown kind {kind}")]
    Kind {
        /// The kind.
        kind: u8,
    },
    /// Neither 0 nor 1 before an optional field.
    #[error("group record holds {flag} where 0 or 1 tells whether a field follows")]
    Flag {
        /// What stands there.
        flag: u8,
    },
    /// A length that no record can have.
    #[error("group record holds a length of more than 32 bits")]
    Length,
    /// A string isn't UTF-8.
    #[error("a string in the group record is not UTF-8")]
    NotUtf8,
}

impl Record {
    /// Reads what [`Record::encode`] made.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let mut input = Input(bytes);
        let version = input.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version { version });
        }
        let kind = input.u8()?;
        let record = match kind {
            GROUP => Record::Group(Arc::new(input.group()?)),
            GROUP_DELETED => Record::GroupDeleted(input.group_id()?),
            OFFSETS => {
                let group = input.group_id()?;
                Record::Offsets { group, offsets: input.list(Input::committed)? }
            }
            OFFSETS_DELETED => {
                let group = input.group_id()?;
                Record::OffsetsDeleted { group, partitions: input.list(Input::partition)? }
            }
            GENERATION => Record::Generation { group: input.group_id()?, generation: input.i32()? },
            _ => return Err(DecodeError::Kind { kind }),
        };
        if !input.0.is_empty() {
            return Err(DecodeError::Trailing { count: input.0.len() });
        }
        Ok(record)
    }
}

/// What is still unread.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .0
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated { missing: length.saturating_sub(self.0.len()) })?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn millis(&mut self) -> Result<Duration, DecodeError> {
        Ok(Duration::from_millis(u64::from(u32::from_le_bytes(self.array()?))))
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        let mut length: u32 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            let part = u32::from(byte & 0x7f);
            if shift == 28 && part > 0x0f {
                return Err(DecodeError::Length);
            }
            length |= part << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(length).map_err(|_| DecodeError::Length);
            }
        }
        Err(DecodeError::Length)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<Arc<str>, DecodeError> {
        std::str::from_utf8(self.bytes()?).map(Arc::from).map_err(|_| DecodeError::NotUtf8)
    }

    fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            flag => Err(DecodeError::Flag { flag }),
        }
    }

    /// Every element takes at least a byte, so a count that lies ends in `Truncated` before it costs memory.
    fn list<T>(&mut self, read: fn(&mut Self) -> Result<T, DecodeError>) -> Result<Vec<T>, DecodeError> {
        let count = self.length()?;
        if count > self.0.len() {
            return Err(DecodeError::Truncated { missing: count - self.0.len() });
        }
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn group_id(&mut self) -> Result<GroupId, DecodeError> {
        self.text().map(GroupId)
    }

    fn group(&mut self) -> Result<GroupRecord, DecodeError> {
        Ok(GroupRecord {
            group: self.group_id()?,
            generation: self.i32()?,
            state_since: TimestampMs(self.i64()?),
            protocol_type: self.optional(Self::text)?,
            protocol_name: self.optional(Self::text)?,
            leader: self.optional(Self::text)?.map(MemberId),
            members: self.list(Self::member)?,
        })
    }

    fn member(&mut self) -> Result<MemberRecord, DecodeError> {
        Ok(MemberRecord {
            member_id: MemberId(self.text()?),
            instance_id: self.optional(Self::text)?,
            client_id: self.text()?,
            client_host: self.text()?,
            rebalance_timeout: self.millis()?,
            session_timeout: self.millis()?,
            subscription: Bytes::copy_from_slice(self.bytes()?),
            assignment: Bytes::copy_from_slice(self.bytes()?),
        })
    }

    fn partition(&mut self) -> Result<TopicPartition, DecodeError> {
        Ok(TopicPartition { topic: self.text()?, partition: self.i32()? })
    }

    fn committed(&mut self) -> Result<(TopicPartition, CommittedOffset), DecodeError> {
        let partition = self.partition()?;
        let offset = CommittedOffset {
            topic_id: TopicId(self.array()?),
            offset: Offset(self.i64()?),
            leader_epoch: self.optional(Self::i32)?.map(LeaderEpoch),
            committed_at: TimestampMs(self.i64()?),
            expires_at: self.optional(Self::i64)?.map(TimestampMs),
            metadata: self.text()?,
        };
        Ok((partition, offset))
    }
}
