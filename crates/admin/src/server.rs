//! The HTTP listener: routes, and the limits that keep a stranger from holding anything for long.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{Health, Metrics};

/// Limits of the listener.
#[derive(Clone, Copy, Debug)]
pub struct AdminConfig {
    /// Connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// A request whose head isn't whole after so long, and a connection idle for so long, is closed.
    pub head_timeout: Duration,
    /// The largest head of a request, bytes.
    pub max_head_bytes: usize,
    /// The largest body of a request, bytes. Nothing here takes one yet.
    pub max_body_bytes: usize,
    /// How long requests may finish after the stop.
    pub drain_timeout: Duration,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            max_connections: 128,
            head_timeout: Duration::from_secs(10),
            // hyper's smallest is 8 KiB.
            max_head_bytes: 16 << 10,
            max_body_bytes: 64 << 10,
            drain_timeout: Duration::from_secs(2),
        }
    }
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    health: Health,
}

/// Answers on `listener` until `stop` ends, then lets running requests finish.
pub async fn serve(
    listener: TcpListener,
    config: AdminConfig,
    metrics: Metrics,
    health: Health,
    stop: impl Future<Output = ()> + Send,
) {
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found: try /metrics, /healthz or /readyz\n") })
        .layer(DefaultBodyLimit::max(config.max_body_bytes))
        .with_state(Shared { metrics, health });
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let mut connections = JoinSet::new();
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let mut stop = std::pin::pin!(stop);
    loop {
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = &mut stop => break,
        };
        let Ok(slot) = slot else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        // Those that ended are taken out here, so that the set stays as small as the semaphore.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let connection = handle(stream, peer, config, router.clone(), stopped.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            // Too many open files, or the peer was gone already: neither is a reason to stop serving.
            Err(error) => {
                tracing::warn!(%error, "http: accept failed");
                pause().await;
            }
        }
    }
    drop(listener);
    // Receivers are the connections; without any there is nobody to tell.
    let _ = stopping.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.drain_timeout, drained).await.is_err() {
        tracing::warn!("http: requests were cut off at the stop");
    }
}

/// A moment in which others may close files, so that a failing accept doesn't take a processor for itself.
#[expect(clippy::disallowed_methods, reason = "nothing that is simulated waits here")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn handle(
    stream: TcpStream,
    peer: SocketAddr,
    config: AdminConfig,
    router: Router,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .max_buf_size(config.max_head_bytes)
        .keep_alive(true);
    let mut connection =
        std::pin::pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        // The only thing that is ever sent is the stop; an error means that the server is gone, which is one too.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "http: connection ended");
    }
}

async fn metrics_page(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.page())
        .into_response()
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let readiness = shared.health.readiness();
    let status = if readiness.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = format!("{}\n", readiness.to_json());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
