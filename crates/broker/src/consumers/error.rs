//! Why something asked of a consumer is refused. Each variant names the JetStream error that it means (`err_code`); the
//! door has the table of texts.

use duolog_log::AppendError;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerConfigError {
    /// 10157 (`pedantic mode: …`).
    #[error("{0}")]
    Pedantic(&'static str),
    /// 10052, followed by this text.
    #[error("{0}")]
    Invalid(&'static str),
    /// 10103.
    #[error("durable name can not contain '.', '*', '>'")]
    BadName,
    /// 10102.
    #[error("consumer name is too long, maximum allowed is {limit}")]
    NameTooLong {
        /// The limit.
        limit: usize,
    },
    /// 10132.
    #[error("Consumer Durable and Name have to be equal if both are provided")]
    NamesDiffer,
    /// 10126.
    #[error("consumer config replica count exceeds parent stream")]
    ReplicasExceedStream,
    /// 10133.
    #[error("replicas count cannot be negative")]
    ReplicasNegative,
    /// 10184.
    #[error("consumer backoff needs to be positive")]
    BackoffNegative,
    /// 10183.
    #[error("consumer ack wait needs to be positive")]
    AckWaitNegative,
    /// 10116.
    #[error("max deliver is required to be > length of backoff values")]
    BackoffTooLong,
    /// 10107.
    #[error("consumer description is too long, maximum allowed is {limit}")]
    DescriptionTooLong {
        /// The limit.
        limit: usize,
    },
    /// 10135.
    #[error("consumer metadata exceeds maximum size of {}KB", limit / 1024)]
    MetadataTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// 10079.
    #[error("consumer deliver subject has wildcards")]
    DeliverToWildcards,
    /// 10112.
    #[error("invalid push consumer deliver subject")]
    DeliverSubjectInvalid,
    /// 10081.
    #[error("consumer deliver subject forms a cycle")]
    DeliverCycle,
    /// 10080.
    #[error("consumer in push mode can not set max waiting")]
    PushMaxWaiting,
    /// 10082.
    #[error("consumer requires ack policy for max ack pending")]
    MaxPendingNeedsAckPolicy,
    /// 10083.
    #[error("consumer idle heartbeat needs to be >= 100ms")]
    HeartbeatTooSmall,
    /// 10084.
    #[error("consumer in pull mode requires explicit ack policy on workqueue stream")]
    PullNeedsAck,
    /// 10086.
    #[error("consumer in pull mode can not have rate limit set")]
    PullRateLimit,
    /// 10088.
    #[error("consumer idle heartbeat requires a push based consumer")]
    HeartbeatNeedsPush,
    /// 10089.
    #[error("consumer flow control requires a push based consumer")]
    FlowControlNeedsPush,
    /// 10115.
    #[error("consumer max request expires needs to be >= 1ms")]
    MaxExpiresTooSmall,
    /// 10121.
    #[error("consumer max ack pending exceeds system limit of {limit}")]
    MaxAckPendingExceeds {
        /// The limit.
        limit: i64,
    },
    /// 10153.
    #[error("consumer inactive threshold exceeds system limit of {limit:?}")]
    InactiveThresholdExceeds {
        /// The limit, nanoseconds.
        limit: i64,
    },
    /// 10136.
    #[error("consumer cannot have both FilterSubject and FilterSubjects specified")]
    BothFilters,
    /// 10139.
    #[error("consumer filter in FilterSubjects cannot be empty")]
    EmptyFilter,
    /// 10138.
    #[error("consumer subject filters cannot overlap")]
    FiltersOverlap,
    /// 10094, with this text.
    #[error("consumer delivery policy is deliver {policy}, but optional {what}")]
    Policy {
        /// The policy's name.
        policy: &'static str,
        /// What is set or isn't.
        what: &'static str,
    },
    /// 10095.
    #[error("failed to parse consumer sampling configuration: {value:?}")]
    Sampling {
        /// What stood there.
        value: String,
    },
    /// 10108.
    #[error("consumer with flow control also needs heartbeats")]
    FlowControlNeedsHeartbeat,
    /// 10098.
    #[error("workqueue stream requires explicit ack")]
    WorkQueueNeedsExplicitAck,
    /// 10101.
    #[error("consumer must be deliver all on workqueue stream")]
    WorkQueueNeedsDeliverAll,
}

/// Why a consumer was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum CreateConsumerError {
    /// See [`ConsumerConfigError`].
    #[error(transparent)]
    Config(#[from] ConsumerConfigError),
    /// 10059 (`stream not found`): it is being deleted.
    #[error("stream not found")]
    StreamNotFound,
    /// 10148: it exists, with another configuration.
    #[error("consumer already exists")]
    AlreadyExists,
    /// 10149: there is none to update.
    #[error("consumer does not exist")]
    DoesNotExist,
    /// 10026.
    #[error("maximum consumers limit reached: {limit}")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// 10099.
    #[error("multiple non-filtered consumers not allowed on workqueue stream")]
    WorkQueueMultipleUnfiltered,
    /// 10100.
    #[error("filtered consumer not unique on workqueue stream")]
    WorkQueueNotUnique,
    /// 10012, with this text: a field that can't be changed.
    #[error("{0} can not be updated")]
    NotUpdatable(&'static str),
    /// 10012, with this text.
    #[error("can not update pull consumer to push based")]
    PullToPush,
    /// 10012, with this text.
    #[error("can not update push consumer to pull based")]
    PushToPull,
    /// 10013: the deliver subject can't be changed while somebody listens on it.
    #[error("consumer name already in use")]
    NameInUse,
    /// 10104 (`error creating store for consumer: …`).
    #[error(transparent)]
    Log(#[from] AppendError),
}

/// Why a consumer was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteConsumerError {
    /// 10014.
    #[error("consumer not found")]
    NotFound,
    /// 10104.
    #[error(transparent)]
    Log(#[from] AppendError),
}
