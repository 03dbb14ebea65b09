//! When a server that was just started knows its stream again.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};

use super::InfoArgs;
use super::connection::Connection;

const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(2);

/// Asks until it is told.
pub fn run(args: &InfoArgs) -> anyhow::Result<Value> {
    let began = Instant::now();
    loop {
        let asked = Connection::open(args.server)
            .and_then(|mut one| one.api(&format!("$JS.API.STREAM.INFO.{}", args.stream), &json!({})));
        match asked {
            Ok(info) => return Ok(info["state"].clone()),
            Err(error) if began.elapsed() > PATIENCE => bail!(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
