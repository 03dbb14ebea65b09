//! The Kafka APIs, one file each. A new one is a file and a line below.
//!
//! A file opens with what its API does, its versions and its source, and holds its [`Api`] and its handler.

use crate::dispatch::Api;

macro_rules! apis {
    ($($module:ident,)*) => {
        $(pub mod $module;)*

        /// Every API that is served. The order is that of this list: it numbers the metrics.
        pub const APIS: &[Api] = &[$($module::API,)*];
    };
}

mod answer;
mod common;
mod group;

apis! {
    api_versions,
    metadata,
    produce,
    fetch,
    list_offsets,
    offset_for_leader_epoch,
    find_coordinator,
    join_group,
    sync_group,
    heartbeat,
    leave_group,
    offset_commit,
    offset_fetch,
    offset_delete,
    list_groups,
    describe_groups,
    delete_groups,
    init_producer_id,
    create_topics,
    delete_topics,
    create_partitions,
    delete_records,
    describe_configs,
    alter_configs,
    incremental_alter_configs,
    describe_cluster,
    describe_topic_partitions,
    describe_log_dirs,
    describe_producers,
}
