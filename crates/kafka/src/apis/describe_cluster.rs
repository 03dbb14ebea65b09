//! DescribeCluster: the cluster's id, its brokers, its controller.
//!
//! Versions: v1 endpoint type (brokers or controllers, KIP-919) · v2 fenced brokers.
//! Source: KIP-700; Kafka's `AuthHelper.computeDescribeClusterResponse`.

use kafka_wire::describe_cluster_response::DescribeClusterBroker;
use kafka_wire::{DescribeClusterRequest, DescribeClusterResponse};
use kafka_wire_core::StrBytes;

use super::common::{CLUSTER_OPERATIONS, operations, text};
use crate::dispatch::{Api, Call, Handled};
use crate::errors::ErrorCode;
use crate::message;

/// DescribeCluster in the table.
pub const API: Api = Api {
    key: 60,
    name: "DescribeCluster",
    min: 0,
    max: 2,
    advertised_min: 0,
    flexible_from: 0,
    notes: "",
    handler: |call| Box::pin(handle(call)),
};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

async fn handle(mut call: Call<'_>) -> Handled {
    let request: DescribeClusterRequest = call.decode()?;
    let door = call.door;
    let catalog = door.broker.catalog();
    let mut response = message!(DescribeClusterResponse { endpoint_type: request.endpoint_type });
    match request.endpoint_type {
        BROKERS => {
            response.cluster_id = StrBytes::from(catalog.cluster_id());
            response.controller_id = door.node_id();
            response.brokers = vec![message!(DescribeClusterBroker {
                broker_id: door.node_id(),
                host: door.host(),
                port: door.port(),
            })];
            response.cluster_authorized_operations =
                operations(request.include_cluster_authorized_operations, CLUSTER_OPERATIONS);
        }
        CONTROLLERS => {
            response.error_code = ErrorCode::MismatchedEndpointType.code();
            response.error_message = text("this is a broker, and controllers were asked for");
        }
        other => {
            response.error_code = ErrorCode::UnsupportedEndpointType.code();
            response.error_message = text(format!("there is no endpoint type {other}"));
        }
    }
    call.count_errors([response.error_code]);
    // A new data directory's cluster id is a change like any other.
    call.reply(&response, catalog.changed())
}
