//! `duolog serve`: from the configuration to a running broker, and back to a clean data directory.
//!
//! ```text
//! bind doors ─┬─ recover the log ─► ready: startup lines ─┬─► signal ─► drain doors ─► checkpoint, close ─► 0
//!             └─ http answers meanwhile (not ready)       └─► poisoned ─► drain doors ─► 1
//! ```

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use duolog_admin::{AdminConfig, Health, Metrics, Readiness};
use duolog_broker::{Broker, BrokerConfig, LogConfig, OpenError, Poisoned};
use duolog_env::Env;
use duolog_kafka::Kafka;
use duolog_nats::jetstream::Identity;
use duolog_nats::{JetStream, Nats, Replies, Router};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, Setting};
use crate::files::{self, TooFewFiles};
use crate::listen::{self, BindError};
use crate::startup::Ready;
use crate::{logging, mapping, metrics};

/// Why the broker didn't start, or didn't end cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A door can't be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The disk failed: what was acknowledged is on it, and the next start finds out.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The operating system refused something that every process needs.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs the broker until a signal.
///
/// # Errors
/// See [`ServeError`]; nothing that was acknowledged is lost by any of them.
pub fn run(config: &Config, give_up_damaged: bool) -> Result<ExitCode, ServeError> {
    logging::start(config);
    let mut config = config.clone();
    let too_few_files = files::fit(&mut config);
    let system = |what| move |source| ServeError::System { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(mapping::worker_threads())
        .enable_all()
        .build()
        .map_err(system("starting the network threads"))?;
    let outcome = runtime.block_on(serve(&config, give_up_damaged, too_few_files));
    // Nothing that runs still matters: the log is closed, or must not be written any more.
    runtime.shutdown_background();
    outcome
}

async fn serve(
    config: &Config,
    give_up_damaged: bool,
    too_few_files: Option<TooFewFiles>,
) -> Result<ExitCode, ServeError> {
    let mut signals = Signals::new().map_err(|source| ServeError::System { what: "signals", source })?;
    let running = Running::start(config, give_up_damaged).await?;
    warn_if_exposed(config);
    if let Some(too_few) = too_few_files {
        too_few.warn();
    }

    let poisoned = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping: finishing requests, then a checkpoint; once more ends at once");
            None
        }
        poisoned = running.broker.until_poisoned() => {
            tracing::error!(%poisoned, "the log has stopped");
            Some(poisoned)
        }
    };
    tokio::select! {
        stopped = running.stop(poisoned) => {
            stopped?;
            tracing::info!("stopped cleanly");
            Ok(ExitCode::SUCCESS)
        }
        name = signals.next() => {
            tracing::warn!(signal = name, "ended at once; the next start recovers");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A task that ends when its flag is set.
struct Door {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Door {
    fn open<F>(serve: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(serve(stopped)) }
    }

    async fn close(self) {
        // The receiver is the task; one that has ended by itself needn't be told.
        let _ = self.stop.send(true);
        joined(self.task.await);
    }
}

/// How often a directory that is in use is tried again, and how long apart: a predecessor that was just killed holds it
/// until the kernel has taken its last write back.
const OPEN_ATTEMPTS: u32 = 20;
const OPEN_PAUSE: Duration = Duration::from_millis(50);

fn open_patiently(broker: &BrokerConfig, log: &LogConfig) -> Result<Arc<Broker>, OpenError> {
    for _ in 1..OPEN_ATTEMPTS {
        match Broker::open(Env::real(), broker.clone(), log.clone()) {
            Err(OpenError::Log(duolog_log::OpenError::InUse { .. })) => std::thread::sleep(OPEN_PAUSE),
            other => return other,
        }
    }
    Broker::open(Env::real(), broker.clone(), log.clone())
}

/// A broker that serves.
struct Running {
    broker: Arc<Broker>,
    health: Health,
    kafka: Door,
    nats: Option<Door>,
    http: Door,
    replies: JoinHandle<()>,
    /// Answers as long as it is here.
    _jetstream: Option<Arc<JetStream>>,
    background: JoinHandle<()>,
}

impl Running {
    /// Binds, recovers, opens the doors, and says so.
    async fn start(config: &Config, give_up_damaged: bool) -> Result<Self, ServeError> {
        let (health, pages) = (Health::default(), Metrics::default());
        metrics::register_server(&pages, config);
        let (broker_config, log_config) =
            (mapping::broker_config(config), mapping::log_config(config, give_up_damaged));
        let opening = tokio::task::spawn_blocking(move || open_patiently(&broker_config, &log_config));
        // Before recovery ends: clients wait in the kernel's queue instead of being refused, and http can say that
        // the broker lives but isn't ready.
        let bound = bind(config).await.map(|Sockets { kafka, nats, http, http_address }| {
            let (pages, health) = (pages.clone(), health.clone());
            let http = Door::open(|stopped| {
                duolog_admin::serve(http, AdminConfig::default(), pages, health, until_true(stopped))
            });
            (kafka, nats, http, http_address)
        });
        // If the directory belongs to another broker, that is the news, and not that it has the ports as well.
        let broker = joined(opening.await)?;
        let (kafka, nats, http, http_address) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                // The port is the news; a log that fails to close is recovered by the next start.
                let _ = close(broker).await;
                return Err(error);
            }
        };
        let kafka = Kafka::new(kafka, Arc::clone(&broker), mapping::kafka_config(config))
            .map_err(|source| ServeError::System { what: "the kafka listener's address", source })?;
        let router = Router::new(broker.env());
        let nats = nats
            .map(|nats| Nats::new(nats, broker.env(), &router, mapping::nats_config(config)))
            .transpose()
            .map_err(|source| ServeError::System { what: "the nats listener's address", source })?;
        let replies = Arc::new(Replies::new());
        let jetstream = match &nats {
            Some(nats) => Some(start_jetstream(nats, &router, &replies, &broker)?),
            None => None,
        };
        metrics::register_broker(&pages, &broker);
        metrics::register_kafka(&pages, kafka.metrics());
        if let Some(nats) = &nats {
            metrics::register_nats(&pages, nats.metrics(), Arc::clone(&router));
        }
        watch_health(&health, &broker);
        let mut doors = vec![("kafka", kafka.address())];
        doors.extend(nats.as_ref().map(|nats| ("nats", nats.address())));
        doors.push(("http", http_address));
        let ready = Ready {
            doors: &doors,
            data_dir: &config.data_dir,
            recovery: &broker.recovery(),
            durability: config.durability,
        };
        let text = ready.text();
        let kafka = Door::open(|stopped| kafka.serve(until_true(stopped)));
        let nats = nats.map(|nats| Door::open(|stopped| nats.serve(until_true(stopped))));
        let replies = tokio::spawn(send_replies(replies, router, Arc::clone(&broker)));
        let background = tokio::spawn(Arc::clone(&broker).run_background());
        announce(&text);
        Ok(Self { broker, health, kafka, nats, http, replies, _jetstream: jetstream, background })
    }

    /// Lets requests finish, then closes the log, unless that is what failed; http answers to the last.
    async fn stop(self, poisoned: Option<Poisoned>) -> Result<(), Poisoned> {
        self.health
            .set(|| Readiness::default().unless(false, "stopping", || "the broker is stopping".to_owned()));
        let nats = async {
            if let Some(nats) = self.nats {
                nats.close().await;
            }
        };
        tokio::join!(self.kafka.close(), nats);
        self.replies.abort();
        self.background.abort();
        let closed = match poisoned {
            Some(poisoned) => Err(poisoned),
            None => close(self.broker).await,
        };
        self.http.close().await;
        closed
    }
}

/// JetStream behind the NATS door.
fn start_jetstream(
    nats: &Nats,
    router: &Arc<Router>,
    replies: &Arc<Replies>,
    broker: &Arc<Broker>,
) -> Result<Arc<JetStream>, ServeError> {
    let info = nats.door().server_info();
    let identity = Identity {
        server_name: info.server_name.clone(),
        version: info.version.clone(),
        api_level: info.api_lvl,
    };
    JetStream::start(broker, router, replies, identity).map_err(|error| ServeError::System {
        what: "jetstream's subjects",
        source: std::io::Error::other(error),
    })
}

/// Sends what the NATS door may say only once it is durable.
async fn send_replies(replies: Arc<Replies>, router: Arc<Router>, broker: Arc<Broker>) {
    replies.run(&router, &*broker).await;
}

async fn close(broker: Arc<Broker>) -> Result<(), Poisoned> {
    joined(tokio::task::spawn_blocking(move || broker.close()).await)
}

/// What a task ended with; its panic is ours.
fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    match ended {
        Ok(value) => value,
        // Nothing here aborts a task that it waits for.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// The doors' sockets.
struct Sockets {
    kafka: TcpListener,
    nats: Option<TcpListener>,
    http: TcpListener,
    http_address: SocketAddr,
}

async fn bind(config: &Config) -> Result<Sockets, ServeError> {
    let kafka = listen::bind("kafka", &config.kafka.listen).await?;
    let nats = match &config.nats.listen {
        Some(at) => Some(listen::bind("nats", at).await?),
        None => None,
    };
    let http = listen::bind("http", &config.http.listen).await?;
    let http_address = http
        .local_addr()
        .map_err(|source| ServeError::System { what: "the http listener's address", source })?;
    Ok(Sockets { kafka, nats, http, http_address })
}

/// From here on /readyz asks the log.
fn watch_health(health: &Health, broker: &Arc<Broker>) {
    let broker = Arc::clone(broker);
    health.set(move || {
        let log = broker.stats().log;
        Readiness::default()
            .unless(!log.poisoned, "poisoned", || {
                "a write or sync failed and the log has stopped; restart to recover".to_owned()
            })
            .unless(!log.disk_full, "disk_full", || {
                format!("{} bytes are free, too few for the next checkpoint", log.disk_free_bytes)
            })
    });
}

fn announce(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // A broker whose starter has closed its pipe serves all the same.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn warn_if_exposed(config: &Config) {
    let nats = mapping::nats_config(config);
    let open_nats = config.nats.listen.as_ref().filter(|_| nats.auth == duolog_nats::Auth::None);
    let doors = [
        ("kafka.listen", Some(&config.kafka.listen)),
        ("nats.listen", open_nats),
        ("http.listen", Some(&config.http.listen)),
    ];
    for (setting, at) in doors.into_iter().filter_map(|(setting, at)| Some((setting, at?))) {
        if !at.is_loopback() {
            tracing::warn!(setting, address = %at.show(), "reachable from other machines, and nobody is asked who they are");
        }
    }
}

async fn until_true(mut flag: watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends the wait as well.
    let _ = flag.wait_for(|set| *set).await;
}

/// The signals that stop the broker.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The name of the next one. Cancel-safe.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
