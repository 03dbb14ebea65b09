//! The configuration, as each crate wants its part.

use duolog_log::{DamagePolicy, LogConfig};

use crate::config::{Config, Durability};

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
        block_cache_bytes: config.cache.memory_bytes.0,
        max_open_files: config.storage.max_open_files as usize,
        background_bytes_per_second: config.storage.background_bytes_per_second.0,
        damage: if give_up_damaged { DamagePolicy::GiveUp } else { DamagePolicy::Refuse },
        ..LogConfig::new(&config.data_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_s_defaults_are_the_log_s() {
        let config = Config::default();
        let ours = format!("{:?}", log_config(&config, false));
        assert_eq!(ours, format!("{:?}", LogConfig::new(&config.data_dir)));
    }
}
