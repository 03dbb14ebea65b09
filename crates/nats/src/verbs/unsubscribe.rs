//! UNSUB: a subscription ends, at once or when it has delivered so many messages.

use std::sync::atomic::Ordering;

use crate::session::Session;

pub(crate) fn handle(session: &mut Session<'_>, sid: &[u8], max: Option<u64>) {
    if let Some(subscription) = session.subscriptions.get(sid) {
        let later = {
            // Deliveries count under this lock.
            let _outbound = session.connection.outbound.lock();
            let delivered = subscription.delivered.load(Ordering::Relaxed);
            let later = max.filter(|max| *max > delivered);
            subscription.max.store(later.unwrap_or(0), Ordering::Relaxed);
            later.is_some()
        };
        if !later && let Some(subscription) = session.subscriptions.remove(sid) {
            session.door.router().remove(&subscription);
        }
    }
    session.ok();
}
