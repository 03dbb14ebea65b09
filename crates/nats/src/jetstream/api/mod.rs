//! `$JS.API.>`: which subject is answered by what. One file for each subject; this table gives dispatch and order.
//!
//! A request is taken on the thread of the session that it came on and put into one queue, bounded by requests and by
//! bytes; one task answers them one after the other, so that a client which sends CREATE and then INFO without waiting
//! gets the answers that it expects. What has to read from the log (`MSG.GET`, `DIRECT.GET`) is answered beside it.

mod account_info;
mod cluster;
mod consumer_create;
mod consumer_delete;
mod consumer_info;
mod consumer_list;
mod consumer_names;
mod consumer_next;
mod deferred;
mod direct_get;
mod msg_delete;
mod msg_get;
mod request;
mod stream_create;
mod stream_delete;
mod stream_info;
mod stream_list;
mod stream_names;
mod stream_purge;
mod stream_update;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use duolog_broker::streams::Stream;
use duolog_nats_wire::headers;
use duolog_nats_wire::jetstream::advisory::Event;
use duolog_nats_wire::jetstream::error::REQUIRED_API_LEVEL;
use duolog_nats_wire::jetstream::reply::{Body, Reply, encode_reply};
use duolog_types::Lsn;
use tokio::sync::{Semaphore, mpsc};

use super::JetStream;
use crate::router::{Handler, Inbound, InvalidSubject, Origin, Registration};
use request::Request;

/// What all subjects begin with.
const PREFIX: &str = "$JS.API.";

/// Requests that may wait (the reference has as many).
const QUEUE_REQUESTS: usize = 10_000;
/// Bytes of requests that may wait or be under way.
const QUEUE_BYTES: usize = 64 << 20;
/// What a request costs besides its bytes.
const REQUEST_BYTES: usize = 512;

/// The header in which a client says what it needs.
const REQUIRED_LEVEL: &[u8] = b"Nats-Required-Api-Level";

/// An answer, and what it waits for.
struct Answer {
    after: Lsn,
    payload: Vec<u8>,
    refused: bool,
}

type Later = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What answers a request in turn.
type InTurn = fn(&Arc<JetStream>, &Request) -> Answer;

/// How a subject is answered.
#[derive(Clone, Copy)]
enum Run {
    /// In turn.
    Now(InTurn),
    /// Beside the others: it reads.
    Beside(fn(Arc<JetStream>, Request) -> Later),
    /// At once, on the session's thread. False: there is nobody to answer.
    AtOnce(fn(&JetStream, &str, &Inbound<'_>) -> bool),
}

/// One subject of the API.
struct Subject {
    /// Behind the prefix, with wildcards.
    pattern: &'static str,
    /// Whether there is anybody to answer; nobody: the client is told that there is no responder.
    answers: fn(&JetStream, &str) -> bool,
    run: Run,
}

macro_rules! subjects {
    ($($pattern:literal $run:expr $(, if $answers:path)?;)*) => {
        &[$(Subject { pattern: $pattern, answers: subjects!(@answers $($answers)?), run: $run }),*]
    };
    (@answers) => { |_, _| true };
    (@answers $answers:path) => { $answers };
}

/// Answers in turn with the reply that `$module::answer` gives.
macro_rules! now {
    ($module:ident) => {
        now!($module::answer)
    };
    ($answer:path) => {
        Run::Now(|jetstream, request| finish(jetstream, request, || $answer(jetstream, request)))
    };
}

/// The table. The first pattern that matches counts.
const SUBJECTS: &[Subject] = subjects! {
    "DIRECT.GET.*" Run::Beside(direct_get::by_request), if direct_get::is_allowed;
    "DIRECT.GET.*.>" Run::Beside(direct_get::by_subject), if direct_get::is_allowed;
    "CONSUMER.MSG.NEXT.*.*" Run::AtOnce(consumer_next::take);
    "INFO" now!(account_info);
    "STREAM.CREATE.*" now!(stream_create);
    "STREAM.UPDATE.*" now!(stream_update);
    "STREAM.NAMES" now!(stream_names);
    "STREAM.LIST" now!(stream_list);
    "STREAM.INFO.*" now!(stream_info);
    "STREAM.DELETE.*" now!(stream_delete);
    "STREAM.PURGE.*" now!(stream_purge);
    "STREAM.MSG.GET.*" Run::Beside(msg_get::run);
    "STREAM.MSG.DELETE.*" now!(msg_delete);
    "STREAM.SNAPSHOT.*" Run::Now(deferred::snapshot);
    "STREAM.RESTORE.*" Run::Now(deferred::restore);
    "CONSUMER.CREATE.*" now!(consumer_create::ephemeral);
    "CONSUMER.CREATE.*.>" now!(consumer_create::named);
    "CONSUMER.DURABLE.CREATE.*.*" now!(consumer_create::durable);
    "CONSUMER.NAMES.*" now!(consumer_names);
    "CONSUMER.LIST.*" now!(consumer_list);
    "CONSUMER.INFO.*.*" now!(consumer_info);
    "CONSUMER.DELETE.*.*" now!(consumer_delete);
    "CONSUMER.PAUSE.*.*" Run::Now(deferred::pause);
    "CONSUMER.UNPIN.*.*" Run::Now(deferred::unpin);
    "CONSUMER.RESET.*.*" Run::Now(deferred::reset);
    "STREAM.LEADER.STEPDOWN.*" Run::Now(cluster::stream_stepdown);
    "STREAM.PEER.REMOVE.*" Run::Now(cluster::peer_remove);
    "CONSUMER.LEADER.STEPDOWN.*.*" Run::Now(cluster::consumer_stepdown);
};

/// Whether the tokens of `subject` are those that `pattern` asks for.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, subject.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

/// What the body's decision says and what it waits for; the level that the client needs is asked first.
fn finish<B: Body>(
    jetstream: &JetStream,
    request: &Request,
    answer: impl FnOnce() -> (Lsn, Reply<B>),
) -> Answer {
    let (after, reply) = match request.level_is_enough(jetstream) {
        true => answer(),
        false => (Lsn::ZERO, Err(REQUIRED_API_LEVEL.error())),
    };
    Answer { after, payload: encode_reply(&reply), refused: reply.is_err() }
}

/// Takes the requests.
struct Api {
    jetstream: Weak<JetStream>,
    queue: mpsc::Sender<(Request, InTurn)>,
    room: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

/// Has the API answered from now on.
pub(super) fn register(jetstream: &Arc<JetStream>) -> Result<Registration, InvalidSubject> {
    let (queue, mut requests) = mpsc::channel::<(Request, InTurn)>(QUEUE_REQUESTS);
    let runtime = tokio::runtime::Handle::current();
    let api = Api {
        jetstream: Arc::downgrade(jetstream),
        queue,
        room: Arc::new(Semaphore::new(QUEUE_BYTES)),
        runtime: runtime.clone(),
    };
    let weak = Arc::downgrade(jetstream);
    runtime.spawn(async move {
        while let Some((request, run)) = requests.recv().await {
            let Some(jetstream) = weak.upgrade() else { return };
            if let Some(stream) = unready(&jetstream, &request) {
                // A topic that was never asked for: what has to be read for it holds nobody else up.
                tokio::spawn(async move {
                    stream.ready().await;
                    let answer = run(&jetstream, &request);
                    respond(&jetstream, &request, &answer);
                });
                continue;
            }
            let answer = run(&jetstream, &request);
            respond(&jetstream, &request, &answer);
            tell_of_dropped(&jetstream);
            // So that a flood of requests leaves turns to others.
            tokio::task::yield_now().await;
        }
    });
    jetstream.router.register(&format!("{PREFIX}>"), Arc::new(api))
}

/// The stream that a request is about, if much has to be read before it can be answered.
fn unready(jetstream: &JetStream, request: &Request) -> Option<Arc<Stream>> {
    let name = match (request.token(0), request.token(1)) {
        ("STREAM", "INFO" | "PURGE") | ("CONSUMER", "CREATE") => request.token(2),
        ("STREAM", "MSG") | ("CONSUMER", "DURABLE") => request.token(3),
        _ => return None,
    };
    jetstream.streams().get(name).filter(|stream| !stream.is_ready())
}

/// Requests were passed over: whoever listens is told how many, once for all since the last time.
fn tell_of_dropped(jetstream: &JetStream) {
    use std::sync::atomic::Ordering::Relaxed;
    if jetstream.dropped.load(Relaxed) > 0 {
        let dropped = jetstream.dropped.swap(0, Relaxed);
        let server = jetstream.identity.server_name.as_str();
        jetstream.advise("", Event::ApiLimitReached { server, dropped });
    }
}

fn drop_request(jetstream: &JetStream, subject: &str) {
    tracing::warn!(subject, "a JetStream request is dropped: too many wait");
    jetstream.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

fn respond(jetstream: &JetStream, request: &Request, answer: &Answer) {
    use std::sync::atomic::Ordering::Relaxed;
    jetstream.requests.fetch_add(1, Relaxed);
    if answer.refused {
        jetstream.refusals.fetch_add(1, Relaxed);
    }
    if let Some(reply) = request.reply() {
        // Through the queue even if it is durable already: answers keep their order.
        jetstream.replies.send(answer.after, &Inbound::new(reply, &answer.payload));
    }
}

impl Handler for Api {
    fn publish(&self, message: &Inbound<'_>, _from: Origin<'_>) -> bool {
        let Some(jetstream) = self.jetstream.upgrade() else { return false };
        let Ok(subject) = str::from_utf8(message.subject) else { return true };
        let Some(subject) = subject.strip_prefix(PREFIX) else { return true };
        let Some(found) = SUBJECTS.iter().find(|entry| matches(entry.pattern, subject)) else {
            // A subject that isn't in the table is passed over in silence, as the reference does, but for those that it
            // has consumers and streams answer themselves: there nobody listens.
            return !["CONSUMER.MSG.NEXT.", "DIRECT.GET"].iter().any(|own| subject.starts_with(own));
        };
        if !(found.answers)(&jetstream, subject) {
            return false;
        }
        if let Run::AtOnce(take) = found.run {
            return take(&jetstream, subject, message);
        }
        let bytes = REQUEST_BYTES + subject.len() + message.headers.len() + message.payload.len();
        let permit = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.room).try_acquire_many_owned(bytes).ok());
        let Some(permit) = permit else {
            drop_request(&jetstream, subject);
            return true;
        };
        let request = Request::new(subject, message, permit);
        match found.run {
            Run::Now(run) => {
                if self.queue.try_send((request, run)).is_err() {
                    drop_request(&jetstream, subject);
                }
            }
            Run::Beside(run) => {
                self.runtime.spawn(run(jetstream, request));
            }
            Run::AtOnce(_) => {}
        }
        true
    }
}

impl Request {
    fn level_is_enough(&self, jetstream: &JetStream) -> bool {
        level_is_enough(jetstream, self.headers())
    }
}

/// Whether we speak the level that the client says it needs; what isn't a number is never enough.
fn level_is_enough(jetstream: &JetStream, block: &[u8]) -> bool {
    let Some(level) = headers::find(block, REQUIRED_LEVEL) else { return true };
    let level = str::from_utf8(level).ok().and_then(|level| level.parse::<u64>().ok());
    level.is_some_and(|level| level <= jetstream.identity.api_level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_told_apart_by_their_tokens() {
        for (pattern, subject, matched) in [
            ("INFO", "INFO", true),
            ("INFO", "INFO.x", false),
            ("STREAM.INFO.*", "STREAM.INFO.A", true),
            ("STREAM.INFO.*", "STREAM.INFO", false),
            ("STREAM.INFO.*", "STREAM.INFO.A.B", false),
            ("DIRECT.GET.*.>", "DIRECT.GET.A.$KV.B.k", true),
            ("DIRECT.GET.*.>", "DIRECT.GET.A", false),
        ] {
            assert_eq!(matches(pattern, subject), matched, "{pattern} {subject}");
        }
    }

    #[test]
    fn no_subject_stands_twice() {
        for (index, subject) in SUBJECTS.iter().enumerate() {
            assert!(
                SUBJECTS[..index].iter().all(|other| other.pattern != subject.pattern),
                "{}",
                subject.pattern
            );
        }
    }
}
