//! Whether anybody listens where push consumers deliver to: asked of the router, and told to the consumers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use duolog_broker::consumers::Consumer;
use duolog_types::PartitionId;
use parking_lot::Mutex;

use crate::jetstream::JetStream;
use crate::router::{Router, Watch, Watcher};

/// The watches, by consumer.
#[derive(Default)]
pub(crate) struct Interests {
    watches: Mutex<HashMap<(PartitionId, Arc<str>), Watched>>,
}

struct Watched {
    subject: String,
    _watch: Watch,
}

struct Listener {
    jetstream: Weak<JetStream>,
    consumer: Weak<Consumer>,
}

impl Watcher for Listener {
    fn interest_changed(&self, _subject: &[u8], _interested: bool) {
        let (Some(jetstream), Some(consumer)) = (self.jetstream.upgrade(), self.consumer.upgrade()) else {
            return;
        };
        tell(&jetstream, &consumer);
    }
}

/// Tells a consumer whether anybody listens, in its group if it has one.
fn tell(jetstream: &JetStream, consumer: &Arc<Consumer>) {
    let config = consumer.config();
    jetstream
        .consumers
        .interest(consumer, is_there(&jetstream.router, &config.deliver_subject, &config.deliver_group));
}

fn is_there(router: &Router, subject: &str, group: &str) -> bool {
    if ["$JS.API.", "$JS.ACK.", "$JS.FC."].iter().any(|ours| subject.starts_with(ours)) {
        // What listens there is the server, and a message isn't a request to it.
        return false;
    }
    if group.is_empty() {
        router.interest(subject.as_bytes())
    } else {
        router.interest_queue(subject.as_bytes(), group.as_bytes())
    }
}

impl Interests {
    /// A consumer is there, or delivers elsewhere now.
    pub(crate) fn follow(&self, jetstream: &Arc<JetStream>, consumer: &Arc<Consumer>) {
        let subject = consumer.config().deliver_subject.clone();
        let key = (consumer.partition(), Arc::clone(consumer.name()));
        if subject.is_empty() {
            drop(self.watches.lock().remove(&key));
            return;
        }
        let listener = Listener { jetstream: Arc::downgrade(jetstream), consumer: Arc::downgrade(consumer) };
        let watch = jetstream.router.watch(&subject, Arc::new(listener));
        // Whoever was watched under this name before may have been another consumer.
        let before = self.watches.lock().insert(key, Watched { subject, _watch: watch });
        drop(before);
        // After the watch is set, so that nothing is missed in between.
        tell(jetstream, consumer);
    }

    /// A consumer is gone.
    pub(crate) fn forget(&self, consumer: &Consumer) {
        let key = (consumer.partition(), Arc::clone(consumer.name()));
        let watched = self.watches.lock().remove(&key);
        drop(watched);
    }

    /// A stream's consumers are all gone.
    pub(crate) fn forget_all(&self, partition: PartitionId) {
        let gone: Vec<Watched> = self
            .watches
            .lock()
            .extract_if(|(of, _), _| *of == partition)
            .map(|(_, watched)| watched)
            .collect();
        for watched in gone {
            tracing::debug!(subject = watched.subject, "nobody delivers here any more");
        }
    }
}
