//! What only a cluster can do: `STREAM.LEADER.STEPDOWN`, `STREAM.PEER.REMOVE`, `CONSUMER.LEADER.STEPDOWN`. One node
//! answers 10010, as the reference's does.

use std::sync::Arc;

use duolog_nats_wire::jetstream::error::CLUSTER_REQUIRED;
use duolog_nats_wire::jetstream::reply::{
    Body, ConsumerLeaderStepdownReply, StreamLeaderStepdownReply, StreamRemovePeerReply,
};
use duolog_types::Lsn;

use super::request::Request;
use super::{Answer, finish};
use crate::jetstream::JetStream;

pub(super) fn stream_stepdown(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<StreamLeaderStepdownReply>(jetstream, request)
}

pub(super) fn peer_remove(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<StreamRemovePeerReply>(jetstream, request)
}

pub(super) fn consumer_stepdown(jetstream: &Arc<JetStream>, request: &Request) -> Answer {
    refuse::<ConsumerLeaderStepdownReply>(jetstream, request)
}

fn refuse<B: Body>(jetstream: &JetStream, request: &Request) -> Answer {
    finish::<B>(jetstream, request, || (Lsn::ZERO, Err(CLUSTER_REQUIRED.error())))
}
