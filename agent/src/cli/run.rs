//! `gracetrace run`: the agent.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::correlator::Config;
use crate::http::{self, Health};
use crate::identity::Source;
use crate::identity::cgroupfs::CgroupRoot;
use crate::identity::pods_file::PodsFile;
use crate::line_writer::LineWriter;
use crate::metrics::Metrics;
use crate::model::Sight;
use crate::pipeline::{Live, Pipeline, Scans};
use crate::probe::{self, HOOKS, Hook, Probe};
use crate::recording::Recorder;
use crate::store::Store;
use crate::{clock, logging};

/// Watch the pods of this node; one line of JSON per termination on standard output.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Run {
    /// Address of the page, the API and the metrics
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464", env = "GRACETRACE_LISTEN")]
    listen: SocketAddr,
    /// The node's pods as a Kubernetes PodList in JSON, watched for changes
    #[arg(long, value_name = "FILE", env = "GRACETRACE_PODS")]
    pods: Option<PathBuf>,
    /// Where pods are looked for [default: the root of the cgroup v2 hierarchy]
    #[arg(long, value_name = "DIR", env = "GRACETRACE_CGROUP_ROOT")]
    cgroup_root: Option<PathBuf>,
    /// Keep every input in this file, for `gracetrace replay`
    #[arg(long, value_name = "FILE", env = "GRACETRACE_RECORD")]
    record: Option<PathBuf>,
    /// Size of the kernel's ring buffer in bytes, rounded up to a power of two
    #[arg(long, value_name = "BYTES", default_value_t = probe::Options::default().ring_bytes, env = "GRACETRACE_RING_BYTES")]
    ring_bytes: u32,
    /// How many connections of all pods may be open at once; more are counted as lost
    #[arg(long, value_name = "COUNT", default_value_t = probe::Options::default().max_connections, env = "GRACETRACE_MAX_CONNECTIONS")]
    max_connections: u32,
    /// Leave out a kernel hook, by its tracepoint's name; may be repeated
    #[arg(long, value_name = "HOOK", value_parser = hook, env = "GRACETRACE_DISABLE_HOOK", value_delimiter = ',')]
    disable_hook: Vec<Hook>,
    /// Measure what the kernel programs cost; costs some nanoseconds a run itself
    #[arg(long, env = "GRACETRACE_KERNEL_STATS")]
    kernel_stats: bool,
    /// Show the kernel programs' own debug messages in the log
    #[arg(long, env = "GRACETRACE_DEBUG_PROBES")]
    debug_probes: bool,
}

const EXAMPLES: &str = "\
Examples:
  gracetrace run
  gracetrace run --pods /var/lib/gracetrace/pods.json --record /var/tmp/incident.gz
  curl -s http://127.0.0.1:9464/api/v1/terminations | jq
  RUST_LOG=gracetrace=debug gracetrace run

It needs Linux 5.8 or later with BTF, and root (or CAP_BPF and CAP_PERFMON).";

fn hook(name: &str) -> Result<Hook, String> {
    Hook::ALL.into_iter().find(|hook| hook.name() == name).ok_or_else(|| {
        let known: Vec<_> = Hook::ALL.into_iter().map(Hook::name).collect();
        format!("not a hook; hooks are {}", known.join(", "))
    })
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        logging::init();
        // One thread is enough for a node and keeps memory small; what may block has threads of its own.
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .context("cannot start the runtime")?
            .block_on(self.serve())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self) -> anyhow::Result<()> {
        // Everything that can be wrong with the command line first, the kernel last.
        let listener = listen(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}; choose another address with --listen", self.listen))?;
        let address = listener.local_addr().context("cannot tell the address it listens on")?;
        let cgroup_root = CgroupRoot::find(self.cgroup_root.as_deref())?;
        let pods = self.pods.as_deref().map(|path| PodsFile::open(path, clock::boot_now)).transpose()?;
        let mut recorder = self.record.as_deref().map(Recorder::create).transpose()?;
        let stop = asked_to_stop()?;
        let probe = Probe::load(&probe::Options {
            ring_bytes: self.ring_bytes,
            max_connections: self.max_connections,
            disable: self.disable_hook,
            stats: self.kernel_stats,
            debug: self.debug_probes,
        })?;
        give_memory_back();
        let metrics = Arc::new(Metrics::default());
        for status in probe.hooks() {
            metrics.agent.kernel.set_attached(status.hook.name(), status.missing.is_none());
            // There from the start, so that a first loss shows as a rise.
            metrics.agent.kernel.observe_records(status.hook.name(), 0, 0);
            if let Some(cause) = &status.missing {
                tracing::warn!("without the hook {}: {cause}", status.hook.name());
            }
        }
        let missing =
            || probe.hooks().iter().filter(|status| status.missing.is_some()).map(|status| status.hook.name());
        if let Some(recorder) = &mut recorder {
            recorder.begin(missing());
        }
        let config = Config { sight: Sight::without(missing()), ..Config::default() };
        let store = Arc::<Mutex<Store>>::default();
        let health = Arc::new(Health::new(clock::boot_now(), "looking for the containers that are there"));
        let state = http::State {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            now: clock::boot_now,
            limits: http::Limits::default(),
        };
        let (stop_server, server_stops) = oneshot::channel::<()>();
        let server = tokio::spawn(http::serve(listener, Arc::new(state), async {
            // Dropped without a word is a wish to stop, too.
            let _ = server_stops.await;
        }));
        // What the sources tell waits here for its turn; a source that is faster than the pipeline waits itself.
        let (sender, updates) = mpsc::channel(64);
        let mut sources = Vec::new();
        if let Some((file, update)) = pods {
            sources.push((Source::File, file.health()));
            sender.send(update).await.context("the pipeline is gone")?;
            tokio::spawn(file.run(sender.clone()));
        }
        tracing::info!("gracetrace {} on http://{address}/", env!("CARGO_PKG_VERSION"));
        let live = Live {
            pipeline: Pipeline::new(config, store, Arc::clone(&metrics)),
            probe,
            updates,
            cgroup_root,
            sources,
            container_came: Arc::default(),
            questions: None,
            recorder,
            lines: LineWriter::spawn("standard output", std::io::stdout()).context("cannot start a thread")?,
            metrics,
            health,
            scans: Scans::default(),
            drops: [0; HOOKS],
            started: clock::boot_now(),
            counted_at: None,
        };
        let result = live.run(stop).await;
        // The server finishes what it has begun, then the runtime may go.
        drop(stop_server);
        let _ = server.await;
        drop(sender);
        Ok(result?)
    }
}

/// `[::]` is for IPv4 as well: where the kernel has no IPv6, that is what is left of it.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        result => result,
    }
}

/// Reading the kernel's types takes tens of megabytes once; an agent that then sits on a node for weeks shall not hold
/// them.
fn give_memory_back() {
    // SAFETY: malloc_trim(3) takes no pointer, is safe to call from any thread and only gives up what is free.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Ready when SIGTERM or SIGINT comes. A second one ends the agent at once, as if it had no handler.
fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping");
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(1);
        });
    })
}
