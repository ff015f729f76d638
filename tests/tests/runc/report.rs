//! What the agent says, compared with what the test has seen itself.

use std::time::Duration;

use gracetrace_tests::agent::Piped;
use gracetrace_tests::clock::{BootTime, WallOffset};
use serde_json::Value;

use super::container::{Call, Ended};

/// Both sides convert boot time to wall time, each with an offset that it measured; the wall clock may be slewed between.
const CLOCK_ERROR_NS: i64 = 2_000_000;

/// A termination with one container.
pub(crate) struct Report {
    all: Value,
    offset: WallOffset,
}

impl Report {
    /// Of the only one that the agent has to tell of.
    pub(crate) fn only(mut agent: Piped) -> Report {
        let report = Report::new(agent.termination());
        agent.stop();
        report
    }

    pub(crate) fn new(all: Value) -> Report {
        assert_eq!(all["containers"].as_array().map(Vec::len), Some(1), "{all:#}");
        assert_eq!(all["complete"], true, "{all:#}");
        Report { all, offset: WallOffset::measure() }
    }

    /// A part of the termination.
    pub(crate) fn is(&self, path: &str, expected: impl Into<Value>) {
        assert_eq!(self.get(path), &expected.into(), "{path} of {:#}", self.all);
    }

    /// A time lies between two moments.
    pub(crate) fn is_between(&self, path: &str, from: BootTime, to: BootTime) {
        let text = self.get(path).as_str().unwrap_or_default();
        let at = self.offset.parse(text).unwrap_or_else(|error| panic!("{path}: {error}\n{:#}", self.all));
        let range = from.0 - CLOCK_ERROR_NS..=to.0 + CLOCK_ERROR_NS;
        let (early, late) = (from.0 - at.0, at.0 - to.0);
        assert!(range.contains(&at.0), "{path} is {early} ns too early or {late} ns too late\n{:#}", self.all);
    }

    /// A number of seconds lies between two.
    pub(crate) fn seconds_are(&self, path: &str, from: f64, to: f64) {
        let seconds = self.get(path).as_f64().unwrap_or(f64::NAN);
        assert!((from..=to).contains(&seconds), "{path} is not in {from}..={to}: {:#}", self.all);
    }

    /// The stop signal was sent by a call of `runc kill`.
    pub(crate) fn was_stopped_by(&self, kill: Call, disposition: &str) {
        self.is("/containers/0/stop_signal/name", "SIGTERM");
        self.is("/containers/0/stop_signal/disposition", disposition);
        self.is_between("/containers/0/stop_signal/at", kill.from, kill.to);
    }

    /// The init ended between a call and what its parent saw.
    pub(crate) fn ended_after(&self, call: Call, ended: Ended) {
        self.is_between("/containers/0/exit/at", call.from, ended.at);
        self.is("/containers/0/exit/code", ended.code);
        let signal = ended.signal.map(|number| match number {
            libc::SIGKILL => "SIGKILL",
            libc::SIGTERM => "SIGTERM",
            other => panic!("the init was killed by signal {other}"),
        });
        self.is("/containers/0/exit/signal", signal);
    }

    /// A hook that was run by a call and took at least as long as it slept.
    pub(crate) fn had_hook(&self, call: Call, slept: f64, ended: Ended) {
        self.is("/containers/0/hook/handler", "exec");
        self.is("/containers/0/hook/exit_code", ended.code);
        self.is_between("/containers/0/hook/start", call.from, ended.at);
        self.is_between("/containers/0/hook/end", call.from, ended.at);
        let wall = Duration::from_nanos((ended.at.0 - call.from.0).unsigned_abs()).as_secs_f64();
        self.seconds_are("/containers/0/hook/duration_seconds", slept, wall);
    }

    /// Whether a finding is among them.
    pub(crate) fn has_finding(&self, id: &str) -> bool {
        let findings = self.get("/findings").as_array().map(Vec::as_slice).unwrap_or_default();
        findings.iter().any(|finding| finding["id"] == id)
    }

    fn get(&self, path: &str) -> &Value {
        self.all.pointer(path).unwrap_or_else(|| panic!("no {path} in {:#}", self.all))
    }
}
