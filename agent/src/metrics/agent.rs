//! What the agent says of itself.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::kernel::Kernel;
use super::limits::Limits;
use super::process::Process;
use super::registry::{Registry, Unit};
use super::series::Series;
use super::sources::Sources;
use super::state::State;

/// Metrics about the agent.
#[derive(Debug)]
pub struct Agent {
    /// Hooks, records and maps.
    pub kernel: Kernel,
    /// Where identities come from.
    pub sources: Sources,
    /// What was left out.
    pub limits: Limits,
    /// What survives a restart.
    pub state: State,
    /// CPU and memory.
    pub process: Process,
    evicted: Counter,
    stored: Gauge,
    stored_bytes: Gauge,
    http_requests: Series<CodeLabel, Counter>,
    http_closed: Series<ReasonLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
    arch: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct CodeLabel {
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Agent {
    pub(super) fn new(registry: &mut Registry, process: &mut Registry) -> Agent {
        let agent = Agent {
            kernel: Kernel::new(registry),
            sources: Sources::new(registry),
            limits: Limits::new(registry),
            state: State::new(registry),
            process: Process::new(process),
            evicted: Counter::default(),
            stored: Gauge::default(),
            stored_bytes: Gauge::default(),
            http_requests: Series::uncapped(Counter::default),
            http_closed: Series::uncapped(Counter::default),
        };
        registry.register(
            "timelines_evicted",
            "Terminations that had to leave the store of the API for newer ones",
            agent.evicted.clone(),
        );
        registry.register("timelines_stored", "Terminations in the store of the API", agent.stored.clone());
        registry.register_with_unit(
            "timelines_stored",
            "Size of the store of the API",
            Unit::Bytes,
            agent.stored_bytes.clone(),
        );
        registry.register("http_requests", "Requests answered, by status code", agent.http_requests.clone());
        registry.register(
            "http_connections_closed",
            "Connections that were closed on the client: too slow, or to make room for others",
            agent.http_closed.clone(),
        );
        let build = Build { version: env!("CARGO_PKG_VERSION"), arch: std::env::consts::ARCH };
        registry.register_info("build", "The agent's version", build);
        agent
    }

    /// Says how full the store is, and how many have had to leave it so far.
    pub fn set_stored(&self, terminations: usize, bytes: usize, evicted: u64) {
        self.stored.set(i64::try_from(terminations).unwrap_or(i64::MAX));
        self.stored_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.evicted.inner().store(evicted, std::sync::atomic::Ordering::Relaxed);
    }

    /// Counts an answered request.
    pub fn observe_request(&self, code: u16) {
        self.http_requests.with(CodeLabel { code }, Counter::inc);
    }

    /// Lets nothing be encoded to its end while this runs.
    #[cfg(test)]
    pub(crate) fn hold(&self, act: impl FnOnce()) {
        self.http_closed.with(ReasonLabel { reason: "held" }, |_| act());
    }

    /// Counts a connection that was closed on its client.
    pub fn observe_closed(&self, reason: &'static str) {
        self.http_closed.with(ReasonLabel { reason }, Counter::inc);
    }
}
