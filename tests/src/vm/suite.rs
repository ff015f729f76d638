//! The suite: every scenario on a node of this machine, the agent's account against the truth, and every hook.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::report::Report;
use super::{SuiteArgs, cases, connections, hooks};
use crate::agent::Agent;
use crate::clock::WallOffset;
use crate::demo::compare::{Comparison, TimeError, Tolerance, median_and_max};
use crate::demo::{Played, Stage, Untold, missed};
use crate::kubelet::Kubelet;
use crate::kubelet::pods_file::PodsFile;
use crate::node::Node;
use crate::scenario::Scenario;

/// What pods have in Kubernetes.
const CONTROLLERS: &[&str] = &["cpu", "memory", "pids"];

/// How often a scenario may be played until the agent does not itself call its account incomplete, and the driver sees
/// things when they happen.
const TRIES: u32 = 3;

/// How often until it keeps to its script, parts of which may be late on a processor that is emulated: nothing is compared
/// before that.
const STAGINGS: u32 = 6;

/// How long the agent may take to look at what its programs have done.
const LOOK: Duration = Duration::from_secs(40);

/// Runs all of it.
pub(super) fn run(args: &SuiteArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let good = runtime.block_on(play(args))?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play(args: &SuiteArgs) -> Result<bool> {
    let scenarios = scenarios(args)?;
    let mut report = Report::begin(&args.results)?;
    let mut node = Node::start().await?;
    node.enable_controllers(CONTROLLERS)?;
    let node = Arc::new(node);
    let pods = node.dir().join("pods.json");
    let kubelet = Kubelet::new(Arc::clone(&node), Arc::new(PodsFile::create(&pods)?));
    let agent = Agent::start(&node, &args.agent, &pods, None).await?;
    let agent = Arc::new(agent);
    let stage = Stage { kubelet, agent: Some(Arc::clone(&agent)), offset: WallOffset::measure() };

    let tolerance =
        Tolerance { each: Duration::from_millis(args.each_ms), median: Duration::from_millis(args.median_ms) };
    let errors = play_all(&stage, &scenarios, tolerance, args.pods.max(1), &mut report).await?;
    let mut about = String::new();
    if let Some((median, largest)) = median_and_max(errors.into_iter()) {
        about = format!("; time error: median {median:.1?}, largest {largest:.1?}");
        let fault = format!("the median of all time errors is {median:.1?}, more than {:.1?}", tolerance.median);
        let faults = if median < tolerance.median { Vec::new() } else { vec![fault] };
        report.case("times", "the median of all time errors is small", &faults)?;
    }
    hooks::report(&metrics(&agent).await?, args, &mut report)?;
    drop(stage);
    if report.has_faults() {
        println!("the agent: {}", agent.says());
    }
    let agent = Arc::into_inner(agent).context("the agent is still in use")?;
    agent.stop().await?;
    if Path::new(connections::TESTS).exists() {
        connections::run(&args.agent, &mut report).await?;
    }
    report.end(&about)
}

/// The agent's metrics, once they tell of everything that has happened: it looks at its programs now and then.
async fn metrics(agent: &Agent) -> Result<String> {
    let deadline = Instant::now() + LOOK;
    loop {
        let metrics = agent.metrics_at_rest().await?;
        if hooks::all_have_run(&metrics) || Instant::now() > deadline {
            return Ok(metrics);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn scenarios(args: &SuiteArgs) -> Result<Vec<&'static Scenario>> {
    let wanted =
        |scenario: &&Scenario| args.scenario.is_empty() || args.scenario.iter().any(|name| name == scenario.name);
    let scenarios: Vec<&'static Scenario> = cases::all().filter(wanted).collect();
    ensure!(!scenarios.is_empty(), "there is no scenario {}", args.scenario.join(", "));
    Ok(scenarios)
}

/// Plays some at a time, tells of each as it ends, and gives how far times were off.
async fn play_all(
    stage: &Stage,
    scenarios: &[&'static Scenario],
    tolerance: Tolerance,
    at_once: usize,
    report: &mut Report,
) -> Result<Vec<TimeError>> {
    let mut running: JoinSet<(&'static Scenario, Result<Played>)> = JoinSet::new();
    let mut errors = Vec::new();
    let mut next: VecDeque<(&'static Scenario, u32)> = scenarios.iter().map(|scenario| (*scenario, 1)).collect();
    let mut tries: BTreeMap<&str, u32> = BTreeMap::new();
    loop {
        while running.len() < at_once
            && let Some((scenario, number)) = next.pop_front()
        {
            tries.insert(scenario.name, number);
            let stage = stage.clone();
            running.spawn(async move { (scenario, stage.play(scenario).await) });
        }
        let Some(ended) = running.join_next().await else { return Ok(errors) };
        let (scenario, played) = ended?;
        let tried = tries.get(scenario.name).copied().unwrap_or(STAGINGS);
        let faults = match look_at(&played) {
            Look::Again(why, limit) => {
                if tried < limit {
                    report.note(format_args!("{}: {why}; once more", scenario.name))?;
                    next.push_back((scenario, tried + 1));
                    continue;
                }
                vec![format!("{why}, {tried} times")]
            }
            Look::Untold(why) => vec![why],
            Look::Compare(played) => {
                let comparison = Comparison::new(played, stage.offset, tolerance);
                let said = played.termination.as_ref();
                if let Some(said) = said.filter(|_| !comparison.differences.is_empty()) {
                    // For whoever looks into it: on the console, beside what the kernel says.
                    println!("{} is told as {said:#}", scenario.name);
                }
                if let Some(missed) = said.map(missed).filter(|missed| *missed > 0) {
                    let name = scenario.name;
                    report.note(format_args!("{name}: the agent says that up to {missed} events are missing"))?;
                }
                let is_driver_late = comparison.is_driver_late(tolerance);
                errors.extend(comparison.errors);
                if is_driver_late && tried < TRIES {
                    let off = comparison.differences.join("; ");
                    report.note(format_args!("{}: {off}; once more", scenario.name))?;
                    next.push_back((scenario, tried + 1));
                    continue;
                }
                comparison.differences
            }
        };
        report.case(scenario.name, scenario.about, &faults)?;
    }
}

/// What to do with a scenario that was played.
enum Look<'a> {
    Compare(&'a Played),
    /// The agent said nothing. Never tried again.
    Untold(String),
    /// Nobody knows what should have been said, or the agent itself says that it does not: it calls its account incomplete, for
    /// the kernel has left out what it would have needed. With how often it may be played.
    Again(String, u32),
}

fn look_at(played: &Result<Played>) -> Look<'_> {
    match played {
        Ok(played) if !played.deviations.is_empty() => {
            Look::Again(format!("the scenario itself went wrong: {}", played.deviations.join("; ")), STAGINGS)
        }
        Ok(played) => match &played.termination {
            Some(said) if said["complete"] == false && missed(said) > 0 => {
                let missed = missed(said);
                let why =
                    format!("the agent calls its account incomplete, and says that up to {missed} events are missing");
                Look::Again(why, TRIES)
            }
            _ => Look::Compare(played),
        },
        Err(error) if error.is::<Untold>() => Look::Untold(format!("{error:#}")),
        Err(error) => Look::Again(format!("the scenario itself went wrong: {error:#}"), STAGINGS),
    }
}
