//! Kafka's error codes: name, whether to try again, and what they mean for who asked.
//!
//! Source: Kafka's protocol guide, "Error Codes". A code that isn't in the table is shown as its number.

use std::fmt;

use super::error::ClientError;

/// An error code of the Kafka protocol; 0 is "no error".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i16);

struct Entry {
    code: i16,
    name: &'static str,
    retriable: bool,
    meaning: &'static str,
}

const fn e(code: i16, name: &'static str, retriable: bool, meaning: &'static str) -> Entry {
    Entry { code, name, retriable, meaning }
}

/// Sorted by code.
const TABLE: &[Entry] = &[
    e(-1, "UNKNOWN_SERVER_ERROR", false, "the broker failed; its log says why"),
    e(1, "OFFSET_OUT_OF_RANGE", false, "the partition doesn't hold that offset"),
    e(2, "CORRUPT_MESSAGE", true, "a batch failed its checksum"),
    e(3, "UNKNOWN_TOPIC_OR_PARTITION", true, "there is no such topic or partition"),
    e(4, "INVALID_FETCH_SIZE", false, "the fetch size is invalid"),
    e(5, "LEADER_NOT_AVAILABLE", true, "the partition has no leader at the moment"),
    e(6, "NOT_LEADER_OR_FOLLOWER", true, "the partition's leader is another broker"),
    e(7, "REQUEST_TIMED_OUT", true, "the broker's own time limit passed"),
    e(8, "BROKER_NOT_AVAILABLE", false, "the broker is not available"),
    e(10, "MESSAGE_TOO_LARGE", false, "the batch is larger than the topic's max.message.bytes"),
    e(12, "OFFSET_METADATA_TOO_LARGE", false, "the commit's metadata is too long"),
    e(13, "NETWORK_EXCEPTION", true, "the broker lost a connection"),
    e(14, "COORDINATOR_LOAD_IN_PROGRESS", true, "the group's coordinator is starting"),
    e(15, "COORDINATOR_NOT_AVAILABLE", true, "the group's coordinator is not available"),
    e(16, "NOT_COORDINATOR", true, "the group's coordinator is another broker"),
    e(17, "INVALID_TOPIC_EXCEPTION", false, "1 to 249 characters of a-z A-Z 0-9 . _ - are allowed"),
    e(18, "RECORD_LIST_TOO_LARGE", false, "the batch is larger than a segment"),
    e(19, "NOT_ENOUGH_REPLICAS", true, "too few replicas are in sync"),
    e(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", true, "written, but too few replicas are in sync"),
    e(21, "INVALID_REQUIRED_ACKS", false, "acks must be 0, 1 or all"),
    e(22, "ILLEGAL_GENERATION", false, "the group has rebalanced"),
    e(23, "INCONSISTENT_GROUP_PROTOCOL", false, "the group's members use another assignor or protocol"),
    e(24, "INVALID_GROUP_ID", false, "the group id is invalid"),
    e(25, "UNKNOWN_MEMBER_ID", false, "the group doesn't know this member any more"),
    e(26, "INVALID_SESSION_TIMEOUT", false, "the session timeout is outside the broker's limits"),
    e(27, "REBALANCE_IN_PROGRESS", false, "the group is rebalancing"),
    e(28, "INVALID_COMMIT_OFFSET_SIZE", false, "the commit is too large"),
    e(29, "TOPIC_AUTHORIZATION_FAILED", false, "not allowed on this topic"),
    e(30, "GROUP_AUTHORIZATION_FAILED", false, "not allowed on this group"),
    e(31, "CLUSTER_AUTHORIZATION_FAILED", false, "not allowed on this cluster"),
    e(32, "INVALID_TIMESTAMP", false, "a record's timestamp is outside the topic's limits"),
    e(33, "UNSUPPORTED_SASL_MECHANISM", false, "the broker doesn't know that SASL mechanism"),
    e(34, "ILLEGAL_SASL_STATE", false, "the listener wants SASL first"),
    e(35, "UNSUPPORTED_VERSION", false, "the broker doesn't serve that version"),
    e(36, "TOPIC_ALREADY_EXISTS", false, "there is a topic of that name"),
    e(37, "INVALID_PARTITIONS", false, "the number of partitions is invalid"),
    e(38, "INVALID_REPLICATION_FACTOR", false, "more replicas than brokers, or fewer than one"),
    e(39, "INVALID_REPLICA_ASSIGNMENT", false, "the replica assignment is invalid"),
    e(40, "INVALID_CONFIG", false, "a topic setting is invalid"),
    e(41, "NOT_CONTROLLER", true, "the controller is another broker"),
    e(42, "INVALID_REQUEST", false, "the request is malformed"),
    e(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", false, "the record format doesn't allow that"),
    e(44, "POLICY_VIOLATION", false, "the broker's policy forbids it"),
    e(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false, "the producer's sequence has a gap"),
    e(46, "DUPLICATE_SEQUENCE_NUMBER", false, "the producer sent this batch before"),
    e(47, "INVALID_PRODUCER_EPOCH", false, "a newer producer took over"),
    e(48, "INVALID_TXN_STATE", false, "the transaction's state doesn't allow that"),
    e(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", false, "not allowed on this transactional id"),
    e(54, "SECURITY_DISABLED", false, "the broker has no authorizer"),
    e(55, "OPERATION_NOT_ATTEMPTED", false, "another part of the request failed first"),
    e(56, "KAFKA_STORAGE_ERROR", true, "the broker's disk failed"),
    e(58, "SASL_AUTHENTICATION_FAILED", false, "wrong credentials"),
    e(59, "UNKNOWN_PRODUCER_ID", false, "the broker forgot this producer"),
    e(60, "REASSIGNMENT_IN_PROGRESS", false, "the partition is being moved"),
    e(68, "NON_EMPTY_GROUP", false, "the group has members"),
    e(69, "GROUP_ID_NOT_FOUND", false, "there is no such group"),
    e(70, "FETCH_SESSION_ID_NOT_FOUND", true, "the broker forgot the fetch session"),
    e(71, "INVALID_FETCH_SESSION_EPOCH", true, "the fetch session is out of step"),
    e(72, "LISTENER_NOT_FOUND", true, "the leader has no such listener"),
    e(73, "TOPIC_DELETION_DISABLED", false, "the broker doesn't let topics be deleted"),
    e(74, "FENCED_LEADER_EPOCH", true, "the leader changed"),
    e(75, "UNKNOWN_LEADER_EPOCH", true, "the broker is behind on leadership"),
    e(76, "UNSUPPORTED_COMPRESSION_TYPE", false, "the broker doesn't know the codec"),
    e(77, "STALE_BROKER_EPOCH", false, "the broker restarted meanwhile"),
    e(78, "OFFSET_NOT_AVAILABLE", true, "the leader doesn't know its high watermark yet"),
    e(79, "MEMBER_ID_REQUIRED", false, "join again with the id that was given"),
    e(80, "PREFERRED_LEADER_NOT_AVAILABLE", true, "the preferred leader is not available"),
    e(81, "GROUP_MAX_SIZE_REACHED", false, "the group is full"),
    e(82, "FENCED_INSTANCE_ID", false, "another member has this static id"),
    e(86, "GROUP_SUBSCRIBED_TO_TOPIC", false, "the group still consumes this topic"),
    e(87, "INVALID_RECORD", false, "the broker refuses a record"),
    e(88, "UNSTABLE_OFFSET_COMMIT", true, "a transaction's offsets are pending"),
    e(89, "THROTTLING_QUOTA_EXCEEDED", true, "a quota is used up"),
    e(90, "PRODUCER_FENCED", false, "a newer producer took over"),
    e(91, "RESOURCE_NOT_FOUND", false, "there is no such resource"),
    e(95, "INCONSISTENT_CLUSTER_ID", false, "this is another cluster"),
    e(99, "INELIGIBLE_REPLICA", false, "the replica isn't eligible"),
    e(100, "UNKNOWN_TOPIC_ID", true, "there is no topic of that id"),
    e(110, "FENCED_MEMBER_EPOCH", false, "the group moved on without this member"),
    e(111, "UNRELEASED_INSTANCE_ID", false, "another member has this static id"),
    e(112, "UNSUPPORTED_ASSIGNOR", false, "the group doesn't use that assignor"),
    e(113, "STALE_MEMBER_EPOCH", false, "the group moved on without this member"),
];

impl ErrorCode {
    /// No error.
    pub const NONE: Self = Self(0);
    /// The fetch's offset isn't in the partition.
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    /// There is no such topic or partition.
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    /// The group has moved on.
    pub const ILLEGAL_GENERATION: Self = Self(22);
    /// The group doesn't know the member.
    pub const UNKNOWN_MEMBER_ID: Self = Self(25);
    /// Join again.
    pub const REBALANCE_IN_PROGRESS: Self = Self(27);
    /// The broker doesn't know the version of the request.
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    /// There is no such group.
    pub const GROUP_ID_NOT_FOUND: Self = Self(69);
    /// Join again with the member id of the answer.
    pub const MEMBER_ID_REQUIRED: Self = Self(79);

    fn entry(self) -> Option<&'static Entry> {
        TABLE.binary_search_by_key(&self.0, |entry| entry.code).ok().map(|index| &TABLE[index])
    }

    /// What the code means, if it is one of the known.
    #[must_use]
    pub fn meaning(self) -> Option<&'static str> {
        self.entry().map(|entry| entry.meaning)
    }

    /// Whether Kafka's clients try again after it.
    #[must_use]
    pub fn is_retriable(self) -> bool {
        self.entry().is_some_and(|entry| entry.retriable)
    }

    /// Nothing, if this is "no error".
    ///
    /// # Errors
    /// [`ClientError::Broker`] with what `what` says was asked.
    pub fn check(self, what: impl FnOnce() -> String, message: Option<&str>) -> Result<(), ClientError> {
        if self == Self::NONE {
            return Ok(());
        }
        Err(ClientError::Broker { what: what(), code: self, message: message.map(str::to_owned) })
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry() {
            Some(entry) => f.write_str(entry.name),
            None => write!(f, "error {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_code_is_found() {
        assert!(TABLE.is_sorted_by(|a, b| a.code < b.code));
        assert_eq!(ErrorCode(36).to_string(), "TOPIC_ALREADY_EXISTS");
        assert_eq!(ErrorCode(-1).to_string(), "UNKNOWN_SERVER_ERROR");
        assert_eq!(ErrorCode(3000).to_string(), "error 3000");
    }
}
