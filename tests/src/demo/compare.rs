//! The agent's account against the truth.

use std::time::Duration;

use serde_json::Value;

use super::Played;
use crate::clock::{BootTime, WallOffset};

/// No time may be off by more.
pub(super) const LIMIT: Duration = Duration::from_millis(10);
/// The median of all must be less.
pub(super) const MEDIAN_LIMIT: Duration = Duration::from_millis(1);

/// How an account differs from the truth.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Verdicts that differ, a sentence each.
    pub(super) differences: Vec<String>,
    /// How far each time is off.
    pub(super) errors: Vec<TimeError>,
}

/// How far a time is off.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeError {
    pub(super) measure: &'static str,
    pub(super) nanoseconds: i64,
}

impl TimeError {
    pub(super) fn size(self) -> Duration {
        Duration::from_nanos(self.nanoseconds.unsigned_abs())
    }
}

impl Comparison {
    /// Compares what can be compared; nothing without an agent.
    pub(super) fn new(played: &Played, offset: WallOffset) -> Comparison {
        let mut comparison = Comparison::default();
        if let Some(termination) = &played.termination {
            comparison.compare(termination, played, offset);
        }
        comparison
    }

    /// The largest error.
    pub(super) fn worst(&self) -> Option<TimeError> {
        self.errors.iter().copied().max_by_key(|error| error.size())
    }

    fn compare(&mut self, termination: &Value, played: &Played, offset: WallOffset) {
        let truth = &played.truth;
        let container = &termination["containers"][0];
        let count = termination["containers"].as_array().map_or(0, Vec::len);
        self.verdict("number of containers", &1.into(), &count.into());
        self.verdict("uid", &played.pod.uid.as_str().into(), &termination["uid"]);
        self.verdict("complete", &true.into(), &termination["complete"]);
        self.verdict("outcome of the pod", &word(Some(truth.outcome)), &termination["outcome"]);
        self.verdict("outcome", &word(Some(truth.outcome)), &container["outcome"]);
        self.verdict("hook result", &word(truth.hook_result), &container["hook"]["result"]);
        self.verdict("disposition", &word(truth.disposition), &container["stop_signal"]["disposition"]);
        self.verdict("exit code", &truth.exit_code.into(), &container["exit"]["code"]);
        let connections = &container["connections"];
        self.verdict("zombie connections", &truth.zombie_inbound.into(), &connections["zombie"]["inbound"]);
        self.verdict("late connections", &truth.late.into(), &connections["late"]);
        self.findings(played.scenario.expect.findings, &termination["findings"]);

        self.time("start", Some(truth.start), &termination["start"], offset);
        self.time("hook start", truth.hook_start, &container["hook"]["start"], offset);
        self.time("hook end", truth.hook_end, &container["hook"]["end"], offset);
        self.time("stop signal", truth.stop_signal_at, &container["stop_signal"]["at"], offset);
        self.time("kill", truth.killed_at, &container["killed_at"], offset);
        self.time("exit", Some(truth.exit_at), &container["exit"]["at"], offset);
    }

    fn verdict(&mut self, what: &str, truth: &Value, said: &Value) {
        if truth != said {
            self.differences.push(format!("{what}: the agent says {said}, it was {truth}"));
        }
    }

    /// A scenario with findings may have more than its own; one without must have none.
    fn findings(&mut self, expected: &[&str], findings: &Value) {
        // Scenarios run at once: that they are many is no fault of one.
        let ids = findings.as_array().into_iter().flatten().filter_map(|each| each["id"].as_str());
        let found: Vec<&str> = ids.filter(|id| *id != "MASS_TERMINATION").collect();
        for expected in expected.iter().filter(|expected| !found.contains(expected)) {
            self.differences.push(format!("findings: {expected} is missing in {found:?}"));
        }
        if expected.is_empty() && !found.is_empty() {
            self.differences.push(format!("findings: {found:?}, but nothing was wrong"));
        }
    }

    fn time(&mut self, measure: &'static str, truth: Option<BootTime>, said: &Value, offset: WallOffset) {
        let said = match said.as_str().map(|text| offset.parse(text)) {
            None => None,
            Some(Ok(time)) => Some(time),
            Some(Err(error)) => return self.differences.push(format!("{measure}: {error:#}")),
        };
        match (truth, said) {
            (None, None) => {}
            (Some(truth), Some(said)) => {
                let error = TimeError { measure, nanoseconds: said.0 - truth.0 };
                self.errors.push(error);
                if error.size() > LIMIT {
                    self.differences
                        .push(format!("{measure}: the agent is off by {:.3} ms", error.nanoseconds as f64 / 1e6));
                }
            }
            (Some(_), None) => self.differences.push(format!("{measure}: the agent has none, but there was one")),
            (None, Some(_)) => self.differences.push(format!("{measure}: the agent has one, but there was none")),
        }
    }
}

fn word<T: serde::Serialize>(value: Option<T>) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Median and maximum of errors.
pub(super) fn median_and_max(errors: impl Iterator<Item = TimeError>) -> Option<(Duration, Duration)> {
    let mut sizes: Vec<Duration> = errors.map(TimeError::size).collect();
    sizes.sort_unstable();
    Some((*sizes.get(sizes.len() / 2)?, *sizes.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_few() {
        let errors = |list: &[i64]| {
            let errors: Vec<_> = list.iter().map(|&nanoseconds| TimeError { measure: "x", nanoseconds }).collect();
            median_and_max(errors.into_iter()).map(|(median, max)| (median.as_nanos(), max.as_nanos()))
        };
        assert_eq!(errors(&[]), None);
        assert_eq!(errors(&[-5]), Some((5, 5)));
        assert_eq!(errors(&[1, -9, 3]), Some((3, 9)));
    }

    #[test]
    fn differences_are_told() {
        let offset = WallOffset::measure();
        let mut comparison = Comparison::default();
        let now = BootTime::now();
        comparison.time("a", Some(now), &offset.format(BootTime(now.0 + 1_000)).into(), offset);
        comparison.time("b", Some(now), &offset.format(BootTime(now.0 - 20_000_000)).into(), offset);
        comparison.time("c", Some(now), &Value::Null, offset);
        comparison.time("d", None, &Value::Null, offset);
        comparison.time("e", Some(now), &"noon".into(), offset);
        comparison.findings(&["A"], &serde_json::json!([{"id": "B"}]));
        comparison.findings(&[], &serde_json::json!([{"id": "B"}]));
        comparison.findings(&[], &serde_json::json!([]));
        comparison.verdict("outcome", &"forced".into(), &"forced".into());
        assert_eq!(comparison.errors.iter().map(|error| error.nanoseconds).collect::<Vec<_>>(), [1_000, -20_000_000]);
        assert_eq!(comparison.differences.len(), 5, "{:#?}", comparison.differences);
    }
}
