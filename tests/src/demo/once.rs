//! Every scenario once, side by side.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use super::compare::{Comparison, Tolerance, median_and_max};
use super::{Played, Stage, table};
use crate::scenario::Scenario;

/// Pods come one after another: making all at once takes the processors from those who measure.
const STAGGER: Duration = Duration::from_millis(120);

/// Plays, prints and judges.
pub(super) async fn run(stage: &Stage, scenarios: &[&'static Scenario], as_json: bool) -> Result<ExitCode> {
    let begin = Instant::now();
    eprintln!("playing {} side by side", table::count(scenarios.len(), "scenario"));
    let mut running: JoinSet<Result<Played>> = JoinSet::new();
    for (&scenario, number) in scenarios.iter().zip(0..) {
        let stage = stage.clone();
        running.spawn(async move {
            sleep(STAGGER * number).await;
            stage.play(scenario).await
        });
    }

    let mut played = Vec::new();
    let mut failures = 0;
    let mut progress = interval_at(begin + Duration::from_secs(2), Duration::from_secs(2));
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => break,
                Some(ended) => match ended? {
                    Ok(ended) => played.push(ended),
                    Err(error) => {
                        eprintln!("{error:#}");
                        failures += 1;
                    }
                },
            },
            _ = progress.tick() => {
                eprintln!("{} of {} have ended after {:.0} s", played.len(), scenarios.len(), begin.elapsed().as_secs_f64());
            }
        }
    }
    played.sort_by_key(|played| scenarios.iter().position(|scenario| *scenario == played.scenario));
    let compared: Vec<(Played, Comparison)> = played
        .into_iter()
        .map(|played| {
            let comparison = Comparison::new(&played, stage.offset, Tolerance::MACHINE);
            (played, comparison)
        })
        .collect();

    let mut text = table::once(&compared);
    let median_and_max = median_and_max(compared.iter().flat_map(|(_, comparison)| comparison.errors.iter().copied()));
    let mut good = failures == 0;
    if let Some((median, max)) = median_and_max {
        text += &format!("time error: median {}, largest {}\n", table::milliseconds(median), table::milliseconds(max));
        if median >= Tolerance::MACHINE.median {
            text += &format!("the median must be under {}\n", table::milliseconds(Tolerance::MACHINE.median));
            good = false;
        }
    }
    for (played, comparison) in &compared {
        let scenario = played.scenario.name;
        for difference in &comparison.differences {
            text += &format!("{scenario}: {difference}\n");
        }
        for deviation in &played.deviations {
            text += &format!("{scenario}: the demo itself went wrong: {deviation}\n");
        }
        good &= comparison.differences.is_empty() && played.deviations.is_empty();
    }
    text += &format!(
        "{:.1} s, {}\n",
        begin.elapsed().as_secs_f64(),
        if good { "as it should be" } else { "NOT as it should be" }
    );

    if as_json {
        eprint!("{text}");
        let list: Vec<Value> = compared.iter().map(|(played, _)| to_json(played, stage)).collect();
        println!("{}", serde_json::to_string_pretty(&list)?);
    } else {
        print!("{text}");
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The agent's object with two more fields.
fn to_json(played: &Played, stage: &Stage) -> Value {
    let mut object = played.termination.clone().unwrap_or_else(|| json!({}));
    object["scenario"] = played.scenario.name.into();
    object["truth"] = played.truth.to_json(stage.offset);
    if let Some(sidecar) = &played.sidecar {
        object["truth"]["sidecar"] = sidecar.to_json(stage.offset);
    }
    object
}
