//! A door of its own for each test, and a client that speaks in bytes.
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests; each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use duolog_env::Env;
use duolog_nats::{Nats, NatsConfig, NatsMetrics, Router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// No test waits longer for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What most clients say.
pub const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\n";
/// The same without protocol 1, so that no second INFO comes.
pub const QUIET: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// A door that listens on loopback.
pub struct Server {
    pub address: SocketAddr,
    pub router: Arc<Router>,
    pub metrics: Arc<NatsMetrics>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub async fn start(config: NatsConfig) -> Self {
        let env = Env::real();
        let router = Router::new(&env);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nats = Nats::new(listener, &env, &router, config).unwrap();
        let (address, metrics) = (nats.address(), nats.metrics());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(nats.serve(async move {
            let _ = stopped.await;
        }));
        Self { address, router, metrics, stop: Some(stop), task: Some(task) }
    }

    pub async fn raw(&self) -> Raw {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Raw { stream, buffer: Vec::new(), info: String::new() };
        raw.info = raw.line().await.unwrap();
        raw
    }

    /// A client that has connected and is known to be served.
    pub async fn client(&self) -> Raw {
        let mut raw = self.raw().await;
        raw.send(QUIET).await;
        raw.settled().await;
        raw
    }

    /// Begins the stop.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub async fn stopped(&mut self) {
        tokio::time::timeout(PATIENCE, self.task.take().unwrap()).await.expect("stops").unwrap();
    }
}

/// A client in bytes.
pub struct Raw {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    pub info: String,
}

impl Raw {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next line without its end; `None` when the stream has ended.
    pub async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                    let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                    return Some(String::from_utf8_lossy(&line[..end]).into_owned());
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
        .expect("a line comes, or the end")
    }

    /// Everything until what was sent so far is handled, without the PONG that says so.
    pub async fn settled(&mut self) -> String {
        self.send("PING\r\n").await;
        let mut text = String::new();
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("the connection ended behind {text:?}"));
            if line == "PONG" {
                return text;
            }
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// Everything until the server ends the connection.
    pub async fn until_end(&mut self) -> String {
        let mut text = String::new();
        while let Some(line) = self.line().await {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}
