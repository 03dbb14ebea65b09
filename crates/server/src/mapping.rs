//! The configuration, as each crate wants its part.

use duolog_broker::{BrokerConfig, GroupsConfig};
use duolog_kafka::KafkaConfig;
use duolog_log::{DamagePolicy, LogConfig};
use duolog_nats::{Auth, NatsConfig, Secret};

use crate::config::{ByteSize, Config, Durability};

/// How many threads serve the network: one a core. Given to the runtime, so that no variable of its own says otherwise.
pub fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The log's part.
pub fn log_config(config: &Config, give_up_damaged: bool) -> LogConfig {
    LogConfig {
        durability: match config.durability {
            Durability::Sync => duolog_log::Durability::Sync,
            Durability::Os => duolog_log::Durability::Os,
        },
        wal_file_bytes: config.wal.file_bytes.0,
        checkpoint_bytes: config.wal.checkpoint_bytes.0,
        checkpoint_age: config.wal.checkpoint_age.0,
        tail_bytes: config.tail.memory_bytes.0,
        memory_bytes: config.streams.memory_bytes.0,
        block_cache_bytes: config.cache.memory_bytes.0,
        max_open_files: config.storage.max_open_files as usize,
        background_bytes_per_second: config.storage.background_bytes_per_second.0,
        damage: if give_up_damaged { DamagePolicy::GiveUp } else { DamagePolicy::Refuse },
        callers_commit: worker_threads() > 1,
        ..LogConfig::new(&config.data_dir)
    }
}

/// The broker's part.
pub fn broker_config(config: &Config) -> BrokerConfig {
    BrokerConfig {
        default_partitions: config.topics.default_partitions,
        auto_create_topics: config.topics.auto_create,
        message_bytes_max: message_bytes_max(config),
        groups: groups_config(config),
        ..BrokerConfig::default()
    }
}

/// What stands around the records of a request with one batch, at most.
const REQUEST_OVERHEAD: u64 = 64 << 10;

/// What a WAL file holds beside its one entry, at most.
const WAL_OVERHEAD: u64 = 8 << 10;

/// The largest batch that both a request and an entry of the log have room for.
fn message_bytes_max(config: &Config) -> usize {
    let request = config.kafka.max_frame_bytes.0.saturating_sub(REQUEST_OVERHEAD);
    let entry = config.wal.file_bytes.0.saturating_sub(WAL_OVERHEAD);
    bytes(ByteSize(request.min(entry)))
}

/// The group coordinator's part of the broker's.
fn groups_config(config: &Config) -> GroupsConfig {
    GroupsConfig {
        initial_rebalance_delay: config.groups.initial_rebalance_delay.0,
        session_timeout_min: config.groups.min_session_timeout.0,
        session_timeout_max: config.groups.max_session_timeout.0,
        group_size_max: config.groups.max_size as usize,
        offsets_retention: config.offsets.retention.0,
        ..GroupsConfig::default()
    }
}

/// The Kafka door's part.
pub fn kafka_config(config: &Config) -> KafkaConfig {
    let advertised = config.kafka.advertised.as_ref();
    KafkaConfig {
        advertised_host: advertised.map_or(&config.kafka.listen, |advertised| advertised).host.clone(),
        // 0: the port that the listener got.
        advertised_port: advertised.map_or(0, |advertised| advertised.port),
        max_request_bytes: bytes(config.kafka.max_frame_bytes),
        request_bytes: bytes(config.kafka.request_memory_bytes),
        max_connections: config.kafka.max_connections as usize,
        max_connections_per_ip: config.kafka.max_connections_per_ip as usize,
        idle_timeout: config.kafka.idle_timeout.0,
        data_dir: std::path::absolute(&config.data_dir)
            .unwrap_or_else(|_| config.data_dir.clone())
            .display()
            .to_string(),
        ..KafkaConfig::default()
    }
}

/// The NATS door's part.
pub fn nats_config(config: &Config) -> NatsConfig {
    let nats = &config.nats;
    let auth = if !nats.token.0.is_empty() {
        Auth::Token(Secret::new(&nats.token.0))
    } else if !nats.user.is_empty() {
        Auth::User { name: nats.user.clone(), password: Secret::new(&nats.password.0) }
    } else {
        Auth::None
    };
    NatsConfig {
        server_name: nats.server_name.clone(),
        jetstream: Some(duolog_nats::jetstream::API_LEVEL),
        host: nats.listen.as_ref().map_or_else(String::new, |listen| listen.host.clone()),
        auth,
        max_control_line: bytes(nats.max_control_line),
        max_payload: bytes(nats.max_payload),
        max_pending: bytes(nats.max_pending),
        max_pending_total: bytes(nats.pending_memory_bytes),
        input_bytes: bytes(nats.message_memory_bytes),
        max_connections: nats.max_connections as usize,
        max_subscriptions: nats.max_subscriptions as usize,
        ping_interval: nats.ping_interval.0,
        max_pings_out: nats.ping_max,
        write_deadline: nats.write_deadline.0,
        auth_timeout: nats.auth_timeout.0,
        lame_duck_duration: nats.lame_duck_duration.0,
        lame_duck_grace: nats.lame_duck_grace.0,
        ..NatsConfig::default()
    }
}

/// As an amount of memory; more than the machine can address is as good as all of it.
fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    #[test]
    fn the_table_s_defaults_are_those_of_the_crates() {
        let config = Config::default();
        let log = format!("{:?}", log_config(&config, false));
        assert_eq!(log, format!("{:?}", LogConfig::new(&config.data_dir)));
        assert_eq!(format!("{:?}", broker_config(&config)), format!("{:?}", BrokerConfig::default()));
        let kafka = KafkaConfig { data_dir: KafkaConfig::default().data_dir, ..kafka_config(&config) };
        assert_eq!(format!("{kafka:?}"), format!("{:?}", KafkaConfig::default()));
        // The door's own default is core NATS; here JetStream stands behind it.
        let nats = NatsConfig { jetstream: NatsConfig::default().jetstream, ..nats_config(&config) };
        assert_eq!(format!("{nats:?}"), format!("{:?}", NatsConfig::default()));
    }

    #[test]
    fn batches_may_be_as_large_as_requests_and_wal_entries() {
        let mut config = Config::default();
        assert_eq!(broker_config(&config).message_bytes_max, 16 << 20);
        config.kafka.max_frame_bytes = ByteSize(1 << 30);
        assert_eq!(broker_config(&config).message_bytes_max, (256 << 20) - (8 << 10));
        config.wal.file_bytes = ByteSize(64 << 30);
        assert_eq!(broker_config(&config).message_bytes_max, (1 << 30) - (64 << 10));
    }

    #[test]
    fn clients_are_told_the_advertised_address_or_the_one_that_is_listened_on() {
        let mut config = Config::default();
        config.kafka.listen = HostPort { host: "10.0.0.1".to_owned(), port: 0 };
        let listened = kafka_config(&config);
        assert_eq!((listened.advertised_host.as_str(), listened.advertised_port), ("10.0.0.1", 0));
        config.kafka.advertised = Some(HostPort { host: "broker".to_owned(), port: 19092 });
        let advertised = kafka_config(&config);
        assert_eq!((advertised.advertised_host.as_str(), advertised.advertised_port), ("broker", 19092));
    }
}
