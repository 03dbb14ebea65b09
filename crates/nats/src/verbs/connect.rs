//! CONNECT: who the client is and what it can do.
//!
//! May come again: it changes what it names, and ends the subscriptions that there were.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use duolog_nats_wire::ErrorText;

use crate::router::ClientInfo;
use crate::session::Session;
use crate::session::close::CloseReason;

/// The newest protocol that a client may ask for.
const PROTOCOL: i64 = 1;

pub(crate) fn handle(session: &mut Session<'_>, json: &[u8]) -> Result<(), CloseReason> {
    session.options.apply(json)?;
    if session.had_connect {
        for (_, subscription) in session.subscriptions.drain() {
            session.door.router().remove(&subscription);
        }
    }
    session.had_connect = true;
    let options = &session.options;
    let user = session.door.authenticate(options);
    let Some(user) = user.filter(|_| options.account.is_empty() && !options.new_account) else {
        return Err(CloseReason::Refused(ErrorText::Authorization));
    };
    session.client = Arc::new(ClientInfo {
        user,
        name: options.name.clone(),
        lang: options.lang.clone(),
        version: options.version.clone(),
        ..ClientInfo::clone(&session.client)
    });
    let connection = session.connection;
    connection.headers.store(options.headers, Ordering::Relaxed);
    connection.takes_info.store(options.protocol >= 1, Ordering::Relaxed);
    session.awaits_auth = false;
    let env = session.door.env();
    connection.connected(env.clock.monotonic(), session.door.config(), env.rng.next_u64());
    if !(0..=PROTOCOL).contains(&options.protocol) {
        return Err(CloseReason::Refused(ErrorText::Protocol));
    }
    if options.no_responders && !options.headers {
        return Err(CloseReason::Refused(ErrorText::NoRespondersWithoutHeaders));
    }
    session.ok();
    Ok(())
}
