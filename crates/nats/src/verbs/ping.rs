//! PING: the client asks whether what it sent so far was handled.

use bytes::BytesMut;
use duolog_nats_wire::encode;

use crate::session::Session;

/// The account that every client is in.
pub(crate) const ACCOUNT: &str = "$G";

pub(crate) fn handle(session: &mut Session<'_>) {
    let mut bytes = BytesMut::from(encode::PONG);
    // Behind the first PONG, a client that takes INFO at any time is told where it is.
    if session.had_connect && !session.had_pong {
        session.had_pong = true;
        if session.options.protocol >= 1 {
            let mut info = session.door.info(session.connection);
            info.connect_info = true;
            info.remote_account = ACCOUNT.to_owned();
            encode::put_info(&mut bytes, &info);
        }
    }
    session.answer(&bytes);
}
