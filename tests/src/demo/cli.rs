//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::parts::Part;
use crate::scenario::{self, Scenario};

/// Pods of real processes, ended as a kubelet ends them, under the eyes of gracetrace.
///
/// Needs root and cgroup v2. Makes a cgroup slice and network namespaces of its own and removes them at the end.
#[derive(Debug, clap::Parser)]
#[command(
    name = "gracetrace-demo",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  cargo xtask demo                              pods come and go until Ctrl-C; open the page that it names
  cargo xtask demo --once                       every scenario once, and how far the agent is from the truth
  cargo xtask demo --once --json > demo.json    the same for programs
  cargo xtask demo --once --scenario crash --record crash.rec

Exit status: 0 if the agent's verdicts are the truth and no time is off by more than 10 ms, else 1."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// The agent to watch with.
    #[arg(long, value_name = "PATH")]
    pub(super) agent: Option<PathBuf>,

    /// Play without an agent: only what the demo itself measures.
    #[arg(long, hide = true, conflicts_with_all = ["agent", "record"])]
    pub(super) no_agent: bool,

    /// Play every scenario once and compare.
    #[arg(long)]
    pub(super) once: bool,

    /// Print the terminations as JSON, each with the scenario and the truth.
    #[arg(long, requires = "once")]
    pub(super) json: bool,

    /// Only this scenario; may be given more than once.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,

    /// Have the agent write what it sees to a file, for `gracetrace replay`.
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Keep what the agent says in this folder: agent.log, terminations.jsonl and metrics.txt.
    #[arg(long, value_name = "DIR", requires = "once", requires = "agent")]
    pub(super) save: Option<PathBuf>,

    /// When all is told, leave the agent running until standard input ends: for who wants to ask it.
    #[arg(long, hide = true, requires = "once", requires = "agent")]
    pub(super) stay: bool,

    /// List the scenarios.
    #[arg(long)]
    pub(super) list: bool,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Play a part; for the demo itself.
    #[command(hide = true)]
    Play {
        #[command(subcommand)]
        part: Part,
    },
}

impl Cli {
    /// The scenarios that were asked for.
    pub(super) fn scenarios(&self) -> Result<Vec<&'static Scenario>> {
        if self.scenario.is_empty() {
            return Ok(scenario::ALL.iter().collect());
        }
        let find = |name: &String| {
            scenario::by_name(name).with_context(|| format!("there is no scenario {name:?}; --list shows them"))
        };
        self.scenario.iter().map(find).collect()
    }
}
