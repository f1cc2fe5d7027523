//! Connections: bounded in number, in the time that a request may take to
//! arrive, and in the time that they get when the process ends.

use super::problem::Problem;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 100;
/// Connections that are told at the same time that there are too many.
const REFUSALS_MAX: usize = 64;
/// How long one of them may take to listen.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// Rest when no connection can be accepted, for instance for want of file
/// descriptors.
const REST: Duration = Duration::from_millis(50);

/// Bounds of connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At the same time.
    pub(super) connections: usize,
    /// For the head of a request to arrive.
    pub(super) head: Duration,
    /// For running requests to end when the process ends.
    pub(super) drain: Duration,
}

/// Serves until `stop`, then lets running requests end.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    let seats = Arc::new(Semaphore::new(bounds.connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = running.join_next() => continue,
            () = super::told(&mut stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        match Arc::clone(&seats).try_acquire_owned() {
            Ok(seat) => {
                let connection = connection(stream, router.clone(), bounds, stop.clone());
                running.spawn(async move {
                    connection.await;
                    drop(seat);
                });
            }
            // Beyond this many a closed connection has to say it.
            Err(_) => {
                if let Ok(seat) = Arc::clone(&refusals).try_acquire_owned() {
                    running.spawn(async move {
                        let _late = tokio::time::timeout(REFUSAL_TIME, refuse(stream)).await;
                        drop(seat);
                    });
                }
            }
        }
    }
    drop(listener);
    let ended = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.drain, ended).await.is_err() {
        tracing::warn!(open = running.len(), "connections were still open and are closed");
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
) {
    // Small answers must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY");
    }
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let service = TowerToHyperService::new(router);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = super::told(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Says that there are too many connections.
async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    let problem = Problem::unavailable("too many connections are open; try again");
    let body = problem.document("/").to_string();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         retry-after: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await?;
    // What the client still sends is read, so that the answer reaches it.
    let mut rest = [0; 1_024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
