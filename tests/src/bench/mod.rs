//! The bench: the same work with and without the agent, in turns, inside a pod and outside of all pods.
//!
//! Every pair of turns has the agent running in one and not in the other, and pairs swap the order, so that a machine that
//! gets slower or faster meanwhile favours neither. A turn's time is that of the quickest of some blocks of rounds. The result
//! is the median of the pairs' ratios.

mod agent;
mod place;
mod rounds;
mod contenders;
mod empty;
mod peers;
mod program;
mod terminations;
mod scrape;
mod hooks;
mod seeding;
mod print;
mod page;
mod stats;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use self::agent::Agent;
use self::place::Place;
use self::print::Entry;
use crate::node::guard::{self, GuardArgs};

/// What gracetrace costs: the same work with and without it, in turns.
///
/// Needs root and cgroup v2. Makes a cgroup slice of its own and removes it at the end.
#[derive(Debug, Parser)]
#[command(
    name = "gracetrace-bench",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  cargo xtask bench                        about a minute
  cargo xtask bench --json > bench.json    for programs
  cargo xtask bench --pairs 50             less noise
  cargo xtask bench --peers --write docs/benchmarks.md
                                           beside other tools, some minutes; the page of the documentation

tcp_round:  connect, request, response and close over loopback, in one thread
exec_round: fork, exec and exit of a static program that does nothing
pod, node:  in the cgroup of a pod that the agent tracks; in one that it does not
scrape:     /metrics with 10,000 series about pods, each format with and without gzip"
)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// The agent.
    #[arg(long, value_name = "PATH", required = true)]
    agent: Option<PathBuf>,
    #[command(flatten)]
    what: What,
}

/// What to measure, and where it goes.
#[derive(Debug, clap::Args)]
struct What {
    /// Print an array of results.
    #[arg(long)]
    json: bool,
    /// Measure other tools on the same events, too: bpftrace, and tcpstates, execsnoop and exitsnoop of libbpf-tools.
    #[arg(long)]
    peers: bool,
    /// Write the results to a file as a page of Markdown.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Pairs of measurements with and without the agent.
    #[arg(long, value_name = "COUNT", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Terminations in a row for the agent's own CPU time and memory.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    terminations: u32,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Play a part; for the bench itself.
    #[command(hide = true)]
    Play {
        #[command(subcommand)]
        part: Play,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Play {
    Guard(GuardArgs),
    Worker(rounds::WorkerArgs),
}

/// Runs the bench or one of its parts.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match (cli.part, cli.agent) {
        (Some(Part::Play { part: Play::Guard(args) }), _) => guard::run(&args),
        (Some(Part::Play { part: Play::Worker(args) }), _) => rounds::work(&args),
        (None, Some(agent)) => measure(&agent, &cli.what),
        // clap asks for it.
        (None, None) => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gracetrace-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(agent: &Path, what: &What) -> Result<()> {
    let place = Place::make()?;
    let mut entries = contenders::measure(&place, agent, what.pairs, what.peers)?;
    entries.extend(hooks::measure(&place, agent)?);
    entries.extend(idle(&place, agent)?);
    entries.push(seeding::measure(&place, agent)?);
    if what.terminations > 0 {
        entries.push(terminations::measure(&place, agent, what.terminations)?);
    }
    entries.extend(scrape::measure(&place, agent)?);
    if let Some(file) = &what.write {
        let page = page::page(&entries, what.pairs)?;
        std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match what.json {
        true => print::json(&entries),
        false => print::text(&entries),
    }
}

/// Has the kernel end a program when this process ends, whatever ends it: an agent that went on would be measured the next
/// time, with all that it is compared with.
fn end_with_us(command: &mut Command) {
    // SAFETY: the closure makes one system call, and no memory is involved.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// The agent with nothing to do.
fn idle(place: &Place, program: &Path) -> Result<Vec<Entry>> {
    const WATCHED: Duration = Duration::from_secs(5);
    eprintln!("the agent when idle");
    let agent = Agent::start(place, program, &[])?;
    let before = agent.usage()?;
    agent::wait(WATCHED);
    let after = agent.usage()?;
    agent.stop()?;
    let cpu = after.cpu.saturating_sub(before.cpu);
    Ok(vec![Entry::Idle { cpu_percent: 100.0 * cpu.as_secs_f64() / WATCHED.as_secs_f64(), rss_bytes: after.rss_bytes }])
}
