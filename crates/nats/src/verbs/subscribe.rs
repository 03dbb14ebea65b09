//! SUB: messages of a subject, under a name that the client gives.

use std::sync::Arc;

use duolog_nats_wire::{ErrorText, subject};

use crate::router::{Subscription, Target};
use crate::session::Session;

/// The group that servers keep for themselves.
const RESERVED_QUEUE: &[u8] = b"_sys_";

pub(crate) fn handle(session: &mut Session<'_>, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
    if queue == Some(RESERVED_QUEUE) {
        let refused = ErrorText::SubscribePermission(subject.to_vec(), queue.map(<[u8]>::to_vec));
        return session.refuse(&refused);
    }
    // Those that ended by themselves since the read began leave their names and places.
    if session.may_have_ended() {
        session.settle();
    }
    let limit = session.door.config().max_subscriptions;
    if limit > 0 && session.subscriptions.len() >= limit {
        return session.refuse(&ErrorText::Subscriptions);
    }
    // A name that is taken keeps what it has.
    if !session.subscriptions.contains_key(sid) {
        if !subject::is_subscribable(subject) {
            return session.refuse(&ErrorText::Subject);
        }
        let target = Target::Client(Arc::clone(session.connection));
        let subscription = Arc::new(Subscription::new(subject, queue, sid, target));
        session.subscriptions.insert(sid.into(), Arc::clone(&subscription));
        session.door.router().add(&subscription);
    }
    session.ok();
}
