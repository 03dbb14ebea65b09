//! What an account uses and may use.

use super::json::go_struct;

go_struct! {
    /// What an account may use; -1 is any amount.
    pub struct AccountLimits: "JetStreamAccountLimits" {
        /// Bytes in memory.
        max_memory: i64,
        /// Bytes on disk.
        max_storage: i64,
        /// Streams.
        max_streams: i64 = "int",
        /// Consumers.
        max_consumers: i64 = "int",
        /// Unacknowledged deliveries of one consumer.
        max_ack_pending: i64 = "int",
        /// Bytes of one stream in memory.
        memory_max_stream_bytes: i64,
        /// Bytes of one stream on disk.
        storage_max_stream_bytes: i64,
        /// Whether every stream must have a bound.
        max_bytes_required: bool,
    }
}

impl AccountLimits {
    /// No limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

go_struct! {
    /// How the API is used.
    pub struct ApiStats: "JetStreamAPIStats" {
        /// The level of the API that is served.
        level: u64,
        /// Requests.
        total: u64,
        /// Requests that were refused.
        errors: u64,
        /// Requests under way.
        inflight [omit]: u64,
    }
}

go_struct! {
    /// What `INFO` answers.
    pub struct AccountInfo: "JetStreamAccountStats" {
        /// Bytes in memory.
        memory: u64,
        /// Bytes on disk.
        storage: u64,
        /// Bytes in memory that streams may grow to.
        reserved_memory: u64,
        /// Bytes on disk that streams may grow to.
        reserved_storage: u64,
        /// Streams.
        streams: u64,
        /// Consumers.
        consumers: u64,
        /// What it may use.
        limits: AccountLimits,
        /// The domain.
        domain [omit]: String,
        /// How the API is used.
        api: ApiStats,
    }
}
