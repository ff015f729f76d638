//! `gracetrace run`: the agent.

use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use clap::builder::BoolishValueParser;
use clap::value_parser;
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};

use super::metrics::MetricsSettings;
use super::text::{Color, Line};
use crate::correlator::Config;
use crate::http::{self, Feed, Health, Inquiries, Shown};
use crate::identity::Source;
use crate::identity::cgroupfs::{CgroupRoot, KubeletFinder};
use crate::identity::cri::{Cri, Socket};
use crate::identity::kubernetes::{self, Kubernetes};
use crate::identity::pods_file::PodsFile;
use crate::line_writer::LineWriter;
use crate::metrics::Metrics;
use crate::model::Sight;
use crate::pipeline::{Account, Ended, Kubelet, Live, Pipeline, Refusals, Scans, Seeds, State};
use crate::probe::{self, HOOKS, Hook, Probe};
use crate::recording::Recorder;
use crate::state::{Keeper, Place, StateDir};
use crate::store::{self, Store};
use crate::{clock, logging, report};

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
    /// Socket of the container runtime, a path or unix:///PATH; none to do without it
    #[arg(long, value_name = "SOCKET", default_value = "auto", env = "GRACETRACE_CRI")]
    cri: Socket,
    /// Watch this node's pods through the Kubernetes API: as the pod's service account, or as a kubeconfig says
    #[arg(long, env = "GRACETRACE_KUBERNETES", value_parser = BoolishValueParser::new())]
    kubernetes: bool,
    /// The name of this node in Kubernetes
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
    /// Where pods are looked for [default: the root of the cgroup v2 hierarchy]
    #[arg(long, value_name = "DIR", env = "GRACETRACE_CGROUP_ROOT")]
    cgroup_root: Option<PathBuf>,
    /// The kubelet's cgroup, where httpGet hooks are seen [default: that of the process kubelet]
    #[arg(long, value_name = "DIR", env = "GRACETRACE_KUBELET_CGROUP")]
    kubelet_cgroup: Option<PathBuf>,
    /// Keep what is needed to go on after a restart in this directory; made if it is missing
    #[arg(long, value_name = "DIR", env = "GRACETRACE_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Keep every input in this file, for `gracetrace replay`
    #[arg(long, value_name = "FILE", env = "GRACETRACE_RECORD")]
    record: Option<PathBuf>,
    /// What to write for each termination: text for people, JSON for programs [auto: text on a terminal, else JSON]
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, env = "GRACETRACE_LOG")]
    log: LogFormat,
    /// Size of the kernel's ring buffer in bytes, rounded up to a power of two
    #[arg(long, value_name = "BYTES", default_value_t = probe::Options::default().ring_bytes, env = "GRACETRACE_RING_BYTES")]
    ring_bytes: u32,
    /// How many connections of all pods may be open at once, at least; what there is no room for is counted as lost
    #[arg(long, value_name = "COUNT", default_value_t = probe::Options::default().max_connections, value_parser = value_parser!(u32).range(1..=i64::from(probe::MAX_CONNECTIONS)), env = "GRACETRACE_MAX_CONNECTIONS")]
    max_connections: u32,
    /// Changes of connections that one terminating container may tell one by one, who was cut and who came late; more are
    /// told ten a second
    #[arg(long, value_name = "COUNT", default_value_t = probe::Options::default().connection_records, env = "GRACETRACE_CONNECTION_RECORDS")]
    connection_records: u32,
    /// Leave out a kernel hook, by its name; may be repeated
    #[arg(long, value_name = "HOOK", value_parser = hook, env = "GRACETRACE_DISABLE_HOOK", value_delimiter = ',')]
    disable_hook: Vec<Hook>,
    /// Measure what the kernel programs cost; costs some nanoseconds a run itself
    #[arg(long, env = "GRACETRACE_KERNEL_STATS")]
    kernel_stats: bool,
    /// Show the kernel programs' own debug messages in the log
    #[arg(long, env = "GRACETRACE_DEBUG_PROBES")]
    debug_probes: bool,
    #[command(flatten)]
    keep: Keep,
    #[command(flatten)]
    metrics: MetricsSettings,
}

/// The form of the lines about terminations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    #[default]
    Auto,
    /// One line of JSON per termination, the same as the API gives
    Json,
    /// One line of text per termination
    Text,
}

impl LogFormat {
    /// What makes a line.
    fn line(self) -> fn(&Ended) -> Vec<u8> {
        match self {
            LogFormat::Auto if io::stdout().is_terminal() => text_line,
            LogFormat::Auto | LogFormat::Json => json_line,
            LogFormat::Text => text_line,
        }
    }
}

fn json_line(ended: &Ended) -> Vec<u8> {
    [&ended.json[..], b"\n"].concat()
}

fn text_line(ended: &Ended) -> Vec<u8> {
    let of = report::termination(&ended.timeline, ended.timeline.end.unwrap_or_default());
    format!("{}\n", Line { of: &of, paint: Color::Auto.paint() }).into_bytes()
}

/// What the API keeps.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "API")]
struct Keep {
    /// Terminations that can be asked for; then those go that ended first
    #[arg(long, value_name = "COUNT", default_value_t = 2_000, value_parser = value_parser!(u64).range(1..=100_000), env = "GRACETRACE_KEEP_TERMINATIONS")]
    keep_terminations: u64,
    /// Bytes that those may take in all
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, value_parser = value_parser!(u64).range(1 << 20..=4 << 30), env = "GRACETRACE_KEEP_BYTES")]
    keep_bytes: u64,
}

impl From<Keep> for store::Limits {
    fn from(keep: Keep) -> store::Limits {
        let size = |value| usize::try_from(value).unwrap_or(usize::MAX);
        store::Limits { terminations: size(keep.keep_terminations), bytes: size(keep.keep_bytes) }
    }
}

const EXAMPLES: &str = "\
Examples:
  gracetrace run
  gracetrace run --kubernetes --node-name node1
  gracetrace run --pods /var/lib/gracetrace/pods.json --record /var/tmp/incident.gz
  curl -s http://127.0.0.1:9464/api/v1/terminations | jq
  RUST_LOG=gracetrace=debug gracetrace run

It needs Linux 5.8 or later with BTF, and root (or CAP_BPF and CAP_PERFMON, and CAP_NET_ADMIN to see httpGet hooks).";

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
        let kubelet = KubeletFinder::new(self.kubelet_cgroup);
        kubelet.check_given()?;
        let pods = self.pods.as_deref().map(|path| PodsFile::open(path, clock::boot_now)).transpose()?;
        let node_name = self.node_name.filter(|name| !name.is_empty());
        let kubernetes = match self.kubernetes {
            true => Some(Kubernetes::open(kubernetes_options(node_name.clone())).await?),
            false => None,
        };
        let mut recorder = self.record.as_deref().map(Recorder::create).transpose()?;
        let left = self.state_dir.as_deref().map(|dir| take_up(dir, &cgroup_root)).transpose()?;
        let stop = asked_to_stop()?;
        let mut probe = Probe::load(&probe::Options {
            ring_bytes: self.ring_bytes,
            max_connections: self.max_connections,
            connection_records: self.connection_records,
            disable: self.disable_hook,
            stats: self.kernel_stats,
            debug: self.debug_probes,
            standbys: probe::Standbys::WhereNeeded,
        })?;
        give_memory_back();
        let metrics = Arc::new(Metrics::new(&self.metrics.into()));
        metrics.agent.process.set_start(clock::wall_now());
        let kubelet = Kubelet::look_at_start(kubelet, clock::boot_now(), &mut probe, &metrics);
        for status in probe.hooks() {
            metrics.agent.kernel.set_attached(status.hook.name(), status.missing.is_none());
            // There from the start, so that a first loss shows as a rise.
            metrics.agent.kernel.observe_records(status.hook.name(), 0, 0);
            // Those that see packets come and go with the kubelet, which was told of already.
            let comes_and_goes = status.hook.sees_packets() && probe.wants_kubelet();
            if let Some(cause) = status.missing.as_ref().filter(|_| !comes_and_goes) {
                tracing::warn!("without the hook {}, {}: {cause}", status.hook.name(), status.loss());
            }
        }
        let missing =
            || probe.hooks().iter().filter(|status| status.missing.is_some()).map(|status| status.hook.name());
        if let Some(recorder) = &mut recorder {
            recorder.begin(missing());
        }
        let config = Config { sight: Sight::without(missing()), ..Config::default() };
        let store = Arc::new(Mutex::new(Store::new(self.keep.into())));
        let health = Arc::new(Health::new(clock::boot_now(), "looking for the containers that are there"));
        let feed = Arc::<Feed>::default();
        let (ask, inquiries) = Inquiries::channel();
        let shown = Shown { store: Arc::clone(&store), metrics: Arc::clone(&metrics), health: Arc::clone(&health) };
        let state = http::State::new(shown, Arc::clone(&feed), ask, clock::boot_now, http::Limits::default());
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
        let container_came = Arc::<Notify>::default();
        if self.cri != Socket::Off {
            let cri = Cri::new(self.cri, Arc::clone(&container_came), clock::boot_now);
            sources.push((Source::Cri, cri.health()));
            tokio::spawn(cri.run(sender.clone()));
        }
        let mut questions = None;
        if let Some(kubernetes) = kubernetes {
            sources.push((Source::Kubernetes, kubernetes.health()));
            // A question that has to wait long is not worth an answer.
            let (ask, asked) = mpsc::channel(64);
            questions = Some(ask);
            tokio::spawn(kubernetes.run(sender.clone(), asked));
        }
        tracing::info!("gracetrace {} on http://{address}/", env!("CARGO_PKG_VERSION"));
        let live = Live {
            pipeline: Pipeline::new(config, store, Arc::clone(&metrics)),
            probe,
            updates,
            cgroup_root,
            sources,
            kubelet,
            container_came,
            questions,
            state: left,
            node_name: node_name.map(Arc::from),
            recorder,
            line: self.log.line(),
            lines: LineWriter::spawn("standard output", std::io::stdout()).context("cannot start a thread")?,
            metrics,
            health,
            feed,
            inquiries,
            account: Account::default(),
            scans: Scans::default(),
            seeds: Seeds::default(),
            drops: [0; HOOKS],
            started: clock::boot_now(),
            refusals: Refusals::default(),
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

fn kubernetes_options(node: Option<String>) -> kubernetes::Options {
    kubernetes::Options {
        node,
        kubeconfig: None,
        pace: kubernetes::Pace::default(),
        now: clock::boot_now,
        wall: clock::wall_now,
    }
}

/// Takes the state directory, and reads what an earlier run has left there.
fn take_up(dir: &Path, cgroup_root: &CgroupRoot) -> anyhow::Result<State> {
    let root = cgroup_root.dir();
    let id = cgroup_root.id().with_context(|| format!("cannot look at the cgroup root {}", root.display()))?;
    let dir = StateDir::open(dir, Place::here(id)?)?;
    let restored = dir.load()?;
    Ok(State::new(restored, Keeper::start(dir, clock::timer_now())?))
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
