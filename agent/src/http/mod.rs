//! The agent's HTTP server: metrics, API, health and the page. HTTP/1.1 on one listener, GET and HEAD only.
//!
//! Nobody can make it wait: each connection is a task with a limit on every phase it can be in, a lock on what the
//! pipeline writes is held for as long as it takes to copy some pointers and never across an await, what takes longer is
//! done on another thread, and when there are too many connections the one that has kept it waiting for the longest goes.
#![forbid(unsafe_code)]

mod routes;
mod api;
mod page;
mod query;
mod reply;
mod response;
mod body;
mod stream;
mod inquiry;
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
pub use inquiry::{Inquiries, Inquiry};
pub(crate) use query::{duration, encode};
pub use stream::Feed;

use crate::metrics::Metrics;
use crate::model::BootTime;
use crate::store::Store;
use reply::Aside;
use slots::Slots;

/// What the server shows, and what it needs for that.
#[derive(Debug)]
pub struct State {
    store: Arc<Mutex<Store>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    feed: Arc<Feed>,
    inquiries: Inquiries,
    now: fn() -> BootTime,
    limits: Limits,
    /// Another one in each run of the agent.
    epoch: u64,
    slots: Arc<Slots>,
    aside: Aside,
    workloads: api::Cache,
}

impl State {
    /// `feed` tells of changes of the store, `inquiries` go to the pipeline; `now` reads boot time, which only the clock
    /// does.
    pub fn new(shown: Shown, feed: Arc<Feed>, inquiries: Inquiries, now: fn() -> BootTime, limits: Limits) -> State {
        State {
            store: shown.store,
            metrics: shown.metrics,
            health: shown.health,
            feed,
            inquiries,
            now,
            limits,
            epoch: now().0,
            slots: Arc::new(Slots::new(limits.connections)),
            aside: Aside::default(),
            workloads: api::Cache::default(),
        }
    }
}

/// What the pipeline writes and the server reads.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The terminations.
    pub store: Arc<Mutex<Store>>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the pipeline runs.
    pub health: Arc<Health>,
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
    /// Readers of the stream at once.
    pub streams: usize,
    /// How long such a reader may take for what it is sent; less than `answer_time`, after which it is cut without a word.
    pub stream_patience: Duration,
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
            streams: 32,
            stream_patience: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown`, then lets what is being answered finish. Runs on a current-thread runtime with time.
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: impl Future<Output = ()>) {
    /// Out of file descriptors, most likely: they come back when connections close.
    const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
                    let (slot, pushed_out) = state.slots.take();
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
    state.feed.close();
    // What is not done by then is dropped with the set.
    let _ = timeout(state.limits.stop_time, async { while connections.join_next().await.is_some() {} }).await;
}

#[cfg(test)]
mod tests;
