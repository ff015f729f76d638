//! What people read.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

use serde_json::Value;

use super::Played;
use super::compare::{Comparison, container};
use crate::kubelet::pod::CONTAINER;
use crate::scenario::ALL;
use crate::truth::Truth;

/// Prints the scenarios.
pub(super) fn list() {
    for scenario in ALL {
        println!("{:<18} {}", scenario.name, scenario.about);
    }
}

/// A table with a row a container: what the agent says, and the truth where it differs. At most 120 columns where it does not.
pub(super) fn once(compared: &[(Played, Comparison)]) -> String {
    let mut text = row(
        ["scenario", "outcome", "hook", "disposition", "cut", "late", "refused"].map(str::to_owned),
        "largest time error",
    );
    for (played, comparison) in compared {
        let worst = comparison.worst().map(|error| format!("{} ({})", milliseconds(error.size()), error.measure));
        let said = |name: &str| played.termination.as_ref().map(|it| container(it, name));
        text += &row(cells(played.scenario.name.to_owned(), &played.truth, said(CONTAINER)), &word(worst));
        if let Some((plan, truth)) = played.scenario.sidecar.zip(played.sidecar.as_ref()) {
            text += &row(cells(format!("  {}", plan.name), truth, said(plan.name)), "");
        }
    }
    text
}

fn cells(name: String, truth: &Truth, said: Option<&Value>) -> [String; 7] {
    let cell = |truth: String, pick: fn(&Value) -> &Value| match said.map(|said| plain(pick(said))) {
        Some(said) if said != truth => format!("{said} / {truth}"),
        _ => truth,
    };
    [
        name,
        cell(truth.outcome.to_string(), |it| &it["outcome"]),
        cell(word(truth.hook_result), |it| &it["hook"]["result"]),
        cell(word(truth.disposition), |it| &it["stop_signal"]["disposition"]),
        cell(truth.zombie_inbound.to_string(), |it| &it["connections"]["zombie"]["inbound"]),
        cell(word(truth.late), |it| &it["connections"]["late"]),
        cell(truth.refused.to_string(), |it| &it["connections"]["refused"]),
    ]
}

fn row([name, outcome, hook, disposition, cut, late, refused]: [String; 7], error: &str) -> String {
    let row = format!("{name:<18} {outcome:<19} {hook:<17} {disposition:<17} {cut:>5} {late:>5} {refused:>7}  {error}");
    format!("{}\n", row.trim_end())
}

fn word(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// One termination in one line.
pub(super) fn line(played: &Played, comparison: &Comparison) -> String {
    let truth = &played.truth;
    let used = (truth.exit_at.0 - truth.start.0) as f64 / 1e9;
    let mut line = format!(
        "{:<18} {} {used:>6.2} s of {} s",
        played.scenario.name,
        color(truth.outcome.to_string(), &truth.outcome),
        played.scenario.grace_seconds
    );
    if let Some(hook) = truth.hook_result {
        let _ = write!(line, ", hook {hook}");
    }
    if truth.zombie_inbound > 0 {
        let _ = write!(line, ", {} cut", count(truth.zombie_inbound as usize, "connection"));
    }
    if let Some(late @ 1..) = truth.late {
        let _ = write!(line, ", {} late", count(late as usize, "connection"));
    }
    if truth.refused > 0 {
        let _ = write!(line, ", {} refused", count(truth.refused as usize, "client"));
    }
    if truth.calls.failed_at_all() {
        let _ = write!(line, ", {} failed", count(truth.calls.failed.len(), "call"));
    }
    let findings =
        played.termination.as_ref().and_then(|it| it["findings"].as_array()).map(Vec::as_slice).unwrap_or_default();
    for finding in findings {
        let _ = write!(line, "\n    {}: {}", plain(&finding["id"]), plain(&finding["message"]));
    }
    for difference in comparison.differences.iter().chain(&played.deviations) {
        let _ = write!(line, "\n    differs: {difference}");
    }
    line
}

/// Text without quotes, `-` for nothing.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn color(word: String, outcome: &crate::truth::Outcome) -> String {
    use crate::truth::Outcome;
    let word = format!("{word:<9}");
    if !stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return word;
    }
    let code = match outcome {
        Outcome::Graceful | Outcome::Completed => 32,
        Outcome::Forced => 31,
        Outcome::Crashed | Outcome::Oom => 35,
    };
    format!("\x1b[{code}m{word}\x1b[0m")
}

/// `1 pod`, `2 pods`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// With microseconds.
pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
