//! Pods that keep coming, so that there is something to see.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::compare::{Comparison, Tolerance};
use super::{Stage, table};
use crate::scenario::Scenario;

/// So many pods at a time, one coming after another.
const PODS: usize = 4;
const PAUSE: Duration = Duration::from_millis(1500);

/// Plays until it is dropped.
pub(super) async fn run(stage: &Stage, scenarios: &[&'static Scenario]) -> Result<ExitCode> {
    match &stage.agent {
        Some(agent) => println!("the agent shows what it sees at {}\npods come and go until Ctrl-C", agent.url()),
        None => println!("no agent watches\npods come and go until Ctrl-C"),
    }
    let mut running = JoinSet::new();
    let mut deck: Vec<&'static Scenario> = Vec::new();
    let mut pause = interval(PAUSE);
    loop {
        tokio::select! {
            _ = pause.tick(), if running.len() < PODS => {
                if deck.is_empty() {
                    deck = scenarios.to_vec();
                    fastrand::shuffle(&mut deck);
                }
                let Some(scenario) = deck.pop() else { return Ok(ExitCode::SUCCESS) };
                let stage = stage.clone();
                running.spawn(async move { stage.play(scenario).await });
            }
            Some(ended) = running.join_next() => {
                match ended? {
                    Ok(played) => {
                        let comparison = Comparison::new(&played, stage.offset, Tolerance::MACHINE);
                        println!("{}", table::line(&played, &comparison));
                    }
                    // The next one may go better.
                    Err(error) => eprintln!("{error:#}"),
                }
            }
        }
    }
}
