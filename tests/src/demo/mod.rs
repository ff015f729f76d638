//! The demo: scenarios played on a node under the agent's eyes, and the agent's account beside the truth.

mod cli;
mod once;
mod live;
pub(crate) mod compare;
mod table;

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use rustix::process::{WaitOptions, getpid, set_child_subreaper, setpriority_process, wait};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::clock::WallOffset;
use crate::kubelet::Kubelet;
use crate::kubelet::pod::Pod;
use crate::kubelet::pods_file::PodsFile;
use crate::node::Node;
use crate::scenario::Scenario;
use crate::truth::Truth;
pub use compare::missed;

use cli::{Cli, Command};

/// Niceness of the processes that measure.
const WITNESS_NICE: i32 = -15;

/// Runs the program: the demo, or one of its parts.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Play { part }) => part.play().map(|()| ExitCode::SUCCESS),
        None if cli.list => {
            table::list();
            Ok(ExitCode::SUCCESS)
        }
        None => run(&cli),
    };
    result.unwrap_or_else(|error| {
        eprintln!("gracetrace-demo: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> Result<ExitCode> {
    // Whoever loses its parent comes to this process, which sees to it that nothing is left.
    set_child_subreaper(Some(getpid())).context("cannot become a subreaper")?;
    // A witness that waits for a processor tells a time that is too late. All but the agent inherit this; where it is not
    // allowed, other load on the machine blurs the truth.
    let _ = setpriority_process(None, WITNESS_NICE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(play(cli));
    // With it go the tasks, and with the last of them the node.
    drop(runtime);
    reap();
    result
}

/// Waits for what is left of the demo's processes; all have been killed by now.
fn reap() {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            _ => return,
        }
    }
}

async fn play(cli: &Cli) -> Result<ExitCode> {
    let scenarios = cli.scenarios()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        result = stage(cli, &scenarios) => result,
        _ = interrupt.recv() => Ok(leave(cli, 130)),
        _ = terminate.recv() => Ok(leave(cli, 143)),
        _ = hangup.recv() => Ok(leave(cli, 129)),
    }
}

/// Ending the live demo by a signal is how it is meant to end.
fn leave(cli: &Cli, status: u8) -> ExitCode {
    eprintln!("cleaning up");
    ExitCode::from(if cli.once { status } else { 0 })
}

async fn stage(cli: &Cli, scenarios: &[&'static Scenario]) -> Result<ExitCode> {
    let node = Arc::new(Node::start().await?);
    let pods = node.dir().join("pods.json");
    let kubelet = Kubelet::new(Arc::clone(&node), Arc::new(PodsFile::create(&pods)?));
    let agent = match &cli.agent {
        Some(program) => Some(Arc::new(Agent::start(&node, program, &pods, cli.record.as_deref()).await?)),
        None if cli.no_agent => None,
        None => {
            bail!("--agent PATH is missing: build it with `cargo build --release` and give target/release/gracetrace")
        }
    };
    let stage = Stage { kubelet, agent: agent.clone(), offset: WallOffset::measure() };
    if let (true, Some(agent)) = (cli.stay, &stage.agent) {
        eprintln!("the agent shows what it sees at {}", agent.url());
    }
    let result =
        if cli.once { once::run(&stage, scenarios, cli.json).await } else { live::run(&stage, scenarios).await };
    if cli.stay {
        end_of_input().await;
    }
    drop(stage);
    match (agent.and_then(Arc::into_inner), &cli.save) {
        (Some(agent), Some(folder)) => agent.stop_and_save(&node, folder).await.and(result),
        (Some(agent), None) => agent.stop().await.and(result),
        (None, _) => result,
    }
}

/// Waits for the end of standard input, in a thread that nobody has to wait for.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// What scenarios are played on.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) kubelet: Kubelet,
    pub(crate) agent: Option<Arc<Agent>>,
    pub(crate) offset: WallOffset,
}

/// The scenario went well, but the agent tells nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Untold;

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the agent does not tell of it")
    }
}

/// A scenario that was played.
pub(crate) struct Played {
    pub(crate) scenario: &'static Scenario,
    pub(crate) pod: Pod,
    pub(crate) truth: Truth,
    /// The same of the sidecar.
    pub(crate) sidecar: Option<Truth>,
    /// The agent's account of it.
    pub(crate) termination: Option<Value>,
    /// What went wrong in the demo itself.
    pub(crate) deviations: Vec<String>,
}

impl Stage {
    /// Plays one scenario and asks the agent what it saw.
    pub(crate) async fn play(&self, scenario: &'static Scenario) -> Result<Played> {
        self.try_play(scenario).await.with_context(|| format!("scenario {}", scenario.name))
    }

    async fn try_play(&self, scenario: &'static Scenario) -> Result<Played> {
        let ended = self.kubelet.play(scenario).await?;
        let (pod, truth, sidecar) = (ended.pod.clone(), ended.truth.clone(), ended.sidecar.clone());
        self.kubelet.remove(ended).await?;
        let termination = match &self.agent {
            Some(agent) => Some(agent.termination(&pod).await.context(Untold)?),
            None => None,
        };
        let deviations = scenario.deviations(&truth, sidecar.as_ref());
        Ok(Played { scenario, pod, truth, sidecar, termination, deviations })
    }
}
