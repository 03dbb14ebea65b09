//! A broker of its own on a real disk, behind a NATS door.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;

use async_nats::jetstream::{self, Context};
use duolog_broker::{Broker, BrokerConfig, LogConfig};
use duolog_env::Env;
use duolog_nats::jetstream::{API_LEVEL, Identity};
use duolog_nats::{JetStream, Nats, NatsConfig, Replies, Router};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What one process of the server would be.
pub struct Process {
    pub address: String,
    broker: Arc<Broker>,
    jetstream: Arc<JetStream>,
    stop: oneshot::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
    door: JoinHandle<()>,
}

impl Process {
    /// Starts on what `dir` holds.
    pub async fn start(dir: &Path) -> Self {
        let env = Env::real();
        let log = LogConfig { wal_file_bytes: 4 << 20, ..LogConfig::new(dir) };
        let opening = env.clone();
        let broker =
            tokio::task::spawn_blocking(move || Broker::open(opening, BrokerConfig::default(), log).unwrap());
        let broker = broker.await.unwrap();
        let router = Router::new(&env);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = NatsConfig {
            jetstream: Some(API_LEVEL),
            lame_duck_duration: std::time::Duration::ZERO,
            lame_duck_grace: std::time::Duration::ZERO,
            ..NatsConfig::default()
        };
        let nats = Nats::new(listener, &env, &router, config).unwrap();
        let replies = Arc::new(Replies::new());
        let identity =
            Identity { server_name: "test".to_owned(), version: "2.14.0".to_owned(), api_level: API_LEVEL };
        let jetstream = JetStream::start(&broker, &router, &replies, identity).unwrap();
        let address = nats.address().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let door = tokio::spawn(nats.serve(async move {
            let _ = stopped.await;
        }));
        let durable = Arc::clone(&broker);
        let tasks = vec![
            tokio::spawn(async move { replies.run(&router, &*durable).await }),
            tokio::spawn(Arc::clone(&broker).run_background()),
        ];
        Self { address, broker, jetstream, stop, tasks, door }
    }

    /// A client's view.
    pub async fn client(&self) -> Context {
        jetstream::new(async_nats::connect(&self.address).await.unwrap())
    }

    /// Ends as the server does.
    pub async fn end(self) {
        let Self { broker, jetstream, stop, tasks, door, .. } = self;
        stop.send(()).unwrap();
        door.await.unwrap();
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        drop(jetstream);
        tokio::task::spawn_blocking(move || broker.close().unwrap()).await.unwrap();
    }
}
