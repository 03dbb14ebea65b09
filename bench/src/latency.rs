//! What an acknowledgement costs over what the disk costs: the bare disk, the raw socket and a real client in
//! turns, so that each meets the same noise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::LatencyArgs;
use crate::bare::Bare;
use crate::client::Client;
use crate::sample::Samples;
use crate::wire;

/// What the WAL puts around a batch (group, entry and frame header) is less than this.
const WAL_OVERHEAD_BYTES: usize = 192;
const BLOCK_BYTES: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures all of it.
pub fn run(args: &LatencyArgs) -> anyhow::Result<Value> {
    let batch = wire::batch(1, args.value_bytes, None)?;
    let padded = (batch.len() + WAL_OVERHEAD_BYTES).next_multiple_of(BLOCK_BYTES);
    let mut bare = Bare::create(&args.dir, padded)?;
    let mut raw = Raw::connect(args, &batch)?;
    let client = Client::connect(args.bootstrap, &args.topic, args.value_bytes)?;

    let [mut direct, mut cached, mut last_to_first, mut whole_call, mut seen] = [const { Samples::new() }; 5];
    // Of each round, so that a disturbance of some rounds doesn't decide the ratio.
    let (mut raw_ratios, mut client_ratios) = (Vec::new(), Vec::new());
    // One round more than counts: caches, connections and the broker's paths are warm after it.
    for round in 0..=args.rounds {
        let [mut bare_now, mut raw_now, mut client_now] = [const { Samples::new() }; 3];
        for _ in 0..args.samples {
            bare_now.add(bare.direct()?);
        }
        for _ in 0..args.samples {
            let (call, reply) = raw.send()?;
            raw_now.add(reply);
            if round > 0 {
                whole_call.add(call);
            }
        }
        for _ in 0..args.samples {
            client_now.add(client.send()?);
        }
        for _ in 0..args.samples {
            let took = bare.cached()?;
            if round > 0 {
                cached.add(took);
            }
        }
        if round > 0 {
            raw_ratios.push(raw_now.p50_us() / bare_now.p50_us());
            client_ratios.push(client_now.p50_us() / bare_now.p50_us());
            direct.join(bare_now);
            last_to_first.join(raw_now);
            seen.join(client_now);
        }
    }
    Ok(json!({
        "written_bytes": padded,
        "bare_direct": direct.report(),
        "bare_fdatasync": cached.report(),
        "raw": last_to_first.report(),
        "raw_with_send": whole_call.report(),
        "client": seen.report(),
        "raw_over_bare": median(raw_ratios),
        "client_over_bare": median(client_ratios),
    }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One connection with nothing between it and the clock.
struct Raw {
    stream: TcpStream,
    frame: Vec<u8>,
    response: Vec<u8>,
}

impl Raw {
    fn connect(args: &LatencyArgs, batch: &[u8]) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(args.bootstrap)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let frame = wire::produce_frame(&args.topic, &[(0, batch)])?;
        Ok(Self { stream, frame, response: vec![0; 1024] })
    }

    /// One request: the time from before its first byte was sent, and from after its last one was, both until the
    /// reply's first byte was here.
    fn send(&mut self) -> anyhow::Result<(Duration, Duration)> {
        let began = Instant::now();
        self.stream.write_all(&self.frame)?;
        let sent = Instant::now();
        let mut here = self.stream.read(&mut self.response)?;
        let first = Instant::now();
        let length = loop {
            if let Some(prefix) = self.response[..here].first_chunk() {
                let length = wire::LENGTH_BYTES + u32::from_be_bytes(*prefix) as usize;
                anyhow::ensure!(length <= self.response.len(), "a response of {length} bytes");
                if here >= length {
                    break length;
                }
            }
            let more = self.stream.read(&mut self.response[here..])?;
            anyhow::ensure!(more > 0, "the broker closed the connection");
            here += more;
        };
        wire::check_response(&self.response[wire::LENGTH_BYTES..length])?;
        Ok((first - began, first - sent))
    }
}
