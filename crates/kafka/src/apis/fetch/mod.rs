//! Fetch: record batches of many partitions, waited for if there are none yet.
//!
//! Behaviour: whole batches as stored, from the one that holds the offset asked for; up to max_bytes and
//! partition_max_bytes, of which the first batch of the first partition that has any may break both (KIP-74).
//! Waits until min_bytes are there, max_wait passes or something failed; nobody polls: partitions report news to
//! the fetch. Sessions (KIP-227) make a fetch cost what has news. Readers see durable data only, so the answer
//! waits for nothing but the topics themselves. Whoever was served goes to the back of the queue, so that no partition starves.
//! Versions: v5 log start offset · v7 sessions · v9 leader epochs · v11 rack · v12 flexible, diverging epochs
//! (KIP-595) · v13 topic ids (KIP-516) · v15 replica state · v16 node endpoints (KIP-951) · v17 directory id ·
//! v18 high watermark of replicas.
//! Not done: replicas are answered like consumers, since there are none; no preferred replica.
//! Source: Kafka's `KafkaApis.handleFetchRequest`, `ReplicaManager.readFromLog`, `FetchSession`, `DelayedFetch`.

mod read;
pub mod response;
pub mod session;
pub mod table;

use std::sync::Arc;
use std::time::Duration;

use duolog_broker::{Partition, Watch, WatchGuard};
use kafka_wire::FetchRequest;

use crate::config::KafkaConfig;
use crate::dispatch::{Api, Call, Handled};
use crate::door::Door;
use crate::session::Service;
use crate::session::close::CloseReason;
use crate::session::reply::{Outcome, Reply};
use read::{Mode, Round, collect};
use response::FetchAnswer;
use session::{Session, TopicRef, Wanted};
use table::{Begun, Contents, Limits, SessionTable};

/// Fetch in the table.
pub const API: Api = Api {
    key: 1,
    name: "Fetch",
    min: 4,
    max: 18,
    advertised_min: 4,
    flexible_from: 12,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

/// First version whose topics are named by id.
const TOPIC_ID_VERSION: i16 = 13;

/// Isolation level of readers who don't want aborted records: they get a list of aborted transactions, which is
/// empty as long as there are no transactions; the others get none.
const READ_COMMITTED: i8 = 1;

/// Partitions that all sessions may have together.
const MAX_SESSION_PARTITIONS: usize = 500_000;

/// A session's partitions, and what reports their news.
pub(crate) type Partitions = Session<Source>;

/// The handler's own of one partition.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The partition, once it was found.
    pub(crate) partition: Option<Arc<Partition>>,
    /// Its registration, once it has one.
    pub(crate) guard: Option<WatchGuard>,
}

/// A session between two requests: its partitions, and the watch that they are registered with.
pub(crate) struct Kept {
    partitions: Partitions,
    watch: Watch,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({} partitions)", self.partitions.len())
    }
}

impl Contents for Kept {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }
}

/// The fetch sessions of a broker.
pub(crate) type FetchSessions = SessionTable<Kept>;

/// The limits of the table of sessions under `config`.
pub(crate) fn limits(config: &KafkaConfig) -> Limits {
    Limits {
        slots: config.fetch_session_slots,
        partitions: MAX_SESSION_PARTITIONS,
        evict_after: config.fetch_session_eviction,
    }
}

async fn handle(mut call: Call<'_>) -> Handled {
    let request: FetchRequest = call.decode()?;
    let door = call.door;
    let by_id = call.version >= TOPIC_ID_VERSION;
    let read_committed = request.isolation_level == READ_COMMITTED;
    let begun = {
        let mut sessions = door.fetch_sessions.lock();
        sessions.begin(request.session_id, request.session_epoch, by_id, door.now())
    };
    match begun {
        Err(error) => {
            call.count_errors([error.code()]);
            reply(&call, FetchAnswer { error_code: error.code(), ..FetchAnswer::default() })
        }
        Ok(Begun::Incremental(kept)) => {
            let mut out = CheckedOut { door, id: request.session_id, kept: Some(kept) };
            let answer = match &mut out.kept {
                Some(kept) => incremental(&call, &request, kept, by_id).await,
                None => FetchAnswer::default(),
            };
            let session_id = if out.give_back() { request.session_id } else { 0 };
            reply(&call, FetchAnswer { session_id, read_committed, ..answer })
        }
        Ok(begun) => {
            let mut kept = Kept { partitions: Partitions::default(), watch: Watch::new() };
            want_all(&mut kept, &request, by_id, |_, _| Source::default());
            let round = wait(&call, &request, &mut kept, Mode::Full).await;
            round.settle(&mut kept.partitions);
            let answer = round.into_answer(&kept.partitions, door);
            let session_id = if matches!(begun, Begun::Full) { keep(door, kept, by_id) } else { 0 };
            reply(&call, FetchAnswer { session_id, read_committed, ..answer })
        }
    }
}

/// A request says what changed in a session; the answer says what is new.
async fn incremental(call: &Call<'_>, request: &FetchRequest, kept: &mut Kept, by_id: bool) -> FetchAnswer {
    for topic in &request.forgotten_topics_data {
        let topic_ref = topic_ref(by_id, topic.topic_id.to_bytes(), &topic.topic);
        for partition in &topic.partitions {
            kept.partitions.forget(topic_ref.clone(), *partition);
        }
    }
    let watch = kept.watch.clone();
    want_all(kept, request, by_id, |wanted, token| {
        let mut source = Source::default();
        // An error is found again, and told, at the look.
        if source.find(call.door, &wanted.topic, wanted.partition).is_ok() {
            source.register(&watch, token);
        }
        source
    });
    let round = wait(call, request, kept, Mode::Incremental).await;
    round.settle(&mut kept.partitions);
    round.into_answer(&kept.partitions, call.door)
}

fn want_all(kept: &mut Kept, request: &FetchRequest, by_id: bool, source: impl Fn(&Wanted, u64) -> Source) {
    for topic in &request.topics {
        let topic_ref = topic_ref(by_id, topic.topic_id.to_bytes(), &topic.topic);
        for partition in &topic.partitions {
            let wanted = Wanted {
                topic: topic_ref.clone(),
                partition: partition.partition,
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            kept.partitions.want(wanted, &source);
        }
    }
}

fn topic_ref(by_id: bool, id: [u8; 16], name: &str) -> TopicRef {
    if by_id { TopicRef::Id(id) } else { TopicRef::Name(Arc::from(name)) }
}

/// Looks at the partitions until there is enough, it is too late, or something failed.
async fn wait(call: &Call<'_>, request: &FetchRequest, kept: &mut Kept, mode: Mode) -> Round {
    let door = call.door;
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(door.config().fetch_max_bytes);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes) as u64;
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let max_wait = max_wait.min(door.config().fetch_max_wait);
    let mut deadline = None;
    let mut registered = mode == Mode::Incremental;
    let mut last = max_wait.is_zero() || kept.partitions.is_empty();
    loop {
        let seen_before = kept.watch.bytes_seen();
        for token in kept.watch.take_ready() {
            kept.partitions.mark(token);
        }
        let round = collect(door, &mut kept.partitions, &kept.watch, max_bytes, mode).await;
        let found = round.bytes() as u64;
        if last || round.is_urgent() || found >= min_bytes {
            return round;
        }
        // What was read is given back while the fetch waits: it would be held by everyone who waits.
        drop(round);
        let deadline = deadline.get_or_insert_with(|| door.env.clock.sleep(max_wait));
        if !registered {
            // News between the look and the registration would be missed, so look again.
            registered = true;
            register_all(kept);
            continue;
        }
        loop {
            tokio::select! {
                () = kept.watch.ready() => {}
                () = &mut *deadline => last = true,
                () = door.draining() => last = true,
            }
            let mut urgent = last;
            for token in kept.watch.take_ready() {
                kept.partitions.mark(token);
                urgent |= kept.partitions.slot_of(token).is_some_and(|slot| slot.handle.ended(door, &slot.wanted));
            }
            if urgent || found + (kept.watch.bytes_seen() - seen_before) >= min_bytes {
                break;
            }
        }
    }
}

fn register_all(kept: &mut Kept) {
    let watch = kept.watch.clone();
    for (token, slot) in kept.partitions.slots() {
        if slot.handle.guard.is_none() {
            slot.handle.register(&watch, token);
        }
    }
}

/// Keeps a new session, if there is room for it. Its partitions stay queued, since news between the look at
/// them and their registration would be missed.
fn keep(door: &Door, mut kept: Kept, by_id: bool) -> i32 {
    register_all(&mut kept);
    kept.partitions.mark_all();
    let mut sessions = door.fetch_sessions.lock();
    let random = || door.env.rng.next_u64() as i32;
    let id = sessions.keep(kept, by_id, door.now(), random).unwrap_or(0);
    door.metrics().fetch_sessions.store(sessions.len(), std::sync::atomic::Ordering::Relaxed);
    id
}

fn reply(call: &Call<'_>, answer: FetchAnswer) -> Handled {
    call.count_errors(answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.error_code)));
    let pieces = response::encode(call.frame, call.version, answer)
        .map_err(|error| CloseReason::Internal(error.to_string()))?;
    // Records are durable; which topics there are may be news.
    Ok(Outcome::Reply(Reply { pieces, after: call.door.broker.catalog().changed(), if_stopped: None }))
}

/// A session that a request is being handled with. If its client goes away meanwhile, the session ends.
struct CheckedOut<'a> {
    door: &'a Door,
    id: i32,
    kept: Option<Kept>,
}

impl CheckedOut<'_> {
    fn give_back(mut self) -> bool {
        let Some(kept) = self.kept.take() else { return false };
        self.door.fetch_sessions.lock().end(self.id, kept, self.door.now())
    }
}

impl Drop for CheckedOut<'_> {
    fn drop(&mut self) {
        if self.kept.is_some() {
            self.door.fetch_sessions.lock().remove(self.id);
        }
    }
}
