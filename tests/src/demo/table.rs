//! What people read.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

use serde_json::Value;

use super::Played;
use super::compare::Comparison;
use crate::scenario::ALL;

/// Prints the scenarios.
pub(super) fn list() {
    for scenario in ALL {
        println!("{:<18} {}", scenario.name, scenario.about);
    }
}

/// A table with a row a scenario: what the agent says, and the truth where it differs.
pub(super) fn once(compared: &[(Played, Comparison)]) -> String {
    let mut text = format!(
        "{:<18} {:<22} {:<22} {:<20} {:>9} {:>9}  {}\n",
        "scenario", "outcome", "hook", "disposition", "zombies", "late", "largest time error"
    );
    for (played, comparison) in compared {
        let truth = &played.truth;
        let agent = played.termination.as_ref();
        let container = agent.map(|agent| &agent["containers"][0]);
        let cell = |truth: String, said: Option<&Value>| match said.map(plain) {
            Some(said) if said != truth => format!("{said} / {truth}"),
            _ => truth,
        };
        let word = |word: Option<String>| word.unwrap_or_else(|| "-".to_owned());
        let worst = comparison.worst().map(|error| format!("{} ({})", milliseconds(error.size()), error.measure));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<18} {:<22} {:<22} {:<20} {:>9} {:>9}  {}",
            played.scenario.name,
            cell(truth.outcome.to_string(), container.map(|it| &it["outcome"])),
            cell(word(truth.hook_result.map(|it| it.to_string())), container.map(|it| &it["hook"]["result"])),
            cell(
                word(truth.disposition.map(|it| it.to_string())),
                container.map(|it| &it["stop_signal"]["disposition"])
            ),
            cell(truth.zombie_inbound.to_string(), container.map(|it| &it["connections"]["zombie"]["inbound"])),
            cell(word(truth.late.map(|it| it.to_string())), container.map(|it| &it["connections"]["late"])),
            word(worst),
        );
    }
    text
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
