//! `$SYS.REQ.USER.INFO`: who am I? Clients' tools ask it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use duolog_nats_wire::ServerInfo;

use crate::router::{Handler, Inbound, Origin, Registration, Router};
use crate::verbs::ping::ACCOUNT;

const SUBJECT: &str = "$SYS.REQ.USER.INFO";

/// Answers the question.
pub(crate) struct UserInfo {
    router: std::sync::Weak<Router>,
    info: ServerInfo,
    sequence: AtomicU64,
}

impl UserInfo {
    pub(crate) fn register(router: &Arc<Router>, info: &ServerInfo) -> Option<Registration> {
        let handler =
            Self { router: Arc::downgrade(router), info: info.clone(), sequence: AtomicU64::new(0) };
        router.register(SUBJECT, Arc::new(handler)).ok()
    }
}

impl Handler for UserInfo {
    fn publish(&self, message: &Inbound<'_>, from: Origin<'_>) -> bool {
        let (Some(reply), Some(router)) = (message.reply, self.router.upgrade()) else { return true };
        let user = match from {
            Origin::Client(client) => client.user.as_str(),
            Origin::Server => "",
        };
        let answer = serde_json::json!({
            "server": {
                "name": self.info.server_name,
                "host": self.info.host,
                "id": self.info.server_id,
                "ver": self.info.version,
                "jetstream": self.info.jetstream,
                "flags": 0,
                "seq": self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            },
            "data": { "user": user, "account": ACCOUNT, "account_name": ACCOUNT },
        });
        router.publish(&Inbound::new(reply, answer.to_string().as_bytes()));
        true
    }
}
