//! The agent's own log: on standard error, as people read it on a terminal, one JSON-free line each elsewhere too.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Starts it. `RUST_LOG` chooses what is shown, by default what an operator must know.
pub fn init() {
    // The client of the API server tells of every failed try; the agent itself says it once, and what it means.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube_client=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    // A second start in one process, as in tests, keeps the first.
    let _ = log.with_ansi(stderr().is_terminal()).try_init();
}
