//! A disk that stalls under one client's batch holds up nobody who needs nothing of it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests; a client of its own thread"
)]

mod support;

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use duolog_broker::{Broker, BrokerConfig};
use duolog_env::{Disk, Env, File, Lock, OpenMode, Space};
use duolog_kafka::{KafkaConfig, message};
use kafka_wire::*;
use parking_lot::{Condvar, Mutex};
use support::TestServer;

/// Whether durable writes wait, and how many do.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        let mut is_shut = self.is_shut.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while *is_shut {
            self.opened.wait(&mut is_shut);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn shut(&self, shut: bool) {
        *self.is_shut.lock() = shut;
        self.opened.notify_all();
    }
}

/// The real disk, with a gate before the WAL's writes.
struct GatedDisk(Arc<dyn Disk>, Arc<Gate>);

impl Disk for GatedDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.0.open(path, mode)?;
        match path.extension().is_some_and(|extension| extension == "wal") {
            true => Ok(Arc::new(GatedFile(file, Arc::clone(&self.1)))),
            false => Ok(file),
        }
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn sync_files(&self, dir: &Path, files: &[Arc<dyn File>]) -> io::Result<()> {
        self.0.sync_files(dir, files)
    }
    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.0.space(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
}

#[derive(Debug)]
struct GatedFile(Arc<dyn File>, Arc<Gate>);

impl File for GatedFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(bytes, at)
    }
    fn write_durable(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.1.pass();
        self.0.write_durable(bytes, at)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
}

/// Sends a request's frame.
fn send<R: RequestResponsePair>(client: &mut std::net::TcpStream, request: &R, version: i16) {
    let frame = support::encode(request, version, 1);
    let mut bytes = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(&frame);
    client.write_all(&bytes).unwrap();
}

/// Whether an answer comes in time.
fn is_answered(client: &mut std::net::TcpStream, patience: Duration) -> bool {
    client.set_read_timeout(Some(patience)).unwrap();
    let mut length = [0; 4];
    let Ok(()) = client.read_exact(&mut length) else { return false };
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    client.read_exact(&mut frame).is_ok()
}

#[test]
fn a_stall_under_one_clients_batch_holds_up_nobody_else() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let real = Env::real();
    let env = Env { disk: Arc::new(GatedDisk(Arc::clone(&real.disk), Arc::clone(&gate))), ..real };
    let config = support::log_config(dir.path());
    let broker = Broker::open(env, BrokerConfig::default(), config).unwrap();
    let server =
        runtime.block_on(TestServer::over(support::TestBroker::of(broker, dir), KafkaConfig::default()));
    // As the server does.
    let _watch = runtime.spawn(server.broker.broker.until_poisoned());

    let produce = || {
        let records = Some(support::batch(&["v"]));
        let data = message!(produce_request::PartitionProduceData { records: records });
        let topic =
            message!(produce_request::TopicProduceData { name: "t".into(), partition_data: vec![data] });
        message!(ProduceRequest { transactional_id: None, acks: -1, topic_data: vec![topic] })
    };
    server.broker.broker.catalog().get_or_create("t").unwrap();
    let connect = || std::net::TcpStream::connect(server.address).unwrap();
    let (mut producer, mut other) = (connect(), connect());
    let patience = Duration::from_secs(10);
    for _ in 0..3 {
        send(&mut producer, &produce(), 9);
        assert!(is_answered(&mut producer, patience));
    }
    for round in 0..10 {
        // Sealed, so that nobody but the client does anything.
        std::thread::sleep(Duration::from_millis(30));
        gate.shut(true);
        send(&mut producer, &produce(), 9);
        while gate.waiting.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        send(&mut other, &message!(ApiVersionsRequest {}), 0);
        let answered = is_answered(&mut other, patience / 10);
        gate.shut(false);
        assert!(answered, "round {round}: the other client waits for the disk");
        assert!(is_answered(&mut producer, patience));
    }
    runtime.block_on(server.stop());
}
