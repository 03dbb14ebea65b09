//! Streams: a topic's partition seen as JetStream sees it.
//!
//! ```text
//! Streams ── name → Stream         a topic made through NATS has one partition: one stream
//!    │                             a topic made through Kafka has P: P streams, `name`, `name=1`, `name=2` …
//!    └────── subject → Stream      `matcher`: the subjects of streams, and the roots that topics are bound to
//! Stream ─┬─ publish               the checks in the reference's order, then the log, under one short lock
//!         ├─ state, subjects       from the index: no data is read
//!         ├─ get, get_batch, …     the index says where, the log gives the record
//!         ├─ purge, delete, limits the index forgets at once, the log's delete bitmap follows
//!         └─ cursor                a filter's next message and how many are left, exact at once
//! ```
//!
//! **One lock for a stream** (`core`): sequences, index, dedup window and cursors change together, in the order of the
//! WAL. It is held over the queueing of an entry, never over an await or the disk. Lock order: catalog, a partition's
//! producers, a stream, the log.
//!
//! **Durable**: the configuration stands in the topic's catalog entry. The index and the dedup window are projections of
//! the partition's batches and deletes (tables STREAMS and DEDUP): recovery hands in what isn't checkpointed, and a
//! checkpoint writes the pieces that changed. What a reply reveals names its [`Lsn`](duolog_types::Lsn), as everywhere.

mod config;
mod error;
mod index;
mod message;
mod stream;
pub mod subject;

pub use config::{
    ConsumerLimits, DiscardPolicy, RetentionPolicy, StorageType, StoreCompression, StreamConfig,
};
pub use error::{
    CreateStreamError, DeleteMessageError, DeleteStreamError, GetError, PublishError, PurgeError,
    StreamConfigError, UpdateStreamError,
};
pub use message::{Header, HeaderRef, Message, PubAck, Publish, header_block_bytes, record_bytes};
pub use stream::{
    Batch, BatchQuery, Cursor, Delivery, GetQuery, Interest, MultiQuery, Origin, Purge, Purged, Stream,
    StreamState, SubjectCounts,
};

use std::sync::Arc;

use duolog_types::Lsn;

/// All streams.
pub struct Streams {}

/// A stream that was made or found.
#[derive(Clone)]
pub struct Created {
    /// The stream.
    pub stream: Arc<Stream>,
    /// Whether it was made now; otherwise it was there, with the same configuration.
    pub did_create: bool,
    /// The reply waits for this.
    pub lsn: Lsn,
}

#[expect(unused_variables, clippy::unimplemented, reason = "signatures first")]
impl Streams {
    /// Makes a stream, or finds one with the same configuration. `pedantic` refuses where a default would be changed.
    ///
    /// # Errors
    /// See [`CreateStreamError`]; replies to refusals that tell of other streams wait for [`Streams::changed`].
    pub fn create(&self, config: StreamConfig, pedantic: bool) -> Result<Created, CreateStreamError> {
        unimplemented!()
    }

    /// Changes a stream's configuration. Lower limits take effect at once.
    ///
    /// # Errors
    /// See [`UpdateStreamError`].
    pub fn update(&self, config: StreamConfig, pedantic: bool) -> Result<Created, UpdateStreamError> {
        unimplemented!()
    }

    /// Deletes a stream, and the topic that it is.
    ///
    /// # Errors
    /// See [`DeleteStreamError`].
    pub fn delete(&self, name: &str) -> Result<Lsn, DeleteStreamError> {
        unimplemented!()
    }

    /// The stream of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Stream>> {
        unimplemented!()
    }

    /// The newest change of which streams there are: a reply that shows that (or that one is missing) waits for it.
    #[must_use]
    pub fn changed(&self) -> Lsn {
        unimplemented!()
    }

    /// The names of all streams, sorted; with `subject`, of those that take it (it may have wildcards): the streams
    /// with an overlapping subject; of a topic that is bound to a root, the one partition that the subject's key picks,
    /// and none if the look-up spans several.
    #[must_use]
    pub fn names(&self, subject: Option<&str>) -> Vec<Arc<str>> {
        unimplemented!()
    }

    /// The streams themselves; as [`names`](Self::names).
    #[must_use]
    pub fn list(&self, subject: Option<&str>) -> Vec<Arc<Stream>> {
        unimplemented!()
    }

    /// The stream that takes a literal subject: at most one does.
    #[must_use]
    pub fn match_subject(&self, subject: &str) -> Option<Arc<Stream>> {
        unimplemented!()
    }
}
