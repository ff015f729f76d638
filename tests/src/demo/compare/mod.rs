//! The agent's account against the truth.

mod connections;

use std::time::Duration;

use serde_json::Value;

use super::Played;
use crate::clock::{BootTime, WallOffset};
use crate::kubelet::pod::CONTAINER;
use crate::truth::{Outcome, Truth};

/// How far the times of an account may be off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// No time may be off by more.
    pub(crate) each: Duration,
    /// The median of all must be less.
    pub(crate) median: Duration,
}

impl Tolerance {
    /// On a machine that is not emulated.
    pub(super) const MACHINE: Tolerance =
        Tolerance { each: Duration::from_millis(10), median: Duration::from_millis(1) };
}

/// How an account differs from the truth.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Verdicts that differ, a sentence each.
    pub(crate) differences: Vec<String>,
    /// How far each time is off.
    pub(crate) errors: Vec<TimeError>,
    /// Events that the agent itself says were missed, at most: its counts may be off by so many.
    missed: u64,
}

/// Findings that a single connection more or less can make.
const OF_CONNECTIONS: [&str; 5] = [
    "CONNECTIONS_CUT",
    "CONNECTIONS_REFUSED",
    "EXITED_DURING_TRAFFIC",
    "LATE_CONNECTIONS",
    "OUTBOUND_FAILED_AFTER_SIDECAR",
];

/// How far a time is off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeError {
    pub(crate) measure: &'static str,
    pub(crate) nanoseconds: i64,
}

impl TimeError {
    pub(crate) fn size(self) -> Duration {
        Duration::from_nanos(self.nanoseconds.unsigned_abs())
    }
}

impl Comparison {
    /// Compares what can be compared; nothing without an agent.
    pub(crate) fn new(played: &Played, offset: WallOffset, tolerance: Tolerance) -> Comparison {
        let mut comparison = Comparison::default();
        if let Some(termination) = &played.termination {
            comparison.missed = missed(termination);
            comparison.compare(termination, played, offset, tolerance);
            comparison.hold_against(tolerance);
        }
        comparison
    }

    /// The largest error.
    pub(crate) fn worst(&self) -> Option<TimeError> {
        self.errors.iter().copied().max_by_key(|error| error.size())
    }

    fn compare(&mut self, termination: &Value, played: &Played, offset: WallOffset, tolerance: Tolerance) {
        let truth = &played.truth;
        let sidecar = played.scenario.sidecar.zip(played.sidecar.as_ref());
        let count = termination["containers"].as_array().map_or(0, Vec::len);
        self.verdict("number of containers", &(1 + usize::from(sidecar.is_some())).into(), &count.into());
        self.verdict("uid", &played.pod.uid.as_str().into(), &termination["uid"]);
        self.verdict("complete", &true.into(), &termination["complete"]);
        self.verdict("outcome of the pod", &word(Some(truth.outcome)), &termination["outcome"]);
        self.findings(played.scenario.expect.findings, &termination["findings"]);
        let start = sidecar.map_or(truth.start, |(_, sidecar)| sidecar.start.min(truth.start));
        self.time("start", Some(start), &termination["start"], offset);

        let app = container(termination, CONTAINER);
        self.container("", truth, app, offset);
        self.processes(played.scenario.expect.hook_processes, &app["hook"]["processes"]);
        if let Some((plan, of_sidecar)) = sidecar {
            let said = container(termination, plan.name);
            self.container("sidecar: ", of_sidecar, said, offset);
            self.verdict("role", &"sidecar".into(), &said["role"]);
            connections::lead(self, truth, of_sidecar, said, tolerance);
        }
        connections::compare(self, termination, played);
    }

    /// What is said of one container.
    fn container(&mut self, whose: &str, truth: &Truth, said: &Value, offset: WallOffset) {
        let mut verdict = |what: &str, truth, said| self.verdict(&format!("{whose}{what}"), &truth, said);
        verdict("outcome", word(Some(truth.outcome)), &said["outcome"]);
        verdict("hook result", word(truth.hook_result), &said["hook"]["result"]);
        verdict("disposition", word(truth.disposition), &said["stop_signal"]["disposition"]);
        let oom = truth.outcome == Outcome::Oom;
        if oom || truth.oom_kills == 0 {
            // In between it is a matter of words whether it had a part in the end.
            verdict("end by the OOM killer", oom.into(), &said["exit"]["oom"]);
        }
        verdict("exit code", truth.exit_code.into(), &said["exit"]["code"]);
        self.time("hook start", truth.hook_start, &said["hook"]["start"], offset);
        self.time("hook end", truth.hook_end, &said["hook"]["end"], offset);
        self.time("stop signal", truth.stop_signal_at, &said["stop_signal"]["at"], offset);
        self.time("kill", truth.killed_at, &said["killed_at"], offset);
        self.time("exit", Some(truth.exit_at), &said["exit"]["at"], offset);
    }

    /// Whether nothing differs but times that the agent has earlier than the driver, who then was late to see them. An agent
    /// that is late itself has no excuse.
    pub(crate) fn is_driver_late(&self, tolerance: Tolerance) -> bool {
        let late = self.errors.iter().filter(|error| error.nanoseconds < 0 && error.size() > tolerance.each).count();
        late > 0 && late == self.differences.len()
    }

    fn hold_against(&mut self, tolerance: Tolerance) {
        for error in self.errors.iter().filter(|error| error.size() > tolerance.each) {
            let off = error.nanoseconds as f64 / 1e6;
            self.differences.push(format!("{}: the agent is off by {off:.3} ms", error.measure));
        }
    }

    fn verdict(&mut self, what: &str, truth: &Value, said: &Value) {
        if truth != said {
            self.differences.push(format!("{what}: the agent says {said}, it was {truth}"));
        }
    }

    /// A number, which may be off by what was missed.
    fn count(&mut self, what: &str, truth: u64, said: &Value) {
        if said.as_u64().is_none_or(|said| said.abs_diff(truth) > self.missed) {
            self.differences.push(format!("{what}: the agent says {said}, it was {truth}"));
        }
    }

    fn processes(&mut self, at_least: u64, said: &Value) {
        if at_least > 0 && said.as_u64().is_none_or(|said| said < at_least) {
            self.differences.push(format!("processes of the hook: the agent says {said}, at least {at_least} it were"));
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
        // One more client refused or cut than there were is a finding, but no other one comes of what was missed.
        let excused = |id: &&str| self.missed > 0 && OF_CONNECTIONS.contains(id);
        if expected.is_empty() && !found.iter().all(excused) {
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
            }
            (Some(_), None) => self.differences.push(format!("{measure}: the agent has none, but there was one")),
            (None, Some(_)) => self.differences.push(format!("{measure}: the agent has one, but there was none")),
        }
    }
}

/// How many events a termination says were missed on its node: of connections, and of all. Where a process begins tells whose
/// network it is in, so that either may change a count of connections.
pub fn missed(termination: &Value) -> u64 {
    let of = |what: &str| termination["missed"][what].as_u64().unwrap_or(0);
    of("connections") + of("processes")
}

/// What a termination says of a container of that name; null if nothing.
pub(super) fn container<'a>(termination: &'a Value, name: &str) -> &'a Value {
    let mut containers = termination["containers"].as_array().into_iter().flatten();
    containers.find(|container| container["name"] == name).unwrap_or(&Value::Null)
}

fn word<T: serde::Serialize>(value: Option<T>) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Median and maximum of errors.
pub(crate) fn median_and_max(errors: impl Iterator<Item = TimeError>) -> Option<(Duration, Duration)> {
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
        comparison.missed = 1;
        comparison.findings(&[], &serde_json::json!([{"id": "CONNECTIONS_REFUSED"}]));
        comparison.findings(&[], &serde_json::json!([{"id": "CONNECTIONS_REFUSED"}, {"id": "B"}]));
        comparison.count("late", 3, &4.into());
        comparison.count("late", 3, &5.into());
        comparison.count("late", 3, &Value::Null);
        comparison.verdict("outcome", &"forced".into(), &"forced".into());
        comparison.processes(0, &Value::Null);
        comparison.processes(3, &3.into());
        comparison.processes(3, &2.into());
        comparison.hold_against(Tolerance::MACHINE);
        assert_eq!(comparison.errors.iter().map(|error| error.nanoseconds).collect::<Vec<_>>(), [1_000, -20_000_000]);
        assert_eq!(comparison.differences.len(), 9, "{:#?}", comparison.differences);
    }
}
