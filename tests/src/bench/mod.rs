//! The bench: the same work with and without the agent, in turns, inside a pod and outside of all pods.
//!
//! Every pair of blocks has the agent running in one and not in the other, and pairs swap the order, so that a machine that
//! gets slower or faster meanwhile favours neither. The result is the median of the pairs' ratios.

mod agent;
mod place;
mod rounds;
mod program;
mod terminations;
mod scrape;
mod hooks;
mod seeding;
mod print;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use self::agent::Agent;
use self::place::Place;
use self::print::Entry;
use self::rounds::{Kind, Worker};
use self::stats::{Spread, median};
use crate::node::guard::{self, GuardArgs};

/// Blocks of each kind that make one side of a pair.
const BLOCKS: usize = 3;

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
    /// Print an array of results.
    #[arg(long)]
    json: bool,
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
        (None, agent) => measure(&agent.unwrap_or_default(), cli.pairs, cli.terminations, cli.json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gracetrace-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(agent: &std::path::Path, pairs: u32, terminations: u32, json: bool) -> Result<()> {
    let place = Place::make()?;
    let mut entries = ratios(&place, agent, pairs)?;
    entries.extend(hooks::measure(&place, agent)?);
    entries.extend(idle(&place, agent)?);
    entries.push(seeding::measure(&place, agent)?);
    if terminations > 0 {
        entries.push(terminations::measure(&place, agent, terminations)?);
    }
    entries.extend(scrape::measure(&place, agent)?);
    match json {
        true => print::json(&entries),
        false => print::text(&entries),
    }
}

/// Every kind of round, in a pod and outside of one, with the agent against without.
fn ratios(place: &Place, agent: &std::path::Path, pairs: u32) -> Result<Vec<Entry>> {
    let mut subjects = Vec::new();
    for (variant, cgroup) in [("gracetrace-pod", place.pod_cgroup()), ("gracetrace-node", place.node_cgroup())] {
        for kind in [Kind::Tcp, Kind::Exec] {
            let mut worker = Worker::start(place, cgroup)?;
            worker.block(kind)?;
            subjects.push(Subject { kind, variant, worker, with: Vec::new(), without: Vec::new() });
        }
    }
    for pair in 0..pairs {
        eprintln!("pair {} of {pairs}", pair + 1);
        for with in [pair % 2 == 1, pair % 2 == 0] {
            let agent = if with { Some(Agent::start(place, agent, &[])?) } else { None };
            for subject in &mut subjects {
                subject.measure(with)?;
            }
            agent.map(Agent::stop).transpose()?;
        }
    }
    Ok(subjects.iter().map(Subject::entry).collect())
}

/// One kind of round in one place, and its medians in nanoseconds, a pair each.
struct Subject {
    kind: Kind,
    variant: &'static str,
    worker: Worker,
    with: Vec<f64>,
    without: Vec<f64>,
}

impl Subject {
    fn measure(&mut self, with: bool) -> Result<()> {
        let mut blocks = Vec::new();
        for _ in 0..BLOCKS {
            blocks.push(self.worker.block(self.kind)?);
        }
        let side = if with { &mut self.with } else { &mut self.without };
        side.push(median(&blocks));
        Ok(())
    }

    fn entry(&self) -> Entry {
        let ratios: Vec<f64> = self.with.iter().zip(&self.without).map(|(with, without)| with / without).collect();
        Entry::Ratio {
            name: self.kind.name(),
            variant: self.variant,
            ratio: Spread::of(&ratios),
            bare_ns: median(&self.without),
            ns: median(&self.with),
            pairs: ratios.len(),
        }
    }
}

/// The agent with nothing to do.
fn idle(place: &Place, program: &std::path::Path) -> Result<Vec<Entry>> {
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
