//! Many producers at once, each with one request on its way: how many requests a second come of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::time::timeout;

use crate::LoadArgs;
use crate::sample::Samples;
use crate::wire;

const PATIENCE: Duration = Duration::from_secs(120);
const RESPONSE_BYTES_MAX: usize = 64 << 10;

/// Runs all producers to their end.
pub fn run(args: LoadArgs) -> anyhow::Result<Value> {
    // One thread, so that the load leaves as much of a small machine to the broker as it can.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(all(args))
}

async fn all(args: LoadArgs) -> anyhow::Result<Value> {
    let batch: Arc<[u8]> = wire::batch(args.batch_records, args.value_bytes, args.key.as_deref())?.into();
    let args = Arc::new(args);
    // The producers, and this task, which takes the time when all are connected.
    let start = Arc::new(Barrier::new(args.producers as usize + 1));
    let producers: Vec<_> = (0..args.producers)
        .map(|number| {
            tokio::spawn(producer(number, Arc::clone(&args), Arc::clone(&batch), Arc::clone(&start)))
        })
        .collect();
    timeout(PATIENCE, start.wait()).await.context("not all producers could connect")?;
    let began = Instant::now();
    let mut samples = Samples::new();
    for producer in producers {
        samples.join(producer.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let requests = u64::from(args.producers) * u64::from(args.requests);
    let records = requests * u64::from(args.batch_records);
    Ok(json!({
        "requests": requests,
        "records": records,
        "seconds": seconds,
        "requests_per_second": requests as f64 / seconds,
        "records_per_second": records as f64 / seconds,
        "latency": samples.report(),
    }))
}

async fn producer(
    number: u32,
    args: Arc<LoadArgs>,
    batch: Arc<[u8]>,
    start: Arc<Barrier>,
) -> anyhow::Result<Samples> {
    let connected = TcpStream::connect(args.bootstrap).await;
    // Whoever can't connect holds up nobody.
    timeout(PATIENCE, start.wait()).await.context("not all producers could connect")?;
    let mut stream = connected?;
    stream.set_nodelay(true)?;
    let mut samples = Samples::new();
    let mut response = Vec::new();
    for request in 0..args.requests {
        // Producers begin at different partitions and go round by a step that meets all of them.
        let partition = (number.wrapping_mul(7919).wrapping_add(request.wrapping_mul(257))) % args.partitions;
        let frame = wire::produce_frame(&args.topic, &[(partition, &batch)])?;
        let began = Instant::now();
        stream.write_all(&frame).await?;
        timeout(PATIENCE, read_response(&mut stream, &mut response)).await.context("no reply")??;
        samples.add(began.elapsed());
        wire::check_response(&response)?;
    }
    Ok(samples)
}

/// Reads a response, without its length, into `response`.
async fn read_response(stream: &mut TcpStream, response: &mut Vec<u8>) -> anyhow::Result<()> {
    let length = stream.read_u32().await? as usize;
    anyhow::ensure!(length <= RESPONSE_BYTES_MAX, "a response of {length} bytes");
    response.resize(length, 0);
    stream.read_exact(response).await?;
    Ok(())
}
