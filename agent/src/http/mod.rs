//! The agent's HTTP server: metrics, API, health and the page. HTTP/1.1 on one listener, GET and HEAD only.
//!
//! Nobody can make it wait: each connection is a task with a limit on every phase it can be in, a lock is held for as
//! long as it takes to copy a few pointers and never across an await, and when there are too many connections the one
//! that has kept it waiting for the longest goes.
#![forbid(unsafe_code)]

mod routes;
mod page;
mod query;
mod response;
mod negotiation;
mod connection;
mod slots;
mod health;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use health::Health;
pub(crate) use query::duration;

use crate::metrics::Metrics;
use crate::model::BootTime;
use crate::store::Store;
use slots::Slots;

/// What the server shows.
#[derive(Debug)]
pub struct State {
    /// The terminations.
    pub store: Arc<Mutex<Store>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the pipeline runs.
    pub health: Arc<Health>,
    /// Reads boot time. Only the clock does that: this is a way to it.
    pub now: fn() -> BootTime,
    /// What a client may take.
    pub limits: Limits,
}

/// What a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Fields in it.
    pub headers: usize,
    /// From the first byte of a request's head to its last, and from the connection to the first byte.
    pub header_time: Duration,
    /// From the head to the end of the answer.
    pub answer_time: Duration,
    /// Between requests.
    pub idle_time: Duration,
    /// For what is being answered when the server stops.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 128,
            header_bytes: 16 << 10,
            headers: 64,
            header_time: Duration::from_secs(5),
            answer_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            stop_time: Duration::from_secs(2),
        }
    }
}

/// Serves until `shutdown`, then lets what is being answered finish. Runs on a current-thread runtime with time.
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: impl Future<Output = ()>) {
    /// Out of file descriptors, most likely: they come back when connections close.
    const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

    let slots = Arc::new(Slots::new(state.limits.connections));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut accepting = true;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    accepting = true;
                    let (slot, pushed_out) = slots.take();
                    if pushed_out {
                        state.metrics.agent.observe_closed("too_many");
                    }
                    connections.spawn(connection::run(stream, slot, state.clone(), stopping.clone()));
                }
                Err(error) => {
                    if std::mem::take(&mut accepting) {
                        tracing::warn!(%error, "cannot take a connection; trying again");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    // What is not done by then is dropped with the set.
    let _ = timeout(state.limits.stop_time, async { while connections.join_next().await.is_some() {} }).await;
}

#[cfg(test)]
mod tests;
