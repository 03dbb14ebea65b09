//! What requests carry, but for the configurations of streams and consumers.

use super::json::go_struct;
use super::time::Time;

go_struct! {
    /// Which page.
    pub struct PagedRequest: "ApiPagedRequest" {
        /// Entries to pass over.
        offset: i64 = "int",
    }
}

go_struct! {
    /// `STREAM.NAMES`.
    pub struct StreamNamesRequest: "JSApiStreamNamesRequest", embeds page: PagedRequest {
        /// Only streams whose subjects overlap this one.
        subject [omit]: String,
    }
}

go_struct! {
    /// `STREAM.LIST`.
    pub struct StreamListRequest: "JSApiStreamListRequest", embeds page: PagedRequest {
        /// Only streams whose subjects overlap this one.
        subject [omit]: String,
    }
}

go_struct! {
    /// `STREAM.INFO`.
    pub struct StreamInfoRequest: "JSApiStreamInfoRequest", embeds page: PagedRequest {
        /// Whether to list the deleted sequences.
        deleted_details [omit]: bool,
        /// Which subjects to count.
        subjects_filter [omit]: String,
    }
}

go_struct! {
    /// `STREAM.PURGE`.
    pub struct StreamPurgeRequest: "JSApiStreamPurgeRequest" {
        /// Up to this sequence, itself not.
        seq [omit]: u64,
        /// Only what matches.
        filter [omit]: String,
        /// So many are kept.
        keep [omit]: u64,
    }
}

go_struct! {
    /// `STREAM.MSG.DELETE`.
    pub struct MsgDeleteRequest: "JSApiMsgDeleteRequest" {
        /// Which.
        seq: u64,
        /// Whether its bytes may stay.
        no_erase [omit]: bool,
    }
}

go_struct! {
    /// `STREAM.MSG.GET` and `DIRECT.GET`.
    pub struct MsgGetRequest: "JSApiMsgGetRequest" {
        /// This sequence, or from here.
        seq [omit]: u64,
        /// The last of this subject.
        last_by_subj [omit]: String,
        /// The next of this subject.
        next_by_subj [omit]: String,
        /// So many.
        batch [omit]: i64 = "int",
        /// So many bytes.
        max_bytes [omit]: i64 = "int",
        /// From this time on.
        start_time [omit]: Option<Time>,
        /// The last of each of these subjects.
        multi_last [omit]: Vec<String>,
        /// Not beyond this sequence.
        up_to_seq [omit]: u64,
        /// Not beyond this time.
        up_to_time [omit]: Option<Time>,
        /// Without the headers.
        no_hdr [omit]: bool,
    }
}

go_struct! {
    /// `CONSUMER.NAMES` and `CONSUMER.LIST`.
    pub struct ConsumersRequest: "JSApiConsumersRequest", embeds page: PagedRequest {
    }
}

go_struct! {
    /// `CONSUMER.PAUSE`.
    pub struct ConsumerPauseRequest: "JSApiConsumerPauseRequest" {
        /// Until when; the zero time resumes.
        pause_until: Time,
    }
}

go_struct! {
    /// `CONSUMER.UNPIN`.
    pub struct ConsumerUnpinRequest: "JSApiConsumerUnpinRequest" {
        /// Of which group.
        group: String,
    }
}

go_struct! {
    /// `CONSUMER.RESET`.
    pub struct ConsumerResetRequest: "JSApiConsumerResetRequest" {
        /// To this sequence; 0 to behind the ack floor.
        seq [omit]: u64,
    }
}

go_struct! {
    /// `STREAM.SNAPSHOT`.
    pub struct StreamSnapshotRequest: "JSApiStreamSnapshotRequest" {
        /// Where the chunks go.
        deliver_subject: String,
        /// Without consumers.
        no_consumers [omit]: bool,
        /// Bytes of a chunk.
        chunk_size [omit]: i64 = "int",
        /// Bytes under way.
        window_size [omit]: i64 = "int",
        /// Whether to check all messages first.
        jsck [omit]: bool,
    }
}
