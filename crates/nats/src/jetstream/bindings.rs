//! Which subjects the router gives to which topic: the catalog's answer, registered with the router.
//!
//! A stream made through NATS takes its own subjects. A topic made through Kafka takes those that begin with its name, if
//! it is bound to them, and its partitions are streams; which of them takes a message its subject's key says.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use duolog_broker::catalog::{Topic, TopicWatcher};
use duolog_types::TopicId;
use parking_lot::Mutex;

use super::JetStream;
use super::publish::{Publishes, Target};
use crate::router::Registration;

/// What is registered, by topic and subject.
#[derive(Default)]
pub(super) struct Bindings {
    topics: Mutex<HashMap<TopicId, HashMap<String, Registration>>>,
}

impl Bindings {
    /// Brings what is registered for a topic in line with what it is now.
    fn bind(&self, jetstream: &Arc<JetStream>, topic: &Arc<Topic>) {
        let mut topics = self.topics.lock();
        // Under the lock: the newest change is the last one seen.
        let patterns = jetstream.streams().subjects_of(topic);
        if patterns.is_empty() {
            topics.remove(&topic.id());
            return;
        }
        let bound = topics.entry(topic.id()).or_default();
        // First what goes: a message must not be stored twice because two patterns match it.
        bound.retain(|pattern, _| patterns.contains(pattern));
        for pattern in patterns {
            if bound.contains_key(&pattern) {
                continue;
            }
            let target = match topic.stream() {
                Some(stream) => Target::Stream(Arc::clone(stream)),
                None => Target::Topic(topic.id()),
            };
            let handler = Publishes { jetstream: Arc::downgrade(jetstream), target };
            match jetstream.router.register(&pattern, Arc::new(handler)) {
                Ok(registration) => {
                    bound.insert(pattern, registration);
                }
                Err(error) => tracing::warn!(%error, topic = %topic.name(), "a topic's subject"),
            }
        }
    }
}

/// Follows the catalog from now on.
pub(super) fn follow(jetstream: &Arc<JetStream>) {
    let catalog = jetstream.broker.catalog();
    catalog.set_watcher(Some(Arc::new(Follower(Arc::downgrade(jetstream)))));
    // What is made meanwhile is told by both, and bound once. What is deleted between the two lines below isn't there
    // when it is looked at again.
    for topic in catalog.topics() {
        jetstream.bindings.bind(jetstream, &topic);
        if catalog.topic_by_id(topic.id()).is_none() {
            jetstream.bindings.topics.lock().remove(&topic.id());
        }
    }
}

struct Follower(Weak<JetStream>);

impl TopicWatcher for Follower {
    fn changed(&self, topic: &Arc<Topic>) {
        if let Some(jetstream) = self.0.upgrade() {
            jetstream.bindings.bind(&jetstream, topic);
        }
    }

    fn deleted(&self, topic: &Topic) {
        let Some(jetstream) = self.0.upgrade() else { return };
        jetstream.bindings.topics.lock().remove(&topic.id());
        for partition in topic.partitions() {
            jetstream.consumers.detach(partition.id());
            jetstream.interests.forget_all(partition.id());
        }
    }
}
