//! The arguments that every command shares: where the cluster is, and how long to wait for it.

use std::time::Duration;

use clap::Args;

use crate::client::{Client, ClientConfig};

/// Where to find the cluster.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Broker to ask first, host:port; several with commas between them
    #[arg(
        short,
        long,
        env = "DUOLOG_BOOTSTRAP",
        hide_env_values = true,
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT",
        help_heading = "Connection"
    )]
    pub bootstrap: String,
    /// Longest wait for a connection or an answer, in seconds
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds, help_heading = "Connection")]
    pub timeout: Duration,
}

impl ConnectArgs {
    /// A client for that cluster; connects when first used.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(ClientConfig {
            bootstrap: self.bootstrap.clone(),
            timeout: self.timeout,
            client_id: "duolog-cli".to_owned(),
        })
    }
}

/// A positive number of seconds, at most a day, with a fraction if wanted.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    if !(0.001..=86_400.0).contains(&number) {
        return Err(format!("{number} s is not between 0.001 and 86400"));
    }
    Ok(Duration::from_secs_f64(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive_and_bounded() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["0", "-1", "NaN", "inf", "1e9", "soon", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
