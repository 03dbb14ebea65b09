//! What the API answers: a `type`, then an `error` or the body.
//!
//! An error stands beside the body's empty form, as in the reference: `"purged":0`, `"consumers":[]`.

use super::account::AccountInfo;
use super::consumer::ConsumerInfo;
use super::error::ApiError;
use super::json::{Base64, Encode, EncodeFields, Object};
use super::stream::StreamInfo;
use super::time::{Span, Time};

/// What one subject of the API answers. The default is what stands beside an error.
pub trait Body: Default {
    /// Behind `io.nats.jetstream.api.v1.` and before `_response`.
    const TYPE: &'static str;
    /// Writes its fields behind the type.
    #[doc(hidden)]
    fn fields(&self, fields: &mut Fields<'_, '_>);
}

/// Where a [`Body`] writes to.
pub struct Fields<'a, 'b>(&'a mut Object<'b>);

/// The reply of one subject: its body, or why not.
pub type Reply<B> = Result<B, ApiError>;

/// Encodes a reply.
#[must_use]
pub fn encode_reply<B: Body>(reply: &Reply<B>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    Object::write(&mut out, |object| {
        object.field("type", &format!("io.nats.jetstream.api.v1.{}_response", B::TYPE));
        match reply {
            Ok(body) => body.fields(&mut Fields(object)),
            Err(error) => {
                error.encode_into(object);
                B::default().fields(&mut Fields(object));
            }
        }
    });
    out
}

/// Which page this is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// Entries there are.
    pub total: u64,
    /// Entries passed over.
    pub offset: u64,
    /// Entries that a page may have.
    pub limit: u64,
}

/// Entries of a page of names.
pub const NAMES_LIMIT: u64 = 1024;
/// Entries of a page of infos.
pub const LIST_LIMIT: u64 = 256;
/// Subjects of a page of a stream's details.
pub const SUBJECTS_LIMIT: u64 = 100_000;

impl Page {
    fn fields(&self, object: &mut Object<'_>) {
        object.field("total", &self.total);
        object.field("offset", &self.offset);
        object.field("limit", &self.limit);
    }
}

macro_rules! bodies {
    ($(
        $(#[$meta:meta])*
        $name:ident $type:literal ($self:ident, $object:ident) { $($(#[$field_meta:meta])* $field:ident: $field_type:ty),* $(,)? }
        $write:block
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $field_type,)*
        }

        impl Body for $name {
            const TYPE: &'static str = $type;

            fn fields(&$self, fields: &mut Fields<'_, '_>) {
                let $object = &mut *fields.0;
                $write
            }
        }
    )*};
}

bodies! {
    /// `INFO`.
    AccountInfoReply "account_info" (self, object) {
        /// The account.
        info: Option<AccountInfo>,
    } {
        if let Some(info) = &self.info { info.encode_fields(object); }
    }

    /// `STREAM.CREATE`.
    StreamCreateReply "stream_create" (self, object) {
        /// The stream.
        info: Option<StreamInfo>,
        /// Whether it is new.
        did_create: bool,
    } {
        if let Some(info) = &self.info { info.encode_fields(object); }
        object.omit_empty("did_create", &self.did_create);
    }

    /// `STREAM.UPDATE`.
    StreamUpdateReply "stream_update" (self, object) {
        /// The stream.
        info: Option<StreamInfo>,
    } {
        if let Some(info) = &self.info { info.encode_fields(object); }
    }

    /// `STREAM.INFO`.
    StreamInfoReply "stream_info" (self, object) {
        /// Which page of the subjects.
        page: Page,
        /// The stream.
        info: Option<StreamInfo>,
    } {
        self.page.fields(object);
        if let Some(info) = &self.info { info.encode_fields(object); }
    }

    /// `STREAM.NAMES`.
    StreamNamesReply "stream_names" (self, object) {
        /// Which page.
        page: Page,
        /// The names; none are `null`, as in the reference.
        streams: Vec<String>,
    } {
        self.page.fields(object);
        object.field("streams", &Some(&self.streams).filter(|names| !names.is_empty()).cloned());
    }

    /// `STREAM.LIST`.
    StreamListReply "stream_list" (self, object) {
        /// Which page.
        page: Page,
        /// The streams.
        streams: Vec<StreamInfo>,
    } {
        self.page.fields(object);
        object.field("streams", &self.streams);
    }

    /// `STREAM.DELETE`.
    StreamDeleteReply "stream_delete" (self, object) {
        /// Whether it is gone.
        success: bool,
    } {
        object.omit_empty("success", &self.success);
    }

    /// `STREAM.PURGE`.
    StreamPurgeReply "stream_purge" (self, object) {
        /// Whether it was done.
        success: bool,
        /// Messages that are gone.
        purged: u64,
    } {
        object.omit_empty("success", &self.success);
        object.field("purged", &self.purged);
    }

    /// `STREAM.MSG.GET`.
    MsgGetReply "stream_msg_get" (self, object) {
        /// The message.
        message: Option<StoredMessage>,
    } {
        object.omit_empty("message", &self.message);
    }

    /// `STREAM.MSG.DELETE`.
    MsgDeleteReply "stream_msg_delete" (self, object) {
        /// Whether it is gone.
        success: bool,
    } {
        object.omit_empty("success", &self.success);
    }

    /// `STREAM.SNAPSHOT`.
    StreamSnapshotReply "stream_snapshot" (self, object) {} {
        let _ = object;
    }

    /// `STREAM.RESTORE`.
    StreamRestoreReply "stream_restore" (self, object) {
        /// Where the chunks go.
        deliver_subject: String,
    } {
        object.field("deliver_subject", &self.deliver_subject);
    }

    /// `STREAM.PEER.REMOVE`.
    StreamRemovePeerReply "stream_remove_peer" (self, object) {
        /// Whether it was done.
        success: bool,
    } {
        object.omit_empty("success", &self.success);
    }

    /// `STREAM.LEADER.STEPDOWN`.
    StreamLeaderStepdownReply "stream_leader_stepdown" (self, object) {
        /// Whether it was done.
        success: bool,
    } {
        object.omit_empty("success", &self.success);
    }

    /// `CONSUMER.LEADER.STEPDOWN`.
    ConsumerLeaderStepdownReply "consumer_leader_stepdown" (self, object) {
        /// Whether it was done.
        success: bool,
    } {
        object.omit_empty("success", &self.success);
    }

    /// `CONSUMER.CREATE` and `CONSUMER.DURABLE.CREATE`.
    ConsumerCreateReply "consumer_create" (self, object) {
        /// The consumer.
        info: Option<ConsumerInfo>,
    } {
        if let Some(info) = &self.info { info.encode_fields(object); }
    }

    /// `CONSUMER.INFO`.
    ConsumerInfoReply "consumer_info" (self, object) {
        /// The consumer.
        info: Option<ConsumerInfo>,
    } {
        if let Some(info) = &self.info { info.encode_fields(object); }
    }

    /// `CONSUMER.NAMES`.
    ConsumerNamesReply "consumer_names" (self, object) {
        /// Which page.
        page: Page,
        /// The names.
        consumers: Vec<String>,
    } {
        self.page.fields(object);
        object.field("consumers", &self.consumers);
    }

    /// `CONSUMER.LIST`.
    ConsumerListReply "consumer_list" (self, object) {
        /// Which page.
        page: Page,
        /// The consumers.
        consumers: Vec<ConsumerInfo>,
    } {
        self.page.fields(object);
        object.field("consumers", &self.consumers);
    }

    /// `CONSUMER.DELETE`.
    ConsumerDeleteReply "consumer_delete" (self, object) {
        /// Whether it is gone.
        success: bool,
    } {
        object.omit_empty("success", &self.success);
    }

    /// `CONSUMER.PAUSE`.
    ConsumerPauseReply "consumer_pause" (self, object) {
        /// Whether it is paused.
        paused: bool,
        /// Until when.
        pause_until: Time,
        /// For how long.
        pause_remaining: Span,
    } {
        object.field("paused", &self.paused);
        object.field("pause_until", &self.pause_until);
        object.omit_empty("pause_remaining", &self.pause_remaining);
    }

    /// `CONSUMER.UNPIN`.
    ConsumerUnpinReply "consumer_unpin" (self, object) {} {
        let _ = object;
    }

    /// `CONSUMER.RESET`.
    ConsumerResetReply "consumer_reset" (self, object) {
        /// The consumer.
        info: Option<ConsumerInfo>,
        /// Where it stands now.
        reset_seq: u64,
    } {
        if let Some(info) = &self.info { info.encode_fields(object); }
        object.field("reset_seq", &self.reset_seq);
    }
}

/// A message as `STREAM.MSG.GET` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its subject.
    pub subject: String,
    /// Its sequence.
    pub seq: u64,
    /// Its header block, from `NATS/1.0` to the empty line; empty if it has none.
    pub hdrs: Vec<u8>,
    /// Its payload.
    pub data: Vec<u8>,
    /// When it came.
    pub time: Time,
}

impl Encode for StoredMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        Object::write(out, |object| {
            object.field("subject", &self.subject);
            object.field("seq", &self.seq);
            object.omit_empty("hdrs", &Base64(&self.hdrs));
            object.omit_empty("data", &Base64(&self.data));
            object.field("time", &self.time);
        });
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
