//! What isn't done yet: `CONSUMER.PAUSE`, `CONSUMER.UNPIN`, `CONSUMER.RESET`, `STREAM.SNAPSHOT`, `STREAM.RESTORE`.
//! Answered by an error that says so, never by silence or a success that is none.

use std::sync::Arc;

use duolog_nats_wire::jetstream::error::STREAM_GENERAL_ERROR;
use duolog_nats_wire::jetstream::reply::{
    Body, ConsumerPauseReply, ConsumerResetReply, ConsumerUnpinReply, StreamRestoreReply, StreamSnapshotReply,
};
use duolog_types::Lsn;

use super::request::Request;
use super::{Answer, finish};
use crate::jetstream::JetStream;

pub(super) fn pause(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<ConsumerPauseReply>(jetstream, request, "pausing a consumer")
}

pub(super) fn unpin(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<ConsumerUnpinReply>(jetstream, request, "unpinning a client")
}

pub(super) fn reset(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<ConsumerResetReply>(jetstream, request, "resetting a consumer")
}

pub(super) fn snapshot(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<StreamSnapshotReply>(jetstream, request, "a stream's snapshot")
}

pub(super) fn restore(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<StreamRestoreReply>(jetstream, request, "restoring a stream")
}

fn refuse<B: Body>(jetstream: &JetStream, request: &Request, what: &str) -> Answer {
    finish::<B>(jetstream, request, || {
        (Lsn::ZERO, Err(STREAM_GENERAL_ERROR.because(format_args!("{what} is not supported"))))
    })
}
