//! InitProducerId: an id for an idempotent producer, that no other producer ever gets.
//!
//! Behaviour: every request gets a fresh id at epoch 0, also one that names an id and an epoch (v3+, KIP-360):
//! without a transactional id Kafka does the same. The answer leaves when the id's reservation is durable.
//! Versions: v2 flexible · v3 current id and epoch (KIP-360) · v4 PRODUCER_FENCED · v5 TRANSACTION_ABORTABLE.
//! v6 (two-phase commit) is unstable in Kafka's schemas and not advertised.
//! Transactions: there are none yet. A transactional id is answered with UNSUPPORTED_VERSION, and both clients then
//! name that: Java's by ending the producer with it, librdkafka (which retries it) by `init_transactions` failing with
//! it when its timeout is over. Coordinator errors would be retried for ever, and an authorization error, fatal at
//! once in both, would send the operator to look for ACLs. An empty id is INVALID_REQUEST, as in Kafka.
//! Source: KIP-98, KIP-360; Kafka's `TransactionCoordinator.handleInitProducerId`.

use duolog_types::Lsn;
use kafka_wire::{InitProducerIdRequest, InitProducerIdResponse};

use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// InitProducerId in the table.
pub const API: Api = Api {
    key: 22,
    name: "InitProducerId",
    min: 0,
    max: 5,
    advertised_min: 0,
    flexible_from: 2,
    notes: "no transactional ids yet: UNSUPPORTED_VERSION",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let request: InitProducerIdRequest = call.decode()?;
    let allocated = match request.transactional_id.as_deref() {
        Some("") => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(ErrorCode::UnsupportedVersion),
        None => call.door.broker.producer_ids().allocate().map_err(|error| {
            tracing::warn!(%error, "no producer id");
            ErrorCode::from(&error)
        }),
    };
    let (response, after) = match allocated {
        Ok(new) => {
            let response =
                message!(InitProducerIdResponse { producer_id: new.id.0, producer_epoch: new.epoch.0 });
            (response, new.lsn)
        }
        Err(error) => {
            call.count_errors([error.code()]);
            let response = message!(InitProducerIdResponse {
                error_code: error.code(),
                producer_id: -1,
                producer_epoch: -1,
            });
            (response, Lsn::ZERO)
        }
    };
    call.reply(&response, after)
}
