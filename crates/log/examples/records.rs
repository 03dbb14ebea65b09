//! How fast single records are appended, and deleted, and what of the processor that takes.
//! `cargo run --release -p duolog-log --example records -- <directory> [records] [value bytes] [partitions]`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a tool for developers, which measures real time"
)]

use std::time::{Duration, Instant};

use duolog_env::Env;
use duolog_log::{AppendError, Entry, Log, LogConfig, NewRecord, Partition};
use duolog_types::{Nanos, Offset};
use roaring::RoaringTreemap;

/// Time that all threads of this process had a processor, by the hundredth of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // utime and stime are fields 14 and 15; the name in front may hold blanks.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn measure(what: &str, log: &Log, count: u64, work: impl FnOnce()) {
    let (began, cpu_before, before) = (Instant::now(), cpu(), log.stats());
    work();
    while log.durable_lsn() < log.last_lsn() {
        std::thread::yield_now();
    }
    let (took, burnt, after) = (began.elapsed(), cpu() - cpu_before, log.stats());
    println!(
        "{what}: {:.0}/s by the clock, {:.0}/s of one core ({:.2} us each), {} groups, {} entries, {:.1} WAL bytes each",
        count as f64 / took.as_secs_f64(),
        count as f64 / burnt.as_secs_f64(),
        burnt.as_secs_f64() * 1e6 / count as f64,
        after.groups - before.groups,
        after.entries - before.entries,
        (after.wal_bytes - before.wal_bytes) as f64 / count as f64,
    );
}

fn append(partition: &Partition, value: &[u8], at: u64) {
    let record = NewRecord {
        key: Some(b"orders.new.eu"),
        value: Some(value),
        headers: &[],
        arrival: Nanos(1_700_000_000_000_000_000 + at as i64 * 1_000),
    };
    loop {
        match partition.append_record(record) {
            Ok(_) => return,
            Err(AppendError::Overloaded { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("a directory to make");
    let mut number = |default: u64| args.next().map_or(default, |text| text.parse().unwrap());
    let (count, value_bytes, partitions) = (number(3_000_000), number(128), number(1));
    let log = Log::open(&Env::real(), LogConfig::new(&dir), Vec::new()).unwrap();
    let partitions: Vec<Partition> = (0..partitions)
        .map(|_| {
            let id = log.allocate_partitions(1);
            log.submit(Entry::new().create_partition(id)).unwrap();
            log.partition(id).unwrap()
        })
        .collect();
    let value = vec![b'x'; value_bytes as usize];
    let of = |n: u64| &partitions[(n % partitions.len() as u64) as usize];
    measure("append_record", &log, count, || (0..count).for_each(|n| append(of(n), &value, n)));
    let deletes = count / 3;
    measure("delete, one at a time", &log, deletes, || {
        for n in 0..deletes {
            let one: RoaringTreemap = [n / partitions.len() as u64].into_iter().collect();
            of(n).delete(&one).unwrap();
        }
    });
    measure("checkpoint with that third dead", &log, count, || log.checkpoint().unwrap());
    let alive: u64 = partitions
        .iter()
        .map(|partition| partition.end().0 as u64 - partition.dead_count(Offset(0), partition.end()))
        .sum();
    println!("{alive} of {count} alive");
    log.close().unwrap();
}
