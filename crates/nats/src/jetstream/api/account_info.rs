//! `$JS.API.INFO`: what the account uses, and how the API is used. A body is passed over.
//! Source: nats-server 2.15, `account_info_response`.

use std::sync::atomic::Ordering;

use duolog_broker::streams::StorageType;
use duolog_nats_wire::jetstream::account::{AccountInfo, AccountLimits, ApiStats};
use duolog_nats_wire::jetstream::reply::{AccountInfoReply, Reply};
use duolog_types::Lsn;

use super::request::Request;
use crate::jetstream::JetStream;

pub(super) fn answer(jetstream: &JetStream, _request: &Request) -> (Lsn, Reply<AccountInfoReply>) {
    let mut after = jetstream.streams().changed();
    let mut info = AccountInfo {
        limits: AccountLimits::unlimited(),
        api: ApiStats {
            level: jetstream.identity.api_level,
            total: jetstream.requests.load(Ordering::Relaxed),
            errors: jetstream.refusals.load(Ordering::Relaxed),
            inflight: 0,
        },
        ..AccountInfo::default()
    };
    for topic in jetstream.broker.catalog().topics() {
        let Some(stream) = topic.stream() else {
            // As the log stores it: what a topic's messages would take by JetStream's measure only its index knows.
            info.streams += topic.partitions().len() as u64;
            info.storage += topic.partitions().iter().map(|partition| partition.size_bytes()).sum::<u64>();
            continue;
        };
        let (config, state) = (stream.config(), stream.state());
        after = after.max(state.lsn);
        info.streams += 1;
        if let Some(consumers) = jetstream.consumers.of(stream.partition().id()) {
            info.consumers += consumers.count() as u64;
            after = after.max(consumers.changed());
        }
        let (used, reserved) = match config.storage {
            StorageType::Memory => (&mut info.memory, &mut info.reserved_memory),
            StorageType::File => (&mut info.storage, &mut info.reserved_storage),
        };
        *used += state.bytes;
        *reserved += config.max_bytes.unwrap_or(0);
    }
    (after, Ok(AccountInfoReply { info: Some(info) }))
}
