//! Puts much data into a broker: large requests over many partitions, several on their way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::FillArgs;
use crate::wire;

/// Bytes of batches in one request: far below what brokers accept, far above what a request costs.
const REQUEST_BYTES: u64 = 1 << 20;
/// Requests on their way, as clients have.
const IN_FLIGHT: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// Fills evenly until at least `bytes` are acknowledged.
pub fn run(args: &FillArgs) -> anyhow::Result<Value> {
    let batch = wire::batch(1, args.value_bytes, None)?;
    let batches = args.bytes.div_ceil(batch.len() as u64);
    let per_request = (REQUEST_BYTES / batch.len() as u64).clamp(1, u64::from(args.partitions));
    let requests = batches.div_ceil(per_request);
    let mut stream = TcpStream::connect(args.bootstrap)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;

    let began = Instant::now();
    for request in 0..requests + IN_FLIGHT {
        if request >= IN_FLIGHT {
            read_response(&mut stream)?;
        }
        if request < requests {
            let first = request * per_request;
            let parts: Vec<(u32, &[u8])> = (first..first + per_request)
                .map(|number| ((number % u64::from(args.partitions)) as u32, batch.as_slice()))
                .collect();
            stream.write_all(&wire::produce_frame(&args.topic, &parts)?)?;
        }
    }
    let (seconds, bytes) = (began.elapsed().as_secs_f64(), requests * per_request * batch.len() as u64);
    Ok(json!({
        "batches": requests * per_request,
        "batch_bytes": batch.len(),
        "bytes": bytes,
        "seconds": seconds,
        "bytes_per_second": bytes as f64 / seconds,
    }))
}

fn read_response(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut length = [0; wire::LENGTH_BYTES];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    anyhow::ensure!(length <= REQUEST_BYTES as usize, "a response of {length} bytes");
    let mut response = vec![0; length];
    stream.read_exact(&mut response)?;
    wire::check_response(&response)
}
