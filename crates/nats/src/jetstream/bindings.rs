//! Which subjects the router gives to which stream: the catalog's answer, registered with the router.

use std::collections::HashMap;
use std::sync::Arc;

use duolog_broker::streams::{Origin, Stream};
use parking_lot::Mutex;

use super::JetStream;
use super::publish::Publishes;
use crate::router::Registration;

/// What is registered, by stream.
#[derive(Default)]
pub(super) struct Bindings {
    streams: Mutex<HashMap<Arc<str>, Bound>>,
}

struct Bound {
    /// A stream that was deleted and made again is another one.
    stream: Arc<Stream>,
    patterns: HashMap<String, Registration>,
}

impl Bindings {
    /// Brings what is registered in line with the streams that there are.
    pub(super) fn refresh(&self, jetstream: &Arc<JetStream>) {
        let mut bound = self.streams.lock();
        // Under the lock: two that refresh at once must not undo each other's work.
        let listed = jetstream.streams().list(None);
        let mut keep: HashMap<Arc<str>, Arc<Stream>> = HashMap::with_capacity(listed.len());
        for stream in listed {
            keep.insert(Arc::clone(stream.name()), stream);
        }
        bound.retain(|name, old| keep.get(name).is_some_and(|stream| Arc::ptr_eq(stream, &old.stream)));
        for (name, stream) in keep {
            let patterns = patterns(&stream);
            let entry = bound
                .entry(name)
                .or_insert_with(|| Bound { stream: Arc::clone(&stream), patterns: HashMap::new() });
            // First what goes: a message must not be stored twice because two patterns match it.
            entry.patterns.retain(|pattern, _| patterns.contains(pattern));
            for pattern in patterns {
                if entry.patterns.contains_key(&pattern) {
                    continue;
                }
                match register(jetstream, &stream, &pattern) {
                    Ok(registration) => {
                        entry.patterns.insert(pattern, registration);
                    }
                    Err(error) => tracing::warn!(%error, stream = %stream.name(), "a stream's subject"),
                }
            }
        }
    }
}

/// The subjects of a stream that was made through NATS. Those of topics are bound by their roots.
fn patterns(stream: &Stream) -> Vec<String> {
    match stream.origin() {
        Origin::Nats => stream.config().subjects.clone(),
        Origin::Kafka => Vec::new(),
    }
}

fn register(
    jetstream: &Arc<JetStream>,
    stream: &Arc<Stream>,
    pattern: &str,
) -> Result<Registration, crate::router::InvalidSubject> {
    let handler = Publishes { jetstream: Arc::downgrade(jetstream), stream: Arc::clone(stream) };
    jetstream.router.register(pattern, Arc::new(handler))
}
